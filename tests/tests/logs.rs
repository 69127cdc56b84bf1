//! The host's log when nobody reads it, and when it is read late.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::thread::JoinHandle;

use sandbus_tests::{Answer, Setup, agent, binary, eventually, send, with_open_ingress};
use serde_json::{Value, json};
use tempfile::TempDir;

/// At several hundred bytes per event, they fill a pipe. A pipe on Linux holds 64 KiB by default (pipe(7)).
const EVENTS: usize = 500;
/// How many requests log more than the queue of 4 MiB holds.
const FLOODS: usize = 60;

/// A host whose log is not read after the announcement.
struct UnreadHost {
    child: Child,
    log: Option<BufReader<ChildStderr>>,
    address: String,
    admin: String,
    agent: ureq::Agent,
    _directory: TempDir,
}

impl Drop for UnreadHost {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl UnreadHost {
    fn start() -> Self {
        let directory = Setup::new().plugin("ledger").plugin("hostile").into_directory();
        std::fs::write(directory.path().join("sandbus.toml"), with_open_ingress("")).unwrap();
        let mut child = Command::new(binary())
            .args(["serve", "--log", "debug,hyper=info", "--log-format", "json"])
            .args(["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"])
            .env_remove("RUST_LOG")
            .current_dir(directory.path())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let announcement = loop {
            let mut line = String::new();
            assert!(log.read_line(&mut line).unwrap() > 0, "the host does not start");
            let line: Value = serde_json::from_str(&line).unwrap();
            if line["message"] == "listening" {
                break line;
            }
        };
        let text = |name: &str| announcement[name].as_str().unwrap().to_owned();
        let log = Some(log);
        Self { child, log, address: text("address"), admin: text("admin"), agent: agent(), _directory: directory }
    }

    fn get(&self, address: &str, path: &str) -> Answer {
        send(&self.agent, "GET", &format!("http://{address}{path}"), &[], b"").unwrap()
    }

    fn post(&self, path: &str, content_type: &str, body: &Value) -> Answer {
        let url = format!("http://{}{path}", self.address);
        send(&self.agent, "POST", &url, &[("content-type", content_type)], body.to_string().as_bytes()).unwrap()
    }

    /// Publishes events, and waits until they are handled.
    fn handle_events(&self) {
        for number in 0..EVENTS {
            let id = number.to_string();
            let event =
                json!({ "specversion": "1.0", "id": id, "source": "/test", "type": "ledger.entry", "data": {} });
            let answer = self.post("/events", "application/cloudevents+json", &event);
            assert_eq!(answer.status, 202, "{}", answer.body);
        }
        eventually("all events are handled", || {
            (self.get(&self.address, "/ledger").json()["booked"] == EVENTS).then_some(())
        });
    }

    fn terminate(&mut self) {
        let terminated = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(terminated.success());
    }

    fn wait_for_success(&mut self) {
        let status = eventually("the host has ended", || self.child.try_wait().unwrap());
        assert!(status.success(), "{status}");
    }

    /// Reads the rest of the log on another thread.
    fn read_log(&mut self) -> JoinHandle<String> {
        let mut log = self.log.take().unwrap();
        std::thread::spawn(move || {
            let mut text = String::new();
            log.read_to_string(&mut text).unwrap();
            text
        })
    }

    /// The number of log lines that the host has counted as lost.
    fn count_lost(&self) -> u64 {
        let metrics = self.get(&self.admin, "/metrics").body;
        let count = metrics.lines().find_map(|line| line.strip_prefix("sandbus_lost_log_lines_total "));
        count.map_or(0, |count| count.parse().unwrap())
    }
}

/// The lines of a log. Each must be complete.
fn parse(log: &str) -> Vec<Value> {
    assert!(log.ends_with('\n'), "the last line is cut off: {log}");
    log.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

#[test]
fn a_log_that_nobody_reads_stops_neither_handlers_nor_the_shutdown() {
    let mut host = UnreadHost::start();
    host.handle_events();
    host.terminate();
    host.wait_for_success();
    let lines = parse(&host.read_log().join().unwrap());
    assert!(!lines.is_empty());
    assert!(lines.iter().all(|line| line["message"] != "stopped"), "the pipe was not full");
}

#[test]
fn a_log_that_is_read_late_is_complete() {
    let mut host = UnreadHost::start();
    host.handle_events();
    let log = host.read_log();
    host.terminate();
    host.wait_for_success();
    let lines = parse(&log.join().unwrap());
    let mut handled: Vec<usize> = lines
        .iter()
        .filter(|line| line["message"] == "handled" && line["subscription"] == "ledger/entry")
        .map(|line| line["event"].as_str().unwrap().parse().unwrap())
        .collect();
    handled.sort_unstable();
    assert!(handled.into_iter().eq(0..EVENTS), "each event's line is there");
    assert_eq!(lines.last().unwrap()["message"], "stopped");
    assert_eq!(lines.iter().filter(|line| !line["lost"].is_null()).count(), 0);
}

#[test]
fn lost_log_lines_are_counted_and_reported() {
    let mut host = UnreadHost::start();
    for _ in 0..FLOODS {
        assert_eq!(host.post("/hostile/chatter", "application/json", &json!({})).status, 204);
    }
    let log = host.read_log();
    let lost = eventually("the loss is counted", || Some(host.count_lost()).filter(|lost| *lost > 0));
    host.terminate();
    host.wait_for_success();
    let lines = parse(&log.join().unwrap());
    let reported: u64 = lines.iter().filter_map(|line| line["lost"].as_u64()).sum();
    assert_eq!(reported, lost);
    let chatter = lines.iter().filter_map(|line| {
        let number = line["message"].as_str()?.strip_prefix("chatter ")?.split(' ').next()?;
        number.parse::<usize>().ok()
    });
    let chatter: Vec<usize> = chatter.collect();
    let all = FLOODS * (chatter.iter().max().unwrap() + 1);
    assert!(chatter.len() < all && chatter.len() + usize::try_from(lost).unwrap() >= all, "{} of {all}", chatter.len());
}
