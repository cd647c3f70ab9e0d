//! `cargo xtask reproduce`: runs the stages that the figures need and are not finished, then draws.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::json;

use crate::cache::{Cache, key};
use crate::cli::ReproduceArgs;
use crate::draw::to_png;
use crate::experiment::Experiments;
use crate::figures::{Selection, Study, select};
use crate::files::{ResultsLock, prepare_folder, write_atomically};
use crate::profile::Profile;
use crate::progress::Progress;
use crate::provenance::provenance;
use crate::table::to_csv;

/// Resolution of the PNGs: what journals ask for.
const DOTS_PER_INCH: f32 = 300.0;

/// Runs the command.
pub fn run(args: &ReproduceArgs) -> Result<()> {
    let (profile_name, mut profile) = Profile::load(&args.profile)?;
    if let Some(dataset) = &args.dataset {
        profile.data.dataset.clone_from(dataset);
    }
    if let Some(runs) = args.seeds {
        profile.runs = runs;
    }
    profile.check()?;
    let figures = select(args.figure.as_deref(), args.panel.as_deref())?;
    let out = args
        .out
        .clone()
        .unwrap_or_else(|| Path::new("results").join(&profile_name));
    let progress = Progress::new(args.quiet);
    let cache = Cache::new(out.join("cache"), progress);
    let experiments = Experiments::new(args.data_dir.clone());
    let study = Study::new(&profile_name, &profile, experiments, &cache)?;
    for figure in &figures {
        figure.figure.check(&study)?;
    }
    if args.dry_run {
        return list(&study, &figures, args.force);
    }
    prepare_folder(&out)?;
    compute(&study, &figures, args.force)?;
    let _lock = ResultsLock::take(&out)?;
    let mut written = Vec::new();
    for figure in &figures {
        written.extend(draw(&study, figure, &out)?);
    }
    written.extend(describe(&study, &figures, &out)?);
    println!("{} ({})", profile_name, profile.description);
    for path in written {
        println!("  wrote {}", path.display());
    }
    Ok(())
}

/// Says what would run, and why.
fn list(study: &Study<'_>, figures: &[Selection], force: bool) -> Result<()> {
    let mut seen = HashSet::new();
    let (mut to_run, mut finished) = (0, 0);
    for figure in figures {
        println!("{}: {}", figure.stem(), figure.figure.title());
        for stage in figure.stages(study)? {
            if !seen.insert(key(stage.as_ref())) {
                continue;
            }
            let mut status = study.cache.status(stage.as_ref());
            if force && !status.must_run() {
                status = crate::cache::Status::Forced;
            }
            if status.must_run() {
                to_run += 1;
            } else {
                finished += 1;
            }
            println!("  {:<9} {:<62} {status}", stage.kind(), stage.label());
        }
        println!("  draw      {:<62} always", figure.stem());
    }
    println!("{to_run} stages to run, {finished} finished");
    Ok(())
}

/// Brings every stage of the figures to an end.
fn compute(study: &Study<'_>, figures: &[Selection], force: bool) -> Result<()> {
    let mut done = HashSet::new();
    for figure in figures {
        // What is needed may depend on what is finished, so the list is made anew after each stage.
        while let Some(stage) = figure
            .stages(study)?
            .into_iter()
            .find(|stage| !done.contains(&key(stage.as_ref())))
        {
            study
                .cache
                .ensure::<serde_json::Value>(stage.as_ref(), force)?;
            done.insert(key(stage.as_ref()));
        }
    }
    Ok(())
}

/// Writes table, SVG and PNG of a figure.
fn draw(study: &Study<'_>, figure: &Selection, out: &Path) -> Result<Vec<PathBuf>> {
    let table = figure.table(study)?;
    let svg = figure.draw(study, &table)?;
    let png = to_png(&svg, DOTS_PER_INCH)?;
    let files = [
        ("csv", to_csv(&table)?),
        ("svg", svg.into_bytes()),
        ("png", png),
    ];
    let mut written = Vec::new();
    for (extension, bytes) in files {
        let path = out.join(format!("{}.{extension}", figure.stem()));
        write_atomically(&path, &bytes)?;
        written.push(path);
    }
    Ok(written)
}

/// Writes where the figures come from, and how long their stages took.
fn describe(study: &Study<'_>, figures: &[Selection], out: &Path) -> Result<Vec<PathBuf>> {
    let mut stages = Vec::new();
    let mut seen = HashSet::new();
    for figure in figures {
        for stage in figure.stages(study)? {
            if seen.insert(key(stage.as_ref())) {
                stages.push(json!({
                    "kind": stage.kind(),
                    "label": stage.label(),
                    "key": key(stage.as_ref()),
                    "wall_seconds": study.cache.wall_seconds(stage.as_ref()),
                }));
            }
        }
    }
    let names: Vec<String> = figures.iter().map(Selection::stem).collect();
    let suffix = match names.as_slice() {
        [one] if crate::figures::all().len() > 1 => format!("-{one}"),
        _ => String::new(),
    };
    let provenance = provenance(study, &names);
    let files = [
        (format!("provenance{suffix}.json"), provenance),
        (format!("timings{suffix}.json"), json!({ "stages": stages })),
    ];
    let mut written = Vec::new();
    for (name, value) in files {
        let path = out.join(name);
        let mut bytes = serde_json::to_vec_pretty(&value).context("cannot write JSON")?;
        bytes.push(b'\n');
        write_atomically(&path, &bytes)?;
        written.push(path);
    }
    Ok(written)
}

/// Reads a file of results that is needed for a check.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| {
        format!(
            "cannot read {}; run `cargo xtask reproduce` with the same --out first",
            path.display()
        )
    })
}
