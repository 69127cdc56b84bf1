//! Runs the registration scenario on a real host, over HTTP, step by step.

mod hook;
mod host;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde_json::{Value, json};

use crate::guests;
use crate::steps::{say, target};
use hook::Hook;
use host::Host;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Leave the host running and print its addresses
    #[arg(long)]
    stay: bool,
}

/// The plugins of the scenario, which do not know each other.
const PLUGINS: [&str; 3] = ["registration", "registration-handler", "registration-subscriber"];
/// The timeout of a step.
const TIMEOUT: Duration = Duration::from_secs(20);

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let built = guests::build_all_and_host()?;
    let home = target().join("demo");
    let hook = Hook::start()?;
    let plugins = prepare(&home, &built, &hook)?;
    let mut host = Host::start(&home)?;

    title("One host has loaded three components from a folder");
    for plugin in host.admin("/plugins")?["plugins"].as_array().into_iter().flatten() {
        println!("  {}  {}", plugin["file"].as_str().unwrap_or_default(), plugin["routes"]);
    }

    title("A user registers with the first plugin");
    let ada = json!({ "name": "Ada", "email": "ada@example.com" });
    let answer = call(&host, "/register", &ada, 201)?;
    ensure!(answer["message"] == "User registered successfully", "unexpected message: {answer}");

    title("The event went through the bus, and the second plugin has handled it");
    show_welcome(&host, &answer)?;

    title("A service subscribes its webhook at run time with the third plugin");
    let webhook = json!({ "webhook": hook.url });
    let answer = call(&host, "/subscribe_user_registration", &webhook, 201)?;
    ensure!(answer["message"] == "User registration event subscribed successfully", "unexpected message: {answer}");
    call(&host, "/register", &json!({ "name": "Bob", "email": "bob@example.com" }), 201)?;
    println!("  webhook received: {}", eventually("the webhook is called", || Ok(hook.received()))?);

    title("Bad input is refused with a problem that says what is wrong");
    call(&host, "/register", &json!({ "name": "Eve", "email": "nowhere" }), 422)?;

    title("The operator changes the greeting; the handler is swapped while the host runs");
    std::fs::write(plugins.join("registration-handler.toml"), "[config]\ngreeting = \"A very good day\"\n")?;
    let eve = json!({ "name": "Eve", "email": "eve@example.com" });
    eventually("the new generation is loaded", || {
        Ok(host.has_logged("registration-handler", "plugin loaded", 2).then_some(()))
    })?;
    show_welcome(&host, &call(&host, "/register", &eve, 201)?)?;

    title("The host is killed, and continues where it stopped");
    host.kill()?;
    host = Host::start(&home)?;
    let given = json!({ "user_id": "7", "name": "Dan", "email": "dan@example.com" });
    let answer = call(&host, "/handle_user_registration", &given, 200)?;
    ensure!(answer["message"] == "User registration handled successfully", "unexpected message: {answer}");
    ensure!(answer["total"] == 4, "expected that Ada, Bob, Eve and Dan were welcomed: {answer}");

    title("Done");
    if !arguments.stay {
        println!("  Leave the host running with `cargo xtask demo --stay`.");
        return Ok(());
    }
    println!("  ingress         http://{}", host.address);
    println!("  admin interface http://{}", host.admin);
    println!("  plugins         {}", plugins.display());
    println!("  Query it with `SANDBUS_ADMIN=http://{} target/debug/sandbus plugins`. Ctrl-C ends it.", host.admin);
    host.wait()
}

/// Creates an empty home directory with the three plugins, and a grant for the webhook.
fn prepare(home: &Path, built: &Path, hook: &Hook) -> anyhow::Result<PathBuf> {
    let plugins = home.join("plugins");
    for directory in [&plugins, &home.join("data")] {
        match std::fs::remove_dir_all(directory) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
    }
    std::fs::create_dir_all(&plugins)?;
    for plugin in PLUGINS {
        let file = format!("{plugin}.wasm");
        std::fs::copy(built.join(&file), plugins.join(&file)).with_context(|| file)?;
    }
    let grant = format!("[grants]\nwebhooks = [\"{}\"]\n", hook.address);
    std::fs::write(plugins.join("registration-subscriber.toml"), grant)?;
    Ok(plugins)
}

fn title(text: &str) {
    println!("\n{text}");
}

/// Posts JSON, prints the request and the response, and checks the status.
fn call(host: &Host, path: &str, body: &Value, expected: u16) -> anyhow::Result<Value> {
    println!("  POST {path}  {body}");
    let (status, answer) = host.post(path, body)?;
    println!("  {status}  {answer}");
    if status != expected {
        bail!("expected status {expected}");
    }
    Ok(answer)
}

/// Prints the event of a registration and the event that it caused.
fn show_welcome(host: &Host, registered: &Value) -> anyhow::Result<()> {
    let id = registered["event_id"].as_str().context("the response has no event_id")?;
    let welcomed = eventually("the event is handled", || {
        let events = host.admin("/events?limit=10")?;
        let mut events = events["events"].as_array().cloned().unwrap_or_default().into_iter();
        Ok(events.find(|logged| logged["event"]["causationid"] == id).map(|logged| logged["event"].clone()))
    })?;
    let registered = host.admin(&format!("/events/{id}"))?["events"][0]["event"].clone();
    for event in [&registered, &welcomed] {
        println!("  {}  {}  {}", event["type"].as_str().unwrap_or_default(), event["id"], event["data"]);
    }
    Ok(())
}

/// Polls until there is a value.
fn eventually<T>(what: &str, mut look: impl FnMut() -> anyhow::Result<Option<T>>) -> anyhow::Result<T> {
    let started = Instant::now();
    while started.elapsed() < TIMEOUT {
        if let Some(found) = look()? {
            return Ok(found);
        }
        pause();
    }
    say("the host's log is in target/demo/host.log");
    bail!("timed out after {TIMEOUT:?}, waiting until {what}")
}

#[allow(clippy::disallowed_methods, reason = "polls another process")]
fn pause() {
    std::thread::sleep(Duration::from_millis(10));
}
