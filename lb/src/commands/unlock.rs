//! What people bring to open a root key: passphrases, shares and PINs, from a terminal, a file
//! descriptor or the service manager, and never from the command line.

use std::path::PathBuf;

use kms::root_key::{Needs, Passphrase};
use kms::{Environment, Kms, RootKeySource, Share, StateDirectory, Unlock};
use zeroize::Zeroizing;

use super::failure::Failure;
use super::prompt;
use super::session::Session;

impl Session {
    /// Opens the KMS of `directory`, asking on the terminal for what it takes and is not there.
    ///
    /// # Errors
    /// Why it does not open.
    pub fn open_kms(
        &self,
        directory: &StateDirectory,
        root: Option<&RootKeySource>,
    ) -> Result<Kms, Failure> {
        let mut unlock = self.unlock()?;
        loop {
            match directory.open_kms(root, &unlock, Environment::system()) {
                Err(kms::Error::Sealed(needs)) if prompt::can_ask() => {
                    self.ask_for(&needs, &mut unlock)?;
                }
                Err(kms::Error::Sealed(needs)) => return Err(not_at_hand(needs)),
                opened => return opened.map_err(Failure::failed),
            }
        }
    }

    /// Opens the KMS of `directory` with what comes with the process; else, what it needs.
    ///
    /// # Errors
    /// Why it does not open, whatever is brought.
    pub fn try_kms(
        &self,
        directory: &StateDirectory,
        root: Option<&RootKeySource>,
    ) -> Result<Result<Kms, Needs>, Failure> {
        match directory.open_kms(root, &self.unlock()?, Environment::system()) {
            Ok(kms) => Ok(Ok(kms)),
            Err(kms::Error::Sealed(needs)) => Ok(Err(needs)),
            // Its file system may not be there yet.
            Err(kms::Error::RootKeyMissing(path)) => Ok(Err(Needs::Keeper {
                place: RootKeySource::File(path).place(),
                why: "it is not there".to_owned(),
            })),
            Err(error) => Err(Failure::failed(error)),
        }
    }

    /// What comes with the process: credentials, and a line of the file descriptor that was named.
    ///
    /// # Errors
    /// When that cannot be read.
    pub fn unlock(&self) -> Result<Unlock, Failure> {
        let mut unlock = Unlock::from_process();
        let passphrase = match (self.passphrase_fd, &unlock.credentials) {
            (Some(fd), _) => Some(prompt::first_line(&descriptor(fd))?),
            (None, Some(directory)) => {
                let credential = directory.join(PASSPHRASE_CREDENTIAL);
                let there = credential.exists();
                there.then(|| prompt::first_line(&credential)).transpose()?
            }
            (None, None) => None,
        };
        unlock.passphrase = passphrase.map(secret);
        Ok(unlock)
    }

    /// Asks on the terminal for one thing that is needed.
    fn ask_for(&self, needs: &Needs, unlock: &mut Unlock) -> Result<(), Failure> {
        match needs {
            Needs::Passphrase => unlock.passphrase = Some(secret(prompt::ask(PASSPHRASE)?)),
            Needs::Pin(token) => {
                unlock.pin = Some(secret(prompt::ask(&format!("PIN of {token}"))?));
            }
            Needs::Shares { missing, .. } => {
                let what = format!("A share of the root key ({missing} more)");
                let typed = prompt::ask(&what)?;
                let share = Share::parse(typed.as_bytes()).map_err(Failure::failed)?;
                unlock.shares.push(share);
            }
            other => return Err(Failure::failed(kms::Error::Sealed(other.clone()))),
        }
        Ok(())
    }

    /// What somebody brings to unseal: from the file descriptor that was named, or typed.
    ///
    /// # Errors
    /// When there is neither.
    pub fn brought(&self, question: &str) -> Result<Zeroizing<Vec<u8>>, Failure> {
        let text = match self.passphrase_fd {
            Some(fd) => prompt::first_line(&descriptor(fd))?,
            None if prompt::can_ask() => prompt::ask(question)?,
            None => {
                return Err(Failure::usage(format!(
                    "`{question}` cannot be asked, for there is no terminal: give it by --passphrase-fd"
                )));
            }
        };
        Ok(bytes(text))
    }

    /// A passphrase for a root key that is about to be made: from the file descriptor that was named, or
    /// typed twice.
    ///
    /// # Errors
    /// When there is neither, or what is typed differs.
    pub fn new_passphrase(&self, fd: Option<u32>) -> Result<Passphrase, Failure> {
        if let Some(fd) = fd {
            return prompt::first_line(&descriptor(fd)).map(secret);
        }
        if !prompt::can_ask() {
            return Err(Failure::usage(
                "a passphrase for the root key is needed, and there is no terminal to ask for it: give its \
                 file descriptor",
            ));
        }
        let first = prompt::ask("New passphrase of the root key")?;
        let again = prompt::ask("The same once more")?;
        match *first == *again {
            true => Ok(secret(first)),
            false => Err(Failure::failed(
                "the two passphrases differ: nothing was done",
            )),
        }
    }
}

/// Nobody can be asked. To unseal is for a balancer that runs: this process is the one that is to open it.
fn not_at_hand(needs: Needs) -> Failure {
    let how = match &needs {
        Needs::Passphrase => {
            "on a terminal this command asks for it, elsewhere --passphrase-fd gives it"
        }
        Needs::Pin(_) | Needs::Shares { .. } => "on a terminal this command asks for it",
        _ => return Failure::failed(kms::Error::Sealed(needs)),
    };
    Failure::failed(format!(
        "the key management service is sealed: {needs}; {how}"
    ))
}

/// An open file descriptor of this process.
fn descriptor(fd: u32) -> PathBuf {
    format!("/dev/fd/{fd}").into()
}

fn secret(text: Zeroizing<String>) -> Passphrase {
    Passphrase::new(bytes(text))
}

fn bytes(mut text: Zeroizing<String>) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(std::mem::take(&mut *text).into_bytes())
}

/// What people are asked for, and the credential that has it for services.
const PASSPHRASE: &str = "Passphrase of the root key";
const PASSPHRASE_CREDENTIAL: &str = "sealgate.passphrase";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_says_how_it_gets_what_it_needs() {
        let told = not_at_hand(Needs::Passphrase).message;
        assert!(told.contains("--passphrase-fd"), "{told}");
        assert!(!told.contains("unseal"), "{told}");
    }
}
