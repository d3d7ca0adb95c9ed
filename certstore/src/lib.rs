//! The sealed certificate store: a certificate's life from import to the handshake that serves it.

mod key_type;
mod served;
mod table;

pub use key_type::{KeyFamily, KeyType};
pub use served::ServedCertificate;
pub use table::{CertTable, ClientOffer};
