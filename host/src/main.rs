//! The binary `sandbus`.

use std::process::ExitCode;

fn main() -> ExitCode {
    sandbus_host::cli::main()
}
