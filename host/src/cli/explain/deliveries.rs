//! Why deliveries fail and why they wait.

use super::{Explanation, Kind};
use crate::failure::Cause;

/// The explanation of a cause of failure.
pub(super) fn of_cause(cause: Cause) -> Explanation {
    let (meaning, usual, remedy) = match cause {
        Cause::Retry => (
            "The handler asked for a retry. A dead letter with this cause had no attempts left.",
            "Something that the handler needs is not there yet, or a service does not work.",
            "Fix what the reason names, then redrive the dead letter.",
        ),
        Cause::Exception => (
            "The handler threw an exception or returned an error other than a retry or a rejection.",
            "The handler has a bug, or the event has data that the handler does not expect.",
            "Fix the handler; the reason names the line. Then redrive the dead letter.",
        ),
        Cause::Request => (
            "A request of the handler to another service failed.",
            "The service does not work, or responds with an error.",
            "Redrive the dead letter when the service works again.",
        ),
        Cause::Rejected => (
            "The handler rejected the event. The delivery is not retried.",
            "The data does not match the handler's type or schema, or the host refused a call, such as one without a grant.",
            "Fix the producer or the handler. `dead-letters redrive --data` delivers the event with other data.",
        ),
        Cause::Trap => (
            "The handler trapped.",
            "It panicked, divided by zero, or overflowed its stack.",
            "Fix the handler; the reason names the line. Then redrive the dead letter.",
        ),
        Cause::Timeout => (
            "The handler ran out of time.",
            "It computes for too long, or waits for another service.",
            "Fix the handler, or raise `timeout` in the sidecar. Then redrive the dead letter.",
        ),
        Cause::OutOfMemory => (
            "The handler ran out of memory.",
            "It holds too much data at once, or leaks.",
            "Fix the handler, or raise `memory_bytes` in the sidecar. Then redrive the dead letter.",
        ),
        Cause::Conflict => (
            "Other invocations kept changing the state that the handler had read.",
            "Many deliveries change the same key. Each attempt was rerun 32 times without a commit.",
            "Use `add` for counters, or an ordering key.",
        ),
        Cause::Webhook => (
            "The endpoint responded with an error, or could not be reached.",
            "The endpoint does not work, or refuses the event.",
            "Fix the endpoint, then redrive the dead letter.",
        ),
        Cause::NoHandler => (
            "The plugin has no handler for the event.",
            "The subscription delivers to a plugin without event handlers.",
            "Change the target of the subscription to a plugin with event handlers.",
        ),
        Cause::HopLimit => (
            "The cause tree is deeper than `hop_limit` in `[bus]`.",
            "Plugins trigger each other endlessly.",
            "Break the loop.",
        ),
        Cause::Limit => (
            "The plugin has reached its limit on events, bytes or event types in the log.",
            "Nobody handles the events of the plugin, or the plugin publishes endlessly.",
            "Handle its events, or raise `max_backlog` or `max_log_bytes` in `[limits]` of its sidecar.",
        ),
        Cause::Collision => (
            "The handler published an event whose source and id another event in the log has. Nothing was stored.",
            "Somebody has published an event with the source and the id that the host generates for this one.",
            "Find out who published the other event. The ids cannot be guessed, so this should not happen; please report it.",
        ),
    };
    Explanation { kind: Kind::Failure, code: cause.as_str(), statuses: &[], meaning, cause: usual, remedy }
}

const fn wait(code: &'static str, meaning: &'static str, cause: &'static str, remedy: &'static str) -> Explanation {
    Explanation { kind: Kind::Wait, code, statuses: &[], meaning, cause, remedy }
}

/// The reasons of `sandbus why`.
pub(super) const WAITS: &[Explanation] = &[
    wait(
        "backlog",
        "Earlier events are delivered first.",
        "The subscription handles events more slowly than they arrive.",
        "Wait. Run `sandbus top` to see the throughput, and raise `concurrency` if the handler permits.",
    ),
    wait(
        "drained",
        "The plugin is drained.",
        "An operator ran `sandbus plugins drain`.",
        "Run `sandbus plugins resume NAME`.",
    ),
    wait(
        "endpoint-hold",
        "The endpoint of the webhook is on hold.",
        "It responded with 429 or 503, or with `Retry-After`.",
        "Wait until the time that the reason names.",
    ),
    wait(
        "no-permit",
        "The subscription, its plugin or the host has reached its limit on concurrent invocations.",
        "Handlers are slow, or there are more events than the host can handle.",
        "Wait. Raise the `concurrency` that the reason names if the host has capacity.",
    ),
    wait(
        "no-plugin",
        "The plugin is not loaded.",
        "It was removed or disabled, or its file cannot be loaded.",
        "Run `sandbus plugins` to see why.",
    ),
    wait(
        "not-declared",
        "The running version of the plugin does not declare the subscription.",
        "A new version no longer has the handler.",
        "Load a version that declares it, or run `sandbus subscriptions delete ID`.",
    ),
    wait(
        "ordering-key",
        "Another event with the same ordering key comes first.",
        "An attempt at that event is running, or that event waits, too.",
        "Run `sandbus why` on the event that the reason names.",
    ),
    wait(
        "parked-key",
        "A dead letter parks the ordering key.",
        "The delivery of an event with the same key failed, and the dead-letter policy of the subscription is `park`.",
        "Redrive or drop the dead letter that the reason names.",
    ),
    wait(
        "paused",
        "The subscription is paused.",
        "An operator paused it, its endpoint responded with 410, or its plugin no longer declares it.",
        "Run `sandbus subscriptions resume ID`, or load a version of the plugin that declares it.",
    ),
    wait(
        "retry",
        "The next attempt is not due yet.",
        "An attempt failed, and the retry policy waits before the next one.",
        "Wait, or run `sandbus deliveries retry-now`.",
    ),
    wait(
        "running",
        "The delivery does not wait: an attempt is running, or its outcome is being committed.",
        "The handler is still running, or the disk is slow.",
        "Wait.",
    ),
    wait(
        "store-unreachable",
        "The bus cannot access its store.",
        "The disk is full or fails, or another process locks the store.",
        "Look for the reason in the host's log.",
    ),
];
