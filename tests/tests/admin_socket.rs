//! The Unix socket of the admin interface: who may use it, and what becomes of its file.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Command, Output};

use sandbus_tests::command_line::text;
use sandbus_tests::{Host, Setup, binary};
use serde_json::Value;

const SOCKET: &str = "[admin]\nsocket = \"data/admin.sock\"\n";
const REQUIRED: &str = "[access]\nrequire_tokens = true\n";

fn path(host: &Host) -> PathBuf {
    host.path().join("data/admin.sock")
}

/// Runs a command that connects to the socket.
fn cli(host: &Host, arguments: &[&str]) -> Output {
    let command = Command::new(binary())
        .args(arguments)
        .env("SANDBUS_ADMIN", "unix:data/admin.sock")
        .current_dir(host.path())
        .output();
    command.unwrap()
}

fn run(host: &Host, arguments: &[&str]) -> String {
    let output = cli(host, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", text(&output));
    text(&output)
}

/// The response to a request with these headers.
fn get(host: &Host, path_and_query: &str, headers: &str) -> String {
    let mut stream = UnixStream::connect(path(host)).unwrap();
    write!(stream, "GET {path_and_query} HTTP/1.1\r\nconnection: close\r\n{headers}\r\n").unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    response
}

#[test]
fn callers_on_the_socket_need_no_token() {
    let host = Setup::new().plugin("echo").config(SOCKET).config(REQUIRED).start();
    let metadata = fs::metadata(path(&host)).unwrap();
    assert!(metadata.file_type().is_socket());
    assert_eq!(metadata.mode() & 0o777, 0o600);
    assert_eq!(host.operate("GET", "/plugins").problem(), "token-required");
    assert!(run(&host, &["plugins"]).contains("echo"));
    for host_header in ["localhost", "sandbus.example:1", ""] {
        let response = get(&host, "/v1/plugins", &format!("host: {host_header}\r\n"));
        assert!(response.starts_with("HTTP/1.1 200 "), "{host_header}: {response}");
    }
    let access = get(&host, "/v1/access", "host: h\r\n");
    assert!(access.contains(r#""tokens_required":false"#) && access.contains(r#""role":"admin""#), "{access}");
    // A token that is sent counts.
    let rejected = get(&host, "/v1/plugins", "host: h\r\nauthorization: Bearer sbt_none\r\n");
    assert!(rejected.starts_with("HTTP/1.1 401 "), "{rejected}");
    let foreign = get(&host, "/v1/plugins", "host: h\r\norigin: http://foreign.example\r\n");
    assert!(foreign.starts_with("HTTP/1.1 403 "), "{foreign}");
}

#[test]
fn the_audit_log_names_the_socket() {
    let host = Setup::new().plugin("keeper").config(SOCKET).config(REQUIRED).start();
    run(&host, &["plugins", "drain", "keeper"]);
    let log = get(&host, "/v1/audit", "host: h\r\n");
    let (_, body) = log.split_once("\r\n\r\n").unwrap();
    let page: Value = serde_json::from_str(body).unwrap();
    let entries = page["entries"].as_array().unwrap();
    assert!(!entries.is_empty() && entries.iter().all(|entry| entry["actor"] == "socket"), "{page}");
}

#[test]
fn a_second_host_does_not_take_the_socket() {
    let host = Setup::new().plugin("echo").config(SOCKET).start();
    let refused = host.start_second(&["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]);
    assert!(refused.contains("data/admin.sock is in use by another process"), "{refused}");
    assert!(run(&host, &["plugins"]).contains("echo"));
}

#[test]
fn a_socket_is_removed_at_the_end_and_replaced_after_a_crash() {
    let host = Setup::new().plugin("echo").config(SOCKET).start();
    let before = fs::metadata(path(&host)).unwrap().ino();
    let host = host.crash_and_restart();
    assert!(run(&host, &["plugins"]).contains("echo"), "after inode {before}");
    let file = path(&host);
    let directory = tempfile::tempdir().unwrap();
    let kept = directory.path().join("kept");
    fs::hard_link(&file, &kept).unwrap();
    let (ended_well, log) = host.terminate();
    assert!(ended_well && !file.exists(), "{log}");
    // Nobody listens on it any more.
    let output =
        Command::new(binary()).args(["plugins", "--admin", &format!("unix:{}", kept.display())]).output().unwrap();
    let refused = text(&output);
    assert!(!output.status.success() && refused.contains("no host responds at unix:/"), "{refused}");
    assert!(refused.contains("`socket` in [admin]"), "{refused}");
}

#[test]
fn a_file_that_is_no_socket_stays() {
    let setup = Setup::new().config("[admin]\nsocket = \"precious\"\n");
    let directory = setup.into_directory();
    let file = directory.path().join("precious");
    fs::write(&file, "precious").unwrap();
    let started = sandbus_tests::Launch::serve(directory.path()).spawn().wait();
    let log = started.err().unwrap();
    assert!(log.contains("precious is not a socket"), "{log}");
    assert_eq!(fs::read(&file).unwrap(), b"precious");
}
