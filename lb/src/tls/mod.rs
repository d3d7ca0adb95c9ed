//! TLS towards clients and towards targets.
