//! Log lines: for a person on a terminal, JSON otherwise.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::time::FormatTime;

use crate::clock::Clock;

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// For a person if standard error is a terminal, else JSON.
    #[default]
    Auto,
    /// For a person.
    Human,
    /// One JSON object a line.
    Json,
}

/// The host's clock, in RFC 3339.
struct Rfc3339;

impl FormatTime for Rfc3339 {
    fn format_time(&self, writer: &mut tracing_subscriber::fmt::format::Writer<'_>) -> std::fmt::Result {
        write!(writer, "{}", Clock::System.now())
    }
}

/// Whether standard error takes colours.
pub(crate) fn colours() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Lets log lines go to standard error. `filter` has the syntax of `RUST_LOG`, which wins over it.
///
/// # Errors
/// If the filter is malformed.
pub fn start_logs(format: Format, filter: &str) -> Result<(), tracing_subscriber::filter::ParseError> {
    let filter = match std::env::var("RUST_LOG") {
        Ok(own) if !own.is_empty() => EnvFilter::try_new(own)?,
        _ => EnvFilter::try_new(filter)?,
    };
    let terminal = std::io::stderr().is_terminal();
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_timer(Rfc3339);
    let human = match format {
        Format::Auto => terminal,
        Format::Human => true,
        Format::Json => false,
    };
    // A second call, as in a test, leaves the first one's lines in place.
    if human {
        drop(lines.with_ansi(colours()).compact().try_init());
    } else {
        drop(lines.json().flatten_event(true).with_current_span(false).try_init());
    }
    Ok(())
}
