use sandbus_sdk::prelude::*;

struct NotAnEvent;

#[on_event("user.registered")]
fn welcome(user: NotAnEvent) -> Result<()> {
    Ok(())
}

fn main() {}
