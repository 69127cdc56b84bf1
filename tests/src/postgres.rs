//! A PostgreSQL server for tests: in a directory of its own, on a port of its own.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{LazyLock, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// The user of the database, who owns it.
const USER: &str = "sandbus";
/// How long a server may take to start.
const START_TIME: Duration = Duration::from_secs(60);

/// A running server. It ends with this value, or with the process of the test.
#[derive(Debug)]
pub struct PostgresServer {
    owner: Owner,
    directory: TempDir,
    port: u16,
    process: Child,
}

/// The server that the tests of this process share. Each test takes a schema of its own.
static SHARED: LazyLock<PostgresServer> = LazyLock::new(PostgresServer::start);

impl PostgresServer {
    /// The server that the tests of this process share.
    #[must_use]
    pub fn shared() -> &'static Self {
        &SHARED
    }

    /// Starts a server with the settings that Sandbus asks for: durable commits, and checksums of its files.
    #[must_use]
    pub fn start() -> Self {
        let directory = tempfile::Builder::new().prefix("sandbus-postgres-").tempdir().unwrap();
        let data = directory.path().join("data");
        let owner = Owner::of_servers();
        owner.take(directory.path());
        let init = ["--username", USER, "--auth", "trust", "--encoding", "UTF8", "--locale", "C", "--data-checksums"];
        let made = owner.command("initdb").args(init).arg("--pgdata").arg(&data).output().unwrap();
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        let port = crate::free_port();
        let process = owner.start(directory.path(), port);
        let mut server = Self { owner, directory, port, process };
        assert!(server.wait_until_ready(), "the server does not start:\n{}", server.log());
        server
    }

    /// What the server has logged.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    /// The URL of a schema.
    #[must_use]
    pub fn url(&self, schema: &str) -> String {
        format!("postgres://{USER}@127.0.0.1:{}/postgres?schema={schema}", self.port)
    }

    fn psql(&self) -> Command {
        let mut psql = Command::new(program("psql"));
        psql.args([
            "--no-psqlrc",
            "--quiet",
            "--tuples-only",
            "--no-align",
            "--set",
            "ON_ERROR_STOP=1",
            "--host",
            "127.0.0.1",
        ]);
        psql.args(["--username", USER, "--dbname", "postgres", "--port", &self.port.to_string()]);
        psql
    }

    /// Runs SQL, and returns its output.
    ///
    /// # Errors
    /// The message of the server, if it refuses.
    pub fn try_execute(&self, sql: &str) -> Result<String, String> {
        let answer = self.psql().args(["--command", sql]).output().unwrap();
        match answer.status.success() {
            true => Ok(String::from_utf8_lossy(&answer.stdout).trim().to_owned()),
            false => Err(String::from_utf8_lossy(&answer.stderr).into_owned()),
        }
    }

    /// Runs SQL, and returns its output.
    pub fn execute(&self, sql: &str) -> String {
        self.try_execute(sql).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// Breaks all connections of hosts.
    pub fn break_connections(&self) {
        self.execute(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'sandbus'",
        );
    }

    /// Stops the server at once, as if its machine had lost power. [`Self::start_again`] starts it.
    pub fn crash(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }

    /// Starts the server again, and waits until it accepts connections.
    pub fn start_again(&mut self) {
        // Until the former server's own processes have ended, the new one does not start.
        let started = Instant::now();
        loop {
            self.process = self.owner.start(self.directory.path(), self.port);
            if self.wait_until_ready() {
                return;
            }
            assert!(started.elapsed() < START_TIME, "the server did not start:\n{}", self.log());
        }
    }

    /// Waits until the server accepts connections. False if it has ended.
    fn wait_until_ready(&mut self) -> bool {
        let started = Instant::now();
        while !self.try_execute("SELECT 1").is_ok_and(|answer| answer == "1") {
            if self.process.try_wait().is_ok_and(|ended| ended.is_some()) {
                return false;
            }
            assert!(started.elapsed() < START_TIME, "the server did not start:\n{}", self.log());
            crate::pause_for(Duration::from_millis(20));
        }
        true
    }

    /// Locks a table until the returned value is dropped.
    #[must_use]
    pub fn lock_table(&self, table: &str) -> TableLock {
        let mut session = self.psql().stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let lock = format!("BEGIN; LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE; SELECT 'locked';\n");
        session.stdin.as_mut().unwrap().write_all(lock.as_bytes()).unwrap();
        let mut line = String::new();
        BufReader::new(session.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line.trim(), "locked");
        TableLock(session)
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        // The server's own child processes end with it.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// A session that holds a lock, until it is dropped.
#[derive(Debug)]
pub struct TableLock(Child);

impl Drop for TableLock {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// A program of the newest installed PostgreSQL.
fn program(name: &str) -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().filter_map(Result::ok);
    let installed = versions.filter(|version| version.path().join("bin").join(name).exists());
    let number = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().parse::<u32>().unwrap_or(0);
    let newest = installed.max_by_key(number);
    newest.map_or_else(|| name.into(), |version| version.path().join("bin").join(name))
}

/// The user who runs servers. A server refuses to run as root.
#[derive(Clone, Copy, Debug)]
struct Owner {
    is_root: bool,
}

impl Owner {
    fn of_servers() -> Self {
        Self { is_root: rustix::process::geteuid().is_root() }
    }

    /// Gives a directory to the user.
    fn take(self, directory: &Path) {
        if self.is_root {
            let given = Command::new("chown").arg("postgres:").arg(directory).status().unwrap();
            assert!(given.success(), "there is no user `postgres`; install PostgreSQL");
        }
    }

    fn command(self, name: &str) -> Command {
        if !self.is_root {
            return Command::new(program(name));
        }
        let mut command = Command::new("setpriv");
        command.args(["--reuid", "postgres", "--regid", "postgres", "--clear-groups"]).arg(program(name));
        // The directory of the test may be closed to the user.
        command.current_dir("/");
        command
    }

    /// Starts a server that ends with the process of the test.
    fn start(self, directory: &Path, port: u16) -> Child {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "QUIT"]);
        if self.is_root {
            command.args(["--reuid", "postgres", "--regid", "postgres", "--clear-groups"]);
        }
        command.arg(program("postgres")).arg("-D").arg(directory.join("data")).current_dir("/");
        let port = format!("port={port}");
        let sockets = format!("unix_socket_directories={}", directory.display());
        for setting in [&*port, &*sockets, "listen_addresses=127.0.0.1", "max_connections=300"] {
            command.args(["-c", setting]);
        }
        let log = fs::File::create(directory.join("log")).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        // The signal is sent when the thread ends that has started the process (`PR_SET_PDEATHSIG(2const)`).
        let (sender, started) = mpsc::channel();
        let keep_alive = move || {
            sender.send(command.spawn()).unwrap();
            loop {
                thread::park();
            }
        };
        thread::Builder::new().name("postgres".to_owned()).spawn(keep_alive).unwrap();
        started.recv().unwrap().expect("PostgreSQL is installed")
    }
}
