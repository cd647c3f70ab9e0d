//! Trains the network of one run, keeps its state at chosen epochs, and opens the network of any epoch.
//!
//! Which epochs are kept is no part of what a training is: one that was not kept is trained again from the nearest earlier one
//! that was, never from nothing, and has the same bytes ([`mftma_train::CheckpointPolicy::replay`]).

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::{Context, Result, ensure};
use mftma_data::ExampleGroup;
use mftma_train::{
    Checkpoint, CheckpointPolicy, EpochMetrics, GroupScore, GroupScores, Network, Progress, Run,
    StopReason, TrainError, TrainSettings, Trainer, TrainingData, kept_file,
};
use serde::{Deserialize, Serialize};

use crate::cache::{Space, StageInputs, TypedStage, Work};
use crate::experiment::Experiment;

/// The trainer's folder in the stage's entry: it locks and sweeps it by its own rules.
const RUN: &str = "run";

/// Seconds of one multiplication and addition of a forward pass on two quiet cores: VGG-16 trains at widths 16 and 64 within a factor of two of
/// it on the slowest and on the fastest machine that was measured.
pub(super) const FORWARD: f64 = 8e-12;

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
    /// A training of `last` epochs of which `best` is the best, for plans: nothing else of it is known.
    pub fn imagined(best: usize, last: usize) -> Self {
        let after = |epoch: usize| EpochMetrics {
            epoch,
            steps: 0,
            learning_rate: 0.0,
            batch_loss: None,
            training_accuracy: 0.0,
            groups: GroupScores::default(),
        };
        let mut history = vec![after(best)];
        let score = GroupScore {
            examples: 1,
            correct: 1,
            loss: 0.0,
        };
        history[0].groups.insert(ExampleGroup::Test, score);
        if best != last {
            history.push(after(last));
        }
        Self {
            history,
            stopped: None,
        }
    }

    /// Epochs of training in all.
    pub fn last_epoch(&self) -> usize {
        self.history.last().map_or(0, |metrics| metrics.epoch)
    }

    /// The epoch of the highest test accuracy among those at which the test examples were evaluated, the first of equals; 0 where none
    /// was.
    pub fn best_epoch(&self) -> usize {
        let mut best = (0, f64::NEG_INFINITY);
        for metrics in &self.history {
            match self.test_accuracy(metrics.epoch) {
                Some(accuracy) if accuracy > best.1 => best = (metrics.epoch, accuracy),
                _ => {}
            }
        }
        best.0
    }

    /// Test accuracy after an epoch, as a fraction; none where it was not taken.
    pub fn test_accuracy(&self, epoch: usize) -> Option<f64> {
        let metrics = self.history.iter().find(|metrics| metrics.epoch == epoch)?;
        Some(metrics.groups.get(&ExampleGroup::Test)?.accuracy())
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

    /// The state of this training after `epoch`; where it was not kept, it is from now on.
    pub fn checkpoint(&self, work: &Work<'_>, epoch: usize) -> Result<Checkpoint> {
        let run = work.cache.folder(self).join(RUN);
        if !run.join(kept_file(epoch)).exists() {
            let best = Run::open(&run)?.best();
            if let Some(best) = best.ok().filter(|best| best.header().epoch == epoch) {
                return Ok(best);
            }
            self.keep(work, epoch)?;
        }
        Ok(Run::open(&run)?.checkpoint(epoch)?)
    }

    /// Keeps `epoch` of the finished training too. Gives back how many epochs were trained again for it.
    fn keep(&self, work: &Work<'_>, epoch: usize) -> Result<usize> {
        let last = work.cache.output(self)?.last_epoch();
        ensure!(
            epoch <= last,
            "epoch {epoch} was asked of {}, whose training ended after epoch {last}",
            self.experiment.label()
        );
        let mut settings = self.train_settings();
        settings.checkpoints.epochs.insert(epoch);
        work.cache.extend(self, |work| {
            let data = &self.experiment.data;
            let trainer = in_folder(work, &settings, data)?;
            let label = format!("train {} again", self.label());
            let bar = work.progress.bar(&label, 1000 * epoch as u64);
            let mut again = 0;
            trainer.run(&mut |progress| {
                again += usize::from(matches!(progress, Progress::EpochStarted { .. }));
                if let Some(thousandths) = thousandths(&progress) {
                    bar.set(thousandths);
                }
                ControlFlow::Continue(())
            })?;
            Ok(again)
        })
    }

    /// The network of this training after `epoch`.
    pub fn network(&self, work: &Work<'_>, epoch: usize) -> Result<Box<dyn Network>> {
        Ok(self.checkpoint(work, epoch)?.network()?)
    }

    /// The settings of the training.
    pub fn train_settings(&self) -> TrainSettings {
        let settings = &self.experiment.settings;
        TrainSettings {
            seed: self.experiment.seed,
            checkpoints: CheckpointPolicy {
                epochs: settings.geometry.epochs.iter().copied().collect(),
                // Which epoch is the best is known at the end only.
                best: true,
                ..CheckpointPolicy::default()
            },
            recipe: settings.training.clone(),
            ..TrainSettings::new(self.experiment.network())
        }
    }

    /// The training in the stage's folder, at its beginning or where it was interrupted.
    pub fn trainer(&self, work: &Work<'_>) -> Result<Trainer<'_>> {
        let (settings, data) = (self.train_settings(), &self.experiment.data);
        let folder = run_folder(work);
        match in_folder(work, &settings, data) {
            // A damaged file holds no work that could be lost; one of other settings is somebody's, and stays an error.
            Err(error @ TrainError::Format { .. }) => {
                work.progress
                    .note(&format!("{error:#}; training starts again"));
                fs::remove_dir_all(&folder)
                    .with_context(|| format!("cannot remove {}", folder.display()))?;
                Ok(in_folder(work, &settings, data)?)
            }
            other => Ok(other?),
        }
    }
}

/// The run in the trainer's folder, for who has the right to the entry.
///
/// Whose lock is still there has ended, by the word that gave the right: file servers keep locks of machines that died, some for ever. The
/// file goes, and the lock with it.
fn in_folder<'a>(
    work: &Work<'_>,
    settings: &TrainSettings,
    data: &'a TrainingData,
) -> Result<Trainer<'a>, TrainError> {
    let folder = run_folder(work);
    match Trainer::in_folder(settings.clone(), data, &folder) {
        Err(error @ TrainError::Locked { .. }) => {
            let lock = folder.join("lock");
            work.progress.note(&format!(
                "{} is held by nobody who may work there; it is made anew",
                lock.display()
            ));
            fs::remove_file(lock).map_err(|_| error)?;
            Trainer::in_folder(settings.clone(), data, &folder)
        }
        other => other,
    }
}

/// The trainer's folder.
fn run_folder(work: &Work<'_>) -> PathBuf {
    work.folder.join(RUN)
}

/// Thousandths of epochs behind a step.
fn thousandths(progress: &Progress<'_>) -> Option<u64> {
    match progress {
        Progress::Step {
            epoch, step, steps, ..
        } => Some((1000 * (epoch - 1) + 1000 * (step + 1) / steps.max(&1)) as u64),
        _ => None,
    }
}

/// What determines a training, apart from its data.
#[derive(Debug, Serialize)]
pub struct TrainingIdentity {
    train: TrainSettings,
}

impl TypedStage for TrainStage {
    const KIND: &'static str = "train";
    const VERSION: u32 = 1;
    const RUNS_ENGINE: bool = false;
    type Settings = TrainingIdentity;
    type Output = TrainingRecord;

    fn label(&self) -> String {
        self.experiment.label()
    }

    fn settings(&self) -> TrainingIdentity {
        TrainingIdentity {
            train: self.train_settings().identity(),
        }
    }

    fn inputs(&self) -> StageInputs {
        self.experiment.data_inputs()
    }

    fn compute(&self, work: &Work<'_>) -> Result<TrainingRecord> {
        let epochs = self.experiment.settings.training.stop.max_epochs;
        let trainer = self.trainer(work)?;
        let before = trainer.history().len();
        let bar = work
            .progress
            .bar(&format!("train {}", self.label()), 1000 * epochs as u64);
        let trained = trainer.run(&mut |progress| {
            if let Some(thousandths) = thousandths(&progress) {
                bar.set(thousandths);
            }
            if let Progress::EpochFinished { metrics, .. } = progress {
                bar.message(format!(
                    "epoch {} of {epochs}, training accuracy {:.1} %",
                    metrics.epoch,
                    100.0 * metrics.training_accuracy
                ));
            }
            ControlFlow::Continue(())
        })?;
        // The state before the first epoch is the first of each history.
        let epochs = |history: usize| history.saturating_sub(1);
        work.resumed_from(epochs(before), epochs(trained.history.len()));
        Ok(TrainingRecord {
            history: trained.history,
            stopped: trained.stopped,
        })
    }

    fn amount(&self) -> f64 {
        let experiment = &self.experiment;
        let images =
            experiment.data.dataset().train().len() * experiment.settings.training.stop.max_epochs;
        // Once forwards, and twice as much for the gradients of activations and parameters; and what each image costs in a network
        // of any size.
        images as f64 * (FORWARD * 3.0 * experiment.multiply_adds() + 1.1e-5)
    }

    fn seconds_per_unit(&self) -> Option<f64> {
        Some(1.0)
    }

    fn space(&self) -> Space {
        let experiment = &self.experiment;
        let settings = &experiment.settings;
        // A checkpoint holds values and momentum.
        let checkpoint = 2.0 * experiment.network_bytes();
        let kept = settings.geometry.epochs.len() + 3;
        Space {
            memory: experiment.training_memory(),
            disk: kept as f64 * checkpoint + 500.0 * settings.training.stop.max_epochs as f64,
        }
    }

    fn interrupted_at(&self, folder: &Path) -> Option<String> {
        let run = Run::open(&folder.join(RUN)).ok()?;
        let epoch = run.history().ok()?.last()?.epoch;
        Some(format!("goes on after epoch {epoch}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::{Cache, Status, key};
    use crate::experiment::Experiments;
    use crate::profile::Profile;
    use crate::progress::Progress as Reports;

    fn training(epochs: &[usize]) -> TrainStage {
        let mut profile = Profile::load("smoke").unwrap().1;
        profile.experiment.data.train_per_class = 10;
        profile.experiment.network.width = 1;
        profile.experiment.geometry.epochs = epochs.to_vec();
        TrainStage::new(Experiments::new(None).main(profile, 1).unwrap())
    }

    #[test]
    fn the_best_epoch_is_opened_without_training_again() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path().join("cache"), Reports::silent());
        let train = training(&[]);
        cache.ensure(&train, false).unwrap();
        let record = cache.output(&train).unwrap();
        let best = record.best_epoch();
        let highest = record
            .history
            .iter()
            .map(|m| record.test_accuracy(m.epoch))
            .fold(None, |a, b| if b > a { b } else { a });
        assert_eq!(record.test_accuracy(best), highest);
        let work = Work::new(folder.path(), &cache);
        let found = train.checkpoint(&work, best).unwrap();
        assert_eq!(found.header().epoch, best);
        let run = cache.folder(&train).join(RUN);
        let kept = |epoch| run.join(kept_file(epoch)).exists();
        let last = record.last_epoch();
        assert!((0..last).all(|epoch| !kept(epoch)) && kept(last));
    }

    /// Seconds of the last attempt over the work of all would promise others too much.
    #[test]
    fn an_interrupted_training_tells_its_rate_by_what_its_last_attempt_did() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path().join("cache"), Reports::silent());
        let train = training(&[]);
        let entry = cache.folder(&train);
        fs::create_dir_all(&entry).unwrap();
        let trainer = train.trainer(&Work::new(&entry, &cache)).unwrap();
        let stopped = trainer.run(&mut |progress| match progress {
            Progress::EpochFinished { metrics, .. } if metrics.epoch == 3 => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        });
        drop(stopped);
        assert_eq!(cache.ensure(&train, false).unwrap().last_epoch(), 4);
        let (_, amount, _) = Cache::measured(cache.root()).remove(0);
        let whole = TypedStage::amount(&train);
        assert!((amount / whole - 0.25).abs() < 1e-12, "{amount} of {whole}");
    }

    /// A lock of a machine that died, as some file servers keep it: the claim decides.
    #[test]
    fn a_trainers_lock_that_nobody_lets_go_stops_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path().join("cache"), Reports::silent());
        let train = training(&[]);
        let run = cache.folder(&train).join(RUN);
        fs::create_dir_all(&run).unwrap();
        let lock = fs::File::create(run.join("lock")).unwrap();
        lock.lock().unwrap();
        assert_eq!(cache.ensure(&train, false).unwrap().last_epoch(), 4);
    }

    #[test]
    fn one_more_epoch_costs_the_way_from_the_nearest_one_and_has_the_same_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let cache = |name: &str| Cache::new(folder.path().join(name), Reports::silent());
        let (few, many) = (training(&[0, 2]), training(&[0, 1, 2, 3]));
        assert_eq!(key(&few), key(&many), "epochs do not tell trainings apart");
        let (here, there) = (cache("here"), cache("there"));
        here.ensure(&few, false).unwrap();
        there.ensure(&many, false).unwrap();
        let wall = here.wall_seconds(&few);
        let work = Work::new(folder.path(), &here);
        let run = here.folder(&few).join(RUN);
        for epoch in [1, 3] {
            assert!(!run.join(kept_file(epoch)).exists());
            assert_eq!(few.keep(&work, epoch).unwrap(), 1, "epochs trained again");
            let made = few.checkpoint(&work, epoch).unwrap();
            let kept = there.folder(&many).join(RUN).join(kept_file(epoch));
            assert_eq!(fs::read(made.path()).unwrap(), fs::read(kept).unwrap());
        }
        for epoch in 0..=4 {
            let kept = few.keep(&work, epoch).unwrap();
            assert_eq!(kept, 0, "epoch {epoch} was there");
            assert!(few.network(&work, epoch).is_ok());
        }
        assert_eq!(here.status(&many), Status::Finished);
        assert_eq!(here.wall_seconds(&few), wall, "trained from nothing");
        let error = few.checkpoint(&work, 5).unwrap_err().to_string();
        assert!(error.contains("ended after epoch 4"), "{error}");
        // What was added is under the entry's checksums like the rest.
        fs::write(run.join(kept_file(3)), b"7").unwrap();
        assert!(matches!(here.status(&few), Status::Damaged(_)));
    }
}
