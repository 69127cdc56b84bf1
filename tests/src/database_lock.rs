//! Locks a database of the host.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A lock of a SQLite database by another process, until it is dropped.
#[derive(Debug)]
pub struct DatabaseLock(Child);

impl DatabaseLock {
    /// Locks a file for writing.
    #[must_use]
    pub fn take(file: &Path) -> Self {
        let script = "import sqlite3, sys; database = sqlite3.connect(sys.argv[1], isolation_level=None); \
            database.execute('BEGIN IMMEDIATE'); print('locked', flush=True); sys.stdin.read()";
        let mut command = Command::new("python3");
        command.args(["-c", script]).arg(file);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("python3 runs");
        let mut line = String::new();
        let output = child.stdout.take().expect("the output is piped");
        BufReader::new(output).read_line(&mut line).expect("the output is read");
        assert_eq!(line, "locked\n");
        Self(child)
    }
}

impl Drop for DatabaseLock {
    fn drop(&mut self) {
        // The process ends with its input.
        drop(self.0.stdin.take());
        drop(self.0.wait());
    }
}
