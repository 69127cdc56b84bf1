//! How a host is called in logs and in the store.

/// The name of this machine and the number of the process, for people.
pub(in crate::bus) fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("{}:{}", name.trim(), std::process::id())
}
