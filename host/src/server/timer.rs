//! The timer that limits the time between requests of a connection.

use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use hyper::rt::{Sleep, Timer};

type Entry = Pin<Box<tokio::time::Sleep>>;

/// A timer for one connection, whose sleeps follow each other with increasing deadlines. All of them share one entry of
/// the runtime's timer: extending its deadline is an atomic operation, while creating and removing an entry for each
/// request takes locks.
#[derive(Clone, Default)]
pub(super) struct ConnectionTimer(Arc<Shared>);

#[derive(Default)]
struct Shared {
    entry: Mutex<Option<Entry>>,
    /// The deadline of all sleeps during a shutdown.
    shorten: OnceLock<Instant>,
}

/// A sleep that returns its timer entry when dropped.
struct Borrowed {
    entry: Option<Entry>,
    owner: ConnectionTimer,
}

impl ConnectionTimer {
    /// Limits all sleeps to a duration from now. The owner polls the sleeping future afterwards.
    pub(super) fn shorten(&self, patience: Duration) {
        // The first call counts.
        let _ = self.0.shorten.set(self.now() + patience);
    }

    fn slot(&self) -> std::sync::MutexGuard<'_, Option<Entry>> {
        self.0.entry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Timer for ConnectionTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        self.sleep_until(self.now() + duration)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        let entry = match self.slot().take() {
            Some(mut entry) => {
                entry.as_mut().reset(deadline.into());
                entry
            }
            None => Box::pin(tokio::time::sleep_until(deadline.into())),
        };
        Box::pin(Borrowed { entry: Some(entry), owner: self.clone() })
    }

    fn now(&self) -> Instant {
        tokio::time::Instant::now().into()
    }
}

impl Future for Borrowed {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let Self { entry, owner } = &mut *self;
        let entry = entry.as_mut().expect("a sleep returns its entry only when dropped");
        if let Some(until) = owner.0.shorten.get() {
            let until = (*until).into();
            if entry.deadline() > until {
                entry.as_mut().reset(until);
            }
        }
        entry.as_mut().poll(context)
    }
}

impl Sleep for Borrowed {}

impl Drop for Borrowed {
    fn drop(&mut self) {
        *self.owner.slot() = self.entry.take();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How long a sleep of so many milliseconds takes.
    async fn slept(timer: &ConnectionTimer, milliseconds: u64) -> Duration {
        let began = timer.now();
        timer.sleep(Duration::from_millis(milliseconds)).await;
        timer.now() - began
    }

    #[tokio::test]
    async fn a_sleep_ends_early_in_haste() {
        let timer = ConnectionTimer::default();
        let sleeping = timer.sleep(Duration::from_secs(3_600));
        timer.shorten(Duration::from_millis(5));
        sleeping.await;
        timer.sleep(Duration::from_secs(3_600)).await;
    }

    #[tokio::test]
    async fn no_sleep_ends_early_in_the_entry_of_another_one() {
        let timer = ConnectionTimer::default();
        let mut given_up = timer.sleep(Duration::from_millis(100));
        let polled = std::future::poll_fn(|context| Poll::Ready(given_up.as_mut().poll(context))).await;
        assert!(polled.is_pending());
        drop(given_up);
        assert!(timer.slot().is_some(), "its entry is there for the next one");
        assert!(slept(&timer, 200).await >= Duration::from_millis(200));
        assert!(slept(&timer, 5).await >= Duration::from_millis(5), "also after its end");
        let (one, other) = (timer.sleep(Duration::from_millis(10)), slept(&timer, 1).await);
        assert!(other >= Duration::from_millis(1), "two at a time do not share an entry");
        one.await;
    }
}
