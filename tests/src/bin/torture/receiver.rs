//! Webhook receivers, good and bad ones.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// How a receiver treats requests.
#[derive(Clone, Debug)]
pub(crate) enum Behaviour {
    /// Accepts requests.
    Accept,
    /// Never responds.
    Hang,
    /// Resets the connection.
    Reset,
    /// Answers the first two attempts of each event with 500, and then accepts it.
    FailTwice,
    /// Redirects the caller.
    Redirect(String),
    /// Answers 200 with an endless body.
    Endless,
    /// Closes the connection in the middle of the response's head.
    Break,
}

/// How often each event arrived at each path.
type Seen = BTreeMap<(String, String), u64>;

/// A receiver on the loopback interface, which runs until the program exits.
#[derive(Debug)]
pub(crate) struct Receiver {
    /// Its address.
    pub(crate) url: String,
    seen: Arc<Mutex<Seen>>,
}

impl Receiver {
    /// Starts a receiver.
    pub(crate) fn start(behaviour: Behaviour) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let url = format!("http://{}", listener.local_addr()?);
        let seen: Arc<Mutex<Seen>> = Arc::default();
        let shared = Arc::clone(&seen);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (behaviour, seen) = (behaviour.clone(), Arc::clone(&shared));
                // A caller that disconnects is not a problem of the receiver.
                thread::spawn(move || drop(serve(stream, &behaviour, &seen)));
            }
        });
        Ok(Self { url, seen })
    }

    /// The events that have arrived.
    pub(crate) fn seen(&self) -> Seen {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn serve(stream: TcpStream, behaviour: &Behaviour, seen: &Mutex<Seen>) -> std::io::Result<()> {
    if matches!(behaviour, Behaviour::Reset) {
        // Closing a connection with unread data resets it.
        stream.peek(&mut [0])?;
        return Ok(());
    }
    let mut reader = BufReader::new(stream);
    while let Some(key) = read(&mut reader)? {
        let times = count(seen, key);
        let stream = reader.get_mut();
        match behaviour {
            Behaviour::FailTwice if times <= 2 => stream.write_all(b"HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n")?,
            Behaviour::Accept | Behaviour::FailTwice => {
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")?
            }
            Behaviour::Redirect(to) => {
                stream.write_all(
                    format!("HTTP/1.1 302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n").as_bytes(),
                )?;
            }
            Behaviour::Endless => {
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000000\r\n\r\n")?;
                // Until the caller hangs up.
                while stream.write_all(&[b'x'; 1 << 16]).is_ok() {}
                return Ok(());
            }
            Behaviour::Break => return stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-le"),
            Behaviour::Hang | Behaviour::Reset => {
                // Until the caller hangs up.
                return reader.read_to_end(&mut Vec::new()).map(drop);
            }
        }
    }
    Ok(())
}

/// Counts an arrival. Returns how many there are.
fn count(seen: &Mutex<Seen>, key: (String, String)) -> u64 {
    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    let times = seen.entry(key).or_default();
    *times += 1;
    *times
}

/// Reads a request: its path and the event's id. None at the end of the connection.
fn read(reader: &mut BufReader<TcpStream>) -> std::io::Result<Option<(String, String)>> {
    let (mut path, mut id, mut length) = (None, String::new(), 0);
    let mut line = String::new();
    while reader.read_line(&mut line)? > 0 {
        let text = line.trim_end();
        match (&path, text.split_once(": ")) {
            (None, _) => path = Some(text.split(' ').nth(1).unwrap_or_default().to_owned()),
            (Some(_), Some((name, value))) if name.eq_ignore_ascii_case("ce-id") => id = value.to_owned(),
            (Some(_), Some((name, value))) if name.eq_ignore_ascii_case("content-length") => {
                length = value.parse().unwrap_or(0);
            }
            _ if text.is_empty() => break,
            _ => {}
        }
        line.clear();
    }
    let Some(path) = path else { return Ok(None) };
    reader.read_exact(&mut vec![0; length])?;
    Ok(Some((path, id)))
}
