//! The sealed certificate store: a certificate's life from import to the handshake that serves it.

mod bytes;
pub mod ca;
mod certificate;
mod certified;
mod entry;
mod error;
mod format;
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
mod table;
#[cfg(test)]
mod testing;
pub mod trust;
pub mod watch;

pub use certificate::CertificateInfo;
pub use entry::EntrySummary;
pub use error::{BrokenEntry, Error};
pub use key_type::{KeyFamily, KeyType};
pub use name::EntryName;
pub use private_key::{Encoding, PrivateKey};
pub use served::ServedCertificate;
pub use store::{CsrRequest, Deleted, Import, Imported, SealedStore, Verification};
pub use table::{CertTable, ClientOffer};
pub use watch::{Change, Watcher};
