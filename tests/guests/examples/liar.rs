//! Describes itself with a name that no plugin may have. `plugin!` would refuse the name.

#![cfg(target_family = "wasm")]

use sandbus_sdk::bindings::exports::sandbus::plugin::{descriptor, event_handler, http_handler};

struct Liar;

sandbus_sdk::bindings::export!(Liar with_types_in sandbus_sdk::bindings);

impl descriptor::Guest for Liar {
    fn describe() -> descriptor::Descriptor {
        descriptor::Descriptor {
            name: "../../etc".to_owned(),
            version: "1.0.0".to_owned(),
            description: None,
            routes: Vec::new(),
            subscriptions: Vec::new(),
            schedules: Vec::new(),
            publishes: Vec::new(),
            subscribes: Vec::new(),
            config: Vec::new(),
        }
    }
}

impl event_handler::Guest for Liar {
    fn handle(_: event_handler::Delivery) -> Result<(), event_handler::Failure> {
        Ok(())
    }
}

impl http_handler::Guest for Liar {
    fn handle(_: http_handler::Request) -> Result<http_handler::Response, http_handler::Response> {
        Ok(http_handler::Response { status: 204, headers: Vec::new(), body: Vec::new() })
    }
}
