//! A service that reports a span and a log record with `wasi:otel`, as components for Spin and wasmCloud do.

#![cfg(target_family = "wasm")]
#![allow(unsafe_code, missing_docs, clippy::all, clippy::pedantic, reason = "generated code")]

use wasip2::clocks::wall_clock;
use wasip2::http::types::{Fields, IncomingRequest, OutgoingResponse, ResponseOutparam};

wit_bindgen::generate!({ path: "telemetry/wasi-otel.wit", world: "guest", generate_all });

use wasi::clocks::wall_clock::Datetime;
use wasi::otel::logs::{self, LogRecord};
use wasi::otel::tracing::{self, SpanContext, SpanData, SpanKind, Status};
use wasi::otel::types::{InstrumentationScope, KeyValue};

struct Service;

wasip2::http::proxy::export!(Service);

impl wasip2::exports::http::incoming_handler::Guest for Service {
    fn handle(_: IncomingRequest, response_out: ResponseOutparam) {
        let outer = tracing::outer_span_context();
        let parent = outer.span_id.clone();
        let context = SpanContext { span_id: "00000000000000a1".to_owned(), is_remote: false, ..outer };
        let scope = || InstrumentationScope {
            name: "shelves".to_owned(),
            version: None,
            schema_url: None,
            attributes: Vec::new(),
        };
        let shelf = || KeyValue { key: "shelf".to_owned(), value: "7".to_owned() };
        tracing::on_start(&context);
        let start_time = now();
        logs::on_emit(&LogRecord {
            timestamp: None,
            observed_timestamp: None,
            severity_text: None,
            severity_number: Some(13),
            body: Some("\"no bread\"".to_owned()),
            attributes: Some(vec![shelf()]),
            event_name: None,
            resource: None,
            instrumentation_scope: Some(scope()),
            trace_id: None,
            span_id: None,
            trace_flags: None,
        });
        tracing::on_end(&SpanData {
            span_context: context,
            parent_span_id: parent,
            span_kind: SpanKind::Client,
            name: "count the shelves".to_owned(),
            start_time,
            end_time: now(),
            attributes: vec![shelf()],
            events: Vec::new(),
            links: Vec::new(),
            status: Status::Error("one is empty".to_owned()),
            instrumentation_scope: scope(),
            dropped_attributes: 0,
            dropped_events: 0,
            dropped_links: 0,
        });
        let response = OutgoingResponse::new(Fields::new());
        let _ = response.set_status_code(204);
        ResponseOutparam::set(response_out, Ok(response));
    }
}

fn now() -> Datetime {
    let wall_clock::Datetime { seconds, nanoseconds } = wall_clock::now();
    Datetime { seconds, nanoseconds }
}
