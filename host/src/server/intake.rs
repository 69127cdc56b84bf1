//! Bodies of requests: read within limits, and not waited for when the server stops.

use axum::body::{Body, Bytes, HttpBody as _};
use axum::http::header::CONTENT_ENCODING;
use axum::http::{HeaderMap, StatusCode};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use tokio_util::sync::CancellationToken;

use super::refusal::{body_too_large, last, stopping};
use super::{HttpLimits, STOP_PATIENCE};
use crate::problem::Problem;

/// What the bodies of requests are held to.
#[derive(Clone, Debug)]
pub struct Intake {
    /// The limits of requests.
    pub limits: HttpLimits,
    /// Is cancelled when the server stops.
    pub stop: CancellationToken,
}

impl Intake {
    /// The same for bodies up to another size.
    #[must_use]
    pub fn up_to(&self, max_body_bytes: usize) -> Self {
        Self { limits: HttpLimits { max_body_bytes, ..self.limits }, stop: self.stop.clone() }
    }

    /// Reads a request's body.
    ///
    /// # Errors
    /// A problem with 413 if it is too large, 408 if it is too slow, 415 if it is compressed, 400 if it breaks
    /// off, 503 if the server stops before it has come.
    pub async fn read(&self, headers: &HeaderMap, body: Body) -> Result<Bytes, Problem> {
        // RFC 9110, sections 5.6.1 and 8.4.1: a list, in which empty elements count for nothing, of names without case.
        let lists = headers.get_all(CONTENT_ENCODING).iter();
        let mut codings = lists.flat_map(|list| list.as_bytes().split(|byte| *byte == b',')).map(<[u8]>::trim_ascii);
        if !codings.all(|coding| coding.is_empty() || coding.eq_ignore_ascii_case(b"identity")) {
            let detail = "compressed bodies are not taken; send it without Content-Encoding";
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "content-encoding", detail));
        }
        self.collect(body).await
    }

    /// Reads a request's body of any coding.
    ///
    /// # Errors
    /// As [`Self::read`] does, save 415.
    pub async fn collect(&self, body: Body) -> Result<Bytes, Problem> {
        if body.is_end_stream() {
            return Ok(Bytes::new());
        }
        self.check_length(&body)?;
        self.collect_within(body).await.map_err(last)
    }

    async fn collect_within(&self, body: Body) -> Result<Bytes, Problem> {
        let limits = self.limits;
        let body = Limited::new(body, limits.max_body_bytes);
        // Boxed, since most of what waits for it would carry its size and never need it.
        let collected = Box::pin(async {
            tokio::select! {
                biased;
                collected = tokio::time::timeout(limits.body_timeout, body.collect()) => Some(collected),
                () = self.stopped() => None,
            }
        });
        match collected.await {
            Some(Ok(Ok(collected))) => Ok(collected.to_bytes()),
            Some(Ok(Err(error))) if error.is::<LengthLimitError>() => Err(body_too_large(self.limits)),
            Some(Ok(Err(error))) => {
                Err(Problem::bad_request("body-unreadable", format!("the body cannot be read: {error}")))
            }
            Some(Err(_)) => {
                let timeout = humantime::format_duration(limits.body_timeout);
                let detail = format!("the body did not arrive within {timeout}");
                Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "body-too-slow", detail))
            }
            None => Err(stopping("the body of the request had not arrived")),
        }
    }

    /// Waits until the server has stopped for as long as it waits for clients that are sending.
    pub async fn stopped(&self) {
        self.stop.cancelled().await;
        tokio::time::sleep(STOP_PATIENCE).await;
    }

    /// Refuses a body that says beforehand that it is too large: a client that waits for `100 Continue` is told not to
    /// send it (RFC 9110, section 10.1.1).
    ///
    /// # Errors
    /// A problem with 413.
    pub fn check_length(&self, body: &Body) -> Result<(), Problem> {
        if body.size_hint().lower() > self.limits.max_body_bytes as u64 {
            Err(body_too_large(self.limits))
        } else {
            Ok(())
        }
    }
}
