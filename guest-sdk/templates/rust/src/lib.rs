[[typed]]
use events::{{Type}};
[[end]]
use sandbus_sdk::prelude::*;
[[on]]

[[untyped]]
// Accepts any data. With a struct that derives `Event` and `Deserialize`, data that does not match is rejected.
[[end]]
#[on_event("{{type}}", retry(max_attempts = 5))]
[[typed]]
fn handle(data: {{Type}}) -> Result<()> {
    info!("handling {data:?}");
[[end]]
[[untyped]]
fn handle(event: Event<serde_json::Value>) -> Result<()> {
    info!("handling {}", event.data);
[[end]]
    state::add("handled", 1)?;
    Ok(())
}
[[end]]
[[route]]

#[derive(Debug, PartialEq, Serialize)]
struct Answer {
    handled: i64,
}

#[route({{method}}, "{{path}}")]
fn answer(request: Request) -> Result<Json<Answer>, Problem> {
    info!("responding to {}", request.path);
    Ok(Json(Answer { handled: state::get("handled")?.unwrap_or(0) }))
}
[[end]]

plugin! {
[[on]]
    handlers: [handle],
[[end]]
[[route]]
    routes: [answer],
[[end]]
}

#[cfg(test)]
mod tests {
    use sandbus_sdk::testing::FakeHost;

    use super::*;
[[on]]

    #[test]
    fn an_event_is_counted() {
        let host = FakeHost::new();
[[typed]]
        host.run(|| handle({{Type}} {})).unwrap();
[[end]]
[[untyped]]
        let event = sandbus_sdk::testing::event("{{example}}", serde_json::json!({ "name": "Ada" }));
        host.run(|| handle(event)).unwrap();
[[end]]
        assert_eq!(host.state("handled"), Some(b"1".to_vec()));
    }
[[end]]
[[route]]

    #[test]
    fn a_request_is_answered_with_the_count() {
        let Json(answer) = FakeHost::new().run(|| answer(Request::default())).unwrap();
        assert_eq!(answer, Answer { handled: 0 });
    }
[[end]]
}
