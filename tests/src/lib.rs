//! The harness of the end-to-end suite: real targets, real clients, real certificates.
