//! Connections to targets: connect, pool, retry.
