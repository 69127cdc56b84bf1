//! Log lines of plugins, as the host's own lines.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::event::Event;
use crate::plugin::bindings::wasi::logging::logging::Level;
use crate::plugin::manifest::descriptor::Route;
use crate::printable;

/// What a line costs besides its text, in bytes: an empty one is written out, too.
const LINE_BYTES: usize = 64;

/// What an invocation is about, for its log lines.
#[derive(Clone, Debug)]
pub(crate) enum Trigger {
    Delivery { event: Arc<Event>, subscription: String, attempt: u32 },
    Request { route: Arc<Route> },
}

/// The log lines of one invocation: whose they are, and how many bytes more it may log.
pub(crate) struct InvocationLog {
    pub(crate) plugin: Arc<str>,
    pub(crate) trigger: Trigger,
    bytes_left: AtomicUsize,
}

impl InvocationLog {
    pub(crate) fn new(plugin: Arc<str>, trigger: Trigger, limit_bytes: usize) -> Self {
        Self { plugin, trigger, bytes_left: AtomicUsize::new(limit_bytes) }
    }

    /// Passes a line on, as long as the invocation may log. That it may not any more is said once.
    pub(crate) fn add(&self, level: Level, context: &str, message: &str) {
        let size = LINE_BYTES + context.len() + message.len();
        let left = self.bytes_left.load(Ordering::Relaxed);
        if size <= left {
            self.bytes_left.store(left - size, Ordering::Relaxed);
            self.emit(level, context, message);
        } else if left > 0 {
            self.bytes_left.store(0, Ordering::Relaxed);
            let reached = "the log limit of this invocation is reached; further lines are left out";
            self.emit(Level::Warn, "sandbus", reached);
        }
    }

    /// Control characters are shown and not sent: a log line must not steer a terminal.
    fn emit(&self, level: Level, context: &str, message: &str) {
        let plugin = &*self.plugin;
        let message = printable::block(message);
        let context = printable::block(context);
        macro_rules! line {
            ($level:ident) => {
                match &self.trigger {
                    Trigger::Delivery { event, subscription, attempt } => {
                        tracing::$level!(target: "plugin", plugin, event = %event.id, %subscription, attempt, %context, "{message}");
                    }
                    Trigger::Request { route } => tracing::$level!(target: "plugin", plugin, %route, %context, "{message}"),
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
}
