//! The PROXY protocol header of a trusted proxy in front.
