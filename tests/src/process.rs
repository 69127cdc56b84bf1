//! Starts, watches and stops the host's process.

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::binary;

/// How long a host may take to start. A host that builds its plugins first takes longest.
const START_PATIENCE: Duration = Duration::from_secs(300);

/// The command that starts a host on ports that the system chooses.
#[derive(Clone, Debug)]
pub struct Launch {
    directory: PathBuf,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    descriptors: Option<u32>,
    hosts: Option<PathBuf>,
}

impl Launch {
    /// `sandbus serve` in a working directory.
    #[must_use]
    pub fn serve(directory: &Path) -> Self {
        Self {
            directory: directory.to_owned(),
            arguments: vec!["serve".into()],
            environment: Vec::new(),
            descriptors: None,
            hosts: None,
        }
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<S: Into<OsString>>(mut self, arguments: impl IntoIterator<Item = S>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Limits the host's file descriptors.
    #[must_use]
    pub fn descriptors(mut self, limit: u32) -> Self {
        self.descriptors = Some(limit);
        self
    }

    /// Gives the host its own `/etc/hosts`. Only root may do so.
    #[must_use]
    pub fn hosts(mut self, file: &Path) -> Self {
        self.hosts = Some(file.to_owned());
        self
    }

    fn command(&self) -> Command {
        if let Some(hosts) = &self.hosts {
            let mut unshare = Command::new("unshare");
            unshare.args(["--mount", "sh", "-c", "mount --bind \"$0\" /etc/hosts && exec \"$@\""]);
            unshare.arg(hosts).arg(binary());
            return unshare;
        }
        let Some(limit) = self.descriptors else { return Command::new(binary()) };
        let mut shell = Command::new("sh");
        shell.args(["-c", "ulimit -n \"$0\" && exec \"$@\"", &limit.to_string()]).arg(binary());
        shell
    }

    /// Starts the host without waiting until it listens.
    #[must_use]
    pub fn spawn(&self) -> Starting {
        let spawned = Instant::now();
        let mut child = self
            .command()
            .args(&self.arguments)
            .args(["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"])
            .env_remove("RUST_LOG")
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(&self.directory)
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}; run `cargo build -p sandbus-host`", binary().display()));
        let log = Arc::new(Mutex::new(String::new()));
        let (found, listening) = mpsc::channel();
        let stderr = BufReader::new(child.stderr.take().expect("it is piped"));
        let lines = Arc::clone(&log);
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                let record: Value = serde_json::from_str(&line).unwrap_or_default();
                let mut log = lines.lock().expect("nobody panics with it");
                log.push_str(&line);
                log.push('\n');
                drop(log);
                if record["message"] == "listening" {
                    let text = |name: &str| record[name].as_str().unwrap_or_default().to_owned();
                    let started_in = spawned.elapsed();
                    drop(found.send(Listening { address: text("address"), admin: text("admin"), started_in }));
                }
            }
        });
        Starting { guard: Guard(child), log, listening }
    }
}

/// The addresses that a host announced.
#[derive(Debug)]
struct Listening {
    address: String,
    admin: String,
    started_in: Duration,
}

/// Kills the process and its children.
#[derive(Debug)]
struct Guard(Child);

impl Drop for Guard {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// A host that may not listen yet.
#[derive(Debug)]
pub struct Starting {
    guard: Guard,
    log: Arc<Mutex<String>>,
    listening: mpsc::Receiver<Listening>,
}

impl Starting {
    /// The host's log so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.log.lock().expect("nobody panics with it").clone()
    }

    /// Waits until the host announces its addresses.
    ///
    /// # Errors
    /// The host's output, if it ends instead.
    pub fn wait(self) -> Result<Process, String> {
        match self.listening.recv_timeout(START_PATIENCE) {
            Ok(Listening { address, admin, started_in }) => {
                Ok(Process { guard: self.guard, log: self.log, address, admin, started_in })
            }
            Err(_) => {
                drop(self.guard);
                Err(self.log.lock().expect("nobody panics with it").clone())
            }
        }
    }

    /// Waits until a host that runs with `--standby` stands by, and returns the addresses of its ingress and its admin
    /// interface.
    #[must_use]
    pub fn wait_until_standing_by(&self) -> (String, String) {
        let record = crate::eventually("the host stands by", || {
            let log = self.log();
            let records = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            let mut standing_by =
                records.filter(|record| record["message"].as_str().is_some_and(|text| text.starts_with("standing by")));
            standing_by.next()
        });
        let text = |name: &str| record[name].as_str().unwrap_or_default().to_owned();
        (text("address"), text("admin"))
    }

    /// Sends a signal and waits until the host ends. Returns its status.
    #[must_use]
    pub fn end_with(mut self, signal: &str) -> ExitStatus {
        send_signal(self.guard.0.id(), signal);
        crate::eventually("the host ends", || self.guard.0.try_wait().expect("it is a child"))
    }

    /// Kills the host during its start.
    pub fn kill(self) {
        drop(self.guard);
    }
}

/// Sends a signal, such as `-TERM`, to a process that runs.
fn send_signal(process: u32, signal: &str) {
    let status = Command::new("kill").args([signal, &process.to_string()]).status();
    assert!(status.is_ok_and(|status| status.success()), "the host runs");
}

/// A running host.
#[derive(Debug)]
pub struct Process {
    guard: Guard,
    log: Arc<Mutex<String>>,
    /// The URL of the ingress.
    pub address: String,
    /// The URL of the admin interface.
    pub admin: String,
    /// The time from exec to listening.
    pub started_in: Duration,
}

impl Process {
    /// Starts a host and waits until it announces its addresses. If it ends instead, the error is its output.
    pub(crate) fn start(directory: &Path, environment: &[(String, String)]) -> Result<Self, String> {
        let launch = Launch::serve(directory).args(["--log", "debug,hyper=info"]);
        let launch = environment.iter().fold(launch, |launch, (name, value)| launch.env(name, value));
        launch.spawn().wait()
    }

    /// Starts `sandbus dev`, which builds the project first.
    pub(crate) fn develop(directory: &Path, project: &Path, further: &[&str]) -> Result<Self, String> {
        let mut arguments = vec!["dev".into(), "--log-format".into(), "json".into(), project.into()];
        arguments.extend(further.iter().map(OsString::from));
        Launch { arguments, ..Launch::serve(directory) }.spawn().wait()
    }

    /// Writes a line to the host's standard input.
    pub fn type_line(&mut self, line: &str) {
        use std::io::Write as _;
        let stdin = self.guard.0.stdin.as_mut().expect("it is piped");
        writeln!(stdin, "{line}").expect("the host reads");
    }

    /// The host's log so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.log.lock().expect("nobody panics with it").clone()
    }

    /// Kills the host with SIGKILL.
    pub fn kill(&mut self) {
        self.guard.0.kill().expect("the host runs");
        self.guard.0.wait().expect("it was killed");
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.guard.0.id()
    }

    /// Limits the host's file descriptors from now on. None restores the previous limit.
    ///
    /// # Panics
    /// If the system refuses.
    pub fn limit_descriptors(&self, limit: Option<u64>) {
        use rustix::process::{Pid, Resource, Rlimit, prlimit};
        let id = Some(Pid::from_child(&self.guard.0));
        // The hard limit stays, so that the soft one can be raised again.
        let maximum = rustix::process::getrlimit(Resource::Nofile).maximum;
        let current = limit.or(maximum);
        prlimit(id, Resource::Nofile, Rlimit { current, maximum }).expect("a limit can be lowered, and raised again");
    }

    /// The highest number of an open descriptor.
    ///
    /// # Panics
    /// If the process does not run.
    #[must_use]
    pub fn highest_descriptor(&self) -> u64 {
        let open = std::fs::read_dir(format!("/proc/{}/fd", self.id())).expect("the host runs");
        let numbers = open.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        numbers.max().expect("it has some open")
    }

    /// Sends a signal.
    pub fn signal(&self, signal: &str) {
        send_signal(self.id(), signal);
    }

    /// Its exit status, if it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.guard.0.try_wait().expect("it is our child")
    }

    pub(crate) fn terminate(&mut self) -> bool {
        self.signal("-TERM");
        self.wait_for_success()
    }

    /// Waits until the host has ended, and returns whether it succeeded.
    pub(crate) fn wait_for_success(&mut self) -> bool {
        crate::eventually("the host has ended", || self.ended()).success()
    }
}
