//! Lists that the host answers in pages: one page, or all of them.

use std::num::NonZeroUsize;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::{RawValue, to_raw_value};

use super::client::Client;
use super::response::Response;
use crate::api::Page;

/// The largest page of the admin interface.
const PAGE_LIMIT: usize = 1_000;

/// The number of items to show by default.
const DEFAULT_LIMIT: NonZeroUsize = NonZeroUsize::new(100).expect("100 is not zero");

/// The part of a list to show.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Paging {
    /// Show at most N items
    #[arg(long, value_name = "N", default_value = "100", value_parser = super::parse_count::<NonZeroUsize>)]
    limit: NonZeroUsize,
    /// Continue after CURSOR, as printed below the previous page
    #[arg(long, value_name = "CURSOR")]
    after: Option<String>,
    /// Show the whole list
    #[arg(long = "all", conflicts_with_all = ["limit", "after"])]
    is_whole: bool,
}

impl Default for Paging {
    fn default() -> Self {
        Self { limit: DEFAULT_LIMIT, after: None, is_whole: false }
    }
}

impl Paging {
    pub(super) async fn fetch<P: Page + DeserializeOwned>(
        &self,
        client: &Client,
        filter: &impl Serialize,
    ) -> anyhow::Result<Response<P>> {
        let limit = if self.is_whole { usize::MAX } else { self.limit.get() };
        fetch(client, filter, self.after.clone(), limit).await
    }
}

/// Reads at most `limit` items of a list after a cursor, and the cursor of the next page.
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
            let others = P::OTHERS.iter().chain(&["next"]).map(|name| (*name, response.member(name)));
            return Response::of(&others.chain([(P::ITEMS, &*items)]).collect::<Vec<_>>());
        }
    }
}

/// Reads a whole list.
pub(super) async fn fetch_all<P: Page + DeserializeOwned>(client: &Client) -> anyhow::Result<Response<P>> {
    fetch(client, &(), None, usize::MAX).await
}

/// The line below a page that is not the last one.
pub(super) fn next_page_hint<P: Page>(page: &P) -> String {
    let next = page.next().map(|next| format!("\n\nThere are more. Continue with --after {next}, or use --all."));
    next.unwrap_or_default()
}
