//! Scenarios: a plugin's behaviour as a test, in the real sandbox, on the real bus, and without a server.
//!
//! Given a state and a configuration, when events and requests come at certain times, then these outcomes,
//! events, state and log lines follow. Time is virtual: it stands still until a step moves it, and on its way
//! it stops wherever a retry, a delayed event or a schedule is due. A scenario of a day takes milliseconds.
//!
//! `sandbus test` reads scenarios from files ([`ScenarioFile`]), which any language can have. Tests in Rust build
//! them:
//!
//! ```no_run
//! use sandbus_host::scenario::Scenario;
//! use serde_json::json;
//!
//! # fn main() -> Result<(), sandbus_host::scenario::ScenarioError> {
//! let played = Scenario::of("target/plugins/registration-handler.wasm")
//!     .config("greeting", "Hello")
//!     .state("total", json!(41))
//!     .event("user.registered", json!({ "user_id": "1", "name": "Ada", "email": "ada@example.com" }))
//!     .run()?;
//! assert_eq!(played.published()[0]["data"]["message"], "Hello, Ada!");
//! assert_eq!(played.state("total"), Some(&json!(42)));
//! # Ok(())
//! # }
//! ```
//!
//! It has a bus of its own in a temporary directory, one engine, and one delivery at a time in a fixed order,
//! so that a scenario plays the same each time. Requests that a plugin sends are answered by the scenario, and by
//! nobody else. A webhook's delivery waits.

mod builder;
#[cfg(test)]
mod docs_tests;
mod expect;
mod logs;
mod matching;
mod result;
mod runner;
mod spec;
#[cfg(test)]
mod tests;

pub use builder::Scenario;
pub use expect::{PluginUnderTest, ScenarioReport, check};
pub use matching::mismatches;
pub use result::{AttemptSummary, ScenarioResult, StepResult};
pub use spec::{Action, Expectations, Moment, Preconditions, ScenarioFile, ScenarioSpec, Step, StepSpec};

/// Why a scenario could not be played. That it came out otherwise than expected is no error.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// A file cannot be read.
    #[error("{path} cannot be read: {error}")]
    Read {
        /// The file.
        path: std::path::PathBuf,
        /// The system's error.
        error: std::io::Error,
    },
    /// A component is not read to its end.
    #[error("{path} is not loaded: {error}")]
    Component {
        /// The component.
        path: std::path::PathBuf,
        /// Why.
        error: crate::plugin::SourceError,
    },
    /// The scenario is malformed.
    #[error("{0}")]
    Malformed(String),
    /// The component is no plugin, or its settings do not go with it.
    #[error("{path} is not loaded: {error}")]
    Load {
        /// The component.
        path: std::path::PathBuf,
        /// Why.
        error: crate::plugin::LoadError,
    },
    /// The sandbox or the bus cannot be set up, or fails.
    #[error("the scenario cannot be played: {0}")]
    Internal(String),
    /// It does not come to rest.
    #[error("the scenario does not come to rest: {0}")]
    NeverIdle(String),
}

/// An error of what the scenario is played on.
fn internal_error(error: impl std::fmt::Display) -> ScenarioError {
    ScenarioError::Internal(error.to_string())
}
