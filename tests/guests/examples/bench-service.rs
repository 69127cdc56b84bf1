//! A route that responds with JSON and does nothing else.

use sandbus_sdk::prelude::*;

#[derive(Serialize)]
struct Answer {
    name: &'static str,
    words: [&'static str; 4],
    number: u32,
}

#[route(GET, "/bench")]
fn bench(_: Request) -> Json<Answer> {
    Json(Answer { name: "a service that answers", words: ["with", "a", "few", "words"], number: 42 })
}

plugin! { name: "bench-service", routes: [bench] }
