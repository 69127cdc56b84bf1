//! Records the results of a step, for all plugins together and for each of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::{PAGE, Runner, json_or_text};
use crate::api::RetryView;
use crate::bus::{DeadLetterFilter, DeadLetters as _, EventLog as _, PluginState as _, Subscriptions as _};
use crate::event::Event;
use crate::event::reserved::publishing_plugin;
use crate::scenario::{AttemptSummary, ScenarioError, StepResult, internal_error};

impl Runner {
    /// Records what an invocation of a plugin has logged and sent.
    pub(super) fn record_invocation(&mut self, plugin: &str, lines: &[String]) {
        let sent = self.outbound.take_sent();
        let key = self.key_of(plugin);
        let to_json = |sent: &crate::outbound::Sent| {
            let mut json = sent.to_json();
            json["plugin"] = key.as_str().into();
            json
        };
        let requests: Vec<_> = sent.iter().map(to_json).collect();
        for part in [&mut self.step.plugins.entry(key).or_default().logs, &mut self.step.logs] {
            part.extend_from_slice(lines);
        }
        self.step.requests.extend(requests);
    }

    /// Records a log line of the host about an invocation of a plugin.
    pub(super) fn record_line(&mut self, plugin: &str, line: String) {
        self.record_invocation(plugin, &[line]);
    }

    pub(super) fn record_attempt(&mut self, plugin: &str, attempt: AttemptSummary) {
        let key = self.key_of(plugin);
        self.step.plugins.entry(key).or_default().attempts.push(attempt.clone());
        self.step.attempts.push(attempt);
    }

    fn key_of(&self, plugin: &str) -> String {
        let found = self.plugins.iter().find(|one| *one.name == *plugin);
        found.map_or_else(|| plugin.to_owned(), |one| one.key.clone())
    }

    /// Records the result of a step.
    pub(super) async fn record_step(&mut self) -> Result<(), ScenarioError> {
        let published = self.new_events().await?;
        let scheduled = self.scheduled().await?;
        let dead_letters = self.dead_letters().await?;
        let subscriptions = self.dynamic_subscriptions();
        for index in 0..self.plugins.len() {
            let name = Arc::clone(&self.plugins[index].name);
            let state = self.state(&name)?;
            if self.subject == Some(index) {
                self.step.state.clone_from(&state);
            }
            let key = self.plugins[index].key.clone();
            let sent_by = |request: &&Value| request["plugin"] == *key;
            let requests = self.step.requests.iter().filter(sent_by).cloned().collect();
            let part = self.step.plugins.remove(&key).unwrap_or_default();
            let part = StepResult {
                state,
                requests,
                published: of_plugin(&published, &name),
                scheduled: of_plugin(&scheduled, &name),
                dead_letters: of_plugin(&dead_letters, &name),
                subscriptions: of_plugin(&subscriptions, &name),
                ..part
            };
            self.step.plugins.insert(key, part);
        }
        self.step.published = values(published);
        self.step.scheduled = values(scheduled);
        self.step.dead_letters = values(dead_letters);
        self.step.subscriptions = values(subscriptions);
        Ok(())
    }

    async fn scheduled(&self) -> Result<Vec<Owned>, ScenarioError> {
        let scheduled = self.bus.scheduled(None, PAGE).await.map_err(internal_error)?;
        let to_json = |scheduled: &crate::bus::ScheduledEvent| {
            let mut event = of_publisher(&scheduled.event);
            event.value["at"] = self.after_beginning(scheduled.due).into();
            event
        };
        Ok(scheduled.iter().map(to_json).collect())
    }

    async fn dead_letters(&self) -> Result<Vec<Owned>, ScenarioError> {
        let dead = self.bus.dead_letters(DeadLetterFilter::default(), None, PAGE).await.map_err(internal_error)?;
        let to_json = |dead: &crate::bus::DeadLetter| {
            let value = json!({
                "subscription": dead.subscription.to_string(), "event": dead.logged.event.id,
                "type": dead.logged.event.event_type, "cause": dead.cause, "reason": dead.reason,
                "attempts": dead.attempts,
            });
            Owned { plugin: Some(dead.subscription.owner.clone()), value }
        };
        Ok(dead.iter().map(to_json).collect())
    }

    fn dynamic_subscriptions(&self) -> Vec<Owned> {
        let catalogue = Arc::clone(&self.bus.catalogue().borrow());
        let dynamic = catalogue.feeds.iter().filter(|one| one.dynamic);
        let to_json = |one: &Arc<crate::bus::FeedEntry>| {
            let mut rules = serde_json::to_value(&*one.definition).unwrap_or_default();
            rules["retry"] = serde_json::to_value(RetryView::from(&one.definition.retry)).unwrap_or_default();
            rules["name"] = one.id.name.as_str().into();
            Owned { plugin: Some(one.id.owner.clone()), value: rules }
        };
        dynamic.map(to_json).collect()
    }

    /// The events that entered the log since the previous step, except those that steps published.
    async fn new_events(&mut self) -> Result<Vec<Owned>, ScenarioError> {
        let (mut found, mut before) = (Vec::new(), None);
        loop {
            let page = self.bus.events(before, PAGE).await.map_err(internal_error)?;
            let full = page.len() == PAGE;
            let new = page.into_iter().take_while(|logged| logged.position > self.last_position);
            let count = found.len();
            found.extend(new);
            match found.last() {
                Some(last) if full && found.len() == count + PAGE => before = Some(last.position),
                _ => break,
            }
        }
        self.last_position = found.first().map_or(self.last_position, |newest| newest.position);
        found.reverse();
        let is_own = |event: &Event| self.published_by_steps.contains(&(event.source.clone(), event.id.clone()));
        Ok(found.iter().filter(|logged| !is_own(&logged.event)).map(|logged| of_publisher(&logged.event)).collect())
    }

    fn state(&self, plugin: &str) -> Result<BTreeMap<String, Value>, ScenarioError> {
        let mut view = self.bus.state(plugin);
        let (mut state, mut after) = (BTreeMap::new(), None::<String>);
        loop {
            let (keys, _) = view.keys(after.as_deref(), PAGE).map_err(internal_error)?;
            after = keys.last().cloned();
            for key in keys {
                let value = view.get(&key).map_err(internal_error)?.0.unwrap_or_default();
                state.insert(key, json_or_text(&value));
            }
            if after.is_none() || state.len() % PAGE != 0 {
                return Ok(state);
            }
        }
    }
}

/// A part of a result, and the plugin that caused it.
struct Owned {
    plugin: Option<String>,
    value: Value,
}

/// An event with the plugin that published it.
fn of_publisher(event: &Event) -> Owned {
    Owned { plugin: publishing_plugin(&event.source).map(str::to_owned), value: event.to_value() }
}

fn of_plugin(all: &[Owned], plugin: &str) -> Vec<Value> {
    all.iter().filter(|one| one.plugin.as_deref() == Some(plugin)).map(|one| one.value.clone()).collect()
}

fn values(all: Vec<Owned>) -> Vec<Value> {
    all.into_iter().map(|one| one.value).collect()
}
