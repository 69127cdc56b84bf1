//! A working directory for a host, and a host that runs in it.

use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail, ensure};
use sandbus_tests::{Answer, Launch, Process, Starting, agent, digest, guest, pause_for, put, send, with_open_ingress};
use serde_json::{Value, json};

use crate::report::FaultReport;

/// The time limit for waiting. It is far longer than necessary.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The maximum memory of a host, in MiB, under any fault.
const MEMORY_LIMIT: u64 = 1_024;

/// A working directory with `plugins` and `data`.
#[derive(Clone, Debug)]
pub(crate) struct HostDirectory {
    path: PathBuf,
    data: PathBuf,
}

impl HostDirectory {
    /// Creates a directory with these guests.
    pub(crate) fn new(path: PathBuf, guests: &[&str]) -> anyhow::Result<Self> {
        let data = path.join("data");
        std::fs::create_dir_all(path.join("plugins"))?;
        std::fs::create_dir_all(&data)?;
        for name in guests {
            put(&path.join("plugins").join(format!("{name}.wasm")), &guest(name));
        }
        let host_dir = Self { path, data };
        host_dir.configure("");
        Ok(host_dir)
    }

    /// Uses another data directory.
    pub(crate) fn with_data(self, data: PathBuf) -> Self {
        Self { data, ..self }
    }

    /// Copies compiled code into the directory, so that the host starts fast.
    pub(crate) fn copy_compiled_code(&self, cache: &Path) -> anyhow::Result<()> {
        std::fs::create_dir_all(self.cache())?;
        for entry in std::fs::read_dir(cache)? {
            let entry = entry?;
            std::fs::copy(entry.path(), self.cache().join(entry.file_name()))?;
        }
        Ok(())
    }

    /// The data directory.
    pub(crate) fn data(&self) -> &Path {
        &self.data
    }

    /// A file of the store.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.data.join(name)
    }

    /// A file of the plugin folder.
    pub(crate) fn plugin(&self, name: &str) -> PathBuf {
        self.path.join("plugins").join(name)
    }

    /// Writes `sandbus.toml`, with an open ingress.
    pub(crate) fn configure(&self, text: &str) {
        put(&self.path.join("sandbus.toml"), with_open_ingress(text).as_bytes());
    }

    /// The directory of the compiled code.
    pub(crate) fn cache(&self) -> PathBuf {
        self.data.join("cache")
    }

    /// The names of the files in the data directory, without the compiled code.
    pub(crate) fn files(&self) -> anyhow::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.data)? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                names.push(entry.file_name().to_string_lossy().into_owned());
            }
        }
        Ok(names)
    }

    /// Removes these files, and leaves the compiled code.
    pub(crate) fn clear(&self) -> anyhow::Result<()> {
        self.files()?.iter().try_for_each(|name| Ok(std::fs::remove_file(self.file(name))?))
    }

    /// How to start a host in this directory.
    pub(crate) fn launch(&self) -> Launch {
        Launch::serve(&self.path).args(["--log", "warn,sandbus_host::announcement=info", "--data"]).args([&self.data])
    }

    /// Starts a host in this directory.
    pub(crate) fn start(&self) -> anyhow::Result<HostProcess> {
        HostProcess::start(&self.launch())
    }

    /// Removes the directory.
    pub(crate) fn remove(self) -> anyhow::Result<()> {
        Ok(std::fs::remove_dir_all(self.path)?)
    }
}

/// A running host.
#[derive(Debug)]
pub(crate) struct HostProcess {
    process: Process,
    /// The host's addresses.
    pub(crate) target: Target,
}

impl HostProcess {
    /// Starts a host and waits until it listens. If it exits instead, its log is the error.
    pub(crate) fn start(launch: &Launch) -> anyhow::Result<Self> {
        Self::from_starting(launch.spawn())
    }

    /// Waits until a host listens. If it exits instead, its log is the error.
    pub(crate) fn from_starting(starting: Starting) -> anyhow::Result<Self> {
        let process = starting.wait().map_err(|log| anyhow!("the host does not start:\n{}", last_lines(&log)))?;
        let target = Target { ingress: process.address.clone(), admin: process.admin.clone() };
        Ok(Self { process, target })
    }

    /// The time from its start until it listened.
    pub(crate) fn started_in(&self) -> Duration {
        self.process.started_in
    }

    /// Kills the host with SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.process.kill();
    }

    /// Asks the host to exit, and waits.
    pub(crate) fn terminate(&mut self) -> anyhow::Result<()> {
        self.process.signal("-TERM");
        let status = self.wait_for_end(PATIENCE)?;
        ensure!(status.success(), "it ended with {status}: {}", last_lines(&self.log()));
        Ok(())
    }

    /// Waits until the host exits.
    pub(crate) fn wait_for_end(&mut self, patience: Duration) -> anyhow::Result<ExitStatus> {
        until(patience, "the host has ended", || Ok(self.process.ended()))
    }

    /// Whether the host runs.
    pub(crate) fn runs(&mut self) -> bool {
        self.process.ended().is_none()
    }

    /// The peak memory so far, in MiB.
    pub(crate) fn peak_memory(&self) -> anyhow::Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next()?.parse().ok());
        let kilobytes: u64 = peak.context("Linux reports the peak memory of a process")?;
        Ok(kilobytes >> 10)
    }

    /// Checks that the host runs and that its memory is bounded, and records the peak.
    pub(crate) fn check_health(&mut self, report: &mut FaultReport) -> anyhow::Result<()> {
        let runs = self.runs();
        report.check(runs, || format!("the host has ended: {}", last_lines(&self.log())));
        if runs {
            let peak = self.peak_memory()?;
            report.check(peak <= MEMORY_LIMIT, || format!("the host used {peak} MiB of memory"));
            report.remark(&format!("peak {peak} MiB"));
        }
        Ok(())
    }

    /// The host's log.
    pub(crate) fn log(&self) -> String {
        self.process.log()
    }
}

/// The last lines of a log above level INFO, which usually contain the reason.
pub(crate) fn last_lines(log: &str) -> String {
    let lines: Vec<_> = log.lines().filter(|line| !line.contains("\"level\":\"INFO\"")).collect();
    lines[lines.len().saturating_sub(3)..].join("\n")
}

/// Polls until there is a value.
pub(crate) fn until<T>(
    patience: Duration,
    what: &str,
    mut look: impl FnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    let started = Instant::now();
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        ensure!(started.elapsed() < patience, "timed out after {patience:?}, waiting until {what}");
        pause_for(Duration::from_millis(3));
    }
}

/// The addresses of a host.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    ingress: String,
    admin: String,
}

impl Target {
    /// A client with its own connections.
    pub(crate) fn client(&self) -> Client {
        Client { target: self.clone(), agent: agent() }
    }
}

/// A client of a host.
#[derive(Debug)]
pub(crate) struct Client {
    target: Target,
    agent: ureq::Agent,
}

impl Client {
    /// Posts to the ingress.
    pub(crate) fn post(&self, path: &str, content_type: &str, body: &Value) -> anyhow::Result<Answer> {
        let url = format!("http://{}{path}", self.target.ingress);
        Ok(send(&self.agent, "POST", &url, &[("content-type", content_type)], body.to_string().as_bytes())?)
    }

    /// Posts an empty body to the ingress. The response must be a success.
    pub(crate) fn post_empty(&self, path: &str) -> anyhow::Result<Value> {
        let url = format!("http://{}{path}", self.target.ingress);
        read(path, &send(&self.agent, "POST", &url, &[], b"")?)
    }

    /// Gets from the ingress. The response must eventually be a success: a plugin whose state changes too fast while
    /// it reads asks its caller to try again.
    pub(crate) fn get(&self, path: &str) -> anyhow::Result<Value> {
        let url = format!("http://{}{path}", self.target.ingress);
        let answer = until(PATIENCE, &format!("{path} is answered"), || {
            Ok(Some(send(&self.agent, "GET", &url, &[], b"")?).filter(|answer| answer.status != 503))
        });
        read(path, &answer?)
    }

    /// Gets from the admin API. The response must be a success.
    pub(crate) fn admin(&self, path: &str) -> anyhow::Result<Value> {
        let url = format!("http://{}/v1{path}", self.target.admin);
        read(path, &send(&self.agent, "GET", &url, &[], b"")?)
    }

    /// Posts to the admin API, without a body if it is null. The response must be a success.
    pub(crate) fn post_admin(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let url = format!("http://{}/v1{path}", self.target.admin);
        let json = [("content-type", "application/json")];
        let text = if body.is_null() { String::new() } else { body.to_string() };
        let answer = send(&self.agent, "POST", &url, &json, text.as_bytes())?;
        if answer.status == 204 { Ok(Value::Null) } else { read(path, &answer) }
    }

    /// Publishes a batch, and tries again while the host is busy.
    pub(crate) fn publish(&self, events: Vec<Value>) -> anyhow::Result<()> {
        let body = Value::from(events);
        until(PATIENCE, "a batch is accepted", || {
            let answer = self.post("/events", "application/cloudevents-batch+json", &body)?;
            ensure!(
                matches!(answer.status, 202 | 429),
                "the response to a batch is {}: {}",
                answer.status,
                answer.body
            );
            Ok((answer.status == 202).then_some(()))
        })
    }

    /// A subscription in the admin API.
    pub(crate) fn subscription(&self, id: &str) -> anyhow::Result<Value> {
        let all = self.admin("/subscriptions")?;
        let found = all["subscriptions"].as_array().and_then(|all| all.iter().find(|one| one["id"] == id));
        found.cloned().with_context(|| format!("there is no subscription {id}"))
    }

    /// The total number of dead letters.
    pub(crate) fn count_dead_letters(&self) -> anyhow::Result<u64> {
        let all = self.admin("/subscriptions")?;
        let all = all["subscriptions"].as_array().context("the host lists its subscriptions")?;
        Ok(all.iter().filter_map(|one| one["dead_letters"].as_u64()).sum())
    }

    /// Waits until a file of the plugin folder is loaded with this content.
    pub(crate) fn wait_until_loaded(&self, file: &str, content: &[u8]) -> anyhow::Result<()> {
        let digest = digest(content);
        until(PATIENCE, &format!("{file} is loaded"), || {
            let plugin = self.plugin(file)?;
            Ok((plugin["digest"] == digest.as_str() && plugin["error"].is_null()).then_some(()))
        })
    }

    /// A file of the plugin folder in the admin API, or null.
    pub(crate) fn plugin(&self, file: &str) -> anyhow::Result<Value> {
        let all = self.admin("/plugins")?;
        let found = all["plugins"].as_array().and_then(|all| all.iter().find(|one| one["file"] == file));
        Ok(found.cloned().unwrap_or_default())
    }

    /// Waits until all deliveries are handled.
    pub(crate) fn wait_until_idle(&self, patience: Duration) -> anyhow::Result<()> {
        let mut behind = "waiting until everything is handled".to_owned();
        let idle = until(patience, "everything is handled", || {
            let all = self.admin("/subscriptions")?;
            let all = all["subscriptions"].as_array().context("the host lists its subscriptions")?;
            if let Some(paused) = all.iter().find(|one| one["status"] != "active") {
                bail!("the subscription {} waits for {}", paused["id"], paused["waits_for"]);
            }
            let busy = all.iter().find(|one| one["backlog"] != 0);
            behind = busy.map_or_else(String::new, |one| {
                format!("{} has a backlog of {}, {} in flight", one["id"], one["backlog"], one["in_flight"])
            });
            Ok(behind.is_empty().then_some(()))
        });
        idle.with_context(|| behind)
    }

    /// The whole event log, newest first.
    pub(crate) fn log(&self) -> anyhow::Result<Vec<Value>> {
        let mut all: Vec<Value> = Vec::new();
        let mut before = i64::MAX as u64;
        loop {
            let page = self.admin(&format!("/events?before={before}&limit=1000"))?;
            let page = page["events"].as_array().context("the host lists its events")?;
            let Some(last) = page.last() else { return Ok(all) };
            let position = last["position"].as_u64().context("an event has a position")?;
            ensure!(position < before, "the positions do not decrease from page to page: {position} after {before}");
            before = position;
            all.extend(page.iter().cloned());
        }
    }
}

fn read(path: &str, answer: &Answer) -> anyhow::Result<Value> {
    ensure!((200..300).contains(&answer.status), "the response to {path} is {}: {}", answer.status, answer.body);
    serde_json::from_str(&answer.body).with_context(|| format!("the response to {path} is not JSON: {}", answer.body))
}

/// An event as a publisher writes it.
#[allow(clippy::needless_pass_by_value, reason = "publishers write values in place")]
pub(crate) fn event(event_type: &str, id: &str, data: Value) -> Value {
    json!({ "specversion": "1.0", "id": id, "source": "/torture", "type": event_type, "data": data })
}
