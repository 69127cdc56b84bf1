//! The producers that may publish at `POST /events`. By default, nobody may publish there: subscriptions select events
//! by type and not by publisher, so any client that may publish could impersonate another one.

use std::fmt;
use std::path::{Path, PathBuf};

use axum::http::header::{AUTHORIZATION, HeaderValue, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, StatusCode};
use schemars::JsonSchema;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer, de};

use super::tokens::{TokenFile, TokenFileError};
use crate::event::reserved::{ReservedType, is_host_attribute, is_plugin_source};
use crate::event::{CORRELATION_ID, CORRELATION_SOURCE, Event};
use crate::pattern::Pattern;
use crate::problem::Problem;
use crate::server::{TlsConfig, TrustedProxies};

/// The `[ingress]` section of the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct IngressConfig {
    /// The rule for `POST /events`. Without it, `sandbus serve` lets nobody publish, and `sandbus dev` lets anybody
    /// publish.
    #[schemars(with = "Option<EventsForm>")]
    pub events: Option<EventsRule>,
    /// The files for TLS. Without them, the ingress speaks plain HTTP.
    pub tls: Option<TlsConfig>,
    /// Whether each request is logged.
    pub access_log: bool,
    /// The proxies whose headers name the client.
    pub trusted_proxies: TrustedProxies,
}

/// The rule for `POST /events`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventsRule {
    /// Nobody may publish.
    Off,
    /// These producers may publish.
    Producers(Vec<ProducerRule>),
}

/// The forms of the rule in a file.
#[derive(JsonSchema)]
#[schemars(untagged)]
#[expect(dead_code, reason = "only its schema is used")]
enum EventsForm {
    Off(OffForm),
    One(ProducerRule),
    Many(#[schemars(length(min = 1))] Vec<ProducerRule>),
}

#[derive(JsonSchema)]
#[schemars(inline, rename_all = "lowercase")]
#[expect(dead_code, reason = "only its schema is used")]
enum OffForm {
    /// Nobody may publish.
    Off,
}

/// One producer's permissions.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProducerRule {
    /// The permitted event types.
    #[schemars(length(min = 1))]
    pub types: Vec<Pattern>,
    /// The permitted sources.
    #[schemars(length(min = 1))]
    pub sources: Vec<SourceRule>,
    /// The file with the producer's tokens. A producer without a file needs no token.
    #[serde(default)]
    pub token_file: Option<PathBuf>,
    /// Whether the producer may set `correlationid`, and so reply to events of others.
    #[serde(default)]
    pub replies: bool,
}

impl ProducerRule {
    /// The name under which the host counts the producer's events against the limits of a producer. Rules with the same
    /// token file are one producer, and so are all rules without a file. No plugin can have such a name.
    fn holder(&self) -> String {
        let tokens = self.token_file.as_deref().map(Path::to_string_lossy).unwrap_or_default();
        format!("producer:{tokens}")
    }
}

impl EventsRule {
    /// A rule for a developer's host: anybody may publish any event that is not reserved.
    #[must_use]
    pub fn open() -> Self {
        let types = vec![Pattern::everything()];
        Self::Producers(vec![ProducerRule { types, sources: vec![SourceRule::Any], token_file: None, replies: true }])
    }
}

impl<'de> Deserialize<'de> for EventsRule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Rule;
        impl<'de> Visitor<'de> for Rule {
            type Value = EventsRule;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter
                    .write_str("\"off\", a producer { types, sources, token_file, replies }, or a list of producers")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<EventsRule, E> {
                if text == "off" {
                    Ok(EventsRule::Off)
                } else {
                    Err(E::invalid_value(de::Unexpected::Str(text), &self))
                }
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<EventsRule, A::Error> {
                let producer = ProducerRule::deserialize(MapAccessDeserializer::new(map))?;
                EventsRule::of(vec![producer]).map_err(de::Error::custom)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<EventsRule, A::Error> {
                let producers = Vec::deserialize(SeqAccessDeserializer::new(list))?;
                EventsRule::of(producers).map_err(de::Error::custom)
            }
        }
        deserializer.deserialize_any(Rule)
    }
}

impl EventsRule {
    fn of(producers: Vec<ProducerRule>) -> Result<Self, &'static str> {
        if producers.is_empty() {
            return Err("the list of producers is empty; write events = \"off\" if nobody may publish");
        }
        if producers.iter().any(|one| one.types.is_empty() || one.sources.is_empty()) {
            return Err("a producer needs at least one of `types` and one of `sources`");
        }
        Ok(Self::Producers(producers))
    }
}

impl Serialize for EventsRule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Off => serializer.serialize_str("off"),
            Self::Producers(producers) => producers.serialize(serializer),
        }
    }
}

/// A source that a producer may use.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(inline, extend("pattern" = r"^(?:\*|[^*]*[/:]\*|(?:.|\n)*[^*])$"))]
pub enum SourceRule {
    /// Any source that is not reserved.
    Any,
    /// Exactly this source.
    Exactly(String),
    /// Sources below this prefix, which ends with `/` or `:`.
    Below(String),
}

impl SourceRule {
    fn matches(&self, source: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exactly(only) => source == only,
            Self::Below(prefix) => {
                source.strip_prefix(prefix.as_str()).is_some_and(|rest| !rest.is_empty() && stays_below(rest))
            }
        }
    }
}

/// Whether a path has no `..` segment, which would lead out of the prefix.
fn stays_below(path: &str) -> bool {
    let path = percent_encoding::percent_decode_str(path).decode_utf8_lossy();
    !path.split(['/', '\\']).any(|segment| segment == "..") && !path.to_ascii_lowercase().contains("%2e")
}

impl Serialize for SourceRule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Any => serializer.serialize_str("*"),
            Self::Exactly(only) => serializer.serialize_str(only),
            Self::Below(prefix) => serializer.collect_str(&format_args!("{prefix}*")),
        }
    }
}

impl TryFrom<String> for SourceRule {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text == "*" {
            return Ok(Self::Any);
        }
        if is_plugin_source(&text) {
            return Err(format!("`{text}` is a source of plugins, which no producer may use"));
        }
        match text.strip_suffix('*') {
            None if text.is_empty() => Err("a source is empty".to_owned()),
            None => Ok(Self::Exactly(text)),
            Some(prefix) if prefix.ends_with(['/', ':']) && !prefix.contains('*') => Ok(Self::Below(prefix.to_owned())),
            Some(_) => Err(format!(
                "`{text}` is not a valid source rule; write an exact source, a prefix that ends with `/*` or `:*`, or `*` alone"
            )),
        }
    }
}

/// The producers with their tokens.
#[derive(Debug, Default)]
pub struct Producers(Vec<Producer>);

#[derive(Debug)]
struct Producer {
    rule: ProducerRule,
    tokens: Option<TokenFile>,
}

impl Producers {
    /// Reads the token files.
    ///
    /// # Errors
    /// If a token file cannot be used.
    pub fn load(rule: EventsRule) -> Result<Self, TokenFileError> {
        let EventsRule::Producers(rules) = rule else { return Ok(Self::default()) };
        let producer = |rule: ProducerRule| {
            let tokens = rule.token_file.clone().map(TokenFile::open).transpose()?;
            Ok(Producer { rule, tokens })
        };
        rules.into_iter().map(producer).collect::<Result<_, _>>().map(Self)
    }

    /// The producers that a request is authorized for.
    ///
    /// # Errors
    /// A problem: 403 if nobody may publish, 401 if the token is missing or unknown.
    pub(super) async fn authorize(&self, headers: &HeaderMap) -> Result<Publisher<'_>, Problem> {
        if self.0.is_empty() {
            let detail = "publishing over HTTP is off; name the producers in sandbus.toml, with [ingress] events = { types = [\"order.>\"], sources = [\"/shop\"] }, or publish as an operator with `sandbus publish`";
            return Err(Problem::new(StatusCode::FORBIDDEN, "ingress-off", detail));
        }
        let token = bearer(headers);
        let mut authorized = Vec::new();
        for producer in &self.0 {
            let is_authorized = match (&producer.tokens, token) {
                (None, None) => true,
                (Some(tokens), Some(token)) => tokens.accept(token).await,
                (None, Some(_)) | (Some(_), None) => false,
            };
            if is_authorized {
                authorized.push(&producer.rule);
            }
        }
        if authorized.is_empty() {
            return Err(not_authorized(token.is_some()));
        }
        Ok(Publisher::Producers(authorized))
    }
}

fn not_authorized(has_token: bool) -> Problem {
    let (code, detail) = match has_token {
        true => ("token-unknown", "the token is unknown; it may have been replaced"),
        false => ("token-missing", "publishing requires a token; send it as Authorization: Bearer TOKEN"),
    };
    let problem = Problem::new(StatusCode::UNAUTHORIZED, code, detail);
    problem.header(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
}

/// The bearer token of a request (RFC 6750, section 2.1).
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// The publisher of events.
#[derive(Debug)]
pub(crate) enum Publisher<'a> {
    /// The operator. May publish any type except the host's own, including `schedule.*` to trigger a schedule by hand,
    /// but never under a plugin's source.
    Operator,
    /// One of these producers.
    Producers(Vec<&'a ProducerRule>),
}

impl Publisher<'_> {
    /// Checks whether the publisher may publish an event. Returns the producer whose limits the event counts against,
    /// or None for the operator.
    ///
    /// # Errors
    /// A problem with 403 that names the attribute.
    pub(crate) fn check(&self, event: &Event) -> Result<Option<String>, Problem> {
        let forbidden = |code, detail| Err(Problem::new(StatusCode::FORBIDDEN, code, detail));
        let Event { source, event_type, extensions, .. } = event;
        if is_plugin_source(source) {
            return forbidden("reserved-source", format!("the source `{source}` belongs to a plugin; use another one"));
        }
        match (ReservedType::of(event_type), self) {
            (Some(ReservedType::Host), _) | (Some(ReservedType::Schedule), Self::Producers(_)) => {
                return forbidden("reserved-type", format!("only the host publishes events of type `{event_type}`"));
            }
            (Some(ReservedType::Schedule), Self::Operator) | (None, _) => {}
        }
        if let Some(name) = extensions.keys().find(|name| is_host_attribute(name)) {
            return forbidden("reserved-attribute", format!("the host sets the attribute `{name}`; leave it out"));
        }
        match self {
            Self::Operator => Ok(None),
            Self::Producers(producers) => check_rules(producers, event).map(|producer| Some(producer.holder())),
        }
    }

    /// Whether the publisher may wait for the reply to an event. A publisher that joins a cause tree may not, since it
    /// would read replies meant for others.
    pub(super) fn check_reply(&self, event: &Event) -> Result<(), Problem> {
        if matches!(self, Self::Producers(_)) && joins_cause_tree(event) {
            let detail = "an event with a `correlationid` joins another cause tree; it cannot wait for a reply";
            return Err(Problem::new(StatusCode::FORBIDDEN, "reply-not-allowed", detail));
        }
        Ok(())
    }
}

/// Whether an event has a correlation id, and so joins an existing cause tree.
fn joins_cause_tree(event: &Event) -> bool {
    [CORRELATION_ID, CORRELATION_SOURCE].into_iter().any(|name| event.extensions.contains_key(name))
}

/// The rule that permits an event.
fn check_rules<'a>(producers: &[&'a ProducerRule], event: &Event) -> Result<&'a ProducerRule, Problem> {
    let forbidden = |code, detail| Err(Problem::new(StatusCode::FORBIDDEN, code, detail));
    let Event { source, event_type, .. } = event;
    let of_type: Vec<_> =
        producers.iter().copied().filter(|one| one.types.iter().any(|pattern| pattern.matches(event_type))).collect();
    if of_type.is_empty() {
        let detail = format!("this producer may not publish the type `{event_type}`; permit it in [ingress] events");
        return forbidden("type-not-allowed", detail);
    }
    let mut of_source =
        of_type.into_iter().filter(|one| one.sources.iter().any(|rule| rule.matches(source))).peekable();
    let Some(first) = of_source.peek().copied() else {
        let detail = format!("this producer may not publish from the source `{source}`; permit it in [ingress] events");
        return forbidden("source-not-allowed", detail);
    };
    if !joins_cause_tree(event) {
        return Ok(first);
    }
    of_source.find(|one| one.replies).map_or_else(
        || {
            let detail = "only a producer with `replies = true` may set `correlationid`";
            forbidden("correlation-not-allowed", detail.to_owned())
        },
        Ok,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(text: &str) -> Result<EventsRule, toml::de::Error> {
        toml::from_str::<IngressConfig>(text).map(|config| config.events.unwrap())
    }

    fn event(source: &str, event_type: &str, extensions: &[&str]) -> Event {
        let extensions = extensions.iter().map(|name| ((*name).to_owned(), "1".to_owned())).collect();
        let (source, event_type) = (source.to_owned(), event_type.to_owned());
        Event { id: "1".to_owned(), source, event_type, extensions, ..Event::default() }
    }

    #[test]
    fn the_rule_is_off_a_producer_or_several() {
        assert_eq!(rule("events = \"off\"").unwrap(), EventsRule::Off);
        let one = "events = { types = [\"a.>\"], sources = [\"/shop/*\"], token_file = \"t\" }";
        let EventsRule::Producers(one) = rule(one).unwrap() else { panic!("it has producers") };
        assert_eq!(one[0].sources, [SourceRule::Below("/shop/".to_owned())]);
        let two = "[[events]]\ntypes = [\"a\"]\nsources = [\"*\"]\n[[events]]\ntypes = [\"b\"]\nsources = [\"x:y\"]\n";
        let EventsRule::Producers(two) = rule(two).unwrap() else { panic!("it has producers") };
        assert_eq!(two.len(), 2);
    }

    #[test]
    fn a_rule_that_says_too_little_or_too_much_is_refused() {
        let refused = [
            ("events = \"on\"", "\"off\""),
            ("events = []", "empty"),
            ("events = { types = [\"a\"] }", "sources"),
            ("events = { types = [], sources = [\"*\"] }", "at least one"),
            ("events = { types = [\"a\"], sources = [\"/sh*\"] }", "a prefix that ends with `/*`"),
            ("events = { types = [\"a\"], sources = [\"/Plugins/*\"] }", "plugin"),
            ("events = { types = [\"a\"], sources = [\"/x\"], tokenfile = \"x\" }", "tokenfile"),
            ("event = \"off\"", "event"),
        ];
        for (text, expected) in refused {
            let error = toml::from_str::<IngressConfig>(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    /// Each kind of publisher with an event: the problem's code, or none if the event is accepted.
    #[test]
    fn forged_events_are_refused_with_a_code() {
        let text =
            "events = { types = [\"order.>\", \"schedule.>\", \"sandbus.>\"], sources = [\"/shop\", \"/till/*\"] }";
        let EventsRule::Producers(plain) = rule(text).unwrap() else { panic!("it has producers") };
        let replying = ProducerRule { replies: true, ..plain[0].clone() };
        let code =
            |publisher: &Publisher<'_>, event: &Event| publisher.check(event).err().map(|problem| problem.code());
        let none = None;
        let cases = [
            (event("/shop", "order.placed", &[]), none, none),
            (event("/till/7", "order.placed", &["tenant"]), none, none),
            (event("/plugins/payments", "order.paid", &[]), Some("reserved-source"), Some("reserved-source")),
            (event("/%70lugins/payments", "order.paid", &[]), Some("reserved-source"), Some("reserved-source")),
            (event("/till/../plugins/p", "order.paid", &[]), Some("reserved-source"), Some("reserved-source")),
            (event("/shop", "schedule.mailer.digest", &[]), Some("reserved-type"), none),
            (event("/shop", "sandbus.plugin.loaded", &[]), Some("reserved-type"), Some("reserved-type")),
            (event("/shop", "order.placed", &["causationid"]), Some("reserved-attribute"), Some("reserved-attribute")),
            (event("/shop", "order.placed", &["hops"]), Some("reserved-attribute"), Some("reserved-attribute")),
            (event("/shop", "order.placed", &["authid"]), Some("reserved-attribute"), Some("reserved-attribute")),
            (event("/shop", "user.left", &[]), Some("type-not-allowed"), none),
            (event("/shops", "order.placed", &[]), Some("source-not-allowed"), none),
            (event("/till/", "order.placed", &[]), Some("source-not-allowed"), none),
            (event("/till/%2e%2e/shop2", "order.placed", &[]), Some("source-not-allowed"), none),
            (event("/shop", "order.placed", &["correlationid"]), Some("correlation-not-allowed"), none),
        ];
        for (event, producer, operator) in cases {
            assert_eq!(code(&Publisher::Producers(vec![&plain[0]]), &event), producer, "{event:?}");
            assert_eq!(code(&Publisher::Operator, &event), operator, "{event:?}");
        }
        let reply = event("/shop", "order.placed", &["correlationid"]);
        let publisher = Publisher::Producers(vec![&replying]);
        assert_eq!(code(&publisher, &reply), None);
        assert_eq!(publisher.check_reply(&reply).unwrap_err().code(), "reply-not-allowed");
    }

    #[tokio::test]
    async fn a_token_selects_the_producer() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("token");
        std::fs::write(&file, "long-enough-to-be-a-token\n").unwrap();
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&file, private).unwrap();
        let producer = |types: &str, token_file| ProducerRule {
            types: vec![Pattern::parse(types).unwrap()],
            sources: vec![SourceRule::Any],
            token_file,
            replies: false,
        };
        let only = Producers::load(EventsRule::Producers(vec![producer("a", Some(file.clone()))])).unwrap();
        let both = EventsRule::Producers(vec![producer("a", Some(file)), producer("b", None)]);
        let both = Producers::load(both).unwrap();
        let headers = |value: Option<&'static str>| {
            let value = value.map(|value| (AUTHORIZATION, HeaderValue::from_static(value)));
            value.into_iter().collect::<HeaderMap>()
        };
        let good = headers(Some("Bearer long-enough-to-be-a-token"));
        let bad = headers(Some("Bearer long-enough-to-be-a-tokex"));
        assert_eq!(only.authorize(&headers(None)).await.unwrap_err().code(), "token-missing");
        assert_eq!(only.authorize(&bad).await.unwrap_err().code(), "token-unknown");
        assert!(only.authorize(&good).await.is_ok());
        let may = async |headers: &HeaderMap, event_type: &str| {
            both.authorize(headers).await.unwrap().check(&event("/x", event_type, &[])).is_ok()
        };
        assert!(may(&good, "a").await && !may(&good, "b").await);
        assert!(may(&headers(None), "b").await && !may(&headers(None), "a").await);
        assert_eq!(both.authorize(&bad).await.unwrap_err().code(), "token-unknown");
        assert_eq!(Producers::default().authorize(&good).await.unwrap_err().code(), "ingress-off");
    }
}
