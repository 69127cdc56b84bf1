//! **restate**: a durable handler, called over HTTP and answered when it has run: an order becomes an invoice.
//! Restate's is the simplest that it has, written with its SDK for JavaScript; ours is a component, fresh for
//! each event, whose client waits for the event that it publishes, which lies two commits away. Both servers
//! run at once on their defaults, and are loaded in turn.

use std::cell::RefCell;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use sandbus_tests::measure::{Report, Samples, in_turn};
use sandbus_tests::{Setup, agent, eventually, send};
use serde_json::Value;

use crate::flow::order;
use crate::latency::orders;
use crate::load::{Load, Requests, post};

const ROUNDS: usize = 5;
const TIME: Duration = Duration::from_secs(2);
const CONNECTIONS: [usize; 2] = [1, 64];
/// The server, and the newest SDK that runs on Node.js 20.
const PACKAGES: [&str; 2] = ["@restatedev/restate-server-linux-x64@1.7.12", "@restatedev/restate-sdk@1.9.1"];
const SERVICE: &str = include_str!("restate/service.mjs");

pub(crate) fn run() {
    let Some(folder) = installed() else {
        println!("restate: left out, since npm cannot install it");
        return;
    };
    let restate = Restate::start(&folder);
    let host = Setup::new().plugin("bench-handler").start_measured();
    let called: Requests = Arc::new(|number| {
        let event: Value = serde_json::from_str(&order("bench.order", &number.to_string())).expect("an event");
        post("/orders/invoice", "application/json", event["data"].to_string().as_bytes())
    });
    let published = orders();
    for connections in CONNECTIONS {
        let latencies = RefCell::new([Vec::new(), Vec::new()]);
        let measure = |index: usize, address: SocketAddr, requests: &Requests| {
            let requests = Arc::clone(requests);
            let answered = Load { address, connections, requests, per_second: None, time: TIME }.run();
            assert_eq!(answered.refused, 0, "every order is taken");
            latencies.borrow_mut()[index].push(answered.latency_us(0.5));
            answered.per_second()
        };
        let [theirs, ours] = in_turn(
            ROUNDS,
            [&mut || measure(0, restate.address, &called), &mut || measure(1, host.address(), &published)],
        );
        // The round that warms up is left out here as well.
        let [their_p50, our_p50] = latencies.into_inner().map(|all| all.into_iter().skip(1).collect::<Samples>());
        let mut report = Report::new(format!("restate: durable handlers that answer, {connections} connections"));
        report.figure("Restate, answers/s", &theirs);
        report.figure("Sandbus, answers/s", &ours);
        report.figure("Sandbus / Restate", &ours.over(&theirs));
        report.figure("Restate, p50, µs", &their_p50);
        report.figure("Sandbus, p50, µs", &our_p50);
        println!("{report}");
    }
}

/// The folder with the server and the SDK, installed if they are not there.
fn installed() -> Option<PathBuf> {
    let folder = PathBuf::from(std::env::var_os("HOME")?).join(".cache/sandbus/bench/restate");
    std::fs::create_dir_all(&folder).ok()?;
    if !binary(&folder).exists() || !folder.join("node_modules/@restatedev/restate-sdk").exists() {
        let npm = Command::new("npm")
            .args(["install", "--silent", "--no-audit", "--no-fund", "--prefix"])
            .arg(&folder)
            .args(PACKAGES)
            .status();
        npm.ok().filter(std::process::ExitStatus::success)?;
    }
    std::fs::write(folder.join("service.mjs"), SERVICE).ok()?;
    Some(folder)
}

fn binary(folder: &Path) -> PathBuf {
    folder.join("node_modules/@restatedev/restate-server-linux-x64/bin/restate-server")
}

/// A running server, with the service beside it.
struct Restate {
    processes: Vec<Child>,
    address: SocketAddr,
    _data: tempfile::TempDir,
}

impl Restate {
    fn start(folder: &Path) -> Self {
        let [service, ingress, admin, node] = [free(), free(), free(), free()];
        let data = tempfile::tempdir().expect("a directory");
        let endpoint = Command::new("node")
            .current_dir(folder)
            .args(["service.mjs", &service.port().to_string()])
            .stdout(Stdio::null())
            .spawn()
            .expect("node starts");
        let server = Command::new(binary(folder))
            .env("RESTATE_BASE_DIR", data.path())
            .env("RESTATE_INGRESS__BIND_ADDRESS", ingress.to_string())
            .env("RESTATE_ADMIN__BIND_ADDRESS", admin.to_string())
            .env("RESTATE_BIND_ADDRESS", node.to_string())
            .env("RESTATE_DISABLE_TELEMETRY", "true")
            .env("RUST_LOG", "error")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the server starts");
        let restate = Self { processes: vec![server, endpoint], address: ingress, _data: data };
        eventually("the service listens", || TcpStream::connect(service).ok());
        let register = format!(r#"{{"uri":"http://{service}"}}"#);
        eventually("the service is registered", || {
            let url = format!("http://{admin}/deployments");
            let json = [("content-type", "application/json")];
            let answer = send(&agent(), "POST", &url, &json, register.as_bytes()).ok()?;
            (answer.status < 300).then_some(())
        });
        eventually("the ingress listens", || TcpStream::connect(ingress).ok());
        restate
    }
}

impl Drop for Restate {
    fn drop(&mut self) {
        for process in &mut self.processes {
            drop(process.kill());
            drop(process.wait());
        }
    }
}

fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port")
}
