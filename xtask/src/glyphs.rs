//! `cargo xtask glyphs`.

use crate::cli::GlyphsArgs;

/// Runs the command.
pub fn run(args: &GlyphsArgs) -> anyhow::Result<()> {
    anyhow::bail!("not there yet: {args:?}")
}
