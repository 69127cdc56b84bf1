//! What the reconciler remembers of a file, and when it turns to it again.

use std::time::{Duration, Instant};

use crate::plugin::supervise::folder::Seen;

/// A file is taken for whole when nothing has been written to it for so long.
pub(super) const QUIET: Duration = Duration::from_millis(25);
/// How long a file that cannot be loaded is given to become whole before it is reported, and how long a sidecar may be
/// away: whoever replaces a file may remove it first.
pub(super) const PATIENCE: Duration = Duration::from_millis(400);
/// How long it takes until a file is tried again that is not to blame. Each further time it takes twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// What is remembered of a file.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// The file as it was when it was last loaded or refused.
    pub(super) done: Option<Seen>,
    /// Since when it could not be loaded and may still be in the making.
    waiting: Option<Instant>,
    /// Until when it is left alone.
    held: Option<Instant>,
    /// Since when its sidecar has been away.
    bare: Option<Instant>,
    /// When it is tried again though it has not changed.
    again: Option<Instant>,
    /// How long the last pause was before it was tried again.
    pause: Option<Duration>,
    /// Whether a rule wanted its generation rolled back, in vain.
    pub(super) is_stuck: bool,
}

/// What is to be done about a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Nothing.
    Rest,
    /// It is in the making: it is looked at again soon.
    Wait,
    /// It is loaded.
    Load,
}

impl Known {
    /// What is to be done about the file as it is now.
    pub(super) fn next(&mut self, seen: &Seen, now: Instant) -> Next {
        let is_bare = !seen.has_sidecar() && self.done.as_ref().is_some_and(Seen::has_sidecar);
        let bare_since = is_bare.then(|| self.bare.unwrap_or(now));
        self.bare = bare_since;
        if self.held.is_some_and(|until| now < until) {
            return Next::Wait;
        }
        if self.done.as_ref() == Some(seen) {
            return if self.again.is_some_and(|at| at <= now) { Next::Load } else { Next::Rest };
        }
        let is_away = bare_since.is_some_and(|since| now.duration_since(since) < PATIENCE);
        if is_away || !seen.is_settled(QUIET) { Next::Wait } else { Next::Load }
    }

    /// When it is to be tried again though it does not change, if it is.
    pub(super) fn again(&self) -> Option<Instant> {
        self.again
    }

    /// It is tried again at the next look.
    pub(super) fn try_again(&mut self, now: Instant) {
        self.again = Some(now);
    }

    /// It is left alone for a moment.
    pub(super) fn hold(&mut self, now: Instant) {
        self.held = Some(now + QUIET);
    }

    /// Whether it has had its time to become whole. The first question begins it.
    pub(super) fn is_patience_over(&mut self, now: Instant) -> bool {
        let since = *self.waiting.get_or_insert(now);
        now.duration_since(since) >= PATIENCE
    }

    /// It is loaded, or refused for what it is.
    pub(super) fn settle(&mut self, seen: Seen) {
        *self = Self { done: Some(seen), is_stuck: self.is_stuck, ..Self::default() };
    }

    /// It is refused for something that may pass.
    pub(super) fn settle_for_now(&mut self, seen: Seen, now: Instant) {
        let is_same = self.done.as_ref() == Some(&seen);
        let last = self.pause.filter(|_| is_same);
        let pause = last.map_or(FIRST_PAUSE, |last| (last * 2).min(LONGEST_PAUSE));
        self.settle(seen);
        (self.again, self.pause) = (Some(now + pause), Some(pause));
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::path::Path;
    use std::time::SystemTime;

    use super::*;
    use crate::plugin::supervise::folder;

    /// The plugin `a` as it is seen, with files that were written long ago.
    fn seen(folder: &Path, files: &[(&str, &str)]) -> Seen {
        for (name, content) in files {
            let path = folder.join(name);
            std::fs::write(&path, content).unwrap();
            let file = File::options().write(true).open(&path).unwrap();
            file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1_000)).unwrap();
        }
        folder::see(folder, "a").unwrap()
    }

    #[test]
    fn a_file_is_loaded_once_for_each_change() {
        let folder = tempfile::tempdir().unwrap();
        let (mut known, now) = (Known::default(), Instant::now());
        let first = seen(folder.path(), &[("a.wasm", "1")]);
        assert_eq!(known.next(&first, now), Next::Load);
        known.settle(first.clone());
        assert_eq!(known.next(&first, now + LONGEST_PAUSE), Next::Rest);
        let changed = seen(folder.path(), &[("a.wasm", "12")]);
        assert_eq!(known.next(&changed, now), Next::Load);
        known.hold(now);
        assert_eq!(known.next(&changed, now), Next::Wait);
        assert_eq!(known.next(&changed, now + QUIET), Next::Load);
        std::fs::write(folder.path().join("a.wasm"), "123").unwrap();
        let fresh = folder::see(folder.path(), "a").unwrap();
        known.settle(changed);
        if !fresh.is_settled(QUIET) {
            assert_eq!(known.next(&fresh, now), Next::Wait);
        }
    }

    #[test]
    fn a_sidecar_may_be_away_for_a_moment() {
        let folder = tempfile::tempdir().unwrap();
        let (mut known, now) = (Known::default(), Instant::now());
        let both = seen(folder.path(), &[("a.wasm", "1"), ("a.toml", "")]);
        known.settle(both.clone());
        std::fs::rename(folder.path().join("a.toml"), folder.path().join("a.away")).unwrap();
        let bare = seen(folder.path(), &[]);
        assert_eq!(known.next(&bare, now), Next::Wait);
        assert_eq!(known.next(&bare, now + PATIENCE / 2), Next::Wait);
        assert_eq!(known.next(&both, now + PATIENCE / 2), Next::Rest);
        // Each absence has its own time.
        assert_eq!(known.next(&bare, now + PATIENCE), Next::Wait);
        assert_eq!(known.next(&bare, now + 2 * PATIENCE), Next::Load);
        known.settle(bare.clone());
        assert_eq!(known.next(&bare, now + 2 * PATIENCE), Next::Rest);
    }

    #[test]
    fn what_may_pass_is_tried_again_ever_more_seldom() {
        let folder = tempfile::tempdir().unwrap();
        let (mut known, mut now) = (Known::default(), Instant::now());
        let first = seen(folder.path(), &[("a.wasm", "1")]);
        let mut pauses = Vec::new();
        for _ in 0..8 {
            known.settle_for_now(first.clone(), now);
            assert_eq!(known.next(&first, now), Next::Rest);
            let at = known.again().unwrap();
            assert_eq!(known.next(&first, at), Next::Load);
            pauses.push(at.duration_since(now).as_secs());
            now = at;
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
        let changed = seen(folder.path(), &[("a.wasm", "12")]);
        known.settle_for_now(changed.clone(), now);
        assert_eq!(known.again(), Some(now + FIRST_PAUSE));
        known.settle(changed);
        assert_eq!(known.again(), None);
    }
}
