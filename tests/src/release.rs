//! Frozen releases: what is in their directories, and how a new one is made.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::languages::{Language, root};
use crate::{Answer, Host, Setup, digest, eventually, guest, guest_path, put};

/// The names of the frozen components that run.
pub const PLUGINS: [&str; 4] = ["keeper", "poison", "counter-c", "counter-js"];
/// The component in the plugin folder that was rolled back from.
pub const ROLLED_BACK_FROM: &str = "poison-fixed";

/// The directory of the frozen releases.
#[must_use]
pub fn frozen() -> PathBuf {
    root().join("tests/frozen")
}

/// The files below a directory, by relative path.
#[must_use]
pub fn files_below(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut waiting = vec![directory.to_owned()];
    while let Some(next) = waiting.pop() {
        for entry in std::fs::read_dir(next).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if path.is_dir() {
                waiting.push(path)
            } else {
                files.push(path.strip_prefix(directory).unwrap().to_owned())
            }
        }
    }
    files.sort();
    files
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to.parent().unwrap()).unwrap();
    std::fs::copy(from, to).unwrap();
}

/// Copies the files below a directory.
pub fn copy_below(from: &Path, to: &Path) {
    for file in files_below(from) {
        copy(&from.join(&file), &to.join(&file));
    }
}

/// The state of the plugin `keeper`.
#[must_use]
pub fn values(host: &Host) -> Value {
    let answer = host.get("/keeper");
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.json()["values"].clone()
}

/// Publishes an event at `/events` with a query.
#[allow(clippy::needless_pass_by_value, reason = "tests write values in place")]
pub fn publish(host: &Host, query: &str, event_type: &str, id: &str, data: Value) {
    let event = json!({ "id": id, "type": event_type, "data": data });
    assert_eq!(host.publish_event(&format!("/events{query}"), event).status, 202);
}

/// Requires that a request has succeeded.
pub fn done(answer: &Answer) {
    assert!((200..300).contains(&answer.status), "{answer:?}");
}

/// Fills a host with one of everything that a data directory can contain.
fn fill(host: &Host) {
    for (key, value) in [("text", json!("für später")), ("number", json!(42)), ("object", json!({ "a": [1, null] }))]
    {
        done(&host.send("PUT", &host.url(&format!("/keeper/{key}")), &[], value.to_string().as_bytes()));
    }
    for _ in 0..3 {
        done(&host.post("/keeper/count", json!({})));
    }
    // The first event is handled. The others wait for a drained plugin.
    for id in ["user-1", "user-2", "user-3"] {
        publish(host, "", "user.registered", id, json!({ "name": "Ada" }));
    }
    host.wait_until_idle();
    done(&host.operate("POST", "/plugins/counter-c/drain"));
    publish(host, "", "user.registered", "user-4", json!({ "name": "Ada" }));
    // Retries, dead letters and delayed events.
    publish(host, "", "keeper.job", "job-1", json!({}));
    for id in ["bad-1", "bad-2"] {
        publish(host, "", "keeper.bad", id, json!({ "id": id }));
    }
    publish(host, "?delay=75s", "keeper.later", "later-1", json!("by a request"));
    done(&host.post("/keeper/later", json!("by a handler")));
    // Backlogs of paused subscriptions: with ordering keys, and of a webhook.
    done(&host.operate("POST", "/subscriptions/keeper/entry/pause"));
    for number in 1..=4 {
        for account in ["a", "b"] {
            let entry = json!({ "account": account, "number": number });
            publish(host, "", "keeper.entry", &format!("{account}-{number}"), entry);
        }
    }
    let webhook = json!({ "url": "http://127.0.0.1:9/hook", "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw" });
    done(&host.admin_post(
        "/subscriptions",
        json!({ "name": "hook", "pattern": "order.>", "target": { "webhook": webhook } }),
    ));
    done(&host.operate("POST", "/subscriptions/operator/hook/pause"));
    publish(host, "", "order.placed", "order-1", json!({ "total": 9 }));

    eventually("the dead letters are there", || (host.dead_letters().len() == 2).then_some(()));
    eventually("the job waits for another attempt", || {
        host.subscription("keeper/job").filter(|subscription| subscription["next_attempt"].is_string())
    });
}

/// Creates the directory of a release from the built guests, with the binary in `SANDBUS_TEST_BINARY`.
pub fn freeze(version: &str) {
    let home = frozen().join(version);
    assert!(!home.exists(), "{} exists, and a release never changes", home.display());
    let setup = Setup::new();
    let component = |name: &str| match name {
        // A later release contains its own components.
        _ if guest_path(name).exists() => guest(name),
        "counter-c" => Language::C.counter(),
        "counter-js" => Language::JavaScript.counter(),
        _ => guest(name),
    };
    for name in PLUGINS {
        put(&setup.path().join(format!("plugins/{name}.wasm")), &component(name));
    }
    let host = setup.start();
    host.drop_in(ROLLED_BACK_FROM, "poison.wasm");
    host.wait_until_loaded(ROLLED_BACK_FROM, "poison.wasm");
    done(&host.operate("POST", "/plugins/poison/rollback"));
    fill(&host);
    let expected = json!({ "values": values(&host), "events": host.admin("/events?limit=1000")["events"] });

    for name in PLUGINS {
        let archived = host.path().join("data/generations").join(name);
        for kept in files_below(&archived).iter().filter(|file| file.extension().is_some_and(|kind| kind == "wasm")) {
            let bytes = std::fs::read(archived.join(kept)).unwrap();
            let of_poison = digest(&bytes) == digest(&guest(ROLLED_BACK_FROM));
            put_new(&home.join(format!("components/{}.wasm", if of_poison { ROLLED_BACK_FROM } else { name })), &bytes);
        }
        copy(&archived.join("record.json"), &home.join(format!("data/generations/{name}/record.json")));
    }
    put_new(&home.join("expected.json"), serde_json::to_string_pretty(&expected).unwrap().as_bytes());
    copy_below(&root().join("wit"), &home.join("wit"));
    let directory = host.path().join("data");
    let kept = tempfile::tempdir().unwrap();
    host.signal("-TERM");
    eventually("the write-ahead log is checkpointed and removed", || {
        let log = std::fs::metadata(directory.join("bus.db-wal"));
        log.map_or(true, |log| log.len() == 0).then_some(())
    });
    copy(&directory.join("bus.db"), &kept.path().join("bus.db"));
    copy(&kept.path().join("bus.db"), &home.join("data/bus.db"));
}

/// Writes a file, and creates its directory if necessary.
pub fn put_new(path: &Path, bytes: &[u8]) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    put(path, bytes);
}
