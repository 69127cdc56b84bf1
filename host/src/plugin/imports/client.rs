//! Requests to other services in a single call, for components whose tools cannot use `wasi:http`. They need the same
//! grants.

use std::time::{Duration, Instant};

use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::header::{self, HeaderName};
use hyper::http::{Method, Request, Response, Uri};
use wasmtime::component::{HasSelf, Linker};
use wasmtime_wasi_http::DEFAULT_FORBIDDEN_HEADERS;

use super::wasi::{NAME_BYTES, PATH_BYTES, wait};
use crate::outbound::{self, Body, SendError};
use crate::plugin::bindings::sandbus::plugin::client;
use crate::plugin::bindings::wasi::logging::logging::Level;
use crate::plugin::invocation::InstanceData;
use crate::plugin::invocation::wasi_state::FIELDS_BYTES;
use crate::secrecy;
use crate::usage::OutboundCall;

/// The context of the log lines of this interface.
const CONTEXT: &str = "client";

/// Links the interface.
pub(super) fn link(linker: &mut Linker<InstanceData>) -> wasmtime::Result<()> {
    client::add_to_linker::<_, HasSelf<InstanceData>>(linker, |instance| instance)
}

impl client::Host for InstanceData {
    fn send(&mut self, request: client::Request) -> wasmtime::Result<Result<client::Answer, client::Error>> {
        let until = self.until;
        let invocation = self.invocation()?;
        let limit = request.timeout_ms.map_or(Duration::MAX, Duration::from_millis);
        let mut request = match request_of(request) {
            Ok(request) => request,
            Err(error) => return Ok(Err(error)),
        };
        let (outbound, settings, log) = (&invocation.environment.outbound, &invocation.settings, &invocation.log);
        let recording = log.response_recorder.begin(request.uri());
        let (method, url) = (request.method().clone(), request.uri().clone());
        let span = log.client.begin(request.headers_mut(), &method, &url);
        let host = url.host().unwrap_or_default().to_owned();
        let sending = async {
            let _permit = invocation.connections.acquire().await;
            let response = outbound.send(request, &settings.http).await.map_err(error_of)?;
            if let Some(recording) = &recording {
                recording.headers(response.headers());
            }
            answer_of(response, settings.limits.memory_bytes).await
        };
        let started = Instant::now();
        let sent = wait(until, async { tokio::time::timeout(limit, sending).await })?;
        let sent = sent.unwrap_or(Err(client::Error::Timeout));
        let result = sent.as_ref().map(|answer| answer.status).map_err(|error| reason(error).to_owned());
        if let Some(span) = span {
            span.end(result.as_ref().copied().map_err(String::as_str));
        }
        if let (Some(recording), Ok(answer)) = (&recording, &sent) {
            recording.append(&answer.body);
            recording.complete();
        }
        let (method_name, took) = (method.to_string(), started.elapsed());
        let call = OutboundCall { method: method_name, host: host.clone(), result, took, recorded_response: None };
        log.record_call(call, recording.filter(|_| was_sent(&sent)));
        match &sent {
            Ok(answer) => {
                log.add(Level::Debug, CONTEXT, &format!("{method} to {host} returned {}", answer.status));
            }
            Err(error) => {
                log.add(Level::Warn, CONTEXT, &format!("{method} to {host} failed: {}", reason(error)));
            }
        }
        Ok(sent)
    }
}

/// Whether the request was sent. A request that was not sent has no grant, or is malformed.
fn was_sent(sent: &Result<client::Answer, client::Error>) -> bool {
    matches!(sent, Ok(_) | Err(client::Error::Unreachable(_) | client::Error::Timeout))
}

fn reason(error: &client::Error) -> &str {
    match error {
        client::Error::Denied(reason) | client::Error::Invalid(reason) | client::Error::Unreachable(reason) => reason,
        client::Error::Timeout => "timed out",
    }
}

fn request_of(request: client::Request) -> Result<Request<Body>, client::Error> {
    let client::Request { method, url, headers, body, .. } = request;
    let invalid = |what: String| client::Error::Invalid(format!("the request is malformed: {what}"));
    if url.len() > PATH_BYTES {
        return Err(invalid(format!("its URL has more than {PATH_BYTES} bytes")));
    }
    if method.len() > NAME_BYTES {
        return Err(invalid(format!("its method has more than {NAME_BYTES} bytes")));
    }
    let uri: Uri = url.parse().map_err(|error| invalid(format!("its URL, {}: {error}", secrecy::address(&url))))?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err(invalid(format!("{} is not an http or https URL", secrecy::address(&url))));
    }
    let method: Method = method.parse().map_err(|_| invalid(format!("its method is {}", secrecy::token(&method))))?;
    let size: usize = headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    if size > FIELDS_BYTES {
        return Err(invalid(format!("its headers have more than {FIELDS_BYTES} bytes")));
    }
    let mut builder = Request::builder().method(method).uri(uri);
    for (name, value) in headers {
        let name: HeaderName =
            name.parse().map_err(|_| invalid(format!("the name of a header is {}", secrecy::token(&name))))?;
        if is_reserved(&name) {
            return Err(invalid(format!("only the host may set the header `{name}`")));
        }
        builder = builder.header(name, value);
    }
    builder.body(outbound::body(body)).map_err(|error| invalid(error.to_string()))
}

/// Headers that a guest may not set. `wasi:http` refuses some of them, because they could direct a request to a host
/// that was not granted. The others depend on the body and the connection.
fn is_reserved(name: &HeaderName) -> bool {
    DEFAULT_FORBIDDEN_HEADERS.contains(name) || [header::CONTENT_LENGTH, header::TE].contains(name)
}

async fn answer_of(response: Response<Body>, limit_bytes: usize) -> Result<client::Answer, client::Error> {
    let (head, body) = response.into_parts();
    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    let headers = head.headers.iter().map(|(name, value)| (name.to_string(), text(value.as_bytes()))).collect();
    let body = Limited::new(body, limit_bytes).collect().await.map_err(|error| {
        client::Error::Unreachable(match error.is::<LengthLimitError>() {
            true => {
                format!("the response has more than {limit_bytes} bytes, which is the plugin's memory limit")
            }
            false => "the response ended early".to_owned(),
        })
    })?;
    Ok(client::Answer { status: head.status.as_u16(), headers, body: body.to_bytes().to_vec() })
}

fn error_of(error: SendError) -> client::Error {
    match error {
        SendError::Denied(reason) => client::Error::Denied(reason),
        SendError::Own(_) => client::Error::Denied(error.to_string()),
        SendError::Malformed(reason) => client::Error::Invalid(format!("the request is malformed: {reason}")),
        SendError::Unreachable(..) | SendError::Broken(..) => {
            client::Error::Unreachable(format!("the request failed: {error}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_that_redirect_a_request_are_refused() {
        let request = |header: &str| {
            request_of(client::Request {
                method: "GET".to_owned(),
                url: "http://example.com/".to_owned(),
                headers: vec![(header.to_owned(), "admin.internal".to_owned())],
                body: Vec::new(),
                timeout_ms: None,
            })
        };
        for header in [
            "Host",
            "connection",
            "Transfer-Encoding",
            "keep-alive",
            "proxy-connection",
            "te",
            "content-length",
            "bad header",
        ] {
            assert!(matches!(request(header), Err(client::Error::Invalid(_))), "{header}");
        }
        let long = "x".repeat(FIELDS_BYTES);
        assert!(matches!(request(&long), Err(client::Error::Invalid(reason)) if reason.contains("32768")));
        assert_eq!(request("X-Tenant").unwrap().headers()["x-tenant"], "admin.internal");
    }

    #[test]
    fn a_malformed_request_is_refused_without_its_secrets() {
        let request = |method: &str, url: &str, header: &str| {
            request_of(client::Request {
                method: method.to_owned(),
                url: url.to_owned(),
                headers: vec![(header.to_owned(), "s3cret".to_owned())],
                body: Vec::new(),
                timeout_ms: None,
            })
        };
        for (method, url, header) in [
            ("GET", "http://ada:s3cret@ho st/", "a"),
            ("GET", "//ada:s3cret@host/?s3cret", "a"),
            ("GET", "/hook?token=s3cret", "a"),
            ("GET", "ftp://ada:s3cret@host/?s3cret#s3cret", "a"),
            ("GET", "s3cret", "a"),
            ("GET", "host:s3cret", "a"),
            ("GET s3cret", "http://host/", "a"),
            ("GET", "http://host/?s3cret", "authorization: s3cret"),
            ("GET", "http://host/?s3cret", "host"),
        ] {
            let refused = request(method, url, header);
            let Err(client::Error::Invalid(reason)) = refused else { panic!("{method} {url} {header}: {refused:?}") };
            assert!(!reason.contains("s3cret"), "{reason}");
        }
        let Err(client::Error::Invalid(reason)) = request("GET", "http://ho st/?s3cret", "a") else { panic!() };
        assert!(reason.contains("a text of 20 bytes with a fault at byte 10"), "{reason}");
    }
}
