//! Layers that an earlier run of `mftma analyze` finished (`--resume`).

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use mftma::Geometry;
use mftma::joint::JointGeometry;
use mftma_files::error::{InputError, Place};
use mftma_files::read::Entry;
use mftma_files::source::Selection;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::settings::Settings;

/// Settings that change no number: the same layers may be taken with others.
const WITHOUT_EFFECT: [&str; 3] = ["threads", "layers", "inflate-limit"];

/// What is read of the JSON that `mftma analyze` writes.
#[derive(Deserialize)]
struct Document {
    program: String,
    command: String,
    settings: Map<String, Value>,
    labels: Option<String>,
    #[serde(default)]
    points_digest: String,
    classes: Vec<Class>,
    layers: Vec<Value>,
}

#[derive(Deserialize)]
struct Class {
    name: String,
    points: usize,
}

/// A finished layer.
#[derive(Deserialize)]
pub struct Finished {
    layer: String,
    file: String,
    array: String,
    stamp: Option<Stamp>,
    /// The mean-field measures, where they were asked for.
    pub geometry: Option<Geometry>,
    /// The joint measures, where they were asked for.
    pub joint: Option<JointGeometry>,
}

/// Length of a file, and when it was last written to, in nanoseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp(u64, u64);

impl Stamp {
    /// Of the file at `path`; none for standard input, and where the system does not tell.
    pub fn of(path: &Path) -> Option<Self> {
        let metadata = path.metadata().ok()?;
        let written = metadata.modified().ok()?;
        let since = written.duration_since(std::time::UNIX_EPOCH).ok()?;
        Some(Self(metadata.len(), u64::try_from(since.as_nanos()).ok()?))
    }
}

/// Tells one choice of points and their classes from another (FNV-1a of the points, class by class).
pub fn digest(selection: &Selection) -> String {
    let numbers = selection.points_per_class.iter().chain(&selection.points);
    let hash = numbers
        .flat_map(|&n| (n as u64).to_le_bytes())
        .fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
    format!("{hash:016x}")
}

/// The layers of an earlier result.
#[derive(Default)]
pub struct Earlier(Vec<Finished>);

impl Earlier {
    /// Reads the JSON at `path`, which must have been made by this program with the same settings, labels and classes.
    ///
    /// # Errors
    /// Where the file cannot be read, is no such result, or was made otherwise; it says how.
    pub fn read(
        path: &Path,
        settings: &Settings,
        labels: Option<&str>,
        selection: &Selection,
    ) -> Result<Self, InputError> {
        let place = Place::file(path);
        let refuse = |problem: String, remedy: &str| InputError::content(&place, problem, remedy);
        let file = File::open(path).map_err(|error| {
            refuse(
                format!("cannot be read: {error}"),
                "the JSON result of an earlier run, whole or .partial, or leave out --resume",
            )
        })?;
        let document: Document =
            serde_json::from_reader(BufReader::new(file)).map_err(|error| {
                refuse(
                    format!("is no JSON result of mftma analyze: {error}"),
                    "a file that --format json wrote",
                )
            })?;
        let program = concat!("mftma ", env!("CARGO_PKG_VERSION"));
        if document.command != "analyze" || document.program != program {
            return Err(refuse(
                format!("is a result of {} {}", document.program, document.command),
                "a result of mftma analyze of this version, or leave out --resume",
            ));
        }
        let own = serde_json::to_value(settings).unwrap_or_default();
        let other = own.as_object().into_iter().flatten().find(|(name, now)| {
            !WITHOUT_EFFECT.contains(&name.as_str()) && document.settings.get(*name) != Some(now)
        });
        if let Some((name, now)) = other {
            let value = document.settings.get(name).unwrap_or(&Value::Null);
            return Err(refuse(
                format!("was made with --{name} {value}, not {now}"),
                "the same settings, or leave out --resume",
            ));
        }
        let classes = selection.classes.iter().zip(&selection.points_per_class);
        let same = document.classes.len() == selection.classes.len()
            && (document.classes.iter().zip(classes))
                .all(|(then, (name, points))| then.name == *name && then.points == *points);
        if document.labels.as_deref() != labels
            || !same
            || document.points_digest != digest(selection)
        {
            return Err(refuse(
                "was made with other labels or classes".to_owned(),
                "the same --labels, or leave out --resume",
            ));
        }
        // A layer that cannot be taken up is measured again.
        let whole = |finished: &Finished| {
            let current = |g: &Geometry| g.algorithm_version == mftma::ALGORITHM_VERSION;
            finished.geometry.is_some() == settings.measures.mean_field()
                && finished.joint.is_some() == settings.joint().is_some()
                && finished.geometry.as_ref().is_none_or(current)
        };
        let layers = document.layers.into_iter();
        Ok(Self(
            layers
                .filter_map(|layer| serde_json::from_value(layer).ok())
                .filter(whole)
                .collect(),
        ))
    }

    /// The finished layer that `entry` is, by name, file, type and shape, where the file was not written to since.
    pub fn take(&mut self, entry: &Entry) -> Option<Finished> {
        let array = entry.info.as_ref().ok()?.describe();
        let file = entry.place.file.display().to_string();
        let stamp = Some(Stamp::of(&entry.place.file)?);
        let at = self.0.iter().position(|finished| {
            finished.layer == entry.name
                && finished.file == file
                && finished.array == array
                && finished.stamp == stamp
        })?;
        Some(self.0.swap_remove(at))
    }
}
