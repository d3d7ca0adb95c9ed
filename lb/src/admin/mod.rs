//! How a running balancer is spoken to: the admin socket and its HTTP endpoints.
