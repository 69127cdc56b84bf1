//! Native servers to compare with, each in a process of its own, as the host is: this program, started again.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::http::StatusCode;
use axum::routing::{get, post};
use serde::Serialize;

/// The argument that makes this program a server.
pub(crate) const ARGUMENT: &str = "--native-server";

/// A running server.
pub(crate) struct Native {
    process: Child,
    pub(crate) address: SocketAddr,
}

impl Native {
    pub(crate) fn start() -> Self {
        let this = std::env::current_exe().expect("this program has a path");
        let mut process = Command::new(this).arg(ARGUMENT).stdout(Stdio::piped()).spawn().expect("it starts");
        let mut line = String::new();
        BufReader::new(process.stdout.take().expect("it is piped")).read_line(&mut line).expect("it says where");
        Self { process, address: line.trim().parse().expect("an address") }
    }
}

impl Drop for Native {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

#[derive(Serialize)]
struct Answer {
    name: &'static str,
    words: [&'static str; 4],
    number: u32,
}

/// Serves what the guest `bench-service` serves, takes events without keeping them, and takes events that it
/// appends to a file and syncs before it answers, one after the other.
pub(crate) fn serve() {
    let answer = || async {
        axum::Json(Answer { name: "a service that answers", words: ["with", "a", "few", "words"], number: 42 })
    };
    let take =
        |body: Bytes| async move { if body.is_empty() { StatusCode::BAD_REQUEST } else { StatusCode::ACCEPTED } };
    let file = Arc::new(Mutex::new(tempfile::tempfile().expect("a file")));
    let keep = move |body: Bytes| {
        let file = Arc::clone(&file);
        async move {
            tokio::task::block_in_place(|| {
                let mut file = file.lock().expect("nobody panics");
                file.write_all(&body).and_then(|()| file.sync_data()).expect("the disk works");
            });
            StatusCode::ACCEPTED
        }
    };
    let app = Router::new().route("/bench", get(answer)).route("/events", post(take)).route("/kept-events", post(keep));
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        println!("{}", listener.local_addr().expect("it has one"));
        axum::serve(listener, app).await.expect("it goes on");
    });
}
