//! The admin socket and the admin HTTP endpoint of a running balancer, and the commands' way to them.
//!
//! A running balancer is the only writer of its state directory: commands that write or use keys ask
//! it over a Unix socket ([`client`], [`socket`]), and do the same work in their own process
//! ([`custody`]) only while nobody holds the directory's lock.

pub mod client;
pub mod control;
pub mod custody;
pub mod describe;
pub mod http;
pub mod place;
pub mod protocol;
pub mod rendezvous;
pub mod roots;
pub mod server;
pub mod socket;
pub mod supervisor;
pub mod wire;

pub use control::Control;
