//! Sandbus: event handlers as WebAssembly components on a durable event bus.
//!
//! # The life of an event
//! 1. [`ingress`] takes a request: CloudEvents for the bus, or a route of a plugin.
//! 2. [`bus`] makes the event durable, and offers it to the subscriptions that match its type.
//! 3. [`dispatcher`] claims the delivery when the subscription's concurrency allows it, and waits for a permit.
//! 4. [`plugin`] runs the handler in a fresh instance of the plugin's component, in a sandbox without access to the
//!    system. Its publishes and writes are buffered as effects ([`outcome`]).
//! 5. The dispatcher settles the delivery: verdict and effects go to the bus in one transaction. Published events
//!    are then offered to their subscriptions, as in step 2.
//!
//! [`host`] connects the parts. `bus` and `plugin` do not depend on each other.

pub mod access;
pub mod admin;
pub mod api;
pub mod backup;
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
pub mod ledger;
mod lock;
pub mod login;
pub mod model;
pub mod observer;
pub mod otlp;
pub mod outbound;
pub mod plugin;
pub mod printable;
pub mod problem;
mod projects;
pub mod scenario;
pub mod secrecy;
pub mod secrets;
pub mod server;
mod spelling;
mod stderr;
pub mod telemetry;
pub mod threads;
mod toml_file;

pub use model::{
    clock, duration, endpoint, event, exact, failure, filter, networks, ordering, outcome, pattern, percent,
    recorded_response, reply, request_id, retry, schedule, span_context, subscription, usage,
};
