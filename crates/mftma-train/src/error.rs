//! What can go wrong in training, said so that it can be put right.

use std::path::{Path, PathBuf};

use crate::spec::{Architecture, ImageShape};

/// Why a network could not be built or used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NetworkError {
    /// A size in the specification is impossible for the architecture.
    #[error("{architecture}: {reason}")]
    Spec {
        /// The architecture asked for.
        architecture: Architecture,
        /// What is wrong, with the value and the remedy.
        reason: String,
    },
    /// The images do not have the shape the network was built for.
    #[error(
        "the network takes images of {expected}, but the batch holds images of {found}; resize or pad them first"
    )]
    Images {
        /// Shape the network was built for.
        expected: ImageShape,
        /// Shape handed in.
        found: ImageShape,
    },
    /// The batch has no example.
    #[error("the batch is empty; hand in at least one image")]
    EmptyBatch,
    /// As many labels as images are needed.
    #[error("{images} images but {labels} labels; each image needs one label")]
    LabelCount {
        /// Images in the batch.
        images: usize,
        /// Labels handed in.
        labels: usize,
    },
    /// A label beyond the class count.
    #[error("label {label} at position {position}, but the network has {classes} classes (0 to {})", classes - 1)]
    Label {
        /// The label.
        label: u16,
        /// Its position in the batch.
        position: usize,
        /// Classes of the network.
        classes: usize,
    },
    /// No such layer.
    #[error("layer index {index}, but the network has {count} layers (0 is the input)")]
    Layer {
        /// The index asked for.
        index: usize,
        /// Number of layers.
        count: usize,
    },
    /// Operands of an operator do not fit.
    #[error("{operator}: {reason}")]
    Shape {
        /// The operator.
        operator: &'static str,
        /// What does not fit, with the sizes.
        reason: String,
    },
    /// dfdx reported a failure of its own.
    #[error("automatic differentiation failed: {0}")]
    Tape(String),
}

/// The error of settings, training, checkpoints, rewinding and activations.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// A setting is outside its range or contradicts another.
    #[error("setting `{setting}` is {value}: {remedy}")]
    Setting {
        /// The setting's name, with dots.
        setting: String,
        /// Its value.
        value: String,
        /// What to give instead.
        remedy: String,
    },

    /// The network cannot be built from its specification, or refused its input.
    #[error(transparent)]
    Network(#[from] NetworkError),

    /// The data set refused what was asked of it.
    #[error(transparent)]
    Data(#[from] mftma_data::Error),

    /// Images or labels do not fit the network or each other.
    #[error("{what}: expected {expected}, found {found}; {remedy}")]
    Shape {
        /// Which size.
        what: String,
        /// What it must be.
        expected: String,
        /// What it is.
        found: String,
        /// What to do.
        remedy: &'static str,
    },

    /// The operating system refused a file or folder.
    #[error("cannot {action} {}; check {}", path.display(), for_action(action))]
    Io {
        /// What was tried: `read`, `write`, …
        action: &'static str,
        /// File or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },

    /// A file is not a checkpoint, is cut short, or is damaged.
    #[error("{}: {problem}; {remedy}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong, with the offending value.
        problem: String,
        /// What to do.
        remedy: &'static str,
    },

    /// A checkpoint belongs to another run: other settings, other data or another network.
    #[error("{}: {what} is {found}, but this run has {expected}; {remedy}", path.display())]
    Mismatch {
        /// The checkpoint.
        path: PathBuf,
        /// What differs, by name.
        what: String,
        /// The value asked for.
        expected: String,
        /// The value in the checkpoint.
        found: String,
        /// What to do.
        remedy: &'static str,
    },

    /// No layer of the network has this name.
    #[error("no layer is called `{name}`; the layers are {known}")]
    UnknownLayer {
        /// The name asked for.
        name: String,
        /// The names there are, separated by commas.
        known: String,
    },

    /// The run has no checkpoint of this epoch.
    #[error("{} holds no checkpoint of epoch {epoch}; it holds {known}", folder.display())]
    NoCheckpoint {
        /// The run's folder.
        folder: PathBuf,
        /// The epoch asked for.
        epoch: usize,
        /// The epochs there are.
        known: String,
    },

    /// The scheduled checkpoints would take more than the policy allows.
    #[error(
        "checkpoints would take {needed} bytes, but the policy allows {limit}: \
         raise `checkpoints.limit_bytes`, save fewer epochs, or narrow the network"
    )]
    DiskLimit {
        /// Bytes that the policy's files can take at most.
        needed: u64,
        /// The limit that was set.
        limit: u64,
    },

    /// Another process trains in the same folder.
    #[error("{} is in use by another training process; wait for it or choose another folder", folder.display())]
    Locked {
        /// The run's folder.
        folder: PathBuf,
    },

    /// The loss became infinite, NaN or larger than the limit.
    #[error(
        "training diverged in epoch {epoch}, step {step}: {what} is {value} at learning rate {learning_rate}; {kept}. \
         Lower `learning_rate` or add `schedule.warm_up_epochs`"
    )]
    Diverged {
        /// The epoch, from 1.
        epoch: usize,
        /// The step within the epoch, from 0.
        step: usize,
        /// What left its range: the loss, or a parameter by name.
        what: String,
        /// Its value.
        value: f64,
        /// The learning rate of that step.
        learning_rate: f64,
        /// Where the last good checkpoint is, in words.
        kept: String,
    },
}

/// What to check where the system refused.
fn for_action(action: &str) -> &'static str {
    match action {
        "read" | "open" | "list" => "that it is there and may be read",
        _ => "the free space and the permissions of its folder",
    }
}

impl From<mftma_atomic::WriteError> for TrainError {
    fn from(error: mftma_atomic::WriteError) -> Self {
        TrainError::Io {
            action: "write",
            path: error.path,
            source: error.source,
        }
    }
}

impl TrainError {
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| TrainError::Io {
            action,
            path,
            source,
        }
    }

    pub(crate) fn setting(
        setting: impl Into<String>,
        value: impl ToString,
        remedy: impl Into<String>,
    ) -> Self {
        TrainError::Setting {
            setting: setting.into(),
            value: value.to_string(),
            remedy: remedy.into(),
        }
    }
}
