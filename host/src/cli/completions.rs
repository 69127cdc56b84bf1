//! `sandbus completions`, and the answers to the scripts that it prints.
//!
//! The script of a shell calls this program at each completion, with the words of the command line. So it stays valid
//! when commands change, and can offer the names of a running host.

mod bash;
pub(super) mod live;

use std::ffi::{OsStr, OsString};
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::ValueEnum;
use clap_complete::env::{EnvCompleter, Fish, Zsh};

use crate::console;
use bash::Bash;

/// The variable with the name of the shell, which the scripts set.
const VARIABLE: &str = "SANDBUS_COMPLETE";

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The shell
    #[arg(value_enum, value_name = "SHELL")]
    shell: Shell,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Shell {
    /// Add `source <(sandbus completions bash)` to ~/.bashrc
    Bash,
    /// Add `sandbus completions fish | source` to ~/.config/fish/config.fish
    Fish,
    /// Add `source <(sandbus completions zsh)` to ~/.zshrc, after `compinit`
    Zsh,
}

impl Shell {
    fn completer(self) -> &'static dyn EnvCompleter {
        match self {
            Self::Bash => &Bash,
            Self::Fish => &Fish,
            Self::Zsh => &Zsh,
        }
    }

    /// The shell that asks for completions, if one does.
    fn of_process() -> Option<Self> {
        std::env::var(VARIABLE).ok().and_then(|name| Self::from_str(&name, false).ok())
    }
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let mut script = Vec::new();
    let program = program(std::env::args_os().next().as_deref());
    arguments.shell.completer().write_registration(VARIABLE, "sandbus", "sandbus", &program, &mut script)?;
    let script = String::from_utf8(script).context("the path of this program is not UTF-8")?;
    console::print_line(script.trim_end());
    Ok(())
}

/// How the script calls this program: as it was called, but independent of the working directory.
fn program(called: Option<&OsStr>) -> String {
    let called = Path::new(called.unwrap_or(OsStr::new("sandbus")));
    let is_path = called.components().count() > 1;
    let absolute = if is_path { std::path::absolute(called).ok() } else { None };
    absolute.as_deref().unwrap_or(called).to_string_lossy().into_owned()
}

/// A question of a shell: how the last word of a command line may continue.
pub(super) struct Request {
    shell: Shell,
    words: Vec<OsString>,
}

impl Request {
    /// The question that this process was started for, if it was.
    pub(super) fn of_process() -> Option<Self> {
        let shell = Shell::of_process()?;
        let mut words = std::env::args_os().skip(1);
        words.next().filter(|word| word == "--")?;
        Some(Self { shell, words: words.collect() })
    }

    /// Prints the answer. Reports no error, because a shell cannot use one.
    pub(super) fn answer(self, mut command: clap::Command) -> ExitCode {
        let (mut answer, folder) = (Vec::new(), std::env::current_dir().ok());
        let written = self.shell.completer().write_complete(&mut command, self.words, folder.as_deref(), &mut answer);
        if written.is_err() {
            return ExitCode::FAILURE;
        }
        let mut output = std::io::stdout();
        console::end_output(output.write_all(&answer).and_then(|()| output.flush()))
    }
}

/// The words of the command line that is completed, including the last one.
fn words() -> Vec<String> {
    let Some(Request { shell, words }) = Request::of_process() else { return Vec::new() };
    let words = if shell == Shell::Bash { bash::CommandLine::of_process(words).words } else { words };
    words.iter().map(|word| word.to_string_lossy().into_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_calls_the_program_as_it_was_called_from_everywhere() {
        assert_eq!(program(Some(OsStr::new("sandbus"))), "sandbus");
        assert_eq!(program(Some(OsStr::new("/opt/sandbus"))), "/opt/sandbus");
        let relative = program(Some(OsStr::new("target/sandbus")));
        assert!(relative.starts_with('/') && relative.ends_with("/target/sandbus"), "{relative}");
    }

    #[test]
    fn every_shell_has_a_script() {
        for shell in Shell::value_variants() {
            let mut script = Vec::new();
            shell.completer().write_registration(VARIABLE, "sandbus", "sandbus", "/opt/sandbus", &mut script).unwrap();
            let (script, name) = (String::from_utf8(script).unwrap(), shell.to_possible_value().unwrap());
            let sets = format!("{VARIABLE}={}", name.get_name());
            assert!(script.contains("/opt/sandbus") && script.replace('"', "").contains(&sets), "{script}");
        }
    }
}
