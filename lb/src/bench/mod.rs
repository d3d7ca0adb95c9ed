//! The load generator behind `sealgate bench`.
