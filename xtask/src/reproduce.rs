//! `cargo xtask reproduce`: the study's door.

use std::io;

use anyhow::{Context, Result};
use mftma_study::progress::Progress;
use mftma_study::reproduce::{Action, Options, run as reproduce};

use crate::bars::Terminal;
use crate::cli::ReproduceArgs;

/// The word that asks for the status instead of a figure.
const STATUS: &str = "status";

/// Runs the command.
pub fn run(args: ReproduceArgs) -> Result<()> {
    // This thread is one of the pool's: narrow networks hand over a job of microseconds thousands of times a second, and
    // would spend half their time waking others up.
    rayon::ThreadPoolBuilder::new()
        .num_threads(args.jobs.map_or(0, usize::from))
        .use_current_thread()
        .build_global()
        .context("cannot start the threads of --jobs")?;
    let progress = if args.quiet {
        Progress::silent()
    } else {
        Progress::new(Terminal)
    };
    let asks_status = args.figures.iter().any(|name| name == STATUS);
    let action = match () {
        () if asks_status => Action::Status,
        () if args.dry_run => Action::List,
        () if args.check => Action::Compare,
        () => Action::Make,
    };
    let options = Options {
        figures: args
            .figures
            .into_iter()
            .filter(|name| name != STATUS)
            .collect(),
        panel: args.panel,
        dataset: args.dataset,
        data_dir: args.data_dir,
        out: args.out,
        profile: args.profile,
        action,
        force: args.force,
        seeds: args.seeds,
        built_from: option_env!("XTASK_BUILT_FROM").map(str::to_owned),
    };
    reproduce(&options, &progress, &mut io::stdout())
}
