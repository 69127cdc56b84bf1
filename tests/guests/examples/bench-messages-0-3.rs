//! Answers each message with another one, through `wasmcloud:messaging@0.3.0`.

#![cfg(target_family = "wasm")]
#![allow(unsafe_code, missing_docs, clippy::all, clippy::pedantic, reason = "generated code")]

wit_bindgen::generate!({ path: "messaging/wasmcloud.wit", world: "streaming-listener", generate_all });

use exports::wasmcloud::messaging0_3_0::handler::{Guest, HandleMessageError};
use wasmcloud::messaging0_3_0::consumer::{self, BrokerMessage};

struct Listener;

export!(Listener);

impl Guest for Listener {
    async fn handle_message(message: BrokerMessage) -> Result<(), HandleMessageError> {
        let answer = BrokerMessage { subject: "bench.invoice".to_owned(), body: message.body, reply_to: None };
        consumer::publish(answer).await.map_err(|error| HandleMessageError::Other(error.to_string()))
    }
}
