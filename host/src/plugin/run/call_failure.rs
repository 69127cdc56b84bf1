//! Classifies calls that ended without a value: traps, timeouts and exhausted memory.

use std::time::Duration;

use wasmtime::{Trap, WasmBacktrace};

use crate::outcome::{Cause, Failure};
use crate::plugin::invocation::InstanceData;

/// The longest reason. It is stored with each attempt.
pub(super) const REASON_CHARACTERS: usize = 4_000;
/// The reason for the failure of a call that needed more memory.
const OUT_OF_MEMORY: &str = "it needs more memory than its limit allows";
/// The longest function name that is shown. The plugin chooses the names.
const NAME_CHARACTERS: usize = 200;

/// Why a call ended without a value.
pub(crate) struct CallFailure {
    cause: Cause,
    pub(crate) reason: String,
}

impl CallFailure {
    pub(crate) fn of(error: &wasmtime::Error, instance: &InstanceData) -> Self {
        if let Some(wasi) = &instance.wasi {
            wasi.output.end();
        }
        let trap = error.downcast_ref::<Trap>().copied();
        if trap == Some(Trap::Interrupt) {
            return Self { cause: Cause::Timeout, reason: "it ran out of time".to_owned() };
        }
        // After a panic, its message is the reason: the handler may have coped with the refused memory, and panicked
        // because of something else.
        if instance.meter.was_refused && instance.panic.is_none() {
            return Self { cause: Cause::OutOfMemory, reason: OUT_OF_MEMORY.to_owned() };
        }
        if let Some(error) = &instance.load_error {
            // The frames belong to the runtime, and its standard error repeats this message, so neither is added.
            return Self { cause: Cause::Exception, reason: crate::printable::block(error).into_owned() };
        }
        let what = instance.panic.clone().unwrap_or_else(|| match trap {
            // In the runtime of a script no frame names the script's functions, so the reason must say what happened.
            Some(Trap::StackOverflow) => {
                "the call stack is exhausted: a recursion does not end, or is too deep".to_owned()
            }
            Some(trap) => trap.to_string(),
            None => error.root_cause().to_string(),
        });
        let frames = error.downcast_ref::<WasmBacktrace>().map(frames).unwrap_or_default();
        let mut reason = if frames.is_empty() { what } else { format!("{what} (in {})", frames.join(" < ")) };
        let printed = instance.wasi.as_ref().map(|wasi| wasi.output.tail()).unwrap_or_default();
        if !printed.is_empty() {
            reason.push_str("; its standard error ends with:\n");
            reason.push_str(&printed);
        }
        let reason = crate::printable::block(&reason).chars().take(REASON_CHARACTERS).collect();
        Self { cause: Cause::Trap, reason }
    }

    /// Converts it into the failure of a call with this timeout.
    pub(crate) fn failure(self, timeout: Duration) -> Failure {
        let Self { cause, reason } = self;
        let reason = match cause {
            Cause::Timeout => format!("{reason} after {}", humantime::format_duration(timeout)),
            _ => reason,
        };
        Failure { cause, reason }
    }
}

/// The failure of a call that ended with an error after it had exhausted its memory. `reason` is the handler's.
pub(super) fn out_of_memory(reason: &str) -> Failure {
    let reason = match reason {
        "" => OUT_OF_MEMORY.to_owned(),
        reason => format!("{OUT_OF_MEMORY}: {reason}"),
    };
    Failure { cause: Cause::OutOfMemory, reason }
}

/// The innermost functions of the guest, without those of the language's runtime, and with source lines where they are
/// known.
fn frames(backtrace: &WasmBacktrace) -> Vec<String> {
    const RUNTIME: [&str; 5] = ["std::", "core::", "alloc::", "__rust", "rust_begin_unwind"];
    let is_own = |name: &str| !RUNTIME.iter().any(|part| name.contains(part));
    let (mut found, mut named) = (Vec::new(), false);
    for frame in backtrace.frames() {
        let symbols = frame.symbols().iter().filter_map(|symbol| {
            let file = symbol.file().filter(|file| is_own_source(file))?;
            let name = demangled(symbol.name().or(frame.func_name())?);
            Some(format!("{name} at {}:{}", shortened(file), symbol.line().unwrap_or(0)))
        });
        let lines: Vec<_> = symbols.filter(|line| is_own(line)).collect();
        // Once a line of the plugin's own sources is known, other frames are omitted.
        if !lines.is_empty() && !named {
            (found, named) = (Vec::new(), true);
        }
        if named {
            found.extend(lines);
        } else {
            found.extend(frame.func_name().map(demangled).filter(|name| is_own(name)));
        }
    }
    found.truncate(4);
    found
}

/// Whether a source file belongs to the plugin, and not to its compiler or to a package.
fn is_own_source(file: &str) -> bool {
    !["/rustc/", "/library/", "/registry/src/", "/guest-sdk/"].iter().any(|part| file.contains(part))
}

/// Shortens a path to the project's directory and what follows.
fn shortened(file: &str) -> &str {
    let Some(index) = file.rfind("/src/") else { return file };
    file[..index].rfind('/').map_or(file, |before| &file[before + 1..])
}

fn demangled(name: &str) -> String {
    format!("{:#}", rustc_demangle::demangle(name)).chars().take(NAME_CHARACTERS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_memory_is_the_cause_unless_the_handler_panicked() {
        let cause = |was_refused: bool, panic: Option<&str>| {
            let mut instance = InstanceData::new(1);
            instance.meter.was_refused = was_refused;
            instance.panic = panic.map(str::to_owned);
            CallFailure::of(&Trap::UnreachableCodeReached.into(), &instance).cause
        };
        assert_eq!(cause(true, None), Cause::OutOfMemory);
        assert_eq!(cause(true, Some("no such order")), Cause::Trap);
        assert_eq!(cause(false, None), Cause::Trap);
    }

    #[test]
    fn source_paths_start_at_the_project() {
        assert_eq!(shortened("/home/ada/greeter/src/model/user.rs"), "greeter/src/model/user.rs");
        assert_eq!(shortened("src/lib.rs"), "src/lib.rs");
        assert!(is_own_source("/home/ada/greeter/src/lib.rs"));
        assert!(!is_own_source("/rustc/0123/library/core/src/option.rs"));
        assert!(!is_own_source("/home/ada/.cargo/registry/src/index/serde-1/src/lib.rs"));
    }
}
