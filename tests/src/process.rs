//! The host's process: started, listened to, ended.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use serde_json::Value;

use crate::binary;

/// How long a host may take to start; one that builds its plugins first takes longest.
const START_PATIENCE: Duration = Duration::from_secs(300);

/// A running host.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    log: Arc<Mutex<String>>,
    pub(crate) address: String,
    pub(crate) admin: String,
}

impl Process {
    /// Starts a host on ports that the system chooses, and waits until it says where it listens. If it
    /// ends instead, what it said is the error.
    pub(crate) fn start(directory: &Path) -> Result<Self, String> {
        Self::run(directory, &["serve", "--log", "debug,hyper=info"])
    }

    /// The same for a developer: what is in the directory is built first.
    pub(crate) fn develop(directory: &Path) -> Result<Self, String> {
        Self::run(directory, &["dev", "--log-format", "json"])
    }

    fn run(directory: &Path, arguments: &[&str]) -> Result<Self, String> {
        let mut child = Command::new(binary())
            .args(arguments)
            .args(["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"])
            .env_remove("RUST_LOG")
            .current_dir(directory)
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
                    drop(found.send((record["address"].clone(), record["admin"].clone())));
                }
            }
        });
        let text = |log: &Arc<Mutex<String>>| log.lock().expect("nobody panics with it").clone();
        match listening.recv_timeout(START_PATIENCE) {
            Ok((address, admin)) => {
                let address = address.as_str().unwrap_or_default().to_owned();
                let admin = admin.as_str().unwrap_or_default().to_owned();
                Ok(Self { child, log, address, admin })
            }
            Err(_) => {
                drop(child.kill());
                drop(child.wait());
                Err(text(&log))
            }
        }
    }

    pub(crate) fn log(&self) -> String {
        self.log.lock().expect("nobody panics with it").clone()
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("the host runs");
        self.child.wait().expect("it was killed");
    }

    pub(crate) fn signal(&self, signal: &str) {
        let status = Command::new("kill").args([signal, &self.child.id().to_string()]).status();
        assert!(status.is_ok_and(|status| status.success()), "the host runs");
    }

    pub(crate) fn terminate(&mut self) -> bool {
        self.signal("-TERM");
        let ended = crate::eventually("the host has ended", || self.child.try_wait().expect("it is our child"));
        ended.success()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
