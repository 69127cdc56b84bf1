//! Asking the running host: one method for each request that the admin interface takes.

use std::time::Duration;

use anyhow::{Context as _, bail};
use http_body_util::BodyExt as _;
use hyper::{Method, Request, Uri};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::Value;

use super::response::Response;
use crate::api::{
    CanaryQuery, CanaryView, CancelQuery, CompactionResult, DeadLetterQuery, DeadLetterView, DrainQuery, DrainResult,
    DropResult, EventList, NoContent, Page, PluginList, PluginView, ProblemView, PublishResult, RedriveResult,
    ReplayRequest, ReplayResult, RollbackQuery, RollbackResult, ScheduleList, SecretRequest, SecretRotationResult,
    StopReplaysResult, SubscriptionChangeResult, SubscriptionList, SubscriptionRequest,
};
use crate::outbound::{self, SendError};
use crate::printable;
use crate::subscription::SubscriptionId;

/// Everything but what never means anything in an address (RFC 3986, section 2.3).
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// A client of the admin interface.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    base: String,
}

/// What the host answered.
type ClientResult<T> = anyhow::Result<Response<T>>;

/// A body with its media type.
type Content = (&'static str, Vec<u8>);

impl Client {
    pub(crate) fn new(base: &str) -> Self {
        Self { base: base.trim_end_matches('/').to_owned() }
    }

    pub(crate) async fn plugins(&self) -> ClientResult<PluginList> {
        self.get(&["plugins"], &()).await
    }

    pub(crate) async fn plugin(&self, name: &str) -> ClientResult<PluginView> {
        self.get(&["plugins", name], &()).await
    }

    pub(crate) async fn drain(&self, plugin: &str, wait: Duration) -> ClientResult<DrainResult> {
        self.post(&["plugins", plugin, "drain"], &DrainQuery { wait: Some(wait) }).await
    }

    pub(crate) async fn resume_plugin(&self, plugin: &str) -> ClientResult<NoContent> {
        self.post(&["plugins", plugin, "resume"], &()).await
    }

    pub(crate) async fn roll_back(&self, plugin: &str, query: &RollbackQuery) -> ClientResult<RollbackResult> {
        self.post(&["plugins", plugin, "rollback"], query).await
    }

    pub(crate) async fn canary(
        &self,
        plugin: &str,
        query: &CanaryQuery,
        component: Vec<u8>,
    ) -> ClientResult<CanaryView> {
        let content = ("application/wasm", component);
        self.send(Method::POST, &["plugins", plugin, "canary"], query, Some(content)).await
    }

    pub(crate) async fn subscriptions(&self) -> ClientResult<SubscriptionList> {
        self.get(&["subscriptions"], &()).await
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

    pub(crate) async fn schedules(&self) -> ClientResult<ScheduleList> {
        self.get(&["schedules"], &()).await
    }

    pub(crate) async fn cancel(&self, query: &CancelQuery) -> ClientResult<NoContent> {
        self.delete(&["scheduled"], query).await
    }

    pub(crate) async fn events_with_id(&self, id: &str) -> ClientResult<EventList> {
        self.get(&["events", id], &()).await
    }

    pub(crate) async fn compact(&self) -> ClientResult<CompactionResult> {
        self.post(&["compaction"], &()).await
    }

    /// Publishes an event in JSON.
    pub(crate) async fn publish(&self, event: String, query: &impl Serialize) -> ClientResult<PublishResult> {
        self.send(Method::POST, &["events"], query, Some(cloudevent(event))).await
    }

    /// Publishes an event in JSON, and waits for the one that replies to it.
    pub(crate) async fn publish_and_wait(&self, event: String, query: &impl Serialize) -> ClientResult<IgnoredAny> {
        self.send(Method::POST, &["events"], query, Some(cloudevent(event))).await
    }

    pub(crate) async fn dead_letter(&self, number: i64) -> ClientResult<DeadLetterView> {
        self.get(&["dead-letters", &number.to_string()], &()).await
    }

    pub(crate) async fn redrive(&self, query: &DeadLetterQuery) -> ClientResult<RedriveResult> {
        self.post(&["dead-letters", "redrive"], query).await
    }

    pub(crate) async fn drop_dead_letters(&self, query: &DeadLetterQuery) -> ClientResult<DropResult> {
        self.delete(&["dead-letters"], query).await
    }

    /// One page of a list, at most so many items behind a cursor.
    pub(crate) async fn page<P: Page + DeserializeOwned>(
        &self,
        filter: &impl Serialize,
        limit: usize,
        cursor: Option<String>,
    ) -> ClientResult<P> {
        let mut query = query_pairs(filter)?;
        query.push(("limit".to_owned(), limit.to_string()));
        query.extend(cursor.map(|cursor| (P::CURSOR.to_owned(), cursor)));
        self.send_request(Method::GET, &[P::PATH], &query, None).await
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
        let body = serde_json::to_string(body).context("the request cannot be written as JSON")?;
        self.send(Method::POST, path, &(), Some(("application/json", body.into()))).await
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
        let client = outbound::Client::unrestricted().context("the HTTP client cannot be set up")?;
        let response = client.send(request.body(outbound::body(bytes))?, None).await.map_err(|error| {
            let hint = "is it running? Start it with `sandbus serve`, or name its admin interface with --admin";
            match error {
                SendError::Malformed(_) => anyhow::Error::new(error),
                _ => anyhow::Error::new(error).context(format!("no host answers at {}; {hint}", self.base)),
            }
        })?;
        let status = response.status();
        let body = response.into_body().collect().await;
        let body = body.map_err(|error| anyhow::anyhow!(error)).context("the host's response broke off")?.to_bytes();
        let text = String::from_utf8_lossy(&body).into_owned();
        if status.is_success() {
            return Response::read(text);
        }
        let problem: ProblemView = serde_json::from_str(&text).unwrap_or_default();
        // A refusal may quote what a guest or a client has said.
        let detail = printable::line(problem.detail.as_deref().unwrap_or("it does not say why")).into_owned();
        match problem.code {
            Some(code) => bail!("{detail} ({code})"),
            None => bail!("the host answered {status}: {detail}"),
        }
    }

    /// The address of a resource. Whatever a name is, it is one segment of the path, and so reaches no other resource.
    fn url(&self, path: &[&str], query: &[(String, String)]) -> anyhow::Result<Uri> {
        let mut address = self.base.clone();
        for segment in path {
            if segment.is_empty() {
                bail!("a name or an id is empty; say which one is meant");
            }
            address.push('/');
            if matches!(*segment, "." | "..") {
                // Readers of addresses take these, and only these, for a way up.
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
        address.parse().with_context(|| format!("`{}` is not an http address; name one with --admin", self.base))
    }
}

fn cloudevent(event: String) -> Content {
    ("application/cloudevents+json", event.into())
}

/// The members of a query that are not null, as text.
fn query_pairs(query: &impl Serialize) -> anyhow::Result<Vec<(String, String)>> {
    let Value::Object(members) = serde_json::to_value(query).context("the query cannot be written")? else {
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
        let client = Client::new("http://127.0.0.1:8081/");
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
            let expected = format!("http://127.0.0.1:8081/events/{segment}?a%20b=c%26d%3De");
            assert_eq!(of(name).unwrap(), expected, "{name:?}");
        }
        assert!(of("").unwrap_err().to_string().contains("empty"));
        assert!(Client::new("not an address").url(&["events"], &[]).is_err());
    }

    #[test]
    fn a_query_has_what_is_given() {
        let client = Client::new("http://127.0.0.1:1/");
        let query = DeadLetterQuery { number: Some(7), cause: Some("a&b".to_owned()), ..DeadLetterQuery::default() };
        let url = client.url(&["dead-letters", "a/b"], &query_pairs(&query).unwrap()).unwrap();
        assert_eq!(url.to_string(), "http://127.0.0.1:1/dead-letters/a%2Fb?cause=a%26b&number=7");
        let wait = DrainQuery { wait: Some(Duration::from_millis(1_500)) };
        assert_eq!(client.url(&[], &query_pairs(&wait).unwrap()).unwrap().query(), Some("wait=1s%20500ms"));
        assert_eq!(client.url(&["plugins"], &query_pairs(&()).unwrap()).unwrap().query(), None);
    }
}
