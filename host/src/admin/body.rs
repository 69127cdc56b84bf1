//! Bodies in JSON, refused with a problem.

use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use serde::de::DeserializeOwned;

use super::Admin;
use crate::problem::Problem;
use crate::server::read_body;

/// A body in JSON. Its media type is not asked for.
#[derive(Debug)]
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<Admin> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, admin: &Admin) -> Result<Self, Problem> {
        let bytes = read_body(request, admin.limits).await?;
        serde_json::from_slice(&bytes).map(Self).map_err(|error| {
            let detail = format!("the body is not what is expected here: {error}");
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid-body", detail)
        })
    }
}
