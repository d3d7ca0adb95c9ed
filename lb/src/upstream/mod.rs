//! Connections to targets: how they are made, kept, shared out and given back.
//!
//! Each target has a pool, and in it each worker thread a part of its own: a request takes the connection
//! that was used last by its own worker, without waiting for anybody. Only where a target's
//! `max_connections` is reached do workers look at each other's.

pub mod connect;
pub mod http1;
pub mod pool;
pub mod request_body;
pub mod tls;
