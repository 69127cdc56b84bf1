//! A webhook receiver.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// A request that a webhook received.
#[derive(Clone, Debug)]
pub struct Hook {
    /// The time of its arrival.
    pub at: Instant,
    /// The method.
    pub method: String,
    /// The header lines, in lower case.
    pub headers: Vec<String>,
    /// The body.
    pub body: String,
    /// The bytes of the body, which may not be text.
    pub bytes: Vec<u8>,
}

impl Hook {
    /// The value of a header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

/// A webhook receiver on loopback. It answers deliveries with the given statuses in turn, and repeats the last one.
#[derive(Debug)]
pub struct Webhook {
    /// Its URL.
    pub address: String,
    received: Arc<Mutex<Vec<Hook>>>,
    asked: Arc<Mutex<Vec<Hook>>>,
}

impl Webhook {
    /// Starts a receiver that refuses the handshake.
    #[must_use]
    pub fn start(statuses: &'static [u16]) -> Self {
        Self::listen(statuses, "HTTP/1.1 405 Answer\r\n", false)
    }

    /// Starts a receiver that echoes the body of every request.
    #[must_use]
    pub fn start_echoing() -> Self {
        Self::listen(&[200], "HTTP/1.1 405 Answer\r\n", true)
    }

    /// Starts a receiver that echoes the body of every request, with the given status and header lines in turn, and
    /// repeats the last ones.
    #[must_use]
    pub fn start_echoing_with(answers: &[&str]) -> Self {
        let answers = answers.iter().map(|answer| format!("HTTP/1.1 {answer}\r\n")).collect();
        Self::listen_with(answers, "HTTP/1.1 405 Answer\r\n", true)
    }

    /// Starts a receiver that accepts the handshake of any origin.
    #[must_use]
    pub fn start_agreeing(statuses: &'static [u16]) -> Self {
        Self::listen(statuses, "HTTP/1.1 200 Answer\r\nWebHook-Allowed-Origin: *\r\n", false)
    }

    /// Starts a receiver that answers deliveries with the given status and header lines in turn, such as `429
    /// Busy\r\nretry-after: 2`, and repeats the last one. It answers handshakes with the given lines.
    #[must_use]
    pub fn start_answering(answers: &[&str], handshake: &'static str) -> Self {
        let answers = answers.iter().map(|answer| format!("HTTP/1.1 {answer}\r\n")).collect();
        Self::listen_with(answers, handshake, false)
    }

    fn listen(statuses: &'static [u16], handshake: &'static str, echoes: bool) -> Self {
        let answers = statuses.iter().map(|status| format!("HTTP/1.1 {status} Answer\r\n")).collect();
        Self::listen_with(answers, handshake, echoes)
    }

    fn listen_with(answers: Vec<String>, handshake: &'static str, echoes: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound").to_string();
        let hook = Self { address, received: Arc::default(), asked: Arc::default() };
        let (received, asked) = (Arc::clone(&hook.received), Arc::clone(&hook.asked));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let mut reader = BufReader::new(stream);
                let hook = read(&mut reader);
                let body = if echoes { hook.body.clone() } else { String::new() };
                let head = if hook.method == "OPTIONS" {
                    asked.lock().expect("nobody panics with it").push(hook);
                    handshake.to_owned()
                } else {
                    let mut received = received.lock().expect("nobody panics with it");
                    let head = answers.get(received.len()).or(answers.last()).cloned();
                    received.push(hook);
                    head.unwrap_or_else(|| "HTTP/1.1 200 Answer\r\n".to_owned())
                };
                let length = body.len();
                let answer = format!("{head}content-length: {length}\r\nconnection: close\r\n\r\n{body}");
                drop(reader.get_mut().write_all(answer.as_bytes()));
            }
        });
        hook
    }

    /// The deliveries so far.
    #[must_use]
    pub fn received(&self) -> Vec<Hook> {
        self.received.lock().expect("nobody panics with it").clone()
    }

    /// The handshakes so far.
    #[must_use]
    pub fn asked(&self) -> Vec<Hook> {
        self.asked.lock().expect("nobody panics with it").clone()
    }
}

fn read(reader: &mut BufReader<std::net::TcpStream>) -> Hook {
    let mut hook =
        Hook { at: Instant::now(), method: String::new(), headers: Vec::new(), body: String::new(), bytes: Vec::new() };
    let mut line = String::new();
    if reader.read_line(&mut line).is_ok() {
        hook.method = line.split(' ').next().unwrap_or_default().to_owned();
        line.clear();
    }
    while reader.read_line(&mut line).is_ok_and(|length| length > 2) {
        let (name, value) = line.trim_end().split_once(": ").unwrap_or((line.trim_end(), ""));
        hook.headers.push(format!("{}: {value}", name.to_lowercase()));
        line.clear();
    }
    let length = hook.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    if reader.read_exact(&mut body).is_ok() {
        hook.body = String::from_utf8_lossy(&body).into_owned();
        hook.bytes = body;
    }
    hook
}
