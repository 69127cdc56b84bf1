//! Log lines of plugins, as the host's own lines.

use super::bindings::wasi::logging::logging::Level;
use super::imports::{Occasion, Run};

/// Passes a line on, with the plugin's name and what the invocation is about. Control characters are
/// shown and not sent: a log line must not steer a terminal.
pub(super) fn emit(run: &Run, level: Level, context: &str, message: &str) {
    let plugin = &*run.plugin;
    let message = visible(message);
    let context = visible(context);
    macro_rules! line {
        ($level:ident) => {
            match &run.occasion {
                Occasion::Delivery { event, subscription, attempt } => {
                    tracing::$level!(target: "plugin", plugin, event = %event.id, %subscription, attempt, %context, "{message}");
                }
                Occasion::Request { route } => tracing::$level!(target: "plugin", plugin, %route, %context, "{message}"),
            }
        };
    }
    match level {
        Level::Trace => line!(trace),
        Level::Debug => line!(debug),
        Level::Info => line!(info),
        Level::Warn => line!(warn),
        Level::Error | Level::Critical => line!(error),
    }
}

/// The text with control characters other than line breaks and tabs written out.
pub(crate) fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() && character != '\n' && character != '\t' {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::visible;

    #[test]
    fn escapes_are_shown() {
        assert_eq!(visible("a\u{1b}[31mb\nc"), "a\\u{1b}[31mb\nc");
    }
}
