//! Stub responses that a scenario gives in place of the network, and the recorded requests.

use std::sync::{Mutex, PoisonError};

use http_body_util::BodyExt as _;
use hyper::http::{Request, Response};
use serde_json::Value;

use super::{Body, Fault, SendError, body};

/// The stubs of a scenario.
#[derive(Debug, Default)]
pub struct StubServer {
    stubs: Vec<Stub>,
    sent: Mutex<Vec<Sent>>,
}

/// A stub response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stub {
    /// The matching requests: a method and a URL, such as `GET https://api.example.com/rates`. A trailing `*` matches
    /// any rest.
    pub request: String,
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
    /// Responds with the first matching stub.
    #[must_use]
    pub fn new(stubs: Vec<Stub>) -> Self {
        Self { stubs, sent: Mutex::default() }
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
        let Some(stub) = self.stubs.iter().find(|stub| stub.fits(&request)) else {
            let reason = format!(": no stub of the scenario matches `{request}`; add one to `given.http`");
            return Err(SendError::Unreachable(Fault::Other, reason));
        };
        let mut response = Response::builder().status(stub.status);
        for (name, value) in &stub.headers {
            response = response.header(name, value);
        }
        response.body(body(stub.body.clone())).map_err(|error| SendError::Broken(Fault::Other, format!(": {error}")))
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

    #[tokio::test]
    async fn the_first_stub_that_fits_answers() {
        let stub = |request: &str, status| Stub {
            request: request.to_owned(),
            status,
            headers: vec![("a".to_owned(), "b".to_owned())],
            body: b"{}".to_vec(),
        };
        let script = StubServer::new(vec![stub("GET http://a/1", 200), stub("GET http://a/*", 404)]);
        let ask = async |method: &str, address: &str| {
            let request = Request::builder().method(method).uri(address).body(body("[1]")).unwrap();
            script.answer(request).await.map(|response| response.status().as_u16())
        };
        assert_eq!(ask("GET", "http://a/1").await.unwrap(), 200);
        assert_eq!(ask("GET", "http://a/2").await.unwrap(), 404);
        assert!(matches!(ask("POST", "http://a/2").await, Err(SendError::Unreachable(..))));
        let sent: Vec<_> = script.take_sent().iter().map(Sent::to_json).collect();
        assert_eq!(sent.len(), 3);
        assert_eq!(sent[2], serde_json::json!({ "request": "POST http://a/2", "headers": {}, "json": [1] }));
    }
}
