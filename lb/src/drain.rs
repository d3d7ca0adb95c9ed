//! Leaving without losing a request.
