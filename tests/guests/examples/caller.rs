//! Sends the request that an event describes, and publishes the response.

use std::time::Duration;

use sandbus_sdk::client::Request;
use sandbus_sdk::prelude::*;

#[derive(Event, Serialize, Deserialize)]
#[event(type = "call.wanted")]
struct Wanted {
    method: String,
    url: String,
    #[serde(default)]
    body: String,
    #[serde(default)]
    timeout_ms: Option<u64>,
    /// Whether the handler fails if the response has another status than 2xx.
    #[serde(default)]
    needs_success: bool,
}

#[derive(Event, Serialize, Deserialize)]
#[event(type = "call.answered")]
struct Answered {
    status: u16,
    server: Option<String>,
    length: usize,
    beginning: String,
}

#[on_event(retry(max_attempts = 1))]
fn call(wanted: Wanted) -> Result<()> {
    let mut call = Request::new(wanted.method, wanted.url).header("x-caller", "a guest").body(wanted.body);
    call.timeout = wanted.timeout_ms.map(Duration::from_millis);
    let mut answer = call.send()?;
    if wanted.needs_success {
        answer = answer.success()?;
    }
    let beginning = String::from_utf8_lossy(&answer.body).chars().take(20).collect();
    let server = answer.header("Server").map(str::to_owned);
    publish(&Answered { status: answer.status, server, length: answer.body.len(), beginning })?;
    Ok(())
}

plugin! { name: "caller", handlers: [call], publishes: [Answered] }
