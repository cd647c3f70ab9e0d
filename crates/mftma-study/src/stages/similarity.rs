//! Compares the layers of a trained network with one another, and every layer with itself at earlier epochs, there also by matching of
//! neurons (Wang et al. 2018, arXiv 1810.11750).

use std::rc::Rc;

use anyhow::{Context, Result};
use mftma::ArrayActivations;
use mftma::similarity::matching::{Neurons, maximum_match};
use mftma::similarity::{Representation, linear_cka, pwcca, svcca};
use mftma_data::{ExampleGroup, stream};
use mftma_train::{Network, Place};
use ndarray::{Array2, ArrayView2, ArrayView4, s};
use rand::Rng;
use rand::seq::SliceRandom;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::TrainStage;
use crate::cache::{Space, StageInputs, TypedStage, Work};
use crate::experiment::Experiment;
use crate::profile::SimilaritySettings;

/// Images in one forward pass.
const BATCH: usize = 100;

/// CKA, SVCCA and PWCCA between layers of the last epoch, and between epochs of each layer.
pub struct SimilarityStage {
    experiment: Rc<Experiment>,
    /// Ascending; the last is the one that others are compared with.
    epochs: Vec<usize>,
}

/// How alike two layers, or two epochs of a layer, represent the same test images.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Comparison {
    /// Place of the first layer in the network.
    pub layer_index: usize,
    /// Its name.
    pub layer: String,
    /// Its epoch.
    pub epoch: usize,
    /// The layer it is compared with, at the last epoch.
    pub other: String,
    /// Number of images.
    pub points: usize,
    /// Linear CKA.
    pub cka: f64,
    /// SVCCA.
    pub svcca: f64,
    /// PWCCA, weighted by the first layer's features.
    pub pwcca: f64,
    /// Of a layer and itself at another epoch.
    pub matches: Vec<Match>,
}

/// The largest match of a layer's neurons with those of the same layer at another epoch. A neuron of a convolution is a channel, its vector
/// the channel's values at places drawn over all images.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Match {
    /// ε.
    pub tolerance: f64,
    /// Share of the neurons of both that are in the match.
    pub similarity: f64,
    /// Numbers that stand for a neuron.
    pub values: usize,
    /// Whether one side spans everything, so that all of the other matches whatever it represents.
    pub trivial: bool,
}

/// One layer at one epoch.
struct Layer {
    index: usize,
    name: String,
    epoch: usize,
    features: Array2<f32>,
    representation: Representation,
    neurons: Neurons,
}

impl SimilarityStage {
    /// The comparisons of `experiment` at `epochs`, ascending, with the last of them.
    pub fn new(experiment: Rc<Experiment>, epochs: Vec<usize>) -> Self {
        Self { experiment, epochs }
    }

    /// Where in the layers.
    fn place(&self) -> Place {
        self.experiment.settings.geometry.place
    }

    /// The test images whose features are compared.
    fn images(&self) -> Vec<usize> {
        let mut all = self.experiment.data.group_indices(ExampleGroup::Test);
        all.shuffle(&mut stream(self.experiment.seed, "images for comparison"));
        all.truncate(self.experiment.profile.supplement.similarity.points);
        all
    }

    /// All layers of one epoch. Layers whose outputs coincide have no direction to compare and are left out.
    fn layers(&self, work: &Work<'_>, epoch: usize, images: &[usize]) -> Result<Vec<Layer>> {
        let train = TrainStage::new(Rc::clone(&self.experiment));
        let network = train.network(work, epoch)?;
        let features = self.features(&*network, images)?;
        let values = self.experiment.profile.supplement.similarity.neuron_values;
        let named = network.layers().iter().zip(features).enumerate();
        named
            .filter_map(|(index, (layer, features))| {
                let representation = ArrayActivations::new(features.view(), &[images.len()])
                    .map_err(anyhow::Error::from)
                    .and_then(|source| match Representation::new(&source) {
                        Ok(representation) => Ok(Some(representation)),
                        Err(mftma::Error::NoVariance) => Ok(None),
                        Err(error) => Err(error.into()),
                    })
                    .with_context(|| format!("layer {} at epoch {epoch}", layer.name));
                let representation = match representation {
                    Ok(Some(representation)) => representation,
                    Ok(None) => return None,
                    Err(error) => return Some(Err(error)),
                };
                let purpose = format!("places for matching, {}", layer.name);
                let mut places = stream(self.experiment.seed, &purpose);
                let neurons = neurons(features.view(), &layer.shape, values, &mut places);
                Some(neurons.map(|neurons| Layer {
                    index,
                    name: layer.name.clone(),
                    epoch,
                    features,
                    representation,
                    neurons,
                }))
            })
            .collect()
    }

    /// Outputs of every layer, images × features.
    fn features(&self, network: &dyn Network, images: &[usize]) -> Result<Vec<Array2<f32>>> {
        let data = &self.experiment.data;
        let test = data.dataset().test();
        let [channels, height, width] = test.image_shape();
        let mut features: Vec<Array2<f32>> = network
            .layers()
            .iter()
            .map(|layer| Array2::zeros((images.len(), layer.features())))
            .collect();
        let all: Vec<usize> = (0..features.len()).collect();
        let mut pixels = Vec::new();
        for (batch, indices) in images.chunks(BATCH).enumerate() {
            data.batch_into(test, indices, &mut pixels);
            let view = ArrayView4::from_shape((indices.len(), channels, height, width), &pixels)?;
            let first = batch * BATCH;
            network.activations(view, &all, self.place(), &mut |layer, outputs| {
                features[layer]
                    .slice_mut(s![first..first + outputs.nrows(), ..])
                    .assign(&outputs);
            })?;
        }
        Ok(features)
    }
}

/// The neurons of a layer whose outputs have this shape for one image: its channels, each at up to `values` places of the images, the same
/// number in each image; all of them where there are no more.
fn neurons(
    features: ArrayView2<'_, f32>,
    shape: &[usize],
    values: usize,
    random: &mut impl Rng,
) -> Result<Neurons> {
    let (images, channels) = (features.nrows(), shape[0]);
    let positions: usize = shape[1..].iter().product();
    let of_image = values.div_ceil(images).min(positions);
    let mut chosen = Array2::zeros((images * of_image, channels));
    for (image, row) in features.rows().into_iter().enumerate() {
        let places = rand::seq::index::sample(random, positions, of_image);
        for (place, position) in places.into_iter().enumerate() {
            for channel in 0..channels {
                chosen[(image * of_image + place, channel)] = row[channel * positions + position];
            }
        }
    }
    let source = ArrayActivations::new(chosen.view(), &[chosen.nrows()])?;
    Ok(Neurons::new(&source)?)
}

/// Matches of a layer with itself at another epoch.
fn matches(first: &Layer, other: &Layer, tolerances: &[f64]) -> Result<Vec<Match>> {
    let of = |&tolerance: &f64| {
        let found = maximum_match(&first.neurons, &other.neurons, tolerance)?;
        let values = first.neurons.points();
        Ok(Match {
            tolerance,
            similarity: found.similarity(),
            values,
            trivial: found.ranks.0.max(found.ranks.1) == values,
        })
    };
    tolerances.iter().map(of).collect()
}

fn compare(first: &Layer, other: &Layer, variance: f64) -> Result<Comparison> {
    let points = first.features.nrows();
    let correlations = svcca(&first.representation, &other.representation, variance)?;
    let source = ArrayActivations::new(first.features.view(), &[points])?;
    Ok(Comparison {
        layer_index: first.index,
        layer: first.name.clone(),
        epoch: first.epoch,
        other: other.name.clone(),
        points,
        cka: linear_cka(&first.representation, &other.representation)?,
        svcca: correlations.mean(),
        pwcca: pwcca(&correlations, &source)?,
        matches: Vec::new(),
    })
}

/// What determines the comparisons, apart from the training.
#[derive(Debug, Serialize)]
pub struct SimilarityIdentity {
    epochs: Vec<usize>,
    similarity: SimilaritySettings,
    seed: u64,
    place: Place,
}

impl TypedStage for SimilarityStage {
    const KIND: &'static str = "similarity";
    const VERSION: u32 = 3;
    const RUNS_ENGINE: bool = true;
    type Settings = SimilarityIdentity;
    type Output = Vec<Comparison>;

    fn label(&self) -> String {
        self.experiment.label()
    }

    fn settings(&self) -> SimilarityIdentity {
        SimilarityIdentity {
            epochs: self.epochs.clone(),
            similarity: self.experiment.profile.supplement.similarity.clone(),
            seed: self.experiment.seed,
            place: self.place(),
        }
    }

    fn inputs(&self) -> StageInputs {
        StageInputs::none().stage(&TrainStage::new(Rc::clone(&self.experiment)))
    }

    fn amount(&self) -> f64 {
        let points = self.experiment.profile.supplement.similarity.points;
        let tests = self.experiment.data.dataset().test().len();
        let points = points.min(tests) as f64;
        let layers = self.experiment.features().len() as f64;
        // Every pair of layers at the last epoch, and each layer with itself at the others.
        layers * (layers + self.epochs.len() as f64) * points.powi(3)
    }

    fn space(&self) -> Space {
        let points = self.experiment.profile.supplement.similarity.points as f64;
        let features: f64 = self.experiment.features().iter().sum();
        let layers = self.experiment.features().len() as f64;
        // Features and representations of every layer at two epochs.
        let held = 2.0 * points * (4.0 * features + 8.0 * layers * points);
        Space {
            memory: self.experiment.training_memory() + held,
            ..Space::default()
        }
    }

    fn seconds_per_unit(&self) -> Option<f64> {
        // By the runs of record of `quick` and `laptop`.
        Some(3.3e-10)
    }

    fn compute(&self, work: &Work<'_>) -> Result<Vec<Comparison>> {
        let images = self.images();
        let settings = &self.experiment.profile.supplement.similarity;
        let variance = settings.variance;
        let (last, earlier) = self.epochs.split_last().context("no epoch to compare")?;
        let bar = work.progress.bar(
            &format!("similarity {}", self.label()),
            self.epochs.len() as u64,
        );
        let end = self.layers(work, *last, &images)?;
        let pairs: Vec<(&Layer, &Layer)> = end
            .iter()
            .flat_map(|first| end.iter().map(move |other| (first, other)))
            .collect();
        let mut comparisons: Vec<Comparison> = pairs
            .into_par_iter()
            .map(|(first, other)| compare(first, other, variance))
            .collect::<Result<_>>()?;
        bar.set(1);
        for (done, &epoch) in earlier.iter().enumerate() {
            let layers = self.layers(work, epoch, &images)?;
            let of_epoch: Vec<Comparison> = layers
                .par_iter()
                .filter_map(|layer| {
                    let same = end.iter().find(|other| other.index == layer.index)?;
                    Some(compare(layer, same, variance).and_then(|comparison| {
                        Ok(Comparison {
                            matches: matches(layer, same, &settings.tolerances)?,
                            ..comparison
                        })
                    }))
                })
                .collect::<Result<_>>()?;
            comparisons.extend(of_epoch);
            bar.set(done as u64 + 2);
        }
        Ok(comparisons)
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array1;
    use rand::RngExt;

    use super::*;

    /// Channels that only change places and sizes match whole, whatever places stand for them; a channel that is new does not.
    #[test]
    fn channels_are_neurons_at_the_same_places() {
        let (images, shape) = (30, [3, 4, 4]);
        let mut random = stream(1, "features");
        let features = Array2::from_shape_fn((images, 48), |_| random.random_range(-1.0..1.0f32));
        let mut moved = features.clone();
        for (from, to, factor) in [(0, 2, -2.0), (1, 0, 0.5), (2, 1, 3.0)] {
            let channel = features
                .slice(s![.., 16 * from..16 * (from + 1)])
                .to_owned();
            moved
                .slice_mut(s![.., 16 * to..16 * (to + 1)])
                .assign(&(factor * &channel));
        }
        let of = |features: &Array2<f32>, values| {
            let mut places = stream(1, "places");
            neurons(features.view(), &shape, values, &mut places).unwrap()
        };
        for values in [1, 100, 10_000] {
            let (first, other) = (of(&features, values), of(&moved, values));
            assert_eq!(first.points(), images * values.div_ceil(images).min(16));
            assert_eq!(first.size(), 3);
            let found = maximum_match(&first, &other, 1e-4).unwrap();
            assert_eq!(found.similarity(), 1.0);
        }
        let stranger = Array1::from_shape_fn(16, |_| random.random_range(-1.0..1.0f32));
        moved.slice_mut(s![.., 16..32]).assign(&stranger);
        let found = maximum_match(&of(&features, 200), &of(&moved, 200), 0.3).unwrap();
        assert_eq!(found.similarity(), 4.0 / 6.0);
    }
}
