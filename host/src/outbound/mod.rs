//! Requests to the outside: those of webhooks, and those that plugins send. They go to hosts that an operator
//! granted and to nobody else, wherever a name may lead.

mod fault;
mod network;
mod own;
mod script;

use std::sync::Arc;
use std::time::Duration;

use hyper::http::{Request, Response};
use reqwest::Body;

use crate::endpoint;
pub use fault::Fault;
pub use network::{Client, causes};
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
            Self::Network(client) => {
                let refused = |error: reqwest::Error| SendError::Malformed(error.without_url().to_string());
                let client = match connect {
                    Some(connect) => client.to_within(&host, connect),
                    None => client.to(&host).cloned(),
                };
                let client = client.map_err(SendError::Denied)?;
                let response = client.execute(request.try_into().map_err(refused)?).await;
                response.map(Into::into).map_err(|error| failed(&error))
            }
            Self::Scripted(script) => script.answer(request).await,
        }
    }
}

fn failed(error: &reqwest::Error) -> SendError {
    let fault = if error.is_connect() && error.is_timeout() { Fault::Late } else { Fault::of(error) };
    if error.is_connect() {
        SendError::Unreachable(fault, causes(error))
    } else {
        SendError::Broken(fault, causes(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn no_grant_leads_to_a_listener_of_the_host() {
        let own = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = own.local_addr().unwrap();
        let outbound = Outbound::Network(Client::new(Listeners::new([address])).unwrap());
        for host in ["127.0.0.1", "localhost", "0.0.0.0", "[::ffff:127.0.0.1]", "2130706433", "0x7f.1"] {
            let request = Request::get(format!("http://{host}:{}/", address.port())).body(Body::default()).unwrap();
            let grants = ["127.0.0.1", "localhost", "0.0.0.0", "[::ffff:7f00:1]"].map(str::to_owned);
            let refused = outbound.send(request, &grants).await;
            assert!(
                matches!(&refused, Err(SendError::Denied(reason)) if reason.contains("itself")),
                "{host}: {refused:?}"
            );
        }
    }

    #[tokio::test]
    async fn a_request_goes_where_it_is_granted_and_nowhere_else() {
        let outbound = Outbound::Network(Client::new(Listeners::default()).unwrap());
        let send = async |address: &str, grant: &str| {
            let request = Request::get(address).body(Body::default()).unwrap();
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
        let request = Request::get(format!("http://{address}/")).body(Body::default()).unwrap();
        let connect = Some(Duration::from_millis(300));
        let grants = [address.to_string()];
        let sending = outbound.send_within(request, &grants, connect);
        let error = tokio::time::timeout(Duration::from_secs(20), sending).await.unwrap().unwrap_err();
        assert!(matches!(error, SendError::Unreachable(Fault::Late, _)), "{error:?}");
    }
}
