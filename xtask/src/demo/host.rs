//! The host process of the demo.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, mpsc};

use anyhow::{Context as _, bail};
use serde_json::Value;

use super::TIMEOUT;
use crate::steps::target;

/// A running host.
pub(crate) struct Host {
    child: Child,
    log: Arc<Mutex<Vec<Value>>>,
    agent: ureq::Agent,
    pub(crate) address: String,
    pub(crate) admin: String,
}

impl Host {
    /// Starts a host on free ports, and waits until it listens.
    pub(crate) fn start(home: &Path) -> anyhow::Result<Self> {
        let binary = target().join("debug/sandbus");
        let mut child = Command::new(&binary)
            .args(["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--log-format", "json"])
            .current_dir(home)
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("{} cannot be started", binary.display()))?;
        let stderr = BufReader::new(child.stderr.take().context("the host's log is not piped")?);
        let mut file = std::fs::File::create(home.join("host.log"))?;
        let log = Arc::new(Mutex::new(Vec::new()));
        let (found, listening) = mpsc::channel();
        let records = Arc::clone(&log);
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                // The log file only helps with diagnosis, so errors are ignored.
                drop(writeln!(file, "{line}"));
                let record: Value = serde_json::from_str(&line).unwrap_or_default();
                if record["message"] == "listening" {
                    drop(found.send(record.clone()));
                }
                records.lock().unwrap_or_else(PoisonError::into_inner).push(record);
            }
        });
        let Ok(record) = listening.recv_timeout(TIMEOUT) else {
            drop(child.kill());
            bail!("the host does not start; its log is in {}", home.join("host.log").display());
        };
        let text = |name: &str| record[name].as_str().unwrap_or_default().to_owned();
        let agent = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(TIMEOUT)).build();
        Ok(Self { child, log, agent: agent.into(), address: text("address"), admin: text("admin") })
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> anyhow::Result<(u16, Value)> {
        let mut answer = self.agent.post(format!("http://{}{path}", self.address)).send_json(body)?;
        Ok((answer.status().as_u16(), answer.body_mut().read_json()?))
    }

    pub(crate) fn admin(&self, path: &str) -> anyhow::Result<Value> {
        let mut answer = self.agent.get(format!("http://{}/v1{path}", self.admin)).call()?;
        let value = answer.body_mut().read_json()?;
        if answer.status() != 200 {
            bail!("{path}: {value}");
        }
        Ok(value)
    }

    /// Whether the log has this message of a plugin at least `times` times.
    pub(crate) fn has_logged(&self, plugin: &str, message: &str, times: usize) -> bool {
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.iter().filter(|record| record["plugin"] == plugin && record["message"] == message).count() >= times
    }

    /// Kills the process, like a crash.
    pub(crate) fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Waits until the process ends.
    pub(crate) fn wait(mut self) -> anyhow::Result<()> {
        let status = self.child.wait()?;
        if !status.success() {
            bail!("the host ended with {status}");
        }
        Ok(())
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // The process may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
