//! `cargo xtask reproduce`.

use crate::cli::ReproduceArgs;

/// Runs the command.
pub fn run(args: &ReproduceArgs) -> anyhow::Result<()> {
    anyhow::bail!("not there yet: {args:?}")
}
