//! The sealed certificate store: a certificate's life from import to the handshake that serves it.
