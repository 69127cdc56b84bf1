//! `sandbus publish`.

use std::io::Read as _;

use anyhow::Context as _;
use serde_json::{Value, json};

use super::{Remote, output};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The event's type, such as user.registered
    #[arg(value_name = "TYPE")]
    event_type: String,
    /// The data, JSON unless --content-type says otherwise; `-` reads standard input
    data: Option<String>,
    /// The event's id; a new one by default
    #[arg(long)]
    id: Option<String>,
    /// Where it comes from
    #[arg(long, default_value = "/cli")]
    source: String,
    /// What it is about
    #[arg(long)]
    subject: Option<String>,
    /// The media type of the data
    #[arg(long, default_value = "application/json")]
    content_type: String,
    /// An extension attribute; may be repeated
    #[arg(long = "attribute", value_name = "NAME=VALUE", value_parser = pair)]
    attributes: Vec<(String, String)>,
    #[command(flatten)]
    remote: Remote,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

pub(super) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let (client, output) = arguments.remote.connect();
    let event = event(&arguments)?;
    let answer = client.publish(event.to_string()).await?;
    output.print(&answer, |answer| {
        let accepted = &answer["accepted"][0];
        let note = if accepted["duplicate"] == true { " (it was there already)" } else { "" };
        format!("accepted {}{note}", output::cell(&accepted["id"]))
    });
    Ok(())
}

fn event(arguments: &Arguments) -> anyhow::Result<Value> {
    let mut event = json!({
        "specversion": "1.0",
        "id": arguments.id.clone().unwrap_or_else(|| uuid::Uuid::now_v7().to_string()),
        "source": arguments.source,
        "type": arguments.event_type,
        "time": crate::clock::Clock::System.now().to_string(),
    });
    if let Some(subject) = &arguments.subject {
        event["subject"] = subject.as_str().into();
    }
    for (name, value) in &arguments.attributes {
        event[name] = value.as_str().into();
    }
    let data = match arguments.data.as_deref() {
        None => return Ok(event),
        Some("-") => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).context("standard input cannot be read")?;
            text
        }
        Some(data) => data.to_owned(),
    };
    event["datacontenttype"] = arguments.content_type.as_str().into();
    event["data"] = if crate::event::is_json(&arguments.content_type) {
        serde_json::from_str(&data).with_context(|| format!("the data is no JSON: {data}"))?
    } else {
        data.into()
    };
    Ok(event)
}
