//! Requests to the outside: those of webhooks, and those that plugins send. They go to hosts that an operator
//! granted and to nobody else, wherever a name may lead.

mod dial;
mod fault;
mod network;
mod own;
mod script;

use std::sync::Arc;
use std::time::Duration;

use hyper::http::{Request, Response};

use crate::endpoint;
pub use fault::Fault;
pub use network::{Body, Client, body};
pub use own::Listeners;
pub use script::{Script, Sent, Stub};

/// Who answers the requests that plugins send.
#[derive(Clone, Debug, Default)]
pub enum Outbound {
    /// Nobody: every request is refused.
    #[default]
    Nobody,
    /// Whoever has the address.
    Network(Client),
    /// A scenario.
    Scripted(Arc<Script>),
}

/// Why a request has no response.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// It may not be sent.
    #[error("{0}")]
    Denied(String),
    /// It leads to one of the host's own listeners, by its host and port.
    #[error(
        "`{0}` is a listener of this Sandbus itself, which sends no requests to its own listeners, whatever is granted; publish an event instead"
    )]
    Own(String),
    /// It makes no sense.
    #[error("{0}")]
    Malformed(String),
    /// Nobody answers at the address.
    #[error("the host cannot be reached{1}")]
    Unreachable(Fault, String),
    /// It went wrong on the way.
    #[error("the request failed{1}")]
    Broken(Fault, String),
}

impl Outbound {
    /// Sends a request if one of the grants, each `host` or `host:port`, names its host.
    ///
    /// # Errors
    /// If it may not be sent, or has no response.
    pub async fn send(&self, request: Request<Body>, grants: &[String]) -> Result<Response<Body>, SendError> {
        self.send_within(request, grants, None).await
    }

    /// The same, with a bound on the time to connect.
    ///
    /// # Errors
    /// If it may not be sent, or has no response.
    pub async fn send_within(
        &self,
        request: Request<Body>,
        grants: &[String],
        connect: Option<Duration>,
    ) -> Result<Response<Body>, SendError> {
        let host = endpoint::host_and_port(&request.uri().to_string()).map_err(SendError::Malformed)?;
        if !endpoint::is_granted(&host, grants) {
            return Err(SendError::Denied(format!(
                "requests to `{host}` are not granted; to grant them, put into the sidecar: [grants] http = [\"{host}\"]"
            )));
        }
        match self {
            Self::Nobody => Err(SendError::Denied("no request is sent from here".to_owned())),
            Self::Network(client) => client.send(request, connect).await,
            Self::Scripted(script) => script.answer(request).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, Write as _};
    use std::net::SocketAddr;
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn no_grant_leads_to_a_listener_of_the_host() {
        let own = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = own.local_addr().unwrap();
        let outbound = Outbound::Network(Client::new(Listeners::new([address])).unwrap());
        for host in ["127.0.0.1", "localhost", "0.0.0.0", "[::ffff:127.0.0.1]", "2130706433", "0x7f.1"] {
            let request = Request::get(format!("http://{host}:{}/", address.port())).body(body(Vec::new())).unwrap();
            let grants = ["127.0.0.1", "localhost", "0.0.0.0", "[::ffff:7f00:1]"].map(str::to_owned);
            let refused = outbound.send(request, &grants).await;
            assert!(matches!(&refused, Err(SendError::Own(_))), "{host}: {refused:?}");
        }
    }

    /// A server that keeps the head of each request as it came, and answers each with a redirect.
    fn recorder() -> (SocketAddr, mpsc::Receiver<String>) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (heads, received) = mpsc::channel();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let mut reader = BufReader::new(stream);
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") && reader.read_until(b'\n', &mut head).is_ok_and(|read| read > 0) {}
                let answer =
                    b"HTTP/1.1 302 Found\r\nlocation: /elsewhere\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
                reader.get_mut().write_all(answer).unwrap();
                heads.send(String::from_utf8(head).unwrap()).unwrap();
            }
        });
        (address, received)
    }

    /// A grant, a signature or a receiver's rule looks at the bytes that were written, and so they are what is sent: no
    /// segment is removed, no escape is added or taken away (RFC 3986, section 6.2.2, is for those who compare).
    #[tokio::test]
    async fn a_path_and_a_query_are_sent_byte_for_byte() {
        let (address, received) = recorder();
        let outbound = Outbound::Network(Client::new(Listeners::default()).unwrap());
        for target in [
            "/",
            "/a/../b",
            "/public/%2e%2e/secret?q=it's",
            "/./a/.",
            "//",
            "//a//b/",
            "/%41%7e%2F",
            "/%",
            "/a;b=c,d:@!$&'()*+~",
            "/a?",
            "/a??b=c&&d=%20+",
            "/a?q={x:[1|2]}",
            "/a\\b",
            "/..",
            "/a?x=/../%2e",
        ] {
            let request = Request::get(format!("http://{address}{target}")).body(body("")).unwrap();
            let response = outbound.send(request, &[address.to_string()]).await.unwrap();
            assert_eq!(response.status(), 302, "redirects are not followed");
            let head = received.recv().unwrap();
            assert_eq!(head.lines().next(), Some(format!("GET {target} HTTP/1.1").as_str()));
            let hosts: Vec<_> = head.lines().filter(|line| line.to_ascii_lowercase().starts_with("host:")).collect();
            assert_eq!(hosts, [format!("host: {address}")], "{target}");
            assert!(!head.to_ascii_lowercase().contains("accept-encoding"), "{head}");
        }
        let query = Request::get(format!("http://{address}?q")).body(body("")).unwrap();
        outbound.send(query, &[address.to_string()]).await.unwrap();
        assert!(received.recv().unwrap().starts_with("GET /?q HTTP/1.1"));
        // The host is sent in the form that was compared with the grants.
        let port = address.port();
        let number = Request::get(format!("http://2130706433:{port}/%7E")).body(body("")).unwrap();
        outbound.send(number, &[address.to_string()]).await.unwrap();
        let head = received.recv().unwrap();
        assert!(head.starts_with("GET /%7E ") && head.contains(&format!("host: {address}")), "{head}");
    }

    #[tokio::test]
    async fn bytes_that_no_request_line_may_have_are_refused() {
        let (address, received) = recorder();
        let outbound = Outbound::Network(Client::new(Listeners::default()).unwrap());
        let request = Request::get(format!("http://{address}/caf\u{e9}")).body(body("")).unwrap();
        let refused = outbound.send(request, &[address.to_string()]).await;
        assert!(matches!(&refused, Err(SendError::Malformed(reason)) if reason.contains("%C3")), "{refused:?}");
        for target in ["/a b", "/a\r\nx: y", "/\0", "/<a>"] {
            assert!(Request::get(format!("http://{address}{target}")).body(body("")).is_err(), "{target:?}");
        }
        assert!(received.try_recv().is_err());
    }

    #[tokio::test]
    async fn a_request_goes_where_it_is_granted_and_nowhere_else() {
        let outbound = Outbound::Network(Client::new(Listeners::default()).unwrap());
        let send = async |address: &str, grant: &str| {
            let request = Request::get(address).body(body(Vec::new())).unwrap();
            outbound.send(request, &[grant.to_owned()]).await.unwrap_err()
        };
        for (address, grant) in [
            ("http://127.0.0.1:1/", "example.com"),
            ("http://127.0.0.1:1/", "127.0.0.1:2"),
            ("http://someone@127.0.0.1:1/", "127.0.0.1"),
        ] {
            let refused = send(address, grant).await;
            assert!(matches!(refused, SendError::Denied(_) | SendError::Malformed(_)), "{address}");
        }
        // It is granted, and nobody listens.
        assert!(matches!(send("http://127.0.0.1:1/", "127.0.0.1:1").await, SendError::Unreachable(Fault::Refused, _)));
    }

    /// `wasi:http` has a time-out of its own for connecting (`request-options.connect-timeout`).
    #[tokio::test]
    async fn a_silent_address_costs_the_time_to_connect_and_no_more() {
        // Once its queue is full, a listener that accepts nobody drops what a connection begins with.
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let silent = socket.listen(1).unwrap();
        let address = silent.local_addr().unwrap();
        let mut queued = Vec::new();
        while let Ok(stream) = std::net::TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
            queued.push(stream);
        }
        let outbound = Outbound::Network(Client::new(Listeners::default()).unwrap());
        let request = Request::get(format!("http://{address}/")).body(body(Vec::new())).unwrap();
        let connect = Some(Duration::from_millis(300));
        let grants = [address.to_string()];
        let sending = outbound.send_within(request, &grants, connect);
        let error = tokio::time::timeout(Duration::from_secs(20), sending).await.unwrap().unwrap_err();
        assert!(matches!(error, SendError::Unreachable(Fault::Late, _)), "{error:?}");
    }
}
