//! The admin interface: plugins, subscriptions, events, dead letters, schedules, health and metrics. It has a listener
//! of its own, on loopback by default.

mod access;
mod audit;
mod backup;
mod body;
mod cause_trees;
mod configuration;
mod cookies;
mod cursor;
mod dashboard;
mod dead_letters;
mod deliveries;
mod events;
mod generations;
mod health;
mod ledger_query;
mod ledger_views;
mod login;
mod openapi;
mod operation_inputs;
mod origin_check;
mod plugin_files;
mod plugin_target;
mod plugins;
mod precondition;
mod probe;
mod query;
mod records;
mod route_requests;
mod samples;
mod schedules;
mod state;
mod storage;
mod stream;
mod subscription_rules;
mod subscriptions;
mod tokens;
mod waiting;
mod webhook_secrets;

use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Router, middleware};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub use access::Access;
use access::{Caller, Guard, OperationIds};
use operation_inputs::{OperationInputs, Operations, RequestParts};
pub use probe::Probes;
pub(crate) use tokens::view as view_token;

use crate::api;
use crate::backup::BackupSource;
use crate::bus::SharedBus;
use crate::clock::Clock;
use crate::ledger::{LedgerReader, Recorder};
use crate::login::Login;
use crate::otlp::Tracer;
use crate::outbound::Listeners;
use crate::plugin::{Loader, ReconcilerHandle, Registry};
use crate::problem::Problem;
use crate::scenario::ScenarioPaths;
use crate::server::{BodyReader, InProcess};
use crate::telemetry::Metrics;
use crate::threads::Capacity;

/// The parts of the host that the admin interface uses.
#[derive(Clone, Debug)]
pub struct Admin {
    /// The bus.
    pub bus: SharedBus,
    /// The running plugins.
    pub registry: Registry,
    /// Sends requests to routes.
    pub ingress: InProcess,
    /// The reconciler of the plugin folder.
    pub reconciler: ReconcilerHandle,
    /// Loads components for canaries.
    pub loader: Arc<Loader>,
    /// The permits and threads for canaries.
    pub capacity: Capacity,
    /// Reads request bodies within limits.
    pub body_reader: BodyReader,
    /// Cancelled when the host stops and no more replies can arrive.
    pub replies_ended: CancellationToken,
    /// Follows records, and counts attempts and requests.
    pub recorder: Recorder,
    /// Traces requests that publish events.
    pub tracer: Tracer,
    /// Reads the ledger.
    pub ledger: LedgerReader,
    /// The metrics.
    pub metrics: Metrics,
    /// The host's own listeners. No webhook may lead to them.
    pub listeners: Listeners,
    /// The clock.
    pub clock: Clock,
    /// Whether the host has loaded its plugins and is not stopping.
    pub ready: watch::Receiver<bool>,
    /// The directory of the store.
    pub data: PathBuf,
    /// What a backup contains.
    pub backup: BackupSource,
    /// The effective configuration.
    pub configuration: Arc<ArcSwap<api::ConfigurationView>>,
    /// The tokens, the audit log, and whether callers need tokens.
    pub access: Arc<Access>,
    /// The login through an OpenID provider, if one is configured.
    pub login: Option<Arc<Login>>,
    /// Whether browsers reach the admin interface by TLS, so that cookies may be restricted to TLS.
    pub is_secure: bool,
    /// Held from the check of a condition to the end of the change.
    pub changes: Arc<ChangeLocks>,
    /// Where the scenario files are, for samples.
    pub scenarios: ScenarioPaths,
}

/// Locks for conditional changes. Nobody else can change a resource between the check of its condition and the change.
/// Another lock lets one backup be made at a time.
#[derive(Debug, Default)]
pub struct ChangeLocks {
    backup: Arc<tokio::sync::Mutex<()>>,
    subscriptions: tokio::sync::Mutex<()>,
    plugins: tokio::sync::Mutex<()>,
}

impl Admin {
    /// The router of the admin listener.
    pub fn router(self) -> Router {
        let tokenless = (!self.access.requires_tokens).then_some(Caller::Local);
        self.router_for(tokenless)
    }

    /// The router of the Unix socket. The permissions of its file decide who may connect, so callers need no token.
    pub fn socket_router(self) -> Router {
        self.router_for(Some(Caller::Socket))
    }

    fn router_for(self, tokenless: Option<Caller>) -> Router {
        let (router, document) = openapi::routes().split_for_parts();
        let inputs = OperationInputs {
            operations: Operations::of(&document, RequestParts::of),
            body_reader: self.body_reader.clone(),
        };
        // The `Host` header is not checked: a misleading name can only trick a browser, and a browser cannot reach a
        // socket.
        let any_host = !matches!(tokenless, Some(Caller::Local));
        let guard = Guard::new(&document, tokenless, &self);
        let operations = OperationIds::of(&document);
        router
            .route_layer(middleware::from_fn_with_state(inputs.into(), operation_inputs::check))
            .route_layer(middleware::from_fn_with_state(guard.into(), access::check))
            .fallback(|request: Request| async move { serve_other(&request) })
            .method_not_allowed_fallback(|| async {
                Problem::new(
                    StatusCode::METHOD_NOT_ALLOWED,
                    "method-not-allowed",
                    "this path supports other methods only",
                )
            })
            .layer(Extension(operations))
            .layer(middleware::from_fn_with_state(any_host, origin_check::check))
            .with_state(self)
    }
}

/// The first segments of paths that were at the root before they moved below [`api::ROOT`].
const MOVED: [&str; 7] = ["plugins", "subscriptions", "schedules", "scheduled", "events", "dead-letters", "compaction"];

/// The response to a path that the API does not have: the dashboard, or a problem.
fn serve_other(request: &Request) -> Response {
    let path = request.uri().path();
    let served = dashboard::serve(request.method(), path, request.headers());
    served.unwrap_or_else(|| no_path(path).into_response())
}

/// A problem with 404 for a path that does not exist. If it moved, the problem names the new path.
fn no_path(path: &str) -> Problem {
    let first = path.split('/').nth(1).unwrap_or_default();
    if MOVED.contains(&first) {
        return Problem::not_found(format!("{path} is now {}{path}", api::ROOT));
    }
    Problem::not_found(format!("the admin interface has no path {path}"))
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

    /// Makes a page of the items that were read after the first `before` ones.
    fn of_following(items: Vec<T>, before: usize, limit: usize) -> Self {
        Self::of(items.into_iter().skip(before).collect(), limit)
    }

    /// Makes a page of a whole list that has the keys of its items in ascending order. It begins after a key.
    fn of_sorted(items: Vec<T>, key: impl Fn(&T) -> &str, after: Option<&str>, limit: usize) -> Self {
        let following = items.into_iter().filter(|item| after.is_none_or(|after| key(item) > after));
        Self::of(following.take(Self::to_read(limit)).collect(), limit)
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
        Some(limit) if !(1..=most).contains(&limit) => {
            Err(query::invalid(format!("`limit` is {limit}; ask for 1 to {most} items")))
        }
        _ => Ok(limit.unwrap_or(default)),
    }
}
