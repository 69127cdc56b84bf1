//! The route of `bench-service`, as a component for any host of `wasi:http`.

#![cfg(target_family = "wasm")]
#![allow(unsafe_code, reason = "the exports and the allocator need it")]

#[path = "shared/answer.rs"]
mod answer;
#[path = "shared/heap.rs"]
mod heap;

use std::io::Write as _;

use wasip2::http::types::{Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam};

use self::answer::ANSWER;

struct Service;

wasip2::http::proxy::export!(Service);

impl wasip2::exports::http::incoming_handler::Guest for Service {
    fn handle(_: IncomingRequest, response_out: ResponseOutparam) {
        let json = serde_json::to_vec(&ANSWER).unwrap_or_default();
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
