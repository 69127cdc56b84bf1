//! Completion in bash, which splits words at `:` and `=` as well.

use std::ffi::OsString;
use std::io::Write;
use std::path::Path;

use clap_complete::engine::complete;
use clap_complete::env::EnvCompleter;

/// The variable with the index of the word to complete.
const INDEX: &str = "SANDBUS_COMPLETE_INDEX";
/// The variable with the part of the word that bash replaces.
const PART: &str = "SANDBUS_COMPLETE_PART";
/// Separates the completions. No completion contains it.
const SEPARATOR: char = '\u{b}';

/// `compopt` and `nosort` exist since bash 4.4.
const SCRIPT: &str = r#"
_sandbus_complete() {
    local IFS=$'\013' words=("${COMP_WORDS[@]}") replies
    # The word up to the cursor, unless bash has split a word at this separator.
    case ${words[COMP_CWORD]} in
        *[!:=]*) words[COMP_CWORD]=$2 ;;
    esac
    replies=$(VARIABLE=bash INDEX=$COMP_CWORD PART=$2 PROGRAM -- "${words[@]}" 2>/dev/null) || return
    COMPREPLY=($replies)
    if [[ ${COMPREPLY-} =~ [=/:]$ ]]; then
        compopt -o nospace 2>/dev/null
    fi
}
complete -o bashdefault -o nosort -F _sandbus_complete BIN 2>/dev/null ||
    complete -o bashdefault -F _sandbus_complete BIN
"#;

pub(super) struct Bash;

impl EnvCompleter for Bash {
    fn name(&self) -> &'static str {
        "bash"
    }

    fn is(&self, name: &str) -> bool {
        name == "bash"
    }

    fn write_registration(
        &self,
        variable: &str,
        _: &str,
        bin: &str,
        program: &str,
        script: &mut dyn Write,
    ) -> std::io::Result<()> {
        let program = format!("'{}'", program.replace('\'', r"'\''"));
        // The program last, because its path may contain any of the placeholders.
        let filled = SCRIPT.replace("VARIABLE", variable).replace("INDEX", INDEX).replace("PART", PART);
        script.write_all(filled.replace("BIN", bin).replace("PROGRAM", &program).as_bytes())
    }

    fn write_complete(
        &self,
        command: &mut clap::Command,
        words: Vec<OsString>,
        folder: Option<&Path>,
        answer: &mut dyn Write,
    ) -> std::io::Result<()> {
        let CommandLine { words, index, kept } = CommandLine::of_process(words);
        let candidates = complete(command, words, index, folder)?;
        let texts = candidates.iter().map(|candidate| candidate.get_value().to_string_lossy());
        // Bash keeps what precedes the last separator.
        let parts: Vec<_> = texts.filter_map(|text| text.strip_prefix(kept.as_str()).map(str::to_owned)).collect();
        answer.write_all(parts.join(&SEPARATOR.to_string()).as_bytes())
    }
}

/// A command line with the words that the user sees.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct CommandLine {
    pub(super) words: Vec<OsString>,
    /// The index of the word to complete.
    index: usize,
    /// The beginning of this word, which bash does not replace.
    kept: String,
}

impl CommandLine {
    /// The command line of a request, whose words bash has split.
    pub(super) fn of_process(words: Vec<OsString>) -> Self {
        let index = std::env::var(INDEX).ok().and_then(|index| index.parse().ok());
        let part = std::env::var(PART).unwrap_or_default();
        Self::joined(words, index.unwrap_or_default(), &part)
    }

    /// Joins the words that bash has split.
    fn joined(split: Vec<OsString>, index: usize, part: &str) -> Self {
        let is_separator =
            |word: &OsString| !word.is_empty() && word.as_encoded_bytes().iter().all(|byte| b":=".contains(byte));
        let (mut words, mut at, mut is_open) = (Vec::<OsString>::new(), 0, false);
        for (place, word) in split.into_iter().enumerate() {
            let separates = is_separator(&word);
            match words.last_mut() {
                // The first word is the program.
                Some(last) if place > 1 && (separates || is_open) => last.push(&word),
                _ => words.push(word),
            }
            is_open = separates;
            if place == index {
                at = words.len() - 1;
            }
        }
        let word = words.get(at).map(|word| word.to_string_lossy().into_owned()).unwrap_or_default();
        let kept = word.strip_suffix(part).unwrap_or_default().to_owned();
        Self { words, index: at, kept }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_bash_has_split_are_joined() {
        for (split, index, part, words, at, kept) in [
            (&["sandbus", "pl"][..], 1, "pl", &["sandbus", "pl"][..], 1, ""),
            (&["sandbus", "plugins", ""], 2, "", &["sandbus", "plugins", ""], 2, ""),
            (
                &["sandbus", "--admin", "http", ":", "//127.0.0.1", ":", "8081", "pl"],
                7,
                "pl",
                &["sandbus", "--admin", "http://127.0.0.1:8081", "pl"],
                3,
                "",
            ),
            (
                &["sandbus", "rollback", "orders", "--to", "=", "ab"],
                5,
                "ab",
                &["sandbus", "rollback", "orders", "--to=ab"],
                3,
                "--to=",
            ),
            (&["sandbus", "rollback", "--to", "="], 3, "", &["sandbus", "rollback", "--to="], 2, "--to="),
            (&["sandbus", "a", "urn", ":", "x"], 4, "x", &["sandbus", "a", "urn:x"], 2, "urn:"),
            (&["sandbus", "a", "urn", ":", "x", "b"], 5, "b", &["sandbus", "a", "urn:x", "b"], 3, ""),
        ] {
            let own = |words: &[&str]| words.iter().map(OsString::from).collect::<Vec<_>>();
            let expected = CommandLine { words: own(words), index: at, kept: kept.to_owned() };
            assert_eq!(CommandLine::joined(own(split), index, part), expected, "{split:?}");
        }
    }
}
