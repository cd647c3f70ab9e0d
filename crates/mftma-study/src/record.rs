//! What a results folder says of itself: which figures are there, what they were made with, how long it took.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::cache::canonical;
use crate::profile::Profile;

/// Where the figures come from.
pub const PROVENANCE: &str = "provenance.json";
/// How long their stages took.
pub const TIMINGS: &str = "timings.json";

/// Where the figures of a folder come from: the last run in full, and each figure's own origin.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    /// Name of the profile.
    pub profile: String,
    /// Its settings, with what flags changed.
    pub settings: Value,
    /// Seeds, checksums of images and permutation, networks.
    pub runs: Value,
    /// Commit, lock file, compiler.
    pub code: Value,
    /// Processor, threads, system.
    pub machine: Value,
    /// The figures in the folder, by the stems of their files.
    #[serde(default)]
    pub figures: BTreeMap<String, Origin>,
}

/// Where one figure comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Origin {
    /// BLAKE3 of the canonical settings.
    pub settings_blake3: String,
    /// Commit of the working tree that drew it.
    pub commit: Option<String>,
    /// BLAKE3 of its files, by ending.
    pub files: BTreeMap<String, String>,
}

impl Origin {
    /// The origin of a figure with these files.
    pub fn new(settings: &str, code: &Value, files: &[(&str, Vec<u8>)]) -> Self {
        let hash = |bytes: &[u8]| blake3::hash(bytes).to_hex().to_string();
        Self {
            settings_blake3: settings.to_owned(),
            commit: code["commit"].as_str().map(str::to_owned),
            files: files
                .iter()
                .map(|(ending, bytes)| ((*ending).to_owned(), hash(bytes)))
                .collect(),
        }
    }

    /// A file of the figure, if it is still as it was written.
    pub fn file(&self, folder: &Path, stem: &str, ending: &str) -> Option<Vec<u8>> {
        let bytes = fs::read(folder.join(format!("{stem}.{ending}"))).ok()?;
        let hash = blake3::hash(&bytes).to_hex();
        (self.files.get(ending)? == hash.as_str()).then_some(bytes)
    }
}

/// Hash of settings: figures of one folder belong together where it is the same.
pub fn settings_hash(profile: &Profile) -> Result<String> {
    let text = canonical(&serde_json::to_value(profile)?);
    Ok(blake3::hash(text.as_bytes()).to_hex().to_string())
}

/// How long the stages behind the figures took.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Timings {
    /// One entry for each stage.
    pub stages: Vec<Timing>,
}

/// How long one stage took.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Timing {
    /// What sort of work it was.
    pub kind: String,
    /// Which one.
    pub label: String,
    /// Its key in the cache.
    pub key: String,
    /// Seconds spent by the process that finished it, whatever else the machine did meanwhile.
    pub wall_seconds: Option<f64>,
    /// The figures that it was needed for.
    pub figures: BTreeSet<String>,
}

impl Timings {
    /// These timings, and those of earlier runs for the other figures that are still in the folder.
    pub fn with_earlier(mut self, earlier: Self, kept: &BTreeSet<String>) -> Self {
        for old in earlier.stages {
            let figures: BTreeSet<String> = old.figures.intersection(kept).cloned().collect();
            if figures.is_empty() {
                continue;
            }
            match self.stages.iter_mut().find(|stage| stage.key == old.key) {
                Some(stage) => stage.figures.extend(figures),
                None => self.stages.push(Timing { figures, ..old }),
            }
        }
        self
    }

    /// Number of stages and seconds spent, by kind.
    pub fn by_kind(&self) -> BTreeMap<&str, (usize, f64)> {
        let mut kinds = BTreeMap::new();
        for stage in &self.stages {
            let (count, seconds) = kinds.entry(stage.kind.as_str()).or_insert((0, 0.0));
            *count += 1;
            *seconds += stage.wall_seconds.unwrap_or(0.0);
        }
        kinds
    }
}

/// Reads one of the records; none where it is missing or not of this form (an older program's).
pub fn read<T: serde::de::DeserializeOwned>(folder: &Path, name: &str) -> Option<T> {
    serde_json::from_slice(&fs::read(folder.join(name)).ok()?).ok()
}

/// Writes a record.
pub fn write<T: Serialize>(folder: &Path, name: &str, value: &T) -> Result<()> {
    let mut bytes = serde_json::to_vec_pretty(value).context("cannot write JSON")?;
    bytes.push(b'\n');
    Ok(mftma_atomic::write(&folder.join(name), &bytes)?)
}

/// Bytes below a folder, without the folder `except`; what vanishes meanwhile counts nothing.
pub fn disk_use(folder: &Path, except: Option<&Path>) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else {
        return 0;
    };
    entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let path = entry.path();
            if except == Some(path.as_path()) {
                return None;
            }
            let data = entry.metadata().ok()?;
            Some(if data.is_dir() {
                disk_use(&path, except)
            } else {
                data.len()
            })
        })
        .sum()
}

/// A size for people.
pub fn size(bytes: u64) -> String {
    match bytes as f64 {
        b if b < 1e3 => format!("{b} B"),
        b if b < 1e6 => format!("{:.1} kB", b / 1e3),
        b if b < 1e9 => format!("{:.1} MB", b / 1e6),
        b => format!("{:.1} GB", b / 1e9),
    }
}

/// Most bytes of memory that this process had so far; none where the system does not tell.
pub fn peak_memory() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(1024 * kilobytes)
}

/// A time for people.
pub fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 9.95 => format!("{s:.1} s"),
        s if s < 120.0 => format!("{s:.0} s"),
        s if s < 2.0 * 3600.0 => format!("{:.0} min", s / 60.0),
        s if s < 48.0 * 3600.0 => format!("{:.1} h", s / 3600.0),
        s => format!("{:.1} days", s / 86400.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timing(key: &str, figures: &[&str]) -> Timing {
        Timing {
            kind: "train".into(),
            label: key.into(),
            key: key.into(),
            wall_seconds: Some(2.0),
            figures: figures.iter().map(|&name| name.into()).collect(),
        }
    }

    #[test]
    fn earlier_timings_stay_for_figures_that_stay() {
        let new = Timings {
            stages: vec![timing("shared", &["fig2"])],
        };
        let old = Timings {
            stages: vec![
                timing("shared", &["fig2", "fig3"]),
                timing("own", &["fig3"]),
                timing("stale", &["fig4"]),
            ],
        };
        let kept = ["fig3".to_owned()].into();
        let merged = new.with_earlier(old, &kept);
        assert_eq!(
            merged.stages,
            [
                timing("shared", &["fig2", "fig3"]),
                timing("own", &["fig3"])
            ]
        );
        assert_eq!(merged.by_kind()["train"], (2, 4.0));
    }

    #[test]
    fn a_changed_file_is_not_taken_for_the_figure() {
        let folder = tempfile::tempdir().unwrap();
        let bytes = b"<svg".to_vec();
        let origin = Origin::new("settings", &Value::Null, &[("svg", bytes.clone())]);
        assert_eq!(origin.file(folder.path(), "fig3", "svg"), None);
        fs::write(folder.path().join("fig3.svg"), &bytes).unwrap();
        assert_eq!(origin.file(folder.path(), "fig3", "svg"), Some(bytes));
        fs::write(folder.path().join("fig3.svg"), b"<SVG").unwrap();
        assert_eq!(origin.file(folder.path(), "fig3", "svg"), None);
    }

    #[test]
    fn sizes_and_times_are_readable() {
        assert_eq!(size(12), "12 B");
        assert_eq!(size(2_340_000), "2.3 MB");
        assert_eq!(duration(0.26), "0.3 s");
        assert_eq!(duration(754.0), "13 min");
        assert_eq!(duration(9000.0), "2.5 h");
        assert_eq!(duration(3e5), "3.5 days");
    }
}
