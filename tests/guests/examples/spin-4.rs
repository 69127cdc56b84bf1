//! A component for Spin 4: it counts visits in a key-value store, and greets with a variable.

#![cfg(target_family = "wasm")]

use spin_sdk::http::{IntoResponse, Request};
use spin_sdk::http_service;
use spin_sdk::key_value::{Error, Store};
use spin_sdk::variables;

#[http_service]
async fn visits(_: Request) -> anyhow::Result<impl IntoResponse> {
    anyhow::ensure!(matches!(Store::open("other").await, Err(Error::NoSuchStore)), "there is one store");
    let store = Store::open_default().await?;
    let visits: u64 = match store.get("visits").await? {
        Some(value) => String::from_utf8(value)?.parse()?,
        None => 0,
    };
    store.set("visits", (visits + 1).to_string()).await?;
    store.set("draft", "to be deleted").await?;
    anyhow::ensure!(store.exists("draft").await?, "it was just set");
    store.delete("draft").await?;
    let keys = store.get_keys().await.collect().await?;
    let undefined = variables::get("nothing").await.is_err();
    Ok(format!("{} {} {keys:?} {undefined}", variables::get("greeting").await?, visits + 1))
}
