//! The application: configuration and sealed store in, listeners out.
