//! Secrets, links, private networks, proxies, reloads of the configuration, and the packages for deployments.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test fails by panicking, and says what it skips")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{IpAddr, TcpListener, UdpSocket};
use std::os::unix::fs::symlink;
use std::process::Command;
use std::sync::mpsc;

use sandbus_tests::languages::root;
use sandbus_tests::release::files_below;
use sandbus_tests::{Host, Setup, Webhook, binary, eventually, free_port, guest, guest_path, put};
use serde_json::{Value, json};

/// FNV-1a, as the guest `vault` computes it.
fn hash(secret: &str) -> String {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    format!("{:016x}", secret.bytes().fold(0xcbf2_9ce4_8422_2325, step))
}

fn open_vault(host: &Host, id: &str, key: &str, action: &str, url: &str) {
    let wanted = json!({ "key": key, "action": action, "url": url });
    assert_eq!(host.publish("vault.wanted", id, wanted).status, 202);
}

/// The hash of the secret that the vault has now.
fn checked(host: &Host, id: &str, key: &str) -> String {
    open_vault(host, id, key, "check", "");
    eventually("the vault has been opened", || {
        let found = host.events_of("vault.checked").into_iter().find(|event| event["causationid"] == id)?;
        Some(found["data"]["hash"].as_str().unwrap().to_owned())
    })
}

/// A setup with the guest `vault`, whose secrets come from a file, the environment and a credential.
fn vault(grants: &str) -> Setup {
    let setup = Setup::new().plugin("vault");
    let path = |name: &str| setup.path().join(name);
    for (directory, file, secret) in
        [("secrets", "api_key", "f1le-s3cret-value\n"), ("credentials", "certificate", "cred-s3cret-value")]
    {
        std::fs::create_dir(path(directory)).unwrap();
        put(&path(directory).join(file), secret.as_bytes());
    }
    let sidecar = format!(
        "[config]\napi_key = {{ file = \"{}\" }}\npassword = {{ env = \"PASSWORD\" }}\ncertificate = {{ credential = \"certificate\" }}\n{grants}",
        path("secrets/api_key").display()
    );
    let (secrets, credentials) = (path("secrets"), path("credentials"));
    setup
        .sidecar("vault", &sidecar)
        .config(&format!("[secrets]\ndirectories = [\"{}\"]\n", secrets.display()))
        .env("SANDBUS_SECRET_PASSWORD", "env-s3cret-value")
        .env("CREDENTIALS_DIRECTORY", credentials.to_str().unwrap())
}

/// Plants secrets, lets the plugin give them away, and searches all that the host wrote and answers.
#[test]
fn a_secret_reaches_its_plugin_and_nothing_that_the_host_writes() {
    let upstream = Webhook::start(&[200]);
    let host = vault(&format!("[grants]\nhttp = [\"{}\"]\n[limits]\ntimeout = \"5s\"\n", upstream.address))
        .config("[ledger]\nrecord = \"all\"\nrecord_responses = true\n")
        .start();
    let secrets = ["f1le-s3cret-value", "env-s3cret-value", "cred-s3cret-value"];
    for (key, secret) in ["api_key", "password", "certificate"].into_iter().zip(secrets) {
        assert_eq!(checked(&host, &format!("check {key}"), key), hash(secret), "{key}");
        for action in ["log", "fail", "reject", "panic", "send"] {
            open_vault(&host, &format!("{action} {key}"), key, action, &format!("http://{}/", upstream.address));
        }
        assert_eq!(host.get(&format!("/vault/{key}")).status, 500);
    }
    eventually("everything is handled", || (host.dead_letters().len() == 9).then_some(()));
    host.wait_until_idle();
    let received = eventually("the secrets are sent", || {
        let received = upstream.received();
        (received.len() == 3).then_some(received)
    });
    assert!(secrets.iter().all(|secret| received.iter().any(|hook| hook.body == *secret)));

    // The environment that the kernel shows does not have them either.
    let environment = std::fs::read(format!("/proc/{}/environ", host.process_id())).unwrap();
    let environment = String::from_utf8_lossy(&environment).into_owned();
    assert!(!environment.contains("s3cret") && environment.contains("CREDENTIALS_DIRECTORY"), "{environment}");

    let mut written = vec![("log".to_owned(), host.log())];
    for path in [
        "/v1/plugins",
        "/v1/plugins/vault",
        "/v1/plugins/vault/sidecar",
        "/v1/dead-letters",
        "/v1/configuration",
        "/v1/attempts?exchanges=true&limit=100",
        "/v1/requests?exchanges=true&limit=100",
        "/v1/events",
        "/metrics",
    ] {
        let answer = host.send("GET", &host.admin_url(path), &[], b"");
        assert_eq!(answer.status, 200, "{path}");
        written.push((path.to_owned(), answer.body));
    }
    for arguments in [&["plugins", "show", "vault"][..], &["dead-letters"], &["attempts"], &["config"]] {
        let output = host.cli(arguments);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        written.push((format!("{arguments:?}"), String::from_utf8_lossy(&output.stdout).into_owned()));
    }
    // The ledger writes in the background; the attempts above were read from it.
    for file in files_below(&host.path().join("data")) {
        // Files of the database come and go.
        let Ok(bytes) = std::fs::read(&file) else { continue };
        written.push((file.display().to_string(), String::from_utf8_lossy(&bytes).into_owned()));
    }
    for (place, text) in &written {
        for secret in secrets {
            let found =
                text.find(secret).map(|at| text[at.saturating_sub(200)..].chars().take(300).collect::<String>());
            assert_eq!(found, None, "{place}");
        }
    }
    let log = host.log();
    for words in ["the secret is ***", "panicked with ***", "rejected ***"] {
        assert!(log.contains(words), "{words}");
    }
    let reasons: Vec<_> = host.dead_letters().iter().map(|dead| dead["reason"].to_string()).collect();
    assert!(reasons.iter().any(|reason| reason.contains("failed with ***")), "{reasons:?}");
}

#[test]
fn a_changed_secret_is_applied_and_a_missing_one_keeps_the_former_value() {
    let host = vault("").start();
    assert_eq!(checked(&host, "1", "api_key"), hash("f1le-s3cret-value"));
    // As Kubernetes does it: a new directory, and one link that changes.
    let path = |name: &str| host.path().join(name);
    std::fs::create_dir(path("secrets/..2")).unwrap();
    put(&path("secrets/..2/api_key"), b"s3cond-value");
    symlink("..2/api_key", path("secrets/new")).unwrap();
    std::fs::rename(path("secrets/new"), path("secrets/api_key")).unwrap();
    let mut attempt = 0;
    eventually("the plugin has the new value", || {
        attempt += 1;
        (checked(&host, &format!("2-{attempt}"), "api_key") == hash("s3cond-value")).then_some(())
    });
    std::fs::remove_file(path("secrets/api_key")).unwrap();
    let reason = host.wait_until_refused("vault.wasm");
    assert!(reason.contains("api_key") && reason.contains("cannot read the secret file"), "{reason}");
    assert_eq!(checked(&host, "3", "api_key"), hash("s3cond-value"));
    put(&path("secrets/api_key"), b"th1rd-value");
    eventually("the plugin has the third value", || {
        attempt += 1;
        (checked(&host, &format!("4-{attempt}"), "api_key") == hash("th1rd-value")).then_some(())
    });
}

#[test]
fn a_sidecar_names_only_secrets_that_it_may_read() {
    let outside = tempfile::NamedTempFile::new().unwrap();
    put(outside.path(), b"outs1de-secret");
    let host = vault("").start();
    let sidecar = |value: &str| put(&host.file("vault.toml"), format!("[config]\napi_key = {value}\n").as_bytes());
    for (value, words) in [
        (format!("{{ file = \"{}\" }}", outside.path().display()), "outside the directories of secrets"),
        ("{ file = \"/etc/passwd\" }".to_owned(), "outside the directories of secrets"),
        ("{ env = \"HOME\" }".to_owned(), "SANDBUS_SECRET_HOME is not set"),
        ("{ credential = \"../secrets/api_key\" }".to_owned(), "not the name of a credential"),
        ("{ file = \"a\", env = \"b\" }".to_owned(), "exactly one of"),
    ] {
        sidecar(&value);
        let reason = eventually("the sidecar is refused", || {
            let reason = host.plugin("vault.wasm")?["error"].as_str()?.to_owned();
            reason.contains(words).then_some(reason)
        });
        assert!(!reason.contains("outs1de") && !reason.contains("root:"), "{reason}");
    }
    let checked = host.cli(&["check", "--config", "sandbus.toml"]);
    assert!(!checked.status.success());
}

#[test]
fn a_token_of_one_plugin_cannot_read_the_secrets_of_others() {
    let host = vault("").config("[access]\nrequire_tokens = true\n").start();
    let token = |arguments: &[&str]| {
        let arguments = [&["token", "create", "--data", "data", "--json"], arguments].concat();
        let output = host.cli(&arguments);
        assert!(output.status.success(), "{output:?}");
        let value: Value = serde_json::from_slice(&output.stdout).unwrap();
        format!("Bearer {}", value["secret"].as_str().unwrap())
    };
    let (deploy, admin) = (token(&["--role", "deploy"]), token(&["--role", "admin"]));
    let own = token(&["--role", "deploy", "--plugin", "vault"]);
    let url = host.admin_url("/v1/plugins/vault/sidecar");
    let put = |authorization: &str, text: &str| {
        let headers = [("authorization", authorization), ("content-type", "application/toml")];
        host.send("PUT", &url, &headers, text.as_bytes())
    };
    let current = host.send("GET", &url, &[("authorization", &admin)], b"").body;
    let other = format!("{current}\n[limits]\ntimeout = \"3s\"\n");
    for authorization in [&deploy, &own] {
        let refused =
            put(authorization, "[config]\napi_key = { env = \"PASSWORD\" }\npassword = { env = \"OTHER\" }\n");
        assert_eq!((refused.status, refused.problem().as_str()), (403, "secret-forbidden"));
        assert_eq!(put(authorization, &other).status, 204, "the references stay");
        assert_eq!(put(authorization, &current).status, 204);
    }
    assert_eq!(put(&admin, "[config]\napi_key = { env = \"PASSWORD\" }\n").status, 204);
}

#[test]
fn links_of_a_volume_are_followed_and_others_are_not() {
    let setup = Setup::new();
    let path = |name: &str| setup.path().join(name);
    for directory in ["plugins/..1", "artifacts", "elsewhere"] {
        std::fs::create_dir(path(directory)).unwrap();
    }
    put(&path("plugins/..1/echo.wasm"), &guest("echo"));
    put(&path("plugins/..1/echo.toml"), b"[limits]\ntimeout = \"1s\"\n");
    symlink("..1", path("plugins/..data")).unwrap();
    symlink("..data/echo.wasm", path("plugins/echo.wasm")).unwrap();
    symlink("..data/echo.toml", path("plugins/echo.toml")).unwrap();
    std::fs::copy(guest_path("ping"), path("artifacts/ping.wasm")).unwrap();
    symlink(path("artifacts/ping.wasm"), path("plugins/ping.wasm")).unwrap();
    std::fs::copy(guest_path("pong"), path("elsewhere/pong.wasm")).unwrap();
    symlink(path("elsewhere/pong.wasm"), path("plugins/pong.wasm")).unwrap();
    let roots = format!("link_roots = [\"{}\"]\n", path("artifacts").display());
    let host = setup.config(&roots).start();
    assert_eq!(host.plugin("echo.wasm").unwrap()["status"], "running");
    assert_eq!(host.plugin("ping.wasm").unwrap()["status"], "running");
    let pong = host.cli(&["plugins"]);
    let shown = String::from_utf8_lossy(&pong.stdout).into_owned();
    assert!(shown.contains("pong.wasm") && shown.contains("link_roots"), "{shown}");
    // The next version of the volume.
    std::fs::create_dir(host.file("..2")).unwrap();
    put(&host.file("..2/echo.wasm"), &guest("echo"));
    put(&host.file("..2/echo.toml"), b"[limits]\ntimeout = \"7s\"\n");
    symlink("..2", host.file("..next")).unwrap();
    std::fs::rename(host.file("..next"), host.file("..data")).unwrap();
    eventually("the new sidecar applies", || (host.plugin("echo.wasm")?["limits"]["timeout"] == "7s").then_some(()));
}

/// An address of this machine other than loopback. No packet is sent.
fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_loopback()).then_some(address)
}

/// The name resolves to a private address because the host has its own `/etc/hosts`.
#[test]
fn a_name_resolves_to_a_private_address_only_in_a_granted_network() {
    let may_mount = Command::new("unshare").args(["--mount", "true"]).status().is_ok_and(|status| status.success());
    let Some(address) = own_address().filter(|_| may_mount) else {
        eprintln!("skipped: it needs root and an address of this machine other than loopback");
        return;
    };
    let listener = TcpListener::bind((address, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut line = String::new();
            BufReader::new(&stream).read_line(&mut line).ok();
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").ok();
        }
    });
    let setup = Setup::new().plugin("caller");
    let hosts = setup.path().join("hosts");
    put(
        &hosts,
        format!("127.0.0.1 localhost\n{address} prices\n169.254.169.254 metadata\n127.0.0.1 loop\n").as_bytes(),
    );
    let grants = |networks: &str| {
        format!(
            "[limits]\ntimeout = \"5s\"\n[grants]\nhttp = [\"prices:{port}\", \"metadata\", \"loop:{port}\"]\n{networks}"
        )
    };
    let networks = format!("[outbound]\nproxy = \"off\"\n[outbound.networks]\nservices = [\"{address}\"]\n");
    let host = setup.sidecar("caller", &grants("")).config(&networks).start_with_hosts(&hosts);
    let call = |id: &str, url: String| {
        assert_eq!(host.publish("call.wanted", id, json!({ "method": "GET", "url": url })).status, 202);
        eventually("the request has ended", || {
            let answered = host.events_of("call.answered").into_iter().any(|event| event["causationid"] == id);
            let dead = host.dead_letters().into_iter().find(|dead| dead["logged"]["event"]["id"] == id);
            let reason = dead.map(|dead| Err(dead["reason"].as_str().unwrap_or_default().to_owned()));
            if answered { Some(Ok(())) } else { reason }
        })
    };
    let url = |name: &str| format!("http://{name}:{port}/");
    assert!(call("1", url("prices")).is_err());
    let _ = host.wait_for_log(&["does not resolve to a public address", &address.to_string(), "[grants] networks"]);
    let grant = |text: &str, expected: Value| {
        put(&host.file("caller.toml"), grants(text).as_bytes());
        eventually("the grant applies", || {
            (host.plugin("caller.wasm")?["granted"]["networks"] == expected).then_some(())
        });
    };
    grant(&format!("networks = [\"{address}\"]\n"), json!([format!("{address}/32")]));
    call("2", url("prices")).unwrap();
    grant("networks = [\"services\"]\n", json!(["services"]));
    call("3", url("prices")).unwrap();
    // Neither a metadata service nor the machine itself is part of a network.
    assert!(call("4", "http://metadata/".to_owned()).is_err());
    grant("networks = [\"0.0.0.0/0\"]\n", json!(["0.0.0.0/0"]));
    assert!(call("5", url("loop")).is_err());
    assert!(call("6", "http://metadata/".to_owned()).is_err());
    call("7", url("prices")).unwrap();
    let expected = json!([format!("{address}/32")]);
    grant(&format!("networks = [\"{address}\"]\n"), expected);
    // A connection of the granted plugin must not serve it after the grant is gone.
    grant("", json!([]));
    assert!(call("8", url("prices")).is_err());
}

/// A proxy that answers plain requests itself and refuses tunnels. Returns its address and the heads of the requests.
fn proxy() -> (String, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (heads, received) = mpsc::channel();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut head = String::new();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).is_ok_and(|read| read > 0) {}
            let answer = if head.starts_with("CONNECT") { "403 Forbidden" } else { "200 OK" };
            let answer = format!("HTTP/1.1 {answer}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            stream.write_all(answer.as_bytes()).ok();
            heads.send(head).ok();
        }
    });
    (address, received)
}

#[test]
fn requests_take_the_proxy_except_to_this_machine() {
    let (address, heads) = proxy();
    let direct = Webhook::start(&[200]);
    let grants = format!(
        "[limits]\ntimeout = \"5s\"\n[grants]\nhttp = [\"api.example.com\", \"other.example.com\", \"{}\"]\n",
        direct.address
    );
    let configured = format!("[outbound]\nproxy = \"http://ada:l0vel4ce@{address}\"\n");
    for by_environment in [false, true] {
        let setup = Setup::new().plugin("caller").sidecar("caller", &grants);
        let setup = match by_environment {
            true => {
                let url = format!("http://ada:l0vel4ce@{address}");
                setup.env("HTTP_PROXY", &url).env("https_proxy", &url).env("NO_PROXY", "unrelated.example")
            }
            false => setup.config(&configured),
        };
        let host = setup.start();
        let call = |id: &str, url: &str| host.publish("call.wanted", id, json!({ "method": "GET", "url": url }));
        call("1", "http://api.example.com/a?b=%20");
        let head = heads.recv().unwrap();
        assert!(head.starts_with("GET http://api.example.com/a?b=%20 HTTP/1.1\r\n"), "{head}");
        assert!(head.to_ascii_lowercase().contains("proxy-authorization: basic "), "{head}");
        call("2", "https://other.example.com/");
        let head = heads.recv().unwrap();
        assert!(head.starts_with("CONNECT other.example.com:443 HTTP/1.1\r\n"), "{head}");
        assert!(head.to_ascii_lowercase().contains("proxy-authorization: basic "), "{head}");
        let before = direct.received().len();
        call("3", &format!("http://{}/", direct.address));
        eventually("the request is sent directly", || (direct.received().len() > before).then_some(()));
        assert!(direct.received().iter().all(|hook| hook.header("proxy-authorization").is_none()));
        host.wait_until_idle();
        let shown = String::from_utf8_lossy(&host.cli(&["config"]).stdout).into_owned();
        assert!(!shown.contains("l0vel4ce") && !host.log().contains("l0vel4ce"), "{shown}");
    }
}

#[test]
fn a_changed_configuration_is_applied_without_a_restart() {
    let host = Setup::new().plugin("echo").config("[ingress]\nevents = \"off\"\n").start();
    let write = |text: &str| put(&host.path().join("sandbus.toml"), text.as_bytes());
    let publish = |id: &str| host.publish("any.type", id, json!({})).status;
    assert_eq!(publish("1"), 403);
    let open = "[ingress]\nevents = { types = [\">\"], sources = [\"*\"] }\n";
    write(&format!("{open}access_log = true\n[sandbox]\ntimeout = \"3s\"\n[http]\nmax_body_bytes = 5\n"));
    let reloaded = host.wait_for_log(&["the configuration was reloaded"]);
    assert_eq!(reloaded["applied"], "ingress.access_log, ingress.events, sandbox.timeout");
    let pending = host.wait_for_log(&["restart the host"]);
    assert_eq!(pending["pending"], "http.max_body_bytes");
    assert_eq!(publish("2"), 202);
    eventually("the plugin has the new limit", || {
        (host.plugin("echo.wasm")?["limits"]["timeout"] == "3s").then_some(())
    });
    // The log begins with new connections.
    let answer = sandbus_tests::send(&sandbus_tests::agent(), "GET", &host.url("/nothing"), &[], b"");
    assert_eq!(answer.unwrap().status, 404);
    let _ = host.wait_for_log(&["sandbus::access", "/nothing"]);
    // A file with faults changes nothing, and all faults are reported.
    write("lisen = \"127.0.0.1:1\"\n[bus]\nretain_for = 5\n");
    host.signal("-HUP");
    for fault in ["did you mean `listen`", "bus.retain_for"] {
        let _ = host.wait_for_log(&["the configuration was not reloaded", fault]);
    }
    assert_eq!(publish("3"), 202);
    // SIGHUP applies a file at once.
    write(&format!("log = \"warn\"\n{open}[bus]\nmax_log_bytes = 1\n"));
    host.signal("-HUP");
    eventually("the limit applies", || (publish("4") == 503).then_some(()));
    let settings = host.admin("/configuration");
    let value = |key: &str| {
        settings["settings"].as_array().unwrap().iter().find(|one| one["key"] == key).unwrap()["value"].clone()
    };
    assert_eq!((value("bus.max_log_bytes"), value("http.max_body_bytes")), (json!(1), json!(1_048_576)));
}

#[test]
fn a_hangup_without_a_change_is_harmless() {
    let host = Setup::new().start();
    host.signal("-HUP");
    let _ = host.wait_for_log(&["the configuration has not changed"]);
    let (succeeded, log) = host.terminate();
    assert!(succeeded, "{log}");
}

/// systemd is told when the host is ready, when it reloads, and when it stops (`sd_notify(3)`).
#[test]
fn systemd_learns_the_state_of_the_host() {
    let home = tempfile::tempdir().unwrap();
    let socket = std::os::unix::net::UnixDatagram::bind(home.path().join("notify")).unwrap();
    socket.set_read_timeout(Some(std::time::Duration::from_secs(60))).unwrap();
    let next = || {
        let mut bytes = [0; 512];
        let length = socket.recv(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes[..length]).into_owned()
    };
    let host = Setup::new().env("NOTIFY_SOCKET", home.path().join("notify").to_str().unwrap()).start();
    assert_eq!(next().trim(), "READY=1\nSTATUS=active");
    host.signal("-HUP");
    let reloading = next();
    assert!(reloading.contains("RELOADING=1") && reloading.contains("MONOTONIC_USEC="), "{reloading}");
    assert_eq!(next().trim(), "READY=1");
    assert!(host.terminate().0);
    assert_eq!(next().trim(), "STOPPING=1");
}

#[test]
fn the_systemd_unit_is_valid() {
    let unit = std::fs::read_to_string(root().join("xtask/packaging/sandbus.service")).unwrap();
    if Command::new("systemd-analyze").arg("--version").output().is_err() {
        eprintln!("skipped: it needs systemd-analyze");
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("sandbus.service");
    put(&file, unit.replace("/usr/local/bin/sandbus", binary().to_str().unwrap()).as_bytes());
    let verified = Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&file).output().unwrap();
    let said = String::from_utf8_lossy(&verified.stderr).into_owned();
    let of_unit: Vec<_> = said.lines().filter(|line| line.contains("sandbus")).collect();
    assert!(verified.status.success() && of_unit.is_empty(), "{said}");
}

/// The values of the compose example, as the container runtime would pass them.
#[test]
fn the_compose_example_starts_a_host() {
    let example = root().join("xtask/packaging/compose");
    let compose: Value =
        serde_yaml_ng::from_str(&std::fs::read_to_string(example.join("compose.yaml")).unwrap()).unwrap();
    let service = &compose["services"]["sandbus"];
    let context = example.join(service["build"]["context"].as_str().unwrap());
    assert_eq!(context.canonicalize().unwrap(), root().canonicalize().unwrap());
    let containerfile = context.join(service["build"]["dockerfile"].as_str().unwrap());
    let containerfile = std::fs::read_to_string(containerfile).unwrap();
    for volume in service["volumes"].as_array().unwrap() {
        let source = volume.as_str().unwrap().split(':').next().unwrap();
        let exists =
            if source.starts_with('.') { example.join(source).exists() } else { !compose["volumes"][source].is_null() };
        assert!(exists, "{source}");
    }
    let secret = compose["secrets"]["api_key"]["file"].as_str().unwrap();
    assert!(example.join(secret).exists());
    let subnet = compose["networks"]["services"]["ipam"]["config"][0]["subnet"].as_str().unwrap();
    let config = std::fs::read_to_string(example.join("config/sandbus.toml")).unwrap();
    assert!(config.contains(subnet), "the configuration names the network");

    // With the paths and the addresses of this machine in place of those of the container.
    let setup = Setup::new().plugin("vault").config(&config);
    let sidecar = "[config]\napi_key = { file = \"SECRETS/api_key\" }\n[grants]\nhttp = [\"prices\"]\nnetworks = [\"services\"]\n";
    assert!(config.contains("networks = [\"services\"]") && config.contains("{ file = \"/run/secrets/api_key\" }"));
    let secrets = example.join("secrets").canonicalize().unwrap();
    let setup = setup.sidecar("vault", &sidecar.replace("SECRETS", secrets.to_str().unwrap()));
    let setup = setup.config(&format!("[secrets]\ndirectories = [\"{}\"]\n", secrets.display()));
    let variables = service["environment"].as_object().unwrap().iter();
    let setup = variables.fold(setup, |setup, (name, value)| setup.env(name, value.as_str().unwrap()));
    let probe = free_port();
    let setup = setup.env("SANDBUS_PROBE_LISTEN", &format!("127.0.0.1:{probe}"));
    for variable in ["SANDBUS_LISTEN", "SANDBUS_PROBE_LISTEN", "SANDBUS_PLUGINS", "SANDBUS_DATA"] {
        assert!(containerfile.contains(&format!("{variable}=")), "{variable}");
    }
    let host = setup.start();
    assert_eq!(host.send("GET", &format!("http://127.0.0.1:{probe}/readyz"), &[], b"").status, 200);
    assert_eq!(host.plugin("vault.wasm").unwrap()["status"], "running");
    let check = service["healthcheck"]["test"].as_array().unwrap();
    assert_eq!((&check[1], &check[2]), (&json!("bash"), &json!("-c")));
    let healthy = |port: u16| {
        let script = check[3].as_str().unwrap().replace("/8082", &format!("/{port}"));
        Command::new("bash").args(["-c", &script]).status().unwrap().success()
    };
    assert!(healthy(probe) && !healthy(free_port()));
}
