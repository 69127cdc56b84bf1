//! A client of the admin interface, with a method for each request.

use std::future::Future;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};
use axum::body::Bytes;
use http_body_util::BodyExt as _;
use hyper::header::{AUTHORIZATION, HeaderValue};
use hyper::http::request::Builder;
use hyper::{Method, Request, StatusCode, Uri};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::Value;

use super::response::Response;
use crate::api::{
    self, BackupQuery, CanaryQuery, CanaryView, CancelQuery, CauseTreeQuery, CauseTreeView, CompactionResult,
    ConfigurationView, CreatedTokenView, DeadLetterGroupView, DeadLetterSelection, DeadLetterView, DeliverySelection,
    DrainQuery, DrainResult, DropResult, EditedRedriveRequest, EventList, GroupStatusQuery, GroupStatusRequest,
    NoContent, Page, PluginView, ProblemView, PublishResult, RedriveResult, ReplayRequest, ReplayResult, RetryResult,
    RollbackQuery, RollbackResult, SecretRequest, SecretRotationResult, StateKeyPage, StateKeyQuery, StateRequest,
    StateValueView, StatisticsView, StopReplaysResult, StreamQuery, SubscriptionChangeResult, SubscriptionRequest,
    TokenList, TokenRequest,
};
use crate::networks::GrantedNetworks;
use crate::outbound::{self, Fault, SendError};
use crate::printable;
use crate::secrecy;
use crate::subscription::SubscriptionId;

/// All characters except the unreserved ones (RFC 3986, section 2.3).
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Precedes the path of a socket.
const SOCKET_PREFIX: &str = "unix:";
/// The largest response. A page of the log has at most 200 events of 1 MiB each, unless the host allows larger ones.
const MAX_ANSWER_BYTES: usize = 256 << 20;
/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the host may work on a slow request, such as one that compiles a component, runs past events, or changes
/// many rows.
const WORK: Duration = Duration::from_hours(1);

/// A client of the admin interface.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    base: String,
    /// The Unix socket to connect to, instead of the host in the URL.
    socket: Option<PathBuf>,
    /// How long to wait for each part of a response.
    timeout: Duration,
    /// How long the host may work on the request before it responds.
    work: Duration,
    /// The token to send, or why it cannot be read.
    token: Result<Option<String>, String>,
    /// The file with the certificates to trust instead of those of the system.
    authorities: Option<PathBuf>,
}

/// The response of the host.
type ClientResult<T> = anyhow::Result<Response<T>>;

/// A body with its media type.
type Content = (&'static str, Vec<u8>);

impl Client {
    /// A client of the host at a URL, or at `unix:` and the path of a socket.
    pub(crate) fn new(address: &str, timeout: Duration) -> Self {
        let (base, socket) = match address.strip_prefix(SOCKET_PREFIX) {
            Some(path) => ("http://localhost".to_owned(), Some(PathBuf::from(path))),
            None => (address.trim_end_matches('/').to_owned(), None),
        };
        Self { base, socket, timeout, work: Duration::ZERO, token: Ok(None), authorities: None }
    }

    /// The same client with a token.
    pub(crate) fn with_token(self, token: Result<Option<String>, String>) -> Self {
        Self { token, ..self }
    }

    /// The same client, which trusts the certificates in a file instead of those of the system.
    pub(crate) fn trusting(self, authorities: Option<PathBuf>) -> Self {
        Self { authorities, ..self }
    }

    /// Whether others on the network can read what is sent.
    fn is_clear_text(&self) -> bool {
        let uri = self.base.parse::<Uri>().ok().filter(|uri| uri.scheme_str() == Some("http"));
        let Some(uri) = uri else { return false };
        let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        let is_loopback = host.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback());
        !is_loopback && !host.eq_ignore_ascii_case("localhost")
    }

    /// The address of the host in messages.
    fn shown(&self) -> String {
        if let Some(socket) = &self.socket {
            return format!("{SOCKET_PREFIX}{}", socket.display());
        }
        secrecy::address(&self.base).trim_end_matches('/').to_owned()
    }

    /// The same client, for a request that the host may work on for a while.
    fn allowing(&self, work: Duration) -> Self {
        Self { work, ..self.clone() }
    }

    pub(crate) async fn plugin(&self, name: &str) -> ClientResult<PluginView> {
        self.get(&["plugins", name], &()).await
    }

    pub(crate) async fn drain(&self, plugin: &str, wait: Duration) -> ClientResult<DrainResult> {
        self.allowing(wait).post(&["plugins", plugin, "drain"], &DrainQuery { wait: Some(wait) }).await
    }

    pub(crate) async fn resume_plugin(&self, plugin: &str) -> ClientResult<NoContent> {
        self.post(&["plugins", plugin, "resume"], &()).await
    }

    pub(crate) async fn roll_back(&self, plugin: &str, query: &RollbackQuery) -> ClientResult<RollbackResult> {
        self.allowing(WORK).post(&["plugins", plugin, "rollback"], query).await
    }

    pub(crate) async fn canary(
        &self,
        plugin: &str,
        query: &CanaryQuery,
        component: Option<Vec<u8>>,
    ) -> ClientResult<CanaryView> {
        let content = component.map(|component| ("application/wasm", component));
        self.allowing(WORK).send(Method::POST, &["plugins", plugin, "canary"], query, content).await
    }

    /// Uploads a component as the plugin of this name.
    pub(crate) async fn upload(&self, plugin: &str, component: Vec<u8>) -> ClientResult<PluginView> {
        let content = Some(("application/wasm", component));
        self.allowing(WORK).send(Method::PUT, &["plugins", plugin, "component"], &(), content).await
    }

    pub(crate) async fn remove_plugin(&self, plugin: &str) -> ClientResult<NoContent> {
        self.delete(&["plugins", plugin], &()).await
    }

    pub(crate) async fn enable(&self, plugin: &str, is_enabled: bool) -> ClientResult<NoContent> {
        self.allowing(WORK).post(&["plugins", plugin, if is_enabled { "enable" } else { "disable" }], &()).await
    }

    /// The text of a plugin's sidecar.
    pub(crate) async fn sidecar(&self, plugin: &str) -> ClientResult<String> {
        let request = Request::builder().method(Method::GET).uri(self.url(&["plugins", plugin, "sidecar"], &[])?);
        Response::local(self.fetch_text(request, Vec::new()).await?)
    }

    pub(crate) async fn put_sidecar(&self, plugin: &str, text: Vec<u8>) -> ClientResult<NoContent> {
        let content = Some(("application/toml", text));
        self.allowing(WORK).send(Method::PUT, &["plugins", plugin, "sidecar"], &(), content).await
    }

    pub(crate) async fn remove_sidecar(&self, plugin: &str) -> ClientResult<NoContent> {
        self.allowing(WORK).delete(&["plugins", plugin, "sidecar"], &()).await
    }

    pub(crate) async fn put_subscription(
        &self,
        request: &SubscriptionRequest,
    ) -> ClientResult<SubscriptionChangeResult> {
        self.post_json(&["subscriptions"], request).await
    }

    pub(crate) async fn delete_subscription(&self, id: &SubscriptionId) -> ClientResult<NoContent> {
        self.delete(&["subscriptions", &id.owner, &id.name], &()).await
    }

    pub(crate) async fn pause(&self, id: &SubscriptionId) -> ClientResult<NoContent> {
        self.post(&["subscriptions", &id.owner, &id.name, "pause"], &()).await
    }

    pub(crate) async fn resume(&self, id: &SubscriptionId) -> ClientResult<NoContent> {
        self.post(&["subscriptions", &id.owner, &id.name, "resume"], &()).await
    }

    pub(crate) async fn rotate_secret(
        &self,
        id: &SubscriptionId,
        request: &SecretRequest,
    ) -> ClientResult<SecretRotationResult> {
        self.post_json(&["subscriptions", &id.owner, &id.name, "secret"], request).await
    }

    pub(crate) async fn replay(&self, id: &SubscriptionId, request: &ReplayRequest) -> ClientResult<ReplayResult> {
        self.post_json(&["subscriptions", &id.owner, &id.name, "replay"], request).await
    }

    pub(crate) async fn stop_replays(&self, id: &SubscriptionId) -> ClientResult<StopReplaysResult> {
        self.delete(&["subscriptions", &id.owner, &id.name, "replay"], &()).await
    }

    pub(crate) async fn cancel(&self, query: &CancelQuery) -> ClientResult<NoContent> {
        self.delete(&["scheduled"], query).await
    }

    pub(crate) async fn events_with_id(&self, id: &str) -> ClientResult<EventList> {
        self.get(&["events", id], &()).await
    }

    pub(crate) async fn compact(&self) -> ClientResult<CompactionResult> {
        self.allowing(WORK).post(&["compaction"], &()).await
    }

    /// Publishes an event in JSON.
    pub(crate) async fn publish(&self, event: String, query: &impl Serialize) -> ClientResult<PublishResult> {
        self.send(Method::POST, &["events"], query, Some(cloudevent(event))).await
    }

    /// Publishes an event in JSON, and waits for the reply to it.
    pub(crate) async fn publish_and_wait(
        &self,
        event: String,
        query: &impl Serialize,
        reply_timeout: Duration,
    ) -> ClientResult<IgnoredAny> {
        self.allowing(reply_timeout).send(Method::POST, &["events"], query, Some(cloudevent(event))).await
    }

    pub(crate) async fn dead_letter(&self, number: i64) -> ClientResult<DeadLetterView> {
        self.get(&["dead-letters", &number.to_string()], &()).await
    }

    pub(crate) async fn redrive(&self, selection: &DeadLetterSelection) -> ClientResult<RedriveResult> {
        self.allowing(WORK).post(&["dead-letters", "redrive"], selection).await
    }

    pub(crate) async fn redrive_edited(
        &self,
        number: i64,
        request: &EditedRedriveRequest,
    ) -> ClientResult<RedriveResult> {
        self.post_json(&["dead-letters", &number.to_string(), "redrive"], request).await
    }

    pub(crate) async fn set_group_status(
        &self,
        number: i64,
        query: &GroupStatusQuery,
        request: &GroupStatusRequest,
    ) -> ClientResult<DeadLetterGroupView> {
        let path = ["dead-letters", "groups", &number.to_string(), "status"];
        self.send_json(Method::PUT, &path, query, request).await
    }

    pub(crate) async fn retry_now(&self, selection: &DeliverySelection) -> ClientResult<RetryResult> {
        self.post(&["deliveries", "retry-now"], selection).await
    }

    pub(crate) async fn state_keys(&self, plugin: &str, query: &StateKeyQuery) -> ClientResult<StateKeyPage> {
        self.get(&["plugins", plugin, "state"], query).await
    }

    pub(crate) async fn state_value(&self, plugin: &str, key: &str) -> ClientResult<StateValueView> {
        self.get(&["plugins", plugin, "state", key], &()).await
    }

    pub(crate) async fn set_state(
        &self,
        plugin: &str,
        key: &str,
        request: &StateRequest,
    ) -> ClientResult<StateValueView> {
        self.send_json(Method::PUT, &["plugins", plugin, "state", key], &(), request).await
    }

    pub(crate) async fn delete_state(&self, plugin: &str, key: &str) -> ClientResult<NoContent> {
        self.delete(&["plugins", plugin, "state", key], &()).await
    }

    pub(crate) async fn drop_dead_letters(&self, selection: &DeadLetterSelection) -> ClientResult<DropResult> {
        self.allowing(WORK).delete(&["dead-letters"], selection).await
    }

    pub(crate) async fn cause_tree(&self, id: &str, query: &CauseTreeQuery) -> ClientResult<CauseTreeView> {
        self.get(&["cause-trees", id], query).await
    }

    pub(crate) async fn configuration(&self) -> ClientResult<ConfigurationView> {
        self.get(&["configuration"], &()).await
    }

    pub(crate) async fn statistics(&self) -> ClientResult<StatisticsView> {
        self.get(&["statistics"], &()).await
    }

    /// Whether the host responds.
    pub(crate) async fn ping(&self) -> ClientResult<StatisticsView> {
        self.statistics().await
    }

    /// Follows the live stream, after the record with an id if there is one. Returns the body, whose parts arrive as
    /// records are made.
    pub(crate) async fn stream(&self, query: &StreamQuery, last_id: Option<&str>) -> anyhow::Result<outbound::Body> {
        let mut request = Request::builder().method(Method::GET).uri(self.url(&["stream"], &query_pairs(query)?)?);
        if let Some(id) = last_id {
            request = request.header("last-event-id", id);
        }
        self.open(request).await
    }

    /// Requests a backup, which the host sends in parts.
    pub(crate) async fn back_up(&self, query: &BackupQuery) -> anyhow::Result<outbound::Body> {
        let request = Request::builder().method(Method::POST).uri(self.url(&["backup"], &query_pairs(query)?)?);
        self.allowing(WORK).open(request).await
    }

    /// Sends a request, and returns the body of the response without reading it.
    async fn open(&self, request: Builder) -> anyhow::Result<outbound::Body> {
        let response = self.start(request, Vec::new()).await?;
        if !response.status().is_success() {
            let status = response.status();
            let body = self.read(response.into_body()).await?;
            return Err(refusal(status, &String::from_utf8_lossy(&body)));
        }
        Ok(response.into_body())
    }

    /// Waits for the next bytes of a body. None at its end.
    pub(crate) async fn next_bytes(&self, body: &mut outbound::Body) -> anyhow::Result<Option<Bytes>> {
        while let Some(frame) = self.within(self.timeout, body.frame()).await? {
            let frame = frame
                .map_err(|error| anyhow::anyhow!(error))
                .context("the connection closed in the middle of the host's response")?;
            if let Ok(data) = frame.into_data() {
                return Ok(Some(data));
            }
        }
        Ok(None)
    }

    /// Waits for a part of a stream. The host sends at least a comment from time to time.
    ///
    /// # Errors
    /// Why the stream has ended.
    pub(crate) async fn next_part<T>(
        &self,
        part: impl Future<Output = Option<Result<T, Box<dyn std::error::Error + Send + Sync>>>>,
    ) -> Result<T, StreamEnd> {
        match tokio::time::timeout(self.timeout, part).await {
            Ok(Some(Ok(part))) => Ok(part),
            Ok(Some(Err(_)) | None) => Err(StreamEnd("the host closed the connection")),
            Err(_) => Err(StreamEnd("the host is silent")),
        }
    }

    /// A page of a list, with at most `limit` items, after a cursor.
    pub(crate) async fn page<P: Page + DeserializeOwned>(
        &self,
        filter: &impl Serialize,
        limit: usize,
        cursor: Option<String>,
    ) -> ClientResult<P> {
        let mut query = query_pairs(filter)?;
        query.push(("limit".to_owned(), limit.to_string()));
        query.extend(cursor.map(|cursor| ("after".to_owned(), cursor)));
        let path: Vec<_> = P::PATH.split('/').collect();
        self.send_request(Method::GET, &path, &query, None).await
    }

    pub(crate) async fn create_token(&self, request: &TokenRequest) -> ClientResult<CreatedTokenView> {
        self.post_json(&["tokens"], request).await
    }

    pub(crate) async fn tokens(&self) -> ClientResult<TokenList> {
        self.get(&["tokens"], &()).await
    }

    pub(crate) async fn revoke_token(&self, id: &str) -> ClientResult<NoContent> {
        self.delete(&["tokens", id], &()).await
    }

    async fn get<T: DeserializeOwned>(&self, path: &[&str], query: &impl Serialize) -> ClientResult<T> {
        self.send(Method::GET, path, query, None).await
    }

    async fn post<T: DeserializeOwned>(&self, path: &[&str], query: &impl Serialize) -> ClientResult<T> {
        self.send(Method::POST, path, query, None).await
    }

    async fn delete<T: DeserializeOwned>(&self, path: &[&str], query: &impl Serialize) -> ClientResult<T> {
        self.send(Method::DELETE, path, query, None).await
    }

    async fn post_json<T: DeserializeOwned>(&self, path: &[&str], body: &impl Serialize) -> ClientResult<T> {
        self.send_json(Method::POST, path, &(), body).await
    }

    async fn send_json<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &[&str],
        query: &impl Serialize,
        body: &impl Serialize,
    ) -> ClientResult<T> {
        let body = serde_json::to_string(body).context("cannot write the request as JSON")?;
        self.send(method, path, query, Some(("application/json", body.into()))).await
    }

    async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &[&str],
        query: &impl Serialize,
        content: Option<Content>,
    ) -> ClientResult<T> {
        self.send_request(method, path, &query_pairs(query)?, content).await
    }

    async fn send_request<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &[&str],
        query: &[(String, String)],
        content: Option<Content>,
    ) -> ClientResult<T> {
        let mut request = Request::builder().method(method).uri(self.url(path, query)?);
        let mut bytes = Vec::new();
        if let Some((media_type, body)) = content {
            request = request.header("content-type", media_type);
            bytes = body;
        }
        Response::read(self.fetch_text(request, bytes).await?)
    }

    /// Sends a request, and reads the text of the response.
    ///
    /// # Errors
    /// The problem of a response that is not a success.
    async fn fetch_text(&self, request: Builder, body: Vec<u8>) -> anyhow::Result<String> {
        let response = self.start(request, body).await?;
        let status = response.status();
        let body = self.read(response.into_body()).await?;
        let text = String::from_utf8_lossy(&body).into_owned();
        if status.is_success() { Ok(text) } else { Err(refusal(status, &text)) }
    }

    /// Sends a request, and waits for the head of the response.
    async fn start(&self, request: Builder, body: Vec<u8>) -> anyhow::Result<hyper::Response<outbound::Body>> {
        let request = match &self.token {
            Ok(None) => request,
            Ok(Some(_)) if self.is_clear_text() => bail!(
                "the token would be sent in clear text to {}; use https://, or a tunnel to a loopback address",
                self.shown()
            ),
            Ok(Some(token)) => request.header(AUTHORIZATION, bearer(token)?),
            Err(error) => bail!("{error}"),
        };
        let (request, connect) = (request.body(outbound::body(body))?, self.timeout.min(CONNECT_TIMEOUT));
        let limit = self.timeout + self.work;
        let sent = match &self.socket {
            Some(socket) => self.within(limit, outbound::send_over_socket(socket, request, connect)).await?,
            None => {
                self.within(limit, self.connector()?.send(request, &GrantedNetworks::default(), Some(connect))).await?
            }
        };
        sent.map_err(|error| self.explain(error))
    }

    fn connector(&self) -> anyhow::Result<outbound::Client> {
        let Some(path) = &self.authorities else {
            return outbound::Client::unrestricted(None).context("cannot set up the HTTP client");
        };
        let unusable = || format!("cannot use the file {} of --admin-ca", path.display());
        let pem = std::fs::read(path).with_context(unusable)?;
        outbound::Client::unrestricted(Some(&pem)).with_context(unusable)
    }

    /// Waits for a part of the response.
    async fn within<T>(&self, limit: Duration, part: impl Future<Output = T>) -> anyhow::Result<T> {
        tokio::time::timeout(limit, part).await.map_err(|_| {
            let limit = humantime::format_duration(limit);
            anyhow::anyhow!("no response from {} within {limit}; is it a Sandbus host, and is it busy?", self.shown())
        })
    }

    /// Reads a response of a bounded size.
    async fn read(&self, mut body: outbound::Body) -> anyhow::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        while let Some(data) = self.next_bytes(&mut body).await? {
            if bytes.len() + data.len() > MAX_ANSWER_BYTES {
                let limit = MAX_ANSWER_BYTES >> 20;
                bail!("the response of {} is larger than {limit} MiB; ask for fewer items with --limit", self.shown());
            }
            bytes.extend_from_slice(&data);
        }
        Ok(bytes)
    }

    /// An error of the client, with what to do about it.
    fn explain(&self, error: SendError) -> anyhow::Error {
        let hint = match &error {
            SendError::Malformed(_) => return anyhow::Error::new(error),
            SendError::Unreachable(Fault::Untrusted, _) => {
                let context = format!(
                    "the certificate of {} is not trusted; if your own authority signed it, name a file with the authority's certificate with --admin-ca",
                    self.shown()
                );
                return anyhow::Error::new(error).context(context);
            }
            SendError::Unreachable(Fault::Tls, _) => "does it speak TLS? If not, use http://",
            _ if self.socket.is_some() => {
                "does a host run with this path as `socket` in [admin], and does it belong to your user?"
            }
            SendError::Broken(Fault::Protocol, _) => "does it speak TLS? Then use https://",
            _ => "is it running? Start it with `sandbus serve`, or give the URL of its admin interface with --admin",
        };
        let context = format!("no host responds at {}; {hint}", self.shown());
        anyhow::Error::new(error).context(context)
    }

    /// The URL of a resource. Every name is exactly one path segment, so that it cannot reach another resource.
    fn url(&self, path: &[&str], query: &[(String, String)]) -> anyhow::Result<Uri> {
        let mut address = format!("{}{}", self.base, api::ROOT);
        for segment in path {
            if segment.is_empty() {
                bail!("a name or an id is empty");
            }
            address.push('/');
            if matches!(*segment, "." | "..") {
                // URL parsers remove these segments.
                address.push_str(&segment.replace('.', "%2E"));
            } else {
                address.extend(utf8_percent_encode(segment, ENCODED));
            }
        }
        for (index, (name, value)) in query.iter().enumerate() {
            address.push(if index == 0 { '?' } else { '&' });
            address.extend(utf8_percent_encode(name, ENCODED));
            address.push('=');
            address.extend(utf8_percent_encode(value, ENCODED));
        }
        address.parse().with_context(|| {
            format!(
                "{} is not an HTTP URL; give the URL of the admin interface with --admin",
                secrecy::address(&self.base)
            )
        })
    }
}

/// The header value of a token, which is not shown in logs.
fn bearer(token: &str) -> anyhow::Result<HeaderValue> {
    let value = HeaderValue::try_from(format!("Bearer {token}"));
    let mut value = value.map_err(|_| anyhow::anyhow!("the token has characters that no token has"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// The error for a response that is not a success.
fn refusal(status: StatusCode, text: &str) -> anyhow::Error {
    let problem: ProblemView = serde_json::from_str(text).unwrap_or_default();
    // The text may quote a guest or a client.
    let detail = printable::line(problem.detail.as_deref().unwrap_or("the response has no detail")).into_owned();
    match problem.code {
        Some(code) => anyhow::anyhow!("{detail} ({code})"),
        None => anyhow::anyhow!("the host responded with {status}: {detail}"),
    }
}

/// Why a stream has ended.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct StreamEnd(&'static str);

fn cloudevent(event: String) -> Content {
    ("application/cloudevents+json", event.into())
}

/// The members of a query that are not null, as pairs of text.
fn query_pairs(query: &impl Serialize) -> anyhow::Result<Vec<(String, String)>> {
    let Value::Object(members) = serde_json::to_value(query).context("cannot write the query")? else {
        return Ok(Vec::new());
    };
    let text = |value| match value {
        Value::Null => None,
        Value::String(text) => Some(text),
        other => Some(other.to_string()),
    };
    Ok(members.into_iter().filter_map(|(name, value)| Some((name, text(value)?))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 3986, sections 2.3 and 3.3: a segment has no delimiter of another part in it.
    #[test]
    fn a_name_is_one_segment_whatever_it_is() {
        let client = Client::new("http://127.0.0.1:8081/", Duration::ZERO);
        let of = |name: &str| {
            client.url(&["events", name], &[("a b".to_owned(), "c&d=e".to_owned())]).map(|uri| uri.to_string())
        };
        for (name, segment) in [
            ("1", "1"),
            ("a-b_c.d~e", "a-b_c.d~e"),
            (".", "%2E"),
            ("..", "%2E%2E"),
            ("...", "..."),
            ("%2e%2e", "%252e%252e"),
            ("../plugins", "..%2Fplugins"),
            ("a/b", "a%2Fb"),
            ("a\\b", "a%5Cb"),
            ("a?b#c", "a%3Fb%23c"),
            ("a b\n", "a%20b%0A"),
            ("100%", "100%25"),
            ("\u{e9}", "%C3%A9"),
            ("a;b=c", "a%3Bb%3Dc"),
            ("+", "%2B"),
        ] {
            let expected = format!("http://127.0.0.1:8081/v1/events/{segment}?a%20b=c%26d%3De");
            assert_eq!(of(name).unwrap(), expected, "{name:?}");
        }
        assert!(of("").unwrap_err().to_string().contains("empty"));
        assert!(Client::new("not an address", Duration::ZERO).url(&["events"], &[]).is_err());
    }

    #[test]
    fn a_token_is_not_sent_where_others_can_read_it() {
        for (base, expected) in [
            ("http://127.0.0.1:8081", false),
            ("http://localhost:8081", false),
            ("http://[::1]:8081", false),
            ("http://[::ffff:127.0.0.1]:8081", false),
            ("https://sandbus.example", false),
            ("unix:/run/sandbus.sock", false),
            ("http://sandbus.example", true),
            ("HTTP://sandbus.example", true),
            ("http://192.0.2.2:8081", true),
            ("http://localhost.example:8081", true),
        ] {
            assert_eq!(Client::new(base, Duration::ZERO).is_clear_text(), expected, "{base}");
        }
    }

    #[test]
    fn a_query_has_what_is_given() {
        let client = Client::new("http://127.0.0.1:1/", Duration::ZERO);
        let query =
            DeadLetterSelection { number: Some(7), cause: Some("a&b".to_owned()), ..DeadLetterSelection::default() };
        let url = client.url(&["dead-letters", "a/b"], &query_pairs(&query).unwrap()).unwrap();
        assert_eq!(url.to_string(), "http://127.0.0.1:1/v1/dead-letters/a%2Fb?cause=a%26b&number=7");
        let wait = DrainQuery { wait: Some(Duration::from_millis(1_500)) };
        assert_eq!(client.url(&[], &query_pairs(&wait).unwrap()).unwrap().query(), Some("wait=1s%20500ms"));
        assert_eq!(client.url(&["plugins"], &query_pairs(&()).unwrap()).unwrap().query(), None);
    }
}
