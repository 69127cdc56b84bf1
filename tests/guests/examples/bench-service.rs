//! A route that responds with JSON and does nothing else.

#[path = "shared/answer.rs"]
mod answer;

use sandbus_sdk::prelude::*;

use self::answer::{ANSWER, Answer};

#[route(GET, "/bench")]
fn bench(_: Request) -> Json<Answer> {
    Json(ANSWER)
}

plugin! { name: "bench-service", routes: [bench] }
