//! TLS towards clients and towards targets.

mod anybody;
pub(crate) mod failures;
mod policy;
mod resolver;
mod server;
mod ticketer;

pub(crate) use anybody::Anybody;
pub use resolver::{ANY_CLIENT, CertLookup, NoCertificate};
pub(crate) use server::ALPN_H2;
pub use server::ServerTls;
pub use ticketer::{ClientAuthentication, Ticketer, Ticketers};
