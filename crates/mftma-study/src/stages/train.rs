//! Trains the network of one run, keeps its state at chosen epochs, and opens the network of any epoch.
//!
//! Which epochs are kept is no part of the identity of the training: the state of another one is made by [`ReplayStage`] from the
//! nearest earlier state, never by a training from nothing, and is the same bytes.

use std::collections::BTreeSet;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::{Context, Result, ensure};
use mftma_train::{
    Checkpoint, CheckpointPolicy, EpochMetrics, Network, OptimizerSettings, Progress, RESUME_FILE,
    Run, StopConditions, StopReason, TrainError, TrainSettings, Trainer, kept_file,
};
use serde::{Deserialize, Serialize};

use crate::cache::{StageInputs, TypedStage, Work};
use crate::experiment::Experiment;
use crate::files::write_atomically;

/// The trainer's folder in the stage's entry: it locks and sweeps it by its own rules.
const RUN: &str = "run";
/// States of chosen epochs, each a copy of what the trainer would go on from: parameters, statistics, optimiser, metrics so far.
const STATES: &str = "states";

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

    /// The state of this training after `epoch`, replayed where it was not kept.
    pub fn checkpoint(&self, work: &Work<'_>, epoch: usize) -> Result<Checkpoint> {
        let folder = work.cache.folder(self);
        let kept = state_file(&folder, epoch);
        if kept.exists() {
            return Ok(Checkpoint::open(&kept)?);
        }
        let last = work.cache.output(self)?.last_epoch();
        ensure!(
            epoch <= last,
            "epoch {epoch} was asked of {}, whose training ended after epoch {last}",
            self.experiment.label()
        );
        if epoch == last {
            return Ok(Checkpoint::open(&folder.join(RUN).join(RESUME_FILE))?);
        }
        let replay = ReplayStage {
            experiment: Rc::clone(&self.experiment),
            epoch,
        };
        work.cache.ensure(&replay, false)?;
        let replayed = work.cache.folder(&replay).join(RUN).join(RESUME_FILE);
        Ok(Checkpoint::open(&replayed)?)
    }

    /// The network of this training after `epoch`.
    pub fn network(&self, work: &Work<'_>, epoch: usize) -> Result<Box<dyn Network>> {
        Ok(self.checkpoint(work, epoch)?.network()?)
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
            // The trainer itself keeps the last state only: which others are wanted must not tell trainings apart.
            checkpoints: CheckpointPolicy {
                at_stop: false,
                ..CheckpointPolicy::default()
            },
            ..TrainSettings::new(self.experiment.network())
        }
    }

    /// The training in the stage's folder, at its beginning or where it was interrupted.
    pub fn trainer(&self, work: &Work<'_>) -> Result<Trainer<'_>> {
        let (settings, data) = (self.train_settings(), &self.experiment.data);
        let folder = work.folder.join(RUN);
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

    /// The epochs whose states are kept while training.
    fn kept_epochs(&self) -> BTreeSet<usize> {
        self.experiment
            .profile
            .geometry
            .epochs
            .iter()
            .copied()
            .collect()
    }
}

/// The file of a kept state, below the stage's folder.
fn state_file(folder: &Path, epoch: usize) -> PathBuf {
    folder.join(STATES).join(kept_file(epoch))
}

/// Keeps the state that the trainer has just saved.
fn keep_state(folder: &Path, epoch: usize) -> Result<()> {
    let saved = folder.join(RUN).join(RESUME_FILE);
    let bytes = fs::read(&saved).with_context(|| format!("cannot read {}", saved.display()))?;
    let states = folder.join(STATES);
    fs::create_dir_all(&states).with_context(|| format!("cannot make {}", states.display()))?;
    write_atomically(&state_file(folder, epoch), &bytes)
}

/// What determines a training, apart from its data.
#[derive(Debug, Serialize)]
pub struct TrainingIdentity {
    train: TrainSettings,
}

impl TypedStage for TrainStage {
    const KIND: &'static str = "train";
    // 2: states of chosen epochs beside the trainer's own.
    const VERSION: u32 = 2;
    const RUNS_ENGINE: bool = false;
    type Settings = TrainingIdentity;
    type Output = TrainingRecord;

    fn label(&self) -> String {
        self.experiment.label()
    }

    fn settings(&self) -> TrainingIdentity {
        TrainingIdentity {
            train: self.train_settings(),
        }
    }

    fn inputs(&self) -> StageInputs {
        self.experiment.data_inputs()
    }

    fn compute(&self, work: &Work<'_>) -> Result<TrainingRecord> {
        let epochs = self.experiment.profile.training.max_epochs;
        let trainer = self.trainer(work)?;
        let kept = self.kept_epochs();
        // An attempt may have ended between the trainer's state and the copy of it.
        if let Some(reached) = trainer.history().last().map(|metrics| metrics.epoch)
            && kept.contains(&reached)
        {
            keep_state(work.folder, reached)?;
        }
        let bar = work
            .progress
            .bar(&format!("train {}", self.label()), 1000 * epochs as u64);
        let mut finished = 0;
        let mut failure = None;
        let trained = trainer.run(&mut |progress| {
            match progress {
                Progress::Step {
                    epoch, step, steps, ..
                } => bar.set((1000 * (epoch - 1) + 1000 * (step + 1) / steps.max(1)) as u64),
                Progress::EpochFinished { metrics, .. } => {
                    finished = metrics.epoch;
                    bar.message(format!(
                        "epoch {} of {epochs}, training accuracy {:.1} %",
                        metrics.epoch,
                        100.0 * metrics.training_accuracy
                    ));
                }
                Progress::Saved { path, .. } if path.ends_with(RESUME_FILE) => {
                    if kept.contains(&finished)
                        && let Err(error) = keep_state(work.folder, finished)
                    {
                        failure = Some(error);
                        return ControlFlow::Break(());
                    }
                }
                _ => {}
            }
            ControlFlow::Continue(())
        })?;
        if let Some(error) = failure {
            return Err(error);
        }
        let record = TrainingRecord {
            history: trained.history,
            stopped: trained.stopped,
        };
        // The last state is the trainer's own.
        let last = state_file(work.folder, record.last_epoch());
        if last.exists() {
            fs::remove_file(&last).with_context(|| format!("cannot remove {}", last.display()))?;
        }
        Ok(record)
    }

    /// Seconds on two quiet cores, by the runs of record of `quick` and `laptop`.
    fn amount(&self) -> f64 {
        let experiment = &self.experiment;
        let images =
            experiment.data.dataset().train().len() * experiment.profile.training.max_epochs;
        // Once forwards, and twice as much for the gradients of activations and parameters; and what each image costs in a network
        // of any size.
        images as f64 * (1.4e-11 * 3.0 * experiment.multiply_adds() + 1.1e-5)
    }

    fn seconds_per_unit(&self) -> Option<f64> {
        Some(1.0)
    }

    fn interrupted_at(&self, folder: &Path) -> Option<String> {
        let run = Run::open(&folder.join(RUN)).ok()?;
        let epoch = run.history().ok()?.last()?.epoch;
        Some(format!("goes on after epoch {epoch}"))
    }
}

/// The state of a finished training after an epoch that was not kept: the training again, from the nearest earlier state.
struct ReplayStage {
    experiment: Rc<Experiment>,
    epoch: usize,
}

/// What determines a replayed state, apart from its training.
#[derive(Debug, Serialize)]
struct ReplaySettings {
    epoch: usize,
}

impl ReplayStage {
    fn train(&self) -> TrainStage {
        TrainStage::new(Rc::clone(&self.experiment))
    }

    /// Puts the nearest earlier state of the training where the trainer goes on from; nothing where it kept none.
    fn begin(&self, work: &Work<'_>) -> Result<()> {
        let kept = work.cache.folder(&self.train());
        let resume = work.folder.join(RUN).join(RESUME_FILE);
        if resume.exists() {
            return Ok(());
        }
        let mut earlier = (0..self.epoch).rev().map(|epoch| state_file(&kept, epoch));
        if let Some(state) = earlier.find(|state| state.exists()) {
            let bytes =
                fs::read(&state).with_context(|| format!("cannot read {}", state.display()))?;
            let run = work.folder.join(RUN);
            fs::create_dir_all(&run).with_context(|| format!("cannot make {}", run.display()))?;
            write_atomically(&resume, &bytes)?;
        }
        Ok(())
    }
}

impl TypedStage for ReplayStage {
    const KIND: &'static str = "replay";
    const VERSION: u32 = 1;
    const RUNS_ENGINE: bool = false;
    type Settings = ReplaySettings;
    /// Epochs that were trained again.
    type Output = usize;

    fn label(&self) -> String {
        format!("{}, to epoch {}", self.experiment.label(), self.epoch)
    }

    fn settings(&self) -> ReplaySettings {
        ReplaySettings { epoch: self.epoch }
    }

    fn inputs(&self) -> StageInputs {
        StageInputs::none().stage(&self.train())
    }

    fn compute(&self, work: &Work<'_>) -> Result<usize> {
        self.begin(work)?;
        let train = self.train();
        let trainer = train.trainer(work)?;
        let reached = |history: &[EpochMetrics]| history.last().map(|metrics| metrics.epoch);
        let from = reached(trainer.history());
        let mut history = trainer.history().to_vec();
        if from.is_none_or(|epoch| epoch < self.epoch) {
            let bar = work
                .progress
                .bar(&format!("replay {}", self.label()), self.epoch as u64);
            let mut finished = 0;
            let wanted = self.epoch;
            history = trainer
                .run(&mut |progress| match progress {
                    Progress::EpochFinished { metrics, .. } => {
                        finished = metrics.epoch;
                        bar.set(finished as u64);
                        ControlFlow::Continue(())
                    }
                    Progress::Saved { path, .. }
                        if path.ends_with(RESUME_FILE) && finished == wanted =>
                    {
                        ControlFlow::Break(())
                    }
                    _ => ControlFlow::Continue(()),
                })?
                .history;
        }
        let first = work.cache.output(&train)?.history;
        ensure!(
            first.get(..=self.epoch) == Some(&history[..]),
            "epoch {} differs from the first training: another version of the program trained it; train again with --force",
            self.epoch
        );
        Ok(self.epoch - from.unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::{Cache, key};
    use crate::experiment::Experiments;
    use crate::profile::Profile;
    use crate::progress::Progress as Reports;

    fn training(epochs: &[usize]) -> TrainStage {
        let mut profile = Profile::load("smoke").unwrap().1;
        profile.data.train_per_class = 10;
        profile.network.width = 1;
        profile.geometry.epochs = epochs.to_vec();
        TrainStage::new(Experiments::new(None).get(profile, 1).unwrap())
    }

    #[test]
    fn one_more_epoch_is_replayed_from_the_nearest_state_and_gives_the_same_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let cache = |name: &str| Cache::new(folder.path().join(name), Reports::silent());
        let (few, many) = (training(&[0, 2]), training(&[0, 1, 2, 3]));
        assert_eq!(key(&few), key(&many), "epochs do not tell trainings apart");
        let (here, there) = (cache("here"), cache("there"));
        here.ensure(&few, false).unwrap();
        there.ensure(&many, false).unwrap();
        let wall = here.wall_seconds(&few);
        let work = Work {
            folder: folder.path(),
            cache: &here,
            progress: Reports::silent(),
        };
        for (epoch, again) in [(1, 1), (3, 1)] {
            let made = many.checkpoint(&work, epoch).unwrap();
            let kept = state_file(&there.folder(&many), epoch);
            assert_eq!(fs::read(made.path()).unwrap(), fs::read(kept).unwrap());
            let replay = ReplayStage {
                experiment: Rc::clone(&many.experiment),
                epoch,
            };
            assert_eq!(here.output(&replay).unwrap(), again, "epochs trained again");
        }
        assert_eq!(
            here.wall_seconds(&few),
            wall,
            "nothing was trained from nothing"
        );
        assert_eq!(many.checkpoint(&work, 4).unwrap().header().epoch, 4);
        let error = many.checkpoint(&work, 5).unwrap_err().to_string();
        assert!(error.contains("ended after epoch 4"), "{error}");
    }
}
