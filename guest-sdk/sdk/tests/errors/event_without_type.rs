use sandbus_sdk::prelude::*;

#[derive(Event, Serialize, Deserialize)]
struct UserRegistered {
    name: String,
}

fn main() {}
