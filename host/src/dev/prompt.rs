//! Reads commands from standard input: `r` publishes the last event again, `p` publishes a new one.

use std::io::BufRead as _;

use serde_json::value::RawValue;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::bus::SharedBus;
use crate::clock::Clock;
use crate::console;
use crate::event::{CAUSATION_ID, CORRELATION_ID, CORRELATION_SOURCE, Data, Event, HOPS};
use crate::ingress::cloudevents::{self, Mode};
use crate::ingress::producers::Publisher;
use crate::outcome::Publish;

/// The number of recent events to search for the last event from outside.
const SEARCH: usize = 500;
/// The number of pending lines.
const QUEUE: usize = 16;

pub(super) const HELP: &str = "type r to publish the last event again, or p TYPE [JSON] to publish an event";

/// Runs commands until it is cancelled or the input ends.
pub(super) async fn run(bus: SharedBus, cancelled: CancellationToken) {
    let (sender, mut lines) = mpsc::channel(QUEUE);
    // A blocking read cannot be cancelled, so the thread ends with the process.
    let reader = move || {
        for line in std::io::stdin().lock().lines() {
            let Ok(line) = line else { return };
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    };
    if std::thread::Builder::new().name("prompt".to_owned()).spawn(reader).is_err() {
        return;
    }
    loop {
        tokio::select! {
            () = cancelled.cancelled() => return,
            line = lines.recv() => match line {
                Some(line) => console::print_status(&handle_command(&bus, line.trim()).await),
                None => return,
            },
        }
    }
}

/// Runs a command, and returns the message about its result.
async fn handle_command(bus: &SharedBus, line: &str) -> String {
    let (key, rest) = line.split_once(' ').unwrap_or((line, ""));
    let event = match (key, rest) {
        ("r", "") => copy_last_event(bus).await,
        ("p", rest) if !rest.trim().is_empty() => parse_event(rest.trim()),
        _ => return HELP.to_owned(),
    };
    let event = match event {
        Ok(event) => event,
        Err(reason) => return reason,
    };
    let (event_type, id) = (event.event_type.clone(), event.id.clone());
    let is_taken = bus.catalogue().borrow().subscriptions().any(|entry| entry.definition.pattern.matches(&event_type));
    match bus.publish(vec![Publish { event, due: None }]).await {
        Ok(_) if !is_taken => format!("published {event_type} {id}; no subscription matches its type"),
        Ok(_) => format!("published {event_type} {id}"),
        Err(error) => format!("not published: {error}"),
    }
}

/// A new event with the contents of the newest event that has no cause.
async fn copy_last_event(bus: &SharedBus) -> Result<Event, String> {
    let page = bus.events(None, SEARCH).await.map_err(|error| error.to_string())?;
    let first = page.into_iter().find(|logged| !logged.event.extensions.contains_key(CAUSATION_ID));
    let mut event = Event::clone(&first.ok_or("there is no event yet; publish one with p")?.event);
    event.id = uuid::Uuid::now_v7().to_string();
    event.time = Some(Clock::System.now().to_string());
    event.extensions.retain(|name, _| ![CORRELATION_ID, CORRELATION_SOURCE, HOPS].contains(&name.as_str()));
    Ok(event)
}

/// Parses an event type and optional data.
fn parse_event(text: &str) -> Result<Event, String> {
    let (event_type, data) = text.split_once(' ').unwrap_or((text, ""));
    let data = data.trim();
    if !data.is_empty() {
        serde_json::from_str::<&RawValue>(data).map_err(|error| format!("the data is not JSON: {error}"))?;
    }
    let event = Event {
        id: uuid::Uuid::now_v7().to_string(),
        source: "/dev".to_owned(),
        event_type: event_type.to_owned(),
        time: Some(Clock::System.now().to_string()),
        data: (!data.is_empty()).then(|| Data::json(data)),
        ..Event::default()
    };
    let parsed = cloudevents::parse(Mode::Structured, &axum::http::HeaderMap::new(), event.to_json().into_bytes());
    let mut events = parsed.map_err(|problem| problem.detail().to_owned())?;
    let event = events.pop().ok_or_else(|| "there is no event in it".to_owned())?;
    Publisher::Operator.check(&event).map_err(|problem| problem.detail().to_owned())?;
    Ok(event)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_typed_in_a_line() {
        let event = parse_event(r#"user.registered {"name": "Ada"}"#).unwrap();
        assert_eq!((event.event_type.as_str(), event.source.as_str()), ("user.registered", "/dev"));
        assert_eq!(event.data.as_deref(), Some(br#"{"name": "Ada"}"#.as_slice()));
        let exact = parse_event("paid  {\"wei\":123456789012345678901,\"b\":1,\"a\":0.10}").unwrap();
        assert_eq!(exact.data.as_deref(), Some(br#"{"wei":123456789012345678901,"b":1,"a":0.10}"#.as_slice()));
        assert!(parse_event("user.registered").unwrap().data.is_none());
        assert!(parse_event("user.registered {").unwrap_err().contains("not JSON"));
        assert!(parse_event("not\u{1}a type").is_err());
        assert!(parse_event("schedule.mailer.digest").is_ok(), "a developer sets off by hand what a schedule does");
        assert!(parse_event("sandbus.plugin.loaded").is_err());
    }
}
