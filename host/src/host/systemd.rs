//! Tells systemd about the state of the host, if systemd has started it (`sd_notify(3)`).

use sd_notify::NotifyState;

/// Reports that a reload begins. The time tells it apart from an earlier one.
pub(super) fn notify_reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => notify(&[NotifyState::Reloading, now]),
        Err(error) => tracing::warn!(%error, "cannot tell systemd that the host reloads"),
    }
}

/// Sends states to systemd, if it listens: only if `NOTIFY_SOCKET` is set.
pub(super) fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(false, states) {
        tracing::warn!(%error, "cannot tell systemd about the state of the host");
    }
}
