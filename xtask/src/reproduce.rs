//! `cargo xtask reproduce`: the study's door.

use std::io;

use anyhow::{Context, Result, bail};
use mftma_study::cluster::stage::TRY_AGAIN;
use mftma_study::cluster::store::Expected;
use mftma_study::cluster::submit::{Wishes, seconds};
use mftma_study::progress::Progress;
use mftma_study::reproduce::{Action, Options, Shown, run as reproduce};

use crate::bars::Terminal;
use crate::cli::{JobArgs, ReproduceArgs};

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
    let jobs = args.jobs_of;
    let (asked, figures) = words(args.figures, &jobs)?;
    let action = match asked {
        Some(action) => action,
        None if jobs.executor.is_some() => Action::Submit(wishes(&jobs)?),
        None if args.dry_run => Action::List,
        None if args.check => Action::Compare,
        None => Action::Make,
    };
    if jobs.expect_program.is_some() || matches!(action, Action::Stage(_)) {
        go_on_later()?;
    }
    let options = Options {
        figures,
        panel: args.panel,
        dataset: args.dataset,
        data_dir: args.data_dir,
        out: args.out,
        store: args.store,
        expected: Expected {
            store: jobs.expect_store,
            program: jobs.expect_program,
        },
        profile: args.profile,
        action,
        force: args.force,
        seeds: args.seeds,
        built_from: option_env!("XTASK_BUILT_FROM").map(str::to_owned),
    };
    reproduce(&options, &progress, &mut io::stdout())
}

/// The action that the first words name, if any, and the figures after them.
fn words(mut words: Vec<String>, jobs: &JobArgs) -> Result<(Option<Action>, Vec<String>)> {
    let mut next = || (!words.is_empty()).then(|| words.remove(0));
    let first = next();
    let action = match first.as_deref() {
        Some("status") => Action::Status,
        Some("cancel") => Action::Cancel,
        Some("plan") if jobs.format.as_deref() == Some("json") => Action::Plan(Shown::Json),
        Some("plan") => Action::Plan(Shown::Text(jobs.nodes.clone())),
        Some("stage") => Action::Stage(
            next().context("`stage` wants a key: `reproduce plan --format json` lists them")?,
        ),
        Some("export") => match next().as_deref() {
            Some("snakemake") => Action::Snakefile(jobs.to.clone()),
            other => bail!(
                "`export` knows snakemake, not {:?}; for other engines there is `reproduce plan --format json`",
                other.unwrap_or_default()
            ),
        },
        _ => {
            // `status` was always found anywhere among the figures.
            let status = words.iter().position(|word| word == "status");
            let asked = status.map(|at| {
                words.remove(at);
                Action::Status
            });
            words.splice(0..0, first);
            return Ok((asked, words));
        }
    };
    Ok((Some(action), words))
}

/// What the flags wish of Slurm.
fn wishes(jobs: &JobArgs) -> Result<Wishes> {
    let longest = match &jobs.time {
        Some(time) => Some(seconds(time).with_context(|| {
            format!("--time {time} is no time limit: give minutes (90), 12:00:00 or 2-00:00:00")
        })?),
        None => None,
    };
    Ok(Wishes {
        partition: jobs.partition.clone(),
        account: jobs.account.clone(),
        longest,
        memory: jobs.mem.clone(),
        cores: jobs.cpus,
        array_limit: jobs.array_limit,
        arguments: jobs.sbatch_args.clone(),
    })
}

/// On the scheduler's warning (SIGTERM) this process ends at once: what is on the disk is whole, and the code asks for another turn.
fn go_on_later() -> Result<()> {
    ctrlc::set_handler(|| {
        eprintln!("told to end: goes on later from what is on the disk");
        // Whoever goes on may be another process elsewhere, which could not tell that this one has ended.
        mftma_study::claim::give_back_all();
        std::process::exit(i32::from(TRY_AGAIN));
    })
    .context("cannot watch for the scheduler's warning")
}
