//! `cargo xtask reproduce`: runs the stages that the figures need and are not finished, draws, checks the claims, and writes
//! the report.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::cache::{Cache, Status, key};
use crate::claims::{self, Finding, Inputs};
use crate::cli::ReproduceArgs;
use crate::compare;
use crate::draw::to_png;
use crate::estimate::{Rates, Total};
use crate::experiment::Experiments;
use crate::figures::{Selection, Study, select};
use crate::files::{ResultsLock, prepare_folder, write_atomically};
use crate::profile::Profile;
use crate::progress::Progress;
use crate::provenance::provenance;
use crate::record::{self, Origin, PROVENANCE, Provenance, TIMINGS, Timing, Timings};
use crate::report::{self, Report, Shown};
use crate::status;
use crate::table::{Row, from_csv, to_csv};

/// Resolution of the PNGs: what journals ask for.
const DOTS_PER_INCH: f32 = 300.0;
/// What the claims' check found.
pub const CLAIMS: &str = "claims.json";
/// The page for readers.
pub const REPORT: &str = "report.html";

/// Runs the command.
pub fn run(args: &ReproduceArgs) -> Result<()> {
    // This thread is one of the pool's: narrow networks hand over a job of microseconds thousands of times a second, and
    // would spend half their time waking others up.
    rayon::ThreadPoolBuilder::new()
        .num_threads(args.jobs.map_or(0, usize::from))
        .use_current_thread()
        .build_global()
        .context("cannot start the threads of --jobs")?;
    let (profile_name, mut profile) = Profile::load(&args.profile)?;
    if let Some(dataset) = &args.dataset {
        profile.data.dataset.clone_from(dataset);
    }
    if let Some(runs) = args.seeds {
        profile.runs = runs;
    }
    profile.check()?;
    let progress = Progress::new(args.quiet);
    let of_record = Path::new("results").join(&profile_name);
    let asks_status = args.figure.as_deref() == Some("status");
    let name = args.figure.as_deref().filter(|_| !asks_status);
    let figures = select(name, args.panel.as_deref())?;
    let temporary;
    let out = match &args.out {
        Some(out) => out.clone(),
        None if args.check => {
            temporary =
                tempfile::tempdir().context("cannot make a temporary folder; give --out")?;
            temporary.path().to_owned()
        }
        None => of_record.clone(),
    };
    if args.check {
        compare::refuse_same_folder(&out, &of_record)?;
    }
    let cache = Cache::new(out.join("cache"), progress);
    let experiments = Experiments::new(args.data_dir.clone());
    let study = Study::new(&profile_name, &profile, experiments, &cache)?;
    for figure in &figures {
        figure.figure.check(&study)?;
    }
    if asks_status {
        return status::print(&study, &figures, &out);
    }
    if args.dry_run {
        return list(&study, &figures, args.force);
    }
    prepare_folder(&out)?;
    compute(&study, &figures, args.force)?;
    let written = write(&study, &figures, &out)?;
    say!(
        "{profile_name} ({}), on {} threads",
        profile.description,
        rayon::current_num_threads()
    );
    for path in written {
        say!("  wrote {}", path.display());
    }
    if args.check {
        let stems: Vec<String> = figures.iter().map(Selection::stem).collect();
        return compare::run(&out, &of_record, &stems, name.is_none());
    }
    Ok(())
}

/// Says what would run, why, and about how long it would take.
fn list(study: &Study<'_>, figures: &[Selection], force: bool) -> Result<()> {
    let rates = Rates::of(study.cache);
    let mut total = Total::default();
    let mut seen = HashSet::new();
    let (mut to_run, mut finished) = (0, 0);
    for figure in figures {
        say!("{}: {}", figure.stem(), figure.figure.title());
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
            say!("  {:<9} {:<62} {status}{cost}", stage.kind(), stage.label());
        }
        say!("  draw      {:<62} always", figure.stem());
    }
    say!("{to_run} stages to run, {finished} finished");
    if to_run > 0 {
        say!("{total}");
    }
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

/// A figure with its table.
struct Made {
    table: Vec<Row>,
    shown: Shown,
}

/// The verdicts, as they stand in `claims.json`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claims {
    /// Name of the profile.
    pub profile: String,
    /// How verdicts follow from numbers.
    pub rule: String,
    /// One entry for each claim.
    pub claims: Vec<Finding>,
}

/// Draws the figures, checks the claims, and writes everything that the results folder holds.
fn write(study: &Study<'_>, figures: &[Selection], out: &Path) -> Result<Vec<PathBuf>> {
    let _lock = ResultsLock::take(out)?;
    let settings = record::settings_hash(study.profile)?;
    let mut provenance = provenance(study)?;
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
            write_atomically(&path, bytes)?;
            written.push(path);
        }
        let origin = Origin::new(&settings, &provenance.code, &files);
        provenance.figures.insert(figure.stem(), origin);
        made.insert(figure.stem(), Made::new(study, figure, table, svg));
    }
    let kept = keep_earlier(study, out, &settings, &mut provenance, &mut made)?;
    let timings = timings(study, figures)?
        .with_earlier(record::read(out, TIMINGS).unwrap_or_default(), &kept);
    let table = |name: &str| {
        made.get(name)
            .map(|made| made.table.as_slice())
            .ok_or_else(|| format!("{} was not made with these settings", report::label(name)))
    };
    let findings = claims::check(&Inputs::of(study, table));
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
            Some(made) => shown.push(made.shown),
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
    write_atomically(&out.join(REPORT), page.as_bytes())?;
    written.extend([PROVENANCE, TIMINGS, CLAIMS, REPORT].map(|name| out.join(name)));
    Ok(written)
}

impl Made {
    fn new(study: &Study<'_>, selection: &Selection, table: Vec<Row>, svg: String) -> Self {
        let shown = Shown {
            name: selection.stem(),
            title: selection.figure.title().to_owned(),
            caption: selection.figure.caption(study),
            svg,
        };
        Self { table, shown }
    }
}

/// Takes over the figures that earlier runs with the same settings left in the folder, whole and unchanged. Returns the stems of
/// all that are taken over, single panels included.
fn keep_earlier(
    study: &Study<'_>,
    out: &Path,
    settings: &str,
    provenance: &mut Provenance,
    made: &mut BTreeMap<String, Made>,
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
        let whole = select(Some(&stem), None)
            .ok()
            .and_then(|mut found| found.pop());
        if let (Some(selection), Ok(table)) = (whole, from_csv(&csv)) {
            let svg = String::from_utf8_lossy(&svg).into_owned();
            made.insert(stem.clone(), Made::new(study, &selection, table, svg));
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

/// Reads a file of results that is needed for a check.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| {
        format!(
            "cannot read {}; run `cargo xtask reproduce` with the same --out first",
            path.display()
        )
    })
}
