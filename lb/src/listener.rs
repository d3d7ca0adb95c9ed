//! Bound sockets and the accept loop.
