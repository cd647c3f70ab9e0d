//! The training loop.

mod replay;

use std::fs::{self, File, TryLockError};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use mftma_data::ExampleGroup;

use crate::batches::{check_classes, images_view};
use crate::checkpoint::{self, Checkpoint, CheckpointKind, State};
use crate::data::{DataIdentity, TrainingData};
use crate::evaluate::{GroupScores, evaluate, evaluate_at_most};
use crate::metrics::{EpochMetrics, StopReason};
use crate::optim::Optimizer;
use crate::rng::epoch_order;
use crate::run::{BEST_FILE, METRICS_FILE, RESUME_FILE, kept_file, optimizer_file};
use crate::settings::TrainSettings;
use crate::{Network, StatisticsMode, TrainError};

/// What the callback of [`Trainer::run`] is told.
#[non_exhaustive]
pub enum Progress<'a> {
    /// An epoch begins.
    EpochStarted {
        /// The epoch, from 1.
        epoch: usize,
        /// Its number of steps.
        steps: usize,
        /// The network before it.
        network: &'a dyn Network,
    },
    /// A step was made.
    Step {
        /// The epoch, from 1.
        epoch: usize,
        /// The step within it, from 0.
        step: usize,
        /// Steps of the epoch.
        steps: usize,
        /// Mean loss of the batch before the update.
        loss: f64,
        /// The network after the update.
        network: &'a dyn Network,
    },
    /// An epoch was measured (the initialization too, as epoch 0).
    EpochFinished {
        /// Its numbers.
        metrics: &'a EpochMetrics,
        /// The network after it.
        network: &'a dyn Network,
    },
    /// A file was written.
    Saved {
        /// The file.
        path: &'a Path,
        /// Its size.
        bytes: u64,
        /// Size of all files of the run.
        total_bytes: u64,
    },
}

/// A run that ended.
pub struct Trained {
    /// The network as it is after the last epoch (after the last step, if the run was cancelled).
    pub network: Box<dyn Network>,
    /// The metrics of every whole epoch, from 0 on.
    pub history: Vec<EpochMetrics>,
    /// Why it ended; None if the callback cancelled it. A cancelled run that has a folder goes on there from its last whole epoch.
    pub stopped: Option<StopReason>,
}

/// Trains one network on one data set, in memory or in a folder from which it can go on.
///
/// With a folder, the state after each epoch is written to `resume.safetensors` (temporary file, sync, rename), and a
/// process killed at any instant goes on from the last whole epoch: nothing of a run depends on anything but settings, data and
/// epoch, so all files end with the same bytes as undisturbed, at any number of threads.
///
/// Work runs on rayon's current thread pool. Nothing is printed and no clock is read.
pub struct Trainer<'a> {
    settings: TrainSettings,
    data: &'a TrainingData,
    identity: DataIdentity,
    /// The network before its weights are drawn.
    blank: Box<dyn Network>,
    learner: Learner,
    history: Vec<EpochMetrics>,
    stopped: Option<StopReason>,
    folder: Option<Folder>,
}

/// What training changes.
struct Learner {
    network: Box<dyn Network>,
    optimizer: Optimizer,
}

impl Learner {
    /// The state before the first step: `blank` with its weights drawn.
    fn initial(blank: &dyn Network, settings: &TrainSettings) -> Self {
        let mut network = blank.duplicate();
        for parameter in network.parameters_mut() {
            settings
                .recipe
                .initialization
                .fill(settings.seed, parameter);
        }
        let parameters = network.parameters();
        let optimizer = Optimizer::new(
            settings.recipe.optimizer.clone(),
            parameters.iter().map(|p| (p.name(), p.len())),
        );
        drop(parameters);
        Learner { network, optimizer }
    }

    /// A copy.
    fn again(&self) -> Self {
        Learner {
            network: self.network.duplicate(),
            optimizer: self.optimizer.clone(),
        }
    }
}

/// The folder of a run and the lock on it, which the system lets go when the process ends.
struct Folder {
    path: PathBuf,
    _lock: File,
}

/// Whether a file system refuses locks as such (`ENOSYS`, `EOPNOTSUPP`; `ENOLCK` of Linux and macOS has no name).
fn without_locks(error: &std::io::Error) -> bool {
    let unnamed = if cfg!(target_os = "macos") { 77 } else { 37 };
    error.kind() == std::io::ErrorKind::Unsupported || error.raw_os_error() == Some(unnamed)
}

impl<'a> Trainer<'a> {
    /// A run in memory, at its initialization.
    ///
    /// # Errors
    /// [`TrainError::Setting`] for a setting out of range, [`TrainError::Network`] for an impossible network,
    /// [`TrainError::Shape`] where network and data do not fit.
    pub fn new(settings: TrainSettings, data: &'a TrainingData) -> Result<Self, TrainError> {
        settings.check()?;
        let blank = settings.network.build(&mut |_| {})?;
        Self::of_network(settings, data, blank)
    }

    /// A run in memory of a network that the program [assembled](crate::assembly) itself. Its weights are drawn as the settings say;
    /// scales, shifts and biases start as they are handed in. [`Trainer::keep_in`] puts it in a folder.
    ///
    /// # Errors
    /// As [`Trainer::new`], and [`TrainError::Setting`] where `settings.network` is not the network's specification.
    pub fn of_network(
        settings: TrainSettings,
        data: &'a TrainingData,
        blank: Box<dyn Network>,
    ) -> Result<Self, TrainError> {
        settings.check()?;
        if *blank.spec() != settings.network {
            return Err(TrainError::setting(
                "network",
                format!("{:?}", settings.network),
                format!(
                    "the network handed in was assembled from {:?}; give the same to both",
                    blank.spec()
                ),
            ));
        }
        let learner = Learner::initial(&*blank, &settings);
        check_classes(&*learner.network, data)?;
        let [channels, height, width] = data.dataset().image_shape();
        let input = learner.network.spec().input;
        if [input.channels, input.height, input.width] != [channels, height, width] {
            return Err(TrainError::Shape {
                what: "images".into(),
                expected: format!("{input}, as `network.input` says"),
                found: format!("{channels}×{height}×{width}"),
                remedy: "set `network.input` to the shape of the data set's images",
            });
        }
        Ok(Trainer {
            identity: data.identity(),
            settings,
            data,
            blank,
            learner,
            history: Vec::new(),
            stopped: None,
            folder: None,
        })
    }

    /// A run in `folder`, which is made if it is not there: a new one, or the one that was begun there with the same settings and data.
    ///
    /// The checkpoint policy may be another than before. Past epochs that it asks for and the folder lacks are made by [`Trainer::run`],
    /// with the bytes they would have had: training is repeated from the nearest epoch before that left the optimiser's state (see
    /// [`crate::CheckpointPolicy::replay`]), else from the initialization. Files that the policy no longer asks for stay.
    ///
    /// # Errors
    /// As [`Trainer::new`]; [`TrainError::Mismatch`] where the folder holds a run of other settings or data;
    /// [`TrainError::Format`] where its resume file is damaged; [`TrainError::Locked`] where another process trains in it;
    /// [`TrainError::DiskLimit`] where the policy's limit is too small; [`TrainError::Io`].
    pub fn in_folder(
        settings: TrainSettings,
        data: &'a TrainingData,
        folder: &Path,
    ) -> Result<Self, TrainError> {
        Self::new(settings, data)?.keep_in(folder)
    }

    /// This run in `folder`, as [`Trainer::in_folder`].
    ///
    /// # Errors
    /// As [`Trainer::in_folder`].
    pub fn keep_in(self, folder: &Path) -> Result<Self, TrainError> {
        let mut trainer = self;
        if let Some(limit) = trainer.settings.checkpoints.limit_bytes {
            let needed = trainer.disk_budget();
            if needed > limit {
                return Err(TrainError::DiskLimit { needed, limit });
            }
        }
        fs::create_dir_all(folder).map_err(TrainError::io("make the folder", folder))?;
        let lock_path = folder.join("lock");
        let lock = File::create(&lock_path).map_err(TrainError::io("write", &lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(TrainError::Locked {
                    folder: folder.to_owned(),
                });
            }
            // A file system without locks (some that are shared by many machines): the caller keeps others away.
            Err(TryLockError::Error(e)) if without_locks(&e) => {}
            Err(TryLockError::Error(e)) => return Err(TrainError::io("lock", &lock_path)(e)),
        }
        let resume = folder.join(RESUME_FILE);
        if resume.exists() {
            let saved = Checkpoint::open(&resume)?;
            saved.check_run(&trainer.settings, &trainer.identity)?;
            if saved.header().kind != CheckpointKind::Resume
                || saved.header().history.len() != saved.header().epoch + 1
            {
                return Err(TrainError::Format {
                    path: resume,
                    problem: "it is no resume file: it was put here under another name".into(),
                    remedy: "delete it to train from the start",
                });
            }
            saved.load_into(&mut *trainer.learner.network)?;
            saved.load_optimizer(&mut trainer.learner.optimizer)?;
            trainer.history = saved.header().history.clone();
            trainer.stopped = saved.header().stopped;
        }
        mftma_atomic::remove_leftovers(folder)?;
        trainer.folder = Some(Folder {
            path: folder.to_owned(),
            _lock: lock,
        });
        if !trainer.history.is_empty() {
            // The process may have been killed between the resume file and the table that follows from it.
            trainer.write_metrics()?;
        }
        Ok(trainer)
    }

    /// The settings.
    pub fn settings(&self) -> &TrainSettings {
        &self.settings
    }

    /// The network as it stands.
    pub fn network(&self) -> &dyn Network {
        &*self.learner.network
    }

    /// Puts another state in the place of the present one, which it gives back.
    fn exchange(&mut self, learner: Learner) -> Learner {
        std::mem::replace(&mut self.learner, learner)
    }

    /// The metrics so far; empty before [`Trainer::run`] has measured the initialization.
    pub fn history(&self) -> &[EpochMetrics] {
        &self.history
    }

    /// Bytes that the run's checkpoints can take at most: by the policy's files and the network's size, with room for headers and metrics.
    pub fn disk_budget(&self) -> u64 {
        let len = |parameters: Vec<&crate::Parameter>| {
            parameters.iter().map(|p| p.len() as u64).sum::<u64>()
        };
        let network = &*self.learner.network;
        let (parameters, statistics) = (len(network.parameters()), len(network.statistics()));
        let tensors = (network.parameters().len() + network.statistics().len()) as u64;
        let slots = self.settings.recipe.optimizer.slots().len() as u64;
        let epochs = self.settings.recipe.stop.max_epochs as u64;
        // A tensor's entry in a header takes at most some 200 bytes, an epoch's metrics some 700, settings and data some 4,000.
        let kept = 4 * (parameters + statistics) + 200 * tensors + 4_700;
        let state = slots * (4 * parameters + 200 * tensors);
        let resume = kept + state + 700 * epochs;
        let last = self.settings.recipe.stop.max_epochs;
        let states = (0..=last)
            .filter(|&epoch| self.settings.leaves_optimizer(epoch, epoch == last))
            .count() as u64;
        let metrics = 700 * epochs;
        // While a file is replaced, the old and the new stand side by side: once more the larger kind.
        self.settings
            .checkpoints
            .files_at_most(self.settings.recipe.stop.max_epochs)
            * kept
            + states * (state + 4_700)
            + 2 * resume
            + metrics
    }

    /// Trains to a stop condition, telling `progress` of every step; it cancels by `ControlFlow::Break`. A run that had already
    /// ended returns at once, unless the policy now asks for epochs that were not kept ([`Trainer::in_folder`]): these are trained
    /// again first, and `progress` is told of their steps too. Where it cancels then, the state given back is that of the last epoch.
    ///
    /// Work is spread over the current rayon pool; its size changes no byte. A narrow network's step hands over dozens of jobs of
    /// microseconds: from a thread outside the pool each is a change of threads, which took a third of the time of a two-layer
    /// network with 8 units. [`rayon::ThreadPoolBuilder::use_current_thread`] makes this thread part of the pool.
    ///
    /// # Errors
    /// [`TrainError::Diverged`] where the loss or a parameter leaves its range (the files of the last good epoch stay);
    /// [`TrainError::Io`]; [`TrainError::Network`].
    pub fn run(
        mut self,
        progress: &mut dyn FnMut(Progress<'_>) -> ControlFlow<()>,
    ) -> Result<Trained, TrainError> {
        let mut flow = if self.history.is_empty() {
            self.finish_epoch(None, progress)?
        } else {
            self.make_missing(progress)?
        };
        while flow.is_continue() && self.stopped.is_none() {
            flow = match self.train_epoch(self.history.len(), progress)? {
                ControlFlow::Continue(epoch) => self.finish_epoch(Some(epoch), progress)?,
                ControlFlow::Break(()) => ControlFlow::Break(()),
            };
        }
        Ok(Trained {
            network: self.learner.network,
            history: self.history,
            stopped: self.stopped,
        })
    }

    /// One pass over the training examples: the mean loss of its batches and the last learning rate.
    fn train_epoch(
        &mut self,
        epoch: usize,
        progress: &mut dyn FnMut(Progress<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<(), PassedEpoch>, TrainError> {
        let train = self.data.dataset().train();
        let order = epoch_order(self.settings.seed, epoch, train.len());
        let labels = self.data.permutation().assigned_labels();
        let steps = train.len().div_ceil(self.settings.recipe.batch_size);
        if progress(Progress::EpochStarted {
            epoch,
            steps,
            network: &*self.learner.network,
        })
        .is_break()
        {
            return Ok(ControlFlow::Break(()));
        }
        let (mut images, mut batch_labels) = (Vec::new(), Vec::new());
        let (mut sum, mut rate) = (0.0, 0.0);
        for step in 0..steps {
            let batch = &order[batch_range(step, steps, train.len())];
            rate = self.settings.recipe.learning_rate
                * self.settings.recipe.schedule.factor(epoch, step, steps);
            let augmentation = &self.settings.recipe.augmentation;
            if *augmentation == mftma_data::Augmentation::default() {
                self.data.batch_into(train, batch, &mut images);
            } else {
                self.data
                    .augmented_batch_into(augmentation, epoch, batch, &mut images)?;
            }
            batch_labels.clear();
            batch_labels.extend(batch.iter().map(|&i| labels[i]));
            let result = self.learner.network.loss_and_gradients(
                images_view(train, batch.len(), &images),
                &batch_labels,
                StatisticsMode::Batch,
            )?;
            if result.loss.is_nan() || result.loss > self.settings.recipe.stop.max_loss {
                return Err(self.diverged(epoch, step, "the loss".into(), result.loss, rate));
            }
            let Learner { network, optimizer } = &mut self.learner;
            optimizer.begin_step();
            let parameters = network.parameters_mut();
            for (index, (parameter, gradient)) in
                parameters.into_iter().zip(&result.gradients).enumerate()
            {
                optimizer.update(index, rate as f32, parameter.values_mut(), gradient);
            }
            sum += result.loss * batch.len() as f64;
            let event = Progress::Step {
                epoch,
                step,
                steps,
                loss: result.loss,
                network: &*self.learner.network,
            };
            if progress(event).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        for p in self
            .learner
            .network
            .parameters()
            .into_iter()
            .chain(self.learner.network.statistics())
        {
            if let Some(value) = p.values().iter().find(|v| !v.is_finite()) {
                return Err(self.diverged(
                    epoch,
                    steps - 1,
                    p.name().to_string(),
                    f64::from(*value),
                    rate,
                ));
            }
        }
        Ok(ControlFlow::Continue(PassedEpoch {
            batch_loss: sum / train.len() as f64,
            learning_rate: rate,
        }))
    }

    /// Measures the network, decides whether to stop, and saves.
    fn finish_epoch(
        &mut self,
        passed: Option<PassedEpoch>,
        progress: &mut dyn FnMut(Progress<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, TrainError> {
        let epoch = self.history.len();
        let groups = self.score(epoch)?;
        let learning_rate = passed.as_ref().map_or(0.0, |p| p.learning_rate);
        if let Some((group, score)) = groups.iter().find(|(_, score)| !score.loss.is_finite()) {
            return Err(self.diverged(
                epoch,
                0,
                format!("the loss on {group} examples"),
                score.loss,
                learning_rate,
            ));
        }
        let metrics = EpochMetrics {
            epoch,
            steps: self.learner.optimizer.steps(),
            learning_rate,
            batch_loss: passed.map(|p| p.batch_loss),
            training_accuracy: self.training_accuracy(&groups),
            groups,
        };
        let stop = &self.settings.recipe.stop;
        if self.passes(epoch, metrics.training_accuracy) {
            self.stopped = Some(StopReason::TrainingAccuracy);
        } else if epoch >= stop.max_epochs {
            self.stopped = Some(StopReason::EpochLimit);
        }
        self.history.push(metrics);
        let metrics = &self.history[epoch];
        let mut flow = progress(Progress::EpochFinished {
            metrics,
            network: &*self.learner.network,
        });
        // The resume file comes after those kept, and is what makes the epoch count: killed before it, the run repeats the epoch and
        // writes the same files again.
        let mut files = self.files_of(epoch);
        files.push((RESUME_FILE.to_string(), CheckpointKind::Resume));
        if self.write_files(epoch, &files, progress)?.is_break() {
            flow = ControlFlow::Break(());
        }
        Ok(flow)
    }

    /// The scores after an epoch: on a part of the training images where the settings say so and nothing is decided on them.
    fn score(&self, epoch: usize) -> Result<GroupScores, TrainError> {
        let (network, groups) = (&*self.learner.network, &ExampleGroup::ALL);
        let limit = self.settings.recipe.evaluated_examples;
        if limit.is_some() && epoch < self.settings.recipe.stop.max_epochs {
            let part = evaluate_at_most(network, self.data, groups, limit)?;
            if !self.passes(epoch, self.training_accuracy(&part)) {
                return Ok(part);
            }
        }
        evaluate(network, self.data, groups)
    }

    /// The share of training examples that are given their training label, by scores of all of them or of a part of each group.
    fn training_accuracy(&self, scores: &GroupScores) -> f64 {
        let train = self.data.dataset().train().len();
        let permuted = self
            .data
            .permutation()
            .mask()
            .iter()
            .filter(|&&p| p)
            .count();
        let sizes = [
            (ExampleGroup::Unpermuted, train - permuted),
            (ExampleGroup::Permuted, permuted),
        ];
        let correct = |&(group, size): &(ExampleGroup, usize)| {
            let score = scores.get(&group)?;
            Some(score.correct as f64 * (size as f64 / score.examples as f64))
        };
        sizes.iter().filter_map(correct).sum::<f64>() / train as f64
    }

    /// Whether this accuracy ends the training.
    fn passes(&self, epoch: usize, training_accuracy: f64) -> bool {
        let limit = self.settings.recipe.stop.training_accuracy;
        limit.is_some_and(|limit| epoch > 0 && training_accuracy > limit)
    }

    /// The files that the policy keeps of an epoch of the history.
    fn files_of(&self, epoch: usize) -> Vec<(String, CheckpointKind)> {
        let policy = &self.settings.checkpoints;
        let is_last = self.stopped.is_some() && epoch + 1 == self.history.len();
        let mut files = Vec::new();
        if policy.keeps(epoch) || (policy.at_stop && is_last) {
            files.push((kept_file(epoch), CheckpointKind::Kept));
        }
        if self.settings.leaves_optimizer(epoch, is_last) {
            files.push((optimizer_file(epoch), CheckpointKind::Optimizer));
        }
        if policy.best && self.best_epoch() == epoch {
            files.push((BEST_FILE.to_string(), CheckpointKind::Kept));
        }
        files
    }

    /// Writes files of the present state, which is that after `epoch`.
    fn write_files(
        &self,
        epoch: usize,
        files: &[(String, CheckpointKind)],
        progress: &mut dyn FnMut(Progress<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, TrainError> {
        let Some(folder) = &self.folder else {
            return Ok(ControlFlow::Continue(()));
        };
        if files.is_empty() {
            return Ok(ControlFlow::Continue(()));
        }
        let is_last = epoch + 1 == self.history.len();
        let settings = self.settings.identity();
        let mut written = Vec::new();
        for (name, kind) in files {
            let state = State {
                kind: *kind,
                epoch,
                settings: &settings,
                data: &self.identity,
                history: match kind {
                    CheckpointKind::Resume => &self.history,
                    _ => &self.history[epoch..=epoch],
                },
                stopped: self.stopped.filter(|_| is_last),
                network: &*self.learner.network,
                optimizer: &self.learner.optimizer,
            };
            let path = folder.path.join(name);
            let bytes = checkpoint::write(&path, &state)?;
            written.push((path, bytes));
        }
        if is_last {
            self.write_metrics()?;
        }
        let total_bytes = crate::run::disk_use(&folder.path)?;
        let mut flow = ControlFlow::Continue(());
        for (path, bytes) in &written {
            let event = Progress::Saved {
                path,
                bytes: *bytes,
                total_bytes,
            };
            if progress(event).is_break() {
                flow = ControlFlow::Break(());
            }
        }
        Ok(flow)
    }

    /// The epoch of the highest test accuracy, the first of equals.
    fn best_epoch(&self) -> usize {
        let accuracy =
            |m: &EpochMetrics| m.groups.get(&ExampleGroup::Test).map_or(0, |s| s.correct);
        let mut best = 0;
        for metrics in &self.history {
            if accuracy(metrics) > accuracy(&self.history[best]) {
                best = metrics.epoch;
            }
        }
        best
    }

    /// Writes the history as a table, one JSON object a line.
    fn write_metrics(&self) -> Result<(), TrainError> {
        let Some(folder) = &self.folder else {
            return Ok(());
        };
        let path = folder.path.join(METRICS_FILE);
        let mut lines = Vec::new();
        for metrics in &self.history {
            serde_json::to_writer(&mut lines, metrics)
                .map_err(|e| TrainError::io("write", &path)(e.into()))?;
            lines.push(b'\n');
        }
        Ok(mftma_atomic::write(&path, &lines)?)
    }

    fn diverged(
        &self,
        epoch: usize,
        step: usize,
        what: String,
        value: f64,
        learning_rate: f64,
    ) -> TrainError {
        let kept = match (&self.folder, epoch) {
            (Some(folder), 1..) => format!(
                "the state after epoch {} is kept in {}",
                epoch - 1,
                folder.path.join(RESUME_FILE).display()
            ),
            _ => "nothing was saved".to_string(),
        };
        TrainError::Diverged {
            epoch,
            step,
            what,
            value,
            learning_rate,
            kept,
        }
    }
}

struct PassedEpoch {
    batch_loss: f64,
    learning_rate: f64,
}

/// The examples of a step in the epoch's order: `n` examples over `steps` steps whose sizes differ by at most one.
fn batch_range(step: usize, steps: usize, n: usize) -> std::ops::Range<usize> {
    step * n / steps..(step + 1) * n / steps
}

#[cfg(test)]
mod tests {
    use super::batch_range;

    #[test]
    fn batches_cover_an_epoch_evenly() {
        for (n, size) in [(10_000, 128), (257, 128), (1, 128), (128, 128), (7, 3)] {
            let steps = usize::div_ceil(n, size);
            let ranges: Vec<_> = (0..steps).map(|s| batch_range(s, steps, n)).collect();
            assert_eq!((ranges[0].start, ranges[steps - 1].end), (0, n));
            assert!(ranges.windows(2).all(|w| w[0].end == w[1].start));
            let sizes: Vec<_> = ranges.iter().map(|r| r.len()).collect();
            let (least, most) = (sizes.iter().min().copied(), sizes.iter().max().copied());
            assert!(
                most <= Some(size) && most <= least.map(|l| l + 1),
                "{n} by {size}: {sizes:?}"
            );
        }
    }
}
