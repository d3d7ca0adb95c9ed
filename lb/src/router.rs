//! Which rule a request meets: pure.
