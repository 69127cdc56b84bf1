//! Runs the commands of a page in a temporary directory, with files and programs in the background as the page has
//! them.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use sandbus_tests::binary;
use tempfile::TempDir;

use crate::page::{Block, Kind, Page};

/// How long output in the background may take. Compiling a plugin takes longest.
const PATIENCE: Duration = Duration::from_secs(600);

/// Runs a page from its beginning.
pub(crate) fn run(page: &Page) {
    let mut session = Session::new(page);
    for block in page.blocks() {
        session.block = block.line;
        session.run(&block);
    }
}

struct Session<'a> {
    page: &'a Page,
    /// The line of the block that runs.
    block: usize,
    /// Where commands run, within the directory.
    working: PathBuf,
    background: Option<Background>,
    ports: [u16; 2],
    directory: TempDir,
}

impl<'a> Session<'a> {
    fn new(page: &'a Page) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (working, programs) = (directory.path().join("work"), directory.path().join("bin"));
        std::fs::create_dir(&working).unwrap();
        std::fs::create_dir(&programs).unwrap();
        std::os::unix::fs::symlink(binary(), programs.join("sandbus")).unwrap();
        // Its progress would stand among the output.
        std::fs::write(directory.path().join(".curlrc"), "silent\nshow-error\n").unwrap();
        Self { page, block: 0, working, background: None, ports: [free_port(), free_port()], directory }
    }

    fn run(&mut self, block: &Block) {
        let text = self.with_ports(&block.text);
        match &block.kind {
            Kind::File(path) if !path.starts_with('/') => self.write(path, &text),
            Kind::Commands => commands(&text).into_iter().for_each(|(command, output)| self.command(&command, &output)),
            Kind::Background => {
                let (command, output) = commands(&text).into_iter().next().expect("a block has a command");
                self.background = Some(Background::start(self.shell(&format!("exec {command}"))));
                self.expect_in_background(&output);
            }
            Kind::BackgroundOutput => self.expect_in_background(&text.lines().map(str::to_owned).collect::<Vec<_>>()),
            Kind::File(_) | Kind::Other(_) => {}
        }
    }

    /// The addresses of the documentation are those of every host.
    fn with_ports(&self, text: &str) -> String {
        let [ingress, admin] = self.ports;
        let mut text = text.to_owned();
        for host in ["localhost", "127.0.0.1"] {
            text = text.replace(&format!("{host}:8080"), &format!("{host}:{ingress}"));
            text = text.replace(&format!("{host}:8081"), &format!("{host}:{admin}"));
        }
        text
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.working.join(path);
        std::fs::create_dir_all(path.parent().expect("a file is in a directory")).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn shell(&self, command: &str) -> Command {
        let mut shell = Command::new("bash");
        let [ingress, admin] = self.ports.map(|port| format!("127.0.0.1:{port}"));
        let path = std::env::var("PATH").unwrap_or_default();
        shell.args(["-euo", "pipefail", "-c", &format!("exec 2>&1\n{command}")]).current_dir(&self.working);
        shell.env("PATH", format!("{}:{path}", self.directory.path().join("bin").display()));
        shell.env("CURL_HOME", self.directory.path());
        shell.env("SANDBUS_LISTEN", ingress).env("SANDBUS_ADMIN", format!("http://{admin}"));
        shell.env("SANDBUS_ADMIN_LISTEN", admin).stdout(Stdio::piped());
        shell
    }

    fn command(&mut self, command: &str, expected: &[String]) {
        if let Some(directory) = command.strip_prefix("cd ") {
            self.working = self.working.join(directory);
            return;
        }
        let output = self.shell(command).stdin(Stdio::null()).output().unwrap();
        let output_text = String::from_utf8_lossy(&output.stdout);
        let place = self.place();
        assert!(output.status.success(), "{place}: `{command}` failed:\n{output_text}\n{}", self.background_output());
        let actual: Vec<&str> = output_text.lines().collect();
        let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
        let fits = expected.is_empty() || fits(&expected, &actual);
        assert!(fits, "{place}: `{command}` printed\n{output_text}\ninstead of\n{}", expected.join("\n"));
    }

    fn expect_in_background(&mut self, expected: &[String]) {
        let place = self.place();
        let background = self.background.as_mut().unwrap_or_else(|| panic!("{place}: nothing runs in the background"));
        for line in expected.iter().filter(|line| *line != "...") {
            if let Err(output) = background.wait_for(line) {
                panic!("{place}: the background never printed\n{line}\nbut\n{output}");
            }
        }
    }

    fn background_output(&self) -> String {
        self.background.as_ref().map(|background| background.output.text()).unwrap_or_default()
    }

    fn place(&self) -> String {
        format!("{}:{}", self.page.path.display(), self.block)
    }
}

/// The commands of a block with the output that each expects. A command goes on behind a backslash.
pub(crate) fn commands(text: &str) -> Vec<(String, Vec<String>)> {
    let mut all: Vec<(String, Vec<String>)> = Vec::new();
    for line in text.lines() {
        match (line.trim_start().strip_prefix("$ "), all.last_mut()) {
            (Some(command), _) => all.push((command.to_owned(), Vec::new())),
            (None, Some((command, output))) if output.is_empty() && command.ends_with('\\') => {
                command.pop();
                command.push_str(line.trim_start());
            }
            (None, Some((_, output))) => output.push(line.to_owned()),
            (None, None) => panic!("a block of commands begins with `$ `, and not with `{line}`"),
        }
    }
    all
}

/// Whether lines are the expected ones. `...` stands for any lines, and within a line for any text.
pub(crate) fn fits(expected: &[&str], actual: &[&str]) -> bool {
    match expected.split_first() {
        None => actual.is_empty(),
        Some((&"...", rest)) => (0..=actual.len()).any(|skipped| fits(rest, &actual[skipped..])),
        Some((line, rest)) => {
            actual.split_first().is_some_and(|(first, others)| line_fits(line, first) && fits(rest, others))
        }
    }
}

fn line_fits(expected: &str, actual: &str) -> bool {
    // The width of columns does not matter.
    let normal = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    text_fits(&normal(expected), &normal(actual))
}

fn text_fits(expected: &str, actual: &str) -> bool {
    let Some((before, after)) = expected.split_once("...") else { return expected == actual };
    let Some(rest) = actual.strip_prefix(before) else { return false };
    (0..=rest.len()).filter(|at| rest.is_char_boundary(*at)).any(|at| text_fits(after, &rest[at..]))
}

/// Ports below those that the system gives to clients, each once in this process.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = 20_000 + u16::try_from(std::process::id() % 100).expect("it is below 100") * 100;
    loop {
        let port = start + NEXT.fetch_add(1, Ordering::Relaxed);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// A program in the background. It ends with this.
struct Background {
    child: Child,
    output: Arc<Output>,
    /// How many lines have been looked at.
    seen: usize,
}

#[derive(Default)]
struct Output {
    lines: Mutex<(Vec<String>, bool)>,
    changed: Condvar,
}

impl Output {
    fn text(&self) -> String {
        self.lines.lock().unwrap().0.join("\n")
    }
}

impl Background {
    fn start(mut command: Command) -> Self {
        // It reads the keyboard, and would end if that did.
        let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
        let output = Arc::new(Output::default());
        let (lines, stdout) = (Arc::clone(&output), child.stdout.take().expect("it is piped"));
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                lines.lines.lock().unwrap().0.push(line);
                lines.changed.notify_all();
            }
            lines.lines.lock().unwrap().1 = true;
            lines.changed.notify_all();
        });
        Self { child, output, seen: 0 }
    }

    /// Waits for a line behind those that have been looked at.
    fn wait_for(&mut self, expected: &str) -> Result<(), String> {
        let lines = self.output.lines.lock().unwrap();
        let found =
            |(lines, _): &(Vec<String>, bool)| lines[self.seen..].iter().position(|line| line_fits(expected, line));
        let goes_on = |lines: &mut (Vec<String>, bool)| found(lines).is_none() && !lines.1;
        let (lines, _) = self.output.changed.wait_timeout_while(lines, PATIENCE, goes_on).unwrap();
        match found(&lines) {
            Some(index) => {
                self.seen += index + 1;
                Ok(())
            }
            None => Err(lines.0.join("\n")),
        }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
