//! Limits how many refused requests are recorded. Tokens cannot be guessed; the limit prevents a client with a wrong
//! token from filling the logs, and the response tells the client to slow down.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::clock::Timestamp;

/// The length of a window.
const WINDOW: Duration = Duration::from_mins(1);
/// The refused requests in a window.
const MAX_FAILURES: u32 = 20;

/// Counts refused requests of a kind.
#[derive(Debug)]
pub(super) struct FailureLimiter {
    /// The kind, in the plural.
    kind: &'static str,
    window: Mutex<Window>,
}

#[derive(Debug, Default)]
struct Window {
    started_at: Timestamp,
    failures: u32,
}

impl FailureLimiter {
    pub(super) fn new(kind: &'static str) -> Self {
        Self { kind, window: Mutex::default() }
    }

    /// Counts a failure. The error is the number of seconds after which the next one is answered as usual.
    pub(super) fn note(&self, now: Timestamp) -> Result<(), u32> {
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        // The clock may be set back.
        if now < window.started_at || now.since(window.started_at) >= WINDOW {
            *window = Window { started_at: now, failures: 0 };
        }
        window.failures = window.failures.saturating_add(1);
        if window.failures <= MAX_FAILURES {
            return Ok(());
        }
        if window.failures == MAX_FAILURES + 1 {
            tracing::warn!(
                "many {} reached the admin interface; further ones are not recorded for a minute",
                self.kind
            );
        }
        let rest = WINDOW.saturating_sub(now.since(window.started_at));
        Err(u32::try_from(rest.as_secs()).unwrap_or(u32::MAX).max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_limited_in_each_minute() {
        let limiter = FailureLimiter::new("tests");
        let start = Timestamp(1_893_456_000_000);
        assert!((0..MAX_FAILURES).all(|_| limiter.note(start).is_ok()));
        assert_eq!(limiter.note(start), Err(60));
        assert_eq!(limiter.note(start.after(Duration::from_secs(45))), Err(15));
        assert_eq!(limiter.note(start.after(WINDOW)), Ok(()));
        assert_eq!(limiter.note(start), Ok(()), "the clock was set back");
    }
}
