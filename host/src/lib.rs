//! Sandbus: event handlers as WebAssembly components, on a durable bus, behind one HTTP ingress.
//!
//! # The life of an event
//! 1. [`ingress`] takes a request: CloudEvents for the bus, or a route of a plugin.
//! 2. [`bus`] makes the event durable, and offers it to the subscriptions that match its type.
//! 3. [`dispatcher`] claims the delivery when there is a place for it,
//! 4. and lets [`plugin`] run it: a fresh instance of the plugin's component, in a sandbox that reaches
//!    nothing. What the handler publishes and writes is kept aside as effects ([`outcome`]).
//! 5. The dispatcher settles the delivery: outcome and effects go to the bus in one transaction. What was
//!    published is offered in turn.
//!
//! [`host`] connects the parts. `bus` and `plugin` do not know each other.

pub mod admin;
pub mod api;
pub mod bus;
pub mod canary;
pub mod cli;
pub mod config;
mod console;
mod descriptors;
pub mod dev;
pub mod dispatcher;
#[cfg(test)]
mod documented;
mod files;
pub mod host;
pub mod ingress;
mod lock;
pub mod model;
pub mod observer;
pub mod outbound;
pub mod plugin;
pub mod printable;
pub mod problem;
mod projects;
pub mod scenario;
pub mod secrecy;
pub mod server;
mod stderr;
pub mod telemetry;
pub mod threads;
mod toml_file;

pub use model::{
    clock, duration, endpoint, event, exact, failure, filter, ordering, outcome, pattern, percent, reply, retry,
    schedule, subscription,
};
