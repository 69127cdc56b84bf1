//! Buses that break one promise each, to show that the conformance suite notices.
//!
//! Each is the embedded bus behind a wrapper that does one thing wrong. They need nothing of the host but what any
//! engine in a crate of its own would have.

mod bus;
mod engine;
mod fault;
mod feed;
mod state;

pub use engine::FaultyEngine;
pub use fault::Fault;
