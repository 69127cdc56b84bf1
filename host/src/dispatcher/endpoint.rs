//! Limits how many requests an endpoint receives at a time, and how often.
//!
//! A new endpoint gets one request at a time. Each completed request allows one more concurrent request, and overload
//! resets the number to one. This way, an endpoint that becomes overloaded has only a few requests in flight, and an
//! endpoint that recovers is not flooded.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// The maximum number of concurrent requests to an endpoint, for all subscriptions together.
const MAX_CONCURRENT_REQUESTS: usize = 1_024;
/// The maximum number of endpoints that are remembered while they are idle.
const REMEMBERED_LIMIT: usize = 4_096;
/// How often a waiting delivery checks whether it should still be sent.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// The endpoints that receive deliveries.
#[derive(Clone, Debug, Default)]
pub(super) struct Endpoints(Arc<EndpointTable>);

#[derive(Debug, Default)]
struct EndpointTable {
    remembered: Mutex<HashMap<String, Endpoint>>,
    /// Notified when a permit is released.
    freed: Notify,
}

#[derive(Debug)]
struct Endpoint {
    /// The number of concurrent requests that it may receive.
    max_concurrent: usize,
    running: usize,
    /// Whether it has agreed to deliveries.
    agreed: bool,
    /// The minimum time between two requests, if the endpoint has set a rate.
    interval: Duration,
    /// The earliest time of the next request.
    next: Option<Instant>,
}

impl Default for Endpoint {
    fn default() -> Self {
        Self { max_concurrent: 1, running: 0, agreed: false, interval: Duration::ZERO, next: None }
    }
}

impl Endpoint {
    /// Starts a request, or returns how long to wait before the next check.
    fn start_request(&mut self, now: Instant) -> Result<(), Duration> {
        if self.running >= self.max_concurrent {
            return Err(CHECK_INTERVAL);
        }
        match self.next.filter(|next| *next > now) {
            Some(next) => Err(CHECK_INTERVAL.min(next - now)),
            None => {
                self.running += 1;
                self.next = Some(now + self.interval);
                Ok(())
            }
        }
    }
}

impl EndpointTable {
    /// Nothing panics while the lock is held, so a poisoned lock is usable.
    fn remembered(&self) -> MutexGuard<'_, HashMap<String, Endpoint>> {
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Endpoints {
    /// Waits for a permit for one request. None if cancelled, or if the delivery should not be sent any more.
    pub(super) async fn admit(
        &self,
        url: &str,
        should_send: impl Fn() -> bool,
        cancelled: &CancellationToken,
    ) -> Option<RequestPermit> {
        loop {
            let mut freed = std::pin::pin!(self.0.freed.notified());
            freed.as_mut().enable();
            if cancelled.is_cancelled() || !should_send() {
                return None;
            }
            let started = self.endpoint(url, |endpoint| endpoint.start_request(Instant::now()));
            let Err(wait) = started else {
                return Some(RequestPermit { endpoints: self.clone(), url: url.to_owned(), is_overloaded: false });
            };
            tokio::select! {
                () = freed => {}
                () = tokio::time::sleep(wait) => {}
                () = cancelled.cancelled() => {}
            }
        }
    }

    /// Whether an endpoint has agreed to deliveries since the host started.
    pub(super) fn has_agreed(&self, url: &str) -> bool {
        self.endpoint(url, |endpoint| endpoint.agreed)
    }

    /// Records that an endpoint has agreed to deliveries, and its maximum rate per minute if it has set one.
    pub(super) fn agree(&self, url: &str, per_minute: Option<NonZeroU32>) {
        let interval = per_minute.map_or(Duration::ZERO, |rate| Duration::from_mins(1) / rate.get());
        self.endpoint(url, |endpoint| {
            (endpoint.agreed, endpoint.interval) = (true, interval);
            endpoint.next = Some(Instant::now() + interval);
        });
    }

    /// Accesses the state of an endpoint, which is created if it is not known.
    fn endpoint<T>(&self, url: &str, access: impl FnOnce(&mut Endpoint) -> T) -> T {
        let mut remembered = self.0.remembered();
        if let Some(endpoint) = remembered.get_mut(url) {
            return access(endpoint);
        }
        if remembered.len() >= REMEMBERED_LIMIT {
            // A forgotten endpoint starts as a new one.
            remembered.retain(|_, endpoint| endpoint.running > 0);
        }
        access(remembered.entry(url.to_owned()).or_default())
    }
}

/// A permit for one request, released when it is dropped.
#[derive(Debug)]
pub(super) struct RequestPermit {
    endpoints: Endpoints,
    url: String,
    is_overloaded: bool,
}

impl RequestPermit {
    /// Records that the endpoint is overloaded.
    pub(super) fn overload(&mut self) {
        self.is_overloaded = true;
    }
}

impl Drop for RequestPermit {
    fn drop(&mut self) {
        self.endpoints.endpoint(&self.url, |endpoint| {
            endpoint.running = endpoint.running.saturating_sub(1);
            endpoint.max_concurrent =
                if self.is_overloaded { 1 } else { (endpoint.max_concurrent + 1).min(MAX_CONCURRENT_REQUESTS) };
        });
        self.endpoints.0.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "http://a/";

    async fn admitted(endpoints: &Endpoints) -> Option<RequestPermit> {
        let admit = async { endpoints.admit(URL, || true, &CancellationToken::new()).await };
        tokio::time::timeout(Duration::from_millis(1), admit).await.ok().flatten()
    }

    #[tokio::test]
    async fn requests_that_end_raise_the_limit_and_overload_lowers_it() {
        let endpoints = Endpoints::default();
        let first = admitted(&endpoints).await.unwrap();
        assert!(admitted(&endpoints).await.is_none(), "a new endpoint gets one request");
        drop(first);
        let mut two = [admitted(&endpoints).await.unwrap(), admitted(&endpoints).await.unwrap()];
        assert!(admitted(&endpoints).await.is_none());
        two[0].overload();
        let [overloaded, other] = two;
        drop(other);
        drop(overloaded);
        let _one = admitted(&endpoints).await.unwrap();
        assert!(admitted(&endpoints).await.is_none());
        let elsewhere = endpoints.admit("http://b/", || true, &CancellationToken::new()).await;
        assert!(elsewhere.is_some(), "endpoints are independent");
    }

    #[tokio::test]
    async fn a_waiting_delivery_ends_when_it_is_cancelled() {
        let endpoints = Endpoints::default();
        let _place = admitted(&endpoints).await.unwrap();
        assert!(endpoints.admit(URL, || false, &CancellationToken::new()).await.is_none());
        let cancelled = CancellationToken::new();
        let waiting = endpoints.admit(URL, || true, &cancelled);
        let cancel = async { cancelled.cancel() };
        assert!(tokio::join!(waiting, cancel).0.is_none());
    }

    /// Web Hooks 1.0.2, section 4.2.2: requests per minute.
    #[test]
    fn an_allowed_rate_is_kept() {
        let began = Instant::now();
        let at = |milliseconds| began + Duration::from_millis(milliseconds);
        let mut endpoint = Endpoint { max_concurrent: 9, interval: Duration::from_millis(500), ..Endpoint::default() };
        assert_eq!(endpoint.start_request(at(0)), Ok(()));
        assert_eq!(endpoint.start_request(at(100)), Err(Duration::from_millis(400)));
        assert_eq!(endpoint.start_request(at(499)), Err(Duration::from_millis(1)));
        assert_eq!(endpoint.start_request(at(500)), Ok(()));
        assert_eq!(endpoint.start_request(at(9_000)), Ok(()), "unused capacity does not accumulate");
        assert_eq!(endpoint.start_request(at(9_001)), Err(Duration::from_millis(499)));

        let endpoints = Endpoints::default();
        let next = |url: &str| endpoints.endpoint(url, |endpoint| endpoint.start_request(Instant::now()).is_ok());
        endpoints.agree("http://slow/", NonZeroU32::new(1));
        endpoints.agree("http://any/", None);
        assert!(!next("http://slow/"), "the handshake counts as a request");
        assert!(next("http://any/"));
    }
}
