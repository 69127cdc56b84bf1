//! `wasi:http`: requests that a component sends to hosts that its operator granted. They are not part of the
//! invocation's transaction: an invocation that is retried sends them again.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::body::{Body, Bytes, Frame, SizeHint};
use hyper::http::{HeaderValue, Request, Response};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep, timeout};
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

use super::{BODY_CHUNK_BYTES, FIELDS_BYTES};
use crate::outbound::{self, Fault, Outbound, SendError};
use crate::plugin::bindings::wasi::logging::logging::Level;
use crate::plugin::invocation::Invocation;
use crate::plugin::invocation::log::InvocationLog;
use crate::plugin::invocation::response_recorder::ResponseRecording;
use crate::plugin::manifest::settings::Settings;
use crate::usage::OutboundCall;

/// The context of the log lines of this interface.
const CONTEXT: &str = "wasi:http";
/// How long a request waits for its response, and for each part of it, unless the component sets a timeout. The
/// invocation's deadline ends it sooner.
const DEFAULT_TIMEOUT: Duration = Duration::from_mins(10);

/// Sends the requests of an instance.
#[derive(Default)]
pub(crate) struct Outgoing {
    context: Option<RequestContext>,
}

/// The data of the current invocation that sending a request needs.
#[derive(Clone)]
struct RequestContext {
    log: Arc<InvocationLog>,
    settings: Arc<Settings>,
    outbound: Outbound,
    /// Permits for outgoing requests of the plugin.
    connections: Arc<Semaphore>,
}

impl Outgoing {
    /// Starts a call: requests from now on belong to this invocation.
    pub(crate) fn begin(&mut self, invocation: Option<&Invocation>) {
        self.context = invocation.map(|invocation| RequestContext {
            log: Arc::clone(&invocation.log),
            settings: Arc::clone(&invocation.settings),
            outbound: invocation.environment.outbound.clone(),
            connections: Arc::clone(&invocation.connections),
        });
    }
}

/// The response to a request, and the future that sends its body.
type SendResult = Result<(Response<WasiBody>, Box<dyn Future<Output = Result<(), Error>> + Send>), Error>;

impl WasiHttpHooks for Outgoing {
    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        BODY_CHUNK_BYTES
    }

    fn p3_outgoing_body_chunk_size(&mut self) -> usize {
        BODY_CHUNK_BYTES
    }

    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = SendResult> + Send> {
        let context = self.context.clone();
        Box::new(async move {
            let response = context.ok_or(Error::HttpRequestDenied)?.send(request, options.unwrap_or_default()).await?;
            let sent: Box<dyn Future<Output = _> + Send> = Box::new(std::future::ready(Ok(())));
            Ok((response, sent))
        })
    }
}

impl RequestContext {
    async fn send(self, mut request: Request<WasiBody>, options: RequestOptions) -> Result<Response<WasiBody>, Error> {
        let recording = self.log.response_recorder.begin(request.uri());
        let (method, url) = (request.method().clone(), request.uri().clone());
        let host = url.host().unwrap_or_default().to_owned();
        let span = self.log.client.begin(request.headers_mut(), &method, &url);
        let permit = self.connections.acquire_owned().await.map_err(|_| Error::HttpRequestDenied)?;
        let body = |body: WasiBody| {
            let broken = |error| format!("the component failed to send its request: {error:?}").into();
            body.map_err(broken).boxed_unsync()
        };
        let wait = options.connect_timeout.unwrap_or_default() + options.first_byte_timeout.unwrap_or(DEFAULT_TIMEOUT);
        let sending = self.outbound.send_within(request.map(body), &self.settings.http, options.connect_timeout);
        let started = Instant::now();
        let record = |result: Result<u16, String>, recording: Option<ResponseRecording>| {
            if let Some(span) = span {
                span.end(result.as_ref().copied().map_err(String::as_str));
            }
            let (method, host, took) = (method.to_string(), host.clone(), started.elapsed());
            self.log.record_call(OutboundCall { method, host, result, took, recorded_response: None }, recording);
        };
        let response = match timeout(wait, sending).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => {
                // A request that was not sent has no grant, or is malformed.
                let was_sent = matches!(error, SendError::Unreachable(..) | SendError::Broken(..));
                record(Err(error.to_string()), recording.filter(|_| was_sent));
                self.log.add(Level::Warn, CONTEXT, &format!("{method} to {host} failed: {error}"));
                return Err(code(&error));
            }
            Err(_) => {
                record(Err("timed out".to_owned()), recording);
                self.log.add(Level::Warn, CONTEXT, &format!("{method} to {host} timed out"));
                return Err(Error::HttpResponseTimeout);
            }
        };
        if let Some(recording) = &recording {
            recording.headers(response.headers());
        }
        record(Ok(response.status().as_u16()), recording.clone());
        let response = bounded(response)?;
        let status = response.status().as_u16();
        self.log.add(Level::Debug, CONTEXT, &format!("{method} to {host} returned {status}"));
        let between = options.between_bytes_timeout.unwrap_or(DEFAULT_TIMEOUT);
        Ok(response.map(|body| {
            let incoming = Incoming { body, between, late: Box::pin(sleep(between)), recording, _permit: permit };
            incoming.record_end();
            incoming.boxed_unsync()
        }))
    }
}

/// Applies the limit of a component's own headers to the headers of a response. Copies the headers, which frees the
/// larger buffer that they were read into.
fn bounded<B>(response: Response<B>) -> Result<Response<B>, Error> {
    let (mut head, body) = response.into_parts();
    let bytes: usize = head.headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if bytes > FIELDS_BYTES {
        return Err(Error::HttpResponseHeaderSectionSize(u32::try_from(bytes).ok()));
    }
    for value in head.headers.values_mut() {
        let copied = HeaderValue::from_bytes(value.as_bytes());
        *value = copied.map_err(|error| Error::InternalError(Some(error.to_string())))?;
    }
    Ok(Response::from_parts(head, body))
}

/// The error code of the standard.
fn code(error: &SendError) -> Error {
    match error {
        SendError::Denied(_) => Error::HttpRequestDenied,
        SendError::Own(_) => Error::LoopDetected,
        SendError::Malformed(_) => Error::HttpRequestUriInvalid,
        // The standard's error for a failed name lookup has a text. It carries the reason, which tells the author what
        // to grant.
        SendError::Unreachable(Fault::Name, reason) => {
            let reason = reason.rsplit(": ").next().unwrap_or(reason).to_owned();
            Error::DnsError { rcode: Some(reason), info_code: None }
        }
        SendError::Unreachable(fault, _) | SendError::Broken(fault, _) => {
            code_of(*fault).unwrap_or_else(|| Error::InternalError(Some(error.to_string())))
        }
    }
}

/// The standard's code for a failure, if it has one.
fn code_of(fault: Fault) -> Option<Error> {
    Some(match fault {
        Fault::Name => Error::DnsError { rcode: None, info_code: None },
        Fault::Refused => Error::ConnectionRefused,
        Fault::NoRoute => Error::DestinationUnavailable,
        Fault::Ended => Error::ConnectionTerminated,
        Fault::Late => Error::ConnectionTimeout,
        Fault::Tls => Error::TlsProtocolError,
        Fault::Untrusted => Error::TlsCertificateError,
        Fault::Incomplete => Error::HttpResponseIncomplete,
        Fault::Protocol => Error::HttpProtocolError,
        Fault::Other => return None,
    })
}

/// The body of a response. It holds the request's permit until it is read or dropped.
struct Incoming {
    body: outbound::Body,
    /// The longest time between two parts.
    between: Duration,
    late: Pin<Box<Sleep>>,
    /// Records what the component reads.
    recording: Option<ResponseRecording>,
    _permit: OwnedSemaphorePermit,
}

impl Incoming {
    /// Records a part that the component reads.
    fn record<E>(&self, frame: Option<&Result<Frame<Bytes>, E>>) {
        let Some(recording) = &self.recording else { return };
        match frame {
            Some(Ok(frame)) => {
                if let Some(part) = frame.data_ref() {
                    recording.append(part);
                }
                self.record_end();
            }
            None => recording.complete(),
            Some(Err(_)) => recording.fail(),
        }
    }

    /// Records the end if the last part has been read, because a component may stop reading there.
    fn record_end(&self) {
        if let Some(recording) = self.recording.as_ref().filter(|_| self.body.is_end_stream()) {
            recording.complete();
        }
    }
}

impl Body for Incoming {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.body).poll_frame(cx);
        if let Poll::Ready(frame) = &polled {
            this.record(frame.as_ref());
        }
        let Self { between, late, recording, .. } = this;
        match polled {
            Poll::Ready(frame) => {
                late.as_mut().reset(Instant::now() + *between);
                let broken = |error: Box<dyn std::error::Error + Send + Sync>| {
                    code_of(Fault::of(&*error)).unwrap_or_else(|| Error::InternalError(Some(error.to_string())))
                };
                Poll::Ready(frame.map(|frame| frame.map_err(broken)))
            }
            Poll::Pending => late.as_mut().poll(cx).map(|()| {
                recording.iter().for_each(ResponseRecording::fail);
                Some(Err(Error::ConnectionReadTimeout))
            }),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
