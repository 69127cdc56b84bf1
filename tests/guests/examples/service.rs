//! Serves `wasi:http` like a component for any host. Some routes misbehave.

#![cfg(target_family = "wasm")]

#[path = "shared/publishing.rs"]
mod publishing;

use wasip2::http::types::{
    Fields, IncomingBody, IncomingRequest, Method, OutgoingBody, OutgoingRequest, OutgoingResponse, ResponseOutparam,
    Trailers,
};
use wasip2::io::streams::StreamError;

use self::publishing::publish;

struct Service;

wasip2::http::proxy::export!(Service);

impl wasip2::exports::http::incoming_handler::Guest for Service {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        match request.path_with_query().unwrap_or_default().as_str() {
            "/service/echo" => echo(&request, out),
            "/service/swallow" => swallow(&request, out),
            "/service/silent" => {}
            "/service/trap" => core::arch::wasm32::unreachable(),
            "/service/spin" => loop {
                std::hint::black_box(0);
            },
            "/service/publish" => {
                publish("before");
                let body = begin(out, &[]);
                write(&body, b"published");
                end(body, None);
            }
            "/service/short" => {
                publish("before");
                let body = begin(out, &[("content-length", "10")]);
                write(&body, b"published");
            }
            "/service/publish-and-trap" => {
                publish("before");
                let body = begin(out, &[]);
                write(&body, b"published");
                core::arch::wasm32::unreachable();
            }
            "/service/late" => {
                let body = begin(out, &[("content-length", "4")]);
                write(&body, b"late");
                end(body, None);
                publish("after");
            }
            "/service/late-trap" => {
                let body = begin(out, &[]);
                write(&body, b"half");
                publish("after");
                core::arch::wasm32::unreachable();
            }
            "/service/gone" => {
                answer_without_body(out);
                publish("after");
            }
            "/service/gone-trap" => {
                answer_without_body(out);
                publish("after");
                core::arch::wasm32::unreachable();
            }
            "/service/hoard" => {
                let hoarded = hoard();
                let body = begin(out, &[]);
                write(&body, hoarded.to_string().as_bytes());
                end(body, None);
            }
            path => {
                let body = begin(out, &[("x-path", path)]);
                end(body, None);
            }
        }
    }
}

fn begin(out: ResponseOutparam, headers: &[(&str, &str)]) -> OutgoingBody {
    let fields = Fields::new();
    for (name, value) in headers {
        fields.append(name, value.as_bytes()).expect("the header is a good one");
    }
    let response = OutgoingResponse::new(fields);
    let body = response.body().expect("it is asked for once");
    ResponseOutparam::set(out, Ok(response));
    body
}

fn answer_without_body(out: ResponseOutparam) {
    let response = OutgoingResponse::new(Fields::new());
    response.set_status_code(204).expect("it is one");
    ResponseOutparam::set(out, Ok(response));
}

/// Creates requests that are never sent, and makes the host store as much as possible for each. Returns the total size.
fn hoard() -> u64 {
    let mut kept = Vec::new();
    let mut bytes = 0;
    for _ in 0..500 {
        let request = OutgoingRequest::new(Fields::new());
        assert!(request.set_method(&Method::Other("A".repeat(1 << 20))).is_err(), "nobody needs such a method");
        assert!(request.set_path_with_query(Some(&"/".repeat(1 << 20))).is_err(), "nor such a path");
        let body = request.body().expect("it is asked for once");
        let stream = body.write().expect("it is asked for once");
        while let Ok(room @ 1..) = stream.check_write() {
            stream.write_zeroes(room).expect("there is room");
            bytes += room;
        }
        drop(stream);
        kept.push(request);
    }
    bytes
}

fn write(body: &OutgoingBody, bytes: &[u8]) {
    let stream = body.write().expect("it is asked for once");
    stream.blocking_write_and_flush(bytes).expect("somebody reads");
}

fn end(body: OutgoingBody, trailers: Option<Trailers>) {
    OutgoingBody::finish(body, trailers).expect("the body is whole");
}

/// Sends back each part of the body when it arrives, and then the trailers.
fn echo(request: &IncomingRequest, out: ResponseOutparam) {
    let body = begin(out, &[("trailer", "x-sum")]);
    let incoming = request.consume().expect("it is asked for once");
    {
        let (from, to) = (incoming.stream().expect("once"), body.write().expect("once"));
        loop {
            match from.blocking_read(4_096) {
                Ok(bytes) => to.blocking_write_and_flush(&bytes).expect("somebody reads"),
                Err(StreamError::Closed) => break,
                Err(StreamError::LastOperationFailed(_)) => core::arch::wasm32::unreachable(),
            }
        }
    }
    let trailers = IncomingBody::finish(incoming);
    trailers.subscribe().block();
    let trailers = trailers.get().and_then(Result::ok).and_then(Result::ok).flatten();
    // The trailers of a request are immutable, and cannot be sent.
    end(body, trailers.map(|trailers| trailers.clone()));
}

/// Reads the whole body before it responds.
fn swallow(request: &IncomingRequest, out: ResponseOutparam) {
    let incoming = request.consume().expect("it is asked for once");
    let from = incoming.stream().expect("once");
    let mut size = 0;
    while let Ok(bytes) = from.blocking_read(4_096) {
        size += bytes.len();
    }
    let body = begin(out, &[]);
    write(&body, size.to_string().as_bytes());
    end(body, None);
}
