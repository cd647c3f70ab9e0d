//! From measurements to statements: tidy rows, intervals over seeds, early against late layers, the ablation's verdict.

use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, StudentsT};

use crate::measure::{Contributions, GradientGroup, LayerRatio};
use crate::predict::Prediction;

/// What the value of a [`Row`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// ‖Σ gradients‖ of the group.
    SummedNorm,
    /// The same over the number of its examples.
    MeanNorm,
    /// Mean norm of single examples' gradients.
    ExampleNorm,
    /// `MeanNorm` over `ExampleNorm`: 1 if all pull alike, about 1/√n if they cancel.
    Coherence,
    /// The norm that a mean of gradients of mean zero would have.
    NoiseFloor,
    /// Part of the total gradient along the total.
    Share,
    /// With the total gradient.
    CosineWithTotal,
    /// Of the unpermuted and the permuted group; on both.
    CosineUnpermutedPermuted,
    /// Of the restored with the unpermuted group.
    CosineWithUnpermuted,
    /// Mean gradient over its noise.
    SignalToNoise,
    /// On the permuted group: its `MeanNorm` over the unpermuted one's.
    Ratio,
    /// On all: how many parameters the layer has.
    Parameters,
    /// Of the gradient of the weights alone, beside which the prediction stands.
    WeightNorm,
    /// The same as predicted.
    PredictedNorm,
    /// Of the measured gradient with the predicted one.
    PredictedCosine,
    /// The predicted noise floor.
    PredictedFloor,
    /// Of what an offset common to all logits adds.
    OffsetNorm,
    /// Of the leading order, relative.
    LeadingError,
    /// `Ratio` as the moments of the pixels predict it ([`RatioModel`](crate::theory::RatioModel)).
    PredictedRatio,
}

impl Measure {
    /// All of them.
    pub const ALL: [Self; 19] = [
        Self::SummedNorm,
        Self::MeanNorm,
        Self::ExampleNorm,
        Self::Coherence,
        Self::NoiseFloor,
        Self::Share,
        Self::CosineWithTotal,
        Self::CosineUnpermutedPermuted,
        Self::CosineWithUnpermuted,
        Self::SignalToNoise,
        Self::Ratio,
        Self::Parameters,
        Self::WeightNorm,
        Self::PredictedNorm,
        Self::PredictedCosine,
        Self::PredictedFloor,
        Self::OffsetNorm,
        Self::LeadingError,
        Self::PredictedRatio,
    ];

    /// Name in tables, the same as in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::SummedNorm => "summed_norm",
            Self::MeanNorm => "mean_norm",
            Self::ExampleNorm => "example_norm",
            Self::Coherence => "coherence",
            Self::NoiseFloor => "noise_floor",
            Self::Share => "share",
            Self::CosineWithTotal => "cosine_with_total",
            Self::CosineUnpermutedPermuted => "cosine_unpermuted_permuted",
            Self::CosineWithUnpermuted => "cosine_with_unpermuted",
            Self::SignalToNoise => "signal_to_noise",
            Self::Ratio => "ratio",
            Self::Parameters => "parameters",
            Self::WeightNorm => "weight_norm",
            Self::PredictedNorm => "predicted_norm",
            Self::PredictedCosine => "predicted_cosine",
            Self::PredictedFloor => "predicted_floor",
            Self::OffsetNorm => "offset_norm",
            Self::LeadingError => "leading_error",
            Self::PredictedRatio => "predicted_ratio",
        }
    }
}

impl std::fmt::Display for Measure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// One number of a study, for tables with a row per layer, group and measure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row<I = String> {
    /// What the network was given, in the caller's words or type: the name of an [`InputAblation`](crate::InputAblation), say.
    pub inputs: I,
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
    /// What the value is.
    pub measure: Measure,
    /// The value; norms in nats per unit of parameter.
    pub value: f64,
    /// Standard error over the drawn examples, where the measure has one.
    pub standard_error: Option<f64>,
}

/// All rows of one measurement.
pub fn rows<I: Clone>(
    contributions: &Contributions,
    inputs: &I,
    seed: u64,
    step: u64,
) -> Vec<Row<I>> {
    let ratios = contributions.ratios();
    let mut out = Vec::new();
    for c in &contributions.rows {
        let row = Row {
            inputs: inputs.clone(),
            seed,
            step,
            layer_index: c.layer_index,
            layer: c.layer.clone(),
            group: c.group,
            examples: c.examples,
            // Each row gets its own below.
            measure: Measure::MeanNorm,
            value: f64::NAN,
            standard_error: None,
        };
        let (with_other, cosine) = match c.group {
            GradientGroup::Restored => (Measure::CosineWithUnpermuted, Some(c.cosine_with_other)),
            // The whole has no other.
            GradientGroup::All => (Measure::CosineUnpermutedPermuted, None),
            _ => (Measure::CosineUnpermutedPermuted, Some(c.cosine_with_other)),
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
            (Measure::SummedNorm, Some(c.sum_norm)),
            (Measure::MeanNorm, Some(c.mean_norm)),
            (Measure::Coherence, coherence),
            (Measure::NoiseFloor, c.noise_floor()),
            (Measure::Share, Some(c.share)),
            (Measure::CosineWithTotal, Some(c.cosine_with_total)),
            (with_other, cosine),
            (Measure::SignalToNoise, Some(c.signal_to_noise)),
            (Measure::Ratio, ratio),
            (
                Measure::Parameters,
                (c.group == GradientGroup::All).then_some(c.parameters as f64),
            ),
        ];
        extend(&mut out, &row, &values);
        out.extend(c.example_norm.map(|(mean, error)| Row {
            measure: Measure::ExampleNorm,
            value: mean,
            standard_error: Some(error),
            ..row
        }));
    }
    out
}

/// All rows of predictions and what they are compared with.
pub fn prediction_rows<I: Clone>(
    predictions: &[Prediction],
    inputs: &I,
    seed: u64,
    step: u64,
) -> Vec<Row<I>> {
    let mut out = Vec::new();
    for p in predictions {
        let row = Row {
            inputs: inputs.clone(),
            seed,
            step,
            layer_index: p.layer_index,
            layer: p.layer.clone(),
            group: p.group,
            examples: p.examples,
            // Each row gets its own below.
            measure: Measure::MeanNorm,
            value: f64::NAN,
            standard_error: None,
        };
        let values = [
            (Measure::WeightNorm, Some(p.measured_norm)),
            (Measure::PredictedNorm, Some(p.predicted_norm)),
            (Measure::PredictedCosine, Some(p.predicted_cosine)),
            (Measure::PredictedFloor, Some(p.noise_floor)),
            (Measure::OffsetNorm, p.offset_norm),
            (Measure::LeadingError, Some(p.leading_error)),
        ];
        extend(&mut out, &row, &values);
    }
    out
}

/// One row like `like` for every value that is there.
fn extend<I: Clone>(out: &mut Vec<Row<I>>, like: &Row<I>, values: &[(Measure, Option<f64>)]) {
    out.extend(values.iter().filter_map(|&(measure, value)| {
        Some(Row {
            measure,
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
pub struct Summary<I = String> {
    /// The first of the rows; its `seed`, `value` and `standard_error` are one seed's.
    pub row: Row<I>,
    /// Mean over seeds with its interval.
    pub over_seeds: Interval,
}

/// Groups rows that agree in everything but the seed and gives each measure's interval over seeds. In the order in which
/// the combinations first appear.
pub fn over_seeds<I: Clone + Eq + std::hash::Hash>(rows: &[Row<I>]) -> Vec<Summary<I>> {
    let mut index = std::collections::HashMap::new();
    let mut groups: Vec<(&Row<I>, Vec<f64>)> = Vec::new();
    for row in rows {
        let key = (
            &row.inputs,
            row.step,
            row.layer_index,
            &row.layer,
            row.group,
            row.measure,
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
