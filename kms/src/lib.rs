//! A local key management service: keys that never leave it, data keys, and the sealed database they live in.
