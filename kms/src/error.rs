//! What can go wrong in a KMS, each with what to do about it.

mod code;

use std::io;
use std::path::PathBuf;

use crate::access_key::AccessKeyId;
use crate::key::{Identity, KeyId, KeyOrigin};
use crate::material::MaterialError;
use crate::policy::Explanation;
use crate::principal::Principal;
use crate::quota::QuotaGroup;
use crate::root_key::{Needs, RootError};
use crate::spec::{KeySpec, KeyUsage};

/// An error of the KMS, its storage or its state directory.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It was only tried.
    #[error("the request would have succeeded, but it is a dry run: nothing was done")]
    DryRun,
    /// The text names no key.
    #[error(
        "`{0}` does not name a KMS key: write a key id (UUID), a key ARN, `alias/NAME` or an alias ARN"
    )]
    InvalidKeyRef(String),
    /// Account or region have not the form that an ARN allows.
    #[error(
        "`{found}` is no {what}: an account has 12 digits, a region up to 32 lower-case letters, digits and hyphens"
    )]
    InvalidIdentity {
        /// `account` or `region`.
        what: &'static str,
        /// What was given.
        found: String,
    },
    /// The text names no principal.
    #[error(
        "`{0}` is no principal: write `arn:aws:iam::ACCOUNT:root`, `arn:aws:iam::ACCOUNT:user/NAME` or \
         `arn:aws:iam::ACCOUNT:role/NAME`"
    )]
    InvalidPrincipal(String),
    /// The text names no action.
    #[error("`{0}` is no action of the KMS: write `kms:Decrypt`, for instance")]
    InvalidAction(String),
    /// A policy document is not well formed.
    #[error("the policy is malformed at {at}: {why}")]
    MalformedPolicy {
        /// Where in the document: `Statement[0].Effect`.
        at: String,
        /// What is wrong there.
        why: String,
    },
    /// With this policy its author could not change it again.
    #[error(
        "the new key policy would not allow {0} to change it again: allow it kms:PutKeyPolicy, or \
         waive this check"
    )]
    PolicyLockOut(Principal),
    /// A policy or a grant names somebody who is not here.
    #[error(
        "{0} is no user or role that this KMS knows: `sealgate kms identity list` shows those that there are"
    )]
    IdentityNotFound(Principal),
    /// The identity is there already.
    #[error("{0} exists already")]
    IdentityExists(Principal),
    /// The identity cannot be removed: a later one of that name would inherit its rights.
    #[error("{identity} is named by {by}: take it out of there first")]
    IdentityInUse {
        /// Who was to be removed.
        identity: Principal,
        /// A key's policy or a grant.
        by: String,
    },
    /// What was to be done with an identity makes no sense.
    #[error("{identity}: {why}")]
    InvalidIdentityChange {
        /// The identity.
        identity: Principal,
        /// What is wrong.
        why: String,
    },
    /// The access key that somebody brings is malformed.
    #[error("{0}")]
    InvalidAccessKey(&'static str),
    /// No such access key here.
    #[error(
        "The Access Key with id {0} cannot be found. `sealgate kms identity list-access-keys` shows those that \
         there are"
    )]
    AccessKeyNotFound(AccessKeyId),
    /// Somebody has that access key already.
    #[error("there is an access key {0} already: give another, or none to have one made")]
    AccessKeyExists(AccessKeyId),
    /// A user has two access keys at most: one that is used, and the one that takes its place.
    #[error("{0} has 2 access keys already: delete the one that nobody uses")]
    TooManyAccessKeys(Principal),
    /// The grant is not well formed.
    #[error("this makes no grant: {0}")]
    InvalidGrant(String),
    /// No such grant here.
    #[error("there is no grant `{0}` here")]
    GrantNotFound(String),
    /// The key has no room for another.
    #[error("KMS key {0} has 50,000 grants already: retire or revoke those that nobody needs")]
    TooManyGrants(KeyId),
    /// The caller may not do that.
    #[error("{0}; `sealgate kms explain` says more")]
    AccessDenied(Box<Explanation>),
    /// The caller may not do that, whatever policies say.
    #[error("{principal} may not {what}: only the root of the account may")]
    RootOnly {
        /// Who asked.
        principal: Principal,
        /// For what.
        what: &'static str,
    },
    /// Who asks is no running instance of a service.
    #[error("only a service identity that names its running instance may do this")]
    NoInstance,
    /// The alias is malformed.
    #[error("`{0}` is no alias: write `alias/` and letters, digits, `/`, `_` or `-`")]
    InvalidAlias(String),
    /// An outside caller wanted an alias of the product's own.
    #[error(
        "the alias `{0}` is reserved: aliases under `alias/sealgate/` are the product's own, those under `alias/aws/` AWS's"
    )]
    ReservedAlias(String),
    /// A managed key is changed by the product only.
    #[error("KMS key {0} is managed: the product itself rotates and changes it")]
    ManagedKey(KeyId),
    /// The description is too long.
    #[error("a description of {0} bytes is too long (at most 8,192)")]
    DescriptionTooLong(usize),
    /// The key is disabled.
    #[error("{0} is disabled. `sealgate kms key enable` enables it")]
    Disabled(String),
    /// The key is to be deleted.
    #[error("{0} is pending deletion. `sealgate kms key cancel-deletion` takes that back")]
    PendingDeletion(String),
    /// Nothing is to be taken back.
    #[error("{0} is not pending deletion.")]
    NotPendingDeletion(String),
    /// The key has no material, or not all of it.
    #[error("{0} is pending import. Import its key material, the same as before where it had some")]
    PendingImport(String),
    /// The key was made for something else.
    #[error("{arn} key usage is {usage} which is not valid for {operation}.")]
    KeyUsage {
        /// The key.
        arn: String,
        /// What it is for.
        usage: KeyUsage,
        /// What was wanted of it.
        operation: &'static str,
    },
    /// Keys of another origin only can do that.
    #[error("{arn} origin is {origin} which is not valid for this operation.")]
    Origin {
        /// The key.
        arn: String,
        /// Its origin.
        origin: KeyOrigin,
    },
    /// Keys of another spec only can do that.
    #[error("{arn} key spec is {spec} which is not valid for this operation.")]
    Spec {
        /// The key.
        arn: String,
        /// Its spec.
        spec: KeySpec,
    },
    /// A new key must be said to be for something.
    #[error("You must specify a KeyUsage value for a KMS key of the key spec {0}.")]
    UsageMissing(KeySpec),
    /// Another key than the one that was named.
    #[error("The key ID in the request does not identify a CMK that can perform this operation.")]
    IncorrectKey,
    /// The waiting time before a deletion.
    #[error("a key waits 7 to 30 days for its deletion, not {0}")]
    PendingWindow(u32),
    /// The time between rotations.
    #[error("a key is rotated every 90 to 2,560 days, not {0}")]
    RotationPeriod(u32),
    /// A key is rotated on demand 25 times.
    #[error(
        "The on-demand rotations limit has been reached for the given keyId. No more on-demand \
         rotations can be performed for this key: {0}"
    )]
    TooManyRotations(String),
    /// No imported material waits for a rotation.
    #[error(
        "{0} has no key material that waits for a rotation: import some as new key material first"
    )]
    NothingToRotate(String),
    /// No room for another key.
    #[error("there are 100,000 customer keys already: delete those that nobody needs")]
    TooManyKeys,
    /// No room for another alias.
    #[error("{0} has 50 aliases already: delete those that nobody needs")]
    TooManyAliases(String),
    /// No such alias.
    #[error("Alias {0} is not found.")]
    AliasNotFound(String),
    /// An alias moves only between keys of one kind.
    #[error(
        "{alias} points to a key of another kind: it can be pointed to keys of the spec {spec} for \
         {usage} only"
    )]
    AliasOfOtherKind {
        /// The alias.
        alias: String,
        /// The spec of the key that it points to.
        spec: KeySpec,
        /// What that key is for.
        usage: KeyUsage,
    },
    /// A tag that cannot be.
    #[error("{0}")]
    InvalidTag(String),
    /// So many bytes are not given out.
    #[error("{found} bytes of randomness are out of range: ask for 1 to 1,024")]
    NumberOfBytes {
        /// How many were wanted.
        found: usize,
    },
    /// A message is too long to be signed.
    #[error("a message of {0} bytes is too long (at most 4,096): hash it, and give the digest")]
    MessageTooLong(usize),
    /// The import token is not one of this key here.
    #[error(
        "the import token is none that this KMS gave out for this key: get parameters for import anew"
    )]
    InvalidImportToken,
    /// The import token is old.
    #[error("the import token has expired: get parameters for import anew")]
    ExpiredImportToken,
    /// Only the material that a key had before may come back.
    #[error(
        "the key material is not the one that {0} had before: what was encrypted under that would not \
         open"
    )]
    IncorrectKeyMaterial(String),
    /// Material that is to expire in the past, or never although a time is given.
    #[error("key material that expires does so within 365 days from now")]
    InvalidExpiry,
    /// A multi-region key's part cannot do that.
    #[error("{arn}: {why}")]
    MultiRegion {
        /// The key.
        arn: String,
        /// What is wrong.
        why: &'static str,
    },
    /// A replica's export is not one, or for another region or under another key.
    #[error("the replica does not open here: {0}")]
    InvalidReplica(&'static str),
    /// The alias points elsewhere already.
    #[error("{alias} points to key {key} already")]
    AliasExists {
        /// The alias.
        alias: String,
        /// The key that it points to.
        key: KeyId,
    },
    /// No such key here.
    #[error("there is no KMS key `{0}` here: `sealgate kms key list` shows those that there are")]
    KeyNotFound(String),
    /// The key is there, this generation of it is not.
    #[error(
        "KMS key {key} has no backing key number {number}: the message is newer than this key \
         database, which looks like a restored backup"
    )]
    BackingKeyNotFound {
        /// The key.
        key: KeyId,
        /// The generation.
        number: u32,
    },
    /// The message does not open.
    #[error(
        "the ciphertext does not open under KMS key {0}: it, its encryption context or its owner is \
         not what was sealed"
    )]
    InvalidCiphertext(KeyId),
    /// The bytes are no message at all.
    #[error("not a ciphertext of this KMS: it is cut, or of a later version")]
    MalformedCiphertext,
    /// Direct encryption is for small things.
    #[error("{0} bytes are too many to encrypt directly (at most 4,096): use a data key")]
    PlaintextTooLong(usize),
    /// An outside caller used the product's own context.
    #[error("the encryption-context key `{0}` is reserved: only the balancer itself may use it")]
    ReservedContext(String),
    /// The root key file is not there.
    #[error(
        "the root key file {} is missing: restore it from where you keep it; without it nothing in \
         this state directory opens", .0.display()
    )]
    RootKeyMissing(PathBuf),
    /// The root key file can be read by others.
    #[error(
        "the root key file {} has mode {mode:04o}, so that others may read it: chmod 0600 it, and \
         think about who read it", path.display()
    )]
    RootKeyExposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The root key file belongs to somebody else.
    #[error(
        "the root key file {} belongs to user id {owner}, not to this process (user id {process}): \
         run this as that user: {}", path.display(), crate::user::command_as(*owner)
    )]
    RootKeyOwner {
        /// The file.
        path: PathBuf,
        /// Its owner.
        owner: u32,
        /// The process's effective user id.
        process: u32,
    },
    /// The file holds no root key.
    #[error(
        "{} is not a root key file of version 1 ({why}): restore it from where you keep it",
        path.display()
    )]
    RootKeyMalformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: &'static str,
    },
    /// The file holds another root key.
    #[error(
        "the root key from {place} does not open this key database: its fingerprint is {found}, and \
         {expected} is needed"
    )]
    WrongRootKey {
        /// Where the key came from.
        place: String,
        /// Fingerprint of the key at hand.
        found: String,
        /// Fingerprint of the key that sealed the database.
        expected: String,
    },
    /// The root key is not at hand, so that nothing opens.
    #[error("the key management service is sealed: {0}; `sealgate kms unseal` opens it")]
    Sealed(Needs),
    /// A root key cannot be had, or not be made.
    #[error(transparent)]
    Root(Box<RootError>),
    /// A root key must not lie beside what it protects.
    #[error(
        "the root key {} would lie inside the state directory {}, and with it in every backup: put \
         it elsewhere", path.display(), state.display()
    )]
    RootKeyInside {
        /// The root key file.
        path: PathBuf,
        /// The state directory.
        state: PathBuf,
    },
    /// The root key's name is a link to nothing.
    #[error(
        "the root key {} is a symbolic link to {}, where nothing is: put the root key there first, or \
         name that file itself", path.display(), to.display()
    )]
    RootKeyDangling {
        /// The link.
        path: PathBuf,
        /// What it leads to.
        to: PathBuf,
    },
    /// A file that must not be overwritten is there.
    #[error("{} exists already and is left as it is: {fix}", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
        /// What to do.
        fix: &'static str,
    },
    /// A record of the key database is not what was written.
    #[error(
        "the record `{record}` of the key database was changed, cut, moved or belongs to another \
         database ({why}): restore it from a backup"
    )]
    DamagedRecord {
        /// The record's name.
        record: String,
        /// What was seen.
        why: &'static str,
    },
    /// There is no state here.
    #[error("{} is not a state directory: `sealgate init --state {}` makes one", .0.display(), .0.display())]
    NoStateDirectory(PathBuf),
    /// Others can write in the state directory.
    #[error(
        "{} has mode {mode:04o}, so that others can put files of theirs there: `chmod go-w {}`, and look \
         at what is in it", path.display(), path.display()
    )]
    StateExposed {
        /// The directory.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The state is there, and its manifest is not.
    #[error(
        "{} has a key database but no manifest.json: restore it from a backup; where there is none, or \
         `sealgate init` was cut short, `sealgate init --state {}` (with the --root-key, --account and \
         --region that it was made with) writes it", .0.display(), .0.display()
    )]
    ManifestMissing(PathBuf),
    /// What the store's entries belong to is lost.
    #[error(
        "{} has entries in store/, but not the manifest.json and key database that they belong to: \
         restore those from a backup, or move store/ away and import the certificates again",
        .0.display()
    )]
    StoreOrphaned(PathBuf),
    /// The key database does not open under this account and region.
    #[error(
        "the key database does not open for account {} and region `{}`: it was made for another region \
         or account (give those, or restore manifest.json from a backup), or its record `database` was \
         changed (restore that)", .0.account, .0.region
    )]
    OtherIdentity(Identity),
    /// The manifest cannot be understood.
    #[error("the manifest {} cannot be read: {why}", path.display())]
    Manifest {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Another process is the writer.
    #[error("the state directory {} is in use by {holder}", path.display())]
    Locked {
        /// The directory.
        path: PathBuf,
        /// The process that holds the lock, as far as it is known.
        holder: String,
    },
    /// The lock file is not one: it would lead to another file, and that one would be overwritten.
    #[error("the lock {} {why}: find out who made it, and remove it", path.display())]
    LockFile {
        /// The file.
        path: PathBuf,
        /// What it is instead.
        why: &'static str,
    },
    /// The state directory is another user's.
    #[error(
        "the state directory {} belongs to user id {owner}, not to this process (user id {process}): \
         run this as that user: {}", path.display(), crate::user::command_as(*owner)
    )]
    StateOwner {
        /// The directory.
        path: PathBuf,
        /// Its owner.
        owner: u32,
        /// The process's effective user id.
        process: u32,
    },
    /// A record is not in the state that the writer had seen.
    #[error("the record `{0}` was changed by somebody else in the meantime: try again")]
    Conflict(String),
    /// The name cannot be a record's.
    #[error("`{0}` cannot be the name of a record")]
    InvalidRecordName(String),
    /// A directory, a device or the like stands in a record's place.
    #[error(
        "{} is not a regular file: it was not written here; look what it is, and move it away",
        .0.display()
    )]
    NotARecord(PathBuf),
    /// No record is that long.
    #[error(
        "{} is longer than any record (4 MiB): it was not written here; remove it or restore it \
         from a backup", .0.display()
    )]
    RecordTooLong(PathBuf),
    /// Key material cannot be made, read or used.
    #[error(transparent)]
    Material(#[from] MaterialError),
    /// The principal calls too often.
    #[error(
        "{principal} calls too often: {quota} {} are allowed in a second; call less often, or raise the \
         quota in `kms.quotas`", group.name()
    )]
    Throttled {
        /// Who calls.
        principal: Principal,
        /// What.
        group: QuotaGroup,
        /// How many in a second.
        quota: u32,
    },
    /// There is an audit log, and the key database does not know it.
    #[error(
        "{} holds an audit log that the key database knows nothing of: it is of another database, or the \
         database is older than the log; restore the database, or move the log away", .0.display()
    )]
    AuditLogUnknown(PathBuf),
    /// A call has no record in the audit log, and is not answered without one.
    #[error(
        "the audit log in {} cannot be written ({why}): no key is used until it can; make room there, and \
         it goes on by itself", directory.display()
    )]
    AuditLog {
        /// Its directory.
        directory: PathBuf,
        /// What the system said.
        why: String,
    },
    /// The file system said no.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl Error {
    pub(crate) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }
}
