//! Serves `wasi:http` of WASI 0.3 like a component for any host. Some routes misbehave: those of `service`, and others
//! that only concurrent tasks make possible.

#![cfg(target_family = "wasm")]

#[path = "shared/publishing.rs"]
mod publishing;

use wasip3::clocks::monotonic_clock;
use wasip3::http::client;
use wasip3::http::types::{ErrorCode, Fields, Method, Request, Response, Scheme, Trailers};
use wasip3::wit_bindgen::{FutureReader, StreamResult, StreamWriter};
use wasip3::{cli, spawn_local, wit_future, wit_stream};

use self::publishing::publish;

struct Service;

wasip3::http::service::export!(Service);

/// A response that has begun.
struct Begun {
    response: Response,
    body: StreamWriter<u8>,
}

impl wasip3::exports::http::handler::Guest for Service {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let path = request.get_path_with_query().unwrap_or_default();
        Ok(match path.as_str() {
            "/service/echo" => echo(request),
            "/service/pass" => pass(request),
            "/service/swallow" => swallow(request).await,
            "/service/silent" => return Err(ErrorCode::InternalError(None)),
            "/service/trap" => core::arch::wasm32::unreachable(),
            "/service/spin" => loop {
                std::hint::black_box(0);
            },
            "/service/publish" => {
                publish("before");
                answer(b"published")
            }
            "/service/short" => {
                publish("before");
                let Begun { response, mut body } = begin(&[("content-length", "10")]);
                spawn_local(async move {
                    body.write_all(b"published".to_vec()).await;
                });
                response
            }
            "/service/publish-and-trap" => {
                publish("before");
                let Begun { response, mut body } = begin(&[]);
                spawn_local(async move {
                    body.write_all(b"published".to_vec()).await;
                    core::arch::wasm32::unreachable();
                });
                response
            }
            "/service/late" => {
                let Begun { response, mut body } = begin(&[("content-length", "4")]);
                spawn_local(async move {
                    body.write_all(b"late".to_vec()).await;
                    drop(body);
                    publish("after");
                });
                response
            }
            "/service/late-trap" => {
                let Begun { response, mut body } = begin(&[]);
                spawn_local(async move {
                    body.write_all(b"half".to_vec()).await;
                    publish("after");
                    core::arch::wasm32::unreachable();
                });
                response
            }
            "/service/gone" => {
                spawn_local(async { publish("after") });
                without_body()
            }
            "/service/gone-trap" => {
                spawn_local(async {
                    publish("after");
                    core::arch::wasm32::unreachable();
                });
                without_body()
            }
            "/service/hoard" => answer(hoard().to_string().as_bytes()),
            "/service/results" => results().await,
            "/service/wait" => {
                monotonic_clock::wait_for(3_600_000_000_000).await;
                answer(b"an hour later")
            }
            "/service/linger" => {
                spawn_local(monotonic_clock::wait_for(3_600_000_000_000));
                answer(b"answered")
            }
            "/service/crowd" => crowd().await,
            "/service/tasks" => loop {
                spawn_local(monotonic_clock::wait_for(3_600_000_000_000));
                wasip3::wit_bindgen::yield_async().await;
            },
            "/service/streams" => {
                let mut kept = Vec::new();
                loop {
                    kept.push(wit_stream::new::<u8>());
                }
            }
            "/service/print" => {
                print(b"out of a stream\n").await;
                answer(b"printed")
            }
            "/service/fetch" => fetch(&request).await?,
            path => begin(&[("x-path", path)]).response,
        })
    }
}

fn begin(headers: &[(&str, &str)]) -> Begun {
    let (body, contents) = wit_stream::new();
    let (response, _sent) = Response::new(fields(headers), Some(contents), no_trailers());
    Begun { response, body }
}

fn answer(bytes: &[u8]) -> Response {
    let Begun { response, mut body } = begin(&[]);
    let bytes = bytes.to_vec();
    spawn_local(async move {
        body.write_all(bytes).await;
    });
    response
}

fn without_body() -> Response {
    let (response, _sent) = Response::new(Fields::new(), None, no_trailers());
    response.set_status_code(204).expect("it is one");
    response
}

fn no_trailers() -> FutureReader<Result<Option<Trailers>, ErrorCode>> {
    wit_future::new(|| Ok(None)).1
}

fn fields(headers: &[(&str, &str)]) -> Fields {
    let fields = Fields::new();
    for (name, value) in headers {
        fields.append(name, value.as_bytes()).expect("the header is a good one");
    }
    fields
}

/// Creates requests that are never sent, and makes the host store as much as possible for each. Returns the total size.
fn hoard() -> u64 {
    let mut kept = Vec::new();
    for _ in 0..500 {
        let (request, _sent) = Request::new(Fields::new(), None, no_trailers(), None);
        assert!(request.set_method(&Method::Other("A".repeat(1 << 20))).is_err(), "nobody needs such a method");
        assert!(request.set_path_with_query(Some(&"/".repeat(1 << 20))).is_err(), "nor such a path");
        assert!(request.set_authority(Some(&"a".repeat(1 << 20))).is_err(), "nor such a host");
        assert!(request.set_scheme(Some(&Scheme::Other("a".repeat(1 << 20)))).is_err(), "nor such a scheme");
        kept.push(request);
    }
    0
}

/// Consumes requests that are never sent, with an error whose text has 4 MiB, and keeps the futures that receive it.
async fn results() -> Response {
    let mut kept = Vec::new();
    for _ in 0..30 {
        let (request, sent) = Request::new(Fields::new(), None, no_trailers(), None);
        let (result, consumed) = wit_future::new(|| Ok(()));
        let _ = Request::consume_body(request, consumed);
        let _ = result.write(Err(ErrorCode::InternalError(Some("a".repeat(4 << 20))))).await;
        kept.push(sent);
    }
    answer(kept.len().to_string().as_bytes())
}

/// Sends back each part of the body when it arrives, and then the trailers.
fn echo(request: Request) -> Response {
    let (result, consumed) = wit_future::new(|| Ok(()));
    let (mut contents, trailers) = Request::consume_body(request, consumed);
    let (mut body, reader) = wit_stream::new();
    let (response, _sent) = Response::new(fields(&[("trailer", "x-sum")]), Some(reader), trailers);
    spawn_local(async move {
        loop {
            let (status, bytes) = contents.read(Vec::with_capacity(4_096)).await;
            body.write_all(bytes).await;
            if !matches!(status, StreamResult::Complete(_)) {
                break;
            }
        }
        drop(result);
    });
    response
}

/// Sends back the body without touching it.
fn pass(request: Request) -> Response {
    let (_, consumed) = wit_future::new(|| Ok(()));
    let (contents, trailers) = Request::consume_body(request, consumed);
    Response::new(Fields::new(), Some(contents), trailers).0
}

/// Reads the whole body before it responds.
async fn swallow(request: Request) -> Response {
    let (_, consumed) = wit_future::new(|| Ok(()));
    let (contents, _trailers) = Request::consume_body(request, consumed);
    answer(contents.collect().await.len().to_string().as_bytes())
}

/// Waits in 50 tasks at the same time, for 50 ms each.
async fn crowd() -> Response {
    let started = monotonic_clock::now();
    let tasks: Vec<_> = (0..50)
        .map(|_| {
            let (mut done, ended) = wit_stream::new();
            spawn_local(async move {
                monotonic_clock::wait_for(50_000_000).await;
                done.write_all(vec![1]).await;
            });
            ended
        })
        .collect();
    for mut task in tasks {
        assert_eq!(task.next().await, Some(1));
    }
    answer(((monotonic_clock::now() - started) / 1_000_000).to_string().as_bytes())
}

async fn print(bytes: &[u8]) {
    let (mut output, reader) = wit_stream::new();
    let written = cli::stdout::write_via_stream(reader);
    output.write_all(bytes.to_vec()).await;
    drop(output);
    let _ = written.await;
}

/// Sends the request's body to the URL in a header, while it arrives, and returns the response.
async fn fetch(request: &Request) -> Result<Response, ErrorCode> {
    let headers = request.get_headers();
    let header = |name: &str| headers.get(name).first().map(|value| String::from_utf8_lossy(value).into_owned());
    let (authority, path) = (header("x-authority"), header("x-target-path"));
    let (mut body, contents) = wit_stream::new();
    let (outgoing, _sent) = Request::new(
        fields(&[("content-length", "100000"), ("x-caller", "a guest")]),
        Some(contents),
        no_trailers(),
        None,
    );
    outgoing.set_method(&Method::Post).expect("it is one");
    outgoing.set_scheme(Some(&Scheme::Http)).expect("it is one");
    outgoing.set_authority(authority.as_deref()).expect("it is one");
    outgoing.set_path_with_query(path.as_deref()).expect("it is one");
    spawn_local(async move {
        for _ in 0..10 {
            let unsent = body.write_all(b"0123456789".repeat(1_000)).await;
            if !unsent.is_empty() {
                break;
            }
        }
    });
    client::send(outgoing).await
}
