//! The `mftma` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(mftma_cli::program::run(std::env::args_os()))
}
