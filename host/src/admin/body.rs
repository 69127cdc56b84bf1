//! What requests carry, read so that a malformed one is refused with a problem.

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use super::Admin;
use crate::problem::Problem;
use crate::server::MediaType;
pub(super) use crate::server::Query;

/// A body in JSON. It needs no media type, though one with another charset than UTF-8 is refused.
#[derive(Debug)]
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<Admin> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, admin: &Admin) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        MediaType::of(&parts.headers)?.map_or(Ok(()), |media_type| media_type.demand_utf8())?;
        let bytes = admin.body_reader.read(&parts.headers, body).await?;
        serde_json::from_slice(&bytes).map(Self).map_err(|error| {
            let detail = format!("the body is not what is expected here: {error}");
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid-body", detail)
        })
    }
}

/// The parameters of the path.
#[derive(Debug)]
pub(super) struct Path<T>(pub(super) T);

impl<T: DeserializeOwned + Send> FromRequestParts<Admin> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, admin: &Admin) -> Result<Self, Problem> {
        let path = axum::extract::Path::from_request_parts(parts, admin).await;
        path.map(|path| Self(path.0)).map_err(|error| Problem::bad_request("invalid-path", error.body_text()))
    }
}
