//! Write Sandbus event handlers in Rust.
//!
//! A plugin is a crate that marks functions as handlers of events, of schedules or of HTTP requests, and lists them in
//! [`plugin!`]. It needs neither a manifest nor WIT.
//!
//! ```
//! use sandbus_sdk::prelude::*;
//!
//! #[derive(Event, Serialize, Deserialize)]
//! #[event(type = "user.registered")]
//! struct UserRegistered {
//!     name: String,
//! }
//!
//! #[on_event(retry(max_attempts = 5))]
//! fn welcome(user: UserRegistered) -> Result<()> {
//!     info!("Welcome, {}!", user.name);
//!     state::add("welcomed", 1)?;
//!     Ok(())
//! }
//!
//! plugin! { name: "welcome", handlers: [welcome] }
//! # fn main() {}
//! ```
//!
//! The events that a handler publishes and the state that it writes are committed with its acknowledgement, in one
//! transaction. If it returns an error, panics or times out, its effects are discarded, and the delivery is retried.
//!
//! Handlers are plain functions. Test them natively, with the fake host of [`testing`].

// The generated bindings and the export macro speak to the component ABI.
#[allow(
    unsafe_code,
    missing_docs,
    missing_debug_implementations,
    unreachable_pub,
    clippy::all,
    clippy::pedantic,
    clippy::allow_attributes_without_reason,
    clippy::panic,
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "generated code"
)]
#[rustfmt::skip]
#[doc(hidden)]
pub mod bindings;
// Generated bindings of the interfaces that version 0.2.0 of the contract adds.
#[allow(
    unsafe_code,
    missing_docs,
    missing_debug_implementations,
    unreachable_pub,
    dead_code,
    clippy::all,
    clippy::pedantic,
    clippy::allow_attributes_without_reason,
    clippy::panic,
    clippy::unwrap_used,
    reason = "generated code"
)]
#[rustfmt::skip]
mod additions;
#[cfg(feature = "client")]
pub mod client;
mod clock;
pub mod config;
mod duration;
#[cfg(all(target_family = "wasm", target_os = "unknown", getrandom_backend = "custom"))]
mod entropy;
mod event;
mod failure;
#[cfg(all(feature = "heap", target_arch = "wasm32", not(target_feature = "atomics")))]
mod heap;
mod host;
pub mod http;
mod json;
mod logger;
mod message;
mod model;
mod pattern;
#[doc(hidden)]
pub mod plugin;
mod random;
mod rfc3339;
mod schedule;
pub mod state;
pub mod subscriptions;
#[cfg(not(target_family = "wasm"))]
pub mod testing;
mod text;

pub use clock::now;
pub use event::{Event, EventArgument, EventType, Payload};
pub use failure::{Classify, Failure, Result};
pub use message::{Message, cancel, publish, publish_many};
pub use model::errors::BusError;
pub use random::{random_bytes, random_u64};
pub use sandbus_sdk_macros::{Event, on_event, on_schedule, route};
pub use schedule::Tick;

/// The names that most plugins need.
pub mod prelude {
    pub use log::{debug, error, info, trace, warn};
    pub use serde::{Deserialize, Serialize};

    pub use crate::http::{Json, Problem, Request, Response};
    pub use crate::{Classify, Event, Failure, Message, Result, Tick, config, state};
    pub use crate::{cancel, on_event, on_schedule, plugin, publish, publish_many, route};
}

/// Items for the macros.
#[doc(hidden)]
pub mod private {
    pub use crate::event::decode_json;
}
