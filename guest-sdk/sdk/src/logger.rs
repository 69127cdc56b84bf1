//! The `log` crate's lines, and a panic's message, on their way to the host.

use log::{Level, LevelFilter, Log, Metadata, Record};

use crate::bindings::wasi::logging::logging::Level as HostLevel;
use crate::host;

struct Logger;

impl Log for Logger {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let level = match record.level() {
            Level::Trace => HostLevel::Trace,
            Level::Debug => HostLevel::Debug,
            Level::Info => HostLevel::Info,
            Level::Warn => HostLevel::Warn,
            Level::Error => HostLevel::Error,
        };
        host::log(level, record.target(), &record.args().to_string());
    }

    fn flush(&self) {}
}

/// Makes the macros of `log` reach the host. Repeating it does nothing.
pub(crate) fn install() {
    // It fails only where a logger is installed already, which is this one.
    if log::set_logger(&Logger).is_ok() {
        log::set_max_level(LevelFilter::Trace);
    }
}

/// Lets the host know why a guest traps: a panic would otherwise be a bare `unreachable`.
#[cfg(target_family = "wasm")]
pub(crate) fn report_panics() {
    std::panic::set_hook(Box::new(|panic| host::log(HostLevel::Critical, "panic", &panic.to_string())));
}
