//! TLS of the ingress and the admin interface: handshakes, changed files, and the command line as a client.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion};
use sandbus_tests::{Host, Setup, Wire, binary, eventually, put};
use serde_json::Value;

const INGRESS: &str = "[ingress]\nevents = { types = [\">\"], sources = [\"*\"] }\n\
    tls = { certificate = \"host.crt\", key = \"host.key\" }\n";
const ADMIN: &str = "[admin]\ntls = { certificate = \"host.crt\", key = \"host.key\" }\n";

/// A certificate that is its own authority, and its key, in PEM.
struct Pair {
    certificate: String,
    key: String,
}

impl Pair {
    fn generate() -> Self {
        let names = ["localhost", "127.0.0.1"].map(str::to_owned);
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(names).unwrap();
        Self { certificate: cert.pem(), key: signing_key.serialize_pem() }
    }

    fn write(&self, folder: &Path) {
        put(&folder.join("host.crt"), self.certificate.as_bytes());
        put(&folder.join("host.key"), self.key.as_bytes());
    }
}

/// What a client offers.
#[derive(Clone)]
struct Offer {
    versions: Vec<&'static SupportedProtocolVersion>,
    protocols: Vec<Vec<u8>>,
}

impl Default for Offer {
    fn default() -> Self {
        Self { versions: vec![&TLS13, &TLS12], protocols: Vec::new() }
    }
}

/// A connection with TLS.
#[derive(Debug)]
struct Client(BufReader<StreamOwned<ClientConnection, TcpStream>>);

impl Client {
    /// Connects as a client that trusts one certificate only.
    fn connect(address: &str, trusted: &Pair, offer: &Offer) -> io::Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(trusted.certificate.as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_protocol_versions(&offer.versions).unwrap();
        let mut config = config.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols.clone_from(&offer.protocols);
        let name = ServerName::try_from("localhost").unwrap();
        let mut session = ClientConnection::new(Arc::new(config), name).unwrap();
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        while session.is_handshaking() {
            session.complete_io(&mut stream)?;
        }
        Ok(Self(BufReader::new(StreamOwned::new(session, stream))))
    }

    /// The status and the body of the response to a request.
    fn answer_to(&mut self, request: &str) -> (u16, String) {
        self.try_answer_to(request).unwrap()
    }

    fn try_answer_to(&mut self, request: &str) -> io::Result<(u16, String)> {
        self.0.get_mut().write_all(request.as_bytes())?;
        self.answer()
    }

    fn answer(&mut self) -> io::Result<(u16, String)> {
        let (mut head, mut length) = (String::new(), 0);
        while !head.ends_with("\r\n\r\n") {
            let start = head.len();
            if self.0.read_line(&mut head)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if let Some(value) = head[start..].strip_prefix("content-length: ") {
                length = value.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body)?;
        Ok((head[9..12].parse().unwrap(), String::from_utf8(body).unwrap()))
    }

    fn get(&mut self, path: &str) -> u16 {
        self.try_get(path).unwrap()
    }

    fn try_get(&mut self, path: &str) -> io::Result<u16> {
        Ok(self.try_answer_to(&format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n"))?.0)
    }
}

fn connect(address: &str, trusted: &Pair) -> io::Result<Client> {
    Client::connect(address, trusted, &Offer::default())
}

fn admin(host: &Host) -> String {
    host.admin_url("").replace("http://", "")
}

fn start(pair: &Pair, config: &str) -> Host {
    let setup = Setup::new().plugin("echo").config(config).config(INGRESS).config(ADMIN);
    pair.write(setup.path());
    setup.start()
}

fn publish(id: &str) -> String {
    let body = format!("{{\"specversion\":\"1.0\",\"id\":\"{id}\",\"source\":\"/test\",\"type\":\"a.b\"}}");
    let length = body.len();
    format!(
        "POST /events HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/cloudevents+json\r\ncontent-length: {length}\r\n\r\n{body}"
    )
}

#[test]
fn clients_and_operators_use_tls() {
    let pair = Pair::generate();
    let host = start(&pair, "");
    let ingress = host.address().to_string();
    let http = Offer { protocols: vec![b"http/1.1".to_vec()], ..Offer::default() };
    for offer in [
        Offer::default(),
        http.clone(),
        Offer { versions: vec![&TLS12], ..http.clone() },
        Offer { versions: vec![&TLS13], ..http },
    ] {
        let mut client = Client::connect(&ingress, &pair, &offer).unwrap();
        let protocol = client.0.get_ref().conn.alpn_protocol().map(<[u8]>::to_vec);
        assert_eq!(protocol, offer.protocols.first().cloned());
        assert_eq!((client.get("/nothing"), client.get("/nothing")), (404, 404), "the connection persists");
    }
    assert_eq!(connect(&ingress, &pair).unwrap().answer_to(&publish("1")).0, 202);
    assert_eq!(connect(&admin(&host), &pair).unwrap().get("/v1/events/1"), 200);
    let unknown = Offer { protocols: vec![b"spdy/3".to_vec()], ..Offer::default() };
    assert!(Client::connect(&ingress, &pair, &unknown).is_err());
    for address in [ingress, admin(&host)] {
        let answer = Wire::open(&address).answer_to("GET /readyz HTTP/1.1\r\nhost: localhost\r\n\r\n");
        assert_eq!((answer.status, answer.problem().as_str()), (400, "tls-required"));
    }
    let (ended_well, log) = host.terminate();
    assert!(ended_well, "{log}");
    assert!(log.contains("https://127.0.0.1:"), "{log}");
}

fn cli(address: &str, authority: Option<&Path>) -> (bool, String) {
    let mut command = Command::new(binary());
    command.args(["plugins", "--admin", address]);
    if let Some(path) = authority {
        command.arg("--admin-ca").arg(path);
    }
    let output = command.output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(text).unwrap())
}

/// HTTP/2 by ALPN (RFC 9113, section 3.2): the host answers the preface with its SETTINGS.
#[test]
fn a_client_may_choose_http_2_in_the_handshake() {
    let pair = Pair::generate();
    let host = start(&pair, "[http]\nmax_connections = 1");
    let offer = Offer { protocols: vec![b"h2".to_vec(), b"http/1.1".to_vec()], ..Offer::default() };
    let mut client = Client::connect(&host.address().to_string(), &pair, &offer).unwrap();
    assert_eq!(client.0.get_ref().conn.alpn_protocol(), Some(&b"h2"[..]));
    client.0.get_mut().write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").unwrap();
    let mut head = [0; 9];
    client.0.read_exact(&mut head).unwrap();
    assert_eq!(head[3..], [4, 0, 0, 0, 0, 0]);
    // One connection is the limit: SETTINGS and GOAWAY.
    let mut refused = Client::connect(&host.address().to_string(), &pair, &offer).unwrap();
    let mut bytes = Vec::new();
    refused.0.read_to_end(&mut bytes).unwrap();
    assert_eq!((bytes[3], bytes[9 + 3], bytes.len()), (4, 7, 26), "{bytes:?}");
}

#[test]
fn the_command_line_trusts_the_authorities_that_it_is_given() {
    let (pair, other) = (Pair::generate(), Pair::generate());
    let host = start(&pair, "");
    let address = format!("https://{}", admin(&host));
    let (certificate, foreign) = (host.path().join("host.crt"), host.path().join("foreign.crt"));
    put(&foreign, other.certificate.as_bytes());
    let (succeeded, output) = cli(&address, Some(&certificate));
    assert!(succeeded && output.contains("echo"), "{output}");
    for authority in [None, Some(foreign.as_path())] {
        let (succeeded, output) = cli(&address, authority);
        assert!(!succeeded && output.contains("is not trusted") && output.contains("--admin-ca"), "{output}");
    }
    let (missing, empty, key) =
        (host.path().join("none.crt"), host.path().join("empty.crt"), host.path().join("host.key"));
    put(&empty, b"");
    for (path, fault) in [(missing, "No such file"), (empty, "no certificate"), (key, "no certificate")] {
        let (succeeded, output) = cli(&address, Some(&path));
        assert!(!succeeded && output.contains(path.to_str().unwrap()) && output.contains(fault), "{output}");
    }
    let (succeeded, output) = cli(&host.admin_url(""), None);
    assert!(!succeeded && output.contains("tls-required") && output.contains("https://"), "{output}");
}

/// The messages of a listener's log lines about its files.
fn messages(host: &Host, listener: &str) -> Vec<String> {
    let records = host.log();
    let records = records.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let of_listener = records.filter(|record| record["listener"] == listener);
    of_listener.map(|record| format!("{} {}", record["message"], record["error"])).collect()
}

#[test]
fn changed_files_are_used_for_new_connections() {
    let (first, second, third) = (Pair::generate(), Pair::generate(), Pair::generate());
    let host = start(&first, "[http]\nheader_timeout = \"60s\"");
    let address = host.address().to_string();
    let mut open = connect(&address, &first).unwrap();
    assert_eq!(open.get("/nothing"), 404);
    // A certificate without its key.
    put(&host.path().join("host.crt"), second.certificate.as_bytes());
    let found =
        eventually("the change is reported", || Some(messages(&host, "ingress")).filter(|found| found.len() == 1));
    assert!(found[0].contains("host.key is not the private key of the certificate in host.crt"), "{found:?}");
    assert!(connect(&address, &first).is_ok(), "the previous pair is in use");
    // A file that ends too early.
    put(&host.path().join("host.key"), &second.key.as_bytes()[..60]);
    let found =
        eventually("the change is reported", || Some(messages(&host, "ingress")).filter(|found| found.len() == 2));
    assert!(found[1].contains("host.key is not valid PEM"), "{found:?}");
    std::fs::remove_file(host.path().join("host.key")).unwrap();
    let found =
        eventually("the change is reported", || Some(messages(&host, "ingress")).filter(|found| found.len() == 3));
    assert!(found[2].contains("host.key cannot be read"), "{found:?}");
    assert!(connect(&address, &first).is_ok(), "the previous pair is in use");
    put(&host.path().join("host.key"), second.key.as_bytes());
    eventually("the new pair is in use", || connect(&address, &second).ok());
    assert!(connect(&address, &first).is_err());
    assert_eq!(open.get("/nothing"), 404, "an open connection continues");
    let found = messages(&host, "ingress");
    assert!(found.len() == 4 && found[3].contains("use the new certificate"), "one line for each change: {found:?}");
    // The volumes of Kubernetes: the files are links to links to files in a folder, and one link is replaced.
    let folder = |name: &str, pair: &Pair| {
        std::fs::create_dir(host.path().join(name)).unwrap();
        pair.write(&host.path().join(name));
    };
    folder("..2026_1", &second);
    symlink("..2026_1", host.path().join("..data")).unwrap();
    for name in ["host.crt", "host.key"] {
        symlink(format!("..data/{name}"), host.path().join("link")).unwrap();
        std::fs::rename(host.path().join("link"), host.path().join(name)).unwrap();
    }
    folder("..2026_2", &third);
    symlink("..2026_2", host.path().join("..next")).unwrap();
    std::fs::rename(host.path().join("..next"), host.path().join("..data")).unwrap();
    eventually("the new pair is in use", || connect(&address, &third).ok());
    eventually("the admin interface uses it too", || connect(&admin(&host), &third).ok());
    assert_eq!(open.get("/nothing"), 404, "an open connection continues");
    let log = host.log();
    assert!(!log.contains("-----BEGIN") && !log.contains(second.key.lines().nth(1).unwrap()), "{log}");
}

#[test]
fn handshakes_are_limited_in_time() {
    let pair = Pair::generate();
    let host = start(&pair, "[http]\nheader_timeout = \"900ms\"");
    let address = host.address().to_string();
    // A hello that does not end, and one that is malformed.
    for bytes in [&b""[..], b"\x16\x03\x01\x02\x00\x01", b"\x16\x03\x01\x00\x05hello", b"\x16\xff\xff\xff\xff"] {
        let rest = Wire::with(&address, bytes).rest();
        assert!(rest.len() < 20 && !rest.contains("HTTP"), "{bytes:?}: {rest:?}");
    }
    let plain = Wire::with(&address, b"nonsense\r\n\r\n").answer().unwrap();
    assert_eq!(plain.problem(), "tls-required");
}

#[test]
fn handshakes_are_limited_in_number() {
    let pair = Pair::generate();
    // The waiting connections outlast the test, however slow the machine is.
    let host = start(&pair, "[http]\nmax_connections = 4\nheader_timeout = \"10m\"");
    let address = host.address().to_string();
    let waiting: Vec<_> = (0..4).map(|_| Wire::open(&address)).collect();
    // The host closes a connection whose client takes more than a second to read its refusal.
    let (status, body) = eventually("a refusal arrives whole", || {
        connect(&address, &pair).ok().and_then(|mut client| client.answer().ok())
    });
    assert!(status == 503 && body.contains("too-many-connections"), "{status} {body}");
    drop(waiting);
    eventually("requests are answered again", || {
        let mut client = connect(&address, &pair).ok()?;
        (client.try_get("/nothing").ok()? == 404).then_some(())
    });
}

#[test]
fn a_host_that_stops_ends_handshakes_and_idle_connections() {
    let pair = Pair::generate();
    let host = start(&pair, "shutdown_grace_period = \"50s\"\n[http]\nheader_timeout = \"55s\"");
    let address = host.address().to_string();
    let mut idle = connect(&address, &pair).unwrap();
    assert_eq!(idle.get("/nothing"), 404);
    let mut shaking = Wire::with(&address, b"\x16\x03\x01\x02\x00\x01");
    assert_eq!(connect(&address, &pair).unwrap().get("/nothing"), 404, "the one before was accepted");
    let began = std::time::Instant::now();
    host.signal("-TERM");
    assert_eq!(shaking.rest(), "");
    let mut rest = Vec::new();
    assert!(idle.0.read_to_end(&mut rest).is_ok() && rest.is_empty(), "TLS is closed in order: {rest:?}");
    let (ended_well, log) = host.wait_until_ended();
    assert!(ended_well && began.elapsed() < Duration::from_secs(15), "{log}");
}

#[test]
fn unusable_files_are_named_at_the_start() {
    let (pair, other) = (Pair::generate(), Pair::generate());
    for (certificate, key, words) in [
        (Some(pair.certificate.as_str()), None, ["host.key", "cannot be read"]),
        (None, Some(pair.key.as_str()), ["host.crt", "cannot be read"]),
        (Some("nothing"), Some(&pair.key), ["host.crt", "contains no certificate"]),
        (Some(&pair.certificate), Some("nothing"), ["host.key", "contains no private key"]),
        (
            Some(&pair.certificate),
            Some(&other.key),
            ["host.key", "is not the private key of the certificate in host.crt"],
        ),
    ] {
        for (config, table) in [(INGRESS, "ingress.tls"), (ADMIN, "admin.tls")] {
            let setup = Setup::new().config(config);
            for (name, text) in [("host.crt", certificate), ("host.key", key)] {
                if let Some(text) = text {
                    put(&setup.path().join(name), text.as_bytes());
                }
            }
            let log = setup.start_refused();
            assert!(words.iter().all(|word| log.contains(word)) && log.contains(table), "{table} {words:?}: {log}");
        }
    }
}
