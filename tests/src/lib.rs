//! The harness of the end-to-end suite: the real binary, real targets, real clients, real certificates.
//!
//! A test reads as a scenario: a [`Testbed`] is a directory with a state directory in it, [`Balancer`] a
//! running `sealgate run`, [`Nginx`] a target. Nothing waits by sleeping: [`eventually`] waits for an
//! event under a deadline.

mod balancer;
mod client;
mod nginx;
mod pki;
mod process;
mod store;
mod testbed;

pub use balancer::Balancer;
pub use client::{Answer, Session, TlsClient, curl};
pub use nginx::Nginx;
pub use pki::{Authority, Issued, KeyKind, openssl};
pub use process::{Process, eventually, free_port};
pub use store::{import, open_store, open_store_at};
pub use testbed::{Outcome, Testbed, sealgate_binary};
