//! JSON without traces: what passes here may hold secrets in base64.

use std::io;

use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use super::exception::Exception;
use super::shape::Structure;
use super::validate::validate;

/// Reads a request.
///
/// # Errors
/// What is wrong with it.
pub(super) fn read<T: Structure + DeserializeOwned>(input: &[u8]) -> Result<T, Exception> {
    let input = without_escaped_slashes(input);
    validate(&input, T::MEMBERS)?;
    serde_json::from_slice(&input).map_err(|error| Exception::serialization(&error))
}

/// Writes an answer into memory that is wiped, also where it had to grow.
///
/// # Errors
/// Where `answer` cannot be written as JSON.
pub fn write(answer: &impl Serialize) -> Result<Zeroizing<Vec<u8>>, serde_json::Error> {
    let mut out = Wiped(Zeroizing::new(Vec::with_capacity(USUAL)));
    serde_json::to_writer(&mut out, answer)?;
    Ok(out.0)
}

/// The same JSON with `/` for `\/`: a text with an escape is unescaped in memory that nobody wipes, and
/// some clients escape the slashes of base64.
fn without_escaped_slashes(input: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut out = Zeroizing::new(Vec::with_capacity(input.len()));
    let mut rest = input;
    loop {
        rest = match rest {
            [b'\\', b'/', tail @ ..] => {
                out.push(b'/');
                tail
            }
            [b'\\', escaped, tail @ ..] => {
                out.extend([b'\\', *escaped]);
                tail
            }
            [byte, tail @ ..] => {
                out.push(*byte);
                tail
            }
            [] => return out,
        };
    }
}

/// A buffer that leaves no copies behind when it grows.
struct Wiped(Zeroizing<Vec<u8>>);

impl io::Write for Wiped {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let needed = self.0.len() + bytes.len();
        if needed > self.0.capacity() {
            let mut grown = Zeroizing::new(Vec::with_capacity(needed.max(2 * self.0.capacity())));
            grown.extend_from_slice(&self.0);
            self.0 = grown;
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Bytes of most answers.
const USUAL: usize = 512;
