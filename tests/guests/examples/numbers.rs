//! Numbers for concurrent requests: with `increment`, which reads; with `add`, whose additions are merged; and from a
//! sequence.
use sandbus_sdk::prelude::*;

#[route(POST, "/numbers/increment")]
fn incremented() -> Result<(u16, Json<i64>), Problem> {
    let id = state::increment("last-order", 1)?;
    state::set(&format!("order/{id}"), &id)?;
    Ok((202, Json(id)))
}

#[route(POST, "/numbers/sequence")]
fn drawn() -> Result<(u16, Json<u64>), Problem> {
    Ok((202, Json(state::sequence("orders")?)))
}

/// Takes a number of the sequence and fails.
#[route(POST, "/numbers/lost")]
fn lost() -> Result<(), Problem> {
    Err(Problem::new(409, state::sequence("orders")?))
}

#[route(POST, "/numbers/add/{delta}")]
fn added(request: Request) -> Result<(), Problem> {
    Ok(state::add("total", request.param("delta")?.parse()?)?)
}

#[route(PUT, "/numbers/total")]
fn put(request: Request) -> Result<(), Problem> {
    Ok(state::set_bytes("total", request.body)?)
}

#[route(GET, "/numbers")]
fn all() -> Result<Json<(Option<i64>, usize)>, Problem> {
    Ok(Json((state::get("total")?, state::keys("order/")?.len())))
}

plugin! {
    name: "numbers",
    routes: [incremented, drawn, lost, added, put, all],
}
