//! Publishes a question and responds to its client with the reply. A question may ask for no reply.

use std::time::Duration;

use sandbus_sdk::http;
use sandbus_sdk::prelude::*;

#[derive(Event, Serialize, Deserialize)]
#[event(type = "question.asked")]
struct Question {
    #[serde(default)]
    question: String,
    /// How long the client waits.
    #[serde(default = "two_seconds")]
    timeout_ms: u64,
    #[serde(default)]
    silent: bool,
}

fn two_seconds() -> u64 {
    2_000
}

#[derive(Event, Serialize, Deserialize)]
#[event(type = "question.answered")]
struct Answer {
    answer: String,
}

#[route(POST, "/ask")]
fn ask(Json(question): Json<Question>) -> Result<Response, Problem> {
    let id = publish(&question)?;
    Ok(http::reply(&id, "question.answered", Duration::from_millis(question.timeout_ms))?)
}

#[on_event]
fn answer(asked: Question) -> Result<()> {
    if !asked.silent {
        publish(&Answer { answer: asked.question.to_uppercase() })?;
    }
    Ok(())
}

plugin! {
    name: "asker",
    handlers: [answer],
    routes: [ask],
    publishes: [Question, Answer],
}
