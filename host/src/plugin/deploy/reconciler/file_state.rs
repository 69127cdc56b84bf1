//! The reconciler's state of one file, and when to load the file again.

use std::time::{Duration, Instant};

use crate::plugin::deploy::folder::FileFingerprint;

/// A file counts as complete once it has not been written to for this long.
pub(super) const STABLE_AFTER: Duration = Duration::from_millis(25);
/// How long a file that fails to load may be incomplete before the error is reported, and how long a sidecar may be
/// missing: replacing a file may remove it first.
pub(super) const GRACE_PERIOD: Duration = Duration::from_millis(400);
/// The delay before a transient failure is retried. It doubles up to [`MAX_BACKOFF`].
const INITIAL_BACKOFF: Duration = Duration::from_secs(1);
const MAX_BACKOFF: Duration = Duration::from_mins(1);

/// The state of one file.
#[derive(Debug, Default)]
pub(super) struct FileState {
    /// The file as it was last loaded or refused.
    pub(super) processed: Option<FileFingerprint>,
    /// When the file first failed to load while it may still have been incomplete.
    unreadable_since: Option<Instant>,
    /// The file is not looked at before this time.
    paused_until: Option<Instant>,
    /// When the sidecar was first found missing.
    sidecar_missing_since: Option<Instant>,
    /// When to retry, even if the file has not changed.
    retry_at: Option<Instant>,
    /// The last delay before a retry.
    backoff: Option<Duration>,
    /// Whether the rollback rule applied and the rollback failed.
    pub(super) rollback_failed: bool,
}

/// The next action for a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NextAction {
    /// Nothing: the file is processed and has not changed.
    Nothing,
    /// Check again soon: the file may be incomplete.
    Wait,
    /// Load the file.
    Load,
}

impl FileState {
    /// Decides what to do with the file as it is now.
    pub(super) fn next(&mut self, fingerprint: &FileFingerprint, now: Instant) -> NextAction {
        let is_bare = !fingerprint.has_sidecar() && self.processed.as_ref().is_some_and(FileFingerprint::has_sidecar);
        let bare_since = is_bare.then(|| self.sidecar_missing_since.unwrap_or(now));
        self.sidecar_missing_since = bare_since;
        if self.paused_until.is_some_and(|until| now < until) {
            return NextAction::Wait;
        }
        if self.processed.as_ref() == Some(fingerprint) {
            return if self.retry_at.is_some_and(|at| at <= now) { NextAction::Load } else { NextAction::Nothing };
        }
        let is_away = bare_since.is_some_and(|since| now.duration_since(since) < GRACE_PERIOD);
        if is_away || !fingerprint.is_stable(STABLE_AFTER) { NextAction::Wait } else { NextAction::Load }
    }

    /// Forgets that the file was processed, so that it is loaded again.
    pub(super) fn forget(&mut self) {
        *self = Self { rollback_failed: self.rollback_failed, ..Self::default() };
    }

    /// When to retry an unchanged file, if at all.
    pub(super) fn retry_at(&self) -> Option<Instant> {
        self.retry_at
    }

    /// Schedules a retry at the next scan.
    pub(super) fn retry_now(&mut self, now: Instant) {
        self.retry_at = Some(now);
    }

    /// Ignores the file for a moment.
    pub(super) fn pause(&mut self, now: Instant) {
        self.paused_until = Some(now + STABLE_AFTER);
    }

    /// Whether the grace period for an incomplete file is over. The first call starts the period.
    pub(super) fn is_grace_over(&mut self, now: Instant) -> bool {
        let since = *self.unreadable_since.get_or_insert(now);
        now.duration_since(since) >= GRACE_PERIOD
    }

    /// Records that the file was loaded, or refused for good.
    pub(super) fn mark_processed(&mut self, fingerprint: FileFingerprint) {
        *self = Self { processed: Some(fingerprint), rollback_failed: self.rollback_failed, ..Self::default() };
    }

    /// Records a transient failure, and schedules a retry with backoff.
    pub(super) fn retry_later(&mut self, fingerprint: FileFingerprint, now: Instant) {
        let is_same = self.processed.as_ref() == Some(&fingerprint);
        let last = self.backoff.filter(|_| is_same);
        let backoff = last.map_or(INITIAL_BACKOFF, |last| (last * 2).min(MAX_BACKOFF));
        self.mark_processed(fingerprint);
        (self.retry_at, self.backoff) = (Some(now + backoff), Some(backoff));
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::path::Path;
    use std::time::SystemTime;

    use super::*;
    use crate::plugin::deploy::folder::{self, PluginFolder};
    use crate::secrets::SecretStore;

    fn plugin_folder(path: &Path) -> PluginFolder {
        PluginFolder::new(path.to_owned(), &[], SecretStore::default())
    }

    /// The fingerprint of plugin `a`, with files that were written long ago.
    fn fingerprint(folder: &Path, files: &[(&str, &str)]) -> FileFingerprint {
        for (name, content) in files {
            let path = folder.join(name);
            std::fs::write(&path, content).unwrap();
            let file = File::options().write(true).open(&path).unwrap();
            file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1_000)).unwrap();
        }
        folder::fingerprint(&plugin_folder(folder), "a").unwrap().unwrap()
    }

    #[test]
    fn a_file_is_loaded_once_for_each_change() {
        let folder = tempfile::tempdir().unwrap();
        let (mut state, now) = (FileState::default(), Instant::now());
        let first = fingerprint(folder.path(), &[("a.wasm", "1")]);
        assert_eq!(state.next(&first, now), NextAction::Load);
        state.mark_processed(first.clone());
        assert_eq!(state.next(&first, now + MAX_BACKOFF), NextAction::Nothing);
        let changed = fingerprint(folder.path(), &[("a.wasm", "12")]);
        assert_eq!(state.next(&changed, now), NextAction::Load);
        state.pause(now);
        assert_eq!(state.next(&changed, now), NextAction::Wait);
        assert_eq!(state.next(&changed, now + STABLE_AFTER), NextAction::Load);
        std::fs::write(folder.path().join("a.wasm"), "123").unwrap();
        let fresh = folder::fingerprint(&plugin_folder(folder.path()), "a").unwrap().unwrap();
        state.mark_processed(changed);
        if !fresh.is_stable(STABLE_AFTER) {
            assert_eq!(state.next(&fresh, now), NextAction::Wait);
        }
    }

    #[test]
    fn a_sidecar_may_be_missing_for_a_moment() {
        let folder = tempfile::tempdir().unwrap();
        let (mut state, now) = (FileState::default(), Instant::now());
        let both = fingerprint(folder.path(), &[("a.wasm", "1"), ("a.toml", "")]);
        state.mark_processed(both.clone());
        std::fs::rename(folder.path().join("a.toml"), folder.path().join("a.away")).unwrap();
        let bare = fingerprint(folder.path(), &[]);
        assert_eq!(state.next(&bare, now), NextAction::Wait);
        assert_eq!(state.next(&bare, now + GRACE_PERIOD / 2), NextAction::Wait);
        assert_eq!(state.next(&both, now + GRACE_PERIOD / 2), NextAction::Nothing);
        // Each absence has its own grace period.
        assert_eq!(state.next(&bare, now + GRACE_PERIOD), NextAction::Wait);
        assert_eq!(state.next(&bare, now + 2 * GRACE_PERIOD), NextAction::Load);
        state.mark_processed(bare.clone());
        assert_eq!(state.next(&bare, now + 2 * GRACE_PERIOD), NextAction::Nothing);
    }

    #[test]
    fn transient_failures_are_retried_with_backoff() {
        let folder = tempfile::tempdir().unwrap();
        let (mut state, mut now) = (FileState::default(), Instant::now());
        let first = fingerprint(folder.path(), &[("a.wasm", "1")]);
        let mut backoffs = Vec::new();
        for _ in 0..8 {
            state.retry_later(first.clone(), now);
            assert_eq!(state.next(&first, now), NextAction::Nothing);
            let at = state.retry_at().unwrap();
            assert_eq!(state.next(&first, at), NextAction::Load);
            backoffs.push(at.duration_since(now).as_secs());
            now = at;
        }
        assert_eq!(backoffs, [1, 2, 4, 8, 16, 32, 60, 60]);
        let changed = fingerprint(folder.path(), &[("a.wasm", "12")]);
        state.retry_later(changed.clone(), now);
        assert_eq!(state.retry_at(), Some(now + INITIAL_BACKOFF));
        state.mark_processed(changed);
        assert_eq!(state.retry_at(), None);
    }
}
