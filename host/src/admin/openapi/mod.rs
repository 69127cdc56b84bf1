//! The OpenAPI document of the admin API. It is made from the routes, their handlers and the types of the API, so that it
//! cannot differ from them.

mod problems;

use std::sync::OnceLock;

use axum::Json;
use utoipa::OpenApi as _;
use utoipa::openapi::schema::{Object, Schema};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{OpenApi, RefOr};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{
    Admin, audit, backup, cause_trees, configuration, dead_letters, deliveries, events, generations, health, login,
    plugin_files, plugins, records, route_requests, samples, schedules, state, storage, stream, subscriptions, tokens,
    webhook_secrets,
};
use crate::api::{self, ProblemView, schemas};

/// The parts of the document that belong to no route.
#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Sandbus admin API",
        version = "1",
        description = "Operates a Sandbus host: plugins, subscriptions, events, dead letters and schedules.",
        license(name = "Apache-2.0 OR MIT", identifier = "Apache-2.0 OR MIT")
    ),
    servers((url = "http://127.0.0.1:8081", description = "The default address of the admin interface.")),
    tags(
        (name = "plugins", description = "Plugins and their files."),
        (name = "subscriptions", description = "Subscriptions, their rules, and replays."),
        (name = "events", description = "The log of events."),
        (name = "dead-letters", description = "Deliveries that are not retried."),
        (name = "deliveries", description = "Pending deliveries."),
        (name = "state", description = "The state of plugins."),
        (name = "schedules", description = "Schedules of plugins, and delayed events."),
        (name = "ledger", description = "What happened: attempts, requests, cause trees and statistics."),
        (name = "access", description = "Tokens, roles, and the audit log."),
        (name = "backup", description = "Backups of the host."),
        (name = "configuration", description = "The configuration and the storage of the host."),
        (name = "health", description = "Health, readiness and metrics."),
        (name = "document", description = "This document.")
    ),
    components(schemas(ProblemView, schemas::Cause, schemas::Duration, schemas::Pattern, schemas::PendingState))
)]
struct Skeleton;

/// The routes with their documentation.
///
/// Add routes here only, with `routes!`: it documents them.
pub(super) fn routes() -> OpenApiRouter<Admin> {
    let api = OpenApiRouter::new()
        .routes(routes!(document))
        .routes(routes!(plugins::list))
        .routes(routes!(plugins::show, plugin_files::remove))
        .routes(routes!(plugin_files::upload))
        .routes(routes!(plugin_files::sidecar, plugin_files::put_sidecar, plugin_files::remove_sidecar))
        .routes(routes!(plugin_files::enable))
        .routes(routes!(plugin_files::disable))
        .routes(routes!(plugins::drain))
        .routes(routes!(plugins::resume))
        .routes(routes!(generations::roll_back))
        .routes(routes!(generations::canary))
        .routes(routes!(subscriptions::list, subscriptions::put))
        .routes(routes!(subscriptions::show, subscriptions::delete))
        .routes(routes!(subscriptions::pause))
        .routes(routes!(subscriptions::resume))
        .routes(routes!(subscriptions::replay, subscriptions::stop_replays))
        .routes(routes!(webhook_secrets::rotate))
        .routes(routes!(schedules::schedules))
        .routes(routes!(schedules::scheduled, schedules::cancel))
        .routes(routes!(events::list, events::publish))
        .routes(routes!(events::show))
        .routes(routes!(samples::list))
        .routes(routes!(configuration::show))
        .routes(routes!(storage::show))
        .routes(routes!(events::compact))
        .routes(routes!(dead_letters::list, dead_letters::drop_matching))
        .routes(routes!(dead_letters::groups))
        .routes(routes!(dead_letters::set_group_status))
        .routes(routes!(dead_letters::show))
        .routes(routes!(dead_letters::redrive))
        .routes(routes!(dead_letters::redrive_edited))
        .routes(routes!(deliveries::list))
        .routes(routes!(deliveries::retry_now))
        .routes(routes!(state::keys))
        .routes(routes!(state::get, state::put, state::delete))
        .routes(routes!(cause_trees::show))
        .routes(routes!(records::attempts))
        .routes(routes!(records::requests, route_requests::send))
        .routes(routes!(records::statistics))
        .routes(routes!(records::minutes))
        .routes(routes!(stream::follow))
        .routes(routes!(tokens::access))
        .routes(routes!(login::methods))
        .routes(routes!(login::begin))
        .routes(routes!(login::complete))
        .routes(routes!(login::create, login::delete))
        .routes(routes!(tokens::list, tokens::create))
        .routes(routes!(tokens::revoke))
        .routes(routes!(audit::list))
        .routes(routes!(backup::create));
    OpenApiRouter::with_openapi(Skeleton::openapi())
        .routes(routes!(health::health))
        .routes(routes!(health::readiness))
        .routes(routes!(health::metrics))
        .nest(api::ROOT, api)
}

/// This document
///
/// OpenAPI 3.1.
#[utoipa::path(
    get,
    path = "/openapi.json",
    operation_id = "get_openapi",
    tag = "document",
    responses((status = 200, content_type = "application/json", description = "The document."))
)]
async fn document() -> Json<&'static OpenApi> {
    static DOCUMENT: OnceLock<OpenApi> = OnceLock::new();
    Json(DOCUMENT.get_or_init(|| complete(routes().into_openapi())))
}

/// Adds what all operations or schemas have in common.
fn complete(mut document: OpenApi) -> OpenApi {
    problems::add(&mut document);
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(
        "A token of `sandbus token create`. Required if other machines can reach the admin interface.",
    ));
    let components = document.components.get_or_insert_default();
    components.add_security_scheme("token", SecurityScheme::Http(bearer.build()));
    // A host on a loopback address may require none.
    document.security = Some(vec![SecurityRequirement::default(), SecurityRequirement::new("token", [""; 0])]);
    let schemas = document.components.iter_mut().flat_map(|components| &mut components.schemas);
    for (name, schema) in schemas {
        // The host always writes all members of its responses.
        if ["View", "Page", "List", "Result", "Rules"].iter().any(|ending| name.ends_with(ending)) {
            require_members(schema);
        }
    }
    document
}

fn require_members(schema: &mut RefOr<Schema>) {
    match schema {
        RefOr::T(Schema::Object(object)) => require_all(object),
        RefOr::T(Schema::AllOf(all)) => all.items.iter_mut().for_each(require_members),
        _ => {}
    }
}

fn require_all(object: &mut Object) {
    object.required = object.properties.keys().cloned().collect();
}
