//! Describes itself with a name that no plugin may have.

use sandbus_sdk::prelude::*;

#[on_event("never")]
fn never(_: Event<Vec<u8>>) {}

plugin! { name: "../../etc", handlers: [never] }
