//! The operating system's priority of threads, and whether a thread is blocked. On Linux each thread has its own
//! priority (sched(7)); elsewhere all threads are equal.

use super::latency::Priority;

/// The nice levels of bulk jobs, of slow jobs, and of compilers; the lowest priority is 19. Level 10 guarantees a slow
/// guest a tenth of a core. With less, other programs on the machine would make it time out.
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

/// Sets the priority of the current thread, which has just started.
#[cfg(target_os = "linux")]
pub(super) fn apply_priority(priority: Priority) {
    match priority {
        Priority::Interactive => {}
        Priority::Bulk => set_level(this_thread(), BULK_LEVEL),
        Priority::Background => set_level(this_thread(), BACKGROUND_LEVEL),
    }
}

/// Lowers the priority of the current thread below every guest's, for good, because it compiles.
pub(crate) fn lower_compiler_priority() {
    #[cfg(target_os = "linux")]
    set_level(this_thread(), COMPILER_LEVEL);
}

/// Lowers the priority of a thread whose job turns out to be slow.
#[cfg(target_os = "linux")]
pub(super) fn lower_priority(thread: ThreadId) {
    set_level(thread, BACKGROUND_LEVEL);
}

#[cfg(target_os = "linux")]
fn set_level(thread: ThreadId, level: i32) {
    if let Err(error) = rustix::process::setpriority_process(Some(thread), level) {
        tracing::debug!(%error, "the priority of a thread could not be lowered");
    }
}

/// Whether a thread of this process is blocked on something other than a core or the disk (proc(5)).
#[cfg(target_os = "linux")]
pub(super) fn is_asleep(thread: ThreadId) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/self/task/{}/stat", thread.as_raw_nonzero()));
    // The state follows the name, which is in parentheses and may itself contain some.
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
