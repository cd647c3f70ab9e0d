//! Claim 4, not vanishing gradients: while the structure over depth forms, the gradients of early layers are not small
//! against those of late layers.
//!
//! The statistic is the norm of the gradient per square root of the layer's parameters, geometric mean over the first half of the
//! layers, over the same of the last quarter; the least over all steps measured. It is taken of the mean gradient, which
//! training follows, and of single examples' gradients: if only the first were small, examples would cancel, not vanish.

use std::collections::{BTreeMap, BTreeSet};

use mftma_gradients::GradientGroup;

use super::inputs::{self, GradientMeasure, GradientValue, Stages, early, final_layers};
use super::statistics::{End, mean, over_runs};
use super::{Claim, Gap, Part, Side};
use crate::study::Study;
use crate::table::GradientInputs;

/// A ratio below this is small \[D\].
const SMALL: f64 = 0.1;
const PARTS: usize = 2;

/// The claim.
pub struct NoVanishingGradients;

impl Claim for NoVanishingGradients {
    fn number(&self) -> usize {
        4
    }

    fn title(&self) -> &'static str {
        "Not vanishing gradients"
    }

    fn statement(&self) -> &'static str {
        "The gradients of early layers are not small against those of late layers while this structure forms."
    }

    fn stages(&self, study: &Study<'_>) -> anyhow::Result<Stages> {
        inputs::gradients_measured(study)
    }

    fn parts(&self, study: &Study<'_>) -> Result<Vec<Part>, Gap> {
        parts(&inputs::gradients(study)?)
    }
}

/// The parts of the claim.
fn parts(gradients: &[GradientValue]) -> Result<Vec<Part>, Gap> {
    let raw: Vec<&GradientValue> = gradients
        .iter()
        .filter(|value| value.inputs == GradientInputs::RAW && value.group == GradientGroup::All)
        .collect();
    let parameters: BTreeMap<usize, f64> = raw
        .iter()
        .filter(|value| value.measure == GradientMeasure::Parameters)
        .map(|value| (value.layer_index, value.value))
        .collect();
    [
        (GradientMeasure::MeanNorm, "of the mean gradient"),
        (GradientMeasure::ExampleNorm, "of single examples' gradients"),
    ]
    .into_iter()
    .map(|(measure, words)| {
        Ok(Part::new(
            format!("Norm {words} in early layers over that in final layers, per root of their parameters, least over steps (ratio)"),
            over_runs(&log_ratios(&raw, measure, &parameters)?, End::Least, PARTS)?.map(f64::exp),
            Side::Above,
            SMALL,
            "a tenth: vanishing gradients lose orders of magnitude over depth; within one order the layers still learn side by side",
        ))
    })
    .collect()
}

/// For each step: one logarithm per run.
fn log_ratios(
    raw: &[&GradientValue],
    measure: GradientMeasure,
    parameters: &BTreeMap<usize, f64>,
) -> Result<Vec<Vec<f64>>, String> {
    let norms: BTreeMap<(usize, u64, usize), f64> = raw
        .iter()
        .filter(|value| value.measure == measure)
        .map(|value| ((value.step, value.seed, value.layer_index), value.value))
        .collect();
    let steps: BTreeSet<usize> = norms.keys().map(|key| key.0).collect();
    let seeds: BTreeSet<u64> = norms.keys().map(|key| key.1).collect();
    let layers: Vec<usize> = parameters.keys().copied().collect();
    if layers.len() < 4 || steps.is_empty() {
        return Err(format!(
            "the gradients hold {measure} of {} layers at {} steps; at least 4 layers and 1 step are needed",
            layers.len(),
            steps.len()
        ));
    }
    let per_parameter = |step, seed, layer: usize| {
        let norm = norms
            .get(&(step, seed, layer))
            .filter(|norm| **norm > 0.0)
            .ok_or_else(|| format!("the gradients hold no {measure} above 0 of layer {layer} at step {step} of run {seed}"))?;
        Ok((norm / parameters[&layer].sqrt()).ln())
    };
    steps
        .iter()
        .map(|&step| {
            seeds
                .iter()
                .map(|&seed| {
                    let logs: Result<Vec<f64>, String> = layers
                        .iter()
                        .map(|&layer| per_parameter(step, seed, layer))
                        .collect();
                    let logs = logs?;
                    Ok(mean(early(&logs)) - mean(final_layers(&logs)))
                })
                .collect()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claims::Verdict;
    use crate::claims::synthetic::{gradients, verdict};

    #[test]
    fn it_holds_where_layers_are_alike() {
        let found = parts(&gradients(3, 0.05, |_, _, _, _| 1.0));
        assert_eq!(verdict(found), Verdict::Holds);
    }

    #[test]
    fn parameters_are_taken_into_account() {
        // The synthetic final layers have 10,000 times the parameters: equal norms are larger by 100 per root in early layers.
        let found = parts(&gradients(3, 0.05, |_, _, _, _| 1.0)).unwrap();
        assert!(found[0].value > 5.0, "{}", found[0].value);
    }

    #[test]
    fn it_fails_where_early_layers_get_a_ten_thousandth_at_one_step() {
        let found = parts(&gradients(3, 0.05, |step, layer, _, _| {
            if step == 10 && layer < 4 { 1e-5 } else { 1.0 }
        }));
        assert_eq!(verdict(found), Verdict::DoesNotHold);
    }

    #[test]
    fn it_is_open_where_runs_differ_or_are_too_few() {
        let found = parts(&gradients(3, 4.0, |_, _, _, _| 1.0));
        assert_eq!(verdict(found), Verdict::Undecided);
        let error = parts(&gradients(1, 0.05, |_, _, _, _| 1.0))
            .unwrap_err()
            .to_string();
        assert!(error.contains("1 run"), "{error}");
    }
}
