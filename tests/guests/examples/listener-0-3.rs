//! Handles messages like a component made for wasmCloud with `wasmcloud:messaging@0.3.0`, whose bodies are streams.
//! Its answer to a message depends on the subject.

#![cfg(target_family = "wasm")]
#![allow(unsafe_code, missing_docs, clippy::all, clippy::pedantic, reason = "generated code")]

use wit_bindgen::StreamReader;

wit_bindgen::generate!({ path: "messaging/wasmcloud.wit", world: "streaming-listener", generate_all });

use exports::wasmcloud::messaging0_3_0::handler::{BrokerMessage, Guest, HandleMessageError};
use wasmcloud::messaging0_3_0::consumer;

struct Listener;

export!(Listener);

impl Guest for Listener {
    async fn handle_message(message: BrokerMessage) -> Result<(), HandleMessageError> {
        let BrokerMessage { subject, body, reply_to } = message;
        let reply_to = reply_to.unwrap_or_else(|| "answers.nobody".to_owned());
        match subject.as_str() {
            "question.reject" => return Err(HandleMessageError::Reject),
            "question.retry" => return Err(HandleMessageError::Retry),
            "question.other" => return Err(HandleMessageError::Other("it is not a question".to_owned())),
            // Nobody ever writes to it, so it never ends.
            "question.endless" => {
                let (_writer, endless) = wit_stream::new();
                let _ = publish(&reply_to, endless).await;
            }
            "question.flood" => {
                let flood = stream_of(vec![b'x'; 9 << 20]);
                let refused = publish(&reply_to, flood).await.unwrap_err();
                let _ = publish(&reply_to, stream_of(json(&refused))).await;
            }
            // The task outlives the handler, and traps.
            "question.late-trap" => {
                let _ = publish(&reply_to, stream_of(b"early".to_vec())).await;
                wit_bindgen::spawn(async { core::arch::wasm32::unreachable() });
            }
            "question.errors" => {
                let mut errors = Vec::new();
                for subject in ["", "forbidden", "answers.*"] {
                    errors.push(publish(subject, stream_of(Vec::new())).await.unwrap_err());
                }
                let request = consumer::request("answers".to_owned(), stream_of(b"1".to_vec()), Some(10)).await;
                errors.push(request.unwrap_err());
                let _ = publish(&reply_to, stream_of(json(&errors))).await;
            }
            _ => {
                let heard = body.collect().await;
                // Two messages are sent at a time, and each body arrives in parts.
                let copied = publish("answers.copy", stream_of(heard.clone()));
                wit_bindgen::spawn(async { copied.await.expect("it may publish the copy") });
                publish(&reply_to, stream_of(heard)).await.expect("it may publish the answer");
            }
        }
        Ok(())
    }
}

async fn publish(subject: &str, body: StreamReader<u8>) -> Result<(), consumer::Error> {
    let (subject, reply_to) = (subject.to_owned(), Some("thanks".to_owned()));
    consumer::publish(consumer::BrokerMessage { subject, body, reply_to }).await
}

/// What a value is, as a JSON string.
fn json(value: &impl std::fmt::Debug) -> Vec<u8> {
    serde_json::to_vec(&format!("{value:?}")).expect("text is JSON")
}

/// A stream of bytes, in parts.
fn stream_of(bytes: Vec<u8>) -> StreamReader<u8> {
    let (mut writer, reader) = wit_stream::new();
    wit_bindgen::spawn(async move {
        for part in bytes.chunks(1_000) {
            // The other side may need no more.
            if !writer.write_all(part.to_vec()).await.is_empty() {
                break;
            }
        }
    });
    reader
}
