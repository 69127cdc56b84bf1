//! Servers of any name, behind a proxy on loopback.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// A proxy that answers requests in the place of the servers that they are for. A plain request names its whole URL; for
/// HTTPS, clients ask for a tunnel (RFC 9112, sections 3.2.2 and 3.2.3).
#[derive(Debug)]
pub struct Upstream {
    /// The proxy's address.
    pub address: String,
    /// The certificate of all servers, in PEM. No authority of the system vouches for it.
    pub certificate: String,
}

impl Upstream {
    /// Starts a proxy with the body of the answer for each URL, which has no query. Other requests get a 404.
    #[must_use]
    pub fn start(answers: &BTreeMap<String, String>) -> Self {
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(Self::servers(answers)).unwrap();
        let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = Arc::new(config.with_no_client_auth().with_single_cert(vec![cert.der().clone()], key).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let answers = Arc::new(answers.clone());
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (answers, config) = (Arc::clone(&answers), Arc::clone(&config));
                // A client that goes away early gets no answer.
                std::thread::spawn(move || serve(client, config, &answers).ok());
            }
        });
        Self { address, certificate: cert.pem() }
    }

    /// The names of the servers.
    #[must_use]
    pub fn servers(answers: &BTreeMap<String, String>) -> Vec<String> {
        let names = answers.keys().filter_map(|url| url.split('/').nth(2));
        names.map(str::to_owned).collect::<BTreeSet<_>>().into_iter().collect()
    }
}

/// Serves a connection: one request, or a tunnel with one request over TLS.
fn serve(client: TcpStream, config: Arc<ServerConfig>, answers: &BTreeMap<String, String>) -> std::io::Result<()> {
    let mut client = BufReader::new(client);
    let (method, target) = read_request(&mut client)?;
    if method != "CONNECT" {
        return answer(client.get_mut(), &target, answers);
    }
    client.get_mut().write_all(b"HTTP/1.1 200 Connected\r\n\r\n")?;
    let connection = ServerConnection::new(config).map_err(std::io::Error::other)?;
    let mut tunnel = BufReader::new(StreamOwned::new(connection, client.into_inner()));
    let (_, path) = read_request(&mut tunnel)?;
    let server = target.strip_suffix(":443").unwrap_or(&target);
    answer(tunnel.get_mut(), &format!("https://{server}{path}"), answers)
}

/// The method and the target of a request. Its headers and its body are read and forgotten.
fn read_request(client: &mut impl BufRead) -> std::io::Result<(String, String)> {
    let mut first = String::new();
    client.read_line(&mut first)?;
    let mut length = 0;
    let mut line = String::new();
    while client.read_line(&mut line)? > 2 {
        let value = line.to_lowercase().strip_prefix("content-length:").and_then(|value| value.trim().parse().ok());
        length = value.unwrap_or(length);
        line.clear();
    }
    client.read_exact(&mut vec![0; length])?;
    let mut words = first.split(' ').map(str::to_owned);
    Ok((words.next().unwrap_or_default(), words.next().unwrap_or_default()))
}

/// Answers a request for a URL.
fn answer(client: &mut impl Write, url: &str, answers: &BTreeMap<String, String>) -> std::io::Result<()> {
    let body = answers.get(url.split('?').next().unwrap_or_default());
    let status = if body.is_some() { "200 OK" } else { "404 Not Found" };
    let body = body.map(String::as_str).unwrap_or_default();
    let head = format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n", body.len());
    client.write_all(format!("{head}connection: close\r\n\r\n{body}").as_bytes())?;
    client.flush()
}
