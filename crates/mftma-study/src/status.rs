//! `cargo xtask reproduce status`: what is finished, in progress and missing, the time spent and the space taken.

use std::collections::HashMap;
use std::io::Write;
use std::path::Path;

use anyhow::Result;

use crate::cache::{Status, key};
use crate::estimate::{Rates, Total};
use crate::figures::{Selection, Study};
use crate::record::{disk_use, duration, size};

/// Prints the status of a results folder. Writes nothing.
pub fn print(
    study: &Study<'_>,
    figures: &[Selection],
    out: &Path,
    to: &mut dyn Write,
) -> Result<()> {
    say!(to, "{} in {}", study.profile_name, out.display());
    let rates = Rates::of(study.cache);
    let mut left = Total::default();
    let mut known: HashMap<String, Status> = HashMap::new();
    let (mut spent, mut finished) = (0.0, 0);
    let mut remarkable = Vec::new();
    for figure in figures {
        let stages = figure.stages(study)?;
        let mut done = 0;
        for stage in &stages {
            let key = key(stage.as_ref());
            if let Some(status) = known.get(&key) {
                done += usize::from(!status.must_run());
                continue;
            }
            let status = study.cache.status(stage.as_ref());
            match &status {
                Status::Finished => {
                    done += 1;
                    finished += 1;
                    spent += study.cache.wall_seconds(stage.as_ref()).unwrap_or(0.0);
                }
                other => {
                    left.add(rates.cost(stage.as_ref()));
                    // Missing stages are many and all alike.
                    if *other != Status::Missing {
                        remarkable.push(format!("{} {}: {other}", stage.kind(), stage.label()));
                    }
                }
            }
            known.insert(key, status);
        }
        let drawn = out.join(format!("{}.svg", figure.stem())).exists();
        say!(
            to,
            "  {:<5} {done} of {} stages finished, {}",
            figure.stem(),
            stages.len(),
            if drawn { "drawn" } else { "not drawn" }
        );
    }
    for line in remarkable {
        say!(to, "  {line}");
    }
    let count = |wanted: &Status| known.values().filter(|status| *status == wanted).count();
    let (running, missing) = (count(&Status::InProgress), count(&Status::Missing));
    say!(
        to,
        "{finished} stages finished in {}, {running} in progress, {missing} missing, {} to be made again or continued",
        duration(spent),
        known.len() - finished - running - missing
    );
    if finished < known.len() {
        say!(to, "left to do: {left}");
    }
    say!(
        to,
        "disk: cache {}, tables and figures {}",
        size(disk_use(study.cache.root(), None)),
        size(disk_use(out, Some(study.cache.root())))
    );
    Ok(())
}
