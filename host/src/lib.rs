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
pub mod bus;
pub mod canary;
pub mod cli;
pub mod clock;
pub mod config;
mod descriptors;
pub mod dev;
pub mod dispatcher;
pub mod duration;
pub mod endpoint;
pub mod event;
pub mod exact;
mod files;
pub mod filter;
pub mod host;
pub mod ingress;
pub mod observer;
pub mod ordering;
pub mod outbound;
pub mod outcome;
pub mod pattern;
pub mod plugin;
pub mod printable;
pub mod problem;
pub mod scenario;
pub mod schedule;
pub mod secrecy;
pub mod server;
pub mod subscription;
pub mod telemetry;
pub mod threads;
mod toml_file;
