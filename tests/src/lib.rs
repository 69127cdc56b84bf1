//! The harness of the end-to-end tests: it runs a real host in its own process on a folder of real components, and
//! speaks real HTTP to it.
//!
//! ```no_run
//! let host = sandbus_tests::Setup::new().plugin("registration").start();
//! let answer = host.post("/register", serde_json::json!({ "name": "Ada", "email": "ada@example.com" }));
//! assert_eq!(answer.status, 201);
//! ```

#![allow(
    clippy::missing_panics_doc,
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a harness fails by panicking"
)]

pub mod command_line;
mod database_lock;
pub mod languages;
pub mod ledger_load;
mod listener;
pub mod measure;
mod postgres;
mod process;
pub mod release;
mod tls_proxy;
mod upstream;
mod wire;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

pub use database_lock::DatabaseLock;
pub use listener::{Hook, Webhook};
pub use postgres::{PostgresServer, TableLock};
pub use process::{Launch, Process, Starting};
pub use tls_proxy::TlsProxy;
pub use upstream::Upstream;
pub use wire::Wire;

/// Lets tests publish over HTTP, unless their configuration says who may.
pub const OPEN_INGRESS: &str = "[ingress]\nevents = { types = [\">\"], sources = [\"*\"], replies = true }\n";

/// A configuration with which a test may publish over HTTP.
#[must_use]
pub fn with_open_ingress(config: &str) -> String {
    let says_who = config.lines().any(|line| line.trim_start_matches('[').starts_with("ingress"));
    if says_who { config.to_owned() } else { format!("{config}\n{OPEN_INGRESS}") }
}

/// How long a test waits for something that must happen. It is far above the usual time: only failing tests wait that
/// long.
const PATIENCE: Duration = Duration::from_secs(60);

/// A host to be started.
#[derive(Debug)]
pub struct Setup {
    directory: TempDir,
    config: String,
    shares_code: bool,
    environment: Vec<(String, String)>,
}

impl Default for Setup {
    fn default() -> Self {
        Self::new()
    }
}

impl Setup {
    /// A host with an empty plugin folder.
    #[must_use]
    pub fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory for the test");
        std::fs::create_dir(directory.path().join("plugins")).expect("the plugin folder is made");
        Self { directory, config: String::new(), environment: Vec::new(), shares_code: true }
    }

    /// Compiles plugins without the shared cache, for tests of compilation. Other tests share a cache.
    #[must_use]
    pub fn own_code(mut self) -> Self {
        self.shares_code = false;
        self
    }

    /// Copies a built guest into the plugin folder.
    #[must_use]
    pub fn plugin(self, name: &str) -> Self {
        put(&self.directory.path().join("plugins").join(format!("{name}.wasm")), &guest(name));
        self
    }

    /// Writes a sidecar for a guest.
    #[must_use]
    pub fn sidecar(self, name: &str, text: &str) -> Self {
        put(&self.directory.path().join("plugins").join(format!("{name}.toml")), text.as_bytes());
        self
    }

    /// Appends to `sandbus.toml`. Anybody may publish over HTTP unless it contains `[ingress]`.
    #[must_use]
    pub fn config(mut self, text: &str) -> Self {
        self.config.push_str(text);
        self.config.push('\n');
        self
    }

    /// Sets an environment variable of the host, until it is restarted.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Starts the host and waits until it listens.
    #[must_use]
    pub fn start(self) -> Host {
        let Self { directory, config, environment, shares_code } = self;
        if shares_code {
            share_code(directory.path());
        }
        put(&directory.path().join("sandbus.toml"), with_open_ingress(&config).as_bytes());
        let process = Process::start(directory.path(), &environment);
        let process = process.unwrap_or_else(|log| panic!("the host does not start:\n{log}"));
        Host { directory, process, agent: agent() }
    }

    /// Starts a host with `--standby`, without waiting until it takes over.
    #[must_use]
    pub fn start_standby(self) -> StandbyHost {
        let Self { directory, config, environment, shares_code } = self;
        if shares_code {
            share_code(directory.path());
        }
        put(&directory.path().join("sandbus.toml"), with_open_ingress(&config).as_bytes());
        let launch = Launch::serve(directory.path()).args(["--standby", "--log", "debug,hyper=info"]);
        let launch = environment.iter().fold(launch, |launch, (name, value)| launch.env(name, value));
        StandbyHost { starting: launch.spawn(), directory }
    }

    /// Starts the host with its own `/etc/hosts`. Only root may do so.
    #[must_use]
    pub fn start_with_hosts(self, hosts: &Path) -> Host {
        let Self { directory, config, .. } = self;
        put(&directory.path().join("sandbus.toml"), with_open_ingress(&config).as_bytes());
        let started = Launch::serve(directory.path()).args(["--log", "debug,hyper=info"]).hosts(hosts).spawn().wait();
        let process = started.unwrap_or_else(|log| panic!("the host does not start:\n{log}"));
        Host { directory, process, agent: agent() }
    }

    /// Starts the host for a measurement: without the log level of tests, which costs time.
    #[must_use]
    pub fn start_measured(self) -> Host {
        let Self { directory, config, .. } = self;
        put(&directory.path().join("sandbus.toml"), with_open_ingress(&config).as_bytes());
        let started = Launch::serve(directory.path()).spawn().wait();
        let process = started.unwrap_or_else(|log| panic!("the host does not start:\n{log}"));
        Host { directory, process, agent: agent() }
    }

    /// Starts `sandbus dev` on the test's directory and waits until it listens.
    #[must_use]
    pub fn develop(self) -> Host {
        self.develop_project(Path::new("."))
    }

    /// Starts `sandbus dev` on a project and waits until it listens.
    #[must_use]
    pub fn develop_project(self, project: &Path) -> Host {
        self.develop_with(project, &[])
    }

    /// Starts `sandbus dev` on a project with further arguments, and waits until it listens.
    #[must_use]
    pub fn develop_with(self, project: &Path, further: &[&str]) -> Host {
        let directory = self.directory;
        let process = Process::develop(directory.path(), project, further);
        let process = process.unwrap_or_else(|log| panic!("it does not start:\n{log}"));
        Host { directory, process, agent: agent() }
    }

    /// Starts a host that must refuse to run, and returns its output.
    #[must_use]
    pub fn start_refused(self) -> String {
        put(&self.directory.path().join("sandbus.toml"), self.config.as_bytes());
        match Process::start(self.directory.path(), &self.environment) {
            Ok(_) => panic!("the host started"),
            Err(log) => log,
        }
    }

    /// Prepares the files of a host that the test starts itself.
    #[must_use]
    pub fn into_directory(self) -> TempDir {
        put(&self.directory.path().join("sandbus.toml"), self.config.as_bytes());
        self.directory
    }

    /// The directory of the test.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.directory.path()
    }
}

/// A host that runs with `--standby` and has not taken over yet.
#[derive(Debug)]
pub struct StandbyHost {
    /// Its process.
    pub starting: Starting,
    directory: TempDir,
}

impl StandbyHost {
    /// Waits until the host has taken over.
    #[must_use]
    pub fn wait_until_active(self) -> Host {
        let process = self.starting.wait().unwrap_or_else(|log| panic!("the standby does not take over:\n{log}"));
        Host { directory: self.directory, process, agent: agent() }
    }
}

/// A running host.
#[derive(Debug)]
pub struct Host {
    process: Process,
    agent: ureq::Agent,
    directory: TempDir,
}

/// An HTTP response.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers, with lower-case names. The values of a header that occurs several times are joined with commas.
    pub headers: BTreeMap<String, String>,
    /// The body. Bytes that are not UTF-8 are replaced.
    pub body: String,
}

impl Answer {
    /// The body as JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("no JSON ({error}): {}", self.body))
    }

    /// The code of a problem. Panics if the response is not a problem.
    #[must_use]
    pub fn problem(&self) -> String {
        assert_eq!(self.headers.get("content-type").map(String::as_str), Some("application/problem+json"), "{self:?}");
        let problem = self.json();
        assert_eq!(problem["status"], self.status, "{problem}");
        assert!(problem["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{problem}");
        problem["code"].as_str().unwrap_or_default().to_owned()
    }
}

impl Host {
    /// The URL of the ingress.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.process.address)
    }

    /// The URL of the admin interface.
    #[must_use]
    pub fn admin_url(&self, path: &str) -> String {
        format!("http://{}{path}", self.process.admin)
    }

    /// The URL of a path of the admin API.
    #[must_use]
    pub fn api_url(&self, path: &str) -> String {
        self.admin_url(&format!("/v1{path}"))
    }

    /// The socket address of the ingress.
    #[must_use]
    pub fn address(&self) -> std::net::SocketAddr {
        self.process.address.parse().expect("the host says where it listens")
    }

    /// The host's resident memory, in bytes.
    #[must_use]
    pub fn resident_bytes(&self) -> u64 {
        let path = format!("/proc/{}/status", self.process.id());
        let status = std::fs::read_to_string(path).expect("the host runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("it has memory");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("it is a number") * 1_024
    }

    /// The directory of the test, with `plugins`, `data` and `sandbus.toml`.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// A file in the plugin folder.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.path().join("plugins").join(name)
    }

    /// Sends a request with a body and headers.
    #[must_use]
    pub fn send(&self, method: &str, url: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        self.try_send(method, url, headers, body).unwrap_or_else(|error| panic!("{method} {url}: {error}"))
    }

    /// Sends a request to a host that may be down.
    ///
    /// # Errors
    /// If no response arrives.
    pub fn try_send(
        &self,
        method: &str,
        url: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Answer, ureq::Error> {
        send(&self.agent, method, url, headers, body)
    }

    /// Posts JSON to the ingress.
    #[must_use]
    #[allow(clippy::needless_pass_by_value, reason = "tests write values in place")]
    pub fn post(&self, path: &str, body: Value) -> Answer {
        let json = [("content-type", "application/json")];
        self.send("POST", &self.url(path), &json, body.to_string().as_bytes())
    }

    /// Sends GET to the ingress.
    #[must_use]
    pub fn get(&self, path: &str) -> Answer {
        self.send("GET", &self.url(path), &[], b"")
    }

    /// Sends GET to a path of the admin API. Panics unless it succeeds.
    #[must_use]
    pub fn admin(&self, path: &str) -> Value {
        let answer = self.send("GET", &self.api_url(path), &[], b"");
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        answer.json()
    }

    /// Sends a request without a body to a path of the admin API.
    #[must_use]
    pub fn operate(&self, method: &str, path: &str) -> Answer {
        self.send(method, &self.api_url(path), &[], b"")
    }

    /// Posts JSON to a path of the admin API.
    #[must_use]
    #[allow(clippy::needless_pass_by_value, reason = "tests write values in place")]
    pub fn admin_post(&self, path: &str, body: Value) -> Answer {
        let json = [("content-type", "application/json")];
        self.send("POST", &self.api_url(path), &json, body.to_string().as_bytes())
    }

    /// Publishes an event with an id.
    #[must_use]
    #[allow(clippy::needless_pass_by_value, reason = "tests write values in place")]
    pub fn publish(&self, event_type: &str, id: &str, data: Value) -> Answer {
        self.publish_event("/events", serde_json::json!({ "id": id, "type": event_type, "data": data }))
    }

    /// Publishes an event with the given attributes at `/events` with a query. Its source is `/test` by default.
    #[must_use]
    #[allow(clippy::needless_pass_by_value, reason = "tests write values in place")]
    pub fn publish_event(&self, path: &str, mut event: Value) -> Answer {
        event["specversion"] = "1.0".into();
        if event["source"].is_null() {
            event["source"] = "/test".into();
        }
        let headers = [("content-type", "application/cloudevents+json")];
        self.send("POST", &self.url(path), &headers, event.to_string().as_bytes())
    }

    /// The events of a type, oldest first, without their positions.
    #[must_use]
    pub fn events_of(&self, event_type: &str) -> Vec<Value> {
        let all = self.admin("/events?limit=1000");
        let all = all["events"].as_array().into_iter().flatten().rev();
        all.map(|logged| logged["event"].clone()).filter(|event| event["type"] == event_type).collect()
    }

    /// A subscription as the admin interface shows it.
    #[must_use]
    pub fn subscription(&self, id: &str) -> Option<Value> {
        let all = self.admin("/subscriptions");
        all["subscriptions"].as_array()?.iter().find(|subscription| subscription["id"] == id).cloned()
    }

    /// A plugin file as the admin interface shows it.
    #[must_use]
    pub fn plugin(&self, file: &str) -> Option<Value> {
        let all = self.admin("/plugins");
        all["plugins"].as_array()?.iter().find(|plugin| plugin["file"] == file).cloned()
    }

    /// Waits until all subscriptions have handled all events.
    pub fn wait_until_idle(&self) {
        eventually("every subscription is idle", || {
            let all = self.admin("/subscriptions");
            let mut all = all["subscriptions"].as_array().into_iter().flatten();
            all.all(|subscription| subscription["backlog"] == 0 || subscription["status"] == "paused").then_some(())
        });
    }

    /// The dead letters.
    #[must_use]
    pub fn dead_letters(&self) -> Vec<Value> {
        self.admin("/dead-letters")["dead_letters"].as_array().cloned().unwrap_or_default()
    }

    /// Copies a built guest into the plugin folder under a file name, atomically: under a temporary name, then renamed.
    pub fn drop_in(&self, guest_name: &str, file: &str) {
        put(&self.file(file), &guest(guest_name));
    }

    /// Waits until a file is loaded with a digest, and returns the time.
    pub fn wait_until_loaded(&self, guest_name: &str, file: &str) {
        let digest = digest(&guest(guest_name));
        eventually(&format!("{file} runs {guest_name}"), || {
            self.plugin(file).filter(|plugin| plugin["digest"] == digest.as_str() && plugin["error"].is_null())
        });
    }

    /// Waits until a file is refused, and returns the reason.
    #[must_use]
    pub fn wait_until_refused(&self, file: &str) -> String {
        eventually(&format!("{file} is refused"), || {
            self.plugin(file).and_then(|plugin| plugin["error"].as_str().map(str::to_owned))
        })
    }

    /// Runs the command line against this host.
    #[must_use]
    pub fn cli(&self, arguments: &[&str]) -> Output {
        Command::new(binary())
            .args(arguments)
            .env("SANDBUS_ADMIN", self.admin_url(""))
            .current_dir(self.path())
            .output()
            .expect("the binary runs")
    }

    /// The id of the host's process.
    #[must_use]
    pub fn process_id(&self) -> u32 {
        self.process.id()
    }

    /// Types a line into the host's standard input.
    pub fn type_line(&mut self, line: &str) {
        self.process.type_line(line);
    }

    /// The host's log so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Waits for a log line that contains all of the given words.
    #[must_use]
    pub fn wait_for_log(&self, words: &[&str]) -> Value {
        eventually(&format!("a log line with {words:?}"), || {
            let log = self.log();
            let mut lines = log.lines().filter(|line| words.iter().all(|word| line.contains(word)));
            lines.next().and_then(|line| serde_json::from_str(line).ok())
        })
    }

    /// Kills the host with SIGKILL and starts it again on the same directory.
    #[must_use]
    pub fn crash_and_restart(self) -> Self {
        let Self { mut process, directory, .. } = self;
        process.kill();
        let process =
            Process::start(directory.path(), &[]).unwrap_or_else(|log| panic!("no restart after a kill:\n{log}"));
        Self { process, agent: agent(), directory }
    }

    /// Stops the host with SIGTERM and starts it again on the same directory.
    #[must_use]
    pub fn stop_and_restart(self) -> Self {
        self.stop_and_restart_after(|_| {})
    }

    /// Stops the host with SIGTERM, calls a function with its directory, and starts it again on the same directory.
    #[must_use]
    pub fn stop_and_restart_after(self, between: impl FnOnce(&Path)) -> Self {
        let Self { mut process, directory, .. } = self;
        assert!(process.terminate(), "the host ends successfully");
        between(directory.path());
        let process =
            Process::start(directory.path(), &[]).unwrap_or_else(|log| panic!("no restart after a stop:\n{log}"));
        Self { process, agent: agent(), directory }
    }

    /// Kills `sandbus dev` with SIGKILL and starts it again on the same directory.
    #[must_use]
    pub fn develop_again(self, project: &Path, further: &[&str]) -> Self {
        let Self { mut process, directory, .. } = self;
        process.kill();
        let process = Process::develop(directory.path(), project, further);
        let process = process.unwrap_or_else(|log| panic!("no restart after a kill:\n{log}"));
        Self { process, agent: agent(), directory }
    }

    /// Stops the host with SIGTERM and starts it again for a measurement, without the log level of tests.
    #[must_use]
    pub fn restart_measured(self) -> Self {
        let Self { mut process, directory, .. } = self;
        assert!(process.terminate(), "the host ends successfully");
        let process = Launch::serve(directory.path()).spawn().wait();
        Self { process: process.unwrap_or_else(|log| panic!("no restart:\n{log}")), agent: agent(), directory }
    }

    /// Stops the host with SIGTERM. Returns whether it ended successfully, and its log.
    #[must_use]
    pub fn terminate(mut self) -> (bool, String) {
        let ended_well = self.process.terminate();
        (ended_well, self.process.log())
    }

    /// Waits until a stopping host has ended. Returns whether it ended successfully, and its log.
    #[must_use]
    pub fn wait_until_ended(mut self) -> (bool, String) {
        let ended_well = self.process.wait_for_success();
        (ended_well, self.process.log())
    }

    /// Sends SIGTERM without waiting.
    pub fn signal(&self, signal: &str) {
        self.process.signal(signal);
    }

    /// Starts a second host on the same data, which must refuse to run, and returns its output.
    #[must_use]
    pub fn start_second(&self, arguments: &[&str]) -> String {
        let output = Command::new(binary()).arg("serve").args(arguments).current_dir(self.path()).output();
        let output = output.expect("the binary runs");
        assert!(!output.status.success(), "a second host started");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }
}

/// Polls until a condition holds, and returns its value.
pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(started.elapsed() < PATIENCE, "timed out after {PATIENCE:?}, waiting until {what}");
        pause();
    }
}

fn pause() {
    pause_for(Duration::from_millis(5));
}

/// A port of this machine on which nothing listens now.
#[must_use]
pub fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
    listener.local_addr().expect("it is bound").port()
}

/// Sleeps: between two polls of another process, or before a fault at a random moment.
#[allow(clippy::disallowed_methods, reason = "the state of another process can only be polled")]
pub fn pause_for(time: Duration) {
    std::thread::sleep(time);
}

/// Sends a request.
///
/// # Errors
/// If no response arrives.
pub fn send(
    agent: &ureq::Agent,
    method: &str,
    url: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Result<Answer, ureq::Error> {
    let mut request = ureq::http::Request::builder().method(method).uri(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut response = agent.run(request.body(body).expect("the test's request is well formed"))?;
    let mut headers: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in response.headers() {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        let joined = |all: &mut String| all.extend([", ", &value]);
        headers.entry(name.to_string()).and_modify(joined).or_insert_with(|| value.clone());
    }
    Ok(Answer {
        status: response.status().as_u16(),
        headers,
        // A backup is not text.
        body: String::from_utf8_lossy(&response.body_mut().read_to_vec()?).into_owned(),
    })
}

/// A client that returns every status as a response.
#[must_use]
pub fn agent() -> ureq::Agent {
    ureq::Agent::config_builder()
        .http_status_as_error(false)
        .allow_non_standard_methods(true)
        .max_idle_connections_per_host(64)
        .timeout_global(Some(PATIENCE))
        .build()
        .into()
}

/// The path of a built guest.
#[must_use]
pub fn guest_path(name: &str) -> PathBuf {
    let folder =
        std::env::var_os("SANDBUS_TEST_PLUGINS").map_or_else(|| target().join("../test-guests"), PathBuf::from);
    folder.join(format!("{name}.wasm"))
}

/// The bytes of a built guest.
#[must_use]
pub fn guest(name: &str) -> Vec<u8> {
    let path = guest_path(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}; run `cargo xtask guests`", path.display()))
}

/// The digest that the host shows for a file.
#[must_use]
pub fn digest(bytes: &[u8]) -> String {
    use sha2::Digest as _;
    sha2::Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Writes a file under a temporary name and renames it.
pub fn put(path: &Path, bytes: &[u8]) {
    let partial = path.with_extension("partial");
    std::fs::write(&partial, bytes).expect("the file is written");
    std::fs::rename(&partial, path).expect("the file is renamed");
}

/// Shares a cache of compiled code among the hosts of one binary.
fn share_code(directory: &Path) {
    let binary = binary();
    let built = std::fs::metadata(&binary).and_then(|metadata| metadata.modified()).expect("the binary is there");
    let age = built.duration_since(std::time::UNIX_EPOCH).expect("it is younger than 1970").as_nanos();
    let all = binary.with_file_name("test-code");
    let code = all.join(age.to_string());
    std::fs::create_dir_all(&all).expect("there is a place for compiled code");
    // The first host clears the caches of earlier binaries.
    if std::fs::create_dir(&code).is_ok() {
        let others = std::fs::read_dir(&all).expect("it was made").flatten().map(|entry| entry.path());
        others.filter(|other| *other != code).for_each(|other| drop(std::fs::remove_dir_all(other)));
    }
    let data = directory.join("data");
    std::fs::create_dir_all(&data).expect("the data directory is made");
    std::os::unix::fs::symlink(code, data.join("cache")).expect("the cache is shared");
}

/// The host's binary in the workspace's target directory.
#[must_use]
pub fn binary() -> PathBuf {
    std::env::var_os("SANDBUS_TEST_BINARY").map_or_else(|| target().join("sandbus"), PathBuf::from)
}

/// The directory of this program's profile. Programs are in it, and tests in its `deps`.
fn target() -> PathBuf {
    let program = std::env::current_exe().expect("a program knows where it is");
    let directory = program.parent().expect("a program is in a directory");
    if directory.ends_with("deps") {
        directory.parent().expect("`deps` is in the directory of the profile")
    } else {
        directory
    }
    .to_owned()
}
