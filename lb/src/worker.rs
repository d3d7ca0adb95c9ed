//! One thread, one runtime, its share of everything.
