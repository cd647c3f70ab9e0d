//! Layers that an earlier run of `mftma analyze` finished (`--resume`).

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use mftma::Geometry;
use mftma::joint::JointGeometry;
use mftma_files::error::{InputError, Place};
use mftma_files::read::Entry;
use mftma_files::source::Selection;
use serde::Deserialize;
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
    /// The mean-field measures, where they were asked for.
    pub geometry: Option<Geometry>,
    /// The joint measures, where they were asked for.
    pub joint: Option<JointGeometry>,
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
        let other = document.settings.iter().find(|(name, value)| {
            !WITHOUT_EFFECT.contains(&name.as_str()) && own.get(name) != Some(value)
        });
        if let Some((name, value)) = other {
            let now = own.get(name).unwrap_or(&Value::Null);
            return Err(refuse(
                format!("was made with --{name} {value}, not {now}"),
                "the same settings, or leave out --resume",
            ));
        }
        let classes = selection.classes.iter().zip(&selection.points_per_class);
        let same = document.classes.len() == selection.classes.len()
            && (document.classes.iter().zip(classes))
                .all(|(then, (name, points))| then.name == *name && then.points == *points);
        if document.labels.as_deref() != labels || !same {
            return Err(refuse(
                "was made with other labels or classes".to_owned(),
                "the same --labels, or leave out --resume",
            ));
        }
        // A layer that cannot be taken up is measured again.
        let layers = document.layers.into_iter();
        Ok(Self(
            layers
                .filter_map(|layer| serde_json::from_value(layer).ok())
                .collect(),
        ))
    }

    /// The finished layer that `entry` is, by name, file, type and shape.
    pub fn take(&mut self, entry: &Entry) -> Option<Finished> {
        let array = entry.info.as_ref().ok()?.describe();
        let file = entry.place.file.display().to_string();
        let at = self.0.iter().position(|finished| {
            finished.layer == entry.name && finished.file == file && finished.array == array
        })?;
        Some(self.0.swap_remove(at))
    }
}
