//! What commands print: answers to the standard output, and all else beside them. The only place that prints.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "printing is what this module is for")]

use std::io::Write as _;

use sandbus_toolchain::{Artifact, Project, causes};

use crate::printable;

/// Prints a line of the answer. Whoever reads it may have seen enough, which ends the command and is no failure of it.
pub(crate) fn print_line(text: &str) {
    let Err(problem) = writeln!(std::io::stdout(), "{text}") else { return };
    if problem.kind() != std::io::ErrorKind::BrokenPipe {
        print_error(&anyhow::Error::new(problem).context("the answer cannot be written"));
        std::process::exit(1);
    }
    std::process::exit(0);
}

/// Prints what a compiler said, as it renders it.
pub(crate) fn print_compiler_message(rendered: &str) {
    eprintln!("{}", rendered.trim_end());
}

/// Prints what a project's author should know of a component that was built of it.
pub(crate) fn print_hints(project: &Project, artifact: &Artifact) {
    for hint in sandbus_toolchain::hints(project, artifact).unwrap_or_default() {
        eprintln!("warning: {}: {hint}", project.name);
    }
}

/// Prints what is going on, beside the answer that programs read.
pub(crate) fn print_status(text: &str) {
    eprintln!("{}", printable::block(text));
}

/// Prints lines for another program.
pub(crate) fn print_lines(lines: &[String]) {
    lines.iter().for_each(|text| print_line(text));
}

/// Prints an error with its causes.
pub(crate) fn print_error(error: &anyhow::Error) {
    print_problem(&causes(error.as_ref()));
}

/// Prints what is wrong.
pub(crate) fn print_problem(text: &str) {
    eprintln!("error: {}", printable::paragraph(text));
}
