//! Shows what the host stores, and how much space is left.

use std::{io, path};

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use super::Admin;
use crate::api::StorageView;
use crate::files;
use crate::problem::Problem;

/// Show what the host stores, and how much space is left
///
/// The sizes are those of the files. Space that deleted events and records have left within the files is used again.
#[utoipa::path(
    get,
    path = "/storage",
    operation_id = "get_storage",
    tag = "configuration",
    responses((status = 200, body = StorageView, description = "The storage."))
)]
pub(super) async fn show(State(admin): State<Admin>) -> Result<Json<StorageView>, Problem> {
    let extent = admin.bus.extent().await?;
    let data = admin.data.clone();
    let space = tokio::task::spawn_blocking(move || files::disk_space(&data)).await;
    let space = space.unwrap_or_else(|error| Err(io::Error::other(error))).map_err(unreadable)?;
    Ok(Json(StorageView {
        directory: path::absolute(&admin.data).map_err(unreadable)?.display().to_string(),
        bus_bytes: extent.bytes,
        ledger_bytes: admin.ledger.size_bytes().await,
        archive_bytes: admin.reconciler.archive_bytes().await.map_err(unreadable)?,
        free_bytes: space.free,
        total_bytes: space.total,
        first_position: extent.oldest.map(|oldest| oldest.position.0),
        last_position: extent.newest.map(|newest| newest.position.0),
        oldest_event_at: extent.oldest.map(|oldest| oldest.stored_at.to_string()),
    }))
}

#[allow(clippy::needless_pass_by_value, reason = "passed as a function")]
fn unreadable(error: io::Error) -> Problem {
    let detail = format!("cannot measure the data directory: {error}; check its permissions");
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "store-unreadable", detail)
}
