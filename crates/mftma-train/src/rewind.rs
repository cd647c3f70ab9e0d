//! Rewinding: the parameters of some layers from an earlier epoch, the rest from the end.

use crate::batches::{check_classes, images_view};
use crate::checkpoint::Checkpoint;
use crate::network::{BatchMoments, MOMENTUM};
use crate::rng::epoch_order;
use crate::{Network, ParameterRole, StatisticsMode, TrainError, TrainingData};

/// Where the running statistics of normalisations come from after rewinding.
///
/// The paper's choice is not known; every choice is a setting of the analysis, by name \[D\].
#[derive(Clone, Copy, Debug)]
pub enum RewoundStatistics<'a> {
    /// Of the rewound layers from the early epoch with the parameters, of the rest from the end.
    Rewound,
    /// All from the end.
    Kept,
    /// All measured anew on training images, as the rewound network sees them (Izmailov et al. 2018, arXiv 1803.05407, §3.2,
    /// do so for averaged weights).
    Reestimated {
        /// The run's data.
        data: &'a TrainingData,
        /// Training images to measure on, drawn without replacement; all if there are fewer.
        examples: usize,
        /// Seed of the draw.
        seed: u64,
    },
}

/// The network of `end` with the parameters of `layers` put back to those of `early`.
///
/// `layers` are names as [`Network::layers`] gives them, without `input` and poolings, which have no
/// parameters; a normalisation belongs to the convolution before it. No layers give the
/// network of `end`, all layers with [`RewoundStatistics::Rewound`] that of `early`. Evaluate the result with
/// [`crate::evaluate()`].
///
/// # Errors
/// [`TrainError::UnknownLayer`]; [`TrainError::Mismatch`] where the checkpoints are of different runs;
/// [`TrainError::Shape`] or [`TrainError::Network`] where the data do not fit the network.
pub fn rewind(
    end: &Checkpoint,
    early: &Checkpoint,
    layers: &[&str],
    statistics: RewoundStatistics<'_>,
) -> Result<Box<dyn Network>, TrainError> {
    early.check_run(&end.header().settings, &end.header().data)?;
    rewind_network(&*end.network()?, &*early.network()?, layers, statistics)
}

/// As [`rewind`], of networks in memory: `end` with the parameters of `layers` put back to those of `early`.
///
/// # Errors
/// [`TrainError::UnknownLayer`]; [`TrainError::Shape`] where the networks do not have the same parameters, or they or the data do not
/// fit.
pub fn rewind_network(
    end: &dyn Network,
    early: &dyn Network,
    layers: &[&str],
    statistics: RewoundStatistics<'_>,
) -> Result<Box<dyn Network>, TrainError> {
    check_same(end, early)?;
    check_layers(end, layers)?;
    let (mut network, source) = (end.duplicate(), early);
    let is_rewound = |layer: &str| layers.contains(&layer);
    for (to, from) in network
        .parameters_mut()
        .into_iter()
        .zip(source.parameters())
    {
        if is_rewound(to.layer()) {
            to.values_mut().copy_from_slice(from.values());
        }
    }
    match statistics {
        RewoundStatistics::Kept => {}
        RewoundStatistics::Rewound => {
            for (to, from) in network
                .statistics_mut()
                .into_iter()
                .zip(source.statistics())
            {
                if is_rewound(to.layer()) {
                    to.values_mut().copy_from_slice(from.values());
                }
            }
        }
        RewoundStatistics::Reestimated {
            data,
            examples,
            seed,
        } => {
            reestimate_statistics(&mut *network, data, examples, seed)?;
        }
    }
    Ok(network)
}

fn check_same(end: &dyn Network, early: &dyn Network) -> Result<(), TrainError> {
    let shapes = |network: &dyn Network| -> Vec<String> {
        let arrays = network.parameters().into_iter().chain(network.statistics());
        arrays
            .map(|array| format!("{} {:?}", array.name(), array.shape()))
            .collect()
    };
    let (wanted, found) = (shapes(end), shapes(early));
    let differs = wanted.iter().zip(&found).find(|(a, b)| a != b);
    match differs {
        None if wanted.len() == found.len() => Ok(()),
        differs => Err(TrainError::Shape {
            what: "arrays of the earlier network".into(),
            expected: differs.map_or(format!("{} arrays", wanted.len()), |(a, _)| a.clone()),
            found: differs.map_or(format!("{} arrays", found.len()), |(_, b)| b.clone()),
            remedy: "give two states of one network",
        }),
    }
}

/// Layers that have parameters, in the order of computation: what can be rewound.
pub fn rewindable_layers(network: &dyn Network) -> Vec<&str> {
    let parameters = network.parameters();
    let has = |name: &str| parameters.iter().any(|p| p.layer() == name);
    network
        .layers()
        .iter()
        .map(|l| l.name.as_str())
        .filter(|name| has(name))
        .collect()
}

fn check_layers(network: &dyn Network, layers: &[&str]) -> Result<(), TrainError> {
    let known = rewindable_layers(network);
    match layers.iter().find(|name| !known.contains(name)) {
        None => Ok(()),
        Some(name) => Err(TrainError::UnknownLayer {
            name: name.to_string(),
            known: known.join(", "),
        }),
    }
}

/// Images in a batch of the re-estimation.
const BATCH: usize = 250;

/// Measures all running statistics anew on `examples` training images (all if there are fewer), drawn by `seed`: over fixed batches, the mean of the batch means, and the mean of the batch variances
/// plus the variance of the batch means, each batch weighted by its size.
///
/// # Errors
/// [`TrainError::Setting`] for no examples; [`TrainError::Shape`] or [`TrainError::Network`] where the data do not fit the network.
pub fn reestimate_statistics(
    network: &mut dyn Network,
    data: &TrainingData,
    examples: usize,
    seed: u64,
) -> Result<(), TrainError> {
    if examples == 0 {
        return Err(TrainError::setting(
            "examples",
            0,
            "give at least 1 training image to measure on",
        ));
    }
    check_classes(network, data)?;
    if network.statistics().is_empty() {
        return Ok(());
    }
    let train = data.dataset().train();
    let mut order = epoch_order(seed, 0, train.len());
    order.truncate(examples);
    // Batches of equal size but for one, and never a remainder of a few images.
    let batches = order.len().div_ceil(BATCH);
    let range = |k: usize| k * order.len() / batches..(k + 1) * order.len() / batches;
    // For each statistic the weighted sums of its batch values and, for means, of their squares.
    let mut sums: Vec<Vec<(f64, f64)>> = network
        .statistics()
        .iter()
        .map(|s| vec![(0.0, 0.0); s.len()])
        .collect();
    let mut images = Vec::new();
    for k in 0..batches {
        let batch = &order[range(k)];
        let weight = batch.len() as f64 / order.len() as f64;
        data.batch_into(train, batch, &mut images);
        let mut moments = BatchMoments::default();
        network.forward(
            images_view(train, batch.len(), &images),
            StatisticsMode::BatchOnly,
            &mut moments,
        )?;
        for (sums, statistic) in sums.iter_mut().zip(network.statistics()) {
            let name = statistic.layer();
            let of_statistic = |(layer, _): &&(usize, _)| network.layers()[*layer].name == name;
            let Some((_, moments)) = moments.0.iter().find(of_statistic) else {
                continue;
            };
            let values = match statistic.role() {
                ParameterRole::RunningMean => &moments.mean,
                _ => &moments.variance,
            };
            for ((first, second), value) in sums.iter_mut().zip(values) {
                // As a running statistic holds it after one step from 0: so the numbers are those of earlier versions, to the bit.
                let value = f64::from(MOMENTUM * value) / f64::from(MOMENTUM);
                *first += weight * value;
                *second += weight * value * value;
            }
        }
    }

    let spread: Vec<(String, Vec<f64>)> = network
        .statistics()
        .iter()
        .zip(&sums)
        .filter(|(s, _)| s.role() == ParameterRole::RunningMean)
        .map(|(s, sums)| {
            let variance = sums
                .iter()
                .map(|(first, second)| (second - first * first).max(0.0));
            (s.layer().to_string(), variance.collect())
        })
        .collect();
    for (s, sums) in network.statistics_mut().into_iter().zip(&sums) {
        let between = match s.role() {
            ParameterRole::RunningVariance => spread.iter().find(|(layer, _)| layer == s.layer()),
            _ => None,
        };
        for (i, (value, (first, _))) in s.values_mut().iter_mut().zip(sums).enumerate() {
            *value = (first + between.map_or(0.0, |(_, v)| v[i])) as f32;
        }
    }
    Ok(())
}
