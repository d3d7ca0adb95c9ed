//! From a file or a text to a configuration.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use zeroize::Zeroizing;

use crate::diagnostics::{Diagnostic, Diagnostics};
use crate::document::Document;
use crate::fault::Fault;
use crate::reader::{self, Spanned};
use crate::resolve;
use crate::span::Source;
use crate::yaml::{self, Node};
use crate::{Config, Sealed, Secrets};

/// A configuration that is accepted, and what in it was probably not meant.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// In the order of the document; none of them is an error.
    pub warnings: Vec<Diagnostic>,
    /// What it was read from.
    pub text: String,
    file_name: String,
}

impl Loaded {
    /// Opens the sealed values by `open`.
    ///
    /// # Errors
    /// All that do not open, with their places and what `open` says; and those that hold what cannot stand
    /// there.
    pub fn open(
        &self,
        open: impl Fn(&Sealed) -> Result<Zeroizing<Vec<u8>>, String>,
    ) -> Result<Secrets, Diagnostics> {
        let (mut secrets, mut faults) = (Secrets::default(), Vec::new());
        let groups = self.config.target_groups.iter();
        for sealed in groups.flat_map(|group| group.request_headers.sealed()) {
            match open(sealed).and_then(refuse_no_field_value) {
                Ok(value) => secrets.insert(sealed.path.clone(), value),
                Err(why) => faults.push((sealed, why)),
            }
        }
        match faults.is_empty() {
            true => Ok(secrets),
            false => Err(self.unopened(&faults)),
        }
    }

    fn unopened(&self, faults: &[(&Sealed, String)]) -> Diagnostics {
        let source = Arc::new(Source::new(&self.file_name, &self.text));
        let (tree, _) = yaml::read(&self.text);
        let place = |path: &str| tree.as_ref().and_then(|tree| yaml::find(tree, path));
        let faults = faults.iter().map(|(sealed, why)| {
            Fault::error(place(&sealed.path).unwrap_or_default(), why.clone())
                .found("a sealed value")
                .hint(format!(
                    "`sealgate kms encrypt --for '{}'` makes one for this place",
                    sealed.path
                ))
        });
        Diagnostics::new(Diagnostic::all(faults.collect(), &source, tree.as_ref()))
    }
}

/// What was opened is to stand in a header; it is not shown where it cannot.
fn refuse_no_field_value(value: Zeroizing<Vec<u8>>) -> Result<Zeroizing<Vec<u8>>, String> {
    match std::str::from_utf8(&value).is_ok_and(resolve::is_field_value) {
        true => Ok(value),
        false => Err(
            "what is sealed here is no field value: visible ASCII on one line, without spaces around it"
                .to_owned(),
        ),
    }
}

impl Config {
    /// Reads the file at `path`, at most [`MAX_BYTES`] of UTF-8, and parses it.
    ///
    /// # Errors
    /// All faults of the document, or the one for which the file could not be read.
    pub fn load(path: impl AsRef<Path>) -> Result<Loaded, Diagnostics> {
        let path = path.as_ref();
        let name = path.display().to_string();
        let text = read_text(path).map_err(|error| unreadable(&name, &error))?;
        Self::parse(&name, &text)
    }

    /// The configuration in `text`. `file_name` stands in diagnostics; relative paths in the document
    /// are taken from the directory it names.
    ///
    /// # Errors
    /// All faults of the document.
    pub fn parse(file_name: &str, text: &str) -> Result<Loaded, Diagnostics> {
        let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
        let source = Arc::new(Source::new(file_name, text));
        if text.len() > MAX_BYTES {
            let error = io::Error::new(io::ErrorKind::FileTooLarge, TOO_LARGE);
            return Err(unreadable(file_name, &error));
        }
        let (tree, faults) = yaml::read(text);
        let read = tree
            .as_ref()
            .map(|tree| from_tree(tree, faults.clone(), directory(file_name)));
        let (config, faults) = read.unwrap_or((None, faults));
        let diagnostics = Diagnostic::all(faults, &source, tree.as_ref());
        match config {
            Some(config) => Ok(Loaded {
                config,
                warnings: diagnostics,
                text: text.to_owned(),
                file_name: file_name.to_owned(),
            }),
            None => Err(Diagnostics::new(diagnostics)),
        }
    }
}

/// The configuration in a tree of which `faults` are known already.
fn from_tree(
    tree: &Node,
    mut faults: Vec<Fault>,
    directory: &Path,
) -> (Option<Config>, Vec<Fault>) {
    let (document, read_faults): (Spanned<Document>, _) = reader::read(tree);
    faults.extend(read_faults);
    let Some(document) = document.value else {
        return (None, faults);
    };
    let (config, resolve_faults) = resolve::resolve(&document, tree, directory);
    faults.extend(resolve_faults);
    if !resolve::acceptable(&faults) {
        return (None, faults);
    }
    faults.extend(resolve::suspicions(&config, &document));
    (Some(config), faults)
}

fn directory(file_name: &str) -> &Path {
    Path::new(file_name).parent().unwrap_or(Path::new(""))
}

fn read_text(path: &Path) -> io::Result<String> {
    // Opening a FIFO that nobody writes to would wait for ever.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut text = String::new();
    let limit = MAX_BYTES as u64 + 1;
    File::open(path)?.take(limit).read_to_string(&mut text)?;
    Ok(text)
}

fn unreadable(file: &str, error: &io::Error) -> Diagnostics {
    let hint = match error.kind() {
        io::ErrorKind::NotFound => Some("`sealgate init` writes a file to start from"),
        io::ErrorKind::InvalidData => Some("the file must be UTF-8 text"),
        io::ErrorKind::PermissionDenied => {
            Some("the user that runs sealgate must be able to read it")
        }
        _ => None,
    };
    Diagnostics::unreadable(
        file,
        format!("cannot read {file}: {error}"),
        hint.map(str::to_owned),
    )
}

/// Bytes of the largest document that is read: 64 MiB, several hundred thousand rules.
pub const MAX_BYTES: usize = 64 << 20;
/// Some editors begin a file with it.
const BYTE_ORDER_MARK: char = '\u{feff}';
const TOO_LARGE: &str = "it is larger than 64 MiB";
