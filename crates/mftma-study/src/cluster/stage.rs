//! One stage in a process of its own: reads its inputs from the store, writes its output there.

use std::io::Write;

use anyhow::{Result, bail};

use super::plan::{Node, Plan, State};
use crate::cache::Status;
use crate::figures::{Selection, Study};
use crate::record::{peak_memory, size};

/// The exit code of a stage that was told to end (SIGTERM) and wants to go on later: `EX_TEMPFAIL` of `sysexits.h`.
pub const TRY_AGAIN: u8 = 75;

/// Does the stage of a name, unless it is done.
pub fn run(study: &Study<'_>, figures: &[Selection], name: &str, to: &mut dyn Write) -> Result<()> {
    let plan = Plan::by_records(study, figures)?;
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
            // By a training's record, which is to be true.
            verify_inputs(study, &plan, node)?;
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
    let ours = node.stages.iter().map(|stage| stage.as_ref());
    if ours
        .clone()
        .any(|stage| study.cache.examine(stage) != Status::Finished)
    {
        verify_inputs(study, &plan, node)?;
    }
    for stage in ours {
        study.cache.finish(stage, false)?;
        say!(to, "finished: {} {}", stage.kind(), stage.label());
    }
    if let Some(peak) = peak_memory() {
        say!(
            to,
            "at most {} of memory; {} were planned",
            size(peak),
            size(node.limit_bytes() as u64)
        );
    }
    Ok(())
}

/// Sums the files of what a node builds on, and of nothing else.
fn verify_inputs(study: &Study<'_>, plan: &Plan, node: &Node) -> Result<()> {
    let inputs = node.inputs.iter().flat_map(|&at| &plan.nodes[at].stages);
    for input in inputs {
        if let Status::Damaged(how) = study.cache.examine(input.as_ref()) {
            bail!(
                "{} builds on {} {}, which is damaged in {} ({how}); do it again, or submit again: what is damaged is made again",
                node.label,
                input.kind(),
                input.label(),
                study.cache.folder(input.as_ref()).display()
            );
        }
    }
    Ok(())
}
