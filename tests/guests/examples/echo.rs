//! Responds with the request, and receives events of subscriptions that other plugins create.

use sandbus_sdk::prelude::*;

#[derive(Serialize)]
struct Seen {
    method: String,
    path: String,
    word: String,
    query: Option<String>,
    agent: Option<String>,
    body: String,
}

#[route(POST, "/echo/{word}")]
fn echo(request: Request) -> Result<Json<Seen>, Problem> {
    Ok(Json(Seen {
        method: request.method.clone(),
        path: request.path.clone(),
        word: request.param("word")?.to_owned(),
        query: request.query.clone(),
        agent: request.header("user-agent").map(str::to_owned),
        body: String::from_utf8_lossy(&request.body).into_owned(),
    }))
}

/// The attributes of the last event of a type.
#[route(GET, "/echo/last/{type}")]
fn last(request: Request) -> Result<Json<serde_json::Value>, Problem> {
    let key = format!("last/{}", request.param("type")?);
    state::get(&key)?.map(Json).ok_or_else(|| Problem::not_found("there was none"))
}

/// Publishes a delayed event.
#[route(POST, "/echo/later/{milliseconds}")]
fn later(request: Request) -> Result<Json<String>, Problem> {
    let delay = std::time::Duration::from_millis(request.param("milliseconds")?.parse()?);
    Ok(Json(Message::raw("echo.later", "text/plain", request.body).delay(delay).publish()?))
}

#[on_event("echo.>")]
fn remember(event: Event<Vec<u8>>) -> Result<()> {
    let seen = serde_json::json!({
        "id": event.id,
        "source": event.source,
        "subject": event.subject,
        "subscription": event.subscription,
        "extensions": event.extensions,
        "data": String::from_utf8_lossy(&event.data),
    });
    state::set(&format!("last/{}", event.event_type), &seen)?;
    state::add("count", 1)?;
    if event.event_type == "echo.ping" {
        Message::raw("echo.pong", "text/plain", event.data).publish()?;
    }
    Ok(())
}

#[on_event("user.registered", name = "unused")]
fn registered(event: Event<serde_json::Value>) -> Result<()> {
    state::set(&format!("registered/{}", event.subscription), &event.data)?;
    Ok(())
}

#[route(GET, "/echo/subscriptions")]
fn subscriptions() -> Result<Json<Vec<String>>, Problem> {
    Ok(Json(state::keys("registered/")?))
}

plugin! {
    name: "echo",
    handlers: [remember, registered],
    routes: [echo, last, later, subscriptions],
    publishes: ["echo.>"],
}
