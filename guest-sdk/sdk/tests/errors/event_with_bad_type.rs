use sandbus_sdk::prelude::*;

#[derive(Event, Serialize, Deserialize)]
#[event(type = "user registered")]
struct UserRegistered {
    name: String,
}

fn main() {}
