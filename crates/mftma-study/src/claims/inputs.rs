//! What the claims are checked on: small typed lists, taken from the outputs of stages.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use anyhow::{Context, Result};
use mftma_data::ExampleGroup;
use mftma_gradients::GradientGroup;
pub use mftma_gradients::Measure as GradientMeasure;

use super::{Gap, Part};
use crate::cache::Stage;
use crate::stages::{
    GradientStage, LayerGeometry, REWOUND_GROUPS, Rewindings, Rewound, TrainStage, TrainingRecord,
};
use crate::study::Study;
use crate::table::GradientInputs;

/// Stages, each after those it builds on.
pub type Stages = Vec<Box<dyn Stage>>;

/// Accuracy of one example group after some epochs.
#[derive(Debug, Clone, PartialEq)]
pub struct Accuracy {
    /// Seed of the run.
    pub seed: u64,
    /// Epochs of training.
    pub epoch: usize,
    /// Example group.
    pub group: ExampleGroup,
    /// Fraction of examples.
    pub value: f64,
}

/// The geometry of one class in one layer.
#[derive(Debug, Clone, PartialEq)]
pub struct ClassValue {
    /// Seed of the run.
    pub seed: u64,
    /// Example group.
    pub group: ExampleGroup,
    /// Epochs of training.
    pub epoch: usize,
    /// Place of the layer in the network; 0 is the input.
    pub layer_index: usize,
    /// Its name.
    pub layer: String,
    /// Which class.
    pub class: usize,
    /// α_M.
    pub capacity: f64,
    /// R_M.
    pub radius: f64,
    /// D_M.
    pub dimension: f64,
}

/// Accuracy of a network with rewound layers.
#[derive(Debug, Clone, PartialEq)]
pub struct RewoundAccuracy {
    /// Seed of the run.
    pub seed: u64,
    /// What was rewound.
    pub what: Rewound,
    /// To which epoch.
    pub epoch: usize,
    /// Example group.
    pub group: ExampleGroup,
    /// Fraction of examples.
    pub accuracy: f64,
    /// Its standard error over examples.
    pub standard_error: f64,
}

/// A network of some width at the end of its training.
#[derive(Debug, Clone, PartialEq)]
pub struct NetworkOfWidth {
    /// Seed of the run.
    pub seed: u64,
    /// Width.
    pub width: usize,
    /// Fraction of test examples that it gets wrong.
    pub error: f64,
    /// R_M of the test examples' manifolds.
    pub radius: f64,
    /// D_M.
    pub dimension: f64,
    /// ρ_centre.
    pub centre_correlation: f64,
}

/// One number about a layer's gradient.
#[derive(Debug, Clone, PartialEq)]
pub struct GradientValue {
    /// Seed of the run.
    pub seed: u64,
    /// Epoch that the step belongs to, from 0.
    pub epoch: usize,
    /// Optimiser steps taken before.
    pub step: usize,
    /// Place of the layer among those with parameters.
    pub layer_index: usize,
    /// Whose gradient.
    pub group: GradientGroup,
    /// On which inputs.
    pub inputs: GradientInputs,
    /// What of it.
    pub measure: GradientMeasure,
    /// Its value.
    pub value: f64,
}

/// The trainings of the main runs and the geometry of some groups at all their measured epochs.
pub fn trained_and_measured(study: &Study<'_>, groups: &[ExampleGroup]) -> Result<Stages> {
    let mut stages = Stages::new();
    for run in &study.runs {
        stages.push(Box::new(TrainStage::new(Rc::clone(run))));
        for stage in study.geometry(run, groups)? {
            stages.push(Box::new(stage));
        }
    }
    Ok(stages)
}

/// The trainings of the main runs and their rewindings.
pub fn trained_and_rewound(study: &Study<'_>) -> Result<Stages> {
    let mut stages = Stages::new();
    for run in &study.runs {
        stages.push(Box::new(TrainStage::new(Rc::clone(run))));
        for stage in study.rewindings(run)? {
            stages.push(Box::new(stage));
        }
    }
    Ok(stages)
}

/// The networks of double descent and their geometry.
pub fn widths_measured(study: &Study<'_>) -> Result<Stages> {
    let mut stages = Stages::new();
    for network in study.networks_of_widths()? {
        stages.push(Box::new(TrainStage::new(Rc::clone(&network))));
        stages.push(Box::new(Study::geometry_of_width(&network)));
    }
    Ok(stages)
}

/// The gradients of every run of their own.
pub fn gradients_measured(study: &Study<'_>) -> Result<Stages> {
    let stage = |run| Box::new(GradientStage::new(run)) as Box<dyn Stage>;
    Ok(study.gradient_runs()?.into_iter().map(stage).collect())
}

/// Accuracies over training.
pub fn accuracy(study: &Study<'_>) -> Result<Vec<Accuracy>> {
    let mut values = Vec::new();
    for run in &study.runs {
        let record: TrainingRecord = study.cache.output(&TrainStage::new(Rc::clone(run)))?;
        for metrics in &record.history {
            values.extend(metrics.groups.iter().map(|(&group, score)| Accuracy {
                seed: run.seed,
                epoch: metrics.epoch,
                group,
                value: score.accuracy(),
            }));
        }
    }
    Ok(values)
}

/// Geometry of single classes.
pub fn classes(study: &Study<'_>, groups: &[ExampleGroup]) -> Result<Vec<ClassValue>> {
    let mut values = Vec::new();
    for run in &study.runs {
        for stage in study.geometry(run, groups)? {
            let layers: Vec<LayerGeometry> = study.cache.output(&stage)?;
            for layer in &layers {
                let manifolds = layer
                    .geometry
                    .iter()
                    .flat_map(|geometry| &geometry.manifolds);
                values.extend(manifolds.map(|manifold| ClassValue {
                    seed: run.seed,
                    group: stage.group(),
                    epoch: stage.epoch(),
                    layer_index: layer.layer_index,
                    layer: layer.layer.clone(),
                    class: manifold.manifold,
                    capacity: manifold.capacity.value,
                    radius: manifold.radius.value,
                    dimension: manifold.dimension.value,
                }));
            }
        }
    }
    Ok(values)
}

/// Accuracies of rewound networks.
pub fn rewound(study: &Study<'_>) -> Result<Vec<RewoundAccuracy>> {
    let mut values = Vec::new();
    for run in &study.runs {
        for stage in study.rewindings(run)? {
            let rewindings: Rewindings = study.cache.output(&stage)?;
            for (what, scores) in &rewindings.scores {
                let scores = REWOUND_GROUPS.into_iter().zip(scores);
                values.extend(scores.filter_map(|(group, score)| {
                    let score = score.as_ref()?;
                    Some(RewoundAccuracy {
                        seed: run.seed,
                        what: *what,
                        epoch: stage.epoch(),
                        group,
                        accuracy: score.accuracy(),
                        standard_error: score.standard_error(),
                    })
                }));
            }
        }
    }
    Ok(values)
}

/// The networks of double descent whose layer has a geometry.
pub fn networks_of_widths(study: &Study<'_>) -> Result<Vec<NetworkOfWidth>> {
    let mut values = Vec::new();
    for network in study.networks_of_widths()? {
        let train = TrainStage::new(Rc::clone(&network));
        let record: TrainingRecord = study.cache.output(&train)?;
        let end = record.history.last().context("the training has no epoch")?;
        let test = end.groups.get(&ExampleGroup::Test);
        let layers: Vec<LayerGeometry> = study.cache.output(&Study::geometry_of_width(&network))?;
        let geometry = layers.last().and_then(|layer| layer.geometry.as_ref());
        if let (Some(test), Some(geometry)) = (test, geometry) {
            values.push(NetworkOfWidth {
                seed: network.seed,
                width: network.settings.network.width,
                error: 1.0 - test.accuracy(),
                radius: geometry.radius.value,
                dimension: geometry.dimension.value,
                centre_correlation: geometry.centre_correlation,
            });
        }
    }
    Ok(values)
}

/// Gradients by layer and step.
pub fn gradients(study: &Study<'_>) -> Result<Vec<GradientValue>> {
    let mut values = Vec::new();
    for run in study.gradient_runs()? {
        let of_epoch = GradientStage::steps_per_epoch(&run);
        let measured = study.cache.output(&GradientStage::new(Rc::clone(&run)))?;
        for row in measured {
            values.push(GradientValue {
                seed: row.seed,
                epoch: row.step as usize / of_epoch,
                step: row.step as usize,
                layer_index: row.layer_index,
                group: row.group,
                inputs: row.inputs,
                measure: row.measure,
                value: row.value,
            });
        }
    }
    Ok(values)
}

/// Capacity of a class.
pub fn capacity(value: &ClassValue) -> f64 {
    value.capacity
}

/// Radius of a class.
pub fn radius(value: &ClassValue) -> f64 {
    value.radius
}

/// Dimension of a class.
pub fn dimension(value: &ClassValue) -> f64 {
    value.dimension
}

/// The early layers: the first half \[D\].
pub fn early<T>(layers: &[T]) -> &[T] {
    &layers[..layers.len() / 2]
}

/// The final layers: the last quarter, rounded up \[D\].
pub fn final_layers<T>(layers: &[T]) -> &[T] {
    &layers[layers.len() - layers.len().div_ceil(4)..]
}

/// Between which epochs each run's values are compared.
pub struct Epochs {
    /// First and last of each run.
    of_run: BTreeMap<u64, (usize, usize)>,
    /// Why a claim about them makes no sense here, where that is so.
    objection: Option<String>,
}

impl Epochs {
    /// The parts, unless there is an objection.
    pub fn granted(self, parts: Vec<Part>) -> Result<Vec<Part>, Gap> {
        match self.objection {
            Some(why) => Err(Gap::Premise(why)),
            None => Ok(parts),
        }
    }

    /// For the reader: `epoch 0 to 10`, with several runs' last epochs where they differ.
    pub fn describe(&self) -> String {
        let ends: BTreeSet<usize> = self.of_run.values().map(|(_, to)| *to).collect();
        let ends: Vec<String> = ends.iter().map(usize::to_string).collect();
        format!("epoch 0 to {}", ends.join(" or "))
    }
}

/// From initialization to the measured epoch at which test accuracy is highest. That must not be the last: otherwise there
/// is no epoch before memorization to speak of.
pub fn early_epochs(accuracy: &[Accuracy], classes: &[ClassValue]) -> Result<Epochs, String> {
    spans(classes, |seed, epochs| {
        let peak = epoch_of_highest_test_accuracy(accuracy, seed, &epochs[1..])?;
        let objection = (Some(&peak) == epochs.last()).then(|| {
            format!(
                "test accuracy of run {seed} was highest at its last measured epoch, {peak}: it never fell, so there is no early phase \
                 to tell apart"
            )
        });
        Ok((peak, objection))
    })
}

/// Accuracy on permuted labels from which they count as memorized \[D\].
const MEMORIZED: f64 = 0.5;

/// From initialization to the last measured epoch, by which at least half of the permuted labels must have been memorized.
pub fn last_epochs(accuracy: &[Accuracy], classes: &[ClassValue]) -> Result<Epochs, String> {
    spans(classes, |seed, epochs| {
        let last = epochs[epochs.len() - 1];
        let permuted = accuracy
            .iter()
            .find(|row| row.seed == seed && row.epoch == last && row.group == ExampleGroup::Permuted)
            .ok_or_else(|| {
                format!("the training of run {seed} lacks the accuracy on permuted labels at epoch {last}")
            })?;
        let objection = (permuted.value < MEMORIZED).then(|| {
            format!(
                "run {seed} ended with {:.0} % accuracy on permuted labels: too little was memorized to say where",
                100.0 * permuted.value
            )
        });
        Ok((last, objection))
    })
}

fn spans(
    classes: &[ClassValue],
    end: impl Fn(u64, &[usize]) -> Result<(usize, Option<String>), String>,
) -> Result<Epochs, String> {
    let mut measured: BTreeMap<u64, BTreeSet<usize>> = BTreeMap::new();
    for value in classes {
        measured.entry(value.seed).or_default().insert(value.epoch);
    }
    if measured.is_empty() {
        return Err("no manifolds were measured".into());
    }
    let mut found = Epochs {
        of_run: BTreeMap::new(),
        objection: None,
    };
    for (seed, epochs) in measured {
        let epochs: Vec<usize> = epochs.into_iter().collect();
        if epochs.len() < 2 || epochs[0] != 0 {
            return Err(format!(
                "run {seed} was not measured both at initialization and later"
            ));
        }
        let (end, objection) = end(seed, &epochs)?;
        found.of_run.insert(seed, (0, end));
        found.objection = found.objection.or(objection);
    }
    Ok(found)
}

/// The one of `epochs` at which a run's test accuracy was highest; the first of several.
pub fn epoch_of_highest_test_accuracy(
    accuracy: &[Accuracy],
    seed: u64,
    epochs: &[usize],
) -> Result<usize, String> {
    let mut best: Option<&Accuracy> = None;
    for row in accuracy {
        let counts =
            row.seed == seed && row.group == ExampleGroup::Test && epochs.contains(&row.epoch);
        let higher = best.is_none_or(|best| {
            row.value > best.value || (row.value == best.value && row.epoch < best.epoch)
        });
        if counts && higher {
            best = Some(row);
        }
    }
    best.map(|row| row.epoch).ok_or_else(|| {
        format!("the training of run {seed} lacks the test accuracy at the epochs measured")
    })
}

/// For each hidden layer, in order: the logarithm of the ratio of each class's value at the end to that at the start,
/// averaged over runs. The input is left out: it does not change.
///
/// Poolings count as layers \[D\]: the claims speak of the layers of the paper's Figure 3, whose twenty places (0 to 19) hold VGG-16's
/// input, thirteen convolutions, five poolings and last linear layer. Of VGG-16, the first half of the hidden layers then holds the
/// same convolutions (`conv1_1` to `conv3_3`) as without poolings, and the last quarter too (`conv5_1` on).
pub fn log_changes(
    classes: &[ClassValue],
    group: ExampleGroup,
    measure: fn(&ClassValue) -> f64,
    epochs: &Epochs,
) -> Result<Vec<Vec<f64>>, String> {
    let hidden = || {
        classes
            .iter()
            .filter(|v| v.group == group && v.layer_index > 0)
    };
    let values: BTreeMap<(u64, usize, usize, usize), f64> = hidden()
        .map(|v| ((v.seed, v.epoch, v.layer_index, v.class), measure(v)))
        .collect();
    let layers: BTreeMap<usize, &str> = hidden()
        .map(|v| (v.layer_index, v.layer.as_str()))
        .collect();
    let members: BTreeSet<usize> = hidden().map(|v| v.class).collect();
    if layers.len() < 4 {
        return Err(format!(
            "{} hidden layers; at least 4 are needed to tell early from late",
            layers.len()
        ));
    }
    layers
        .into_iter()
        .map(|(layer, name)| {
            let change = |&class: &usize| {
                let mut sum = 0.0;
                for (&seed, &(from, to)) in &epochs.of_run {
                    let logarithm = |epoch| {
                        values
                            .get(&(seed, epoch, layer, class))
                            .filter(|value| **value > 0.0)
                            .map(|value| value.ln())
                            .ok_or_else(|| {
                                format!("run {seed} has no geometry of {group} examples in {name} at epoch {epoch}")
                            })
                    };
                    sum += logarithm(to)? - logarithm(from)?;
                }
                Ok(sum / epochs.of_run.len() as f64)
            };
            members.iter().map(change).collect()
        })
        .collect()
}

/// The mean over the final layers, class by class.
pub fn mean_of_final(columns: &[Vec<f64>]) -> Vec<f64> {
    let last = final_layers(columns);
    (0..columns[0].len())
        .map(|class| last.iter().map(|column| column[class]).sum::<f64>() / last.len() as f64)
        .collect()
}

/// Each early layer less a share of the final layers' mean, class by class.
pub fn contrasts(columns: &[Vec<f64>], last: &[f64], share: f64) -> Vec<Vec<f64>> {
    early(columns)
        .iter()
        .map(|column| {
            column
                .iter()
                .zip(last)
                .map(|(value, last)| value - share * last)
                .collect()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn early_and_final_layers_do_not_meet() {
        for n in 4..30 {
            let layers: Vec<usize> = (0..n).collect();
            assert!(early(&layers).last() < final_layers(&layers).first());
            assert!(!early(&layers).is_empty() && !final_layers(&layers).is_empty());
        }
        assert_eq!(final_layers(&[1, 2, 3, 4, 5]), [4, 5]);
    }
}
