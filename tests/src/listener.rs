//! A webhook's receiver, as a caller of the host would run one.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

/// A request that a webhook received.
#[derive(Clone, Debug, Default)]
pub struct Hook {
    /// The header lines, in lower case.
    pub headers: Vec<String>,
    /// The body.
    pub body: String,
}

impl Hook {
    /// The value of a header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

/// A webhook on loopback. It answers with each of the given statuses in turn, and with the last one for
/// ever after.
#[derive(Debug)]
pub struct Webhook {
    /// Where it listens.
    pub address: String,
    received: Arc<Mutex<Vec<Hook>>>,
}

impl Webhook {
    /// Starts one.
    #[must_use]
    pub fn start(statuses: &'static [u16]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound").to_string();
        let received = Arc::new(Mutex::new(Vec::new()));
        let shared = Arc::clone(&received);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let mut reader = BufReader::new(stream);
                let hook = read(&mut reader);
                let mut received = shared.lock().expect("nobody panics with it");
                let status = statuses.get(received.len()).or(statuses.last()).copied().unwrap_or(200);
                received.push(hook);
                drop(received);
                let answer = format!("HTTP/1.1 {status} Answer\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
                drop(reader.get_mut().write_all(answer.as_bytes()));
            }
        });
        Self { address, received }
    }

    /// What it has received so far.
    #[must_use]
    pub fn received(&self) -> Vec<Hook> {
        self.received.lock().expect("nobody panics with it").clone()
    }
}

fn read(reader: &mut BufReader<std::net::TcpStream>) -> Hook {
    let mut hook = Hook::default();
    let mut line = String::new();
    while reader.read_line(&mut line).is_ok_and(|length| length > 2) {
        let (name, value) = line.trim_end().split_once(": ").unwrap_or((line.trim_end(), ""));
        hook.headers.push(format!("{}: {value}", name.to_lowercase()));
        line.clear();
    }
    let length = hook.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    if reader.read_exact(&mut body).is_ok() {
        hook.body = String::from_utf8_lossy(&body).into_owned();
    }
    hook
}
