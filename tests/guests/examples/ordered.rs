//! Checks that the events of each subject arrive in the order in which they were published: their numbers increase.

use sandbus_sdk::prelude::*;

#[derive(Serialize)]
struct Seen {
    handled: i64,
    out_of_order: i64,
}

#[on_event(
    "ordered.entry",
    ordering_key = "subject",
    concurrency = 8,
    retry(max_attempts = 50, initial_delay = "10ms", max_delay = "100ms")
)]
fn entry(event: Event<serde_json::Value>) -> Result<()> {
    let number = event.data.as_i64().ok_or_else(|| Failure::reject("the data is no number"))?;
    let key = format!("last/{}", event.subject.as_deref().unwrap_or_default());
    let last: i64 = state::get(&key)?.unwrap_or(i64::MIN);
    if number <= last {
        state::add("out-of-order", 1)?;
    }
    state::set(&key, &number)?;
    state::add("handled", 1)?;
    Ok(())
}

#[route(GET, "/ordered")]
fn seen() -> Result<Json<Seen>, Problem> {
    Ok(Json(Seen { handled: state::increment("handled", 0)?, out_of_order: state::increment("out-of-order", 0)? }))
}

plugin! {
    name: "ordered",
    handlers: [entry],
    routes: [seen],
}
