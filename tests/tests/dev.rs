//! The development loop: a user's crate is built, run, changed and swapped.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use sandbus_tests::{Host, Setup, agent, binary, eventually, put, send};
use serde_json::json;

const HANDLER: &str = r#"
use sandbus_sdk::prelude::*;

#[derive(Event, Serialize, Deserialize)]
#[event(type = "user.registered")]
struct UserRegistered {
    name: String,
}

#[on_event(retry(max_attempts = 3))]
fn welcome(user: UserRegistered) -> Result<()> {
    info!("Welcome, {}!", user.name);
    state::increment("welcomed", 1)?;
    Ok(())
}

#[route(GET, "/welcomed")]
fn welcomed() -> Result<Json<i64>, Problem> {
    Ok(Json(state::increment("welcomed", 0)?))
}

plugin! { handlers: [welcome], routes: [welcomed] }
"#;

/// A crate as a user would write it: two dependencies, one file.
fn new_crate(directory: &Path) {
    let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).join("../guest-sdk/sdk");
    let manifest = format!(
        "[package]\nname = \"greeter\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[lib]\ncrate-type = [\"cdylib\"]\n\n[dependencies]\nsandbus-sdk = {{ path = {:?} }}\nserde = {{ version = \"1\", features = [\"derive\"] }}\n\n[workspace]\n",
        sdk.canonicalize().unwrap()
    );
    std::fs::create_dir(directory.join("src")).unwrap();
    put(&directory.join("Cargo.toml"), manifest.as_bytes());
    save(directory, HANDLER);
}

fn save(directory: &Path, source: &str) {
    std::fs::write(directory.join("src/lib.rs"), source).unwrap();
}

fn register(host: &Host, id: &str) {
    assert_eq!(host.publish("user.registered", id, json!({ "name": "Ada" })).status, 202);
}

#[test]
fn a_saved_change_is_built_and_swapped_in() {
    let setup = Setup::new();
    new_crate(setup.path());
    let mut host = setup.develop();
    // The dashboard offers the events of the project's scenarios.
    let scenario = "[[scenario]]\nname = \"Ada\"\n[[scenario.step]]\nevent = \"user.registered\"\n";
    std::fs::create_dir(host.path().join("tests")).unwrap();
    std::fs::write(host.path().join("tests/welcome.toml"), scenario).unwrap();
    let samples = host.admin("/samples")["samples"].clone();
    assert_eq!(
        (&samples[0]["file"], &samples[0]["event"]["type"]),
        (&json!("tests/welcome.toml"), &json!("user.registered"))
    );
    register(&host, "1");
    let _ = host.wait_for_log(&["Welcome, Ada!", "\"event\":\"1\""]);
    eventually("what the event led to is shown", || {
        let log = host.log();
        let tree = log.split_once("user.registered 1 {\"name\":\"Ada\"}\n")?.1;
        tree.starts_with("└─ ✓ greeter/welcome in ").then_some(())
    });

    // A compile error is shown as the compiler prints it, and the running generation continues.
    save(host.path(), &HANDLER.replace("user.name", "user.nmae"));
    eventually("the compiler's error is shown", || {
        let log = host.log();
        (log.contains("no field `nmae`") && log.contains("src/lib.rs:12")).then_some(())
    });
    register(&host, "2");
    let _ = host.wait_for_log(&["Welcome, Ada!", "\"event\":\"2\""]);

    save(host.path(), &HANDLER.replace("Welcome, {}!", "Good morning, {}!"));
    let digest = host.plugin("greeter.wasm").unwrap()["digest"].clone();
    eventually("the mended handler is swapped in", || {
        host.plugin("greeter.wasm").filter(|plugin| plugin["digest"] != digest)
    });
    register(&host, "3");
    let _ = host.wait_for_log(&["Good morning, Ada!", "\"event\":\"3\""]);
    host.wait_until_idle();
    assert_eq!(host.get("/welcomed").json(), 3, "the state outlives the swap");

    // Typed commands: redeliver the last event, and publish one whose handler panics in line 12.
    host.type_line("r");
    eventually("the last event comes again", || (host.get("/welcomed").json() == 4).then_some(()));
    let panics = HANDLER.replace("info!(\"Welcome, {}!\", user.name);", "assert!(user.name != \"Bob\", \"no Bob\");");
    let digest = host.plugin("greeter.wasm").unwrap()["digest"].clone();
    save(host.path(), &panics);
    eventually("the handler that panics is swapped in", || {
        host.plugin("greeter.wasm").filter(|plugin| plugin["digest"] != digest)
    });
    host.type_line(r#"p user.registered {"name":"Bob"}"#);
    eventually("the trap names the line", || {
        let log = host.log();
        let attempt = log.lines().find(|line| line.contains("✗ greeter/welcome"))?.to_owned();
        assert!(attempt.contains("trap: panicked at") && attempt.contains("no Bob"), "{attempt}");
        (attempt.contains("src/lib.rs:12")).then_some(())
    });
}

const ORDERS: &str = r#"
import { config, log, plugin } from "@sandbus/sdk";

export default plugin({ config: { currency: "EUR" } })
  .on("order.placed", (order) => log.info(`order ${order.id} in ${config.get("currency")}`));
"#;

/// Creates a project as a user does.
fn begin(directory: &Path, arguments: &[&str]) {
    let output = Command::new(binary()).arg("new").args(arguments).current_dir(directory).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn projects_of_all_kinds_are_found_below_a_directory_and_later_ones_as_they_come() {
    let setup = Setup::new();
    let shop = setup.path().join("shop");
    std::fs::create_dir(&shop).unwrap();
    // Workspace roots, which must not hide projects below them.
    put(&shop.join("package.json"), br#"{ "private": true, "workspaces": ["apps/*"] }"#);
    put(&shop.join("Cargo.toml"), b"[workspace]\nmembers = []\nexclude = [\"apps\"]\n");
    std::fs::create_dir(shop.join("apps")).unwrap();
    begin(&shop.join("apps"), &["greeter", "--on", "user.registered"]);
    begin(&shop.join("apps"), &["orders", "--lang", "js", "--on", "order.placed"]);
    std::fs::write(shop.join("apps/orders/src/plugin.js"), ORDERS).unwrap();
    put(&shop.join("apps/orders/orders.toml"), b"[config]\ncurrency = \"SEK\"\n");
    let host = setup.develop_with(Path::new("shop"), &["--verbose"]);
    assert!(host.plugin("greeter.wasm").is_some() && host.plugin("orders.wasm").is_some(), "{}", host.log());
    assert!(host.log().contains("the root of a workspace"), "{}", host.log());

    let order = |id: &str| assert_eq!(host.publish("order.placed", id, json!({ "id": id })).status, 202);
    order("1");
    let _ = host.wait_for_log(&["order 1 in SEK"]);
    put(&shop.join("apps/orders/orders.toml"), b"[config]\ncurrency = \"NOK\"\n");
    let mut count = 1;
    eventually("the changed sidecar is in force", || {
        count += 1;
        order(&count.to_string());
        host.log().contains("in NOK").then_some(())
    });

    begin(&shop.join("apps"), &["mailer", "--lang", "js", "--on", "mail.wanted"]);
    eventually("the new project runs", || host.plugin("mailer.wasm"));
    // A build that still runs adds files to a directory while it is removed.
    let mailer = shop.join("apps/mailer");
    eventually("the project is removed", || {
        (std::fs::remove_dir_all(&mailer).is_ok() || !mailer.exists()).then_some(())
    });
    eventually("what is gone is taken out", || host.plugin("mailer.wasm").is_none().then_some(()));
}

/// Ends a process with the test.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// RFC 9110, section 15.6.4: a server that cannot handle requests yet answers 503 and may say when to come back.
#[test]
fn requests_during_the_first_build_are_told_to_come_back() {
    let setup = Setup::new();
    begin(setup.path(), &["orders", "--lang", "js", "--on", "order.placed"]);
    let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (ingress, admin) = (free(), free());
    let dev = Command::new(binary())
        .args(["dev", "orders", "--listen", &ingress.to_string(), "--admin-listen", &admin.to_string()])
        .current_dir(setup.path())
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let _dev = Ended(dev.unwrap());
    let agent = agent();
    let answer = |address: SocketAddr| {
        let url = format!("http://{address}/readyz");
        eventually("it answers", || send(&agent, "GET", &url, &[], b"").ok())
    };
    for address in [admin, ingress] {
        let first = answer(address);
        assert_eq!((first.status, first.problem().as_str()), (503, "starting"));
        assert!(first.headers.contains_key("retry-after"));
    }
    eventually("it is ready", || (answer(admin).status == 200).then_some(()));
}
