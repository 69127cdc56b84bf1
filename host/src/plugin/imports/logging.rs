//! `wasi:logging`: log lines, and what an SDK reports of a failure.

use wasmtime::component::{HasSelf, Linker};

use crate::outcome::Cause;
use crate::plugin::bindings::wasi::logging::logging;
use crate::plugin::invocation::Invocation;

/// Links the interface.
pub(super) fn link(linker: &mut Linker<Invocation>) -> wasmtime::Result<()> {
    logging::add_to_linker::<_, HasSelf<Invocation>>(linker, |invocation| invocation)
}

/// The kind of failure that the context of a critical line reports.
fn reported(context: &str) -> Option<Cause> {
    [Cause::Exception, Cause::Request].into_iter().find(|cause| cause.as_str() == context)
}

impl logging::Host for Invocation {
    fn log(&mut self, level: logging::Level, context: String, message: String) -> wasmtime::Result<()> {
        if matches!(level, logging::Level::Critical) {
            // An SDK reports the kind of a failure so. It is no line: the failure itself is logged with its reason.
            if let Some(cause) = reported(&context) {
                self.reported = Some(cause);
                return Ok(());
            }
            // And a panic so; it becomes the reason of the trap that follows.
            self.panic = Some(message.chars().take(1_000).collect());
        }
        if let Some(run) = &self.run {
            run.log.add(level, &context, &message);
        }
        Ok(())
    }
}
