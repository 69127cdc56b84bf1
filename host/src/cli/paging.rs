//! Lists that come in pages: one page, or all of them put together.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::{RawValue, to_raw_value};

use super::client::Client;
use super::response::Response;
use crate::api::Page;

/// The most items that one answer of the admin interface has.
const PAGE_LIMIT: usize = 1_000;

/// Which part of a list to show.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Paging {
    /// Show at most this many
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
    limit: u64,
    /// Continue behind this cursor, which the page before ends with
    #[arg(long, value_name = "CURSOR")]
    after: Option<String>,
    /// Show the whole list
    #[arg(long = "all", conflicts_with_all = ["limit", "after"])]
    is_whole: bool,
}

impl Default for Paging {
    fn default() -> Self {
        Self { limit: 100, after: None, is_whole: false }
    }
}

impl Paging {
    pub(super) async fn fetch<P: Page + DeserializeOwned>(
        &self,
        client: &Client,
        filter: &impl Serialize,
    ) -> anyhow::Result<Response<P>> {
        let limit = if self.is_whole { usize::MAX } else { usize::try_from(self.limit).unwrap_or(usize::MAX) };
        fetch(client, filter, self.after.clone(), limit).await
    }
}

/// Reads at most `limit` items of a list, behind a cursor, and the cursor of what follows.
pub(super) async fn fetch<P: Page + DeserializeOwned>(
    client: &Client,
    filter: &impl Serialize,
    after: Option<String>,
    limit: usize,
) -> anyhow::Result<Response<P>> {
    let (mut items, mut cursor) = (Vec::<Box<RawValue>>::new(), after);
    loop {
        let count = (limit - items.len()).min(PAGE_LIMIT);
        let response: Response<P> = client.page(filter, count, cursor).await?;
        cursor = response.value().next();
        let is_last = cursor.is_none();
        if items.is_empty() && is_last {
            return Ok(response);
        }
        items.extend(response.items(P::ITEMS)?);
        if is_last || items.len() >= limit {
            let items = to_raw_value(&items)?;
            return Response::of(&[(P::ITEMS, &items), ("next", response.member("next"))]);
        }
    }
}

/// Says below a page that others follow.
pub(super) fn next_page_hint<P: Page>(page: &P) -> String {
    let Some(next) = page.next() else { return String::new() };
    let whole = if P::CURSOR == "after" { ", or use --all" } else { "" };
    format!("\n\nThere are more: continue with --{} {next}{whole}.", P::CURSOR)
}
