//! Guests for the end-to-end tests. Each file under `examples/` is one plugin.
