//! Uses secrets of its configuration in every way in which a plugin may give them away.

use sandbus_sdk::client;
use sandbus_sdk::prelude::*;

#[derive(Event, Serialize, Deserialize)]
#[event(type = "vault.wanted")]
struct Wanted {
    /// The configuration key of the secret.
    key: String,
    /// What to do with it: `check`, `log`, `fail`, `reject`, `panic` or `send`.
    action: String,
    #[serde(default)]
    url: String,
}

#[derive(Event, Serialize, Deserialize)]
#[event(type = "vault.checked")]
struct Checked {
    key: String,
    /// A hash of the secret (FNV-1a), since the event is not secret.
    hash: String,
}

#[on_event(retry(max_attempts = 1))]
#[allow(clippy::panic, reason = "one of the ways")]
fn open(wanted: Wanted) -> Result<()> {
    let secret = config::require(&wanted.key)?;
    match wanted.action.as_str() {
        "check" => {
            let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
            let hash = secret.bytes().fold(0xcbf2_9ce4_8422_2325, step);
            publish(&Checked { key: wanted.key, hash: format!("{hash:016x}") })?;
        }
        "log" => info!("the secret is {secret}"),
        "fail" => return Err(Failure::retry(format!("failed with {secret}"))),
        "reject" => return Err(Failure::reject(format!("rejected {secret}"))),
        "panic" => panic!("panicked with {secret}"),
        _ => {
            let request = client::Request::new("POST", format!("{}?key={secret}", wanted.url));
            request.header("authorization", format!("Bearer {secret}")).body(secret).send()?;
        }
    }
    Ok(())
}

#[route(GET, "/vault/{key}")]
#[allow(clippy::panic, reason = "one of the ways")]
fn visit(request: Request) -> Result<Response, Problem> {
    let secret = config::require(request.param("key")?)?;
    panic!("the route panicked with {secret}")
}

plugin! {
    name: "vault",
    handlers: [open],
    routes: [visit],
    publishes: [Checked],
    config: ["api_key", "password", "certificate"],
}
