//! Stub responses that a scenario gives in place of the network, and the recorded requests.

use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};

use http_body_util::BodyExt as _;
use hyper::http::{Request, Response};
use serde_json::Value;

use super::{Body, Fault, SendError, body};

/// The stubs of a scenario.
#[derive(Debug, Default)]
pub struct StubServer {
    stubs: Vec<Stub>,
    /// How many requests each stub has answered.
    answered: Mutex<Vec<u32>>,
    sent: Mutex<Vec<Sent>>,
}

/// How many requests each stub had answered at a moment.
#[derive(Clone, Debug)]
pub struct AnsweredCounts(Vec<u32>);

/// A stub response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stub {
    /// The matching requests: a method and a URL, such as `GET https://api.example.com/rates`. A trailing `*` matches
    /// any rest.
    pub request: String,
    /// The number of requests that it answers before the next matching stub takes over. `None` for all requests.
    pub times: Option<NonZeroU32>,
    /// The reason why the request fails without a response, if any.
    pub error: Option<String>,
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// A recorded request of a plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// The method and the URL.
    pub request: String,
    /// Its headers.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: Vec<u8>,
}

impl Stub {
    fn fits(&self, request: &str) -> bool {
        match self.request.strip_suffix('*') {
            Some(beginning) => request.starts_with(beginning),
            None => self.request == request,
        }
    }
}

impl StubServer {
    /// Responds with the first matching stub that has requests left.
    #[must_use]
    pub fn new(stubs: Vec<Stub>) -> Self {
        Self { answered: Mutex::new(vec![0; stubs.len()]), stubs, sent: Mutex::default() }
    }

    /// How many requests each stub has answered.
    #[must_use]
    pub fn answered(&self) -> AnsweredCounts {
        AnsweredCounts(self.answered.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    /// Takes back what the stubs have answered since.
    pub fn restore(&self, counts: AnsweredCounts) {
        *self.answered.lock().unwrap_or_else(PoisonError::into_inner) = counts.0;
    }

    /// The requests since the last call, in order.
    pub fn take_sent(&self) -> Vec<Sent> {
        std::mem::take(&mut *self.sent.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) async fn answer(&self, request: Request<Body>) -> Result<Response<Body>, SendError> {
        let (head, sent) = request.into_parts();
        let broken =
            |error: Box<dyn std::error::Error + Send + Sync>| SendError::Broken(Fault::Other, format!(": {error}"));
        let bytes = sent.collect().await.map_err(broken)?.to_bytes();
        let request = format!("{} {}", head.method, head.uri);
        let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
        let headers = head.headers.iter().map(|(name, value)| (name.to_string(), text(value.as_bytes())));
        let sent = Sent { request: request.clone(), headers: headers.collect(), body: bytes.to_vec() };
        self.sent.lock().unwrap_or_else(PoisonError::into_inner).push(sent);
        let failed = |reason: String| SendError::Unreachable(Fault::Other, format!(": {reason}"));
        let stub = self.next(&request).map_err(failed)?;
        if let Some(reason) = &stub.error {
            return Err(failed(reason.clone()));
        }
        let mut response = Response::builder().status(stub.status);
        for (name, value) in &stub.headers {
            response = response.header(name, value);
        }
        response.body(body(stub.body.clone())).map_err(|error| SendError::Broken(Fault::Other, format!(": {error}")))
    }

    /// Counts a request, and finds the stub that answers it.
    fn next(&self, request: &str) -> Result<&Stub, String> {
        let mut answered = self.answered.lock().unwrap_or_else(PoisonError::into_inner);
        let mut has_match = false;
        for (stub, count) in self.stubs.iter().zip(&mut *answered).filter(|(stub, _)| stub.fits(request)) {
            has_match = true;
            if stub.times.is_none_or(|times| *count < times.get()) {
                *count = count.saturating_add(1);
                return Ok(stub);
            }
        }
        Err(match has_match {
            true => format!(
                "the stubs that match `{request}` have answered as often as their `times` say; raise `times`, or add a \
                 stub to `given.http`"
            ),
            false => format!("no stub of the scenario matches `{request}`; add one to `given.http`"),
        })
    }
}

impl Sent {
    /// The request as JSON, as scenarios compare it.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let headers: serde_json::Map<_, _> =
            self.headers.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect();
        let mut json = serde_json::json!({ "request": self.request, "headers": headers });
        match serde_json::from_slice::<Value>(&self.body) {
            Ok(value) => json["json"] = value,
            Err(_) if self.body.is_empty() => {}
            Err(_) => json["body"] = String::from_utf8_lossy(&self.body).into(),
        }
        json
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stub(request: &str, status: u16, times: u32) -> Stub {
        let (request, headers) = (request.to_owned(), vec![("a".to_owned(), "b".to_owned())]);
        Stub { request, times: NonZeroU32::new(times), error: None, status, headers, body: b"{}".to_vec() }
    }

    /// The status of the response, or why there is none.
    async fn ask(server: &StubServer, method: &str, address: &str) -> Result<u16, String> {
        let request = Request::builder().method(method).uri(address).body(body("[1]")).unwrap();
        let response = server.answer(request).await;
        response.map(|response| response.status().as_u16()).map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn the_first_stub_that_fits_answers() {
        let server = StubServer::new(vec![stub("GET http://a/1", 200, 0), stub("GET http://a/*", 404, 0)]);
        assert_eq!(ask(&server, "GET", "http://a/1").await, Ok(200));
        assert_eq!(ask(&server, "GET", "http://a/2").await, Ok(404));
        assert!(ask(&server, "POST", "http://a/2").await.unwrap_err().contains("no stub of the scenario matches"));
        let sent: Vec<_> = server.take_sent().iter().map(Sent::to_json).collect();
        assert_eq!(sent.len(), 3);
        assert_eq!(sent[2], serde_json::json!({ "request": "POST http://a/2", "headers": {}, "json": [1] }));
    }

    #[tokio::test]
    async fn a_stub_answers_as_often_as_it_says_and_then_the_next_one_does() {
        let stubs = vec![
            stub("GET http://a/1", 503, 2),
            Stub { error: Some("connection refused".to_owned()), ..stub("GET http://a/*", 0, 1) },
            stub("GET http://a/1", 200, 1),
        ];
        let server = StubServer::new(stubs);
        assert_eq!(ask(&server, "GET", "http://a/1").await, Ok(503));
        // Other requests do not count.
        assert!(ask(&server, "GET", "http://a/2").await.unwrap_err().contains("connection refused"));
        assert_eq!(ask(&server, "GET", "http://a/1").await, Ok(503));
        assert_eq!(ask(&server, "GET", "http://a/1").await, Ok(200));
        for address in ["http://a/1", "http://a/2"] {
            assert!(ask(&server, "GET", address).await.unwrap_err().contains("as often as their `times` say"));
        }
    }

    #[tokio::test]
    async fn a_stub_answers_again_what_was_taken_back() {
        let server = StubServer::new(vec![stub("GET http://a/1", 503, 1), stub("GET http://a/1", 200, 1)]);
        assert_eq!(ask(&server, "GET", "http://a/1").await, Ok(503));
        let counts = server.answered();
        assert_eq!(ask(&server, "GET", "http://a/1").await, Ok(200));
        assert!(ask(&server, "GET", "http://a/1").await.is_err());
        server.restore(counts);
        assert_eq!(ask(&server, "GET", "http://a/1").await, Ok(200));
    }
}
