//! One line per request, written by a thread that no request waits for.
