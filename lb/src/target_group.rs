//! Targets, their state, and who is picked.
