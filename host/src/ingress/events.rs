//! `POST /events`: CloudEvents in, answered once they are durable.

use axum::body::Body;
use axum::extract::State;
use axum::http::{Method, Request, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::{Ingress, cloudevents};
use crate::bus::{Accepted, Bus};
use crate::outcome::Publish;
use crate::problem::Problem;
use crate::server::{HttpLimits, read_body};
use crate::telemetry;

pub(super) async fn handle(State(ingress): State<Ingress>, request: Request<Body>) -> Response {
    match publish(&ingress.bus, ingress.limits, request).await {
        Ok(accepted) => (StatusCode::ACCEPTED, axum::Json(json!({ "accepted": accepted }))).into_response(),
        Err(problem) => problem.into_response(),
    }
}

/// Takes a request's events, all or none.
pub(crate) async fn publish(bus: &Bus, limits: HttpLimits, request: Request<Body>) -> Result<Vec<Accepted>, Problem> {
    if request.method() != Method::POST {
        return Err(Problem::method_not_allowed(&["POST".to_owned()]));
    }
    let headers = request.headers().clone();
    let mode = cloudevents::Mode::of(&headers)?;
    let body = read_body(request, limits).await?;
    let events = cloudevents::parse(mode, &headers, body)?;
    let publishes = events.into_iter().map(|event| Publish { event, due: None }).collect();
    let accepted = bus.publish(publishes).await?;
    telemetry::published(accepted.iter().filter(|accepted| !accepted.duplicate).count());
    Ok(accepted)
}
