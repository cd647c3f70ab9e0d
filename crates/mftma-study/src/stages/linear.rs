//! What the exact theory of deep linear networks says of the run's own images and labels, and a linear network trained on them.
//!
//! Saxe, McClelland & Ganguli 2013 (arXiv 1312.6120) and Lampinen & Ganguli 2018 (arXiv 1809.10374), by [`mftma_linear`]. Images are made
//! white in their leading principal axes, as the theory wants; targets are one-hot labels, less their means.

use std::rc::Rc;

use anyhow::{Context, Result};
use mftma_data::{ExampleGroup, stream};
use mftma_linear::{Dynamics, Svd, Whitening, centred, correlation, one_hot, white_permuted_edges};
use ndarray::{Array2, ArrayView2, Axis};
use rand::RngExt;
use rand::seq::SliceRandom;
use rand_distr::StandardNormal;
use serde::{Deserialize, Serialize};

use super::sample::Sample;
use crate::cache::{Space, StageInputs, TypedStage, Work};
use crate::experiment::Experiment;
use crate::linear_network::LinearNetwork;
use crate::profile::LinearSettings;
use crate::table::Learner;

/// The halves of the training examples whose modes are told apart.
pub const HALVES: [ExampleGroup; 2] = [ExampleGroup::Unpermuted, ExampleGroup::Permuted];
/// Times at which learning is looked at.
const TIMES: usize = 40;
/// Before the strongest mode is half learned: from this share of that time on.
const FIRST: f64 = 0.2;

/// Theory and linear network of one run's data.
pub struct LinearStage {
    experiment: Rc<Experiment>,
}

/// What it finds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LinearLearning {
    /// Of either half of the training examples.
    pub spectra: Vec<Spectrum>,
    /// How the groups are learned, by theory and by the network; times in units of that in which the strongest mode is half learned.
    pub curves: Vec<LearningCurve>,
}

/// Singular values of the input–output correlation of some examples with white inputs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Spectrum {
    /// Which half.
    pub group: ExampleGroup,
    /// Number of examples.
    pub examples: usize,
    /// Singular values, falling.
    pub values: Vec<f64>,
    /// Between which they lie if the labels are random, in the limit of large matrices.
    pub random: (f64, f64),
}

/// How one group of examples is learned.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LearningCurve {
    /// By theory or by the network.
    pub learner: Learner,
    /// Which examples, and by which labels.
    pub group: ExampleGroup,
    /// How many.
    pub examples: usize,
    /// After which time how much.
    pub points: Vec<LearnedLabels>,
}

/// How much of the labels of some examples has been learned: ⟨ŷ · y⟩/⟨‖y‖²⟩, 0 where the scores know nothing of them, 1 where they are the
/// targets. Accuracy would not do: of weights that are aligned with the modes it is high before anything is learned, whatever their size.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct LearnedLabels {
    /// When.
    pub time: f64,
    /// The share.
    pub share: f64,
    /// Its standard error over the examples.
    pub error: f64,
}

/// The images in use, and what is looked for among them.
struct Examples {
    /// White inputs of the training examples (P, k).
    train: Array2<f64>,
    /// Of the test examples, by the same map.
    test: Array2<f64>,
    /// Labels trained on.
    labels: Vec<u16>,
    classes: usize,
    /// Rows of each half.
    halves: [Vec<usize>; 2],
    /// Each group's rows, in `train` or `test`, and labels.
    groups: Vec<(ExampleGroup, Vec<usize>, Vec<u16>)>,
}

impl LinearStage {
    /// The linear view of `experiment`.
    pub fn new(experiment: Rc<Experiment>) -> Self {
        Self { experiment }
    }

    fn linear(&self) -> &LinearSettings {
        &self.experiment.profile.supplement.linear
    }

    /// Training and test images drawn, ascending.
    fn indices(&self) -> (Vec<usize>, Vec<usize>) {
        let data = self.experiment.data.dataset();
        let drawn = |all: usize, count: usize, purpose: &str| {
            let mut indices: Vec<usize> = (0..all).collect();
            indices.shuffle(&mut stream(self.experiment.seed, purpose));
            indices.truncate(count);
            indices.sort_unstable();
            indices
        };
        let examples = self.linear().examples;
        (
            drawn(
                data.train().len(),
                examples,
                "linear theory, training images",
            ),
            drawn(data.test().len(), examples, "linear theory, test images"),
        )
    }

    fn examples(&self) -> Result<Examples> {
        let data = &self.experiment.data;
        let (train, test) = self.indices();
        let flat = |group, indices: &[usize]| {
            let images = Sample::at(&self.experiment, group, indices.to_vec()).images;
            let features = data.split(group).image_shape().iter().product::<usize>();
            images.into_shape_with_order((indices.len(), features))
        };
        let images = flat(ExampleGroup::Unpermuted, &train)?;
        let whitening = Whitening::fit(images.view(), self.linear().components)?;
        let mask = data.permutation().mask();
        let rows = |permuted: bool| -> Vec<usize> {
            (0..train.len())
                .filter(|&row| mask[train[row]] == permuted)
                .collect()
        };
        let halves = [rows(false), rows(true)];
        let groups = ExampleGroup::ALL.map(|group| {
            let (rows, of): (Vec<usize>, &[usize]) = match group {
                ExampleGroup::Test => ((0..test.len()).collect(), &test),
                ExampleGroup::Unpermuted => (halves[0].clone(), &train),
                _ => (halves[1].clone(), &train),
            };
            let all = data.labels(group);
            let labels = rows.iter().map(|&row| all[of[row]]).collect();
            (group, rows, labels)
        });
        Ok(Examples {
            test: whitening.apply(flat(ExampleGroup::Test, &test)?.view())?,
            train: whitening.apply(images.view())?,
            labels: train
                .iter()
                .map(|&i| data.permutation().assigned_labels()[i])
                .collect(),
            classes: data.dataset().classes(),
            halves,
            groups: groups
                .into_iter()
                .filter(|(_, rows, _)| !rows.is_empty())
                .collect(),
        })
    }

    /// Small random weights from which every mode starts, on average, with `initial`: a mode's strength is a · b of the images a = W_1 v
    /// and b = W_2ᵀ u, of which a + b grows and a − b decays, so that it is ‖a + b‖²/4 that counts. Deeper networks start alike.
    fn random_weights(&self, sizes: &[usize], initial: f64) -> Vec<Array2<f64>> {
        let mut random = stream(
            self.experiment.seed,
            "initial weights of the linear network",
        );
        sizes
            .windows(2)
            .map(|pair| {
                let hidden = if pair[0] == sizes[0] {
                    pair[1]
                } else {
                    pair[0]
                };
                let deviation = (2.0 * initial / hidden as f64).sqrt();
                Array2::from_shape_simple_fn((pair[1], pair[0]), || {
                    deviation * random.sample::<f64, _>(StandardNormal)
                })
            })
            .collect()
    }
}

impl Examples {
    /// The modes of one half, its inputs made white among themselves.
    fn spectrum(&self, half: usize) -> Result<Spectrum> {
        let rows = &self.halves[half];
        let inputs = self.train.select(Axis(0), rows);
        let labels: Vec<u16> = rows.iter().map(|&row| self.labels[row]).collect();
        let white = Whitening::fit(inputs.view(), inputs.ncols())?.apply(inputs.view())?;
        let targets = centred(one_hot(&labels, self.classes)?.view())?;
        let mut values = Svd::new(correlation(white.view(), targets.view())?.view())?.values;
        // Centred targets span one dimension less than there are classes.
        values.truncate((self.classes - 1).min(white.ncols()));
        let random = white_permuted_edges(white.ncols(), rows.len(), self.classes)?;
        Ok(Spectrum {
            group: HALVES[half],
            examples: rows.len(),
            values,
            random: (random.lower, random.upper),
        })
    }

    /// How much of each group's labels a linear map (C, k) knows, with the standard error. `means` (C) are those of the one-hot targets.
    fn learned(&self, map: ArrayView2<'_, f64>, means: &[f64]) -> Vec<(f64, f64)> {
        let scores = [self.train.dot(&map.t()), self.test.dot(&map.t())];
        let squares: f64 = means.iter().map(|mean| mean * mean).sum();
        let of_group = |(group, rows, labels): &(ExampleGroup, Vec<usize>, Vec<u16>)| {
            let scores = &scores[usize::from(*group == ExampleGroup::Test)];
            let product = |(&row, &label): (&usize, &u16)| {
                let row = scores.row(row);
                let mean: f64 = row
                    .iter()
                    .zip(means)
                    .map(|(score, mean)| score * mean)
                    .sum();
                row[usize::from(label)] - mean
            };
            let products: Vec<f64> = rows.iter().zip(labels).map(product).collect();
            let power = |&label: &u16| 1.0 - 2.0 * means[usize::from(label)] + squares;
            let count = products.len() as f64;
            let power = labels.iter().map(power).sum::<f64>() / count;
            let mean = products.iter().sum::<f64>() / count;
            let spread: f64 = products.iter().map(|p| (p - mean).powi(2)).sum();
            let error = (spread / (count * (count - 1.0).max(1.0))).sqrt();
            (mean / power, error / power)
        };
        self.groups.iter().map(of_group).collect()
    }
}

/// What determines theory and network, apart from the data.
#[derive(Debug, Serialize)]
pub struct LinearIdentity {
    linear: LinearSettings,
    seed: u64,
}

impl TypedStage for LinearStage {
    const KIND: &'static str = "linear";
    const VERSION: u32 = 2;
    const RUNS_ENGINE: bool = false;
    type Settings = LinearIdentity;
    type Output = LinearLearning;

    fn label(&self) -> String {
        self.experiment.label()
    }

    fn settings(&self) -> LinearIdentity {
        LinearIdentity {
            linear: self.linear().clone(),
            seed: self.experiment.seed,
        }
    }

    fn inputs(&self) -> StageInputs {
        self.experiment.data_inputs()
    }

    fn amount(&self) -> f64 {
        let linear = self.linear();
        let data = self.experiment.data.dataset();
        let examples = linear.examples.min(data.train().len()) as f64;
        let features = data.image_shape().iter().product::<usize>() as f64;
        let (k, classes) = (linear.components as f64, data.classes() as f64);
        let weights = 2.0 * classes * (k + classes);
        // Principal axes, then steps of gradient descent.
        features * features * (examples + 10.0 * features)
            + linear.steps() * 3.0 * examples * weights
    }

    fn seconds_per_unit(&self) -> Option<f64> {
        // By the runs of record: `quick` 3.9e-11, `laptop` 1.1e-11.
        Some(3e-11)
    }

    fn space(&self) -> Space {
        let data = self.experiment.data.dataset();
        let features = data.image_shape().iter().product::<usize>() as f64;
        let examples = (2 * self.linear().examples) as f64;
        Space {
            memory: self.experiment.data_bytes()
                + 8.0 * features * (3.0 * examples + 6.0 * features),
            ..Space::default()
        }
    }

    fn compute(&self, work: &Work<'_>) -> Result<LinearLearning> {
        let linear = self.linear();
        let examples = self.examples()?;
        // Where few labels are permuted there may be too few examples of them.
        let enough = examples.train.ncols() + examples.classes;
        let spectra = (0..2).filter(|&half| examples.halves[half].len() > enough);
        let spectra = spectra
            .map(|half| examples.spectrum(half))
            .collect::<Result<Vec<_>>>()?;

        let labels = one_hot(&examples.labels, examples.classes)?;
        let targets = centred(labels.view())?;
        let means = labels.sum_axis(Axis(0)) / labels.nrows() as f64;
        let means = means.to_vec();
        let modes = Svd::new(correlation(examples.train.view(), targets.view())?.view())?;
        let strongest = modes.values.first().copied().context("no mode")?;
        let initial = linear.initial * strongest;
        let theory = Dynamics::new(linear.depth, initial, 1.0)?;
        let unit = theory
            .time_to(strongest, 0.5 * strongest)
            .context("the strongest mode is not learned")?;
        let rate = linear.rate / strongest;
        let bar = work
            .progress
            .bar(&format!("linear {}", self.label()), TIMES as u64);
        let hidden = vec![2 * examples.classes; linear.depth - 1];
        let sizes: Vec<usize> = std::iter::once(examples.train.ncols())
            .chain(hidden)
            .chain([examples.classes])
            .collect();
        let mut network = LinearNetwork::new(&self.random_weights(&sizes, initial))?;
        let (x, y) = (
            examples.train.mapv(|v| v as f32),
            targets.mapv(|v| v as f32),
        );
        let mut points = Vec::with_capacity(TIMES);
        let mut steps = 0;
        for index in 0..TIMES {
            let share = index as f64 / (TIMES - 1) as f64;
            let time = FIRST * (linear.horizon / FIRST).powf(share);
            // The network is looked at after the nearest whole number of steps, and the theory then too.
            let until = ((time * unit / rate).round() as usize).max(1);
            while steps < until {
                network.step(x.view(), y.view(), rate as f32)?;
                steps += 1;
            }
            let now = steps as f64 * rate;
            let learned: Vec<f64> = modes
                .values
                .iter()
                .map(|&value| theory.strength(value, now))
                .collect();
            let map = (&modes.left * &ndarray::arr1(&learned)).dot(&modes.right.t());
            let by_theory = examples.learned(map.view(), &means);
            let by_network = examples.learned(network.product().view(), &means);
            points.push((now / unit, by_theory, by_network));
            bar.set(index as u64 + 1);
        }
        // Early on two times may fall on one step.
        points.dedup_by(|later, earlier| later.0 == earlier.0);
        let curves = [Learner::Theory, Learner::LinearNetwork]
            .into_iter()
            .flat_map(|learner| {
                let groups = examples.groups.iter().enumerate();
                let points = &points;
                groups.map(move |(place, (group, rows, _))| LearningCurve {
                    learner,
                    group: *group,
                    examples: rows.len(),
                    points: points
                        .iter()
                        .map(|(time, by_theory, by_network)| {
                            let (share, error) = match learner {
                                Learner::Theory => by_theory[place],
                                _ => by_network[place],
                            };
                            LearnedLabels {
                                time: *time,
                                share,
                                error,
                            }
                        })
                        .collect(),
                })
            })
            .collect();
        Ok(LinearLearning { spectra, curves })
    }
}
