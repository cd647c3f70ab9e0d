//! What the claims are checked on: small typed lists, taken from the figures' tables and the geometry of single classes.

use std::collections::{BTreeMap, BTreeSet};

use mftma_data::ExampleGroup;

use crate::figures::{Study, geometry_stages};
use crate::stages::LayerGeometry;
use crate::table::Row;

/// What each claim needs, or why it is not there.
pub struct Inputs {
    /// Accuracies over training (figure 2).
    pub accuracy: Result<Vec<Accuracy>, String>,
    /// Geometry of single classes (figure 3).
    pub classes: Result<Vec<ClassValue>, String>,
    /// Networks with rewound layers (figure 4).
    pub rewinding: Result<Vec<Rewound>, String>,
    /// Networks of several widths (figure 4).
    pub widths: Result<Vec<WidthValue>, String>,
    /// Gradients by layer (figure 5).
    pub gradients: Result<Vec<GradientValue>, String>,
}

/// Accuracy of one example group after some epochs.
#[derive(Debug, Clone, PartialEq)]
pub struct Accuracy {
    /// Seed of the run.
    pub seed: u64,
    /// Epochs of training.
    pub epoch: usize,
    /// Example group.
    pub group: String,
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

/// Which layers were put back to an earlier epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rewinding {
    /// None: the trained network.
    None,
    /// One layer, by its place.
    Layer(usize),
    /// The last so many layers.
    Last(usize),
}

impl std::fmt::Display for Rewinding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::None => f.write_str("nothing rewound"),
            Self::Layer(index) => write!(f, "layer {index} rewound"),
            Self::Last(count) => write!(f, "the last {count} layers rewound"),
        }
    }
}

/// Accuracy of a network with rewound layers.
#[derive(Debug, Clone, PartialEq)]
pub struct Rewound {
    /// Seed of the run.
    pub seed: u64,
    /// What was rewound.
    pub what: Rewinding,
    /// To which epoch.
    pub epoch: usize,
    /// Example group.
    pub group: String,
    /// Fraction of examples.
    pub accuracy: f64,
    /// Its standard error over examples.
    pub standard_error: f64,
}

/// One measure of a network of some width.
#[derive(Debug, Clone, PartialEq)]
pub struct WidthValue {
    /// Seed of the run.
    pub seed: u64,
    /// Width.
    pub width: usize,
    /// `error`, `dimension`, `radius` or `centre_correlation`.
    pub measure: String,
    /// Its value.
    pub value: f64,
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
    /// `unpermuted`, `permuted` or `all`.
    pub group: String,
    /// What was done to the images.
    pub condition: String,
    /// `mean_norm`, `example_norm`, or `parameters` (their number).
    pub measure: String,
    /// Its value.
    pub value: f64,
}

impl Inputs {
    /// The inputs of a study. `table` gives the table of a figure, or why there is none.
    pub fn of<'a>(study: &Study<'_>, table: impl Fn(&str) -> Result<&'a [Row], String>) -> Self {
        Self {
            accuracy: table("fig2").and_then(accuracy),
            classes: table("fig3").and_then(|_| classes(study)),
            rewinding: table("fig4").and_then(rewinding),
            widths: table("fig4").and_then(widths),
            gradients: table("fig5").and_then(gradients),
        }
    }
}

/// Geometry of single classes from the stages behind figure 3.
fn classes(study: &Study<'_>) -> Result<Vec<ClassValue>, String> {
    let mut values = Vec::new();
    for run in &study.runs {
        let stages = geometry_stages(run, study, &ExampleGroup::ALL)
            .map_err(|error| format!("{error:#}"))?;
        for stage in stages {
            let layers: Vec<LayerGeometry> = study
                .cache
                .output(&stage)
                .map_err(|error| format!("{error:#}"))?;
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
    some("manifolds in figure 3", values.into_iter())
}

/// Accuracies from the table of figure 2.
fn accuracy(rows: &[Row]) -> Result<Vec<Accuracy>, String> {
    some(
        "accuracies in figure 2",
        rows.iter()
            .filter(|row| row.measure == "accuracy")
            .map(|row| Accuracy {
                seed: row.seed,
                epoch: row.epoch,
                group: row.group.clone(),
                value: row.value,
            }),
    )
}

/// Rewound networks from the table of figure 4.
fn rewinding(rows: &[Row]) -> Result<Vec<Rewound>, String> {
    let rewound = rows
        .iter()
        .filter(|row| row.measure == "accuracy")
        .filter_map(|row| {
            let condition = row.condition.as_deref()?;
            let what = match condition.strip_prefix("rewind ") {
                None if condition == "none" => Rewinding::None,
                None => return None,
                Some(what) => match what.strip_prefix("last ") {
                    Some(count) => Rewinding::Last(count.parse().ok()?),
                    None => Rewinding::Layer(row.layer_index?),
                },
            };
            Some(Rewound {
                seed: row.seed,
                what,
                epoch: row.epoch,
                group: row.group.clone(),
                accuracy: row.value,
                standard_error: row.standard_error?,
            })
        });
    some("rewound networks in figure 4", rewound)
}

/// The sweep over widths from the table of figure 4.
///
/// Where several layers were measured, the deepest is taken.
fn widths(rows: &[Row]) -> Result<Vec<WidthValue>, String> {
    let sweep = || {
        rows.iter()
            .filter(|row| row.condition.as_deref() == Some("double descent"))
    };
    let deepest = sweep().filter_map(|row| row.layer_index).max();
    some(
        "networks of several widths in figure 4",
        sweep()
            .filter(|row| row.layer_index.is_none() || row.layer_index == deepest)
            .map(|row| WidthValue {
                seed: row.seed,
                width: row.width,
                measure: row.measure.clone(),
                value: row.value,
            }),
    )
}

/// Gradients from the table of figure 5.
fn gradients(rows: &[Row]) -> Result<Vec<GradientValue>, String> {
    some(
        "gradients in figure 5",
        rows.iter().filter_map(|row| {
            Some(GradientValue {
                seed: row.seed,
                epoch: row.epoch,
                step: row.step?,
                layer_index: row.layer_index?,
                group: row.group.clone(),
                condition: row.condition.clone()?,
                measure: row.measure.clone(),
                value: row.value,
            })
        }),
    )
}

fn some<T>(what: &str, values: impl Iterator<Item = T>) -> Result<Vec<T>, String> {
    let values: Vec<T> = values.collect();
    if values.is_empty() {
        return Err(format!("there are no {what}"));
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
pub struct Epochs(BTreeMap<u64, (usize, usize)>);

impl Epochs {
    /// For the reader: `epoch 0 to 10`, with several runs' last epochs where they differ.
    pub fn describe(&self) -> String {
        let ends: BTreeSet<usize> = self.0.values().map(|(_, to)| *to).collect();
        let ends: Vec<String> = ends.iter().map(usize::to_string).collect();
        format!("epoch 0 to {}", ends.join(" or "))
    }
}

/// From initialization to the measured epoch at which test accuracy is highest. That must not be the last: otherwise there
/// is no epoch before memorization to speak of.
pub fn early_epochs(accuracy: &[Accuracy], classes: &[ClassValue]) -> Result<Epochs, String> {
    spans(classes, |seed, epochs| {
        let peak = epoch_of_highest_test_accuracy(accuracy, seed, &epochs[1..])?;
        if Some(&peak) == epochs.last() {
            return Err(format!(
                "test accuracy of run {seed} was highest at its last measured epoch, {peak}: it never fell, so there is no early phase \
                 to tell apart"
            ));
        }
        Ok(peak)
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
            .find(|row| row.seed == seed && row.epoch == last && row.group == "permuted")
            .ok_or_else(|| format!("figure 2 lacks the accuracy of run {seed} at epoch {last}"))?;
        if permuted.value < MEMORIZED {
            return Err(format!(
                "run {seed} ended with {:.0} % accuracy on permuted labels: too little was memorized to say where",
                100.0 * permuted.value
            ));
        }
        Ok(last)
    })
}

fn spans(
    classes: &[ClassValue],
    end: impl Fn(u64, &[usize]) -> Result<usize, String>,
) -> Result<Epochs, String> {
    let mut measured: BTreeMap<u64, BTreeSet<usize>> = BTreeMap::new();
    for value in classes {
        measured.entry(value.seed).or_default().insert(value.epoch);
    }
    measured
        .into_iter()
        .map(|(seed, epochs)| {
            let epochs: Vec<usize> = epochs.into_iter().collect();
            if epochs.len() < 2 || epochs[0] != 0 {
                return Err(format!(
                    "run {seed} was not measured both at initialization and later"
                ));
            }
            Ok((seed, (0, end(seed, &epochs)?)))
        })
        .collect::<Result<_, _>>()
        .map(Epochs)
}

/// The one of `epochs` at which a run's test accuracy was highest; the first of several.
pub fn epoch_of_highest_test_accuracy(
    accuracy: &[Accuracy],
    seed: u64,
    epochs: &[usize],
) -> Result<usize, String> {
    let mut best: Option<&Accuracy> = None;
    for row in accuracy {
        let counts = row.seed == seed && row.group == "test" && epochs.contains(&row.epoch);
        let higher = best.is_none_or(|best| {
            row.value > best.value || (row.value == best.value && row.epoch < best.epoch)
        });
        if counts && higher {
            best = Some(row);
        }
    }
    best.map(|row| row.epoch).ok_or_else(|| {
        format!("figure 2 lacks the test accuracy of run {seed} at the epochs measured")
    })
}

/// For each hidden layer, in order: the logarithm of the ratio of each class's value at the end to that at the start,
/// averaged over runs. The input is left out: it does not change.
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
                for (&seed, &(from, to)) in &epochs.0 {
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
                Ok(sum / epochs.0.len() as f64)
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

    fn row(condition: &str, layer_index: Option<usize>) -> Row {
        Row {
            profile: "test".into(),
            dataset: "glyphs".into(),
            architecture: "vgg11".into(),
            width: 4,
            seed: 1,
            layer_index,
            layer: layer_index.map(|index| format!("conv{index}")),
            epoch: 5,
            step: None,
            condition: Some(condition.into()),
            group: "test".into(),
            measure: "accuracy".into(),
            value: 0.5,
            standard_error: Some(0.1),
            standard_error_vectors: None,
            count: 10,
        }
    }

    #[test]
    fn rewound_networks_are_read_from_the_table() {
        let rows = [
            row("none", None),
            row("rewind conv3", Some(3)),
            row("rewind last 2", None),
            row("double descent", None),
        ];
        let found: Vec<Rewinding> = rewinding(&rows)
            .unwrap()
            .iter()
            .map(|row| row.what)
            .collect();
        assert_eq!(
            found,
            [Rewinding::None, Rewinding::Layer(3), Rewinding::Last(2)]
        );
        assert!(rewinding(&rows[3..]).is_err());
    }

    #[test]
    fn the_sweep_over_widths_takes_the_deepest_layer() {
        let rows = [
            row("none", None),
            row("double descent", None),
            row("double descent", Some(1)),
            Row {
                value: 7.0,
                ..row("double descent", Some(2))
            },
        ];
        let values: Vec<f64> = widths(&rows).unwrap().iter().map(|row| row.value).collect();
        assert_eq!(values, [0.5, 7.0]);
    }

    #[test]
    fn gradients_need_a_step() {
        assert!(gradients(&[row("raw", Some(1))]).is_err());
        let with_step = Row {
            step: Some(3),
            ..row("raw", Some(1))
        };
        assert_eq!(gradients(&[with_step]).unwrap()[0].step, 3);
    }

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
