//! Sealing and unsealing: the only file in which a private key meets a data key.

use kms::aead::{self, NONCE_LEN};
use kms::service::Caller;
use kms::{EncryptionContext, Environment, KeyRef, Kms, WrappedKey};
use std::sync::Arc;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::error::Error;
use crate::format::{self, Content, Header, SealedEntry};
use crate::name::EntryFile;
use crate::private_key::PrivateKey;

/// What seals and unseals the entries of one store.
pub(crate) struct Sealer {
    pub(crate) kms: Arc<Kms>,
    /// The KMS key that wraps data keys.
    pub(crate) key: KeyRef,
    pub(crate) store: Uuid,
    pub(crate) region: String,
    pub(crate) environment: Environment,
}

/// An entry to be sealed.
pub(crate) struct Draft<'a> {
    pub(crate) file: &'a EntryFile,
    pub(crate) version: u64,
    pub(crate) exportable: bool,
    pub(crate) content: Content<'a>,
    pub(crate) key: &'a PrivateKey,
}

impl Sealer {
    /// A sealed entry's bytes, with a salt, a data key and a nonce of its own.
    pub(crate) fn seal(&self, draft: Draft<'_>) -> Result<Vec<u8>, Error> {
        let name = draft.file.name.as_str();
        let header = Header {
            store: self.store,
            region: &self.region,
            name,
            key_type: draft.key.key_type(),
            exportable: draft.exportable,
            version: draft.version,
            written: self.environment.clock.now(),
            content: draft.content,
            salt: self.environment.random_bytes(),
        };
        let header = header.encode();
        let context = self.context(name);
        let (data_key, wrapped) =
            self.kms
                .generate_data_key(&Caller::Internal, &self.key, &context)?;
        let nonce: [u8; NONCE_LEN] = self.environment.random_bytes();
        let mut payload: Zeroizing<Box<[u8]>> = Zeroizing::new(draft.key.expose_pkcs8().into());
        let tag = aead::seal(data_key.key(), &nonce, &header, &mut payload);
        Ok(format::assemble(
            header,
            wrapped.as_bytes(),
            &nonce,
            &payload,
            &tag,
        ))
    }

    /// Takes apart the content of `file` and checks, without any key, that it belongs there.
    pub(crate) fn read<'a>(&self, file: &str, bytes: &'a [u8]) -> Result<SealedEntry<'a>, Error> {
        read(file, bytes, self.store, &self.region)
    }

    /// The private key of an entry that has been read, PKCS#8 in DER, in memory of its size.
    pub(crate) fn unseal(&self, entry: &SealedEntry<'_>) -> Result<Zeroizing<Box<[u8]>>, Error> {
        let wrapped = WrappedKey::from_bytes(entry.wrapped.to_vec());
        self.check_key(&wrapped)?;
        let context = self.context(entry.header.name);
        let data_key = self
            .kms
            .open_data_key(&Caller::Internal, &wrapped, &context);
        let data_key = data_key.map_err(|error| match error {
            kms::Error::InvalidCiphertext(_) => Error::Tampered,
            other => other.into(),
        })?;
        let mut payload: Zeroizing<Box<[u8]>> = Zeroizing::new(entry.ciphertext.into());
        let opened = aead::open(
            data_key.key(),
            entry.nonce,
            entry.clear,
            &mut payload,
            entry.tag,
        );
        opened.map_err(|_| Error::Tampered)?;
        Ok(payload)
    }

    /// An entry whose data key another KMS key wrapped is not the store's, even if that key is here.
    fn check_key(&self, wrapped: &WrappedKey) -> Result<(), Error> {
        let found = wrapped
            .header()
            .ok_or(Error::Malformed("its data key is no ciphertext of the KMS"))?;
        let configured = self.kms.resolve(&self.key)?;
        if found.key_id == configured {
            return Ok(());
        }
        Err(match self.kms.resolve(&KeyRef::Id(found.key_id)) {
            Err(kms::Error::KeyNotFound(_)) => Error::ForeignKms(found.key_id),
            Err(damaged) => damaged.into(),
            Ok(_) => Error::ForeignKey {
                found: found.key_id,
                configured,
            },
        })
    }

    /// What a data key is bound to; it stands in the KMS's audit log.
    fn context(&self, name: &str) -> EncryptionContext {
        EncryptionContext::new()
            .with("sealgate:store", self.store.to_string())
            .with("sealgate:region", self.region.as_str())
            .with("sealgate:entry", name)
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
    if entry.header.store != store {
        return Err(Error::ForeignStore {
            found: entry.header.store,
            here: store,
        });
    }
    if entry.header.region != region {
        return Err(Error::ForeignRegion {
            found: entry.header.region.escape_debug().to_string(),
            here: region.to_owned(),
        });
    }
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
