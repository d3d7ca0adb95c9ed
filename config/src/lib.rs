//! The configuration document of Sealgate: its YAML, what is allowed in it, and what is wrong with one.
