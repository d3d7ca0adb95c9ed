//! What can go wrong with a request, and whose fault it is.
