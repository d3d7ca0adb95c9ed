//! A new configuration, whole or not at all.
