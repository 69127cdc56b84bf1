//! `sandbus explain`: what an error code means, what usually causes it, and what to do.

mod deliveries;
#[cfg(test)]
mod page;
mod problems;

use std::fmt::Write as _;

use anyhow::bail;
use clap_complete::{ArgValueCandidates, CompletionCandidate};
use serde::Serialize;

use super::output::{Output, table};
use super::response::Response;
use crate::failure::Cause;
use crate::spelling;

/// Arguments of `sandbus explain`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Explain this code of an error response, of a failure or of `sandbus why` [default: list all]
    #[arg(value_name = "CODE", add = ArgValueCandidates::new(candidates))]
    code: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What a code belongs to. The same code may belong to several.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Kind {
    /// A response with an error, over HTTP.
    Response,
    /// A failed attempt, and a dead letter.
    Failure,
    /// A delivery that waits.
    Wait,
}

/// A code with its explanation.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Explanation {
    kind: Kind,
    code: &'static str,
    /// The statuses of the responses.
    #[serde(skip_serializing_if = "<[u16]>::is_empty")]
    statuses: &'static [u16],
    meaning: &'static str,
    cause: &'static str,
    remedy: &'static str,
}

/// Explanations that belong together, under a title.
struct Section {
    title: &'static str,
    entries: Vec<Explanation>,
}

/// All explanations.
fn sections() -> Vec<Section> {
    let causes = Cause::ALL.map(deliveries::of_cause);
    [
        ("Responses: any request", problems::REQUESTS),
        ("Responses: publishing", problems::PUBLISHING),
        ("Responses: routes of plugins", problems::HANDLERS),
        ("Responses: the store", problems::STORE),
        ("Responses: the admin interface", problems::ADMIN),
        ("Responses: access to the admin interface", problems::ACCESS),
        ("Failures of deliveries", &causes),
        ("Deliveries that wait", deliveries::WAITS),
    ]
    .map(|(title, entries)| Section { title, entries: entries.to_vec() })
    .into()
}

fn all() -> Vec<Explanation> {
    sections().into_iter().flat_map(|section| section.entries).collect()
}

/// The codes for shells, each once, with its first meaning.
fn candidates() -> Vec<CompletionCandidate> {
    let candidate = |entry: Explanation| {
        let id = Some(entry.code.to_owned());
        CompletionCandidate::new(entry.code).id(id).help(Some(entry.meaning.to_owned().into()))
    };
    all().into_iter().map(candidate).collect()
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let found = match &arguments.code {
        None => all(),
        Some(code) => find(code)?,
    };
    let show = |found: &Vec<Explanation>| match &arguments.code {
        None => list(),
        Some(_) => found.iter().map(explain).collect::<Vec<_>>().join("\n"),
    };
    Output { json: arguments.json }.print(&Response::local(found)?, show);
    Ok(())
}

/// The explanations of a code: at least one.
fn find(code: &str) -> anyhow::Result<Vec<Explanation>> {
    let all = all();
    let found: Vec<_> = all.iter().copied().filter(|entry| entry.code == code).collect();
    if !found.is_empty() {
        return Ok(found);
    }
    match spelling::nearest(&code.to_lowercase(), all.iter().map(|entry| entry.code)) {
        Some(nearest) => bail!("there is no code `{code}`; did you mean `{nearest}`?"),
        None => bail!("there is no code `{code}`; `sandbus explain` lists all codes"),
    }
}

fn statuses(entry: &Explanation) -> String {
    entry.statuses.iter().map(u16::to_string).collect::<Vec<_>>().join(", ")
}

/// All codes, in sections.
fn list() -> String {
    let show = |section: &Section| {
        let rows = table(&["CODE", "STATUS", "MEANING"], &section.entries, |entry| {
            vec![entry.code.to_owned(), statuses(entry), entry.meaning.to_owned()]
        });
        format!("{}\n{rows}", section.title)
    };
    sections().iter().map(show).collect::<Vec<_>>().join("\n\n")
}

fn explain(entry: &Explanation) -> String {
    let place = match entry.kind {
        Kind::Response => format!("response with status {}", statuses(entry)),
        Kind::Failure => "cause of a failed delivery".to_owned(),
        Kind::Wait => "reason why a delivery waits".to_owned(),
    };
    let mut text = format!("{} ({place})\n", entry.code);
    for (title, part) in [("Meaning", entry.meaning), ("Usual cause", entry.cause), ("What to do", entry.remedy)] {
        let _ = writeln!(text, "  {:<13}{part}", format!("{title}:"));
    }
    text
}

#[cfg(test)]
mod tests;
