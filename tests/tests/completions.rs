//! Completions in real shells, with the names of a running host.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use sandbus_tests::command_line::run;
use sandbus_tests::{Host, Setup, binary, digest, eventually, guest};

/// A shell, run on a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

impl Shell {
    const ALL: [Self; 3] = [Self::Bash, Self::Zsh, Self::Fish];

    fn name(self) -> &'static str {
        match self {
            Self::Bash => "bash",
            Self::Zsh => "zsh",
            Self::Fish => "fish",
        }
    }

    /// Every machine has bash. The other shells are tested where they are installed.
    fn is_installed(self) -> bool {
        let found = Command::new(self.name()).arg("--version").output();
        found.is_ok_and(|output| output.status.success()) || self == Self::Bash
    }

    /// The words that a command line has after a user has pressed the tab key behind it.
    fn complete(self, home: &Path, variables: &[(&str, &str)], line: &str) -> Vec<String> {
        let program = binary();
        let program = program.display();
        // Fish completes without a terminal. The others get one, and a function in place of the command shows its words.
        let (command, input) = match self {
            Self::Bash => (
                "bash --norc --noprofile -i",
                format!(
                    "PS1=; source <({program} completions bash)\nsandbus() {{ printf '<%s>' \"$@\"; echo; }}\n{line}\t\nexit\n"
                ),
            ),
            Self::Zsh => (
                "zsh -f -i",
                format!(
                    "PS1=; autoload -U compinit; compinit -u; source <({program} completions zsh)\nsandbus() {{ printf '<%s>' \"$@\"; echo; }}\n{line}\t\nexit\n"
                ),
            ),
            Self::Fish => {
                let script = format!("{program} completions fish | source; complete --do-complete '{line}'");
                let output = Command::new("fish")
                    .args(["--no-config", "--command", &script])
                    .env("HOME", home)
                    .envs(variables.iter().copied())
                    .output()
                    .unwrap();
                let found = String::from_utf8_lossy(&output.stdout).into_owned();
                return found.lines().map(|line| line.split('\t').next().unwrap().to_owned()).collect();
            }
        };
        let mut terminal = Command::new("script")
            .args(["--quiet", "--return", "--command", command, "/dev/null"])
            .env("HOME", home)
            .env("TERM", "xterm")
            .envs(variables.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        terminal.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = terminal.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        // Escape sequences of the terminal may precede the words, and the function itself is shown, too.
        let words = |line: &'_ str| Some(line.trim().strip_suffix('>')?.split_once('<')?.1.to_owned());
        let shown = text.lines().find_map(words);
        let shown = shown.unwrap_or_else(|| panic!("{line}: the shell shows\n{text}"));
        shown.split("><").map(str::to_owned).collect()
    }

    /// The last word after a completion. Fish lists it alone.
    fn last_word(self, home: &Path, variables: &[(&str, &str)], line: &str) -> String {
        self.complete(home, variables, line).pop().unwrap_or_default()
    }
}

fn host() -> Host {
    let host = Setup::new().plugin("echo").plugin("poison").start();
    host.drop_in("poison-fixed", "poison.wasm");
    host.wait_until_loaded("poison-fixed", "poison.wasm");
    host.drop_in("poison", "poison.wasm");
    host.wait_until_loaded("poison", "poison.wasm");
    let _ = run(&host, &["publish", "poison.pill", "--id", "p1"]);
    let _ = run(&host, &["publish", "x.y", "--id", "soon-1", "--source", "/till/1", "--delay", "1h"]);
    let _ = run(&host, &["publish", "x.y", "--id", "$(id)", "--delay", "2h"]);
    eventually("the pill is a dead letter", || (host.dead_letters().len() == 1).then_some(()));
    host
}

#[test]
fn names_of_a_running_host_are_completed() {
    let host = host();
    let admin = host.admin_url("");
    let number = host.dead_letters()[0]["number"].to_string();
    let fixed = digest(&guest("poison-fixed"))[..12].to_owned();
    let cases = [
        ("sandbus plugins show ec", "echo"),
        ("sandbus plugins disable poi", "poison"),
        ("sandbus subscriptions pause echo/r", "echo/remember"),
        ("sandbus attempts --subscription poison/", "poison/swallow"),
        ("sandbus dead-letters list --like ", &number),
        ("sandbus rollback poison --to ", &fixed),
        // An id that a shell would run is not offered.
        ("sandbus schedules cancel --id ", "soon-1"),
        ("sandbus schedules cancel --source /ti", "/till/1"),
        ("sandbus explain backlog-f", "backlog-full"),
        ("sandbus new x --lang py", "python"),
    ];
    for shell in Shell::ALL.into_iter().filter(|shell| shell.is_installed()) {
        for (line, expected) in cases {
            let word = shell.last_word(host.path(), &[("SANDBUS_ADMIN", &admin)], line);
            assert_eq!(word, expected, "{shell:?}: {line}");
        }
    }
}

#[test]
fn the_flags_of_the_command_line_name_the_host_and_words_are_joined_in_bash() {
    let host = host();
    let admin = host.admin_url("");
    let fixed = digest(&guest("poison-fixed"))[..12].to_owned();
    let cases = [
        (format!("sandbus plugins show --admin {admin} ec"), "echo".to_owned()),
        (format!("sandbus plugins show --admin={admin} ec"), "echo".to_owned()),
        (format!("sandbus rollback --admin {admin} poison --to={}", &fixed[..3]), format!("--to={fixed}")),
    ];
    for shell in Shell::ALL.into_iter().filter(|shell| shell.is_installed()) {
        for (line, expected) in &cases {
            assert_eq!(shell.last_word(host.path(), &[], line), *expected, "{shell:?}: {line}");
        }
    }
}

#[test]
fn without_a_host_or_a_token_nothing_is_completed_and_nothing_is_printed() {
    let host = Setup::new().plugin("echo").config("[access]\nrequire_tokens = true").start();
    let admin = host.admin_url("");
    let data = host.path().join("data");
    let token = |arguments: &[&str]| {
        let created =
            run(&host, &[&["token", "create", "--json", "--data", data.to_str().unwrap()], arguments].concat());
        serde_json::from_str::<serde_json::Value>(&created).unwrap()["secret"].as_str().unwrap().to_owned()
    };
    let token = token(&["--role", "view"]);
    let line = "sandbus plugins show ec";
    for (variables, expected) in [
        (&[("SANDBUS_ADMIN", admin.as_str())][..], "ec"),
        (&[("SANDBUS_ADMIN", &admin), ("SANDBUS_TOKEN", "sbt_wrong")], "ec"),
        (&[("SANDBUS_ADMIN", &admin), ("SANDBUS_TOKEN", &token)], "echo"),
        (&[("SANDBUS_ADMIN", "http://127.0.0.1:9")], "ec"),
        (&[("SANDBUS_ADMIN", "not a URL")], "ec"),
    ] {
        assert_eq!(Shell::Bash.last_word(host.path(), variables, line), expected, "{variables:?}");
    }
}

#[test]
fn a_shell_without_a_script_is_refused() {
    let output = Command::new(binary()).args(["completions", "cmd"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("[possible values: bash, fish, zsh]"), "{text}");
}
