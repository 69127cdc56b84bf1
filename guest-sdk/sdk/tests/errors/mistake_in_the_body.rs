use sandbus_sdk::prelude::*;

#[derive(Event, Serialize, Deserialize)]
#[event(type = "user.registered")]
struct UserRegistered {
    name: String,
}

#[on_event]
fn welcome(user: UserRegistered) -> Result<()> {
    info!("Welcome, {}!", user.nmae);
    Ok(())
}

fn main() {}
