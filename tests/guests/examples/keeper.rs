//! Creates one of everything that a data directory keeps for a plugin. `tests/frozen` is made with it, and later hosts
//! open that data with it. Jobs fail at their first attempt, and bad ones until the plugin is fixed.
use std::collections::BTreeMap;

use sandbus_sdk::prelude::*;

#[derive(Serialize)]
struct Kept {
    /// The values of all keys.
    values: BTreeMap<String, serde_json::Value>,
}

#[derive(Event, Serialize, Deserialize)]
#[event(type = "keeper.entry")]
struct Entry {
    account: String,
    number: u64,
}

/// Fails at the first attempt. The second one is much later.
#[on_event("keeper.job", retry(max_attempts = 4, initial_delay = "60s", max_delay = "60s"))]
fn job(event: Event<serde_json::Value>) -> Result<()> {
    if event.attempt == 1 {
        return Err(Failure::retry("the first attempt is never good enough"));
    }
    state::set(&format!("job/{}", event.id), &event.attempt)?;
    Ok(())
}

#[on_event("keeper.bad")]
fn bad(event: Event<serde_json::Value>) -> Result<()> {
    if !state::exists("mended")? {
        return Err(Failure::reject("it is not mended"));
    }
    state::set(&format!("bad/{}", event.id), &event.data)?;
    Ok(())
}

/// Keeps the numbers of each account in the order of their arrival.
#[on_event(ordering_key = "/account", concurrency = 8)]
fn entry(entry: Event<Entry>) -> Result<()> {
    let key = format!("entry/{}", entry.data.account);
    let mut numbers: Vec<u64> = state::get(&key)?.unwrap_or_default();
    numbers.push(entry.data.number);
    state::set(&key, &numbers)?;
    Ok(())
}

/// Handles delayed events.
#[on_event("keeper.later")]
fn later(event: Event<serde_json::Value>) -> Result<()> {
    state::set(&format!("later/{}", event.id), &event.data)?;
    Ok(())
}

/// No test should meet this time.
#[on_schedule("0 0 1 1 *", missed = "run-once")]
fn each_year(_: Tick) -> Result<()> {
    state::increment("ticks", 1)?;
    Ok(())
}

#[route(GET, "/keeper")]
fn kept() -> Result<Json<Kept>, Problem> {
    let mut values = BTreeMap::new();
    for key in state::keys("")? {
        let value = state::get(&key)?.unwrap_or_default();
        values.insert(key, value);
    }
    Ok(Json(Kept { values }))
}

#[route(PUT, "/keeper/{key}")]
fn keep(request: Request) -> Result<(), Problem> {
    let value: serde_json::Value = serde_json::from_slice(&request.body)?;
    Ok(state::set(request.param("key")?, &value)?)
}

#[route(POST, "/keeper/count")]
fn count() -> Result<Json<i64>, Problem> {
    Ok(Json(state::increment("count", 1)?))
}

#[route(POST, "/keeper/later")]
fn publish_later(request: Request) -> Result<Json<String>, Problem> {
    let delay = std::time::Duration::from_secs(75);
    Ok(Json(Message::raw("keeper.later", "application/json", request.body).delay(delay).publish()?))
}

plugin! {
    name: "keeper",
    handlers: [job, bad, entry, later, each_year],
    routes: [kept, keep, count, publish_later],
    publishes: ["keeper.later"],
}
