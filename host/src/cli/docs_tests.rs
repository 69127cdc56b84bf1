//! The commands in the documentation are commands of this version.

use std::path::{Path, PathBuf};

use clap::error::ErrorKind;

use super::command;
use crate::documented::blocks;

/// The pages of documentation, and the page that `sandbus new` writes.
fn pages() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut paths = vec![root.join("README.md")];
    for folder in ["docs", "guest-sdk", "guest-sdk/templates/any"] {
        let entries = std::fs::read_dir(root.join(folder)).unwrap().flatten().map(|entry| entry.path());
        paths.extend(entries.filter(|path| path.extension().is_some_and(|extension| extension == "md")));
    }
    paths.into_iter().map(|path| (path.clone(), std::fs::read_to_string(path).unwrap())).collect()
}

/// The words of a command line, up to what the shell makes of it further.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut quote) = (Vec::<String>::new(), None);
    let mut is_between = true;
    for char in line.chars() {
        match quote {
            Some(open) if char == open => quote = None,
            None if "|>;&".contains(char) || (char == '#' && is_between) => break,
            None if char == '\'' || char == '"' => {
                quote = Some(char);
                if is_between {
                    words.push(String::new());
                    is_between = false;
                }
            }
            None if char.is_whitespace() => is_between = true,
            _ => {
                if is_between {
                    words.push(String::new());
                    is_between = false;
                }
                words.last_mut().expect("a word has begun").push(char);
            }
        }
    }
    words
}

fn error_of(line: &str) -> Option<clap::Error> {
    let error = command().try_get_matches_from(words(line)).err()?;
    (!matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion)).then_some(error)
}

#[test]
fn commands_in_blocks_are_complete() {
    let mut count = 0;
    for (path, text) in pages() {
        for block in blocks(&text).into_iter().filter(|block| block.info.starts_with("console")) {
            let joined = block.text.replace("\\\n", " ");
            for line in joined.lines().filter_map(|line| line.trim_start().strip_prefix("$ sandbus ")) {
                let error = error_of(&format!("sandbus {line}"));
                assert!(error.is_none(), "{}: {line}\n{}", path.display(), error.unwrap());
                count += 1;
            }
        }
    }
    assert!(count > 30, "only {count} commands were found");
}

/// A command that is mentioned may lack an argument, and may have a placeholder in the place of a value.
#[test]
fn commands_in_sentences_exist() {
    for (path, text) in pages() {
        for line in text.lines().flat_map(|line| line.split('`').skip(1).step_by(2)) {
            let Some(error) =
                (line.starts_with("sandbus ") && !line.starts_with("sandbus = ")).then(|| error_of(line)).flatten()
            else {
                continue;
            };
            let is_unknown = matches!(error.kind(), ErrorKind::UnknownArgument | ErrorKind::InvalidSubcommand);
            assert!(!is_unknown, "{}: {line}\n{error}", path.display());
        }
    }
}

#[test]
fn a_command_line_is_split_as_a_shell_does() {
    assert_eq!(words(r#"a 'b c' "d" --x='y z' # e"#), ["a", "b c", "d", "--x=y z"]);
    assert_eq!(words("a b | c"), ["a", "b"]);
    assert_eq!(words("a '' b"), ["a", "", "b"]);
}
