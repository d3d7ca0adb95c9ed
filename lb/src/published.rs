//! What every request sees, published as one value.
