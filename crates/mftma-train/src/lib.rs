//! Typed dfdx networks: training, checkpoints, rewinding, activations.

pub mod activations;
pub mod checkpoint;
mod data;
mod error;
mod evaluate;
mod files;
mod init;
pub mod network;
pub mod ops;
mod optim;
mod rewind;
mod rng;
mod run;
mod schedule;
mod settings;
mod trainer;
pub mod zoo;

pub use activations::LayerActivations;
pub use checkpoint::Checkpoint;
pub use data::{DataIdentity, TrainingData};
pub use error::TrainError;
pub use evaluate::{GroupScore, GroupScores, evaluate};
pub use init::{Initialization, InitializationScheme};
pub use network::{
    Architecture, ImageShape, LayerInfo, LayerKind, Network, NetworkError, NetworkSpec,
    StatisticsMode, Step,
};
pub use ops::{Parameter, ParameterRole};
pub use optim::{Optimizer, OptimizerSettings};
pub use rewind::{RewoundStatistics, rewind, rewindable_layers};
pub use rng::epoch_order;
pub use run::{BEST_FILE, METRICS_FILE, RESUME_FILE, Run, kept_file};
pub use schedule::{Decay, Schedule};
pub use settings::{CheckpointPolicy, SettingsHash, StopConditions, TrainSettings};
pub use trainer::{EpochMetrics, Progress, StopReason, Trained, Trainer};
