//! How a network holds its examples: derivatives by the image, critical samples, linear regions, times of learning, norms and margins.

use std::rc::Rc;

use anyhow::Result;
use mftma_data::{ExampleGroup, stream};
use mftma_sensitivity::{
    CriticalSettings, Estimate, JacobianMethod, JacobianNorm, LayerNorms, Outputs,
    SpectralSettings, circle, critical_samples, crossings, jacobian_norms, layer_norms,
    learning_epochs, loss_gradients, margins, path_norm,
};
use mftma_train::{Network, score_examples};
use ndarray::{Axis, s};
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

use super::TrainStage;
use super::sample::{Sample, drawn, shuffled};
use super::train::FORWARD;
use crate::cache::{Space, StageInputs, TypedStage, Work};
use crate::experiment::Experiment;
use crate::profile::{ComplexitySettings, ExampleSettings, LearningSettings};

/// The same where patterns of rectifiers, derivatives by images or power iterations come with it: by `smoke`, whose trainings ran beside.
const LOOKED_INTO: f64 = 2e-11;

/// Sensitivity to the image of one run after one epoch.
pub struct SensitivityStage {
    experiment: Rc<Experiment>,
    epoch: usize,
}

/// What was measured of one example group.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GroupSensitivity {
    /// The group.
    pub group: ExampleGroup,
    /// Mean over examples of the 1-norm of the gradient of the loss by the image.
    pub loss: Option<Estimate>,
    /// Mean over examples of the Frobenius norm of the Jacobian of the class probabilities. Labels play no part: none for restored
    /// examples, which are the permuted images.
    pub jacobian: Option<Estimate>,
    /// Critical sample ratio; none as above.
    pub critical: Option<Estimate>,
    /// Rectifiers that switch on a circle through three examples of one label, mean over circles.
    pub switches: Option<Estimate>,
    /// The same in each layer, per rectified unit: place, name, mean over circles.
    pub by_layer: Vec<(usize, String, Option<Estimate>)>,
}

impl SensitivityStage {
    /// The network of `experiment` after `epoch`.
    pub fn new(experiment: Rc<Experiment>, epoch: usize) -> Self {
        Self { experiment, epoch }
    }

    /// The epoch.
    pub fn epoch(&self) -> usize {
        self.epoch
    }

    fn example_settings(&self) -> ExampleSettings {
        let settings = &self.experiment.profile.supplement.memorization.sensitivity;
        ExampleSettings {
            critical: CriticalSettings {
                seed: self.experiment.seed,
                ..settings.critical
            },
            ..settings.clone()
        }
    }

    /// Triples of examples of a group with one label each: indices into its split.
    fn triples(&self, group: ExampleGroup, circles: usize) -> Vec<[usize; 3]> {
        let labels = self.experiment.data.labels(group);
        let classes = self.experiment.data.dataset().classes();
        let mut of_class = vec![Vec::new(); classes];
        for i in shuffled(&self.experiment, group, "circles") {
            of_class[usize::from(labels[i])].push(i);
        }
        let mut order: Vec<usize> = (0..classes).collect();
        order.shuffle(&mut stream(
            self.experiment.seed,
            "mftma-study/circles/classes",
        ));
        // The first three of each class, then the next three.
        let rounds = of_class.iter().map(|class| class.len() / 3).max();
        let triple = |round: usize, class: usize| {
            let examples = of_class[class].get(3 * round..3 * round + 3)?;
            Some([examples[0], examples[1], examples[2]])
        };
        (0..rounds.unwrap_or(0))
            .flat_map(|round| order.iter().filter_map(move |&class| triple(round, class)))
            .take(circles)
            .collect()
    }

    fn of_group(
        &self,
        network: &dyn Network,
        group: ExampleGroup,
        settings: &ExampleSettings,
    ) -> Result<GroupSensitivity> {
        let experiment = &self.experiment;
        let sample = Sample::draw(experiment, group, settings.examples, "sensitivity");
        let gradients = loss_gradients(network, sample.images.view(), &sample.labels)?;
        let (mut jacobian, mut critical) = (None, None);
        if group != ExampleGroup::Restored && !sample.labels.is_empty() {
            let some = settings.jacobian_examples.min(sample.labels.len());
            let images = sample.images.slice(s![..some, .., .., ..]);
            let norms = jacobian_norms(
                network,
                images,
                Outputs::Probabilities,
                JacobianMethod::Exact,
            )?;
            jacobian = Estimate::of(norms.iter().map(JacobianNorm::norm));
            let deviations = experiment.data.normalization().standard_deviation();
            // One grey level in each channel. A channel of one value only is left as it is.
            let unit = |deviation: &f64| 1.0 / (255.0 * deviation.max(1.0 / 255.0));
            let units: Vec<f64> = deviations.iter().map(unit).collect();
            let images = sample.images.view();
            let found = critical_samples(network, images, &units, &settings.critical)?;
            critical = Estimate::share(found);
        }
        let mut totals = Vec::new();
        let mut by_layer: Vec<(usize, String, Vec<f64>)> = Vec::new();
        for triple in self.triples(group, settings.circles) {
            let three = Sample::at(experiment, group, triple.to_vec());
            let image = |i| three.images.index_axis(Axis(0), i);
            let path = match circle([image(0), image(1), image(2)], settings.circle_points) {
                // Two of the images are the same.
                Err(mftma_sensitivity::Error::Collinear) => continue,
                path => path?,
            };
            let found = crossings(network, path.view())?;
            totals.push(found.switches() as f64);
            for (place, layer) in found.layers.iter().enumerate() {
                if by_layer.len() == place {
                    by_layer.push((layer.layer_index, layer.layer.clone(), Vec::new()));
                }
                by_layer[place]
                    .2
                    .push(layer.switches as f64 / layer.units as f64);
            }
        }
        let by_layer = by_layer.into_iter();
        Ok(GroupSensitivity {
            group,
            loss: Estimate::of(gradients.iter().map(|gradient| gradient.l1)),
            jacobian,
            critical,
            switches: Estimate::of(totals),
            by_layer: by_layer
                .map(|(index, name, values)| (index, name, Estimate::of(values)))
                .collect(),
        })
    }
}

/// What determines the sensitivity, apart from the training.
#[derive(Debug, Serialize)]
pub struct SensitivityIdentity {
    sensitivity: ExampleSettings,
    epoch: usize,
    seed: u64,
}

impl TypedStage for SensitivityStage {
    const KIND: &'static str = "sensitivity";
    const VERSION: u32 = 1;
    const RUNS_ENGINE: bool = false;
    type Settings = SensitivityIdentity;
    type Output = Vec<GroupSensitivity>;

    fn label(&self) -> String {
        format!("{}, epoch {}", self.experiment.label(), self.epoch)
    }

    fn settings(&self) -> SensitivityIdentity {
        SensitivityIdentity {
            sensitivity: self.example_settings(),
            epoch: self.epoch,
            seed: self.experiment.seed,
        }
    }

    fn inputs(&self) -> StageInputs {
        StageInputs::none().stage(&TrainStage::new(Rc::clone(&self.experiment)))
    }

    fn amount(&self) -> f64 {
        let settings = self.example_settings();
        let classes = self.experiment.data.dataset().classes();
        // Forward passes of images: a backward pass is two. Critical samples and the Jacobian are of three groups, the rest of four.
        let gradients = 3 * 4 * settings.examples;
        let jacobian = 3 * 3 * classes * settings.jacobian_examples;
        let critical = 4 * 3 * settings.critical.iterations * settings.examples;
        let circles = 2 * 4 * settings.circles * settings.circle_points;
        (gradients + jacobian + critical + circles) as f64 * self.experiment.multiply_adds()
    }

    fn seconds_per_unit(&self) -> Option<f64> {
        Some(LOOKED_INTO)
    }

    fn space(&self) -> Space {
        Space {
            memory: self.experiment.training_memory(),
            ..Space::default()
        }
    }

    fn compute(&self, work: &Work<'_>) -> Result<Vec<GroupSensitivity>> {
        let settings = self.example_settings();
        let train = TrainStage::new(Rc::clone(&self.experiment));
        let network = train.network(work, self.epoch)?;
        let groups = ExampleGroup::ALL;
        let bar = work.progress.bar(
            &format!("sensitivity {}", self.label()),
            groups.len() as u64,
        );
        let mut found = Vec::new();
        for (done, group) in groups.into_iter().enumerate() {
            found.push(self.of_group(&*network, group, &settings)?);
            bar.set(done as u64 + 1);
        }
        Ok(found)
    }
}

/// From which measured epoch on examples of one run stay correct.
pub struct LearningStage {
    experiment: Rc<Experiment>,
    epochs: Vec<usize>,
}

/// Times of learning of one group.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Learned {
    /// The group.
    pub group: ExampleGroup,
    /// Each measured epoch, with the share of examples that are correct from then on.
    pub shares: Vec<(usize, Estimate)>,
}

impl LearningStage {
    /// The learning of `experiment`, looked at after `epochs`, ascending.
    pub fn new(experiment: Rc<Experiment>, epochs: Vec<usize>) -> Self {
        Self { experiment, epochs }
    }
}

/// What determines the times of learning, apart from the training.
#[derive(Debug, Serialize)]
pub struct LearningIdentity {
    learning: LearningSettings,
    epochs: Vec<usize>,
    seed: u64,
}

impl TypedStage for LearningStage {
    const KIND: &'static str = "learning";
    const VERSION: u32 = 1;
    const RUNS_ENGINE: bool = false;
    type Settings = LearningIdentity;
    type Output = Vec<Learned>;

    fn label(&self) -> String {
        self.experiment.label()
    }

    fn settings(&self) -> LearningIdentity {
        let memorization = &self.experiment.profile.supplement.memorization;
        LearningIdentity {
            learning: memorization.learning.clone(),
            epochs: self.epochs.clone(),
            seed: self.experiment.seed,
        }
    }

    fn inputs(&self) -> StageInputs {
        StageInputs::none().stage(&TrainStage::new(Rc::clone(&self.experiment)))
    }

    fn amount(&self) -> f64 {
        let examples = self
            .experiment
            .profile
            .supplement
            .memorization
            .learning
            .examples;
        let passes = ExampleGroup::ALL.len() * self.epochs.len() * examples;
        passes as f64 * self.experiment.multiply_adds()
    }

    fn seconds_per_unit(&self) -> Option<f64> {
        Some(FORWARD)
    }

    fn space(&self) -> Space {
        Space {
            memory: self.experiment.training_memory(),
            ..Space::default()
        }
    }

    fn compute(&self, work: &Work<'_>) -> Result<Vec<Learned>> {
        let limit = self
            .experiment
            .profile
            .supplement
            .memorization
            .learning
            .examples;
        let samples = ExampleGroup::ALL
            .map(|group| (group, drawn(&self.experiment, group, limit, "learning")));
        let train = TrainStage::new(Rc::clone(&self.experiment));
        let bar = work.progress.bar(
            &format!("learning {}", self.label()),
            self.epochs.len() as u64,
        );
        let mut correct = vec![Vec::new(); samples.len()];
        for (done, &epoch) in self.epochs.iter().enumerate() {
            let network = train.network(work, epoch)?;
            for (correct, (group, indices)) in correct.iter_mut().zip(&samples) {
                let data = &self.experiment.data;
                correct.push(score_examples(&*network, data, *group, indices)?.1);
            }
            bar.set(done as u64 + 1);
        }
        let groups = samples.iter().zip(&correct);
        Ok(groups
            .map(|((group, _), correct)| {
                let times = learning_epochs(&self.epochs, correct);
                let by = |epoch: usize| {
                    let learned = times.iter().map(|time| time.is_some_and(|t| t <= epoch));
                    Some((epoch, Estimate::share(learned)?))
                };
                Learned {
                    group: *group,
                    shares: self.epochs.iter().filter_map(|&epoch| by(epoch)).collect(),
                }
            })
            .collect())
    }
}

/// Norms and margins of one run after one epoch.
pub struct ComplexityStage {
    experiment: Rc<Experiment>,
    epoch: usize,
}

/// Norms and margins.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Complexity {
    /// Every layer's.
    pub layers: Vec<LayerNorms>,
    /// The path norm.
    pub path_norm: f64,
    /// The margins of each group with examples.
    pub margins: Vec<Margins>,
}

/// The margins of one group.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Margins {
    /// The group.
    pub group: ExampleGroup,
    /// Their mean.
    pub mean: Estimate,
    /// Their deciles, 10 % to 90 %, each with half the width of its 68 % interval.
    pub deciles: Vec<(f64, f64)>,
}

impl ComplexityStage {
    /// The network of `experiment` after `epoch`.
    pub fn new(experiment: Rc<Experiment>, epoch: usize) -> Self {
        Self { experiment, epoch }
    }

    /// The epoch.
    pub fn epoch(&self) -> usize {
        self.epoch
    }
}

/// Deciles of values, with half the width of the 68 % interval by the binomial error of their ranks.
fn deciles(mut values: Vec<f64>) -> Vec<(f64, f64)> {
    values.sort_by(f64::total_cmp);
    let last = values.len() as f64 - 1.0;
    let at = |rank: f64| values[rank.clamp(0.0, last).round() as usize];
    let decile = |tenth: u8| {
        let p = f64::from(tenth) / 10.0;
        let (rank, off) = (p * last, (values.len() as f64 * p * (1.0 - p)).sqrt());
        (at(rank), (at(rank + off) - at(rank - off)) / 2.0)
    };
    (1..=9).map(decile).collect()
}

/// What determines norms and margins, apart from the training.
#[derive(Debug, Serialize)]
pub struct ComplexityIdentity {
    complexity: ComplexitySettings,
    epoch: usize,
    seed: u64,
}

impl TypedStage for ComplexityStage {
    const KIND: &'static str = "complexity";
    const VERSION: u32 = 1;
    const RUNS_ENGINE: bool = false;
    type Settings = ComplexityIdentity;
    type Output = Complexity;

    fn label(&self) -> String {
        format!("{}, epoch {}", self.experiment.label(), self.epoch)
    }

    fn settings(&self) -> ComplexityIdentity {
        let memorization = &self.experiment.profile.supplement.memorization;
        ComplexityIdentity {
            complexity: memorization.complexity.clone(),
            epoch: self.epoch,
            seed: self.experiment.seed,
        }
    }

    fn inputs(&self) -> StageInputs {
        StageInputs::none().stage(&TrainStage::new(Rc::clone(&self.experiment)))
    }

    fn amount(&self) -> f64 {
        let settings = &self.experiment.profile.supplement.memorization.complexity;
        // A step of power iteration in double precision, both ways and without our kernels, is worth some sixteen forward passes.
        let passes = 4 * settings.examples + 16 * settings.iterations;
        passes as f64 * self.experiment.multiply_adds()
    }

    fn seconds_per_unit(&self) -> Option<f64> {
        Some(LOOKED_INTO)
    }

    fn space(&self) -> Space {
        Space {
            memory: self.experiment.training_memory(),
            ..Space::default()
        }
    }

    fn compute(&self, work: &Work<'_>) -> Result<Complexity> {
        let memorization = &self.experiment.profile.supplement.memorization;
        let settings = &memorization.complexity;
        let train = TrainStage::new(Rc::clone(&self.experiment));
        let network = train.network(work, self.epoch)?;
        let spectral = SpectralSettings {
            iterations: settings.iterations,
            tolerance: 1e-4,
            seed: self.experiment.seed,
        };
        let mut of_groups = Vec::new();
        for group in ExampleGroup::ALL {
            let sample = Sample::draw(&self.experiment, group, settings.examples, "margins");
            let found = margins(&*network, sample.images.view(), &sample.labels)?;
            if let Some(mean) = Estimate::of(found.iter().copied()) {
                of_groups.push(Margins {
                    group,
                    mean,
                    deciles: deciles(found),
                });
            }
        }
        Ok(Complexity {
            layers: layer_norms(&*network, &spectral)?,
            path_norm: path_norm(&*network)?,
            margins: of_groups,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deciles_by_hand() {
        let values: Vec<f64> = (0..=100).rev().map(f64::from).collect();
        let found = deciles(values);
        assert_eq!(found.len(), 9);
        assert_eq!((found[0].0, found[4].0, found[8].0), (10.0, 50.0, 90.0));
        // √(101 / 4) = 5.02 ranks either way.
        assert_eq!(found[4].1, 5.0);
        assert_eq!(deciles(vec![3.0])[0], (3.0, 0.0));
    }
}
