//! Puts layers of one trained run back to earlier epochs and takes the accuracy.

use std::rc::Rc;

use anyhow::{Result, ensure};
use mftma_data::ExampleGroup;
use mftma_train::{
    Checkpoint, GroupScore, RewoundStatistics, rewind, rewindable_layers, score_examples,
};
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

use super::TrainStage;
use crate::cache::{Space, StageInputs, TypedStage, Work};
use crate::experiment::Experiment;
use crate::interim;
use crate::profile::{RewindingSettings, RewindingStatistics};

/// The groups whose accuracy is taken: the permuted one tells what is left of what was memorized.
pub const REWOUND_GROUPS: [ExampleGroup; 2] = [ExampleGroup::Test, ExampleGroup::Permuted];

/// The rewinding of single layers and of the last k layers of one run, to one epoch.
///
/// One epoch at a time, so that an interruption loses little.
pub struct RewindStage {
    experiment: Rc<Experiment>,
    epoch: usize,
    last: usize,
}

/// Which layers were put back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rewound {
    /// None: the trained network.
    None,
    /// The layer at this place among those that can be rewound.
    Layer(usize),
    /// So many of the last layers.
    Last(usize),
}

impl std::fmt::Display for Rewound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::None => f.write_str("nothing rewound"),
            Self::Layer(index) => write!(f, "layer {} rewound", index + 1),
            Self::Last(count) => write!(f, "the last {count} layers rewound"),
        }
    }
}

/// Score of one group in a network with rewound layers, beside the trained network's on the same examples.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RewoundScore {
    /// Its score.
    pub score: GroupScore,
    /// Examples that are correct here and were not in the trained network.
    pub gained: usize,
    /// Examples that are not correct here and were in the trained network.
    pub lost: usize,
}

impl RewoundScore {
    fn new(score: GroupScore, correct: &[bool], trained: &[bool]) -> Self {
        let both = || correct.iter().zip(trained);
        Self {
            score,
            gained: both().filter(|(now, before)| **now && !**before).count(),
            lost: both().filter(|(now, before)| !**now && **before).count(),
        }
    }

    /// How much higher the accuracy is than the trained network's, and its standard error over examples: of paired proportions, for the
    /// examples are the same (McNemar).
    pub fn gain(&self) -> (f64, f64) {
        let n = self.score.examples as f64;
        let (gained, lost) = (self.gained as f64, self.lost as f64);
        let gain = (gained - lost) / n;
        (
            gain,
            (((gained + lost) / n - gain * gain) / n).max(0.0).sqrt(),
        )
    }
}

/// What rewinding gave at one epoch.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Rewindings {
    /// The layers that can be rewound, in the order of computation, with their places in the network.
    pub layers: Vec<(usize, String)>,
    /// Scores of [`REWOUND_GROUPS`], in that order; a group without examples has none.
    pub scores: Vec<(Rewound, [Option<RewoundScore>; 2])>,
}

impl RewindStage {
    /// Rewinding from `last`, the last epoch of `experiment`'s training, to `epoch`.
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

    /// The last epoch of training, from which layers are put back.
    pub fn last(&self) -> usize {
        self.last
    }

    /// The examples of a group whose accuracy is taken: all, or as many as the profile allows, drawn at random.
    fn examples(&self, group: ExampleGroup) -> Vec<usize> {
        let mut indices = self.experiment.data.group_indices(group);
        let limit = self.experiment.profile.rewinding.examples;
        if indices.len() > limit {
            let purpose = format!("xtask/rewinding/examples/{group}");
            indices.shuffle(&mut mftma_data::stream(self.experiment.seed, &purpose));
            indices.truncate(limit);
            indices.sort_unstable();
        }
        indices
    }

    /// Score of each group of `examples` with `layers` put back, and which examples are correct.
    fn scores(
        &self,
        end: &Checkpoint,
        early: &Checkpoint,
        layers: &[&str],
        examples: &[Vec<usize>; 2],
    ) -> Result<[Option<Scored>; 2]> {
        // The trained network too, as the others are: statistics measured anew can change accuracy by themselves.
        let network = rewind(end, early, layers, statistics(&self.experiment))?;
        let mut scores = [None, None];
        for ((score, group), indices) in scores.iter_mut().zip(REWOUND_GROUPS).zip(examples) {
            if !indices.is_empty() {
                let data = &self.experiment.data;
                *score = Some(score_examples(&*network, data, group, indices)?);
            }
        }
        Ok(scores)
    }
}

/// Where running statistics come from, as the run's profile has it.
pub(super) fn statistics(experiment: &Experiment) -> RewoundStatistics<'_> {
    let settings = &experiment.profile.rewinding;
    match settings.statistics {
        RewindingStatistics::Rewound => RewoundStatistics::Rewound,
        RewindingStatistics::Kept => RewoundStatistics::Kept,
        RewindingStatistics::Reestimated => RewoundStatistics::Reestimated {
            data: &experiment.data,
            examples: settings.statistics_examples,
            seed: experiment.seed,
        },
    }
}

/// A group's score, and which of its examples are correct.
type Scored = (GroupScore, Vec<bool>);

/// Scores beside the trained network's.
fn beside(
    scores: &[Option<Scored>; 2],
    trained: &[Option<Scored>; 2],
) -> [Option<RewoundScore>; 2] {
    let of = |group: usize| {
        let ((score, correct), (_, before)) = (scores[group].as_ref()?, trained[group].as_ref()?);
        Some(RewoundScore::new(*score, correct, before))
    };
    [of(0), of(1)]
}

/// What determines the rewindings to one epoch, apart from the training.
#[derive(Debug, Serialize)]
pub struct RewindIdentity {
    rewinding: RewindingSettings,
    from: usize,
    epoch: usize,
    seed: u64,
}

impl TypedStage for RewindStage {
    const KIND: &'static str = "rewind";
    const VERSION: u32 = 2;
    const RUNS_ENGINE: bool = false;
    type Settings = RewindIdentity;
    type Output = Rewindings;

    fn label(&self) -> String {
        format!("{}, to epoch {}", self.experiment.label(), self.epoch)
    }

    fn settings(&self) -> RewindIdentity {
        RewindIdentity {
            rewinding: self.experiment.profile.rewinding.clone(),
            from: self.last,
            epoch: self.epoch,
            seed: self.experiment.seed,
        }
    }

    fn inputs(&self) -> StageInputs {
        StageInputs::none().stage(&TrainStage::new(Rc::clone(&self.experiment)))
    }

    fn amount(&self) -> f64 {
        let settings = &self.experiment.profile.rewinding;
        // Every layer with parameters alone, and as many runs of last layers.
        let network = self.experiment.network().build(&mut |_| {});
        let rewindings = 2 * network.map_or(0, |network| rewindable_layers(&*network).len());
        let statistics = match settings.statistics {
            RewindingStatistics::Reestimated => 3 * settings.statistics_examples,
            _ => 0,
        };
        let images = rewindings * (statistics + REWOUND_GROUPS.len() * settings.examples);
        images as f64 * self.experiment.multiply_adds()
    }

    fn space(&self) -> Space {
        Space {
            memory: 2.0 * self.experiment.training_memory(),
            ..Space::default()
        }
    }

    fn seconds_per_unit(&self) -> Option<f64> {
        // By the runs of record: `quick` 8e-12 to 1.4e-11, `laptop` 4e-12, `record` 5e-12 to 8e-12 beside others.
        Some(8e-12)
    }

    fn compute(&self, work: &Work<'_>) -> Result<Rewindings> {
        let train = TrainStage::new(Rc::clone(&self.experiment));
        let (end, early) = (
            train.checkpoint(work, self.last)?,
            train.checkpoint(work, self.epoch)?,
        );
        let network = end.network()?;
        let names = rewindable_layers(&*network);
        let place = |name: &str| network.layers().iter().position(|l| l.name == name);
        let layers: Vec<(usize, String)> = names
            .iter()
            .filter_map(|name| Some((place(name)?, (*name).to_owned())))
            .collect();
        ensure!(!names.is_empty(), "the network has no layer to rewind");
        // The last layer alone is also the last one layer: computed once, reported as both.
        let count = names.len();
        let mut wanted = vec![(Rewound::None, &names[..0])];
        wanted.extend((0..count).map(|i| (Rewound::Layer(i), &names[i..=i])));
        wanted.extend((2..=count).map(|k| (Rewound::Last(k), &names[count - k..])));
        let examples = REWOUND_GROUPS.map(|group| self.examples(group));
        let bar = work
            .progress
            .bar(&format!("rewind {}", self.label()), wanted.len() as u64);
        let path = |index: usize| work.folder.join(format!("network-{index:04}.bin"));
        let kept = (0..wanted.len()).filter(|&index| path(index).exists());
        work.resumed_from(kept.count(), wanted.len());
        let mut scores = Vec::with_capacity(wanted.len() + 1);
        let mut trained = None;
        for (index, (rewound, layers)) in wanted.into_iter().enumerate() {
            let compute = || self.scores(&end, &early, layers, &examples);
            let found = interim::kept(&path(index), compute)?;
            // The trained network comes first.
            let found = beside(&found, trained.get_or_insert_with(|| found.clone()));
            scores.push((rewound, found));
            if rewound == Rewound::Layer(count - 1) {
                scores.push((Rewound::Last(1), found));
            }
            bar.set(index as u64 + 1);
        }
        Ok(Rewindings { layers, scores })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gains_by_hand() {
        let score = |correct| GroupScore {
            examples: 4,
            correct,
            loss: 0.0,
        };
        let trained = [true, true, false, false];
        let found = RewoundScore::new(score(3), &[false, true, true, true], &trained);
        assert_eq!((found.gained, found.lost), (2, 1));
        let (gain, error) = found.gain();
        assert!((gain - 0.25).abs() < 1e-12);
        // Differences of 1, 1, -1 and 0: variance 3/4 - 1/16, over 4 images.
        assert!((error - (0.6875f64 / 4.0).sqrt()).abs() < 1e-12);
        let same = RewoundScore::new(score(2), &trained, &trained);
        assert_eq!(same.gain(), (0.0, 0.0));
    }
}
