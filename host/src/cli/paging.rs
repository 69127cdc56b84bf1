//! Lists that come in pages: one page, or all of them put together.

use anyhow::Context as _;
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

use super::client::Client;
use super::raw::Answer;

/// The most items that one answer of the admin interface has.
const MOST: usize = 1_000;

/// A list of the admin interface.
#[derive(Clone, Copy, Debug)]
pub(super) struct List<'a> {
    /// Its path.
    pub(super) path: &'a str,
    /// The member of the answer that has the items.
    pub(super) name: &'a str,
    /// The parameter and the flag that take a cursor.
    pub(super) cursor: &'a str,
}

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
    pub(super) async fn fetch(
        &self,
        client: &Client,
        list: List<'_>,
        query: &[(&str, String)],
    ) -> anyhow::Result<Answer> {
        let limit = if self.is_whole { usize::MAX } else { usize::try_from(self.limit).unwrap_or(usize::MAX) };
        fetch(client, list, query, self.after.clone(), limit).await
    }
}

/// Reads at most `limit` items of a list, behind a cursor, and the cursor of what follows.
pub(super) async fn fetch(
    client: &Client,
    list: List<'_>,
    query: &[(&str, String)],
    after: Option<String>,
    limit: usize,
) -> anyhow::Result<Answer> {
    let (mut items, mut cursor) = (Vec::<Box<RawValue>>::new(), after);
    loop {
        let mut query = query.to_vec();
        query.push(("limit", (limit - items.len()).min(MOST).to_string()));
        query.extend(cursor.map(|cursor| (list.cursor, cursor)));
        let answer = client.get(&[list.path], &query).await?;
        let page: Vec<Box<RawValue>> = serde_json::from_str(answer.member(list.name).get())
            .with_context(|| format!("the host's answer has no list `{}`", list.name))?;
        items.extend(page);
        cursor = next(&answer);
        if cursor.is_none() || items.len() >= limit {
            let items = to_raw_value(&items)?;
            return Ok(Answer::of(&[(list.name, &items), ("next", answer.member("next"))]));
        }
    }
}

/// The cursor of the page that follows, if one does.
fn next(answer: &Value) -> Option<String> {
    match &answer["next"] {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

/// Says below a page that others follow.
pub(super) fn hint(list: List<'_>, answer: &Value) -> String {
    let Some(next) = next(answer) else { return String::new() };
    let whole = if list.cursor == "after" { ", or use --all" } else { "" };
    format!("\n\nThere are more: continue with --{} {next}{whole}.", list.cursor)
}
