//! Sends the lines of the `log` crate, and the messages of panics, to the host.

use log::{Level, LevelFilter, Log, Metadata, Record};

use crate::bindings::wasi::logging::logging::Level as HostLevel;
use crate::host;
use crate::text::shorten;

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
        host::log(level, record.target(), &shorten(record.args().to_string()));
    }

    fn flush(&self) {}
}

/// Installs the logger. Further calls do nothing.
pub(crate) fn install() {
    // This fails only if this logger is installed already.
    if log::set_logger(&Logger).is_ok() {
        log::set_max_level(LevelFilter::Trace);
    }
}

/// Reports the message of each panic. The host would otherwise see a bare `unreachable`.
#[cfg(target_family = "wasm")]
pub(crate) fn report_panics() {
    std::panic::set_hook(Box::new(|panic| host::log(HostLevel::Critical, "panic", &shorten(panic.to_string()))));
}
