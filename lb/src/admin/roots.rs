//! The work on the root key and the seal of the KMS.

use std::time::Duration;

use base64ct::{Base64, Encoding};
use kms::audit::AuditLog;
use kms::root_key::{Needs, Passphrase};
use kms::{Environment, Kms, NewRoot, RootKeySource, Seal, SecretKey, StateDirectory};

use tracing::warn;

use super::custody::Custody;
use super::describe;
use super::protocol::{Refusal, Response, RootMove, RootMoved, SealState, Step};
use super::wire::Secret;

impl Custody {
    /// Where the root key is kept.
    pub(super) fn root_show(&self) -> Result<Response, Refusal> {
        show(&self.directory_now()?, self.root_key().as_deref())
    }

    /// Seals the database anew under another root key.
    pub(super) fn root_move(
        &self,
        wanted: RootMove,
        secret: Secret,
        progress: &dyn Fn(Step),
    ) -> Result<Response, Refusal> {
        let _turn = self.moving();
        let kms = self.kms()?;
        let told = |done, total| progress(Step { done, total });
        let directory = self.directory_now()?;
        directory
            .finish_move(&kms, &told)
            .map_err(Refusal::failed)?;
        let directory = self.directory_now()?;
        let root = directory.root_in_force(self.root_key().as_deref());
        let before = root.map_err(Refusal::failed)?;
        let new = self.new_root(&directory, wanted, &secret)?;
        drop(secret);
        directory
            .move_root(&kms, &new, &told)
            .map_err(Refusal::failed)?;
        let now = self
            .directory_now()?
            .root_in_force(self.root_key().as_deref());
        let now = now.map_err(Refusal::failed)?;
        let kept = before
            .source
            .file()
            .map(|file| match now.source == before.source {
                true => format!("{}.{}", file.display(), before.fingerprint),
                false => file.display().to_string(),
            });
        Ok(Response::RootMoved(Box::new(RootMoved {
            before: before.fingerprint.to_string(),
            now: describe::root(&now),
            kept,
        })))
    }

    fn new_root(
        &self,
        directory: &StateDirectory,
        wanted: RootMove,
        secret: &[u8],
    ) -> Result<NewRoot, Refusal> {
        let made = match (wanted.to, wanted.record) {
            (RootKeySource::File(path), _) => {
                directory.make_root_file(&path, self.root_key().as_deref(), &Environment::system())
            }
            (source, Some(record)) => {
                let record = Base64::decode_vec(&record).map_err(Refusal::usage)?;
                let key = SecretKey::copy_from(secret);
                let key = key.ok_or_else(|| Refusal::usage("a root key has 32 bytes"))?;
                directory.receive_root(source, record, key)
            }
            (_, None) => return Err(Refusal::usage("the root record is missing")),
        };
        made.map_err(Refusal::failed)
    }

    /// Goes on with a move of the root key that was cut short, if there was one.
    ///
    /// # Errors
    /// Why it cannot go on.
    pub fn finish_move(&self) -> Result<bool, Refusal> {
        let _turn = self.moving();
        let kms = self.kms()?;
        let finished = self.directory_now()?.finish_move(&kms, &|_, _| {});
        finished.map_err(Refusal::failed)
    }

    /// Takes the keys out of memory.
    pub(super) fn seal_kms(&self) -> Response {
        if let Some(Err(error)) = self
            .kms()
            .ok()
            .and_then(|kms| kms.audit_log().map(AuditLog::checkpoint))
        {
            warn!("the audit log has no last checkpoint: {error}");
        }
        let wiped = self.seal().seal(IN_FLIGHT);
        // After it, so that none is opened anew.
        self.store().forget_bucket_keys();
        Response::Seal(SealState {
            wiped,
            ..state(self.seal().needs())
        })
    }

    /// Opens the KMS with what somebody has brought.
    pub(super) fn unseal_kms(&self, secret: Secret) -> Result<Response, Refusal> {
        let directory = self.directory_now()?;
        let root = self.root_key();
        let equip = |kms| self.equip(kms, &directory);
        unseal(self.seal(), (&directory, root.as_deref()), secret, &equip)
    }
}

/// Where the root key of `directory` is kept.
///
/// # Errors
/// Where that is not to be seen.
pub fn show(directory: &StateDirectory, root: Option<&RootKeySource>) -> Result<Response, Refusal> {
    let root = directory.root_in_force(root).map_err(Refusal::failed)?;
    Ok(Response::Root(Box::new(describe::root(&root))))
}

/// Opens the KMS of `directory` with what somebody has brought.
///
/// # Errors
/// Why it does not open.
pub fn unseal(
    seal: &Seal,
    (directory, root): (&StateDirectory, Option<&RootKeySource>),
    secret: Secret,
    equip: &dyn Fn(Kms) -> Result<Kms, kms::Error>,
) -> Result<Response, Refusal> {
    let needs = seal.unseal(directory, root, Passphrase::new(secret), equip);
    Ok(Response::Seal(state(needs.map_err(Refusal::failed)?)))
}

/// What is said of a KMS that needs something, or nothing.
fn state(needs: Option<Needs>) -> SealState {
    SealState {
        wiped: needs.is_some(),
        question: needs.as_ref().and_then(question),
        waits_for: needs.map(|needs| needs.to_string()),
    }
}

/// What people are asked for; none where people are of no help.
fn question(needs: &Needs) -> Option<String> {
    match needs {
        Needs::Passphrase => Some("Passphrase of the root key".to_owned()),
        Needs::Shares { missing, .. } => Some(format!("A share of the root key ({missing} more)")),
        Needs::Pin(token) => Some(format!("PIN of {token}")),
        Needs::Keeper { .. } | Needs::Calls | Needs::Unseal => None,
    }
}

/// How long a sealing waits for calls that are under way.
const IN_FLIGHT: Duration = Duration::from_secs(5);
