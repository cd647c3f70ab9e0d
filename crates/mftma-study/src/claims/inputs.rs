//! What the claims are checked on: small typed lists, taken from the outputs of stages.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use anyhow::Result;
use mftma::MeanEstimate;
use mftma_data::ExampleGroup;
use mftma_gradients::GradientGroup;
pub use mftma_gradients::Measure as GradientMeasure;
use mftma_train::Architecture;

use super::{Gap, Part};
use crate::cache::Stage;
use crate::profile::{DataSettings, Profile};
use crate::published::{self, Epoch, LAYERS, LayerPoint};
use crate::stages::{
    GeometryStage, GradientStage, LayerCapacities, LayerGeometry, LayerJoint, REWOUND_GROUPS,
    Rewindings, Rewound, TrainStage, TrainingRecord,
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

/// The rewound networks of one run.
#[derive(Debug, Clone, PartialEq)]
pub struct RewoundRun {
    /// Its seed.
    pub seed: u64,
    /// Places in the network of the layers that can be rewound, ascending; [`Rewound`] counts in these.
    pub places: Vec<usize>,
    /// What was rewound to which epoch.
    pub networks: Vec<RewoundAccuracy>,
}

/// Accuracy of a network with rewound layers.
#[derive(Debug, Clone, PartialEq)]
pub struct RewoundAccuracy {
    /// What was rewound.
    pub what: Rewound,
    /// To which epoch.
    pub epoch: usize,
    /// Example group.
    pub group: ExampleGroup,
    /// Fraction of examples.
    pub accuracy: f64,
    /// How much higher it is than the trained network's on the same examples, and its standard error over them.
    pub gain: (f64, f64),
}

/// A network of some width, at the best and at the final epoch of its training.
#[derive(Debug, Clone, PartialEq)]
pub struct NetworkOfWidth {
    /// Seed of the run.
    pub seed: u64,
    /// Width.
    pub width: usize,
    /// At the epoch of its highest test accuracy.
    pub best: WidthState,
    /// At the end.
    pub last: WidthState,
}

/// A network at one epoch.
#[derive(Debug, Clone, PartialEq)]
pub struct WidthState {
    /// Fraction of test examples that it gets right.
    pub accuracy: f64,
    /// R_M of the test examples' manifolds.
    pub radius: f64,
    /// D_M.
    pub dimension: f64,
    /// ρ_centre.
    pub centre_correlation: f64,
}

/// Logarithms of the capacities of one layer, each with its standard error.
#[derive(Debug, Clone, PartialEq)]
pub struct Capacities {
    /// Example group.
    pub group: ExampleGroup,
    /// Name of the layer.
    pub layer: String,
    /// By simulation, with the error over dichotomies and projections; none where these do not bound it.
    pub simulated: Option<(f64, f64)>,
    /// Mean-field, with the error over Gaussian vectors.
    pub mean_field: (f64, f64),
    /// Joint, likewise.
    pub joint: Option<(f64, f64)>,
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

/// The same, and the rewindings of the main runs.
pub fn measured_and_rewound(study: &Study<'_>, groups: &[ExampleGroup]) -> Result<Stages> {
    let mut stages = trained_and_measured(study, groups)?;
    for run in &study.runs {
        for stage in study.rewindings(run)? {
            stages.push(Box::new(stage));
        }
    }
    Ok(stages)
}

/// The training of the first run and its capacities by simulation and theory.
pub fn simulated(study: &Study<'_>) -> Result<Stages> {
    let mut stages: Stages = vec![Box::new(TrainStage::new(Rc::clone(&study.runs[0])))];
    for (simulated, joint) in study.simulations()? {
        stages.push(Box::new(simulated));
        stages.push(Box::new(joint));
    }
    Ok(stages)
}

/// The networks of double descent and their geometry at the best and the final epoch.
pub fn widths_measured(study: &Study<'_>) -> Result<Stages> {
    let mut stages = Stages::new();
    for network in study.networks_of_widths()? {
        stages.push(Box::new(TrainStage::new(Rc::clone(&network))));
        for stage in study.geometries_of_width(&network)? {
            stages.push(Box::new(stage));
        }
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

/// Whether the main experiment is that of the paper's figure 3, whose values then stand beside ours: VGG-16 on all of CIFAR-100, half of
/// the labels permuted.
pub fn as_in_figure3(study: &Study<'_>) -> bool {
    let settings = &study.profile.experiment;
    settings.network.architecture == Architecture::Vgg16
        && whole_cifar100(&settings.data)
        && settings.data.permuted_fraction == 0.5
}

/// Whether the networks of double descent are those of figure 4 C–E: ResNet-18 on all of CIFAR-100.
pub fn as_in_figure4(profile: &Profile) -> bool {
    let settings = &profile.double_descent.experiment;
    settings.network.architecture == Architecture::ResNet18 && whole_cifar100(&settings.data)
}

fn whole_cifar100(data: &DataSettings) -> bool {
    data.dataset == "cifar100" && data.classes >= 100 && data.train_per_class >= 500
}

/// Geometry of single classes.
pub fn classes(study: &Study<'_>, groups: &[ExampleGroup]) -> Result<Vec<ClassValue>> {
    let mut values = Vec::new();
    for run in &study.runs {
        for stage in study.geometry(run, groups)? {
            add_classes(study, run.seed, &stage, &mut values)?;
        }
    }
    Ok(values)
}

/// What stands beside the claims' own statistics: the paper's figure 3, and our classes measured as the paper must have done it.
#[derive(Debug, Clone, Default)]
pub struct Beside {
    /// The points of the figure; none where the main experiment is another one, or not all of it is measured so.
    pub points: Vec<LayerPoint>,
    /// By the conventions of the reference, at the best and at the last epoch.
    pub classes: Vec<ClassValue>,
    /// The best epoch of each run.
    pub best: BTreeMap<u64, usize>,
    /// The last.
    pub last: BTreeMap<u64, usize>,
}

impl Beside {
    /// What is there of some groups.
    pub fn of(study: &Study<'_>, groups: &[ExampleGroup]) -> Result<Self> {
        let mut found = Self::default();
        if !as_in_figure3(study) {
            return Ok(found);
        }
        for run in &study.runs {
            let Some(record) = study.record(run)? else {
                return Ok(Self::default());
            };
            found.best.insert(run.seed, record.best_epoch());
            found.last.insert(run.seed, record.last_epoch());
            for epoch in BTreeSet::from([record.best_epoch(), record.last_epoch()]) {
                for &group in groups {
                    let stage = GeometryStage::new(Rc::clone(run), epoch, group).by_reference();
                    if study.cache.status(&stage).must_run() {
                        return Ok(Self::default());
                    }
                    add_classes(study, run.seed, &stage, &mut found.classes)?;
                }
            }
        }
        found.points = published::figure3()?;
        Ok(found)
    }

    /// A value of the figure.
    pub fn published(
        &self,
        epoch: Epoch,
        measure: published::Measure,
        group: ExampleGroup,
        place: usize,
    ) -> Option<f64> {
        let wanted = (epoch, measure, group, place);
        let is_wanted = |p: &&LayerPoint| (p.epoch, p.measure, p.group, p.layer_index) == wanted;
        self.points.iter().find(is_wanted).map(|point| point.value)
    }

    /// Logarithm of the last over the best epoch's value of permuted manifolds, as a mean over those final layers of which the figure has
    /// both: the figure's, and ours class by class. None where it has none.
    pub fn late_change(
        &self,
        in_figure: published::Measure,
        measure: fn(&ClassValue) -> f64,
    ) -> Result<Option<(f64, Vec<f64>)>, String> {
        let group = ExampleGroup::Permuted;
        let places: Vec<usize> = (1..LAYERS.len()).collect();
        let logarithms = |place: &usize| {
            let at = |epoch| self.published(epoch, in_figure, group, *place);
            Some((*place, (at(Epoch::Last)? / at(Epoch::Best)?).ln()))
        };
        let read: Vec<(usize, f64)> = final_layers(&places)
            .iter()
            .filter_map(logarithms)
            .collect();
        if read.is_empty() {
            return Ok(None);
        }
        let at = |epochs| logs_at(&self.classes, group, measure, epochs);
        let (last, best) = (at(&self.last)?, at(&self.best)?);
        let changes: Vec<Vec<f64>> = last
            .iter()
            .zip(&best)
            .filter(|(last, _)| read.iter().any(|(place, _)| *place == last.place))
            .map(|(last, best)| less(&last.classes, &best.classes))
            .collect();
        let published = read.iter().map(|(_, change)| change).sum::<f64>() / read.len() as f64;
        Ok(Some((published, mean_column(&changes))))
    }
}

/// The mean of several columns, class by class.
pub fn mean_column(columns: &[Vec<f64>]) -> Vec<f64> {
    let mean = |class: usize| {
        columns.iter().map(|column| column[class]).sum::<f64>() / columns.len() as f64
    };
    (0..columns.first().map_or(0, Vec::len)).map(mean).collect()
}

fn add_classes(
    study: &Study<'_>,
    seed: u64,
    stage: &GeometryStage,
    values: &mut Vec<ClassValue>,
) -> Result<()> {
    let layers: Vec<LayerGeometry> = study.cache.output(stage)?;
    for layer in &layers {
        let manifolds = layer
            .geometry
            .iter()
            .flat_map(|geometry| &geometry.manifolds);
        values.extend(manifolds.map(|manifold| ClassValue {
            seed,
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
    Ok(())
}

/// Accuracies of rewound networks.
pub fn rewound(study: &Study<'_>) -> Result<Vec<RewoundRun>> {
    study
        .runs
        .iter()
        .map(|run| {
            let (mut places, mut networks) = (Vec::new(), Vec::new());
            for stage in study.rewindings(run)? {
                let rewindings: Rewindings = study.cache.output(&stage)?;
                for &(what, scores) in &rewindings.scores {
                    let scores = REWOUND_GROUPS.into_iter().zip(scores);
                    networks.extend(scores.filter_map(|(group, score)| {
                        let score = score?;
                        Some(RewoundAccuracy {
                            what,
                            epoch: stage.epoch(),
                            group,
                            accuracy: score.score.accuracy(),
                            gain: score.gain(),
                        })
                    }));
                }
                places = rewindings.layers.iter().map(|(place, _)| *place).collect();
            }
            Ok(RewoundRun {
                seed: run.seed,
                places,
                networks,
            })
        })
        .collect()
}

/// Capacities of the first run's layers.
pub fn capacities(study: &Study<'_>) -> Result<Vec<Capacities>> {
    let mut values = Vec::new();
    for (simulated, joint) in study.simulations()? {
        let layers: Vec<LayerCapacities> = study.cache.output(&simulated)?;
        let joints: Vec<LayerJoint> = study.cache.output(&joint)?;
        for (layer, joint) in layers.into_iter().zip(joints) {
            let [value, lower, upper] = layer.simulated;
            // Half the interval, which has the coverage of one standard error either way.
            let bounded = || Some((value?.ln(), (upper?.ln() - lower?.ln()) / 2.0));
            values.push(Capacities {
                group: simulated.group(),
                layer: layer.layer,
                simulated: bounded(),
                mean_field: logarithm(layer.mean_field),
                joint: joint.capacity.map(logarithm),
            });
        }
    }
    Ok(values)
}

/// The logarithm of a capacity, and its standard error over Gaussian vectors.
fn logarithm(capacity: MeanEstimate) -> (f64, f64) {
    let error = capacity.standard_error.unwrap_or(0.0);
    (capacity.value.ln(), error / capacity.value)
}

/// The networks of double descent whose layer has a geometry at both epochs.
pub fn networks_of_widths(study: &Study<'_>) -> Result<Vec<NetworkOfWidth>> {
    let mut values = Vec::new();
    for network in study.networks_of_widths()? {
        let train = TrainStage::new(Rc::clone(&network));
        let record: TrainingRecord = study.cache.output(&train)?;
        let (best, last) = (record.best_epoch(), record.last_epoch());
        let state = |epoch| -> Result<Option<WidthState>> {
            let stage = Study::geometry_of_width(&network, epoch);
            let layers: Vec<LayerGeometry> = study.cache.output(&stage)?;
            let geometry = layers.last().and_then(|layer| layer.geometry.as_ref());
            Ok(record
                .test_accuracy(epoch)
                .zip(geometry)
                .map(|(accuracy, geometry)| WidthState {
                    accuracy,
                    radius: geometry.radius.value,
                    dimension: geometry.dimension.value,
                    centre_correlation: geometry.centre_correlation,
                }))
        };
        if let (Some(best), Some(last)) = (state(best)?, state(last)?) {
            values.push(NetworkOfWidth {
                seed: network.seed,
                width: network.settings.network.width,
                best,
                last,
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

    /// The first epoch of each run.
    pub fn firsts(&self) -> BTreeMap<u64, usize> {
        let first = |(&seed, &(from, _)): (&u64, &(usize, usize))| (seed, from);
        self.of_run.iter().map(first).collect()
    }

    /// The last of each run.
    pub fn lasts(&self) -> BTreeMap<u64, usize> {
        let last = |(&seed, &(_, to)): (&u64, &(usize, usize))| (seed, to);
        self.of_run.iter().map(last).collect()
    }

    /// For the reader: `epoch 0 to 10`, with several runs' last epochs where they differ.
    pub fn describe(&self) -> String {
        format!("epoch 0 to {}", self.ends())
    }

    /// `epoch 10`.
    pub fn describe_last(&self) -> String {
        format!("epoch {}", self.ends())
    }

    fn ends(&self) -> String {
        let ends: BTreeSet<usize> = self.of_run.values().map(|(_, to)| *to).collect();
        let ends: Vec<String> = ends.iter().map(usize::to_string).collect();
        ends.join(" or ")
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

/// Logarithms of one measure in one layer.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerLogs {
    /// Place of the layer in the network; 0 is the input.
    pub place: usize,
    /// Its name.
    pub layer: String,
    /// One value per class, averaged over runs; the same classes in every layer and group.
    pub classes: Vec<f64>,
}

/// The logarithm of each class's value in every layer, the input too, at one epoch of each run, averaged over runs.
pub fn logs_at(
    classes: &[ClassValue],
    group: ExampleGroup,
    measure: fn(&ClassValue) -> f64,
    epochs: &BTreeMap<u64, usize>,
) -> Result<Vec<LayerLogs>, String> {
    let of_group = || classes.iter().filter(|v| v.group == group);
    let values: BTreeMap<(u64, usize, usize, usize), f64> = of_group()
        .map(|v| ((v.seed, v.epoch, v.layer_index, v.class), measure(v)))
        .collect();
    let layers: BTreeMap<usize, &str> = of_group()
        .map(|v| (v.layer_index, v.layer.as_str()))
        .collect();
    let members: BTreeSet<usize> = of_group().map(|v| v.class).collect();
    let of_layer = |(place, name): (usize, &str)| {
        let logarithm = |class| {
            let of_run = |(&seed, &epoch): (&u64, &usize)| {
                values
                    .get(&(seed, epoch, place, class))
                    .filter(|value| **value > 0.0)
                    .map(|value| value.ln())
                    .ok_or_else(|| {
                        format!("run {seed} has no geometry of {group} examples in {name} at epoch {epoch}")
                    })
            };
            let logs: Vec<f64> = epochs.iter().map(of_run).collect::<Result<_, _>>()?;
            Ok::<_, String>(logs.iter().sum::<f64>() / logs.len() as f64)
        };
        Ok(LayerLogs {
            place,
            layer: name.to_owned(),
            classes: members
                .iter()
                .copied()
                .map(logarithm)
                .collect::<Result<_, _>>()?,
        })
    };
    layers.into_iter().map(of_layer).collect()
}

/// One list less another, element by element.
pub fn less(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a - b).collect()
}

/// The hidden layers; at least 4. The input is left out: it does not change.
///
/// Poolings count as layers \[D\]: the claims speak of the layers of the paper's Figure 3, whose twenty places (0 to 19) hold VGG-16's
/// input, thirteen convolutions, five poolings and last linear layer. Of VGG-16, the first half of the hidden layers then holds the
/// same convolutions (`conv1_1` to `conv3_3`) as without poolings, and the last quarter too (`conv5_1` on).
pub fn hidden(layers: Vec<LayerLogs>) -> Result<Vec<LayerLogs>, String> {
    let hidden: Vec<LayerLogs> = layers.into_iter().filter(|layer| layer.place > 0).collect();
    if hidden.len() < 4 {
        return Err(format!(
            "{} hidden layers; at least 4 are needed to tell early from late",
            hidden.len()
        ));
    }
    Ok(hidden)
}

/// For each hidden layer, in order: the logarithm of the ratio of each class's value at the end to that at the start,
/// averaged over runs.
pub fn log_changes(
    classes: &[ClassValue],
    group: ExampleGroup,
    measure: fn(&ClassValue) -> f64,
    epochs: &Epochs,
) -> Result<Vec<Vec<f64>>, String> {
    let at = |epochs| hidden(logs_at(classes, group, measure, epochs)?);
    let (first, last) = (at(&epochs.firsts())?, at(&epochs.lasts())?);
    let change = |(last, first): (&LayerLogs, &LayerLogs)| less(&last.classes, &first.classes);
    Ok(last.iter().zip(&first).map(change).collect())
}

/// The mean over the final layers, class by class.
pub fn mean_of_final(columns: &[Vec<f64>]) -> Vec<f64> {
    mean_column(final_layers(columns))
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
