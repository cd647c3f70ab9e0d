//! One file per command, and what they share.

pub mod analyze;
pub mod capacity;
pub mod compare;
pub mod info;

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::Context;

use crate::cli::OutputArgs;
use crate::interrupt;
use crate::report::{self, Format, Table};
use mftma_files::array::{Layout, Matrix};
use mftma_files::error::InputError;
use mftma_files::read::{self, Entry, ReadOptions};

/// Stopped by Ctrl-C. What was finished has been dealt with.
#[derive(Debug, thiserror::Error)]
#[error("interrupted")]
pub struct Interrupted;

/// Some layers failed; the others' results were written.
#[derive(Debug, thiserror::Error)]
#[error("{failed} of {total} layers could not be analysed:\n{details}")]
pub struct LayersFailed {
    /// How many.
    pub failed: usize,
    /// Of how many.
    pub total: usize,
    /// What was wrong with each.
    pub details: String,
    /// Whether every failure lies in the input.
    pub input: bool,
}

fn read_options(inflate_bytes: u64) -> ReadOptions<'static> {
    ReadOptions {
        inflate_limit: inflate_bytes,
        interrupted: &interrupt::requested,
    }
}

/// Lists the layers of several files: those named, in that order, or all arrays with two or more axes.
fn layers(paths: &[PathBuf], wanted: &[String]) -> Result<Vec<Entry>, InputError> {
    let mut entries = Vec::new();
    for path in paths {
        let mut of_path = read::open(path)?;
        // Several files may hold arrays of the same name.
        if paths.len() > 1 && of_path.len() > 1 {
            let stem = path.file_stem().map(|s| s.to_string_lossy().into_owned());
            for entry in &mut of_path {
                entry.name = format!("{}/{}", stem.clone().unwrap_or_default(), entry.name);
            }
        }
        entries.append(&mut of_path);
    }
    let place = mftma_files::error::Place::file(&paths[0]);
    if wanted.is_empty() {
        let (matrices, others): (Vec<Entry>, Vec<Entry>) = entries
            .into_iter()
            .partition(|e| e.info.as_ref().map_or(true, |info| info.shape.len() >= 2));
        if matrices.is_empty() {
            let names: Vec<String> = others
                .iter()
                .filter_map(|e| Some(format!("{} ({})", e.name, e.info.as_ref().ok()?.describe())))
                .collect();
            return Err(InputError::content(
                &place,
                format!(
                    "no array with two or more axes; there are {}",
                    names.join(", ")
                ),
                "save activations as points x features",
            ));
        }
        return Ok(matrices);
    }
    let mut chosen = Vec::new();
    for name in wanted {
        let Some(at) = entries.iter().position(|e| &e.name == name) else {
            let names: Vec<&str> = entries.iter().map(|e| e.name.as_str()).collect();
            return Err(InputError::content(
                &place,
                format!(
                    "no array {name:?} (or it is named twice); there are {}",
                    names.join(", ")
                ),
                "--layers with these names (see `mftma info FILE`)",
            ));
        };
        chosen.push(entries.remove(at));
    }
    Ok(chosen)
}

/// Number of points that every layer must have, from the first whose shape is known.
fn common_points(entries: &[Entry], layout: Layout) -> Result<usize, InputError> {
    let points = |shape: &[usize]| match layout {
        Layout::PointsByFeatures => shape.first().copied(),
        Layout::FeaturesByPoints => shape.last().copied(),
    };
    let mut common: Option<(usize, &Entry)> = None;
    for entry in entries {
        let Some(n) = entry
            .info
            .as_ref()
            .ok()
            .and_then(|info| points(&info.shape))
        else {
            continue;
        };
        match common {
            None => common = Some((n, entry)),
            Some((first, other)) if first != n => {
                return Err(InputError::content(
                    &entry.place,
                    format!("{n} points, but layer {:?} has {first}", other.name),
                    "all layers must hold the same points; choose among them with --layers, or turn them with --layout",
                ));
            }
            Some(_) => {}
        }
    }
    Ok(common.map_or(0, |(n, _)| n))
}

fn matrix(entry: Entry, layout: Layout, options: ReadOptions<'_>) -> Result<Matrix, InputError> {
    Matrix::new(entry.load(options)?, layout)
}

fn pool(threads: usize) -> anyhow::Result<rayon::ThreadPool> {
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .context("cannot start the threads")
}

impl OutputArgs {
    fn format(&self) -> Format {
        self.format
            .or_else(|| self.output.as_deref().and_then(Format::of_path))
            .unwrap_or(Format::Table)
    }

    /// Refuses, before any work, what could not be written after it.
    fn check(&self) -> anyhow::Result<()> {
        #[cfg(feature = "parquet")]
        if self.format() == Format::Parquet && self.output.is_none() {
            anyhow::bail!("Parquet is not for the terminal\n  try: --output results.parquet");
        }
        if let Some(path) = &self.output {
            report::check_free(path, self.force)?;
        }
        Ok(())
    }

    /// Writes a table, or `json` where that is the format.
    fn write(&self, table: &Table, json: &serde_json::Value, notes: &str) -> anyhow::Result<()> {
        self.write_to(self.output.clone(), table, json, notes)
    }

    fn write_to(
        &self,
        path: Option<PathBuf>,
        table: &Table,
        json: &serde_json::Value,
        notes: &str,
    ) -> anyhow::Result<()> {
        let mut out = Vec::new();
        match self.format() {
            Format::Table => {
                table.write_text(&mut out)?;
                out.extend_from_slice(notes.as_bytes());
            }
            Format::Csv => table.write_csv(&mut out)?,
            Format::Json => {
                serde_json::to_writer_pretty(&mut out, json)?;
                out.push(b'\n');
            }
            #[cfg(feature = "parquet")]
            Format::Parquet => table.write_parquet(&mut out)?,
        }
        match path {
            Some(path) => report::save(&path, &out, self.force),
            None => {
                let mut stdout = io::stdout().lock();
                stdout.write_all(&out)?;
                Ok(stdout.flush()?)
            }
        }
    }
}
