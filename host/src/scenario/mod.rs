//! Scenarios test the behaviour of a plugin in the real sandbox, on the real bus, and without a server.
//!
//! Given a state and a configuration, when events and requests arrive at certain times, then certain outcomes, events,
//! state and log lines follow. Time is virtual: a step advances it, and it stops at each retry, delayed event and
//! schedule that is due on the way. A scenario of a day takes milliseconds.
//!
//! `sandbus test` reads scenarios from files ([`ScenarioFile`]), for plugins in any language. Rust tests build them:
//!
//! ```no_run
//! use sandbus_host::scenario::Scenario;
//! use serde_json::json;
//!
//! # fn main() -> Result<(), sandbus_host::scenario::ScenarioError> {
//! let result = Scenario::of("target/plugins/registration-handler.wasm")
//!     .config("greeting", "Hello")
//!     .state("total", json!(41))
//!     .event("user.registered", json!({ "user_id": "1", "name": "Ada", "email": "ada@example.com" }))
//!     .run()?;
//! assert_eq!(result.published()[0]["data"]["message"], "Hello, Ada!");
//! assert_eq!(result.state("total"), Some(&json!(42)));
//! # Ok(())
//! # }
//! ```
//!
//! Each scenario has a separate bus in a temporary directory, one engine, and one delivery at a time in a fixed order,
//! so that its result is reproducible. The scenario's stubs answer all requests that plugins send. Deliveries to
//! webhooks stay pending.

mod builder;
mod crashes;
#[cfg(test)]
mod docs_tests;
mod expect;
mod files;
mod logs;
mod matching;
mod preconditions;
mod preload;
mod result;
mod runner;
mod samples;
mod sequence_numbers;
mod spec;
#[cfg(test)]
mod tests;

pub use builder::Scenario;
pub use crashes::check_with_crashes;
pub use expect::{PluginUnderTest, ScenarioReport, check};
pub use files::{files_with_extension, project_scenarios, scenario_files, shared_files, shared_paths};
pub use matching::mismatches;
pub use preconditions::{PluginPreconditions, Preconditions, StubSpec};
pub use preload::Preloader;
pub use result::{AttemptSummary, ScenarioResult, StepResult};
pub use samples::{Sample, SampleFault, SampleKind, Samples, ScenarioPaths};
pub use spec::{Action, Expectations, Moment, ScenarioFile, ScenarioSpec, Step, StepSpec};

/// Why a scenario could not run. An expectation that is not met is not an error.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// A file cannot be read.
    #[error("cannot read {path}: {error}")]
    Read {
        /// The file.
        path: std::path::PathBuf,
        /// The system's error.
        error: std::io::Error,
    },
    /// A component cannot be read.
    #[error("cannot load {path}: {error}")]
    Component {
        /// The component.
        path: std::path::PathBuf,
        /// Why.
        error: crate::plugin::SourceError,
    },
    /// The scenario is malformed.
    #[error("{0}")]
    Malformed(String),
    /// The component cannot be loaded with its settings.
    #[error("cannot load {path}: {error}")]
    Load {
        /// The component.
        path: std::path::PathBuf,
        /// Why.
        error: Box<crate::plugin::LoadError>,
    },
    /// The sandbox or the bus cannot be set up, or has failed.
    #[error("the scenario cannot run: {0}")]
    Internal(String),
    /// A step does not end.
    #[error("the scenario does not end: {0}")]
    NeverIdle(String),
}

/// An error of the sandbox, the bus or the system.
fn internal_error(error: impl std::fmt::Display) -> ScenarioError {
    ScenarioError::Internal(error.to_string())
}
