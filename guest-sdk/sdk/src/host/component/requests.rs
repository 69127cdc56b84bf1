//! Sends requests through `wasi:http`.

use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    ErrorCode, Fields, IncomingBody, IncomingResponse, Method, OutgoingBody, OutgoingRequest, RequestOptions, Scheme,
};
use wasip2::io::streams::StreamError;

use crate::model::request::{Request, Response, SendError};

/// The most bytes of one write (wasi:io/streams, `blocking-write-and-flush`).
const PART: usize = 4_096;
/// The most bytes of one read.
const READ: u64 = 64 << 10;

pub(crate) fn send(request: Request) -> Result<Response, SendError> {
    let (scheme, authority, path) = parts(&request.url)?;
    let broken = |what: &str| SendError::Unreachable(what.to_owned());
    let headers = Fields::new();
    let append = |name: &str, value: &str| {
        let refused = |error| SendError::Invalid(format!("the header `{name}`: {error:?}"));
        headers.append(name, value.as_bytes()).map_err(refused)
    };
    for (name, value) in &request.headers {
        append(name, value)?;
    }
    if !request.body.is_empty() {
        append("content-length", &request.body.len().to_string())?;
    }
    let outgoing = OutgoingRequest::new(headers);
    let invalid = |what: &'static str| move |()| SendError::Invalid(format!("its {what}"));
    outgoing.set_method(&method(&request.method)).map_err(invalid("method"))?;
    outgoing.set_scheme(Some(&scheme)).map_err(invalid("scheme"))?;
    outgoing.set_authority(Some(authority)).map_err(invalid("host"))?;
    outgoing.set_path_with_query(Some(&path)).map_err(invalid("path"))?;
    let body = outgoing.body().map_err(|()| broken("its body was taken"))?;

    let failed = |code| error(code, authority);
    let pending = outgoing_handler::handle(outgoing, options(&request)).map_err(failed)?;
    write(body, &request.body)?;
    pending.subscribe().block();
    let response = pending.get().ok_or_else(|| broken("it was not ready"))?;
    let response = response.map_err(|()| broken("it was taken"))?.map_err(failed)?;
    let (status, headers) = (response.status(), readable(&response));
    Ok(Response { status, headers, body: read(&response)? })
}

/// Splits an address into the scheme, the host with the port, and the path with the query.
fn parts(url: &str) -> Result<(Scheme, &str, String), SendError> {
    let (scheme, rest) = match (url.strip_prefix("https://"), url.strip_prefix("http://")) {
        (Some(rest), _) => (Scheme::Https, rest),
        (None, Some(rest)) => (Scheme::Http, rest),
        (None, None) => return Err(SendError::Invalid(format!("`{url}` is not an http or https address"))),
    };
    let rest = rest.split('#').next().unwrap_or_default();
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    Ok((scheme, authority, path))
}

fn method(method: &str) -> Method {
    match method {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "POST" => Method::Post,
        "PUT" => Method::Put,
        "DELETE" => Method::Delete,
        "OPTIONS" => Method::Options,
        "PATCH" => Method::Patch,
        other => Method::Other(other.to_owned()),
    }
}

fn options(request: &Request) -> Option<RequestOptions> {
    let nanoseconds = u64::try_from(request.timeout?.as_nanos()).unwrap_or(u64::MAX);
    let options = RequestOptions::new();
    // A host may not support timeouts. The handler's own timeout still applies.
    let _ = options.set_connect_timeout(Some(nanoseconds));
    let _ = options.set_first_byte_timeout(Some(nanoseconds));
    let _ = options.set_between_bytes_timeout(Some(nanoseconds));
    Some(options)
}

fn write(body: OutgoingBody, bytes: &[u8]) -> Result<(), SendError> {
    let broken = |what: &dyn std::fmt::Debug| SendError::Unreachable(format!("the request was interrupted: {what:?}"));
    let stream = body.write().map_err(|()| broken(&"its body was taken"))?;
    for part in bytes.chunks(PART) {
        match stream.blocking_write_and_flush(part) {
            Ok(()) => {}
            // The server may respond before it has read everything.
            Err(StreamError::Closed) => break,
            Err(StreamError::LastOperationFailed(error)) => return Err(broken(&error.to_debug_string())),
        }
    }
    drop(stream);
    // The response shows whether the server accepted the body.
    drop(OutgoingBody::finish(body, None));
    Ok(())
}

fn readable(response: &IncomingResponse) -> Vec<(String, String)> {
    let headers = response.headers().entries().into_iter();
    headers.map(|(name, value)| (name.to_lowercase(), String::from_utf8_lossy(&value).into_owned())).collect()
}

fn read(response: &IncomingResponse) -> Result<Vec<u8>, SendError> {
    let broken = |what: String| SendError::Unreachable(format!("the response was interrupted: {what}"));
    let body: IncomingBody = response.consume().map_err(|()| broken("it was taken".to_owned()))?;
    let stream = body.stream().map_err(|()| broken("it was taken".to_owned()))?;
    let mut bytes = Vec::new();
    loop {
        match stream.blocking_read(READ) {
            Ok(part) => bytes.extend(part),
            Err(StreamError::Closed) => return Ok(bytes),
            Err(StreamError::LastOperationFailed(error)) => return Err(broken(error.to_debug_string())),
        }
    }
}

fn error(code: ErrorCode, authority: &str) -> SendError {
    match code {
        ErrorCode::HttpRequestDenied => SendError::Denied(authority.to_owned()),
        ErrorCode::LoopDetected => SendError::Own(authority.to_owned()),
        ErrorCode::HttpRequestUriInvalid | ErrorCode::HttpRequestMethodInvalid => {
            SendError::Invalid("its address or its method".to_owned())
        }
        ErrorCode::ConnectionTimeout | ErrorCode::ConnectionReadTimeout | ErrorCode::HttpResponseTimeout => {
            SendError::Timeout
        }
        ErrorCode::DnsError(payload) => {
            SendError::Unreachable(payload.rcode.unwrap_or_else(|| "the name of the host does not resolve".to_owned()))
        }
        ErrorCode::ConnectionRefused => SendError::Unreachable("the connection was refused".to_owned()),
        ErrorCode::ConnectionTerminated => SendError::Unreachable("the connection was closed".to_owned()),
        ErrorCode::DestinationUnavailable => SendError::Unreachable("there is no route to the host".to_owned()),
        ErrorCode::TlsCertificateError => SendError::Unreachable("its certificate is not trusted".to_owned()),
        ErrorCode::InternalError(reason) => SendError::Unreachable(reason.unwrap_or_else(|| "it failed".to_owned())),
        other => SendError::Unreachable(format!("{other:?}")),
    }
}
