//! The folder of a run: which file is what.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::TrainError;
use crate::checkpoint::{Checkpoint, Header};
use crate::metrics::EpochMetrics;

/// The file from which a run goes on; see [`crate::checkpoint::CheckpointKind::Resume`].
pub const RESUME_FILE: &str = "resume.safetensors";
/// The epoch of the highest test accuracy, where the policy keeps it.
pub const BEST_FILE: &str = "best.safetensors";
/// The metrics of every epoch, one JSON object a line, after [`EpochMetrics`].
pub const METRICS_FILE: &str = "metrics.jsonl";

/// The file of a kept epoch: `epoch-00012.safetensors`.
pub fn kept_file(epoch: usize) -> String {
    format!("epoch-{epoch:05}.safetensors")
}

/// The optimiser's state of a kept epoch, from which training can be repeated: `optimizer-00012.safetensors`.
pub fn optimizer_file(epoch: usize) -> String {
    format!("optimizer-{epoch:05}.safetensors")
}

/// The files of one training run, to read.
#[derive(Clone, Debug)]
pub struct Run {
    folder: PathBuf,
    kept: BTreeMap<usize, PathBuf>,
}

impl Run {
    /// Looks at a folder that [`crate::Trainer::in_folder`] wrote to.
    ///
    /// # Errors
    /// [`TrainError::Io`] where the folder cannot be listed.
    pub fn open(folder: &Path) -> Result<Self, TrainError> {
        let mut kept = BTreeMap::new();
        for entry in fs::read_dir(folder).map_err(TrainError::io("list", folder))? {
            let entry = entry.map_err(TrainError::io("list", folder))?;
            let name = entry.file_name();
            let epoch = name.to_str().and_then(|n| {
                n.strip_prefix("epoch-")?
                    .strip_suffix(".safetensors")?
                    .parse()
                    .ok()
            });
            if let Some(epoch) = epoch {
                kept.insert(epoch, entry.path());
            }
        }
        Ok(Run {
            folder: folder.to_owned(),
            kept,
        })
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The kept epochs, ascending.
    pub fn epochs(&self) -> Vec<usize> {
        self.kept.keys().copied().collect()
    }

    /// Opens the checkpoint of a kept epoch.
    ///
    /// # Errors
    /// [`TrainError::NoCheckpoint`] where the epoch was not kept; otherwise as [`Checkpoint::open`].
    pub fn checkpoint(&self, epoch: usize) -> Result<Checkpoint, TrainError> {
        let path = self.kept.get(&epoch).ok_or_else(|| {
            let known: Vec<String> = self.kept.keys().map(usize::to_string).collect();
            TrainError::NoCheckpoint {
                folder: self.folder.clone(),
                epoch,
                known: if known.is_empty() {
                    "none".into()
                } else {
                    format!("epochs {}", known.join(", "))
                },
            }
        })?;
        Checkpoint::open(path)
    }

    /// Opens the state from which the run goes on: that of its last epoch.
    ///
    /// # Errors
    /// As [`Checkpoint::open`].
    pub fn last(&self) -> Result<Checkpoint, TrainError> {
        Checkpoint::open(&self.folder.join(RESUME_FILE))
    }

    /// Opens the epoch of the highest test accuracy.
    ///
    /// # Errors
    /// As [`Checkpoint::open`].
    pub fn best(&self) -> Result<Checkpoint, TrainError> {
        Checkpoint::open(&self.folder.join(BEST_FILE))
    }

    /// The metrics of every whole epoch, from 0 on.
    ///
    /// # Errors
    /// As [`Header::read`].
    pub fn history(&self) -> Result<Vec<EpochMetrics>, TrainError> {
        Ok(Header::read(&self.folder.join(RESUME_FILE))?.history)
    }

    /// Bytes that the run takes on the disk.
    ///
    /// # Errors
    /// [`TrainError::Io`].
    pub fn disk_use(&self) -> Result<u64, TrainError> {
        disk_use(&self.folder)
    }
}

/// Bytes of all files in a folder.
pub(crate) fn disk_use(folder: &Path) -> Result<u64, TrainError> {
    let mut total = 0;
    for entry in fs::read_dir(folder).map_err(TrainError::io("list", folder))? {
        let entry = entry.map_err(TrainError::io("list", folder))?;
        total += entry
            .metadata()
            .map_err(TrainError::io("read", &entry.path()))?
            .len();
    }
    Ok(total)
}
