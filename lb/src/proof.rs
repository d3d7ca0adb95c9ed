//! A handshake with ourselves, to see what is really served.
