//! Finds the lines of a crate that use given names, for hints to its author. Comments, string literals and tests are
//! ignored.

use std::fs;
use std::path::{Path, PathBuf};

/// Directories that contain no code of the plugin itself.
const LEFT_OUT: [&str; 7] = ["target", "vendor", "tests", "benches", "examples", "dist", "node_modules"];

/// The attribute of items that are compiled for tests only.
const OF_TESTS: &str = "#[cfg(test)]";

/// A source file in which everything but code is blanked. Blanking keeps the line breaks, so line numbers are those of
/// the file.
#[derive(Debug)]
pub(super) struct SourceFile {
    path: PathBuf,
    code: String,
}

impl SourceFile {
    /// The sources below a crate's directory.
    pub(super) fn below(directory: &Path) -> Vec<Self> {
        let (mut found, mut waiting) = (Vec::new(), vec![directory.to_owned()]);
        while let Some(next) = waiting.pop() {
            for entry in fs::read_dir(next).into_iter().flatten().flatten() {
                let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
                // Symbolic links are not followed, because they may form a cycle.
                let Ok(file_type) = entry.file_type() else { continue };
                if file_type.is_dir() && !name.starts_with('.') && !LEFT_OUT.contains(&&*name) {
                    waiting.push(path);
                } else if file_type.is_file() && name.ends_with(".rs") && name != "build.rs" {
                    let text = fs::read_to_string(&path).unwrap_or_default();
                    found.push(Self { path, code: without_tests(code(&text)) });
                }
            }
        }
        found.sort_by(|one, other| one.path.cmp(&other.path));
        found
    }

    /// The locations of the given words, as `path:line`.
    pub(super) fn usages<'a>(&'a self, words: &'a [&str]) -> impl Iterator<Item = String> + 'a {
        let lines = self.code.lines().enumerate();
        let has_one = |line: &str| words.iter().any(|word| has(line, word));
        let found = lines.filter(move |(_, line)| has_one(line));
        found.map(|(number, _)| format!("{}:{}", self.path.display(), number + 1))
    }
}

/// Whether a line contains a word that starts at a word boundary.
fn has(line: &str, word: &str) -> bool {
    let is_part = |letter: char| letter.is_alphanumeric() || letter == '_';
    line.match_indices(word).any(|(at, _)| !line[..at].ends_with(is_part))
}

/// The text with comments and literals replaced by spaces (Rust reference, sections 2.4 and 2.5).
fn code(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => comment(rest),
            '"' => quoted(rest),
            'r' if !code.ends_with(|letter: char| letter.is_alphanumeric() || letter == '_') => raw(rest),
            '\'' => letter(rest),
            _ => 0,
        };
        if length == 0 {
            code.push(first);
            rest = &rest[first.len_utf8()..];
        } else {
            code.extend(rest[..length].chars().map(|letter| if letter == '\n' { '\n' } else { ' ' }));
            rest = &rest[length..];
        }
    }
    code
}

/// The length of a comment. Block comments nest.
fn comment(text: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let (step, change) = match rest {
            _ if rest.starts_with("/*") => (2, 1),
            _ if rest.starts_with("*/") => (2, -1),
            _ => (rest.chars().next().map_or(1, char::len_utf8), 0),
        };
        at += step;
        depth = depth.saturating_add_signed(change);
        if depth == 0 {
            break;
        }
    }
    at
}

fn quoted(text: &str) -> usize {
    let mut is_escaped = true;
    for (at, letter) in text.char_indices() {
        match letter {
            '"' if !is_escaped => return at + 1,
            _ => is_escaped = at == 0 || letter == '\\' && !is_escaped,
        }
        if at == 0 {
            is_escaped = false;
        }
    }
    text.len()
}

/// The length of a raw string literal, or 0 if the text does not start with one.
fn raw(text: &str) -> usize {
    let hashes = text[1..].bytes().take_while(|byte| *byte == b'#').count();
    let begin = 1 + hashes;
    if !text[begin..].starts_with('"') {
        return 0;
    }
    let end = format!("\"{}", "#".repeat(hashes));
    text[begin + 1..].find(&end).map_or(text.len(), |at| begin + 1 + at + end.len())
}

/// The length of a character literal, or 0 if the quote starts a lifetime.
fn letter(text: &str) -> usize {
    let mut letters = text.char_indices().skip(1);
    match letters.next() {
        Some((_, '\\')) => {
            text[2..].char_indices().skip(1).find(|(_, letter)| *letter == '\'').map_or(0, |(at, _)| at + 3)
        }
        Some(_) => letters.next().filter(|(_, letter)| *letter == '\'').map_or(0, |(at, _)| at + 1),
        None => 0,
    }
}

/// The code with items that are compiled for tests only replaced by spaces.
fn without_tests(mut code: String) -> String {
    while let Some(begin) = code.find(OF_TESTS) {
        let mut depth = 0_usize;
        let item = code[begin + OF_TESTS.len()..].char_indices().find(|(_, letter)| {
            match letter {
                '{' => depth += 1,
                '}' => depth = depth.saturating_sub(1),
                _ => {}
            }
            depth == 0 && matches!(letter, '}' | ';')
        });
        let end = item.map_or(code.len(), |(at, _)| begin + OF_TESTS.len() + at + 1);
        let blank: String = code[begin..end].chars().map(|letter| if letter == '\n' { '\n' } else { ' ' }).collect();
        code.replace_range(begin..end, &blank);
    }
    code
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_in_code_alone_with_their_lines() {
        for (text, lines) in [
            ("println!(\"a\")", &[1][..]),
            ("\n\n  std::println!()\nprintln!()", &[3, 4]),
            ("eprintln!()", &[]),
            ("my_println!()", &[]),
            ("// println!()\n/* a\n/* println!() */ println!() */ println!()", &[3]),
            ("let a = \"println!() \\\" println!()\"; println!();", &[1]),
            ("let a = r#\"\nprintln!() \" println!()\"#;\nprintln!()", &[3]),
            ("let quote = '\"'; println!();\nlet a = '\\''; println!()", &[1, 2]),
            ("fn f<'a>(a: &'a str) { println!() }", &[1]),
            ("let r = 1; for r in x { println!() }", &[1]),
            ("let s = \"für \\\\\"; println!()", &[1]),
            ("#[cfg(test)]\nmod tests { fn a() { println!() } }\nprintln!()", &[3]),
            ("#[cfg(test)]\nuse a::println;\nfn f() { println!() }", &[3]),
            ("\"unclosed println!()", &[]),
            ("/* unclosed println!()", &[]),
            ("", &[]),
        ] {
            let source = SourceFile { path: "a.rs".into(), code: without_tests(code(text)) };
            let found: Vec<_> = source.usages(&["println!"]).collect();
            let expected: Vec<_> = lines.iter().map(|line| format!("a.rs:{line}")).collect();
            assert_eq!(found, expected, "{text}");
        }
    }
}
