//! Reads request bodies within limits, and stops reading when the server stops.

use axum::body::{Body, Bytes, HttpBody as _};
use axum::http::header::CONTENT_ENCODING;
use axum::http::{HeaderMap, StatusCode};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use tokio_util::sync::CancellationToken;

use super::refusal::{body_too_large, last, stopping};
use super::{HttpLimits, STOP_GRACE_PERIOD};
use crate::problem::Problem;

/// The limits of request bodies.
#[derive(Clone, Debug)]
pub struct BodyReader {
    /// The limits of requests.
    pub limits: HttpLimits,
    /// Cancelled when the server stops.
    pub stop: CancellationToken,
}

impl BodyReader {
    /// The same limits with another maximum size.
    #[must_use]
    pub fn up_to(&self, max_body_bytes: usize) -> Self {
        Self { limits: HttpLimits { max_body_bytes, ..self.limits }, stop: self.stop.clone() }
    }

    /// Reads a request's body.
    ///
    /// # Errors
    /// A problem: 413 for a body that is too large, 408 for one that is too slow, 415 for a compressed one, 400 for one
    /// that breaks off, 503 if the server stops first.
    pub async fn read(&self, headers: &HeaderMap, body: Body) -> Result<Bytes, Problem> {
        // RFC 9110, sections 5.6.1 and 8.4.1: a list of case-insensitive names. Empty elements are ignored.
        let lists = headers.get_all(CONTENT_ENCODING).iter();
        let mut codings = lists.flat_map(|list| list.as_bytes().split(|byte| *byte == b',')).map(<[u8]>::trim_ascii);
        if !codings.all(|coding| coding.is_empty() || coding.eq_ignore_ascii_case(b"identity")) {
            let detail = "compressed bodies are not supported; send the body without Content-Encoding";
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "content-encoding", detail));
        }
        self.collect(body).await
    }

    /// Reads a request's body in any content coding.
    ///
    /// # Errors
    /// As [`Self::read`], except for 415.
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
        // Boxed, since its size would otherwise be part of every future that awaits it.
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
                Err(Problem::bad_request("body-unreadable", format!("cannot read the body: {error}")))
            }
            Some(Err(_)) => {
                let timeout = humantime::format_duration(limits.body_timeout);
                let detail = format!("the body did not arrive within {timeout}");
                Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "body-too-slow", detail))
            }
            None => Err(stopping("the request body had not arrived")),
        }
    }

    /// Waits until the server has stopped and its time for arriving requests is over.
    pub async fn stopped(&self) {
        self.stop.cancelled().await;
        tokio::time::sleep(STOP_GRACE_PERIOD).await;
    }

    /// Refuses a body whose declared length is too large. A client that waits for `100 Continue` then does not send it
    /// (RFC 9110, section 10.1.1).
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
