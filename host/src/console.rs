//! Prints results to standard output and everything else to standard error. Only this module prints.

use std::io::Write as _;
use std::process::ExitCode;

use sandbus_toolchain::{Artifact, Project, causes};

use crate::{printable, stderr};

/// Prints a line of the result. Ends the process if the line cannot be written.
pub(crate) fn print_line(text: &str) {
    let written = writeln!(std::io::stdout(), "{text}");
    if written.is_err() {
        let failed = end_output(written) == ExitCode::FAILURE;
        stderr::exit(i32::from(failed));
    }
}

/// The exit code after the last output. A reader that has closed the pipe has read enough, which is not a failure.
pub(crate) fn end_output(written: std::io::Result<()>) -> ExitCode {
    match written {
        Err(problem) if problem.kind() != std::io::ErrorKind::BrokenPipe => {
            print_error(&anyhow::Error::new(problem).context("the output cannot be written"));
            ExitCode::FAILURE
        }
        _ => ExitCode::SUCCESS,
    }
}

/// Prints a compiler message with its own formatting.
pub(crate) fn print_compiler_message(rendered: &str) {
    stderr::print(&format!("{}\n", rendered.trim_end()));
}

/// Prints hints about a component that was built.
pub(crate) fn print_hints(project: &Project, artifact: &Artifact) {
    for hint in sandbus_toolchain::hints(project, artifact).unwrap_or_default() {
        stderr::print(&format!("warning: {}: {hint}\n", project.name));
    }
}

/// Prints a status message to standard error.
pub(crate) fn print_status(text: &str) {
    stderr::print(&format!("{}\n", printable::block(text)));
}

/// Prints an error with its causes.
pub(crate) fn print_error(error: &anyhow::Error) {
    print_problem(&causes(error.as_ref()));
}

/// Prints an error message.
pub(crate) fn print_problem(text: &str) {
    stderr::print(&format!("error: {}\n", printable::paragraph(text)));
}

/// Waits until everything that was printed and logged is written, unless nobody reads it.
pub(crate) fn flush() {
    stderr::flush();
}
