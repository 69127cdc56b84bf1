//! `wasi:logging`: log lines, and the causes of failures that an SDK reports.

use wasmtime::component::{HasSelf, Linker};

use crate::outcome::Cause;
use crate::plugin::bindings::wasi::logging::logging;
use crate::plugin::invocation::InstanceData;

/// Links the interface.
pub(super) fn link(linker: &mut Linker<InstanceData>) -> wasmtime::Result<()> {
    logging::add_to_linker::<_, HasSelf<InstanceData>>(linker, |instance| instance)
}

/// The cause that the context of a critical line reports. `out-of-memory` is accepted only if the host has refused
/// memory during this call.
fn reported(context: &str, was_refused: bool) -> Option<Cause> {
    let causes = [Cause::Exception, Cause::Request, Cause::OutOfMemory];
    match causes.into_iter().find(|cause| cause.as_str() == context)? {
        Cause::OutOfMemory if !was_refused => Some(Cause::Exception),
        cause => Some(cause),
    }
}

impl InstanceData {
    /// The context of a line that is logged through an import with a label. Such a line reports no cause of a failure.
    pub(super) fn labelled_context(&self, label: &str, context: &str) -> String {
        let own = self.invocation.as_ref().map_or(label, |invocation| invocation.settings.imports.context(label));
        if context.is_empty() { own.to_owned() } else { format!("{own}/{context}") }
    }
}

impl logging::Host for InstanceData {
    fn log(&mut self, level: logging::Level, context: String, message: String) -> wasmtime::Result<()> {
        if matches!(level, logging::Level::Critical) {
            // An SDK reports the cause of a failure this way. It is not logged, because the failure itself is logged
            // with its reason.
            if let Some(cause) = reported(&context, self.meter.was_refused) {
                self.reported = Some(cause);
                return Ok(());
            }
            // The runtime of a script also reports this way, if the script cannot be loaded. The message is the reason.
            if context == "load" {
                self.load_error = Some(message.chars().take(4_000).collect());
                return Ok(());
            }
            // An SDK also reports a panic this way. The message becomes the reason of the trap that follows.
            self.panic = Some(message.chars().take(1_000).collect());
        }
        if let Some(invocation) = &self.invocation {
            invocation.log.add(level, &context, &message);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exhausted_memory_is_believed_if_memory_was_refused() {
        for (context, was_refused, expected) in [
            ("exception", false, Some(Cause::Exception)),
            ("exception", true, Some(Cause::Exception)),
            ("request", true, Some(Cause::Request)),
            ("out-of-memory", true, Some(Cause::OutOfMemory)),
            ("out-of-memory", false, Some(Cause::Exception)),
            ("timeout", true, None),
            ("load", true, None),
        ] {
            assert_eq!(reported(context, was_refused), expected, "{context}, {was_refused}");
        }
    }
}
