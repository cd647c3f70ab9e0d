//! From measurements to statements: tidy rows, intervals over seeds, early against late layers, the ablation's verdict.

use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, StudentsT};

use crate::measure::{Contributions, GradientGroup, LayerRatio};
use crate::predict::Prediction;

/// One number of a study, for tables with a row per layer, group and measure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// What was done to the inputs: a name of [`InputAblation`](crate::InputAblation).
    pub inputs: String,
    /// Seed of the network and the permutation.
    pub seed: u64,
    /// Optimiser steps taken before the measurement; 0 at initialization.
    pub step: u64,
    /// Position of the layer among those with parameters, from 0.
    pub layer_index: usize,
    /// Layer name.
    pub layer: String,
    /// Group of examples.
    pub group: GradientGroup,
    /// Number of examples in the group.
    pub examples: usize,
    /// Of [`rows`]: `summed_norm`, `mean_norm`, `example_norm`, `coherence`, `noise_floor`, `share`, `cosine_with_total`,
    /// `cosine_unpermuted_permuted` (on both groups), `cosine_with_unpermuted` (restored), `signal_to_noise`, `ratio` (on
    /// the permuted group: its `mean_norm` over the unpermuted one's), or `parameters` (on all: how many the layer has). Of [`prediction_rows`]: `weight_norm`,
    /// `predicted_norm`, `predicted_cosine`, `predicted_floor`, `offset_norm`, `leading_error`.
    pub measure: String,
    /// The value; norms in nats per unit of parameter.
    pub value: f64,
    /// Standard error over the drawn examples, where the measure has one.
    pub standard_error: Option<f64>,
}

/// All rows of one measurement.
pub fn rows(contributions: &Contributions, inputs: &str, seed: u64, step: u64) -> Vec<Row> {
    let ratios = contributions.ratios();
    let mut out = Vec::new();
    for c in &contributions.rows {
        let row = Row {
            inputs: inputs.to_owned(),
            seed,
            step,
            layer_index: c.layer_index,
            layer: c.layer.clone(),
            group: c.group,
            examples: c.examples,
            measure: String::new(),
            value: f64::NAN,
            standard_error: None,
        };
        let with_other = match c.group {
            GradientGroup::All => None,
            GradientGroup::Unpermuted | GradientGroup::Permuted => {
                Some("cosine_unpermuted_permuted")
            }
            GradientGroup::Restored => Some("cosine_with_unpermuted"),
        };
        let ratio = ratios
            .iter()
            .find(|of| c.group == GradientGroup::Permuted && of.layer == c.layer)
            .map(|of| of.ratio)
            .filter(|ratio| ratio.is_finite());
        // How much of the examples' pull survives the sum: 1 if all pull alike, about 1/√n if they cancel.
        let coherence = c
            .example_norm
            .filter(|(mean, _)| *mean > 0.0)
            .map(|(mean, _)| c.mean_norm / mean);
        let values = [
            ("summed_norm", Some(c.sum_norm)),
            ("mean_norm", Some(c.mean_norm)),
            ("coherence", coherence),
            ("noise_floor", c.noise_floor()),
            ("share", Some(c.share)),
            ("cosine_with_total", Some(c.cosine_with_total)),
            (
                with_other.unwrap_or_default(),
                with_other.map(|_| c.cosine_with_other),
            ),
            ("signal_to_noise", Some(c.signal_to_noise)),
            ("ratio", ratio),
            (
                "parameters",
                (c.group == GradientGroup::All).then_some(c.parameters as f64),
            ),
        ];
        extend(&mut out, &row, &values);
        out.extend(c.example_norm.map(|(mean, error)| Row {
            measure: "example_norm".to_owned(),
            value: mean,
            standard_error: Some(error),
            ..row
        }));
    }
    out
}

/// All rows of predictions and what they are compared with.
pub fn prediction_rows(predictions: &[Prediction], inputs: &str, seed: u64, step: u64) -> Vec<Row> {
    let mut out = Vec::new();
    for p in predictions {
        let row = Row {
            inputs: inputs.to_owned(),
            seed,
            step,
            layer_index: p.layer_index,
            layer: p.layer.clone(),
            group: p.group,
            examples: p.examples,
            measure: String::new(),
            value: f64::NAN,
            standard_error: None,
        };
        let values = [
            ("weight_norm", Some(p.measured_norm)),
            ("predicted_norm", Some(p.predicted_norm)),
            ("predicted_cosine", Some(p.predicted_cosine)),
            ("predicted_floor", Some(p.noise_floor)),
            ("offset_norm", p.offset_norm),
            ("leading_error", Some(p.leading_error)),
        ];
        extend(&mut out, &row, &values);
    }
    out
}

/// One row like `like` for every value that is there.
fn extend(out: &mut Vec<Row>, like: &Row, values: &[(&str, Option<f64>)]) {
    out.extend(values.iter().filter_map(|&(measure, value)| {
        Some(Row {
            measure: measure.to_owned(),
            value: value?,
            ..like.clone()
        })
    }));
}

/// A mean over seeds with its 95 % interval (Student's t).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Number of values.
    pub n: usize,
    /// Their mean.
    pub mean: f64,
    /// Standard error of the mean; 0 for a single value.
    pub standard_error: f64,
    /// Lower end; −∞ for a single value.
    pub low: f64,
    /// Upper end; +∞ for a single value.
    pub high: f64,
}

impl Interval {
    /// Interval of the mean of `values`; none for no value. A single value says nothing about spread: its interval is
    /// the whole line.
    pub fn of(values: &[f64]) -> Option<Self> {
        let n = values.len();
        if n == 0 {
            return None;
        }
        let mean = values.iter().sum::<f64>() / n as f64;
        if n == 1 {
            return Some(Self {
                n,
                mean,
                standard_error: 0.0,
                low: f64::NEG_INFINITY,
                high: f64::INFINITY,
            });
        }
        let freedom = n as f64 - 1.0;
        let square: f64 = values.iter().map(|v| (v - mean) * (v - mean)).sum();
        let standard_error = (square / freedom / n as f64).sqrt();
        let quantile =
            StudentsT::new(0.0, 1.0, freedom).map_or(f64::INFINITY, |t| t.inverse_cdf(0.975));
        let half = quantile * standard_error;
        Some(Self {
            n,
            mean,
            standard_error,
            low: mean - half,
            high: mean + half,
        })
    }
}

/// Rows that differ in nothing but the seed, taken together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// The first of the rows; its `seed`, `value` and `standard_error` are one seed's.
    pub row: Row,
    /// Mean over seeds with its interval.
    pub over_seeds: Interval,
}

/// Groups rows that agree in everything but the seed and gives each measure's interval over seeds. In the order in which
/// the combinations first appear.
pub fn over_seeds(rows: &[Row]) -> Vec<Summary> {
    let mut index = std::collections::HashMap::new();
    let mut groups: Vec<(&Row, Vec<f64>)> = Vec::new();
    for row in rows {
        let key = (
            &row.inputs,
            row.step,
            row.layer_index,
            &row.layer,
            row.group,
            &row.measure,
        );
        let at = *index.entry(key).or_insert_with(|| {
            groups.push((row, Vec::new()));
            groups.len() - 1
        });
        groups[at].1.push(row.value);
    }
    groups
        .into_iter()
        .filter_map(|(row, values)| {
            Some(Summary {
                row: row.clone(),
                over_seeds: Interval::of(&values)?,
            })
        })
        .collect()
}

/// Early against late layers at one state of a network: tells small gradients of single examples (vanishing) from large
/// ones that cancel in the sum. Claim 4 of the study rests on it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct DepthComparison {
    /// Geometric mean of ‖mean gradient‖/√parameters of the group over the first third of the layers, over the same of the
    /// last third.
    pub early_over_late: f64,
    /// The same for the mean norm of single examples' gradients: well below 1 means vanishing gradients.
    pub early_over_late_examples: f64,
    /// Geometric mean over the first third of ‖mean gradient‖ / mean ‖example gradient‖: well below 1 means cancellation.
    pub coherence_early: f64,
    /// The same over the last third.
    pub coherence_late: f64,
}

/// Compares the first third of the layers with the last for one group (at least one layer each). None where there are
/// fewer than two layers, no example norms were measured, or a gradient is zero.
pub fn compare_depths(
    contributions: &Contributions,
    group: GradientGroup,
) -> Option<DepthComparison> {
    let layers: Vec<_> = contributions
        .rows
        .iter()
        .filter(|row| row.group == group)
        .collect();
    if layers.len() < 2 {
        return None;
    }
    let third = (layers.len() / 3).max(1);
    let geometric = |range: &[&crate::Contribution],
                     f: &dyn Fn(&crate::Contribution) -> Option<f64>| {
        let logs: Option<Vec<f64>> = range
            .iter()
            .map(|row| f(row).filter(|v| *v > 0.0).map(f64::ln))
            .collect();
        logs.map(|logs| (logs.iter().sum::<f64>() / logs.len() as f64).exp())
    };
    let (early, late) = (&layers[..third], &layers[layers.len() - third..]);
    let mean = |row: &crate::Contribution| Some(row.mean_norm / (row.parameters as f64).sqrt());
    let single =
        |row: &crate::Contribution| Some(row.example_norm?.0 / (row.parameters as f64).sqrt());
    let coherence = |row: &crate::Contribution| Some(row.mean_norm / row.example_norm?.0);
    Some(DepthComparison {
        early_over_late: geometric(early, &mean)? / geometric(late, &mean)?,
        early_over_late_examples: geometric(early, &single)? / geometric(late, &single)?,
        coherence_early: geometric(early, &coherence)?,
        coherence_late: geometric(late, &coherence)?,
    })
}

/// Whether unpermuted examples still contribute more per example than permuted ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AdvantageVerdict {
    /// The whole interval lies below the threshold.
    Present,
    /// The whole interval lies at or above the threshold.
    Vanished,
    /// The interval holds the threshold.
    Undecided,
}

/// The advantage of unpermuted examples, over layers and seeds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Advantage {
    /// Interval over seeds of ln(ratio · √(n_P/n_U)), averaged over layers: 0 where both groups are nothing but noise of the
    /// same size.
    pub log_ratio: Interval,
    /// The verdict at [`Advantage::THRESHOLD`].
    pub verdict: AdvantageVerdict,
}

impl Advantage {
    /// ln 0.8 \[D\]: the advantage counts as gone when permuted examples contribute at least four fifths of what
    /// unpermuted ones do. Chosen before any run: 1 is the prediction without class means (equation 11), and the ratio of two
    /// noise norms over a few thousand parameters scatters by a few per cent.
    pub const THRESHOLD: f64 = -0.223_143_551_314_209_76;

    /// Judges the ratios of each seed ([`Contributions::ratios`]). None without seeds or layers.
    pub fn judge(seeds: &[Vec<LayerRatio>]) -> Option<Self> {
        let per_seed: Vec<f64> = seeds
            .iter()
            .filter(|layers| !layers.is_empty())
            .map(|layers| {
                let logs = layers.iter().map(|layer| {
                    let (unpermuted, permuted) = layer.examples;
                    layer.ratio.max(f64::MIN_POSITIVE).ln()
                        + 0.5 * (permuted as f64 / unpermuted as f64).ln()
                });
                logs.sum::<f64>() / layers.len() as f64
            })
            .collect();
        let log_ratio = Interval::of(&per_seed)?;
        let verdict = if log_ratio.high < Self::THRESHOLD {
            AdvantageVerdict::Present
        } else if log_ratio.low >= Self::THRESHOLD {
            AdvantageVerdict::Vanished
        } else {
            AdvantageVerdict::Undecided
        };
        Some(Self { log_ratio, verdict })
    }
}
