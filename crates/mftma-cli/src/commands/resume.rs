//! Layers that an earlier run of `mftma analyze` finished (`--resume`).

use std::fs::File;
use std::io::{self, BufReader};
use std::path::Path;

use mftma::Geometry;
use mftma::joint::JointGeometry;
use mftma_files::error::{InputError, Place};
use mftma_files::read::Entry;
use mftma_files::source::Selection;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{STDIN, same_file};
use crate::settings::{Measures, Settings};

/// Settings that change no number: the same layers may be taken with others.
const WITHOUT_EFFECT: [&str; 3] = ["threads", "layers", "inflate-limit"];

/// What is read of the JSON that `mftma analyze` writes.
#[derive(Deserialize)]
struct Document {
    program: String,
    command: String,
    settings: Map<String, Value>,
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
    /// From the root, where there is one.
    path: Option<String>,
    array: String,
    stamp: Option<Stamp>,
    /// The mean-field measures, where they were asked for.
    pub geometry: Option<Geometry>,
    /// The joint measures, where they were asked for.
    pub joint: Option<JointGeometry>,
    /// What was asked for and could not be measured, in words.
    pub left_out: Option<String>,
}

impl Finished {
    /// Whether it is a layer of that name in that file. Names from the root tell, whatever folder either run was started in.
    fn is_of(&self, entry: &Entry) -> bool {
        let file = &entry.place.file;
        self.layer == entry.name
            && match (&self.path, path(file)) {
                (Some(then), Some(now)) if *then == now => true,
                (Some(_), Some(_)) => false,
                _ => {
                    file.display().to_string() == self.file
                        || same_file(file, Path::new(&self.file))
                }
            }
    }
}

/// A file's name from the root, without links; none for standard input.
pub fn path(file: &Path) -> Option<String> {
    let path = file.canonicalize().ok()?;
    (file != Path::new(STDIN)).then(|| path.display().to_string())
}

/// Tells one state of the files behind a layer from another: their bytes, and a hash of the length of each and of when it was last
/// written to, in nanoseconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp(u64, String);

impl Stamp {
    /// Of every file that `entry` comes from, before it is read: what is written meanwhile is another state. None for standard input,
    /// and where the system does not tell.
    pub fn of(entry: &Entry) -> Option<Self> {
        if entry.place.file == Path::new(STDIN) {
            return None;
        }
        let (mut bytes, mut numbers) = (0_u64, Fnv::default());
        let mut told = true;
        entry.each_file(&mut |path| match path.metadata() {
            Ok(metadata) => {
                let written = metadata.modified().ok();
                let since = written.and_then(|t| t.duration_since(std::time::UNIX_EPOCH).ok());
                let since = since.and_then(|since| u64::try_from(since.as_nanos()).ok());
                told &= since.is_some();
                bytes = bytes.saturating_add(metadata.len());
                numbers.add(metadata.len());
                numbers.add(since.unwrap_or_default());
            }
            // A chunk of a zarr store that is not there.
            Err(error) if error.kind() == io::ErrorKind::NotFound => numbers.add(u64::MAX),
            Err(_) => told = false,
        });
        told.then(|| Self(bytes, numbers.text()))
    }
}

/// FNV-1a, of numbers.
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv {
    fn add(&mut self, number: u64) {
        for byte in number.to_le_bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn text(&self) -> String {
        format!("{:016x}", self.0)
    }
}

/// Tells one choice of points and their classes from another, class by class.
pub fn digest(selection: &Selection) -> String {
    let mut hash = Fnv::default();
    let numbers = selection.points_per_class.iter().chain(&selection.points);
    numbers.for_each(|&n| hash.add(n as u64));
    hash.text()
}

/// The layers of an earlier result.
#[derive(Default)]
pub struct Earlier {
    /// As they are written, too.
    finished: Vec<(Finished, Value)>,
    /// Those that cannot be taken up, and why.
    unread: Vec<(Value, String)>,
    /// What was found of those.
    notes: Vec<String>,
}

impl Earlier {
    /// Reads the JSON at `path`, which must have been made by this program with the same settings, and of the same points of the same
    /// classes.
    ///
    /// # Errors
    /// Where the file cannot be read, is no such result, or was made otherwise; it says how.
    pub fn read(
        path: &Path,
        settings: &Settings,
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
        if !same || document.points_digest != digest(selection) {
            return Err(refuse(
                "was made with other labels or classes".to_owned(),
                "the same --labels, or leave out --resume",
            ));
        }
        // A layer that cannot be taken up is measured again.
        let whole = |finished: &Finished| {
            let current = |g: &Geometry| g.algorithm_version == mftma::ALGORITHM_VERSION;
            let (mean_field, joint) = (finished.geometry.is_some(), finished.joint.is_some());
            let (both, either) = (settings.measures == Measures::Both, mean_field || joint);
            let all =
                mean_field == settings.measures.mean_field() && joint == settings.measures.joint();
            (all || (both && either && finished.left_out.is_some()))
                && finished.geometry.as_ref().is_none_or(current)
        };
        let mut earlier = Self::default();
        for layer in document.layers {
            match Finished::deserialize(&layer) {
                Ok(finished) if whole(&finished) => earlier.finished.push((finished, layer)),
                Ok(_) => {}
                Err(error) => {
                    // The only numbers that JSON has not.
                    let why = match error.to_string() {
                        text if text.contains("null") => {
                            "a number in it is infinite or none, which JSON does not hold".into()
                        }
                        text => text,
                    };
                    earlier.unread.push((layer, why));
                }
            }
        }
        Ok(earlier)
    }

    /// The finished layer that `entry` is, by name, file, type and shape, where no file behind it was written to since; `stamp` is its
    /// own.
    pub fn take(&mut self, entry: &Entry, stamp: Option<&Stamp>) -> Option<Finished> {
        let array = entry.info.as_ref().ok().map(|info| info.describe());
        let current = |finished: &Finished| {
            stamp.is_some()
                && finished.stamp.as_ref() == stamp
                && array.as_ref() == Some(&finished.array)
        };
        let text = entry.place.file.display().to_string();
        let own = |(finished, _): &(Finished, Value)| finished.is_of(entry);
        // The folder around both may have been moved.
        let moved = |(finished, _): &(Finished, Value)| {
            finished.layer == entry.name && finished.file == text && current(finished)
        };
        let mut all = self.finished.iter();
        let at = all
            .position(own)
            .or_else(|| self.finished.iter().position(moved));
        // What it was before is nobody's any more.
        let found = at.map(|at| self.finished.remove(at).0);
        if let Some(finished) = found.filter(current) {
            return Some(finished);
        }
        let named = |(layer, _): &(Value, String)| layer["layer"] == entry.name.as_str();
        if let Some(at) = self.unread.iter().position(named) {
            let (_, why) = self.unread.remove(at);
            self.notes.push(format!(
                "{} is measured again: its earlier result cannot be read back: {why}",
                entry.name
            ));
        }
        None
    }

    /// Which layers are measured again though they were finished, and why.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// What was not asked for, as it was written.
    pub fn rest(self) -> Vec<Value> {
        let finished = self.finished.into_iter().map(|(_, layer)| layer);
        let unread = self.unread.into_iter().map(|(layer, _)| layer);
        finished.chain(unread).collect()
    }
}
