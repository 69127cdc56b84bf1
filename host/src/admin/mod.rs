//! The admin interface: plugins, subscriptions, events, dead letters, schedules, health and metrics. It has a separate
//! listener, which is bound to loopback.

mod body;
mod dead_letters;
mod deliveries;
mod events;
mod generations;
mod guard;
mod plugins;
mod schedules;
mod state;
mod subscription_rules;
mod subscriptions;
mod unexpected_body;
mod webhook_secrets;

use std::path::PathBuf;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Router, middleware};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::api;
use crate::bus::{Reachability, SharedBus};
use crate::clock::Clock;
use crate::files;
use crate::outbound::Listeners;
use crate::plugin::{self, Folder, Loader, Registry};
use crate::problem::Problem;
use crate::server::{BodyReader, NoParameters, Query};
use crate::telemetry::Metrics;
use crate::threads::Capacity;

/// The parts of the host that the admin interface uses.
#[derive(Clone, Debug)]
pub struct Admin {
    /// The bus.
    pub bus: SharedBus,
    /// The running plugins.
    pub registry: Registry,
    /// The plugin folder.
    pub folder: Folder,
    /// Loads components for canaries.
    pub loader: Arc<Loader>,
    /// The permits and threads for canaries.
    pub capacity: Capacity,
    /// The defaults of new subscriptions.
    pub defaults: plugin::Defaults,
    /// Reads request bodies within limits.
    pub body_reader: BodyReader,
    /// Cancelled when the host stops and no more replies can arrive.
    pub replies_ended: CancellationToken,
    /// The metrics.
    pub metrics: Metrics,
    /// The host's own listeners, to which no webhook may lead.
    pub listeners: Listeners,
    /// The clock.
    pub clock: Clock,
    /// Whether the host has loaded its plugins and is not stopping.
    pub ready: watch::Receiver<bool>,
    /// The directory of the store.
    pub data: PathBuf,
}

impl Admin {
    /// The router of the admin listener.
    pub fn router(self) -> Router {
        let bare = Router::new()
            .route("/plugins", get(plugins::list))
            .route("/plugins/{name}", get(plugins::show))
            .route("/plugins/{name}/resume", post(plugins::resume))
            .route("/subscriptions", get(subscriptions::list).post(subscriptions::put))
            .route("/subscriptions/{owner}/{name}", delete(subscriptions::delete))
            .route("/subscriptions/{owner}/{name}/pause", post(subscriptions::pause))
            .route("/subscriptions/{owner}/{name}/resume", post(subscriptions::resume))
            .route("/subscriptions/{owner}/{name}/secret", post(webhook_secrets::rotate))
            .route(
                "/subscriptions/{owner}/{name}/replay",
                post(subscriptions::replay).delete(subscriptions::stop_replays),
            )
            .route("/schedules", get(schedules::schedules))
            .route("/compaction", post(events::compact))
            .route("/events/{id}", get(events::show))
            .route("/dead-letters/{number}", get(dead_letters::show))
            .route("/dead-letters/{number}/redrive", post(dead_letters::redrive_edited))
            .route("/plugins/{name}/state/{key}", get(state::get).put(state::put))
            .route_layer(middleware::from_extractor::<Query<NoParameters>>());
        let api = Router::new()
            .route("/plugins/{name}/drain", post(plugins::drain))
            .route("/plugins/{name}/rollback", post(generations::roll_back))
            .route("/plugins/{name}/canary", post(generations::canary))
            .route("/scheduled", get(schedules::scheduled).delete(schedules::cancel))
            .route("/events", get(events::list).post(events::publish))
            .route("/dead-letters", get(dead_letters::list).delete(dead_letters::drop_matching))
            .route("/dead-letters/redrive", post(dead_letters::redrive))
            .route("/deliveries", get(deliveries::list))
            .route("/deliveries/retry-now", post(deliveries::retry_now))
            .route("/plugins/{name}/state", get(state::keys))
            .merge(bare);
        Router::new()
            .route("/healthz", get(|| async { "ok\n" }))
            .route("/readyz", get(readyz))
            .route("/metrics", get(render_metrics))
            .nest(api::ROOT, api)
            .route_layer(middleware::from_fn_with_state(self.clone(), unexpected_body::reject_unexpected_body))
            .fallback(|request: Request| async move { no_path(request.uri().path()) })
            .method_not_allowed_fallback(|| async {
                Problem::new(
                    StatusCode::METHOD_NOT_ALLOWED,
                    "method-not-allowed",
                    "this path supports other methods only",
                )
            })
            .layer(middleware::from_fn(guard::local_callers_only))
            .with_state(self)
    }
}

/// The first segments of paths that were at the root before they moved below [`api::ROOT`].
const MOVED: [&str; 7] = ["plugins", "subscriptions", "schedules", "scheduled", "events", "dead-letters", "compaction"];

/// A problem with 404 for a path that does not exist. If it moved, the problem names the new path.
fn no_path(path: &str) -> Problem {
    let first = path.split('/').nth(1).unwrap_or_default();
    if MOVED.contains(&first) {
        return Problem::not_found(format!("{path} is now {}{path}", api::ROOT));
    }
    Problem::not_found(format!("the admin interface has no path {path}"))
}

async fn readyz(State(admin): State<Admin>) -> Response {
    let not_ready = |detail: String| Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not-ready", detail).into_response();
    if !*admin.ready.borrow() {
        return not_ready("the host is starting or stopping".to_owned());
    }
    // Without the store, the host accepts no events.
    if let Reachability::Unreachable { reason } = &*admin.bus.reachable().borrow() {
        return not_ready(format!("the store is unreachable: {reason}"));
    }
    if let Some(fault) = admin.folder.fault() {
        return not_ready(fault);
    }
    let data = admin.data.clone();
    match tokio::task::spawn_blocking(move || files::has_room(&data)).await {
        Ok(Ok(true)) => "ready\n".into_response(),
        Ok(Ok(false)) => not_ready("the disk of the data directory is full; free some space".to_owned()),
        Ok(Err(error)) => not_ready(format!("cannot write to the data directory: {error}")),
        Err(error) => not_ready(format!("cannot check the disk space: {error}")),
    }
}

async fn render_metrics(State(admin): State<Admin>) -> Response {
    let text = admin.metrics.render(&*admin.bus, &admin.registry, &admin.clock).await;
    // Prometheus text format 0.0.4.
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}

/// One page of a list.
#[derive(Debug)]
struct Page<T> {
    items: Vec<T>,
    has_more: bool,
}

impl<T> Page<T> {
    /// The number of items to read for a page of `limit`. The extra item shows that another page follows.
    fn to_read(limit: usize) -> usize {
        limit.saturating_add(1)
    }

    /// Makes a page from the items that were read.
    fn of(mut items: Vec<T>, limit: usize) -> Self {
        let has_more = items.len() > limit;
        items.truncate(limit);
        Self { items, has_more }
    }

    /// The items in the API's form.
    fn views<V>(&self, view: impl Fn(&T) -> Result<V, Problem>) -> Result<Vec<V>, Problem> {
        self.items.iter().map(view).collect()
    }

    /// The cursor of the next page, if there is one.
    fn next<C>(&self, cursor: impl Fn(&T) -> C) -> Option<C> {
        self.items.last().filter(|_| self.has_more).map(cursor)
    }
}

/// The size of a page: at least one, so that following the cursors ends.
fn page_size(limit: Option<usize>, default: usize, most: usize) -> Result<usize, Problem> {
    match limit {
        Some(0) => Err(Problem::bad_request("invalid-query", "`limit` is 0; ask for at least 1")),
        _ => Ok(limit.unwrap_or(default).min(most)),
    }
}
