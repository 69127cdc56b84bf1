use sandbus_sdk::prelude::*;

#[route(FETCH, "/users")]
fn users() -> Json<u8> {
    Json(1)
}

fn main() {}
