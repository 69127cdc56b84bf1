//! `sandbus publish`.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde::Serialize;
use serde_json::value::RawValue;

use super::client::Client;
use super::paging::fetch_all;
use super::{Remote, output};
use crate::api::SubscriptionList;
use crate::clock::{Clock, Timestamp};
use crate::console;
use crate::event::{Data, Event, Kind, is_extension_name};
use crate::pattern::Pattern;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The type of the event, such as user.registered
    #[arg(value_name = "TYPE")]
    event_type: String,
    /// The data, in JSON unless --content-type says otherwise; `-` reads standard input
    data: Option<String>,
    /// Set the id [default: a new UUID]
    #[arg(long)]
    id: Option<String>,
    /// Set the source
    #[arg(long, default_value = "/cli")]
    source: String,
    /// Set the subject
    #[arg(long)]
    subject: Option<String>,
    /// Set the media type of the data
    #[arg(long, default_value = "application/json")]
    content_type: String,
    /// Set the time, such as 2030-01-31T12:00:00Z [default: now]
    #[arg(long, value_name = "TIME", value_parser = super::parse_time)]
    time: Option<Timestamp>,
    /// Set the URI of the data's schema
    #[arg(long, value_name = "URI")]
    dataschema: Option<String>,
    /// Add an extension attribute (repeatable)
    #[arg(long = "attribute", value_name = "NAME=VALUE", value_parser = parse_attribute)]
    attributes: Vec<(String, String)>,
    /// Delay the event by this duration, such as 5m
    #[arg(long, value_name = "TIME", conflicts_with = "at", value_parser = super::parse_duration, allow_hyphen_values = true)]
    delay: Option<Duration>,
    /// Delay the event until this time
    #[arg(long, value_name = "TIME", value_parser = super::parse_time)]
    at: Option<Timestamp>,
    /// Wait for a reply of this type, or pattern of types, and print it
    #[arg(long, value_name = "TYPE", conflicts_with_all = ["delay", "at"], value_parser = Pattern::parse)]
    reply: Option<Pattern>,
    /// Wait at most this long for the reply [default: 5s]
    #[arg(long, value_name = "TIME", requires = "reply", value_parser = super::parse_duration)]
    timeout: Option<Duration>,
    #[command(flatten)]
    remote: Remote,
}

fn parse_attribute(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    if !is_extension_name(name) {
        return Err(match matching_option(name) {
            Some(option) => format!("`{name}` is not an extension attribute; {option}"),
            None => {
                format!("`{name}` is not a valid extension attribute name; use 1 to 40 lower-case letters and digits")
            }
        });
    }
    Ok((name.to_owned(), value.to_owned()))
}

/// How to set the attributes and members of an event that are not extension attributes.
fn matching_option(name: &str) -> Option<&'static str> {
    Some(match name {
        "id" => "use --id",
        "source" => "use --source",
        "subject" => "use --subject",
        "datacontenttype" => "use --content-type",
        "time" => "use --time",
        "dataschema" => "use --dataschema",
        "type" => "use the first argument",
        "data" => "use the second argument",
        "data_base64" => "use the second argument with --content-type",
        "specversion" => "its value is always 1.0",
        _ => return None,
    })
}

pub(super) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let (client, output) = arguments.remote.connect();
    let event = build_event(&arguments)?;
    let query = Query::of(&arguments);
    if query.reply.is_some() {
        let response =
            client.publish_and_wait(event.to_json(), &query, arguments.timeout.unwrap_or(REPLY_TIMEOUT)).await?;
        output.print(&response, |_| crate::printable::json(&response.indented()));
        return Ok(());
    }
    let response = client.publish(event.to_json(), &query).await?;
    output.print(&response, |response| {
        let lines = response.accepted.iter().map(|accepted| {
            let note = if accepted.duplicate { " (duplicate)" } else { "" };
            format!("accepted {}{note}", output::cell(&accepted.id))
        });
        lines.collect::<Vec<_>>().join("\n")
    });
    warn_if_unmatched(&client, &arguments.event_type).await;
    Ok(())
}

/// How long the host waits for a reply by default.
const REPLY_TIMEOUT: Duration = Duration::from_secs(5);

/// Warns if no subscription matches the type: a misspelled type would otherwise look like a success.
async fn warn_if_unmatched(client: &Client, event_type: &str) {
    let Ok(response) = fetch_all::<SubscriptionList>(client).await else { return };
    let mut patterns = response.value().subscriptions.iter().map(|subscription| &subscription.rules.pattern);
    let matches = |pattern: &String| Pattern::parse(pattern).is_ok_and(|pattern| pattern.matches(event_type));
    if !patterns.any(matches) {
        console::print_status(&format!(
            "warning: no subscription matches the type `{}`; `sandbus subscriptions` lists the patterns",
            output::cell(event_type)
        ));
    }
}

/// Query parameters of a publish request.
#[derive(Debug, Serialize)]
struct Query {
    #[serde(serialize_with = "crate::duration::option::serialize")]
    delay: Option<Duration>,
    at: Option<String>,
    reply: Option<Pattern>,
    #[serde(serialize_with = "crate::duration::option::serialize")]
    timeout: Option<Duration>,
}

impl Query {
    fn of(arguments: &Arguments) -> Self {
        Self {
            delay: arguments.delay,
            at: arguments.at.map(|at| at.to_string()),
            reply: arguments.reply.clone(),
            timeout: arguments.timeout,
        }
    }
}

fn build_event(arguments: &Arguments) -> anyhow::Result<Event> {
    let data = read_data(arguments)?;
    let mut extensions = BTreeMap::new();
    for (name, value) in &arguments.attributes {
        if extensions.insert(name.clone(), value.clone()).is_some() {
            bail!("the attribute `{name}` is repeated");
        }
    }
    Ok(Event {
        id: arguments.id.clone().unwrap_or_else(|| uuid::Uuid::now_v7().to_string()),
        source: arguments.source.clone(),
        event_type: arguments.event_type.clone(),
        subject: arguments.subject.clone(),
        time: Some(arguments.time.unwrap_or_else(|| Clock::System.now()).to_string()),
        dataschema: arguments.dataschema.clone(),
        datacontenttype: data.is_some().then(|| arguments.content_type.clone()),
        extensions,
        data,
        ..Event::default()
    })
}

/// The data as given. JSON is checked here, so that the error shows the text.
fn read_data(arguments: &Arguments) -> anyhow::Result<Option<Data>> {
    let bytes = match arguments.data.as_deref() {
        None => return Ok(None),
        Some("-") => super::read_standard_input()?,
        Some(data) => data.as_bytes().to_vec(),
    };
    let data = Data::declared(&arguments.content_type, bytes);
    if data.kind() == Kind::Json {
        let shown = || format!("the data is not JSON: {}", output::truncate(&String::from_utf8_lossy(&data), 200));
        serde_json::from_slice::<&RawValue>(&data).with_context(shown)?;
    }
    Ok(Some(data))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Command {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn published(words: &[&str]) -> anyhow::Result<String> {
        let command = Command::parse_from(["publish", "t", "--id", "1"].iter().chain(words));
        build_event(&command.arguments).map(|event| event.to_json())
    }

    #[test]
    fn data_is_published_as_it_was_given() {
        for json in [r#"{"wei":123456789012345678901,"b":1,"a":0.10}"#, r#"{"a":1, "a":2}"#, "1e999", "null", " [ ] "] {
            let event = published(&[json]).unwrap();
            assert!(
                event.ends_with(&format!(r#""datacontenttype":"application/json","data":{}}}"#, json.trim())),
                "{event}"
            );
        }
        for (media_type, data, member) in [
            ("foo/json", "[1.0]", r#""data":[1.0]"#),
            ("text/plain", "{}", r#""data":"{}""#),
            ("application/x-protobuf", "x", r#""data_base64":"eA==""#),
        ] {
            let event = published(&["--content-type", media_type, data]).unwrap();
            assert!(event.contains(member), "{event}");
        }
        assert!(!published(&[]).unwrap().contains("data"));
    }

    #[test]
    fn data_that_is_not_json_is_refused_with_a_reason() {
        assert!(published(&["{"]).unwrap_err().to_string().contains("the data is not JSON: {"));
    }

    /// CloudEvents 1.0, section 3.1: names of attributes; and the members of the JSON format, which none may have.
    #[test]
    fn only_extensions_are_given_as_attributes() {
        assert_eq!(parse_attribute("tenant=acme=1").unwrap(), ("tenant".to_owned(), "acme=1".to_owned()));
        let members = [
            "id",
            "source",
            "type",
            "specversion",
            "subject",
            "time",
            "datacontenttype",
            "dataschema",
            "data",
            "data_base64",
        ];
        for name in members.into_iter().chain(["Tenant", "ten-ant", "", "naïve", " tenant"]) {
            assert!(parse_attribute(&format!("{name}=x")).is_err(), "{name}");
        }
        for name in members {
            let refused = parse_attribute(&format!("{name}=x")).unwrap_err();
            assert!(refused.contains("is not an extension attribute; "), "it says how to set `{name}`: {refused}");
        }
        let event = published(&["--time", "2030-01-31T12:00:00Z", "--dataschema", "https://a/b"]).unwrap();
        assert!(event.contains("\"time\":\"2030-01-31T12:00:00") && event.contains("\"dataschema\":\"https://a/b\""));
    }
}
