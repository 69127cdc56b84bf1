//! The route of `bench-service`, as a component for any host of `wasi:http` of WASI 0.3.

#![cfg(target_family = "wasm")]
#![allow(unsafe_code, reason = "the exports and the allocator need it")]

#[path = "shared/answer.rs"]
mod answer;
#[path = "shared/heap.rs"]
mod heap;

use wasip3::http::types::{ErrorCode, Fields, Request, Response};
use wasip3::{spawn_local, wit_future, wit_stream};

use self::answer::ANSWER;

struct Service;

wasip3::http::service::export!(Service);

impl wasip3::exports::http::handler::Guest for Service {
    async fn handle(_: Request) -> Result<Response, ErrorCode> {
        let json = serde_json::to_vec(&ANSWER).unwrap_or_default();
        let headers = Fields::new();
        let failed = |_| ErrorCode::InternalError(None);
        headers.append("content-type", b"application/json").map_err(failed)?;
        headers.append("content-length", json.len().to_string().as_bytes()).map_err(failed)?;
        let (mut body, contents) = wit_stream::new();
        let (response, _sent) = Response::new(headers, Some(contents), wit_future::new(|| Ok(None)).1);
        spawn_local(async move {
            body.write_all(json).await;
        });
        Ok(response)
    }
}
