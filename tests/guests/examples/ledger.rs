//! Records each event under its id and in two counters: one with merged additions, and one that is read, changed and
//! written. If an event is handled twice or partly, they differ.

use sandbus_sdk::prelude::*;

#[derive(Serialize)]
struct Balance {
    booked: usize,
    merged: i64,
    rewritten: i64,
    repeated: i64,
}

#[on_event("ledger.entry", retry(max_attempts = 50, initial_delay = "10ms", max_delay = "100ms"))]
fn entry(event: Event<serde_json::Value>) -> Result<()> {
    let key = format!("entry/{}", event.id);
    if state::exists(&key)? {
        state::add("repeated", 1)?;
        return Ok(());
    }
    state::set(&key, &event.data)?;
    state::add("merged", 1)?;
    Message::raw("ledger.booked", "text/plain", event.id.into_bytes()).publish()?;
    Ok(())
}

/// Handles one event at a time, so that it never runs again after a conflict.
#[on_event("ledger.entry", concurrency = 1)]
fn rewrite(_: Event<Vec<u8>>) -> Result<()> {
    let count: i64 = state::get("rewritten")?.unwrap_or(0);
    state::set("rewritten", &(count + 1))?;
    Ok(())
}

#[route(GET, "/ledger")]
fn balance() -> Result<Json<Balance>, Problem> {
    Ok(Json(Balance {
        booked: state::keys("entry/")?.len(),
        merged: state::increment("merged", 0)?,
        rewritten: state::get("rewritten")?.unwrap_or(0),
        repeated: state::increment("repeated", 0)?,
    }))
}

/// Accepts an entry over HTTP. Its event and its mark become durable together, before the response is sent.
#[route(POST, "/ledger")]
fn post(request: Request) -> Result<(u16, Json<String>), Problem> {
    state::add("posted", 1)?;
    Ok((201, Json(Message::raw("ledger.entry", "application/json", request.body).publish()?)))
}

/// Reads, changes and writes one key. Concurrent invocations must not lose each other's changes.
#[route(POST, "/ledger/contended")]
fn contended() -> Result<Json<i64>, Problem> {
    let count: i64 = state::get("contended")?.unwrap_or(0) + 1;
    state::set("contended", &count)?;
    Ok(Json(count))
}

plugin! {
    name: "ledger",
    handlers: [entry, rewrite],
    routes: [balance, post, contended],
    publishes: ["ledger.booked", "ledger.entry"],
}
