//! `sealgate kms encrypt --file` and `decrypt --file`: files of any length, in the message format of the AWS
//! Encryption SDK. Only the data key passes through the KMS.

use std::fs::{self, File};
use std::io::{self, IsTerminal, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use indicatif::ProgressBar;
use kms::api::{
    Blob, DecryptRequest, DecryptResponse, GenerateDataKeyRequest, GenerateDataKeyResponse,
};
use kms::file::{self, EncryptedDataKey, EncryptionMaterials, FileError, Message};
use kms::{EncryptionContext, Environment, SecretKey};
use serde_json::json;

use super::super::failure::Failure;
use super::super::prompt::source_name;
use super::Service;

/// A file on its way through.
pub(super) struct Passage<'a> {
    /// The KMS.
    pub(super) service: &'a Service<'a>,
    /// What is read, `-` for standard input.
    pub(super) source: &'a Path,
    /// What is written, `-` for standard output.
    pub(super) out: &'a Path,
}

impl Passage<'_> {
    /// Encrypts the file under a data key that `key` wraps.
    ///
    /// # Errors
    /// Why it was not done; a file that was to be written is as it was then.
    pub(super) fn encrypt(
        &self,
        key: &str,
        context: Option<EncryptionContext>,
    ) -> Result<(), Failure> {
        let (mut source, bar) = self.open()?;
        let mut target = Target::create(self.out)?;
        let answer = self.generate_data_key(key, context.clone())?;
        let data_key = secret_key(&answer.plaintext.0)?;
        let wrapped = EncryptedDataKey::of_kms(answer.key_id, answer.ciphertext_blob.0);
        let materials = EncryptionMaterials {
            data_key: &data_key,
            encrypted_data_keys: vec![wrapped],
            context: context.unwrap_or_default(),
        };
        let told = &mut |done| bar.set_position(done);
        let environment = Environment::system();
        let bytes = file::encrypt(materials, &environment, &mut source, &mut target, told);
        bar.finish_and_clear();
        let bytes = bytes.map_err(|error| self.failed(&error))?;
        target.finish(self.out)?;
        self.report("Encrypted", bytes)
    }

    /// Decrypts the file, if it is bound to `context` at least and, where one is named, of the key `key`.
    ///
    /// # Errors
    /// Why it was not done; a file that was to be written is as it was then. What went to standard output was
    /// authentic, but is not the whole.
    pub(super) fn decrypt(
        &self,
        key: Option<&str>,
        context: Option<&EncryptionContext>,
    ) -> Result<(), Failure> {
        let (source, bar) = self.open()?;
        let message = Message::read(source).map_err(|error| self.failed(&error))?;
        check_context(message.context(), context)?;
        let data_key = self.open_data_key(key, &message)?;
        let mut target = Target::create(self.out)?;
        let bytes = message.decrypt(&data_key, &mut target, &mut |done| bar.set_position(done));
        bar.finish_and_clear();
        let bytes = bytes.map_err(|error| self.failed(&error))?;
        target.finish(self.out)?;
        self.report("Decrypted", bytes)
    }

    fn open(&self) -> Result<(Box<dyn Read>, ProgressBar), Failure> {
        let bar = self.service.session.output.progress("");
        if self.source == Path::new("-") {
            return Ok((Box::new(io::stdin().lock()), bar));
        }
        let file = File::open(self.source).map_err(|error| self.failed(&FileError::Read(error)))?;
        if let Ok(metadata) = file.metadata() {
            bar.set_length(metadata.len());
        }
        Ok((Box::new(file), bar))
    }

    fn generate_data_key(
        &self,
        key: &str,
        context: Option<EncryptionContext>,
    ) -> Result<GenerateDataKeyResponse, Failure> {
        let input = GenerateDataKeyRequest {
            key_id: key.to_owned(),
            encryption_context: context,
            number_of_bytes: None,
            key_spec: Some("AES_256".to_owned()),
            grant_tokens: None,
            recipient: None,
            dry_run: None,
        };
        self.service.call("GenerateDataKey", &input)
    }

    /// The data key of a message: the first of its wrapped ones that the KMS opens.
    fn open_data_key<R: Read>(
        &self,
        key: Option<&str>,
        message: &Message<R>,
    ) -> Result<SecretKey, Failure> {
        let mut refusal = Failure::failed(format!(
            "{}: none of its data keys is wrapped by a KMS key",
            source_name(self.source)
        ));
        let wrapped = message.encrypted_data_keys().iter();
        for wrapped in wrapped.filter(|wrapped| wrapped.provider == EncryptedDataKey::AWS_KMS) {
            let input = DecryptRequest {
                ciphertext_blob: Some(Blob(wrapped.ciphertext.clone())),
                encryption_context: some(message.context()),
                grant_tokens: None,
                key_id: Some(key.unwrap_or(&wrapped.key).to_owned()),
                encryption_algorithm: None,
                recipient: None,
                dry_run: None,
                dry_run_modifiers: None,
            };
            match self.service.call::<DecryptResponse>("Decrypt", &input) {
                Ok(answer) => return secret_key(&answer.plaintext.0),
                Err(why) => refusal = why,
            }
        }
        Err(refusal)
    }

    /// Says what was done, unless the file itself went to standard output.
    fn report(&self, what: &str, bytes: u64) -> Result<(), Failure> {
        if self.out == Path::new("-") {
            return Ok(());
        }
        let value = json!({ "file": self.source, "out": self.out, "bytes": bytes });
        self.service.session.output.result(&value, |_| {
            let (source, out) = (source_name(self.source), self.out.display());
            format!("{what} {source} ({bytes} bytes) to {out}.")
        })
    }

    fn failed(&self, error: &FileError) -> Failure {
        match error {
            FileError::Write(error) => not_written(self.out, error),
            error => Failure::failed(format!("{}: {error}", source_name(self.source))),
        }
    }
}

/// A message may be bound to more than is asked for, and not to less.
fn check_context(
    found: &EncryptionContext,
    wanted: Option<&EncryptionContext>,
) -> Result<(), Failure> {
    let mut pairs = wanted.into_iter().flat_map(EncryptionContext::iter);
    let pair = |(key, value): (&str, &str)| {
        EncryptionContext::new().with(key.to_owned(), value.to_owned())
    };
    match pairs.find(|wanted| !found.contains(&pair(*wanted))) {
        None => Ok(()),
        Some((key, value)) => Err(Failure::failed(format!(
            "the message is not bound to the encryption context {key}={value}"
        ))),
    }
}

fn some(context: &EncryptionContext) -> Option<EncryptionContext> {
    context.iter().next().map(|_| context.clone())
}

fn secret_key(bytes: &[u8]) -> Result<SecretKey, Failure> {
    SecretKey::copy_from(bytes).ok_or_else(|| {
        Failure::failed("the data key has not 256 bits: the message is none of AES-256")
    })
}

// === Where it goes ===

/// Standard output, a device or a pipe; or a file that takes its name only once it is whole.
enum Target {
    Stream(File),
    File(Unfinished),
}

/// A file under a name of its own beside the one that it is for. Removed, unless it is finished.
struct Unfinished {
    file: File,
    path: PathBuf,
    finished: bool,
}

impl Target {
    fn create(out: &Path) -> Result<Self, Failure> {
        if out == Path::new("-") {
            return Self::stdout();
        }
        let special = fs::metadata(out).is_ok_and(|found| !found.is_file());
        let created = match special {
            true => File::options().write(true).open(out).map(Self::Stream),
            false => Unfinished::create(out).map(Self::File),
        };
        created.map_err(|error| not_written(out, &error))
    }

    fn stdout() -> Result<Self, Failure> {
        let stdout = io::stdout();
        if stdout.is_terminal() {
            return Err(Failure::usage(
                "a whole file would garble the terminal: write it to a file by --out FILE, or pipe it on",
            ));
        }
        // Not through its buffer, which looks for line ends.
        let copied = stdout.as_fd().try_clone_to_owned();
        let copied = copied.map_err(|error| Failure::output(&error))?;
        Ok(Self::Stream(copied.into()))
    }

    /// Lets the file take its name.
    fn finish(self, out: &Path) -> Result<(), Failure> {
        let finished = match self {
            Self::Stream(_) => Ok(()),
            Self::File(file) => file.finish(out),
        };
        finished.map_err(|error| not_written(out, &error))
    }
}

impl Write for Target {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Stream(file) => file.write(bytes),
            Self::File(file) => file.file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        // Neither has a buffer.
        Ok(())
    }
}

impl Unfinished {
    /// Only this user may read it.
    fn create(out: &Path) -> io::Result<Self> {
        let name = out.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        let name = format!(".{}.{}.part", name.to_string_lossy(), std::process::id());
        let path = directory(out).join(name);
        let mut options = File::options();
        let file = options
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)?;
        Ok(Self {
            file,
            path,
            finished: false,
        })
    }

    fn finish(mut self, out: &Path) -> io::Result<()> {
        self.file.sync_all()?;
        fs::rename(&self.path, out)?;
        self.finished = true;
        File::open(directory(out))?.sync_all()
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.finished {
            // Best effort: what made it fail is what is to be said.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn directory(out: &Path) -> &Path {
    match out.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

fn not_written(out: &Path, error: &io::Error) -> Failure {
    match out == Path::new("-") {
        true => Failure::output(error),
        false => Failure::failed(format!("cannot write {}: {error}", out.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_takes_its_name_once_it_is_whole() {
        let directory = tempfile::tempdir().unwrap();
        let out = directory.path().join("out");
        fs::write(&out, b"before").unwrap();
        let files = || fs::read_dir(directory.path()).unwrap().count();
        let mut target = Target::create(&out).unwrap();
        target.write_all(b"half").unwrap();
        assert_eq!((fs::read(&out).unwrap(), files()), (b"before".to_vec(), 2));
        drop(target);
        assert_eq!((fs::read(&out).unwrap(), files()), (b"before".to_vec(), 1));
        let mut target = Target::create(&out).unwrap();
        target.write_all(b"whole").unwrap();
        target.finish(&out).unwrap();
        assert_eq!((fs::read(&out).unwrap(), files()), (b"whole".to_vec(), 1));
    }

    #[test]
    fn a_device_is_written_to_as_it_is() {
        let mut target = Target::create(Path::new("/dev/null")).unwrap();
        target.write_all(b"x").unwrap();
        target.finish(Path::new("/dev/null")).unwrap();
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
    }

    #[test]
    fn a_message_may_be_bound_to_more_and_not_to_less() {
        let context = |pairs: &[(&str, &str)]| {
            let pairs = pairs
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
            pairs.collect::<EncryptionContext>()
        };
        let found = context(&[("app", "shop"), ("month", "12")]);
        assert!(check_context(&found, None).is_ok());
        assert!(check_context(&found, Some(&context(&[("app", "shop")]))).is_ok());
        let refused =
            check_context(&found, Some(&context(&[("app", "mail")]))).expect_err("refused");
        assert!(refused.message.contains("app=mail"));
    }
}
