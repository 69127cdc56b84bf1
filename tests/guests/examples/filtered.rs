//! Filters events of its types, starting with the oldest one, and counts them by subject.

use std::collections::BTreeMap;

use sandbus_sdk::prelude::*;

#[on_event(
    "filtered.>",
    filters(any(exact(type = "filtered.always"), prefix(subject = "order/")), not(suffix(subject = ".tmp")),),
    start = "beginning"
)]
fn count(event: Event<Vec<u8>>) -> Result<()> {
    state::add(&format!("seen/{}", event.subject.unwrap_or_default()), 1)?;
    Ok(())
}

#[route(GET, "/filtered")]
fn counts() -> Result<Json<BTreeMap<String, i64>>, Problem> {
    let mut counts = BTreeMap::new();
    for key in state::keys("seen/")? {
        counts.insert(key["seen/".len()..].to_owned(), state::increment(&key, 0)?);
    }
    Ok(Json(counts))
}

plugin! { name: "filtered", handlers: [count], routes: [counts] }
