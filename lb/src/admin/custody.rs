//! The work on keys and certificates: done by whoever holds the state directory's lock, a running
//! balancer or, while none runs, the command itself.

use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwapOption;
use certstore::trust::TrustStores;
use certstore::{CsrRequest, Encoding, EntrySummary, Import, KeyFamily, PrivateKey, SealedStore};
use kms::audit::AuditOptions;
use kms::quota::RequestQuotas;
use kms::storage::FileStorage;
use kms::{
    Caller, DirectoryLock, EncryptionContext, Environment, KeyRef, Kms, RootKeySource, Seal,
    StateDirectory,
};
use parking_lot::{Mutex, MutexGuard};

use super::describe::{broken, entry, verification};
use super::protocol::{
    Answer, CertCsr, CertDelete, CertImport, Imported, Refusal, RefusedEntry, Request, Resealed,
    Response, Step, TrustImport, Verification,
};
use super::wire::Secret;

/// The opened KMS and store of a state directory.
pub struct Custody {
    directory: StateDirectory,
    /// Where a configuration says that the root key is.
    root_key: ArcSwapOption<RootKeySource>,
    seal: Seal,
    equipment: Equipment,
    /// Held while the root key is moved.
    moving: Mutex<()>,
    store: Arc<SealedStore>,
    trust: TrustStores,
}

/// What a configuration says of the KMS and the store; nothing: what the state directory says.
#[derive(Debug, Clone, Default)]
pub struct CustodyOptions {
    /// Where the root key is.
    pub root_key: Option<RootKeySource>,
    /// The KMS key that wraps data keys.
    pub certstore_key: Option<String>,
    /// Whether each new entry has a key of its own wrapped, instead of one that is derived from a bucket key.
    pub without_bucket_keys: bool,
    /// How the audit log is kept.
    pub audit: AuditOptions,
    /// How often the KMS may be called.
    pub quotas: RequestQuotas,
}

/// What a KMS has around it, however often it is opened.
struct Equipment {
    /// None: this process may not write.
    audit: Option<AuditOptions>,
    quotas: RequestQuotas,
    /// Who wants to know when the audit log can be written again.
    recovered: Mutex<Option<Tell>>,
}

/// Somebody who wants to know.
type Tell = Arc<dyn Fn() + Send + Sync>;

impl Equipment {
    fn equip(&self, kms: Kms, directory: &StateDirectory) -> Result<Kms, kms::Error> {
        let kms = match self.audit {
            Some(options) => directory.audited(kms, options)?,
            None => kms,
        };
        if let Some(tell) = &*self.recovered.lock() {
            tell_of_recovery(&kms, tell);
        }
        Ok(kms.with_request_quotas(self.quotas))
    }
}

fn tell_of_recovery(kms: &Kms, tell: &Tell) {
    let tell = tell.clone();
    if let Some(log) = kms.audit_log() {
        log.on_recovery(move || tell());
    }
}

impl Custody {
    /// The store of a state directory, and its KMS, which was opened. Only who holds the directory's `lock`
    /// writes there: without it, what is asked of the KMS is not written down in the audit log.
    ///
    /// # Errors
    /// What is wrong with the options or the audit log.
    pub fn open(
        directory: StateDirectory,
        kms: Kms,
        options: &CustodyOptions,
        lock: Option<&DirectoryLock>,
    ) -> Result<Self, Refusal> {
        let environment = Environment::system();
        let equipment = Equipment {
            audit: lock.map(|_| options.audit),
            quotas: options.quotas,
            recovered: Mutex::default(),
        };
        let kms = equipment.equip(kms, &directory).map_err(Refusal::failed)?;
        let seal = Seal::from(kms);
        let key = options
            .certstore_key
            .as_deref()
            .unwrap_or(Kms::CERTSTORE_ALIAS);
        let key: KeyRef = key.parse().map_err(Refusal::usage)?;
        let files = Arc::new(FileStorage::new(directory.store_directory()));
        let region = directory.identity().region.clone();
        let store_id = directory.store_id();
        let store = SealedStore::new(files, seal.clone(), key, store_id, region, environment);
        store.use_bucket_keys(!options.without_bucket_keys);
        let trust = TrustStores::new(Arc::new(FileStorage::new(directory.trust_directory())));
        Ok(Self {
            store: Arc::new(store),
            root_key: ArcSwapOption::from_pointee(options.root_key.clone()),
            directory,
            seal,
            equipment,
            moving: Mutex::default(),
            trust,
        })
    }

    /// The KMS, for one call.
    ///
    /// # Errors
    /// When it is sealed, and what it waits for.
    pub fn kms(&self) -> Result<Arc<Kms>, Refusal> {
        self.seal.get().map_err(Refusal::failed)
    }

    /// Has `tell` told whenever the audit log can be written again.
    pub fn on_audit_recovery(&self, tell: impl Fn() + Send + Sync + 'static) {
        let tell: Tell = Arc::new(tell);
        if let Ok(kms) = self.kms() {
            tell_of_recovery(&kms, &tell);
        }
        *self.equipment.recovered.lock() = Some(tell);
    }

    /// The KMS with what else belongs to it.
    pub(super) fn equip(&self, kms: Kms, directory: &StateDirectory) -> Result<Kms, kms::Error> {
        self.equipment.equip(kms, directory)
    }

    /// The seal of the KMS.
    pub fn seal(&self) -> &Seal {
        &self.seal
    }

    /// Hears where a configuration says that the root key is by now.
    pub fn name_root_key(&self, root_key: Option<RootKeySource>) {
        self.root_key.store(root_key.map(Arc::new));
    }

    /// Where a configuration says that the root key is.
    pub(super) fn root_key(&self) -> Option<Arc<RootKeySource>> {
        self.root_key.load_full()
    }

    /// The state directory as it is by now.
    pub(super) fn directory_now(&self) -> Result<StateDirectory, Refusal> {
        self.directory.reopened().map_err(Refusal::failed)
    }

    /// The right to move the root key.
    pub(super) fn moving(&self) -> MutexGuard<'_, ()> {
        self.moving.lock()
    }

    /// The store.
    pub fn store(&self) -> &Arc<SealedStore> {
        &self.store
    }

    /// The trust stores.
    pub fn trust(&self) -> &TrustStores {
        &self.trust
    }

    /// The state directory.
    pub fn directory(&self) -> &StateDirectory {
        &self.directory
    }

    /// Opens a value of the configuration that was encrypted for the place to which `path` leads.
    ///
    /// # Errors
    /// Where it was encrypted for another place, or elsewhere.
    pub fn open_value(&self, path: &str, ciphertext: &[u8]) -> Result<Secret, kms::Error> {
        let context = EncryptionContext::new().with(EncryptionContext::CONFIG_PATH, path);
        self.seal
            .get()?
            .decrypt(&Caller::Internal, ciphertext, &context)
    }

    /// Does what the user `peer` asks of keys and certificates.
    ///
    /// # Errors
    /// Why it was not done.
    pub fn handle(
        &self,
        peer: u32,
        request: Request,
        secret: Secret,
        progress: &dyn Fn(Step),
    ) -> Result<Answer, Refusal> {
        match request {
            Request::KmsCall { operation, force } => {
                let caller = self.caller(peer)?;
                if !force {
                    self.refuse_in_use(&caller, &operation, &secret)?;
                }
                self.call_kms(&caller, &operation, &secret)
            }
            other => Ok(self.do_on_store(other, secret, progress)?.into()),
        }
    }
}

impl Custody {
    /// Has an operation of the KMS done.
    fn call_kms(&self, caller: &Caller, operation: &str, input: &[u8]) -> Result<Answer, Refusal> {
        let answer = kms::api::call(&*self.kms()?, caller, operation, input)?;
        Ok(Answer {
            response: Response::KmsAnswered,
            secret: answer,
        })
    }

    /// Has the KMS say whether it would do it.
    fn try_kms(&self, caller: &Caller, operation: &str, input: &[u8]) -> Result<(), Refusal> {
        let mut trying = caller.clone();
        if let Caller::Outside(outside) = &mut trying {
            outside.options.dry_run = true;
        }
        match kms::api::call(&*self.kms()?, &trying, operation, input) {
            Err(refused) if refused.code != WOULD_HAVE_SUCCEEDED => Err(refused.into()),
            Err(_) | Ok(_) => Ok(()),
        }
    }

    /// Whoever owns the state directory or is root could read the root key, and is the account's root; the
    /// others are whom their user id is mapped to.
    fn caller(&self, peer: u32) -> Result<Caller, Refusal> {
        let owner = rustix::process::geteuid().as_raw();
        if peer == 0 || peer == owner {
            return Ok(Caller::local(self.directory.identity().root(), peer));
        }
        match self.kms()?.principal_of_uid(peer) {
            Some(principal) => Ok(Caller::local(principal, peer)),
            None => Err(nobody(peer)),
        }
    }

    fn do_on_store(
        &self,
        request: Request,
        secret: Secret,
        progress: &dyn Fn(Step),
    ) -> Result<Response, Refusal> {
        match request {
            Request::CertImport(import) => self.import(import, secret),
            Request::CertCsr(csr) => self.csr(csr),
            Request::CertDelete(delete) => self.delete(&delete),
            Request::StoreVerify => self.verify(progress),
            Request::AuditVerify { archived } => self.verify_audit(archived, progress),
            Request::TrustImport(import) => self.trust_import(&import),
            Request::StoreReseal { to_key } => self.reseal(to_key.as_deref(), progress),
            Request::TrustDelete { name, .. } => self.trust_delete(&name),
            Request::RootShow => self.root_show(),
            Request::RootMove(wanted) => self.root_move(wanted, secret, progress),
            Request::Seal => Ok(self.seal_kms()),
            Request::Unseal => self.unseal_kms(secret),
            Request::Status
            | Request::Reload
            | Request::Drain
            | Request::Explain(_)
            | Request::KmsCall { .. } => {
                Err(Refusal::failed("no balancer runs on this state directory"))
            }
        }
    }

    fn import(&self, import: CertImport, secret: Secret) -> Result<Response, Refusal> {
        let key = match secret.is_empty() {
            true => None,
            false => Some(PrivateKey::from_der(&secret, Encoding::Pkcs8).map_err(Refusal::failed)?),
        };
        drop(secret);
        let chain = import.chain.into_iter().map(|pem| (pem.source, pem.text));
        let imported = self.store.import(Import {
            name: import.name,
            chain_pem: chain.collect(),
            key,
            exportable: import.exportable,
            allow_expired: import.allow_expired,
            allow_name_change: import.allow_name_change,
        });
        let imported = imported.map_err(Refusal::failed)?;
        Ok(Response::Imported(Box::new(Imported {
            entry: self.entry(&imported.entry),
            remarks: imported.remarks,
            publication: None,
        })))
    }

    fn csr(&self, csr: CertCsr) -> Result<Response, Refusal> {
        let (_, pem) = self
            .store
            .create_csr(CsrRequest {
                key_type: csr.key_type.parse().map_err(Refusal::usage)?,
                name: csr.name,
                names: csr.names,
                exportable: csr.exportable,
            })
            .map_err(Refusal::failed)?;
        Ok(Response::CsrMade { pem })
    }

    fn delete(&self, delete: &CertDelete) -> Result<Response, Refusal> {
        let family = delete.family.as_deref().map(str::parse).transpose();
        let family: Option<KeyFamily> = family.map_err(Refusal::usage)?;
        let deleted = self
            .store
            .delete(&delete.name, family)
            .map_err(Refusal::failed)?;
        let what = deleted.iter().map(|one| match one.pending {
            true => format!("{} ({}, a request)", delete.name, one.family),
            false => format!("{} ({})", delete.name, one.family),
        });
        Ok(Response::Deleted {
            what: what.collect(),
        })
    }

    fn verify(&self, progress: &dyn Fn(Step)) -> Result<Response, Refusal> {
        let told = |done, total| progress(Step { done, total });
        let verification = self.store.verify(&told).map_err(Refusal::failed)?;
        let kms = self.kms()?;
        let records = kms.damaged().iter().map(|damaged| RefusedEntry {
            file: damaged.record.clone(),
            reason: damaged.error().to_string(),
        });
        Ok(Response::Verified(Verification {
            good: verification.good.len() as u64,
            bad: records.chain(verification.bad.iter().map(broken)).collect(),
            remarks: verification.remarks,
        }))
    }

    fn verify_audit(&self, archived: bool, progress: &dyn Fn(Step)) -> Result<Response, Refusal> {
        let kms = self.kms()?;
        let Some(log) = kms.audit_log() else {
            return Err(Refusal::failed("this process keeps no audit log"));
        };
        let told = |done, total| progress(Step { done, total });
        let found = log.verify(archived, &told).map_err(Refusal::failed)?;
        Ok(Response::AuditVerified(Box::new(verification(&found))))
    }

    fn reseal(&self, to: Option<&str>, progress: &dyn Fn(Step)) -> Result<Response, Refusal> {
        let to = to.map(str::parse).transpose().map_err(Refusal::usage)?;
        let told = |done, total| progress(Step { done, total });
        let moved = self.store.reseal(to.as_ref(), &told);
        let moved = moved.map_err(Refusal::failed)?;
        Ok(Response::Resealed(Resealed {
            kms_key: self.directory.identity().key_arn(moved.kms_key),
            backing_key: moved.backing_key,
            moved: moved.moved,
            unchanged: moved.unchanged,
            bad: moved.bad.iter().map(broken).collect(),
        }))
    }

    /// Refuses what would make entries of the store unreadable. Only who may do it at all hears of them: it is
    /// tried first, and that is written down like any call.
    fn refuse_in_use(&self, caller: &Caller, operation: &str, input: &[u8]) -> Result<(), Refusal> {
        if !PUTS_OUT_OF_USE.contains(&operation) {
            return Ok(());
        }
        self.try_kms(caller, operation, input)?;
        let input: serde_json::Value = serde_json::from_slice(input).unwrap_or_default();
        let key: Option<KeyRef> = input["KeyId"].as_str().and_then(|key| key.parse().ok());
        let kms = self.kms()?;
        // Who names no key is told so by the KMS.
        let Some(Ok(key)) = key.map(|key| kms.resolve(&key)) else {
            return Ok(());
        };
        let mut users = self.store.users_of(key).map_err(Refusal::failed)?;
        if users.is_empty() {
            return Ok(());
        }
        let more = users.len().saturating_sub(NAMED);
        users.truncate(NAMED);
        let more = if more > 0 {
            format!(" and {more} more")
        } else {
            String::new()
        };
        Err(Refusal::failed(format!(
            "KMS key {key} is in use by the certificate store: {}{more} would not open any more. Move the store \
             to another key first, by `sealgate store reseal --to-key KEY`, or insist with --force",
            users.join(", ")
        )))
    }

    fn trust_import(&self, import: &TrustImport) -> Result<Response, Refusal> {
        let bundle = [(import.pem.source.clone(), import.pem.text.clone())];
        let imported = self.trust.import(&import.name, &bundle, SystemTime::now());
        let (store, remarks) = imported.map_err(Refusal::failed)?;
        Ok(Response::Trusted {
            certificates: store.certificates.len(),
            remarks,
        })
    }

    fn trust_delete(&self, name: &str) -> Result<Response, Refusal> {
        self.trust.delete(name).map_err(Refusal::failed)?;
        Ok(Response::Deleted {
            what: vec![name.to_owned()],
        })
    }

    fn entry(&self, summary: &EntrySummary) -> super::protocol::Entry {
        entry(summary, self.directory.identity())
    }
}

/// Operations after which a KMS key decrypts nothing.
const PUTS_OUT_OF_USE: [&str; 3] = [
    "DeleteImportedKeyMaterial",
    "DisableKey",
    "ScheduleKeyDeletion",
];
/// What the KMS answers who only tries.
const WOULD_HAVE_SUCCEEDED: &str = "DryRunOperationException";
/// As many are named of those that need a key.
const NAMED: usize = 10;

fn nobody(uid: u32) -> Refusal {
    Refusal {
        code: Some("AccessDeniedException".into()),
        ..Refusal::failed(format!(
            "user id {uid} is nobody to this KMS: its administrator makes it somebody by `sealgate kms \
             identity map-uid PRINCIPAL {uid}`"
        ))
    }
}
