//! Lists the events and requests of scenario files, as samples for publishing.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use super::{Admin, events};
use crate::api::{HeaderView, SampleFaultView, SampleList, SampleRequestView, SampleView};
use crate::problem::Problem;
use crate::scenario::{Sample, SampleKind};

/// List the events and requests of scenario files
///
/// `sandbus dev` reads the scenario files of its projects. `sandbus serve` reads `scenarios.toml` and the directory `tests`
/// in the plugin folder.
#[utoipa::path(
    get,
    path = "/samples",
    operation_id = "list_samples",
    tag = "events",
    responses((status = 200, body = SampleList, description = "The samples."))
)]
pub(super) async fn list(State(admin): State<Admin>) -> Result<Json<SampleList>, Problem> {
    let scenarios = admin.scenarios.clone();
    let read = tokio::task::spawn_blocking(move || scenarios.read()).await.map_err(|error| {
        tracing::error!(%error, "reading the scenario files panicked");
        let detail = "the host failed to read the scenario files; see its log";
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "host-failed", detail)
    })?;
    let fault = |fault: crate::scenario::SampleFault| SampleFaultView { file: fault.file, reason: fault.reason };
    Ok(Json(SampleList {
        samples: read.samples.into_iter().map(view).collect::<Result<_, _>>()?,
        faults: read.faults.into_iter().map(fault).collect(),
        omitted: read.omitted as u64,
    }))
}

fn view(sample: Sample) -> Result<SampleView, Problem> {
    let Sample { file, scenario, step, kind } = sample;
    let (event, request) = match kind {
        SampleKind::Event(event) => (Some(events::document(&event)?), None),
        SampleKind::Request { method, target, headers, body } => {
            let header = |(name, value)| HeaderView { name, value };
            let body = String::from_utf8_lossy(&body).into_owned();
            let headers = headers.into_iter().map(header).collect();
            (None, Some(SampleRequestView { method, path: target, headers, body }))
        }
    };
    Ok(SampleView { file, scenario, step: step as u64, event, request })
}
