//! Which layers and channels hold an example: single layers put back, and channels zeroed until it is undone.

use std::rc::Rc;

use anyhow::{Result, ensure};
use mftma_data::{ExampleGroup, stream};
use mftma_sensitivity::{Estimate, UndoSettings, Undoing, channels, scores, undo};
use mftma_train::{predicted, rewind, rewindable_layers, score_examples};
use rand::seq::SliceRandom;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::TrainStage;
use super::rewind::statistics;
use super::sample::{Sample, drawn, shuffled};
use super::train::FORWARD;
use crate::cache::{Space, StageInputs, TypedStage, Work};
use crate::experiment::Experiment;
use crate::profile::{ChannelSettings, ResetSettings, RewindingSettings, RewindingStatistics};

/// The groups that are compared: what is memorized, and what is learned with its own label.
pub const HELD_GROUPS: [ExampleGroup; 2] = [ExampleGroup::Unpermuted, ExampleGroup::Permuted];

/// Single layers of a trained run put back to an earlier epoch: which training examples are forgotten.
pub struct ResetStage {
    experiment: Rc<Experiment>,
    epoch: usize,
    last: usize,
}

/// What one group forgot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forgotten {
    /// Examples that the trained network gives their label, its statistics treated as those of the others.
    pub known: usize,
    /// Those among them that it no longer does.
    pub forgotten: usize,
}

impl Forgotten {
    /// Share of the known examples that are forgotten; none where none was known.
    pub fn share(&self) -> Option<Estimate> {
        Estimate::share((0..self.known).map(|i| i < self.forgotten))
    }
}

/// What putting back each single layer gave.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Resets {
    /// For each layer that can be put back, in the order of computation: its place in the network, its name, and what each of
    /// [`HELD_GROUPS`] forgot.
    pub layers: Vec<(usize, String, [Forgotten; 2])>,
}

impl ResetStage {
    /// The layers of `experiment` after its last epoch, `last`, put back to `epoch`.
    pub fn new(experiment: Rc<Experiment>, epoch: usize, last: usize) -> Self {
        Self {
            experiment,
            epoch,
            last,
        }
    }

    /// The epoch that layers are put back to.
    pub fn epoch(&self) -> usize {
        self.epoch
    }
}

/// What determines the resets, apart from the training.
#[derive(Debug, Serialize)]
pub struct ResetIdentity {
    resets: ResetSettings,
    rewinding: RewindingSettings,
    from: usize,
    epoch: usize,
    seed: u64,
}

impl TypedStage for ResetStage {
    const KIND: &'static str = "resets";
    const VERSION: u32 = 1;
    const RUNS_ENGINE: bool = false;
    type Settings = ResetIdentity;
    type Output = Resets;

    fn label(&self) -> String {
        format!("{}, to epoch {}", self.experiment.label(), self.epoch)
    }

    fn settings(&self) -> ResetIdentity {
        let profile = &self.experiment.profile;
        ResetIdentity {
            resets: profile.supplement.memorization.resets.clone(),
            rewinding: profile.rewinding.clone(),
            from: self.last,
            epoch: self.epoch,
            seed: self.experiment.seed,
        }
    }

    fn inputs(&self) -> StageInputs {
        StageInputs::none().stage(&TrainStage::new(Rc::clone(&self.experiment)))
    }

    fn amount(&self) -> f64 {
        let profile = &self.experiment.profile;
        let network = self.experiment.network().build(&mut |_| {});
        let layers = 1 + network.map_or(0, |network| rewindable_layers(&*network).len());
        let statistics = match profile.rewinding.statistics {
            RewindingStatistics::Reestimated => profile.rewinding.statistics_examples,
            _ => 0,
        };
        let examples = 2 * profile.supplement.memorization.resets.examples;
        (layers * (statistics + examples)) as f64 * self.experiment.multiply_adds()
    }

    fn seconds_per_unit(&self) -> Option<f64> {
        Some(FORWARD)
    }

    fn space(&self) -> Space {
        Space {
            memory: 2.0 * self.experiment.training_memory(),
            ..Space::default()
        }
    }

    fn compute(&self, work: &Work<'_>) -> Result<Resets> {
        let train = TrainStage::new(Rc::clone(&self.experiment));
        let end = train.checkpoint(work, self.last)?;
        let early = train.checkpoint(work, self.epoch)?;
        let network = end.network()?;
        let names = rewindable_layers(&*network);
        let limit = self
            .experiment
            .profile
            .supplement
            .memorization
            .resets
            .examples;
        let samples = HELD_GROUPS.map(|group| drawn(&self.experiment, group, limit, "resets"));
        let correct = |layers: &[&str]| -> Result<[Vec<bool>; 2]> {
            let network = rewind(&end, &early, layers, statistics(&self.experiment))?;
            let mut found = [Vec::new(), Vec::new()];
            for ((found, group), indices) in found.iter_mut().zip(HELD_GROUPS).zip(&samples) {
                *found = score_examples(&*network, &self.experiment.data, group, indices)?.1;
            }
            Ok(found)
        };
        let bar = work
            .progress
            .bar(&format!("reset {}", self.label()), names.len() as u64);
        let before = correct(&[])?;
        let mut layers = Vec::with_capacity(names.len());
        for (done, &name) in names.iter().enumerate() {
            let after = correct(&[name])?;
            let of_group = |group: usize| {
                let (before, after) = (&before[group], &after[group]);
                let lost = before.iter().zip(after).filter(|(b, a)| **b && !**a);
                Forgotten {
                    known: before.iter().filter(|known| **known).count(),
                    forgotten: lost.count(),
                }
            };
            let place = network.layers().iter().position(|l| l.name == name);
            layers.push((
                place.unwrap_or_default(),
                name.to_owned(),
                [of_group(0), of_group(1)],
            ));
            bar.set(done as u64 + 1);
        }
        Ok(Resets { layers })
    }
}

/// Channels zeroed until single training examples of a trained run are undone.
pub struct ChannelStage {
    experiment: Rc<Experiment>,
    last: usize,
}

/// What undoing one example took.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExampleUndone {
    /// Which of [`HELD_GROUPS`].
    pub group: ExampleGroup,
    /// Its place among the training images.
    pub example: usize,
    /// The channels.
    pub undoing: Undoing,
    /// Share of other training examples, which did not steer the search, that keep their label; none where none had it.
    pub held: Option<f64>,
}

/// What undoing took.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ChannelsUndone {
    /// Layers whose channels can be zeroed: place in the network, name, number of channels.
    pub layers: Vec<(usize, String, usize)>,
    /// The examples, group by group.
    pub examples: Vec<ExampleUndone>,
}

impl ChannelStage {
    /// The network of `experiment` after its last epoch, `last`.
    pub fn new(experiment: Rc<Experiment>, last: usize) -> Self {
        Self { experiment, last }
    }

    fn channel_settings(&self) -> &ChannelSettings {
        &self.experiment.profile.supplement.memorization.channels
    }

    /// The examples that steer, and those on which is counted what else is forgotten: training examples of both groups, disjoint.
    fn others(&self) -> (Vec<usize>, Vec<usize>) {
        let settings = self.channel_settings();
        let mut all: Vec<usize> = (0..self.experiment.data.dataset().train().len()).collect();
        let purpose = "mftma-study/channels/others";
        all.shuffle(&mut stream(self.experiment.seed, purpose));
        let held = all.split_off(settings.reference.min(all.len()));
        let held = held.into_iter().take(settings.held).collect();
        (all, held)
    }
}

/// What determines the search, apart from the training.
#[derive(Debug, Serialize)]
pub struct ChannelIdentity {
    channels: ChannelSettings,
    epoch: usize,
    seed: u64,
}

impl TypedStage for ChannelStage {
    const KIND: &'static str = "channels";
    const VERSION: u32 = 1;
    const RUNS_ENGINE: bool = false;
    type Settings = ChannelIdentity;
    type Output = ChannelsUndone;

    fn label(&self) -> String {
        self.experiment.label()
    }

    fn settings(&self) -> ChannelIdentity {
        ChannelIdentity {
            channels: self.channel_settings().clone(),
            epoch: self.last,
            seed: self.experiment.seed,
        }
    }

    fn inputs(&self) -> StageInputs {
        StageInputs::none().stage(&TrainStage::new(Rc::clone(&self.experiment)))
    }

    fn amount(&self) -> f64 {
        /// Channels that an example takes on average; for the estimate.
        const TAKEN: f64 = 20.0;
        let settings = self.channel_settings();
        let batch = 1 + settings.search.copies + settings.reference;
        let passes = TAKEN.min(settings.search.limit as f64) * 3.0 * batch as f64;
        let each = passes + settings.held as f64;
        (2 * settings.examples) as f64 * each * self.experiment.multiply_adds()
    }

    fn seconds_per_unit(&self) -> Option<f64> {
        Some(FORWARD)
    }

    fn space(&self) -> Space {
        Space {
            memory: 2.0 * self.experiment.training_memory(),
            ..Space::default()
        }
    }

    fn compute(&self, work: &Work<'_>) -> Result<ChannelsUndone> {
        let settings = self.channel_settings();
        let experiment = &*self.experiment;
        let seed = experiment.seed;
        let train = TrainStage::new(Rc::clone(&self.experiment));
        let network = train.network(work, self.last)?;
        let (reference, held) = self.others();
        ensure!(
            !reference.is_empty() && !held.is_empty(),
            "supplement.memorization.channels asks for {} steering and {} held examples: give at least 1 of each, fewer in all than the \
             data set's training images",
            settings.reference,
            settings.held
        );
        let assigned = experiment.data.permutation().assigned_labels();
        // Training labels of both groups.
        let sample = |indices: Vec<usize>| {
            let mut sample = Sample::at(experiment, ExampleGroup::Unpermuted, indices);
            sample.labels = sample.indices.iter().map(|&i| assigned[i]).collect();
            sample
        };
        let (steering, judges) = (sample(reference.clone()), sample(held.clone()));
        let right = |network: &dyn mftma_train::Network, sample: &Sample| -> Result<Vec<bool>> {
            let scores = scores(network, sample.images.view())?;
            let rows = scores.rows().into_iter().zip(&sample.labels);
            Ok(rows
                .map(|(row, label)| predicted(row) == usize::from(*label))
                .collect())
        };
        let known = right(&*network, &judges)?;
        let mut targets: Vec<(ExampleGroup, Sample)> = Vec::new();
        for group in HELD_GROUPS {
            // Examples that the network gives their label; more are looked at than are wanted, in their drawn order.
            let mut candidates = shuffled(experiment, group, "channels");
            candidates.retain(|i| !reference.contains(i) && !held.contains(i));
            candidates.truncate(4 * settings.examples);
            let candidates = sample(candidates);
            let right = right(&*network, &candidates)?;
            let known = candidates.indices.iter().zip(&right);
            let known = known.filter(|(_, right)| **right).map(|(i, _)| *i);
            targets.push((group, sample(known.take(settings.examples).collect())));
        }
        let bar = work.progress.bar(
            &format!("channels {}", self.label()),
            targets
                .iter()
                .map(|(_, sample)| sample.labels.len() as u64)
                .sum(),
        );
        let mut examples = Vec::new();
        // Some at a time, so that progress is told.
        const RUN: usize = 16;
        for (group, sample) in &targets {
            let all: Vec<usize> = (0..sample.labels.len()).collect();
            for run in all.chunks(RUN) {
                let found: Vec<ExampleUndone> = run
                    .par_iter()
                    .map(|&i| -> Result<ExampleUndone> {
                        let image = sample.images.index_axis(ndarray::Axis(0), i);
                        // The noise of each example is its own.
                        let search = UndoSettings {
                            seed: seed.wrapping_add(sample.indices[i] as u64),
                            ..settings.search
                        };
                        let (undoing, network) = undo(
                            &*network,
                            (image, sample.labels[i]),
                            (steering.images.view(), &steering.labels),
                            &search,
                        )?;
                        let now = right(&*network, &judges)?;
                        let still = known.iter().zip(&now).filter(|(k, _)| **k);
                        let held = Estimate::share(still.map(|(_, now)| *now));
                        Ok(ExampleUndone {
                            group: *group,
                            example: sample.indices[i],
                            undoing,
                            held: held.map(|held| held.mean),
                        })
                    })
                    .collect::<Result<_>>()?;
                examples.extend(found);
                bar.set(examples.len() as u64);
            }
        }
        let mut layers: Vec<(usize, String, usize)> = Vec::new();
        for channel in channels(&*network) {
            match layers.last_mut() {
                Some((layer, _, count)) if *layer == channel.layer => *count += 1,
                _ => {
                    let name = network.layers()[channel.layer].name.clone();
                    layers.push((channel.layer, name, 1));
                }
            }
        }
        Ok(ChannelsUndone { layers, examples })
    }
}
