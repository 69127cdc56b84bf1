//! Shows the effective configuration.

use axum::Json;
use axum::extract::State;

use super::Admin;
use crate::api::ConfigurationView;

/// Show the effective configuration
///
/// Each setting has its origin. The sidecars of plugins are not included.
#[utoipa::path(
    get,
    path = "/configuration",
    operation_id = "get_configuration",
    tag = "configuration",
    responses((status = 200, body = ConfigurationView, description = "The configuration."))
)]
pub(super) async fn show(State(admin): State<Admin>) -> Json<ConfigurationView> {
    Json((**admin.configuration.load()).clone())
}
