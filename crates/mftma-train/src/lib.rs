//! Trains image networks on partly permuted labels and keeps every epoch open to inspection.
//!
//! - A [`NetworkSpec`] builds a [`Network`]: a named architecture ([`zoo`]) over operators on dfdx's tape ([`ops`]), behind
//!   one object-safe trait with named layers and parameters. [`assembly`] makes one from [`layers`] of your choice.
//! - [`TrainingData`] is a data set with permuted labels, handed out as normalised batches.
//! - A [`Trainer`] runs [`TrainSettings`] in memory or in a folder, from which a killed run goes on to the same bytes. It tells
//!   its caller of every step through [`Progress`] and is cancelled by the answer.
//! - A [`Checkpoint`] of a [`Run`] gives an epoch's network back; [`rewind`] exchanges layers between two epochs; [`evaluate`] measures
//!   the four example groups.
//! - [`LayerActivations`] streams a layer into the engine (`mftma`); [`activations`] also writes to disk.
//!
//! The crate prints nothing and reads no clock. Work runs on rayon's current pool and gives the same bytes at any number of
//! threads and with any vector instructions ([`mftma::simd`] tells and chooses them). Every random draw comes from a stream named by a seed and a purpose.

pub mod activations;
pub mod assembly;
mod batches;
pub mod checkpoint;
mod data;
mod error;
mod evaluate;
mod init;
mod kernels;
pub mod layers;
mod metrics;
pub mod network;
pub mod ops;
mod optim;
mod rewind;
mod rng;
mod run;
mod schedule;
mod settings;
mod spec;
mod trainer;
pub mod zoo;

pub use activations::{LayerActivations, Layers};
pub use checkpoint::Checkpoint;
pub use data::{DataIdentity, TrainingData};
pub use error::{NetworkError, TrainError};
pub use evaluate::{
    GroupScore, GroupScores, evaluate, evaluate_at_most, evaluate_examples, score_examples,
};
pub use init::{Initialization, InitializationScheme};
pub use metrics::{EpochMetrics, StopReason};
pub use network::{
    BatchMoments, LayerInfo, LayerKind, Network, Place, Pulled, PulledImages, Recorder,
    StatisticsMode, Step, predicted, softmax,
};
pub use ops::{Moments, Parameter, ParameterRole};
pub use optim::{Optimizer, OptimizerSettings};
pub use rewind::{
    RewoundStatistics, reestimate_statistics, rewind, rewind_network, rewindable_layers,
};
pub use rng::epoch_order;
pub use run::{BEST_FILE, METRICS_FILE, RESUME_FILE, Run, kept_file, optimizer_file};
pub use schedule::{Decay, Schedule};
pub use settings::{CheckpointPolicy, Recipe, SettingsHash, StopConditions, TrainSettings};
pub use spec::{Architecture, ImageShape, NetworkSpec};
pub use trainer::{Progress, Trained, Trainer};

/// The README's example compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
