//! Buses that break one promise each, to prove that the conformance suite notices.
//!
//! Each is the embedded bus behind a wrapper with one fault. They use nothing of the host that an engine in a crate
//! of its own could not use.

mod bus;
mod engine;
mod fault;
mod feed;
mod state;

pub use engine::FaultyEngine;
pub use fault::Fault;
