//! Claim 7, gradients of permuted examples start small: near initialization ‖g_permuted‖ ≪ ‖g_unpermuted‖ per example,
//! because the class means of permuted examples coincide.
//!
//! The statistic is the norm of the mean gradient of the permuted examples over that of the unpermuted ones, geometric mean
//! over layers and over the steps measured in the first epoch, the very first step left out: at random weights of
//! ordinary size the logits of all examples share an offset, whose gradient is the same for both groups and hides the class
//! means until a few steps have removed it (`crates/mftma-gradients/docs/derivation.md`, equation 13). The *because* is
//! tested by taking the class means out of the images: if they are the cause, the ratio must come back towards 1.

use std::collections::{BTreeMap, BTreeSet};

use super::inputs::GradientValue;
use super::statistics::{End, mean, over_runs};
use super::{Part, Side};

/// A ratio below this is much smaller \[D\].
const MUCH_SMALLER: f64 = 0.5;
/// A ratio above this, without class means, is back near 1 \[D\].
const NEAR_ONE: f64 = 0.8;
const PARTS: usize = 2;

/// The parts of the claim.
pub fn parts(gradients: &[GradientValue]) -> Result<Vec<Part>, String> {
    let ratio = |condition| over_runs(&[log_ratios(gradients, condition)?], End::Least, PARTS);
    Ok(vec![
        Part::new(
            "Norm of the mean gradient of permuted over that of unpermuted examples over the first epoch (ratio, mean over layers)",
            ratio("raw")?.map(f64::exp),
            Side::Below,
            MUCH_SMALLER,
            "a half: the weakest reading of `much smaller`; two groups of equal size that differ in nothing give 1",
        ),
        Part::new(
            "The same after the class means of the images were taken out (ratio, mean over layers)",
            ratio("class means removed")?.map(f64::exp),
            Side::Above,
            NEAR_ONE,
            "four fifths: without class means theory predicts 1, and the ratio of two noise norms scatters by some per cent",
        ),
    ])
}

/// For each run: the logarithm of the ratio, averaged over layers.
fn log_ratios(gradients: &[GradientValue], condition: &str) -> Result<Vec<f64>, String> {
    let rows: Vec<&GradientValue> = gradients
        .iter()
        .filter(|row| {
            row.condition == condition
                && row.measure == "mean_norm"
                && row.epoch == 0
                && row.step > 0
        })
        .collect();
    let steps: BTreeSet<usize> = rows.iter().map(|row| row.step).collect();
    if steps.is_empty() {
        return Err(format!(
            "figure 5 holds no gradients of the first epoch, after its first step, with the inputs `{condition}`"
        ));
    }
    let norms: BTreeMap<(u64, usize, usize, &str), f64> = rows
        .iter()
        .map(|row| {
            let key = (row.seed, row.step, row.layer_index, row.group.as_str());
            (key, row.value)
        })
        .collect();
    let seeds: BTreeSet<u64> = rows.iter().map(|row| row.seed).collect();
    let layers: BTreeSet<usize> = rows.iter().map(|row| row.layer_index).collect();
    let places: Vec<(usize, usize)> = steps
        .iter()
        .flat_map(|&step| layers.iter().map(move |&layer| (step, layer)))
        .collect();
    seeds
        .into_iter()
        .map(|seed| {
            let norm = |step, layer, group| {
                norms
                    .get(&(seed, step, layer, group))
                    .filter(|norm| **norm > 0.0)
                    .ok_or_else(|| {
                        format!(
                            "figure 5 holds no gradient above 0 of {group} examples in layer {layer} at step {step} of run {seed}"
                        )
                    })
            };
            let logs: Result<Vec<f64>, String> = places
                .iter()
                .map(|&(step, layer)| {
                    Ok((norm(step, layer, "permuted")? / norm(step, layer, "unpermuted")?).ln())
                })
                .collect();
            Ok(mean(&logs?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claims::Verdict;
    use crate::claims::synthetic::{gradients, verdict};

    /// Gradients of permuted examples at step 10 relative to unpermuted ones: as the images are, and without class means.
    fn table(runs: u64, raw: f64, removed: f64, spread: f64) -> Vec<GradientValue> {
        gradients(runs, spread, move |step, _, group, condition| {
            match (group, condition) {
                ("permuted", "raw") if step == 10 => raw,
                ("permuted", _) if step == 10 => removed,
                _ => 1.0,
            }
        })
    }

    #[test]
    fn it_holds_where_class_means_make_the_difference() {
        assert_eq!(verdict(parts(&table(3, 0.2, 1.0, 0.02))), Verdict::Holds);
    }

    #[test]
    fn it_fails_where_there_is_no_difference_or_another_cause() {
        assert_eq!(
            verdict(parts(&table(3, 0.9, 1.0, 0.02))),
            Verdict::DoesNotHold
        );
        assert_eq!(
            verdict(parts(&table(3, 0.2, 0.3, 0.02))),
            Verdict::DoesNotHold
        );
    }

    #[test]
    fn it_is_open_where_runs_differ_or_are_too_few() {
        assert_eq!(
            verdict(parts(&table(3, 0.45, 0.9, 1.5))),
            Verdict::Undecided
        );
        assert!(parts(&table(1, 0.2, 1.0, 0.02)).is_err());
    }

    #[test]
    fn the_statistic_is_the_ratio() {
        let found = parts(&table(2, 0.25, 1.0, 0.0)).unwrap();
        assert!((found[0].value - 0.25).abs() < 1e-12);
        assert!((found[1].value - 1.0).abs() < 1e-12);
    }
}
