//! One stage in a process of its own: reads its inputs from the store, writes its output there.

use std::io::Write;

use anyhow::{Result, bail};

use super::plan::{Plan, State};
use crate::figures::{Selection, Study};

/// The exit code of a stage that was told to end (SIGTERM) and wants to go on later: `EX_TEMPFAIL` of `sysexits.h`.
pub const TRY_AGAIN: u8 = 75;

/// Does the stage of a name, unless it is done.
pub fn run(study: &Study<'_>, figures: &[Selection], name: &str, to: &mut dyn Write) -> Result<()> {
    let plan = Plan::of(study, figures)?;
    let node = &plan.nodes[plan.find(name)?];
    match node.state {
        State::Waits => {
            let open: Vec<String> = node
                .inputs
                .iter()
                .map(|&input| &plan.nodes[input])
                .filter(|input| input.state != State::Finished)
                .map(|input| format!("{} {} ({})", input.kind, input.label, &input.id[..16]))
                .collect();
            bail!(
                "{} builds on what is not finished in {}: {}; do that first",
                node.kind,
                study.cache.root().display(),
                open.join(", ")
            );
        }
        State::NotNeeded => {
            say!(
                to,
                "{} {}: not needed, training ended before",
                node.kind,
                node.label
            );
            return Ok(());
        }
        State::Finished | State::Ready => {}
    }
    for stage in &node.stages {
        study.cache.finish(stage.as_ref(), false)?;
        say!(to, "finished: {} {}", stage.kind(), stage.label());
    }
    Ok(())
}
