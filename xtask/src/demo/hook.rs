//! The receiver of a webhook, like that of another service.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};

/// A receiver on loopback.
pub(crate) struct Hook {
    pub(crate) address: String,
    pub(crate) url: String,
    bodies: Receiver<String>,
}

impl Hook {
    pub(crate) fn start() -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?.to_string();
        let (sender, bodies) = channel();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // If the connection breaks, the caller tries again.
                drop(receive(stream, &sender));
            }
        });
        Ok(Self { url: format!("http://{address}/hook"), address, bodies })
    }

    /// The body of the next call, if there is one.
    pub(crate) fn received(&self) -> Option<String> {
        self.bodies.try_recv().ok()
    }
}

fn receive(stream: TcpStream, bodies: &Sender<String>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut length = 0;
    let mut line = String::new();
    while reader.read_line(&mut line)? > 2 {
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
        line.clear();
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    drop(bodies.send(String::from_utf8_lossy(&body).into_owned()));
    reader.get_mut().write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n")
}
