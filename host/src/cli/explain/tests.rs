use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, TokenStream, TokenTree};

use super::*;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The sources of the host without tests and without the list of the OpenAPI document, which states codes and
/// produces none.
fn sources() -> Vec<(PathBuf, TokenStream)> {
    let mut sources = Vec::new();
    let mut folders = vec![repository().join("host/src")];
    while let Some(folder) = folders.pop() {
        for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            let is_left_out =
                ["tests.rs", "openapi/problems.rs"].iter().any(|end| path.to_str().unwrap().ends_with(end));
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") && !is_left_out {
                let text = std::fs::read_to_string(&path).unwrap();
                let tokens = text.parse().unwrap_or_else(|error| panic!("{}: {error}", path.display()));
                sources.push((path, tokens));
            }
        }
    }
    sources
}

/// The codes in the sources.
#[derive(Default)]
struct Codes {
    found: BTreeSet<String>,
    /// Calls whose code is not a literal: the text of the argument.
    computed: Vec<String>,
    /// Closures that take a code first.
    closures: BTreeSet<String>,
    /// Literals that a `match` selects as `code`.
    selected: BTreeSet<String>,
}

impl Codes {
    fn of(tokens: TokenStream) -> Self {
        let mut codes = Self::default();
        // Calls of a closure are recognised once its definition has been read.
        codes.read(tokens.clone());
        if !codes.computed.is_empty() {
            codes.found.clear();
            codes.computed.clear();
            codes.read(tokens);
            codes.found.append(&mut codes.selected);
        }
        codes
    }

    fn read(&mut self, tokens: TokenStream) {
        let tokens: Vec<_> = tokens.into_iter().collect();
        let mut index = 0;
        while index < tokens.len() {
            if is_test(&tokens[index..]) {
                // The attribute, `mod`, its name, and its body.
                index += 5;
                continue;
            }
            self.read_at(&tokens, index);
            if let TokenTree::Group(group) = &tokens[index] {
                self.read(group.stream());
            }
            index += 1;
        }
    }

    /// Reads the codes that the arms of a `match` select.
    fn select(&mut self, token: &TokenTree) {
        let TokenTree::Group(arms) = token else { return };
        let arms: Vec<_> = arms.stream().into_iter().collect();
        for arm in arms.windows(3).filter(|arm| arm[0].to_string() == "=" && arm[1].to_string() == ">") {
            self.selected.extend(first_literal(&arm[2]));
        }
    }

    fn read_at(&mut self, tokens: &[TokenTree], index: usize) {
        let text = |offset: isize| {
            let at = index.checked_add_signed(offset)?;
            tokens.get(at).map(ToString::to_string)
        };
        let is = |offset, expected: &str| text(offset).is_some_and(|text| text == expected);
        if is(0, "let") && is(2, "=") && is(3, "|") && is(4, "code") {
            self.closures.extend(text(1));
        }
        if is(0, "let") && (is(1, "code") || text(1).is_some_and(|pattern| pattern.starts_with("(code"))) {
            let value = tokens[index..].iter().take_while(|token| token.to_string() != ";");
            value.for_each(|token| self.select(token));
        }
        let Some(TokenTree::Group(arguments)) = tokens.get(index + 1) else { return };
        if arguments.delimiter() != Delimiter::Parenthesis || is(-1, "fn") {
            return;
        }
        let owner = text(-3).unwrap_or_default();
        let position = match text(0).unwrap_or_default().as_str() {
            "new" if owner == "Problem" || (owner == "Self" && is_of_problem(arguments.stream())) => 1,
            "bad_request" => 0,
            name if self.closures.contains(name) => 0,
            _ => return,
        };
        let argument = argument(arguments.stream(), position);
        match literal(&argument) {
            Some(code) => drop(self.found.insert(code)),
            None => self.computed.push(argument),
        }
    }
}

/// `#[cfg(test)] mod tests { … }`
fn is_test(tokens: &[TokenTree]) -> bool {
    let text = |index: usize| tokens.get(index).map(ToString::to_string).unwrap_or_default();
    text(0) == "#" && text(1).replace(' ', "") == "[cfg(test)]" && text(2) == "mod"
}

/// Whether the first argument is a status.
fn is_of_problem(arguments: TokenStream) -> bool {
    argument(arguments, 0).starts_with("StatusCode")
}

fn argument(arguments: TokenStream, position: usize) -> String {
    let tokens: Vec<_> = arguments.into_iter().collect();
    let mut parts = tokens.split(|token| matches!(token, TokenTree::Punct(punct) if punct.as_char() == ','));
    let part = parts.nth(position).unwrap_or_default();
    part.iter().map(ToString::to_string).collect()
}

fn literal(text: &str) -> Option<String> {
    let code = text.strip_prefix('"')?.strip_suffix('"')?;
    let is_code = code.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
    is_code.then(|| code.to_owned())
}

/// A literal, or the first one of a tuple.
fn first_literal(token: &TokenTree) -> Option<String> {
    match token {
        TokenTree::Literal(text) => literal(&text.to_string()),
        TokenTree::Group(group) if group.delimiter() == Delimiter::Parenthesis => literal(&argument(group.stream(), 0)),
        _ => None,
    }
}

fn of_kind(kind: Kind) -> BTreeSet<String> {
    all().iter().filter(|entry| entry.kind == kind).map(|entry| entry.code.to_owned()).collect()
}

#[test]
fn every_code_of_a_response_is_explained_and_every_explained_code_is_used() {
    let mut used = BTreeSet::new();
    for (path, tokens) in sources() {
        let codes = Codes::of(tokens);
        for argument in codes.computed {
            let path = path.display();
            assert_eq!(argument, "code", "{path}: name the code as a literal, or as `code` that a match arm selects");
        }
        used.extend(codes.found);
    }
    // The constructors in `problem.rs` pass a code on.
    assert_eq!(of_kind(Kind::Response), used);
}

#[test]
fn every_reason_to_wait_is_explained_and_every_explained_reason_is_used() {
    let source = std::fs::read_to_string(repository().join("host/src/admin/waiting.rs")).unwrap();
    let used = source.split("reason(\"").skip(1).filter_map(|rest| rest.split('"').next()).map(str::to_owned);
    assert_eq!(of_kind(Kind::Wait), used.collect());
}

#[test]
fn the_openapi_document_has_no_other_statuses() {
    let text = std::fs::read_to_string(repository().join("host/src/admin/openapi/problems.rs")).unwrap();
    let mut count = 0;
    for pair in text.split('(').filter_map(|rest| rest.split_once("\")")).map(|(pair, _)| pair) {
        let Some((status, code)) = pair.split_once(", \"") else { continue };
        let status: u16 = status.parse().unwrap();
        let entry = all().into_iter().find(|entry| entry.kind == Kind::Response && entry.code == code).unwrap();
        assert!(entry.statuses.contains(&status), "{code}: {status}");
        count += 1;
    }
    assert!(count > 80, "only {count} codes were found");
}

#[test]
fn a_code_is_explained_once_for_each_kind() {
    let mut seen = BTreeSet::new();
    for entry in all() {
        assert!(seen.insert((entry.kind, entry.code)), "{} is explained twice", entry.code);
        assert_eq!(entry.statuses.is_empty(), entry.kind != Kind::Response, "{}", entry.code);
        for text in [entry.meaning, entry.cause, entry.remedy] {
            assert!(text.ends_with('.') && text.starts_with(char::is_uppercase), "{}: {text}", entry.code);
        }
    }
}

#[test]
fn a_code_is_found_in_all_its_kinds_and_a_misspelt_one_is_corrected() {
    assert_eq!(
        find("conflict").unwrap().iter().map(|entry| entry.kind).collect::<Vec<_>>(),
        [Kind::Response, Kind::Failure]
    );
    let error = |code: &str| find(code).unwrap_err().to_string();
    assert!(error("backlog-ful").ends_with("did you mean `backlog-full`?"));
    assert!(error("Disk-Full").ends_with("did you mean `disk-full`?"));
    assert!(error("xyz").ends_with("lists all codes"));
    let shown = explain(&find("disk-full").unwrap()[0]);
    assert!(shown.starts_with("disk-full (response with status 507)\n  Meaning:     The disk is full."), "{shown}");
}

/// With `SANDBUS_BLESS=1` the page is written.
#[test]
fn the_page_has_the_table() {
    let path = repository().join("docs/errors.md");
    let page = page::write(&sections());
    if std::env::var_os("SANDBUS_BLESS").is_some() {
        std::fs::write(&path, page).unwrap();
    } else {
        let written = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(written, page, "run SANDBUS_BLESS=1 cargo test --workspace --lib the_page_has_the_table");
    }
}
