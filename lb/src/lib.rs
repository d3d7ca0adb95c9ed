//! A TLS-offloading layer-7 load balancer that serves from a sealed certificate store.
//!
//! The life of a request, by file name:
//!
//! ```text
//! listener -> connection -> tls -> http -> router -> target_group -> balance -> upstream -> access_log
//! ```

pub mod access_log;
pub mod action;
pub mod admin;
pub mod app;
pub mod authority;
pub mod balance;
pub mod bench;
pub mod commands;
pub mod connection;
pub mod downstream;
pub mod drain;
pub mod error;
pub mod exchange;
pub mod explain;
pub mod forward;
pub mod headers;
pub mod health;
pub mod http;
pub mod in_use;
pub mod listener;
pub mod metrics;
pub mod path;
pub mod proof;
pub mod proxy_protocol;
pub mod published;
pub mod request;
pub mod router;
pub mod target_group;
#[cfg(test)]
mod testing;
pub mod tls;
pub mod upstream;
pub mod worker;
