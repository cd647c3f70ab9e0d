//! Runs the stages that the figures need and are not finished, draws, checks the claims, and writes
//! the report.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::cache::{Cache, Status, key};
use crate::claims;
use crate::cluster;
use crate::cluster::command::Commands;
use crate::cluster::jobs::Alive;
use crate::cluster::plan::Plan;
use crate::cluster::slurm::Slurm;
use crate::cluster::store::alone;
use crate::cluster::store::{self, Expected};
use crate::cluster::submit::{Submission, Wishes};
use crate::compare;
use crate::estimate::{Rates, Total};
use crate::experiment::Experiments;
use crate::figures::{Selection, Study, select};
use crate::files::{self, prepare_folder};
use crate::profile::Profile;
use crate::progress::Progress;
use crate::provenance::provenance;
use crate::record::{self, Origin, PROVENANCE, Provenance, TIMINGS, Timing, Timings};
use crate::report::{self, Report, Shown as OnPage};
use crate::results::{CLAIMS, Claims, REPORT};
use crate::status;
use crate::table::{Row, from_csv, to_csv};
use mftma_draw::to_png;

/// Resolution of the PNGs: what journals ask for.
const DOTS_PER_INCH: f32 = 300.0;
/// What to do; the fields are the flags of `cargo xtask reproduce`.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The figures to make, by name; all where empty.
    pub figures: Vec<String>,
    /// One panel of the figure, by its letter; only with one figure.
    pub panel: Option<String>,
    /// Data set to train on; the profile's where left out.
    pub dataset: Option<String>,
    /// Folder that holds downloaded data sets.
    pub data_dir: Option<PathBuf>,
    /// Folder for tables and figures; `results/PROFILE` where left out.
    pub out: Option<PathBuf>,
    /// Folder of finished work; `cache` in the results folder where left out.
    pub store: Option<PathBuf>,
    /// What a job was told about store and program when it was submitted.
    pub expected: Expected,
    /// Name of a built-in profile, or a TOML file.
    pub profile: String,
    /// What to do with the study.
    pub action: Action,
    /// Finished work is done again.
    pub force: bool,
    /// Number of independent runs; the profile's where left out.
    pub seeds: Option<u64>,
    /// Commit that the program was built from, for the provenance.
    pub built_from: Option<String>,
}

/// What to do with the study.
#[derive(Debug, Clone, Default)]
pub enum Action {
    /// Compute what is missing, draw and judge.
    #[default]
    Make,
    /// The same into another folder, then compare with the results of record.
    Compare,
    /// List what would run.
    List,
    /// Say what is finished, in progress and missing, and how jobs fare.
    Status,
    /// Do one stage, by its name in the plan or its key.
    Stage(String),
    /// Show the graph of stages.
    Plan(Shown),
    /// Write the graph as a Snakefile.
    Snakefile(PathBuf),
    /// Submit what is missing to Slurm.
    Submit(Wishes),
    /// Take back what was submitted.
    Cancel,
}

/// How a plan is shown.
#[derive(Debug, Clone)]
pub enum Shown {
    /// For people, with the time that it takes on these numbers of machines.
    Text(Vec<usize>),
    /// For programs.
    Json,
}

/// Does what the options ask for, on the threads of the current pool. Lines for people go to `to`.
pub fn run(options: &Options, progress: &Progress, to: &mut dyn Write) -> Result<()> {
    mftma::simd::Level::from_environment().context(mftma::simd::VARIABLE)?;
    let (profile_name, profile) = Profile::load_with(&options.profile, &changes(options)?)?;
    let of_record = Path::new("results").join(&profile_name);
    let compares = matches!(options.action, Action::Compare);
    let figures = select(&options.figures, options.panel.as_deref())?;
    let temporary;
    let out = match &options.out {
        Some(out) => out.clone(),
        None if compares => {
            temporary =
                tempfile::tempdir().context("cannot make a temporary folder; give --out")?;
            temporary.path().to_owned()
        }
        None => of_record.clone(),
    };
    if compares {
        compare::refuse_same_folder(&out, &of_record)?;
    }
    let store = options.store.clone().unwrap_or_else(|| out.join("cache"));
    options.expected.check(&store)?;
    let cache = Cache::new(store, progress.clone());
    let experiments = Experiments::new(options.data_dir.clone());
    let study = Study::new(&profile_name, &profile, experiments, &cache)?;
    for figure in &figures {
        figure.figure.check(&study)?;
    }
    match &options.action {
        Action::Status => {
            status::print(&study, &figures, &out, to)?;
            let plan = || Plan::of(&study, &figures);
            return cluster::jobs::print(plan, study.cache.root(), &Slurm::default(), to);
        }
        Action::List => return list(&study, &figures, options.force, to),
        Action::Stage(name) => return cluster::stage::run(&study, &figures, name, to),
        Action::Plan(_) | Action::Snakefile(_) | Action::Submit(_) | Action::Cancel => {
            return hand_over(&study, &figures, options, &out, to);
        }
        Action::Make | Action::Compare => {}
    }
    prepare_folder(&out)?;
    compute(&study, &figures, options.force)?;
    let written = files::alone(&out, progress, || {
        write(&study, &figures, &out, options.built_from.as_deref())
    })?;
    say!(
        to,
        "{profile_name} ({}), on {} threads",
        profile.description,
        rayon::current_num_threads()
    );
    for path in written {
        say!(to, "  wrote {}", path.display());
    }
    if compares {
        let stems: Vec<String> = figures.iter().map(Selection::stem).collect();
        return compare::run(&out, &of_record, &stems, options.figures.is_empty(), to);
    }
    Ok(())
}

/// Hands the graph of stages to somebody else, or takes it back.
fn hand_over(
    study: &Study<'_>,
    figures: &[Selection],
    options: &Options,
    out: &Path,
    to: &mut dyn Write,
) -> Result<()> {
    let root = absolute(study.cache.root())?;
    let slurm = Slurm::default();
    if matches!(options.action, Action::Cancel) {
        return cluster::jobs::cancel(&root, &slurm, to);
    }
    let program = std::env::current_exe().context("cannot find this program's file")?;
    let mut commands = Commands {
        program,
        flags: flags(options, &root)?,
        checks: Vec::new(),
        figures: options.figures.clone(),
        out: absolute(out)?,
    };
    match &options.action {
        Action::Plan(Shown::Text(machines)) => {
            let plan = Plan::of(study, figures)?;
            cluster::show::print(&plan, study.profile_name, machines, to);
            Ok(())
        }
        Action::Plan(Shown::Json) => {
            let plan = Plan::of(study, figures)?;
            let graph = serde_json::json!({
                "profile": study.profile_name,
                "store": root,
                "out": commands.out,
                "nodes": plan.to_json(|node| commands.stage(node)),
                "draw": {
                    "command": commands.draw(),
                    "limits": { "memory_bytes": plan.draw_bytes() },
                },
            });
            say!(to, "{}", serde_json::to_string_pretty(&graph)?);
            Ok(())
        }
        Action::Snakefile(path) => {
            let other = std::fs::read(path);
            if other.is_ok_and(|bytes| !bytes.starts_with(cluster::snakemake::MARK.as_bytes())) {
                bail!(
                    "{} is there and was not written by this command; name another file with --to",
                    path.display()
                );
            }
            let plan = Plan::of(study, figures)?;
            let id = store::identify(&root)?;
            let hash = store::hash(&commands.program)?;
            commands.checks = checks(&id, &hash);
            let text = cluster::snakemake::snakefile(&plan, &commands, &root);
            mftma_atomic::write(path, text.as_bytes())?;
            say!(to, "wrote {}", path.display());
            Ok(())
        }
        Action::Submit(wishes) => {
            prepare_folder(out)?;
            let id = store::identify(&root)?;
            // Before anything else: whether there is a Slurm at all.
            Alive::ask(&slurm, &id)?;
            let (program, hash) = store::keep_program(&root)?;
            commands.program = program;
            commands.checks = checks(&id, &hash);
            // With these settings: the folder may hold figures of others.
            let settings = record::settings_hash(study.profile)?;
            let earlier = record::read::<Provenance>(out, PROVENANCE);
            let drawn = |figure: &Selection| {
                let origin = earlier.as_ref().and_then(|p| p.figures.get(&figure.stem()));
                origin.is_some_and(|origin| {
                    origin.settings_blake3 == settings
                        && origin.file(out, &figure.stem(), "svg").is_some()
                })
            };
            alone(&root, || {
                let alive = Alive::ask(&slurm, &id)?;
                let plan = Plan::of(study, figures)?;
                Submission {
                    plan: &plan,
                    store: &root,
                    id: &id,
                    program: &hash,
                    commands: &commands,
                    wishes,
                    slurm: &slurm,
                    alive: &alive,
                    drawn: figures.iter().all(drawn),
                }
                .run(to)
            })
        }
        _ => Ok(()),
    }
}

/// What a job checks where it runs.
fn checks(store: &str, program: &str) -> Vec<String> {
    ["--expect-store", store, "--expect-program", program]
        .map(str::to_owned)
        .to_vec()
}

/// The flags that make the same study anywhere: paths are absolute.
fn flags(options: &Options, store: &Path) -> Result<Vec<String>> {
    let text = |path: PathBuf| path.display().to_string();
    let profile = Path::new(&options.profile);
    let profile = match profile.extension() {
        Some(_) => text(absolute(profile)?),
        None => options.profile.clone(),
    };
    let mut flags = vec!["--profile".to_owned(), profile];
    flags.extend(["--store".to_owned(), text(store.to_owned())]);
    let data = mftma_data::data_dir(options.data_dir.as_deref());
    flags.extend(["--data-dir".to_owned(), text(absolute(&data)?)]);
    if let Some(dataset) = &options.dataset {
        flags.extend(["--dataset".to_owned(), dataset.clone()]);
    }
    if let Some(seeds) = options.seeds {
        flags.extend(["--seeds".to_owned(), seeds.to_string()]);
    }
    if let Some(panel) = &options.panel {
        flags.extend(["--panel".to_owned(), panel.clone()]);
    }
    Ok(flags)
}

fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).with_context(|| format!("cannot find {}", path.display()))
}

/// What the flags change of the profile.
fn changes(options: &Options) -> Result<Vec<(&'static str, toml::Value)>> {
    let mut changes = Vec::new();
    if let Some(dataset) = &options.dataset {
        changes.push(("data.dataset", dataset.as_str().into()));
    }
    if let Some(runs) = options.seeds {
        let runs = i64::try_from(runs).context("--seeds is too large")?;
        changes.push(("runs", runs.into()));
    }
    Ok(changes)
}

/// Says what would run, why, and about how long it would take.
fn list(study: &Study<'_>, figures: &[Selection], force: bool, to: &mut dyn Write) -> Result<()> {
    let rates = Rates::of(study.cache);
    let mut total = Total::default();
    let mut seen = HashSet::new();
    let (mut to_run, mut finished) = (0, 0);
    for figure in figures {
        say!(to, "{}: {}", figure.stem(), figure.figure.title());
        for stage in figure.stages(study)? {
            if !seen.insert(key(stage.as_ref())) {
                continue;
            }
            let mut status = study.cache.status(stage.as_ref());
            if force && !status.must_run() {
                status = Status::Forced;
            }
            let mut cost = String::new();
            if status.must_run() {
                to_run += 1;
                let estimate = rates.cost(stage.as_ref());
                total.add(estimate);
                cost = estimate.to_string();
            } else {
                finished += 1;
            }
            say!(
                to,
                "  {:<9} {:<62} {status}{cost}",
                stage.kind(),
                stage.label()
            );
        }
        say!(to, "  draw      {:<62} always", figure.stem());
    }
    say!(to, "{to_run} stages to run, {finished} finished");
    if to_run > 0 {
        say!(to, "{total}");
    }
    Ok(())
}

/// Brings every stage of the figures to an end.
fn compute(study: &Study<'_>, figures: &[Selection], force: bool) -> Result<()> {
    let mut done = HashSet::new();
    for figure in figures {
        study.finish(|| figure.stages(study), force, &mut done)?;
    }
    Ok(())
}

/// Draws the figures, checks the claims, and writes everything that the results folder holds.
fn write(
    study: &Study<'_>,
    figures: &[Selection],
    out: &Path,
    built_from: Option<&str>,
) -> Result<Vec<PathBuf>> {
    let settings = record::settings_hash(study.profile)?;
    let mut provenance = provenance(study, built_from)?;
    let mut written = Vec::new();
    let mut made = BTreeMap::new();
    for figure in figures {
        let table = figure.table(study)?;
        let svg = figure.draw(study, &table)?;
        let files = [
            ("csv", to_csv(&table)?),
            ("svg", svg.clone().into_bytes()),
            ("png", to_png(&svg, DOTS_PER_INCH)?),
        ];
        for (ending, bytes) in &files {
            let path = out.join(format!("{}.{ending}", figure.stem()));
            mftma_atomic::write(&path, bytes)?;
            written.push(path);
        }
        let origin = Origin::new(&settings, &provenance.code, &files);
        provenance.figures.insert(figure.stem(), origin);
        made.insert(figure.stem(), shown_as(study, figure, &table, svg));
    }
    let kept = keep_earlier(study, out, &settings, &mut provenance, &mut made)?;
    let timings = timings(study, figures)?
        .with_earlier(record::read(out, TIMINGS).unwrap_or_default(), &kept);
    let findings = claims::check(study);
    let claims = Claims {
        profile: study.profile_name.to_owned(),
        rule: claims::RULE.to_owned(),
        claims: findings,
    };
    record::write(out, PROVENANCE, &provenance)?;
    record::write(out, TIMINGS, &timings)?;
    record::write(out, CLAIMS, &claims)?;
    let (mut shown, mut missing) = (Vec::new(), Vec::new());
    for figure in crate::figures::all() {
        match made.remove(figure.name()) {
            Some(figure) => shown.push(figure),
            None => missing.push(figure.name().to_owned()),
        }
    }
    let page = report::html(&Report {
        description: &study.profile.description,
        findings: &claims.claims,
        figures: &shown,
        missing: &missing,
        provenance: &provenance,
        timings: &timings,
        disk: (
            record::disk_use(out, Some(study.cache.root())),
            record::disk_use(study.cache.root(), None),
        ),
    });
    mftma_atomic::write(&out.join(REPORT), page.as_bytes())?;
    written.extend([PROVENANCE, TIMINGS, CLAIMS, REPORT].map(|name| out.join(name)));
    Ok(written)
}

/// A figure as the report shows it.
fn shown_as(study: &Study<'_>, selection: &Selection, table: &[Row], svg: String) -> OnPage {
    OnPage {
        name: selection.stem(),
        title: selection.figure.title().to_owned(),
        caption: selection.figure.caption(study),
        reading: selection.figure.reading(table),
        svg,
        comparison: selection.figure.comparison(table),
    }
}

/// Takes over the figures that earlier runs with the same settings left in the folder, whole and unchanged. Returns the stems of
/// all that are taken over, single panels included.
fn keep_earlier(
    study: &Study<'_>,
    out: &Path,
    settings: &str,
    provenance: &mut Provenance,
    made: &mut BTreeMap<String, OnPage>,
) -> Result<BTreeSet<String>> {
    let mut kept = BTreeSet::new();
    let Some(earlier) = record::read::<Provenance>(out, PROVENANCE) else {
        return Ok(kept);
    };
    for (stem, origin) in earlier.figures {
        let file = |ending| origin.file(out, &stem, ending);
        if provenance.figures.contains_key(&stem) || origin.settings_blake3 != settings {
            continue;
        }
        let (Some(csv), Some(svg)) = (file("csv"), file("svg")) else {
            continue;
        };
        let whole = select(std::slice::from_ref(&stem), None)
            .ok()
            .and_then(|mut found| found.pop());
        if let (Some(selection), Ok(table)) = (whole, from_csv(&csv)) {
            let svg = String::from_utf8_lossy(&svg).into_owned();
            made.insert(stem.clone(), shown_as(study, &selection, &table, svg));
        }
        kept.insert(stem.clone());
        provenance.figures.insert(stem, origin);
    }
    Ok(kept)
}

/// How long the stages of the figures took.
fn timings(study: &Study<'_>, figures: &[Selection]) -> Result<Timings> {
    let mut stages: Vec<Timing> = Vec::new();
    let mut places = BTreeMap::new();
    for figure in figures {
        for stage in figure.stages(study)? {
            let key = key(stage.as_ref());
            let place = *places.entry(key.clone()).or_insert(stages.len());
            if place == stages.len() {
                stages.push(Timing {
                    kind: stage.kind().to_owned(),
                    label: stage.label(),
                    key,
                    wall_seconds: study.cache.wall_seconds(stage.as_ref()),
                    figures: BTreeSet::new(),
                });
            }
            stages[place].figures.insert(figure.stem());
        }
    }
    Ok(Timings { stages })
}
