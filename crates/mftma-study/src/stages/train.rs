//! Trains the network of one run and keeps a checkpoint per chosen epoch.

use std::collections::BTreeSet;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::{Context, Result};
use mftma_train::{
    CheckpointPolicy, EpochMetrics, OptimizerSettings, Progress, Run, StopConditions, StopReason,
    TrainError, TrainSettings, Trainer,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::cache::{Stage, Work};
use crate::experiment::Experiment;

/// Checkpoints lie in this folder of the stage's entry: the trainer locks and sweeps it by its own rules.
const RUN: &str = "run";

/// The training of one run.
pub struct TrainStage {
    experiment: Rc<Experiment>,
}

/// What training leaves beside its checkpoints.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TrainingRecord {
    /// Metrics of every epoch, from 0 on.
    pub history: Vec<EpochMetrics>,
    /// Why training ended.
    pub stopped: Option<StopReason>,
}

impl TrainingRecord {
    /// Epochs of training in all.
    pub fn last_epoch(&self) -> usize {
        self.history.last().map_or(0, |metrics| metrics.epoch)
    }
}

impl TrainStage {
    /// The training of `experiment`.
    pub fn new(experiment: Rc<Experiment>) -> Self {
        Self { experiment }
    }

    /// Checks the settings of network and training before anything is written.
    pub fn check(&self) -> Result<()> {
        self.train_settings().check()?;
        // Without values: only its sizes can be wrong.
        self.experiment.network().build(&mut |_| {})?;
        Ok(())
    }

    /// Where the checkpoints are, below the stage's folder.
    pub fn run_folder(stage_folder: &Path) -> PathBuf {
        stage_folder.join(RUN)
    }

    /// The settings of the training.
    pub fn train_settings(&self) -> TrainSettings {
        let profile = &self.experiment.profile;
        let training = &profile.training;
        TrainSettings {
            seed: self.experiment.seed,
            optimizer: OptimizerSettings::Sgd {
                momentum: training.momentum,
                weight_decay: 0.0, // [P] no regularisation
            },
            learning_rate: training.learning_rate,
            schedule: training.schedule.clone(),
            initialization: training.initialization.clone(),
            batch_size: training.batch_size,
            stop: StopConditions {
                max_epochs: training.max_epochs,
                // No accuracy is above 1: then training goes on to its last epoch.
                training_accuracy: (training.stop_above != 1.0).then_some(training.stop_above),
                ..StopConditions::default()
            },
            checkpoints: CheckpointPolicy {
                epochs: self.checkpoint_epochs(),
                at_stop: true,
                ..CheckpointPolicy::default()
            },
            ..TrainSettings::new(self.experiment.network())
        }
    }

    /// The training in the stage's folder, at its beginning or where it was interrupted.
    pub fn trainer(&self, work: &Work<'_>) -> Result<Trainer<'_>> {
        let (settings, data) = (self.train_settings(), &self.experiment.data);
        let folder = Self::run_folder(work.folder);
        match Trainer::in_folder(settings.clone(), data, &folder) {
            // A damaged file holds no work that could be lost; one of other settings is somebody's, and stays an error.
            Err(error @ TrainError::Format { .. }) => {
                work.progress
                    .note(&format!("{error:#}; training starts again"));
                fs::remove_dir_all(&folder)
                    .with_context(|| format!("cannot remove {}", folder.display()))?;
                Ok(Trainer::in_folder(settings, data, &folder)?)
            }
            other => Ok(other?),
        }
    }

    fn checkpoint_epochs(&self) -> BTreeSet<usize> {
        self.experiment
            .profile
            .geometry
            .epochs
            .iter()
            .copied()
            .collect()
    }
}

impl Stage for TrainStage {
    fn kind(&self) -> &'static str {
        "train"
    }

    fn version(&self) -> u32 {
        1
    }

    fn label(&self) -> String {
        self.experiment.label()
    }

    fn settings(&self) -> Value {
        json!({ "train": self.train_settings(), "data": self.experiment.identity })
    }

    fn compute(&self, work: &Work<'_>) -> Result<Value> {
        let epochs = self.experiment.profile.training.max_epochs;
        let trainer = self.trainer(work)?;
        let bar = work
            .progress
            .bar(&format!("train {}", self.label()), 1000 * epochs as u64);
        let trained = trainer.run(&mut |progress| {
            match progress {
                Progress::Step {
                    epoch, step, steps, ..
                } => bar.set((1000 * (epoch - 1) + 1000 * (step + 1) / steps.max(1)) as u64),
                Progress::EpochFinished { metrics, .. } => bar.message(format!(
                    "epoch {} of {epochs}, training accuracy {:.1} %",
                    metrics.epoch,
                    100.0 * metrics.training_accuracy
                )),
                _ => {}
            }
            ControlFlow::Continue(())
        })?;
        Ok(serde_json::to_value(TrainingRecord {
            history: trained.history,
            stopped: trained.stopped,
        })?)
    }

    fn amount(&self) -> f64 {
        let experiment = &self.experiment;
        let images =
            experiment.data.dataset().train().len() * experiment.profile.training.max_epochs;
        // Once forwards, and twice as much for the gradients of activations and parameters.
        3.0 * images as f64 * experiment.multiply_adds()
    }

    fn seconds_per_unit(&self) -> Option<f64> {
        // 1,600 images a second through a VGG-16 of width 16, evaluation included.
        Some(1.1e-11)
    }

    fn interrupted_at(&self, folder: &Path) -> Option<String> {
        let run = Run::open(&Self::run_folder(folder)).ok()?;
        let epoch = run.history().ok()?.last()?.epoch;
        Some(format!("goes on after epoch {epoch}"))
    }
}
