//! Counts the ticks of a schedule, and the delayed events that it publishes and may cancel.

use std::time::Duration;

use sandbus_sdk::prelude::*;

/// The number of due times that are kept.
const REMEMBERED: usize = 20;

#[derive(Event, Serialize, Deserialize)]
#[event(type = "ticker.later")]
struct Later {
    delay_ms: u64,
}

#[derive(Serialize)]
struct Ticks {
    ticks: i64,
    /// The last due times, the latest at the end.
    due: Vec<String>,
    /// The number of delayed events that have arrived.
    later: i64,
}

#[on_schedule("* * * * * *")]
fn each_second(tick: Tick) -> Result<()> {
    let mut due: Vec<String> = state::get("due")?.unwrap_or_default();
    due.extend(tick.event.time);
    let surplus = due.len().saturating_sub(REMEMBERED);
    state::set("due", &due[surplus..])?;
    state::add("ticks", 1)?;
    Ok(())
}

#[on_event]
fn came(_: Later) -> Result<()> {
    state::add("later", 1)?;
    Ok(())
}

#[route(GET, "/ticks")]
fn ticks() -> Result<Json<Ticks>, Problem> {
    Ok(Json(Ticks {
        ticks: state::increment("ticks", 0)?,
        due: state::get("due")?.unwrap_or_default(),
        later: state::increment("later", 0)?,
    }))
}

#[route(POST, "/later")]
fn later(Json(later): Json<Later>) -> Result<(u16, Json<String>), Problem> {
    let delay = Duration::from_millis(later.delay_ms);
    Ok((201, Json(Message::of(&later)?.delay(delay).publish()?)))
}

#[route(DELETE, "/later/{id}")]
fn take_back(request: Request) -> Result<(), Problem> {
    Ok(cancel(request.param("id")?)?)
}

plugin! {
    name: "ticker",
    handlers: [each_second, came],
    routes: [ticks, later, take_back],
    publishes: [Later],
}
