//! Answers each message with another one, through `wasmcloud:messaging@0.2.0`.

#![cfg(target_family = "wasm")]
#![allow(unsafe_code, missing_docs, clippy::all, clippy::pedantic, reason = "generated code")]

wit_bindgen::generate!({ path: "messaging/wasmcloud.wit", world: "listener", generate_all });

use exports::wasmcloud::messaging0_2_0::handler::Guest;
use wasmcloud::messaging0_2_0::consumer::{self, BrokerMessage};

struct Listener;

export!(Listener);

impl Guest for Listener {
    fn handle_message(message: BrokerMessage) -> Result<(), String> {
        consumer::publish(&BrokerMessage { subject: "bench.invoice".to_owned(), body: message.body, reply_to: None })
    }
}
