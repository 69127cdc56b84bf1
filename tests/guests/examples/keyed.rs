//! Handles the numbered entries of accounts, and counts those that arrive out of order. An entry can make some or all
//! of its attempts fail.

use std::collections::BTreeMap;

use sandbus_sdk::prelude::*;

#[derive(Event, Serialize, Deserialize)]
#[event(type = "keyed.entry")]
struct Entry {
    account: String,
    number: u64,
    /// The first attempt that succeeds.
    #[serde(default)]
    fail_until: u32,
    /// Whether no attempt succeeds.
    #[serde(default)]
    poison: bool,
}

#[derive(Serialize)]
struct Seen {
    handled: i64,
    out_of_order: i64,
    last: BTreeMap<String, u64>,
}

#[on_event(
    ordering_key = "/account",
    concurrency = 8,
    retry(max_attempts = 3, initial_delay = "50ms", max_delay = "100ms")
)]
fn entry(entry: Event<Entry>) -> Result<()> {
    take("entry", &entry)
}

/// Like [`entry`], but a dead letter parks its account.
#[on_event(
    "keyed.parked",
    ordering_key = "/account",
    dead_letter_policy = "park",
    concurrency = 8,
    retry(max_attempts = 3, initial_delay = "50ms", max_delay = "100ms")
)]
fn parked(entry: Event<Entry>) -> Result<()> {
    take("parked", &entry)
}

/// Records an entry under the keys of a handler.
fn take(handler: &str, entry: &Event<Entry>) -> Result<()> {
    let Entry { account, number, fail_until, poison } = &entry.data;
    if *poison {
        return Err(Failure::reject(format!("entry {number} of {account} is poison")));
    }
    if entry.attempt < *fail_until {
        return Err(Failure::retry(format!("entry {number} of {account} fails until attempt {fail_until}")));
    }
    let key = format!("{handler}/last/{account}");
    let last: Option<u64> = state::get(&key)?;
    if last.is_some_and(|last| last >= *number) {
        state::add(&format!("{handler}/out_of_order"), 1)?;
    }
    state::set(&key, number)?;
    state::add(&format!("{handler}/handled"), 1)?;
    Ok(())
}

fn seen(handler: &str) -> Result<Json<Seen>, Problem> {
    let prefix = format!("{handler}/last/");
    let mut last = BTreeMap::new();
    for key in state::keys(&prefix)? {
        last.insert(key[prefix.len()..].to_owned(), state::get(&key)?.unwrap_or_default());
    }
    Ok(Json(Seen {
        handled: state::increment(&format!("{handler}/handled"), 0)?,
        out_of_order: state::increment(&format!("{handler}/out_of_order"), 0)?,
        last,
    }))
}

#[route(GET, "/keyed")]
fn seen_entries() -> Result<Json<Seen>, Problem> {
    seen("entry")
}

#[route(GET, "/keyed/parked")]
fn seen_parked() -> Result<Json<Seen>, Problem> {
    seen("parked")
}

plugin! {
    name: "keyed",
    handlers: [entry, parked],
    routes: [seen_entries, seen_parked],
}
