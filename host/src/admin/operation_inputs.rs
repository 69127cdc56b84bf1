//! Rejects a body, query parameters, or the condition of a change if the operation does not read them. Otherwise a
//! filter in the wrong part of a request would have no effect. The OpenAPI document says what an operation reads.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::header::CONNECTION;
use axum::http::{HeaderValue, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use utoipa::openapi::path::{Operation, ParameterIn, PathItem};
use utoipa::openapi::{OpenApi, RefOr};

use super::precondition;
use crate::api;
use crate::problem::Problem;
use crate::server::{BodyReader, NoParameters, Query};

/// What the operations read, and how to read a body.
#[derive(Debug)]
pub(super) struct OperationInputs {
    pub(super) operations: Operations<RequestParts>,
    pub(super) body_reader: BodyReader,
}

/// A value for each documented operation, by path and method.
#[derive(Debug)]
pub(super) struct Operations<T>(BTreeMap<String, BTreeMap<Method, T>>);

/// What an operation reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RequestParts {
    body: bool,
    query: bool,
    condition: bool,
}

impl<T> Operations<T> {
    pub(super) fn of(document: &OpenApi, describe: impl Fn(&Operation) -> T) -> Self {
        let describe = |(method, operation): (Method, &Operation)| (method, describe(operation));
        let paths = document.paths.paths.iter();
        Self(paths.map(|(path, item)| (path.clone(), operations(item).map(describe).collect())).collect())
    }

    /// The operation of a method on a path. The router answers HEAD like GET.
    pub(super) fn find(&self, method: &Method, path: &str) -> Option<&T> {
        self.0.get(path)?.get(if method == Method::HEAD { &Method::GET } else { method })
    }

    /// Whether the path has any operation.
    pub(super) fn has_path(&self, path: &str) -> bool {
        self.0.contains_key(path)
    }
}

/// The operations of a path with their methods.
pub(super) fn operations(item: &PathItem) -> impl Iterator<Item = (Method, &Operation)> {
    let all = [
        (Method::GET, &item.get),
        (Method::POST, &item.post),
        (Method::PUT, &item.put),
        (Method::PATCH, &item.patch),
        (Method::DELETE, &item.delete),
    ];
    all.into_iter().filter_map(|(method, operation)| Some((method, operation.as_ref()?)))
}

impl RequestParts {
    pub(super) fn of(operation: &Operation) -> Self {
        Self {
            body: operation.request_body.is_some(),
            query: has_parameter(operation, &ParameterIn::Query),
            // The only documented header is `If-Match`.
            condition: has_parameter(operation, &ParameterIn::Header),
        }
    }
}

/// Whether an operation has a parameter in this part of the request.
pub(super) fn has_parameter(operation: &Operation, place: &ParameterIn) -> bool {
    parameters(operation, place).next().is_some()
}

/// The names of the parameters that an operation has in this part of the request.
pub(super) fn parameters<'a>(operation: &'a Operation, place: &'a ParameterIn) -> impl Iterator<Item = &'a str> {
    operation.parameters.iter().flatten().filter_map(move |parameter| match parameter {
        RefOr::T(parameter) => (parameter.parameter_in == *place).then_some(parameter.name.as_str()),
        RefOr::Ref(_) => None,
    })
}

/// Passes a request on if its operation reads every part of it.
pub(super) async fn check(State(inputs): State<Arc<OperationInputs>>, request: Request, next: Next) -> Response {
    let path = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str).to_owned();
    let reads = inputs.operations.find(request.method(), &path).copied();
    debug_assert!(reads.is_some(), "{path} is not in the OpenAPI document; add it with `routes!`");
    let reads = reads.unwrap_or(RequestParts { body: true, query: true, condition: true });
    // A health check may add parameters.
    if !reads.query
        && path.starts_with(api::ROOT)
        && let Err(problem) = Query::<NoParameters>::of(request.uri())
    {
        return problem.into_response();
    }
    let unsupported = precondition::unsupported(request.method(), request.headers(), reads.condition);
    if let Some(header) = unsupported.filter(|_| path.starts_with(api::ROOT)) {
        let detail = format!("{} {} does not support `{header}`; omit it", request.method(), request.uri().path());
        return Problem::bad_request("precondition-unsupported", detail).into_response();
    }
    if reads.body {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    match inputs.body_reader.up_to(0).collect(body).await {
        Ok(_) => next.run(Request::from_parts(parts, Body::empty())).await,
        Err(problem) if problem.code() == "body-too-large" => {
            let detail = format!("{} {} takes no body; use query parameters", parts.method, parts.uri.path());
            let close = HeaderValue::from_static("close");
            Problem::bad_request("unexpected-body", detail).header(CONNECTION, close).into_response()
        }
        Err(problem) => problem.into_response(),
    }
}
