//! Secrets that people type, and files that may be standard input.

use std::fmt;
use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};
use std::path::Path;

use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use super::failure::Failure;
use super::leave;
use super::output::plain;

/// Opens `what` with the passphrase in the first line of `file`, or with one that is asked for on the
/// terminal: again, where `is_wrong` says that it was mistyped.
///
/// # Errors
/// Of `open`; or when there is neither a file nor a terminal.
pub fn with_passphrase<T, E: fmt::Display>(
    what: &str,
    file: Option<&Path>,
    open: impl Fn(&[u8]) -> Result<T, E>,
    is_wrong: impl Fn(&E) -> bool,
) -> Result<T, Failure> {
    if let Some(path) = file {
        return open(first_line(path)?.as_bytes()).map_err(Failure::failed);
    }
    if !can_ask() {
        return Err(Failure::usage(format!(
            "{what} is encrypted, and there is no terminal to ask for its passphrase: give \
             --key-passphrase-file FILE"
        )));
    }
    let question = format!("Passphrase of {what}");
    tries(|| ask(&question), open, is_wrong)
}

fn tries<T, E: fmt::Display>(
    ask: impl Fn() -> Result<Zeroizing<String>, Failure>,
    open: impl Fn(&[u8]) -> Result<T, E>,
    is_wrong: impl Fn(&E) -> bool,
) -> Result<T, Failure> {
    for _ in 1..TRIES {
        match open(ask()?.as_bytes()) {
            Err(error) if is_wrong(&error) => again(&error),
            other => return other.map_err(Failure::failed),
        }
    }
    open(ask()?.as_bytes()).map_err(Failure::failed)
}

fn again(error: &impl fmt::Display) {
    // There is nowhere left to say that this cannot be said.
    let _ = writeln!(io::stderr(), "{}; try again", plain(&error.to_string()));
}

/// Whether there is somebody to ask.
pub fn can_ask() -> bool {
    io::stdin().is_terminal()
}

/// Asks for `what` on the terminal, without showing what is typed.
///
/// # Errors
/// When nobody answers.
pub fn ask(what: &str) -> Result<Zeroizing<String>, Failure> {
    restore_when_interrupted().map_err(|error| asking(what, &error))?;
    let asked = rpassword::prompt_password(format!("{}: ", plain(what)));
    asked
        .map(Zeroizing::new)
        .map_err(|error| match error.kind() {
            io::ErrorKind::Interrupted => Failure::shown(leave::INTERRUPTED),
            _ => asking(what, &error),
        })
}

fn asking(what: &str, error: &io::Error) -> Failure {
    Failure::failed(format!("no answer to `{what}`: {error}"))
}

/// From here on, a signal that ends the process gives the terminal its echo back first.
fn restore_when_interrupted() -> io::Result<()> {
    let terminal = File::open("/dev/tty")?;
    let before = tcgetattr(&terminal)?;
    leave::on_signal("terminal", move |status| {
        // Of no use where the terminal has gone.
        let _ = tcsetattr(&terminal, OptionalActions::Now, &before);
        let _ = writeln!(io::stderr());
        std::process::exit(status.into())
    })
}

/// What errors call `path`, `-` being standard input.
pub fn source_name(path: &Path) -> String {
    match path == Path::new("-") {
        true => "standard input".to_owned(),
        false => path.display().to_string(),
    }
}

/// The contents of `path`, `-` being standard input, in memory that is wiped.
///
/// # Errors
/// When it cannot be read or is longer than `limit` bytes.
pub fn read_secret(path: &Path, limit: usize) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let read = if path == Path::new("-") {
        read_bounded(&mut io::stdin().lock(), limit)
    } else {
        File::open(path).and_then(|mut file| read_bounded(&mut file, limit))
    };
    read.map_err(|error| Failure::reading(path, &error))
}

/// The first line of `path`, which is a secret.
///
/// # Errors
/// When it cannot be read, or there is none.
pub fn first_line(path: &Path) -> Result<Zeroizing<String>, Failure> {
    let bytes = read_secret(path, PASSPHRASE_LIMIT)?;
    let line = bytes
        .split(|byte| *byte == b'\n')
        .next()
        .unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    match std::str::from_utf8(line) {
        Ok(text) if !text.is_empty() => Ok(Zeroizing::new(text.to_owned())),
        Ok(_) => Err(Failure::failed(format!(
            "{} holds no secret in its first line",
            path.display()
        ))),
        Err(_) => Err(Failure::failed(format!("{} is not UTF-8", path.display()))),
    }
}

/// Reads to the end without ever moving what was read: a buffer that grows leaves copies behind.
fn read_bounded(source: &mut impl Read, limit: usize) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(vec![0; limit + 1]);
    let mut filled = 0;
    loop {
        match source.read(&mut bytes[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    if filled > limit {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("longer than the {limit} bytes that are allowed"),
        ));
    }
    bytes.truncate(filled);
    Ok(bytes)
}

const PASSPHRASE_LIMIT: usize = 4096;

/// How often somebody may mistype a passphrase.
const TRIES: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_passphrase_is_the_first_line() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for (text, line) in [("pass word\n", "pass word"), ("a\r\nb\n", "a"), ("x", "x")] {
            std::fs::write(file.path(), text).unwrap();
            assert_eq!(first_line(file.path()).unwrap().as_str(), line);
        }
        std::fs::write(file.path(), "\n").unwrap();
        assert!(first_line(file.path()).is_err());
    }

    #[test]
    fn a_passphrase_may_be_mistyped_twice() {
        let typed = |right_at: usize| {
            let count = std::cell::Cell::new(0);
            let ask = || {
                count.set(count.get() + 1);
                let word = if count.get() == right_at {
                    "right"
                } else {
                    "wrong"
                };
                Ok(Zeroizing::new(word.to_owned()))
            };
            let open = |word: &[u8]| (word == b"right").then_some(()).ok_or("wrong");
            let opened = tries(ask, open, |_| true).map_err(|failure| failure.message);
            (opened, count.get())
        };
        assert_eq!(typed(1), (Ok(()), 1));
        assert_eq!(typed(3), (Ok(()), 3));
        assert_eq!(typed(4), (Err("wrong".to_owned()), 3));
    }

    #[test]
    fn other_faults_are_not_asked_about_again() {
        let ask = || Ok(Zeroizing::new("x".to_owned()));
        let failed = tries(ask, |_| Err::<(), _>("outdated"), |_| false);
        assert_eq!(failed.unwrap_err().message, "outdated");
    }

    #[test]
    fn secrets_are_bounded() {
        assert_eq!(
            read_bounded(&mut &b"1234"[..], 4).unwrap().as_slice(),
            b"1234"
        );
        let long = read_bounded(&mut &b"12345"[..], 4);
        assert_eq!(long.err().unwrap().kind(), io::ErrorKind::FileTooLarge);
    }
}
