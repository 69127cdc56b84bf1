//! Outgoing HTTP requests of webhooks and plugins. They only reach hosts that an operator has granted.

mod address;
mod config;
mod connection;
mod dial;
mod fault;
mod listeners;
mod network;
mod proxy;
mod socket;
mod stubs;

use std::sync::Arc;
use std::time::Duration;

use hyper::http::{Request, Response};

use crate::endpoint::{self, HostGrants};
pub use config::{AuthoritiesError, OutboundConfig};
pub use fault::Fault;
pub use listeners::{Listeners, OwnListener};
pub use network::{Body, Client, body};
pub use proxy::{ProxySetting, ProxyUrl};
pub use socket::send_over_socket;
pub use stubs::{AnsweredCounts, Sent, Stub, StubServer};

/// The destination of plugins' requests.
#[derive(Clone, Debug, Default)]
pub enum Outbound {
    /// Every request is refused.
    #[default]
    Denied,
    /// The network.
    Network(Client),
    /// Stubs of a scenario.
    Stubbed(Arc<StubServer>),
}

/// The reason why a request has no response.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The request is not permitted.
    #[error("{0}")]
    Denied(String),
    /// The request leads to one of the host's own listeners.
    #[error("{0}; publish an event instead")]
    Own(#[from] OwnListener),
    /// The request is malformed.
    #[error("{0}")]
    Malformed(String),
    /// The host cannot be reached.
    #[error("the host cannot be reached{1}")]
    Unreachable(Fault, String),
    /// The request failed after connecting.
    #[error("the request failed{1}")]
    Broken(Fault, String),
}

impl Outbound {
    /// Checks that a URL's host and port do not name a listener of the host itself.
    ///
    /// # Errors
    /// If they do.
    pub fn refuse_own(&self, host_and_port: &str) -> Result<(), OwnListener> {
        match self {
            Self::Network(client) => client.own().refuse(host_and_port),
            Self::Denied | Self::Stubbed(_) => Ok(()),
        }
    }

    /// Sends a request if a grant names its host.
    ///
    /// # Errors
    /// If the request is not permitted or has no response.
    pub async fn send(&self, request: Request<Body>, grants: &HostGrants) -> Result<Response<Body>, SendError> {
        self.send_within(request, grants, None).await
    }

    /// Sends a request with a connect timeout.
    ///
    /// # Errors
    /// If the request is not permitted or has no response.
    pub async fn send_within(
        &self,
        request: Request<Body>,
        grants: &HostGrants,
        connect: Option<Duration>,
    ) -> Result<Response<Body>, SendError> {
        let host = endpoint::host_and_port(&request.uri().to_string()).map_err(SendError::Malformed)?;
        if !grants.include(&host) {
            return Err(SendError::Denied(format!(
                "requests to `{host}` are not granted; add to the sidecar: [grants] http = [\"{host}\"]"
            )));
        }
        match self {
            Self::Denied => Err(SendError::Denied("outgoing requests are disabled here".to_owned())),
            Self::Network(client) => client.send(request, &grants.networks, connect).await,
            Self::Stubbed(stubs) => stubs.answer(request).await,
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
        let outbound = Outbound::Network(Client::new(Listeners::new([address]), &OutboundConfig::default()).unwrap());
        for host in ["127.0.0.1", "localhost", "0.0.0.0", "[::ffff:127.0.0.1]", "2130706433", "0x7f.1"] {
            let request = Request::get(format!("http://{host}:{}/", address.port())).body(body(Vec::new())).unwrap();
            let grants = ["127.0.0.1", "localhost", "0.0.0.0", "[::ffff:7f00:1]"].map(str::to_owned);
            let refused = outbound.send(request, &HostGrants::to(grants)).await;
            assert!(matches!(&refused, Err(SendError::Own(_))), "{host}: {refused:?}");
        }
    }

    /// A server that records the head of each request and responds with a redirect.
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

    /// Grants, signatures and receivers see the bytes as written, so the client sends them unchanged: it removes no
    /// segment and changes no escape (RFC 3986, section 6.2.2 normalizes for comparison only).
    #[tokio::test]
    async fn a_path_and_a_query_are_sent_byte_for_byte() {
        let (address, received) = recorder();
        let outbound = Outbound::Network(Client::new(Listeners::default(), &OutboundConfig::default()).unwrap());
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
            let response = outbound.send(request, &HostGrants::to([address.to_string()])).await.unwrap();
            assert_eq!(response.status(), 302, "redirects are not followed");
            let head = received.recv().unwrap();
            assert_eq!(head.lines().next(), Some(format!("GET {target} HTTP/1.1").as_str()));
            let hosts: Vec<_> = head.lines().filter(|line| line.to_ascii_lowercase().starts_with("host:")).collect();
            assert_eq!(hosts, [format!("host: {address}")], "{target}");
            assert!(!head.to_ascii_lowercase().contains("accept-encoding"), "{head}");
        }
        let query = Request::get(format!("http://{address}?q")).body(body("")).unwrap();
        outbound.send(query, &HostGrants::to([address.to_string()])).await.unwrap();
        assert!(received.recv().unwrap().starts_with("GET /?q HTTP/1.1"));
        // The host is sent in the form that was compared with the grants.
        let port = address.port();
        let number = Request::get(format!("http://2130706433:{port}/%7E")).body(body("")).unwrap();
        outbound.send(number, &HostGrants::to([address.to_string()])).await.unwrap();
        let head = received.recv().unwrap();
        assert!(head.starts_with("GET /%7E ") && head.contains(&format!("host: {address}")), "{head}");
    }

    #[tokio::test]
    async fn bytes_that_no_request_line_may_have_are_refused() {
        let (address, received) = recorder();
        let outbound = Outbound::Network(Client::new(Listeners::default(), &OutboundConfig::default()).unwrap());
        let request = Request::get(format!("http://{address}/caf\u{e9}")).body(body("")).unwrap();
        let refused = outbound.send(request, &HostGrants::to([address.to_string()])).await;
        assert!(matches!(&refused, Err(SendError::Malformed(reason)) if reason.contains("%C3")), "{refused:?}");
        for target in ["/a b", "/a\r\nx: y", "/\0", "/<a>"] {
            assert!(Request::get(format!("http://{address}{target}")).body(body("")).is_err(), "{target:?}");
        }
        assert!(received.try_recv().is_err());
    }

    #[tokio::test]
    async fn a_request_goes_where_it_is_granted_and_nowhere_else() {
        let outbound = Outbound::Network(Client::new(Listeners::default(), &OutboundConfig::default()).unwrap());
        let send = async |address: &str, grant: &str| {
            let request = Request::get(address).body(body(Vec::new())).unwrap();
            outbound.send(request, &HostGrants::to([grant.to_owned()])).await.unwrap_err()
        };
        for (address, grant) in [
            ("http://127.0.0.1:1/", "example.com"),
            ("http://127.0.0.1:1/", "127.0.0.1:2"),
            ("http://someone@127.0.0.1:1/", "127.0.0.1"),
        ] {
            let refused = send(address, grant).await;
            assert!(matches!(refused, SendError::Denied(_) | SendError::Malformed(_)), "{address}");
        }
        // The host is granted, but the port is closed.
        assert!(matches!(send("http://127.0.0.1:1/", "127.0.0.1:1").await, SendError::Unreachable(Fault::Refused, _)));
    }

    /// `wasi:http` has a separate connect timeout (`request-options.connect-timeout`).
    #[tokio::test]
    async fn a_silent_address_costs_the_time_to_connect_and_no_more() {
        // When the backlog of a listener is full, the system drops further connection attempts.
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let silent = socket.listen(1).unwrap();
        let address = silent.local_addr().unwrap();
        let mut queued = Vec::new();
        while let Ok(stream) = std::net::TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
            queued.push(stream);
        }
        let outbound = Outbound::Network(Client::new(Listeners::default(), &OutboundConfig::default()).unwrap());
        let request = Request::get(format!("http://{address}/")).body(body(Vec::new())).unwrap();
        let connect = Some(Duration::from_millis(300));
        let grants = HostGrants::to([address.to_string()]);
        let sending = outbound.send_within(request, &grants, connect);
        let error = tokio::time::timeout(Duration::from_secs(20), sending).await.unwrap().unwrap_err();
        assert!(matches!(error, SendError::Unreachable(Fault::Late, _)), "{error:?}");
    }
}
