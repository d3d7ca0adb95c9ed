//! Secrets that people type, and files that may be standard input.

use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::path::Path;

use zeroize::Zeroizing;

use super::failure::Failure;

/// Asks for the passphrase of `what` on the terminal, or takes it from the first line of `file`.
///
/// # Errors
/// When there is neither a file nor a terminal.
pub fn passphrase(what: &str, file: Option<&Path>) -> Result<Zeroizing<String>, Failure> {
    if let Some(path) = file {
        return first_line(path);
    }
    if !io::stdin().is_terminal() {
        return Err(Failure::usage(format!(
            "{what} is encrypted, and there is no terminal to ask for its passphrase: give \
             --key-passphrase-file FILE"
        )));
    }
    rpassword::prompt_password(format!("Passphrase of {what}: "))
        .map(Zeroizing::new)
        .map_err(|error| Failure::failed(format!("no passphrase for {what}: {error}")))
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

fn first_line(path: &Path) -> Result<Zeroizing<String>, Failure> {
    let bytes = read_secret(path, PASSPHRASE_LIMIT)?;
    let line = bytes
        .split(|byte| *byte == b'\n')
        .next()
        .unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    match std::str::from_utf8(line) {
        Ok(text) if !text.is_empty() => Ok(Zeroizing::new(text.to_owned())),
        Ok(_) => Err(Failure::failed(format!(
            "{} holds no passphrase",
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_passphrase_is_the_first_line() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for (text, line) in [("pass word\n", "pass word"), ("a\r\nb\n", "a"), ("x", "x")] {
            std::fs::write(file.path(), text).unwrap();
            assert_eq!(
                passphrase("key.pem", Some(file.path())).unwrap().as_str(),
                line
            );
        }
        std::fs::write(file.path(), "\n").unwrap();
        assert!(passphrase("key.pem", Some(file.path())).is_err());
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
