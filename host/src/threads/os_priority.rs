//! How much a thread gives way to others, and whether it waits. On Linux a priority is a thread's own (sched(7));
//! elsewhere threads share the cores as equals.

use super::latency::Priority;

/// How much one of many jobs gives way, how much one that is slow or turns out to be, and how much a compiler: nice
/// levels, of which the last is 19. A guest that is slow has a tenth of a core for certain, and more where nobody
/// else wants it: with less, what other programs do would have it run out of time.
#[cfg(target_os = "linux")]
const BULK_LEVEL: i32 = 5;
#[cfg(target_os = "linux")]
const BACKGROUND_LEVEL: i32 = 10;
#[cfg(target_os = "linux")]
const COMPILER_LEVEL: i32 = 19;

#[cfg(target_os = "linux")]
pub(super) type ThreadId = rustix::thread::Pid;
#[cfg(not(target_os = "linux"))]
pub(super) type ThreadId = ();

#[cfg(target_os = "linux")]
pub(super) fn this_thread() -> ThreadId {
    rustix::thread::gettid()
}
#[cfg(not(target_os = "linux"))]
pub(super) fn this_thread() -> ThreadId {}

/// Gives a thread that begins the priority of its lane.
#[cfg(target_os = "linux")]
pub(super) fn apply_priority(priority: Priority) {
    match priority {
        Priority::Interactive => {}
        Priority::Bulk => set_level(this_thread(), BULK_LEVEL),
        Priority::Background => set_level(this_thread(), BACKGROUND_LEVEL),
    }
}

/// Lets the present thread give way to every guest, for good: it compiles.
pub(crate) fn lower_compiler_priority() {
    #[cfg(target_os = "linux")]
    set_level(this_thread(), COMPILER_LEVEL);
}

/// Lets a thread give way whose job turns out to be slow.
#[cfg(target_os = "linux")]
pub(super) fn lower_priority(thread: ThreadId) {
    set_level(thread, BACKGROUND_LEVEL);
}

#[cfg(target_os = "linux")]
fn set_level(thread: ThreadId, level: i32) {
    if let Err(error) = rustix::process::setpriority_process(Some(thread), level) {
        tracing::debug!(%error, "a thread does not give way");
    }
}

/// Whether a thread of this process waits for something other than a core or the disk (proc(5)).
#[cfg(target_os = "linux")]
pub(super) fn is_asleep(thread: ThreadId) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/self/task/{}/stat", thread.as_raw_nonzero()));
    // The name comes before the state, in parentheses, and may have some of its own.
    stat.is_ok_and(|stat| stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('S')))
}

#[cfg(not(target_os = "linux"))]
pub(super) fn is_asleep(_: ThreadId) -> bool {
    true
}

#[cfg(not(target_os = "linux"))]
pub(super) fn apply_priority(_: Priority) {}
#[cfg(not(target_os = "linux"))]
pub(super) fn lower_priority(_: ThreadId) {}
