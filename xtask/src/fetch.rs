//! `cargo xtask fetch`.

use crate::cli::FetchArgs;

/// Runs the command.
pub fn run(args: &FetchArgs) -> anyhow::Result<()> {
    anyhow::bail!("not there yet: {args:?}")
}
