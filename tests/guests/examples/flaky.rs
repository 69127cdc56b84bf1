//! Fails twice and then succeeds. The writes of the failed attempts must be discarded.

use sandbus_sdk::prelude::*;

#[on_event("flaky.job", retry(max_attempts = 5, initial_delay = "20ms", max_delay = "50ms"))]
fn job(event: Event<serde_json::Value>) -> Result<()> {
    state::add("effects", 1)?;
    Message::raw("flaky.done", "application/json", event.attempt.to_string().into_bytes()).publish()?;
    if event.attempt < 3 {
        return Err(Failure::retry(format!("attempt {} is not good enough", event.attempt)));
    }
    Ok(())
}

#[route(GET, "/flaky")]
fn effects() -> Result<Json<i64>, Problem> {
    Ok(Json(state::increment("effects", 0)?))
}

plugin! {
    name: "flaky",
    handlers: [job],
    routes: [effects],
    publishes: ["flaky.done"],
}
