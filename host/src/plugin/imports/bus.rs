//! `sandbus:plugin/bus`: publishing, replies, and subscriptions made at run time. The interfaces `types` and `rules`
//! only have types.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use wasmtime::component::{HasSelf, Linker};

use crate::clock::{Timestamp, check_delay};
use crate::event::reserved::{ReservedType, is_host_attribute, plugin_source};
use crate::event::{Data, Event, check_type, mark_published};
use crate::otlp::LINK_AFTER;
use crate::outcome::SubscriptionChange;
use crate::pattern::Pattern;
use crate::plugin::bindings::sandbus::plugin::{bus, rules, types};
use crate::plugin::invocation::buffer::BufferError;
use crate::plugin::invocation::log::Trigger;
use crate::plugin::invocation::{InstanceData, Invocation};
use crate::plugin::manifest::subscription_rules;
use crate::reply::{REPLY_LIMIT, ReplyTo};
use crate::subscription::{Definition, Secret, Target, Webhook};

/// How many extension attributes a plugin may give an event.
const EXTENSIONS: usize = 256;

/// Links the interfaces.
pub(super) fn link(linker: &mut Linker<InstanceData>) -> wasmtime::Result<()> {
    types::add_to_linker::<_, HasSelf<InstanceData>>(linker, |instance| instance)?;
    rules::add_to_linker::<_, HasSelf<InstanceData>>(linker, |instance| instance)?;
    bus::add_to_linker::<_, HasSelf<InstanceData>>(linker, |instance| instance)
}

impl types::Host for InstanceData {}
impl rules::Host for InstanceData {}

impl bus::Host for InstanceData {
    fn publish(&mut self, message: bus::Message) -> wasmtime::Result<Result<String, bus::Error>> {
        Ok(self.invocation()?.publish(message))
    }

    fn publish_many(&mut self, messages: Vec<bus::Message>) -> wasmtime::Result<Result<Vec<String>, bus::Error>> {
        let invocation = self.invocation()?;
        let before = invocation.buffer.published();
        let ids = messages.into_iter().map(|message| invocation.publish(message)).collect::<Result<Vec<_>, _>>();
        if ids.is_err() {
            invocation.buffer.truncate_published(before);
        }
        Ok(ids)
    }

    fn cancel(&mut self, id: String) -> wasmtime::Result<Result<(), bus::Error>> {
        Ok(self.invocation()?.cancel(id))
    }

    fn reply(&mut self, id: String, pattern: String, timeout_ms: u64) -> wasmtime::Result<Result<(), bus::Error>> {
        Ok(self.invocation()?.reply(id, &pattern, Duration::from_millis(timeout_ms)))
    }

    fn subscribe(&mut self, wanted: bus::Subscription) -> wasmtime::Result<Result<(), bus::Error>> {
        Ok(self.invocation()?.subscribe(wanted))
    }

    fn unsubscribe(&mut self, name: String) -> wasmtime::Result<Result<(), bus::Error>> {
        let change = SubscriptionChange::Unsubscribe { name };
        Ok(self.invocation()?.buffer.subscribe(change).map_err(|refused| limit(&refused)))
    }
}

impl InstanceData {
    /// Publishes like a component, for native handlers. A refusal is only logged, because they cannot receive it.
    pub(crate) fn publish_json(&mut self, event_type: &str, json: Vec<u8>) {
        let message = bus::Message {
            type_: event_type.to_owned(),
            subject: None,
            datacontenttype: Some("application/json".to_owned()),
            dataschema: None,
            extensions: Vec::new(),
            data: Some(json),
            due: bus::Due::Now,
        };
        if let Some(invocation) = &mut self.invocation
            && let Err(error) = invocation.publish(message)
        {
            tracing::error!(plugin = %invocation.plugin, event_type, ?error, "a native handler published an event that it may not publish");
        }
    }
}

impl Invocation {
    /// Converts a message into an event, with the time at which it is due if not now.
    fn event(&mut self, message: bus::Message) -> Result<(Event, Option<Timestamp>), bus::Error> {
        let event_type = message.type_;
        self.check_may_publish(&event_type)?;
        let now = self.environment.clock.now();
        let due = due(message.due, now)?;
        let mut extensions = self.extensions(message.extensions)?;
        // The delivery of an event that is due much later starts a trace of its own.
        let is_sampled = self.trace.is_some_and(|trace| trace.is_sampled);
        if is_sampled && due.is_some_and(|due| due.since(now) > LINK_AFTER) {
            mark_published(&mut extensions, now);
        }
        let event = Event {
            id: self.ids.id(self.ids_given),
            source: plugin_source(&self.plugin),
            event_type,
            subject: message.subject,
            time: Some(now.to_string()),
            extensions,
            data: message.data.map(|bytes| Data::published(message.datacontenttype.as_deref(), bytes)),
            datacontenttype: message.datacontenttype,
            dataschema: message.dataschema,
            typed: BTreeSet::new(),
            producer: None,
        };
        event.check_message().map_err(invalid)?;
        if let Some(Err(error)) = event.data.as_ref().map(Data::check_json) {
            let (event_type, media_type) = (&event.event_type, event.media_type().unwrap_or_default());
            return Err(bus::Error::Invalid(format!(
                "the data of `{event_type}` is not JSON, which its media type `{media_type}` declares: {error}; \
                 publish JSON, or declare the media type of the bytes"
            )));
        }
        Ok((event, due))
    }

    /// Checks that the plugin may publish events of this type.
    fn check_may_publish(&self, event_type: &str) -> Result<(), bus::Error> {
        check_type(event_type).map_err(invalid)?;
        if !self.settings.publish.iter().any(|pattern| pattern.matches(event_type)) {
            let reason = format!(
                "plugin `{}` may not publish `{event_type}`; declare it in the plugin's `publishes`, or grant it in the sidecar",
                self.plugin
            );
            return Err(bus::Error::Denied(reason));
        }
        if ReservedType::of(event_type).is_some() {
            let reason = format!("the event type `{event_type}` is reserved for the host; choose another first word");
            return Err(bus::Error::Denied(reason));
        }
        Ok(())
    }

    /// The extension attributes of an event: those that the plugin gives, and those that the host sets.
    fn extensions(&self, given: Vec<(String, String)>) -> Result<BTreeMap<String, String>, bus::Error> {
        if given.len() > EXTENSIONS {
            return Err(bus::Error::Invalid(format!("an event may have at most {EXTENSIONS} extension attributes")));
        }
        let mut extensions = BTreeMap::new();
        for (name, value) in given {
            if !crate::event::is_extension_name(&name) {
                return Err(bus::Error::Invalid(format!(
                    "`{name}` is not the name of an extension attribute; use lower-case letters and digits"
                )));
            }
            // Host attributes copied from the handled event do not apply to the published one.
            if !is_host_attribute(&name) {
                extensions.insert(name, value);
            }
        }
        // The host's attributes come last, so that a plugin cannot forge them.
        extensions.extend(self.inherited.clone());
        Ok(extensions)
    }

    fn publish(&mut self, message: bus::Message) -> Result<String, bus::Error> {
        let (event, due) = self.event(message)?;
        let id = event.id.clone();
        self.buffer.publish(event, due).map_err(|refused| limit(&refused))?;
        self.ids_given += 1;
        Ok(id)
    }

    fn cancel(&mut self, id: String) -> Result<(), bus::Error> {
        self.buffer.cancel(id).map_err(|refused| limit(&refused))
    }

    fn reply(&mut self, id: String, pattern: &str, timeout: Duration) -> Result<(), bus::Error> {
        if !matches!(self.log.trigger, Trigger::Request { .. }) {
            return Err(bus::Error::Invalid(
                "only a request's handler can ask for a reply, because no client waits for a delivery".to_owned(),
            ));
        }
        if !self.buffer.has_published(&id) {
            return Err(bus::Error::Invalid(format!("this invocation has not published an event with the id `{id}`")));
        }
        if timeout > REPLY_LIMIT {
            return Err(bus::Error::Limit(format!("a client can wait for at most {} s", REPLY_LIMIT.as_secs())));
        }
        let pattern = Pattern::parse(pattern).map_err(invalid)?;
        self.reply = Some(ReplyTo { id, pattern, timeout });
        Ok(())
    }

    fn subscribe(&mut self, wanted: bus::Subscription) -> Result<(), bus::Error> {
        let name = wanted.name;
        if !crate::subscription::is_valid_name(&name) {
            let reason = format!(
                "`{name}` is not a valid name for a subscription; use 1 to 128 letters, digits, `-` and `_`, not beginning with `-`"
            );
            return Err(bus::Error::Invalid(reason));
        }
        if self.settings.declared.subscriptions.iter().any(|(declared, ..)| *declared == name) {
            let reason = format!("the plugin already declares a subscription `{name}`; choose another name");
            return Err(bus::Error::Invalid(reason));
        }
        let pattern = Pattern::parse(&wanted.pattern).map_err(invalid)?;
        if !self.settings.subscribe.iter().any(|grant| grant.covers(&pattern)) {
            let reason = format!(
                "plugin `{}` may not subscribe to `{pattern}`; declare it in the plugin's `subscribes`, or grant it in the sidecar",
                self.plugin
            );
            return Err(bus::Error::Denied(reason));
        }
        let target = match wanted.target {
            bus::Target::Plugin(name) => Target::Plugin(name),
            bus::Target::Webhook(webhook) => self.webhook(webhook)?,
        };
        let start = subscription_rules::start(wanted.start).map_err(invalid)?;
        let concurrency = subscription_rules::concurrency(wanted.concurrency).map_err(invalid)?;
        let definition = Box::new(Definition {
            pattern,
            filters: subscription_rules::filters(wanted.filters.as_deref()).map_err(invalid)?,
            target,
            concurrency: concurrency.unwrap_or(self.settings.subscription_concurrency),
            ordering_key: subscription_rules::ordering_key(wanted.ordering_key.as_deref()).map_err(invalid)?,
            dead_letter_policy: subscription_rules::dead_letter_policy(wanted.dead_letter_policy),
            retry: subscription_rules::retry(wanted.retry).map_err(invalid)?,
            max_backlog: None,
            timeout: self.settings.limits.timeout,
        });
        self.buffer
            .subscribe(SubscriptionChange::Subscribe { name, definition, start })
            .map_err(|refused| limit(&refused))
    }

    fn webhook(&self, webhook: bus::Webhook) -> Result<Target, bus::Error> {
        let host = crate::endpoint::host_and_port(&webhook.url).map_err(bus::Error::Invalid)?;
        if !self.settings.webhooks.include(&host) {
            let reason = format!(
                "plugin `{}` may not send webhooks to `{host}`; grant it in the sidecar: [grants] webhooks = [\"{host}\"]",
                self.plugin
            );
            return Err(bus::Error::Denied(reason));
        }
        let own = self.environment.outbound.refuse_own(&host);
        own.map_err(|error| bus::Error::Denied(format!("{error}; deliver to a plugin instead")))?;
        let secret = webhook.secret.as_deref().map(Secret::parse).transpose().map_err(invalid)?;
        Ok(Target::Webhook(Webhook { secret, handshake: webhook.handshake, ..Webhook::new(webhook.url) }))
    }
}

/// When an event is due, if not now.
fn due(due: bus::Due, now: Timestamp) -> Result<Option<Timestamp>, bus::Error> {
    Ok(match due {
        bus::Due::Now => None,
        bus::Due::AfterMs(delay) => Some(now.after(check_delay(Duration::from_millis(delay)).map_err(invalid)?)),
        bus::Due::At(time) => Some(
            Timestamp::parse(&time)
                .ok_or_else(|| bus::Error::Invalid(format!("`{time}` is not a time in RFC 3339")))?,
        ),
    })
}

fn invalid(error: impl std::fmt::Display) -> bus::Error {
    bus::Error::Invalid(error.to_string())
}

fn limit(refused: &BufferError) -> bus::Error {
    bus::Error::Limit(refused.to_string())
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::endpoint::HostGrants;
    use crate::outbound::{self, Listeners, Outbound, OutboundConfig};
    use crate::plugin::invocation::tests::instance_data;

    /// Data with its media type, and what an error says about it.
    pub(crate) const JSON_DATA: [(&str, &[u8], Option<&str>); 15] = [
        ("application/json", b"{\"a\": 1e999}", None),
        ("application/json", b" null ", None),
        ("application/problem+json; charset=utf-8", b"[]", None),
        ("application/json", b"{", Some("EOF")),
        ("application/json", b"{}{}", Some("trailing characters")),
        ("application/json", b"{a: 1}", Some("line 1 column 2")),
        ("application/json", b"hello", Some("not JSON")),
        ("application/json", b"\"\xff\"", Some("not JSON")),
        ("application/json", b"\xef\xbb\xbf{}", Some("not JSON")),
        ("Application/JSON", b"NaN", Some("not JSON")),
        ("text/json", b"'a'", Some("`text/json`")),
        ("application/vnd.api+json", b"a=1", Some("`application/vnd.api+json`")),
        ("text/plain", b"{", None),
        ("application/json-seq", b"{", None),
        ("application/octet-stream", b"\xff", None),
    ];

    pub(crate) fn message(media_type: Option<&str>, data: &[u8]) -> bus::Message {
        bus::Message {
            type_: "a".to_owned(),
            subject: None,
            datacontenttype: media_type.map(str::to_owned),
            dataschema: None,
            extensions: Vec::new(),
            data: Some(data.to_vec()),
            due: bus::Due::Now,
        }
    }

    pub(crate) fn assert_published(published: Result<String, bus::Error>, words: Option<&str>, what: &str) {
        match (published, words) {
            (Ok(_), None) => {}
            (Err(bus::Error::Invalid(reason)), Some(words)) => assert!(reason.contains(words), "{what}: {reason}"),
            (published, _) => panic!("{what}: {published:?}"),
        }
    }

    /// RFC 8259, and CloudEvents JSON format 1.0.2, section 3.1.1, on which media types are JSON.
    #[test]
    fn data_declared_as_json_must_be_json() {
        let mut instance = instance_data();
        for (media_type, data, words) in JSON_DATA {
            let published = bus::Host::publish(&mut instance, message(Some(media_type), data)).unwrap();
            assert_published(published, words, &format!("{media_type} {data:?}"));
        }
        let published = bus::Host::publish(&mut instance, message(Some("application/json"), b"")).unwrap();
        assert_published(published, Some("EOF"), "no bytes");
        let published = bus::Host::publish(&mut instance, message(None, b"\xff")).unwrap();
        assert_published(published, None, "without a media type");

        let before = instance.invocation().unwrap().buffer.published();
        let messages = vec![message(Some("application/json"), b"1"), message(Some("application/json"), b"{")];
        assert!(bus::Host::publish_many(&mut instance, messages).unwrap().is_err());
        assert_eq!(instance.invocation().unwrap().buffer.published(), before, "all or none");
    }

    #[test]
    fn a_delay_is_at_most_a_hundred_years() {
        let most = u64::try_from(crate::clock::MAX_DELAY.as_millis()).unwrap();
        for (delay, words) in
            [(0, None), (most, None), (most + 1, Some("a hundred years")), (u64::MAX, Some("a hundred years"))]
        {
            let message = bus::Message { due: bus::Due::AfterMs(delay), ..message(None, b"") };
            assert_published(bus::Host::publish(&mut instance_data(), message).unwrap(), words, &delay.to_string());
        }
    }

    /// The admin interface refuses the same webhooks.
    #[test]
    fn no_webhook_leads_to_the_host_itself() {
        let own = Listeners::new(["127.0.0.1:8080".parse().unwrap(), "0.0.0.0:8081".parse().unwrap()]);
        let outbound = Outbound::Network(outbound::Client::new(own, &OutboundConfig::default()).unwrap());
        let subscribe = |url: &str| {
            let mut instance = instance_data();
            let invocation = instance.invocation().unwrap();
            invocation.environment.outbound = outbound.clone();
            let settings = Arc::make_mut(&mut invocation.settings);
            settings.subscribe = vec![Pattern::everything()];
            let hosts = ["127.0.0.1", "localhost", "[::1]", "0.0.0.0", "example.com"].map(str::to_owned);
            settings.webhooks = HostGrants::to(hosts);
            let webhook = bus::Webhook { url: url.to_owned(), secret: None, handshake: false };
            let subscription = bus::Subscription {
                name: "s".to_owned(),
                pattern: "a".to_owned(),
                filters: None,
                target: bus::Target::Webhook(webhook),
                start: None,
                concurrency: None,
                ordering_key: None,
                dead_letter_policy: None,
                retry: None,
            };
            bus::Host::subscribe(&mut instance, subscription).unwrap()
        };
        for url in [
            "http://127.0.0.1:8080/events",
            "http://localhost:8080/events",
            "http://LOCALHOST.:8080/",
            "http://127.0.0.1:8081/drain",
            "http://2130706433:8081/",
            "http://[::1]:8081/",
            "http://0.0.0.0:8081/",
        ] {
            let refused = subscribe(url);
            assert!(
                matches!(&refused, Err(bus::Error::Denied(reason)) if reason.contains("is a listener of this Sandbus")),
                "{url}: {refused:?}"
            );
        }
        for url in ["http://127.0.0.1:8082/", "http://localhost/", "https://example.com:8080/"] {
            assert!(subscribe(url).is_ok(), "{url}");
        }
    }
}
