//! Traps in `describe`.

use sandbus_sdk::bindings::exports::sandbus::plugin::{descriptor, event_handler, http_handler};

/// The plugin, as the host sees it.
#[derive(Debug)]
pub struct Plugin;

impl descriptor::Guest for Plugin {
    #[allow(clippy::panic, reason = "that is its purpose")]
    fn describe() -> descriptor::Descriptor {
        panic!("it will not say");
    }
}

impl event_handler::Guest for Plugin {
    fn handle(_: event_handler::Delivery) -> Result<(), event_handler::Failure> {
        Ok(())
    }
}

impl http_handler::Guest for Plugin {
    fn handle(_: http_handler::Request) -> Result<http_handler::Response, http_handler::Response> {
        Ok(http_handler::Response { status: 204, headers: Vec::new(), body: Vec::new() })
    }
}

#[cfg(target_family = "wasm")]
sandbus_sdk::bindings::export!(Plugin with_types_in sandbus_sdk::bindings);
