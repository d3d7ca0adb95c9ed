//! Counters per worker, summed when somebody asks.
