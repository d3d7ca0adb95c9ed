//! One downstream connection: handshake, protocol, service, end.
