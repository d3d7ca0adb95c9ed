//! Sealing and unsealing: the only file in which a private key meets a data key.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use kms::aead::{self, NONCE_LEN};
use kms::storage::Storage;
use kms::{DataKey, EncryptionContext, SecretKey};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::bucket::BucketKeys;
use crate::error::Error;
use crate::format::{self, Content, DataKeySource, Header, SALT_LEN, SealedEntry, derive_data_key};
use crate::name::EntryFile;
use crate::private_key::PrivateKey;
use crate::wrapping::{NO_CIPHERTEXT, Wrapping, check_home};

/// What seals and unseals the entries of one store.
pub(crate) struct Sealer {
    pub(crate) wrapping: Wrapping,
    pub(crate) buckets: BucketKeys,
    /// Whether new entries get their keys from a bucket key.
    pub(crate) derives: AtomicBool,
}

/// An entry to be sealed.
pub(crate) struct Draft<'a> {
    pub(crate) file: &'a EntryFile,
    pub(crate) version: u64,
    pub(crate) exportable: bool,
    pub(crate) content: Content<'a>,
    pub(crate) key: &'a PrivateKey,
}

/// The key of one entry.
enum EntryKey {
    Wrapped(DataKey),
    Derived(SecretKey),
}

impl EntryKey {
    fn key(&self) -> &SecretKey {
        match self {
            Self::Wrapped(key) => key.key(),
            Self::Derived(key) => key,
        }
    }
}

impl Sealer {
    pub(crate) fn new(storage: Arc<dyn Storage>, wrapping: Wrapping) -> Self {
        Self {
            wrapping,
            buckets: BucketKeys::new(storage),
            derives: AtomicBool::new(true),
        }
    }

    /// A sealed entry's bytes, with a salt, a data key and a nonce of its own.
    pub(crate) fn seal(&self, draft: Draft<'_>) -> Result<Vec<u8>, Error> {
        let name = draft.file.name.as_str();
        let environment = &self.wrapping.environment;
        let salt = environment.random_bytes();
        let (source, key, wrapped) = self.fresh_key(name, &salt)?;
        let header = Header {
            store: self.wrapping.store,
            region: &self.wrapping.region,
            name,
            key_type: draft.key.key_type(),
            exportable: draft.exportable,
            version: draft.version,
            written: environment.clock.now(),
            content: draft.content,
            source,
            salt,
        };
        let header = header.encode();
        let nonce: [u8; NONCE_LEN] = environment.random_bytes();
        let mut payload: Zeroizing<Box<[u8]>> = Zeroizing::new(draft.key.expose_pkcs8().into());
        let tag = aead::seal(key.key(), &nonce, &header, &mut payload);
        let wrapped = wrapped.as_deref();
        Ok(format::assemble(header, wrapped, &nonce, &payload, &tag))
    }

    /// Takes apart the content of `file` and checks, without any key, that it belongs there.
    pub(crate) fn read<'a>(&self, file: &str, bytes: &'a [u8]) -> Result<SealedEntry<'a>, Error> {
        read(file, bytes, self.wrapping.store, &self.wrapping.region)
    }

    /// The private key of an entry that has been read, PKCS#8 in DER, in memory of its size.
    pub(crate) fn unseal(&self, entry: &SealedEntry<'_>) -> Result<Zeroizing<Box<[u8]>>, Error> {
        let key = self.key_of(entry)?;
        let mut payload: Zeroizing<Box<[u8]>> = Zeroizing::new(entry.ciphertext.into());
        let opened = aead::open(key.key(), entry.nonce, entry.clear, &mut payload, entry.tag);
        opened.map_err(|_| Error::Tampered)?;
        Ok(payload)
    }

    /// The wrapped data key of an entry, wrapped anew under the key for new entries.
    pub(crate) fn rewrap(&self, entry: &SealedEntry<'_>) -> Result<Vec<u8>, Error> {
        let wrapped = entry.wrapped.ok_or(NO_CIPHERTEXT)?;
        self.wrapping
            .rewrap(wrapped, &self.context(entry.header.name))
    }

    /// A key for one write of the entry `name`: where it comes from, and what to store of it.
    fn fresh_key(
        &self,
        name: &str,
        salt: &[u8; SALT_LEN],
    ) -> Result<(DataKeySource, EntryKey, Option<Vec<u8>>), Error> {
        if !self.derives.load(Relaxed) {
            let (key, wrapped) = self.wrapping.generate(&self.context(name))?;
            let wrapped = wrapped.as_bytes().to_vec();
            return Ok((
                DataKeySource::Wrapped,
                EntryKey::Wrapped(key),
                Some(wrapped),
            ));
        }
        let (id, bucket) = self.buckets.issue(&self.wrapping)?;
        let key = derive_data_key(bucket.key(), salt, self.wrapping.store, name);
        Ok((DataKeySource::Derived(id), EntryKey::Derived(key), None))
    }

    fn key_of(&self, entry: &SealedEntry<'_>) -> Result<EntryKey, Error> {
        let header = &entry.header;
        match header.source {
            DataKeySource::Wrapped => {
                let wrapped = entry.wrapped.ok_or(NO_CIPHERTEXT)?;
                let context = self.context(header.name);
                self.wrapping
                    .unwrap(wrapped, &context)
                    .map(EntryKey::Wrapped)
            }
            DataKeySource::Derived(id) => {
                let bucket = self.buckets.open(&self.wrapping, id)?;
                let key = derive_data_key(bucket.key(), &header.salt, header.store, header.name);
                Ok(EntryKey::Derived(key))
            }
        }
    }

    /// What a wrapped data key is bound to.
    fn context(&self, name: &str) -> EncryptionContext {
        self.wrapping.context().with("sealgate:entry", name)
    }
}

/// Takes apart the content of `file` and checks, without any key, that it belongs there and to the
/// store `store` in `region`.
pub(crate) fn read<'a>(
    file: &str,
    bytes: &'a [u8],
    store: Uuid,
    region: &str,
) -> Result<SealedEntry<'a>, Error> {
    let place = EntryFile::parse(file).ok_or(Error::NotAnEntry)?;
    let entry = format::parse(bytes)?;
    check_place(&place, &entry.header)?;
    check_home((entry.header.store, entry.header.region), (store, region))?;
    Ok(entry)
}

/// An entry's file name says the same as its header.
fn check_place(place: &EntryFile, header: &Header<'_>) -> Result<(), Error> {
    let pending = matches!(header.content, Content::Request(_));
    let same = place.name.as_str() == header.name
        && place.family == header.key_type.family()
        && place.pending == pending;
    if same {
        return Ok(());
    }
    Err(Error::Renamed(header.name.escape_debug().to_string()))
}
