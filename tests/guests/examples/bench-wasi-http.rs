//! The route of `bench-service`, as a component for any host of `wasi:http`.

#![cfg(target_family = "wasm")]
#![allow(unsafe_code, reason = "the exports and the allocator need it")]

use std::io::Write as _;

use serde::Serialize;
use wasip2::http::types::{Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam};

// Like the SDK's heap, it uses memory that exists from the start.
#[global_allocator]
static HEAP: talc::wasm::WasmArenaTalc = {
    static mut MEMORY: [u8; 1 << 20] = [0; 1 << 20];
    // SAFETY: nothing else names the memory.
    unsafe { talc::wasm::new_wasm_arena_allocator(&raw mut MEMORY) }
};

#[derive(Serialize)]
struct Answer {
    name: &'static str,
    words: [&'static str; 4],
    number: u32,
}

struct Service;

wasip2::http::proxy::export!(Service);

impl wasip2::exports::http::incoming_handler::Guest for Service {
    fn handle(_: IncomingRequest, response_out: ResponseOutparam) {
        let answer = Answer { name: "a service that answers", words: ["with", "a", "few", "words"], number: 42 };
        let json = serde_json::to_vec(&answer).unwrap_or_default();
        let headers = Fields::new();
        let length = json.len().to_string();
        let described = headers.append("content-type", b"application/json");
        if described.and_then(|()| headers.append("content-length", length.as_bytes())).is_err() {
            return;
        }
        let response = OutgoingResponse::new(headers);
        let Ok(body) = response.body() else { return };
        ResponseOutparam::set(response_out, Ok(response));
        let written = body.write().is_ok_and(|mut out| out.write_all(&json).is_ok());
        if written {
            drop(OutgoingBody::finish(body, None));
        }
    }
}
