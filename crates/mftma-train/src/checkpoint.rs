//! Checkpoints: a network and where it came from, in one safetensors file.
//!
//! The file's tensors are all `F32`: `parameter/<name>`, `statistic/<name>` (running statistics of normalisations) and, in a resume
//! file and (alone) in an optimiser's file, `optimizer/<slot>/<name>`. The header's metadata has one entry, `mftma`, the JSON of a [`Header`]. (One entry, because the format does
//! not order several, and equal runs must give equal bytes.)

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};

use crate::data::DataIdentity;
use crate::metrics::{EpochMetrics, StopReason};
use crate::optim::Optimizer;
use crate::settings::{SettingsHash, TrainSettings};
use crate::{Network, NetworkSpec, Parameter, TrainError};

/// Version of the layout; a file of another version is refused.
const FORMAT: u32 = 1;
/// Key of the one metadata entry.
const KEY: &str = "mftma";
const REMAKE: &str = "delete the file and train again, or open the file that was meant";
const OTHER_RUN: &str = "use the settings and data it was made with, or another folder";

/// What a file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CheckpointKind {
    /// Kept for analysis: parameters and statistics, and the metrics of its own epoch.
    Kept,
    /// Beside a kept epoch: the optimiser's state, from which training can be repeated to further epochs.
    Optimizer,
    /// The one file from which a run goes on: optimiser state and the whole history too.
    Resume,
}

/// The state of the random streams: they have none, so a seed and a position say all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RandomState {
    /// The generator behind every stream.
    pub generator: String,
    /// The run's seed.
    pub seed: u64,
    /// The epoch whose order, and augmentation, are drawn next.
    pub next_epoch: usize,
}

/// Everything a checkpoint says beside its tensors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// Version of the layout.
    pub format: u32,
    /// What the file is for.
    pub kind: CheckpointKind,
    /// Epochs of training behind this state; 0 is the initialization.
    pub epoch: usize,
    /// Optimiser steps behind this state.
    pub steps: u64,
    /// The run's settings without its checkpoint policy, which changes no state: [`TrainSettings::identity`]. (Files of version 0.1.0
    /// hold the policy too.)
    pub settings: TrainSettings,
    /// Their hash.
    pub settings_hash: SettingsHash,
    /// The run's images and labels.
    pub data: DataIdentity,
    /// Where the random streams stand.
    pub random: RandomState,
    /// Metrics: of every epoch from 0 on in a resume file, of the file's own epoch otherwise.
    pub history: Vec<EpochMetrics>,
    /// Why training ended with this epoch, if it did.
    pub stopped: Option<StopReason>,
    /// BLAKE3 of everything else here and of the names, shapes and values of all tensors, in hexadecimal.
    pub content: String,
}

/// A checkpoint in memory.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    path: PathBuf,
    header: Header,
    tensors: BTreeMap<String, Tensor>,
}

#[derive(Clone, Debug)]
struct Tensor {
    shape: Vec<usize>,
    values: Vec<f32>,
}

fn parameter_key(parameter: &Parameter) -> String {
    format!("parameter/{}", parameter.name())
}

fn statistic_key(statistic: &Parameter) -> String {
    format!("statistic/{}", statistic.name())
}

/// What [`write`] needs to know of a run.
pub(crate) struct State<'a> {
    pub(crate) kind: CheckpointKind,
    pub(crate) epoch: usize,
    pub(crate) settings: &'a TrainSettings,
    pub(crate) data: &'a DataIdentity,
    pub(crate) history: &'a [EpochMetrics],
    pub(crate) stopped: Option<StopReason>,
    pub(crate) network: &'a dyn Network,
    pub(crate) optimizer: &'a Optimizer,
}

/// Writes a checkpoint atomically and returns its size in bytes. Equal states give equal bytes.
pub(crate) fn write(path: &Path, state: &State<'_>) -> Result<u64, TrainError> {
    let mut tensors: BTreeMap<String, (Vec<usize>, &[f32])> = BTreeMap::new();
    if state.kind != CheckpointKind::Optimizer {
        for p in state.network.parameters() {
            tensors.insert(parameter_key(p), (p.shape().to_vec(), p.values()));
        }
        for s in state.network.statistics() {
            tensors.insert(statistic_key(s), (s.shape().to_vec(), s.values()));
        }
    }
    if state.kind != CheckpointKind::Kept {
        for (slot, name, buffer) in state.optimizer.state() {
            tensors.insert(
                format!("optimizer/{slot}/{name}"),
                (vec![buffer.len()], buffer),
            );
        }
    }
    let bytes: BTreeMap<&str, Vec<u8>> = tensors
        .iter()
        .map(|(name, (_, values))| {
            (
                name.as_str(),
                values.iter().flat_map(|v| v.to_le_bytes()).collect(),
            )
        })
        .collect();
    let mut header = Header {
        format: FORMAT,
        kind: state.kind,
        epoch: state.epoch,
        steps: state.optimizer.steps(),
        settings: state.settings.clone(),
        settings_hash: state.settings.hash(),
        data: state.data.clone(),
        random: RandomState {
            generator: "ChaCha8".into(),
            seed: state.settings.seed,
            next_epoch: state.epoch + 1,
        },
        history: state.history.to_vec(),
        stopped: state.stopped,
        content: String::new(),
    };
    header.content = content_hash(
        &header,
        bytes
            .iter()
            .map(|(&name, bytes)| (name, tensors[name].0.as_slice(), bytes.as_slice())),
    );
    let json = header.to_json();
    let views: Result<Vec<_>, _> = bytes
        .iter()
        .map(|(&name, bytes)| {
            TensorView::new(Dtype::F32, tensors[name].0.clone(), bytes).map(|view| (name, view))
        })
        .collect();
    let file = views
        .and_then(|views| safetensors::serialize(views, Some([(KEY.to_string(), json)].into())))
        .map_err(|e| foreign(path, format!("it cannot be written: {e}")))?;
    mftma_atomic::write(path, &file)?;
    Ok(file.len() as u64)
}

/// The hash of a header (its own `content` left empty) and of names, shapes and values of tensors.
fn content_hash<'a>(
    header: &Header,
    tensors: impl Iterator<Item = (&'a str, &'a [usize], &'a [u8])>,
) -> String {
    let header = Header {
        content: String::new(),
        ..header.clone()
    };
    let mut hasher = blake3::Hasher::new();
    let mut add = |bytes: &[u8]| {
        hasher.update(&(bytes.len() as u64).to_le_bytes());
        hasher.update_rayon(bytes);
    };
    add(header.to_json().as_bytes());
    for (name, shape, bytes) in tensors {
        add(name.as_bytes());
        add(&shape
            .iter()
            .flat_map(|&n| (n as u64).to_le_bytes())
            .collect::<Vec<u8>>());
        add(bytes);
    }
    hasher.finalize().to_hex().to_string()
}

fn foreign(path: &Path, problem: String) -> TrainError {
    TrainError::Format {
        path: path.to_owned(),
        problem,
        remedy: REMAKE,
    }
}

impl Header {
    /// Reads the header alone, without the tensors.
    ///
    /// # Errors
    /// As [`Checkpoint::open`]; damage to tensors goes unseen.
    pub fn read(path: &Path) -> Result<Self, TrainError> {
        let mut file = File::open(path).map_err(TrainError::io("open", path))?;
        let mut length = [0u8; 8];
        let size = file.metadata().map_err(TrainError::io("read", path))?.len();
        if size < 8 {
            return Err(foreign(
                path,
                format!("its {size} bytes are too few for a checkpoint"),
            ));
        }
        file.read_exact(&mut length)
            .map_err(TrainError::io("read", path))?;
        let length = u64::from_le_bytes(length);
        if length > size - 8 {
            return Err(foreign(
                path,
                format!(
                    "it is no safetensors file or is cut short: it announces a header of {length} bytes in a file of {size}"
                ),
            ));
        }
        let mut json = vec![0; length as usize];
        file.read_exact(&mut json)
            .map_err(TrainError::io("read", path))?;
        #[derive(Deserialize)]
        struct Outer {
            #[serde(rename = "__metadata__")]
            metadata: Option<BTreeMap<String, String>>,
        }
        let outer: Outer = serde_json::from_slice(&json)
            .map_err(|e| foreign(path, format!("it is no safetensors file: {e}")))?;
        Self::parse(path, outer.metadata.as_ref().and_then(|m| m.get(KEY)))
    }

    fn to_json(&self) -> String {
        // Numbers, strings, lists and maps with string keys: nothing that JSON cannot hold.
        serde_json::to_string(self).expect("a header is plain data")
    }

    fn parse(path: &Path, json: Option<&String>) -> Result<Self, TrainError> {
        #[derive(Deserialize)]
        struct Version {
            format: u32,
        }
        let json = json.ok_or_else(|| {
            foreign(
                path,
                format!("it is a safetensors file of another program: it has no `{KEY}` metadata"),
            )
        })?;
        let version: Version = serde_json::from_str(json)
            .map_err(|e| foreign(path, format!("its metadata is not understood: {e}")))?;
        if version.format != FORMAT {
            return Err(foreign(
                path,
                format!(
                    "it has format {}, but this version reads format {FORMAT}",
                    version.format
                ),
            ));
        }
        let header: Header = serde_json::from_str(json)
            .map_err(|e| foreign(path, format!("its metadata is not understood: {e}")))?;
        let hash = header.settings.hash_as_written();
        if hash != header.settings_hash {
            return Err(foreign(
                path,
                format!(
                    "its settings have hash {hash}, but it says {}: they were altered",
                    header.settings_hash
                ),
            ));
        }
        Ok(header)
    }
}

impl Checkpoint {
    /// Reads a checkpoint and checks it whole.
    ///
    /// # Errors
    /// [`TrainError::Io`] where the file cannot be read; [`TrainError::Format`] where it is cut short, damaged (its content
    /// has another hash), of another program or another version.
    pub fn open(path: &Path) -> Result<Self, TrainError> {
        let bytes = std::fs::read(path).map_err(TrainError::io("read", path))?;
        let broken = |e| {
            foreign(
                path,
                format!("it is no safetensors file, is cut short or damaged: {e}"),
            )
        };
        let (_, metadata) = SafeTensors::read_metadata(&bytes).map_err(broken)?;
        let json = metadata.metadata().as_ref().and_then(|m| m.get(KEY));
        let header = Header::parse(path, json)?;
        let file = SafeTensors::deserialize(&bytes).map_err(broken)?;
        let mut views: Vec<(&str, TensorView<'_>)> = file.iter().collect();
        views.sort_by_key(|(name, _)| *name);
        if let Some((name, view)) = views.iter().find(|(_, view)| view.dtype() != Dtype::F32) {
            return Err(foreign(
                path,
                format!("tensor {name} has type {}, not F32", view.dtype()),
            ));
        }
        let content = content_hash(
            &header,
            views
                .iter()
                .map(|(name, view)| (*name, view.shape(), view.data())),
        );
        if content != header.content {
            return Err(foreign(
                path,
                format!(
                    "it is damaged: its content has hash {content}, but it says {}",
                    header.content
                ),
            ));
        }
        let tensors = views
            .into_iter()
            .map(|(name, view)| {
                let values = view
                    .data()
                    .chunks_exact(4)
                    .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
                (
                    name.to_string(),
                    Tensor {
                        shape: view.shape().to_vec(),
                        values: values.collect(),
                    },
                )
            })
            .collect();
        Ok(Checkpoint {
            path: path.to_owned(),
            header,
            tensors,
        })
    }

    /// The file it was read from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Settings, epoch, metrics and identity of the data.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The network that was saved. One that a program [assembled](crate::assembly) itself is had by [`Checkpoint::load_into`].
    ///
    /// # Errors
    /// [`TrainError::Network`] where its specification cannot be built, [`TrainError::Mismatch`] where a tensor is missing, has
    /// another shape, or is not of this network.
    pub fn network(&self) -> Result<Box<dyn Network>, TrainError> {
        let mut network = self.header.settings.network.build(&mut |_| {})?;
        self.load_into(&mut *network)?;
        Ok(network)
    }

    /// The network that was saved, if it is of this specification.
    ///
    /// # Errors
    /// As [`Checkpoint::network`], and [`TrainError::Mismatch`] where the specification is another.
    pub fn network_of(&self, spec: &NetworkSpec) -> Result<Box<dyn Network>, TrainError> {
        let found = &self.header.settings.network;
        if found != spec {
            return Err(TrainError::Mismatch {
                path: self.path.clone(),
                what: "the network".into(),
                expected: format!("{spec:?}"),
                found: format!("{found:?}"),
                remedy: OTHER_RUN,
            });
        }
        self.network()
    }

    /// Puts the saved parameters and statistics into `network`, by name.
    ///
    /// # Errors
    /// [`TrainError::Mismatch`] where a tensor is missing, has another shape, or is left over. `network` may then be
    /// partly overwritten.
    pub fn load_into(&self, network: &mut dyn Network) -> Result<(), TrainError> {
        let mut used = 0;
        for p in network.parameters_mut() {
            let shape = p.shape().to_vec();
            self.copy(&parameter_key(p), &shape, p.values_mut())?;
            used += 1;
        }
        for s in network.statistics_mut() {
            let shape = s.shape().to_vec();
            self.copy(&statistic_key(s), &shape, s.values_mut())?;
            used += 1;
        }
        let of_network = |name: &&String| !name.starts_with("optimizer/");
        if self.tensors.keys().filter(of_network).count() != used {
            let known: Vec<String> = (network.parameters().into_iter().map(parameter_key))
                .chain(network.statistics().into_iter().map(statistic_key))
                .collect();
            let extra = self
                .tensors
                .keys()
                .filter(of_network)
                .find(|name| !known.contains(name));
            return Err(self.mismatch(
                extra.cloned().unwrap_or_default(),
                "no such tensor",
                "a tensor",
            ));
        }
        Ok(())
    }

    /// Puts the saved state of the optimiser back.
    pub(crate) fn load_optimizer(&self, optimizer: &mut Optimizer) -> Result<(), TrainError> {
        optimizer.restore(self.header.steps, |slot, name, buffer| {
            let len = buffer.len();
            self.copy(&format!("optimizer/{slot}/{name}"), &[len], buffer)
        })
    }

    fn copy(&self, name: &str, shape: &[usize], into: &mut [f32]) -> Result<(), TrainError> {
        let tensor = self
            .tensors
            .get(name)
            .ok_or_else(|| self.mismatch(name, format!("a tensor of shape {shape:?}"), "absent"))?;
        if tensor.shape != shape {
            let found = format!("of shape {:?}", tensor.shape);
            return Err(self.mismatch(name, format!("a tensor of shape {shape:?}"), found));
        }
        into.copy_from_slice(&tensor.values);
        Ok(())
    }

    fn mismatch(
        &self,
        tensor: impl AsRef<str>,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> TrainError {
        TrainError::Mismatch {
            path: self.path.clone(),
            what: format!("tensor {}", tensor.as_ref()),
            expected: expected.into(),
            found: found.into(),
            remedy: REMAKE,
        }
    }

    /// Refuses a checkpoint of other settings or other data. The checkpoint policy is no part of a run and may differ.
    ///
    /// # Errors
    /// [`TrainError::Mismatch`] with the first setting or checksum that differs.
    pub fn check_run(
        &self,
        settings: &TrainSettings,
        data: &DataIdentity,
    ) -> Result<(), TrainError> {
        let differ =
            |what: &str, expected: &dyn std::fmt::Display, found: &dyn std::fmt::Display| {
                Err(TrainError::Mismatch {
                    path: self.path.clone(),
                    what: what.to_string(),
                    expected: expected.to_string(),
                    found: found.to_string(),
                    remedy: OTHER_RUN,
                })
            };
        if let Some((name, here, there)) = settings.first_difference(&self.header.settings) {
            return differ(&format!("setting `{name}`"), &here, &there);
        }
        let saved = &self.header.data;
        for (what, here, there) in [
            ("the data set", &data.dataset, &saved.dataset),
            (
                "the data set's checksum",
                &data.dataset_checksum,
                &saved.dataset_checksum,
            ),
            (
                "the permutation's checksum",
                &data.permutation_checksum,
                &saved.permutation_checksum,
            ),
        ] {
            if here != there {
                return differ(what, here, there);
            }
        }
        if data.normalization != saved.normalization {
            let text = |n: &mftma_data::Normalization| format!("{n:?}");
            return differ(
                "the normalisation",
                &text(&data.normalization),
                &text(&saved.normalization),
            );
        }
        Ok(())
    }
}
