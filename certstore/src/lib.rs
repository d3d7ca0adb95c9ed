//! The sealed certificate store: a certificate's life from import to the handshake that serves it.
//!
//! # The life of a sealed entry
//!
//! 1. **Import.** [`pem::read`] takes a user's files apart; a key becomes a [`PrivateKey`], PKCS#8 in
//!    memory that is wiped. [`SealedStore::import`] finds the key's certificate, puts its chain in
//!    order, and checks dates and names, before anything is written. Or the key is born here:
//!    [`SealedStore::create_csr`] seals it and hands out a request.
//! 2. **Seal.** A data key for this one write is derived from the store's bucket key, which the KMS has
//!    wrapped under its own key and bound to store and region, and which is replaced every day; or, without
//!    bucket keys, the KMS gives a data key bound to store, region and entry. The private key is encrypted under the data key; everything else in the entry is its
//!    additional data, byte for byte. Then the data key is wiped.
//! 3. **Open.** [`SealedStore::open_all`] at a start, and the [`Watcher`] ever after, read a file,
//!    check that it is what its name says and of this store and region, have the KMS unwrap the data
//!    key, or the bucket key of many entries at once, decrypt, and check that key and certificate belong together.
//! 4. **Serve.** What comes of it, a [`ServedCertificate`], stands in a [`CertTable`], a value from
//!    which each handshake takes the best one that its client understands. Of the private key only
//!    the copy in use remains, inside the cryptographic library.
//! 5. **Replace.** A changed file makes a new table, published whole. A broken one is reported by its
//!    name and changes nothing; one that is older than what is served is refused.
//!
//! # What is on disk
//!
//! One record for each entry and family of keys; a request waits in a record of its own, beside the
//! certificate that serves. `shop.example.com.e` is the entry `shop.example.com` with an ECDSA key,
//! `+.example.com~r` a request for `*.example.com` with an RSA key. Bucket keys have records beside them,
//! `ID.bucket`; nothing deletes one that an entry needs. The formats are written down byte
//! by byte in `format.rs`, `bucket/record.rs` and [`trust`].
//!
//! # What this crate does not do
//!
//! It never writes a private key in the clear, nor hands one out. It does not judge whether clients
//! will trust a certificate: it remarks on what they usually refuse. A directory that is rolled back
//! as a whole while nothing runs is not noticed.

mod bucket;
mod bytes;
pub mod ca;
mod certificate;
mod certified;
mod entry;
mod error;
mod format;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod host;
mod import;
mod key_type;
mod name;
pub mod pem;
mod private_key;
mod request;
mod seal;
mod served;
mod store;
mod store_key;
mod table;
#[cfg(test)]
mod testing;
pub mod trust;
mod watch;
mod wrapping;

pub use certificate::CertificateInfo;
pub use entry::EntrySummary;
pub use error::{BrokenEntry, Error};
pub use key_type::{KeyFamily, KeyType, UnknownKeyType};
pub use name::EntryName;
pub use private_key::{Encoding, PrivateKey};
pub use request::host_name;
pub use served::ServedCertificate;
pub use store::{
    CsrRequest, Deleted, Import, Imported, Resealed, SealedStore, Verification, chain, list, show,
};
pub use table::{CertTable, ClientOffer};
pub use watch::{Change, Watcher};
pub use wrapping::KmsCalls;
