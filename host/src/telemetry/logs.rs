//! Log lines: human-readable on a terminal, JSON otherwise.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::fmt;
use std::io::IsTerminal as _;
use std::panic::PanicHookInfo;
use std::sync::OnceLock;

use tracing::field::{Field, Visit};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Registry};

use crate::clock::Clock;
use crate::otlp::LogLayer;
use crate::printable;
use crate::stderr::{self, Stderr};

/// The format of log lines.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    clap::ValueEnum,
    serde::Deserialize,
    serde::Serialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Human-readable if standard error is a terminal, else JSON.
    #[default]
    Auto,
    /// Human-readable.
    Human,
    /// One JSON object per line.
    Json,
}

/// Timestamps in RFC 3339.
struct Rfc3339;

impl FormatTime for Rfc3339 {
    fn format_time(&self, writer: &mut Writer<'_>) -> fmt::Result {
        write!(writer, "{}", Clock::System.now())
    }
}

/// Formats fields for people. Plugins and clients choose some of the values, so control characters are escaped: a value
/// cannot start a new line or control the terminal.
struct Printable;

impl<'writer> FormatFields<'writer> for Printable {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'writer>, fields: R) -> fmt::Result {
        let mut line = Line { writer, is_first: true, result: Ok(()) };
        fields.record(&mut line);
        line.result
    }
}

/// The fields of one line.
struct Line<'writer> {
    writer: Writer<'writer>,
    is_first: bool,
    result: fmt::Result,
}

impl Line<'_> {
    fn add(&mut self, field: &Field, value: &str) {
        if self.result.is_ok() {
            self.result = self.write(field, &printable::line(value));
            self.is_first = false;
        }
    }

    fn write(&mut self, field: &Field, value: &str) -> fmt::Result {
        if !self.is_first {
            self.writer.write_char(' ')?;
        }
        match field.name() {
            "message" => write!(self.writer, "{value}"),
            name if self.writer.has_ansi_escapes() => {
                // In italics, and the sign dimmed (ECMA-48, 8.3.117).
                write!(self.writer, "\u{1b}[3m{name}\u{1b}[0m\u{1b}[2m=\u{1b}[0m{value}")
            }
            name => write!(self.writer, "{name}={value}"),
        }
    }
}

impl Visit for Line<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => self.add(field, value),
            _ => self.add(field, &format!("{value:?}")),
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, &format!("{value:?}"));
    }
}

/// Whether standard error supports colours.
pub(crate) fn colours() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Why logging cannot start.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter is malformed.
    #[error("the log filter is malformed")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// The thread that writes the lines cannot be started.
    #[error("cannot start the thread that writes log lines")]
    Thread(#[from] std::io::Error),
}

/// Checks a log filter.
///
/// # Errors
/// If the filter is malformed.
pub(crate) fn check_filter(filter: &str) -> Result<(), LogError> {
    EnvFilter::try_new(filter)?;
    Ok(())
}

/// Replaces the filter of the log.
static FILTER: OnceLock<reload::Handle<EnvFilter, Registry>> = OnceLock::new();

/// Replaces the log filter, unless `RUST_LOG` overrides it.
///
/// # Errors
/// If the filter is malformed.
pub(crate) fn set_filter(filter: &str) -> Result<(), LogError> {
    let filter = EnvFilter::try_new(filter)?;
    let is_overridden = std::env::var(OVERRIDE).is_ok_and(|own| !own.is_empty());
    if !is_overridden && let Some(handle) = FILTER.get() {
        // It fails only if there is no subscriber any more.
        drop(handle.reload(filter));
    }
    Ok(())
}

/// The variable that overrides the filter of the configuration.
const OVERRIDE: &str = "RUST_LOG";

/// Starts logging to standard error. A log line does not wait until it is read. `filter` has the syntax of `RUST_LOG`,
/// which overrides it. The lines also go to `export`, if they are exported.
///
/// # Errors
/// If the filter is malformed, or the thread that writes cannot be started.
pub fn start_logs(format: Format, filter: &str, export: Option<LogLayer>) -> Result<(), LogError> {
    let filter = match std::env::var(OVERRIDE) {
        Ok(own) if !own.is_empty() => EnvFilter::try_new(own)?,
        _ => EnvFilter::try_new(filter)?,
    };
    let terminal = std::io::stderr().is_terminal();
    let (filter, handle) = reload::Layer::new(filter);
    // Another call, as in tests, keeps the first subscriber and its filter.
    drop(FILTER.set(handle));
    let registry = tracing_subscriber::registry().with(filter).with(export);
    let lines = tracing_subscriber::fmt::layer().with_writer(|| Stderr).with_timer(Rfc3339);
    let human = match format {
        Format::Auto => terminal,
        Format::Human => true,
        Format::Json => false,
    };
    if human {
        drop(registry.with(lines.fmt_fields(Printable).with_ansi(colours()).compact()).try_init());
    } else {
        drop(registry.with(lines.json().flatten_event(true).with_current_span(false)).try_init());
    }
    stderr::start(|lost| {
        metrics::counter!("sandbus_lost_log_lines_total").increment(lost);
        tracing::warn!(lost, "log lines were lost, because standard error was not read");
    })?;
    // The default hook would wait until the message is read.
    std::panic::set_hook(Box::new(log_panic));
    Ok(())
}

/// Logs a panic. If the log filter excludes errors, the message is printed.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let message = panic.payload_as_str().unwrap_or("no message");
    let location = panic.location().map(ToString::to_string);
    let thread = std::thread::current();
    let thread = thread.name().unwrap_or("unnamed");
    let backtrace = Backtrace::capture();
    let backtrace = (backtrace.status() == BacktraceStatus::Captured).then(|| backtrace.to_string());
    if tracing::enabled!(tracing::Level::ERROR) {
        tracing::error!(thread, location, backtrace, "panic: {message}");
    } else {
        let location = location.unwrap_or_default();
        stderr::print(&format!("error: panic in the thread {thread} at {location}: {}\n", printable::line(message)));
    }
    // The process may abort after this.
    stderr::flush_briefly();
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::fmt::MakeWriter;

    use super::*;

    /// What was logged.
    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl<'sink> MakeWriter<'sink> for Sink {
        type Writer = Self;

        fn make_writer(&'sink self) -> Self {
            self.clone()
        }
    }

    fn logged(log: impl FnOnce()) -> String {
        let sink = Sink::default();
        let lines = tracing_subscriber::fmt().with_writer(sink.clone()).with_ansi(false);
        tracing::subscriber::with_default(lines.fmt_fields(Printable).compact().finish(), log);
        String::from_utf8(sink.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn no_message_and_no_field_makes_a_line_or_steers_a_terminal() {
        let hostile = "a\n2030-01-01T00:00:00Z ERROR forged\u{1b}[2J\u{9b}m\u{202e}\r";
        let all = logged(|| {
            tracing::info!("{hostile}");
            tracing::info!(quoted = hostile, shown = %hostile, debugged = ?hostile, count = 3, "message");
            tracing::error!(error = &io::Error::other(hostile) as &dyn std::error::Error, "failed");
        });
        assert_eq!(all.lines().count(), 3, "{all}");
        assert!(!all.replace('\n', "").chars().any(printable::is_unprintable), "{all:?}");
        assert!(all.contains("a\\n2030") && all.contains("message") && all.contains("count=3"), "{all}");
    }
}
