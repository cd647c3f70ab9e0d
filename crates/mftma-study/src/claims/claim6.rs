//! Claim 6, double descent: over width, test error falls, rises and falls again; D_M peaks with it; R_M and ρ_centre are
//! monotonic.
//!
//! Three widths are picked: the trough before the peak, the peak, and the width after it with the lowest error (the fall
//! before the trough starts at the narrowest network). Picking them on the very numbers that are then tested would find a
//! pattern in noise. So they are picked for each run on the mean of the *other* runs, and the differences are taken in the
//! run left out; intervals are Student's over runs.

use std::collections::{BTreeMap, BTreeSet};

use super::inputs::{self, NetworkOfWidth, Stages};
use super::statistics::{End, mean, over_runs};
use super::{Claim, Gap, Part, Side};
use crate::study::Study;

/// A difference of test error above this is a fall or a rise \[D\].
const STEP: f64 = 0.01;
/// Relative difference of dimension above this is one \[D\].
const PEAK: f64 = 1.05;
/// A way back of more than this share of the whole way breaks monotony \[D\].
const REVERSAL: f64 = 0.25;
/// Fewest runs \[D\]: with two, each is picked for by the other alone and Student's quantile is 12.7.
const RUNS: usize = 3;
const PARTS: usize = 7;

/// One run: a value per width.
type Curve = Vec<f64>;

/// The claim.
pub struct DoubleDescent;

impl Claim for DoubleDescent {
    fn number(&self) -> usize {
        6
    }

    fn title(&self) -> &'static str {
        "Double descent"
    }

    fn statement(&self) -> &'static str {
        "Over width, test error falls, rises and falls again; dimension peaks with it; radius and centre correlation are monotonic."
    }

    fn stages(&self, study: &Study<'_>) -> anyhow::Result<Stages> {
        inputs::widths_measured(study)
    }

    fn parts(&self, study: &Study<'_>) -> Result<Vec<Part>, Gap> {
        parts(&inputs::networks_of_widths(study)?)
    }
}

/// The parts of the claim.
fn parts(networks: &[NetworkOfWidth]) -> Result<Vec<Part>, Gap> {
    let error = curves(networks, |network| network.error)?;
    let dimension = logarithms(curves(networks, |network| network.dimension)?)?;
    let mut falls = Vec::new();
    let mut rises = Vec::new();
    let mut falls_again = Vec::new();
    let mut dimension_rises = Vec::new();
    let mut dimension_falls = Vec::new();
    for left_out in 0..error.len() {
        let Bend {
            trough,
            peak,
            after,
        } = bend(&mean_without(&error, left_out));
        let run = &error[left_out];
        falls.push(run[0] - run[trough]);
        rises.push(run[peak] - run[trough]);
        falls_again.push(run[peak] - run[after]);
        let run = &dimension[left_out];
        dimension_rises.push(run[peak] - run[trough]);
        dimension_falls.push(run[peak] - run[after]);
    }
    let mut parts = Vec::with_capacity(PARTS);
    for (statistic, values) in [
        (
            "Test error at the smallest width less that at the trough (fraction)",
            falls,
        ),
        (
            "Test error at the peak less that at the trough before it (fraction)",
            rises,
        ),
        (
            "Test error at the peak less the lowest beyond it (fraction)",
            falls_again,
        ),
    ] {
        parts.push(Part::new(
            statistic,
            over_runs(&[values], End::Least, PARTS)?,
            Side::Above,
            STEP,
            "one percentage point: the last digit in which accuracies of this kind are reported",
        ));
    }
    for (statistic, values) in [
        (
            "Dimension at the width of the peak of error over that at the trough (ratio)",
            dimension_rises,
        ),
        (
            "Dimension at the width of the peak of error over that where error is lowest beyond it (ratio)",
            dimension_falls,
        ),
    ] {
        parts.push(Part::new(
            statistic,
            over_runs(&[values], End::Least, PARTS)?.map(f64::exp),
            Side::Above,
            PEAK,
            "a twentieth, as in claim 3; `peaks with it` is read as: is higher where error peaks than on either side",
        ));
    }
    let radius: fn(&NetworkOfWidth) -> f64 = |network| network.radius;
    for (name, measure) in [
        ("radius", radius),
        ("centre correlation", |network| network.centre_correlation),
    ] {
        let curves = curves(networks, measure)?;
        let values = (0..curves.len())
            .map(|left_out| {
                let others = mean_without(&curves, left_out);
                reversal(&others, &curves[left_out])
            })
            .collect();
        parts.push(Part::new(
            format!("Longest way back of {name} over width less a quarter of its whole way (in its own unit)"),
            over_runs(&[values], End::Greatest, PARTS)?,
            Side::Below,
            0.0,
            "`monotonic` is read as: no way back longer than a quarter of the way from the narrowest to the widest network",
        ));
    }
    Ok(parts)
}

/// One curve per run, over the widths that every run has.
fn curves(
    networks: &[NetworkOfWidth],
    measure: fn(&NetworkOfWidth) -> f64,
) -> Result<Vec<Curve>, String> {
    let values: BTreeMap<(u64, usize), f64> = networks
        .iter()
        .map(|network| ((network.seed, network.width), measure(network)))
        .collect();
    let seeds: BTreeSet<u64> = networks.iter().map(|network| network.seed).collect();
    let all: BTreeSet<usize> = networks.iter().map(|network| network.width).collect();
    let complete: Vec<usize> = all
        .into_iter()
        .filter(|&width| {
            seeds
                .iter()
                .all(|&seed| values.contains_key(&(seed, width)))
        })
        .collect();
    if complete.len() < 4 || seeds.len() < RUNS {
        return Err(format!(
            "{} widths have error and geometry of all {} runs; at least 4 widths and {RUNS} runs are needed",
            complete.len(),
            seeds.len()
        ));
    }
    Ok(seeds
        .into_iter()
        .map(|seed| {
            let at = |&width: &usize| values[&(seed, width)];
            complete.iter().map(at).collect()
        })
        .collect())
}

fn logarithms(curves: Vec<Curve>) -> Result<Vec<Curve>, String> {
    if curves.iter().flatten().any(|&value| value <= 0.0) {
        return Err("the dimension of a network is not above 0".into());
    }
    let logarithm = |curve: Curve| curve.into_iter().map(f64::ln).collect();
    Ok(curves.into_iter().map(logarithm).collect())
}

/// The mean curve of all runs but one.
fn mean_without(curves: &[Curve], left_out: usize) -> Curve {
    (0..curves[0].len())
        .map(|width| {
            let others = curves
                .iter()
                .enumerate()
                .filter(|(run, _)| *run != left_out);
            mean(&others.map(|(_, curve)| curve[width]).collect::<Vec<_>>())
        })
        .collect()
}

/// Indices of the picked widths.
struct Bend {
    trough: usize,
    peak: usize,
    after: usize,
}

/// The widths of which the least pronounced of fall, rise and second fall is most pronounced.
fn bend(error: &[f64]) -> Bend {
    let n = error.len();
    let mut best = (
        f64::NEG_INFINITY,
        Bend {
            trough: 1,
            peak: 2,
            after: 3,
        },
    );
    for trough in 1..n - 2 {
        for peak in trough + 1..n - 1 {
            for after in peak + 1..n {
                let falls = error[0] - error[trough];
                let rises = error[peak] - error[trough];
                let falls_again = error[peak] - error[after];
                let least = falls.min(rises).min(falls_again);
                if least > best.0 {
                    best = (
                        least,
                        Bend {
                            trough,
                            peak,
                            after,
                        },
                    );
                }
            }
        }
    }
    best.1
}

/// How far `run` goes back between the two widths at which `others` goes back most, less the allowed share of its whole way.
fn reversal(others: &[f64], run: &[f64]) -> f64 {
    let n = others.len();
    let direction = if others[n - 1] >= others[0] {
        1.0
    } else {
        -1.0
    };
    let back = |curve: &[f64], (from, to): (usize, usize)| direction * (curve[from] - curve[to]);
    let mut longest = (0, 1);
    for from in 0..n {
        for to in from + 1..n {
            if back(others, (from, to)) > back(others, longest) {
                longest = (from, to);
            }
        }
    }
    back(run, longest) - REVERSAL * direction * (run[n - 1] - run[0])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claims::Verdict;
    use crate::claims::synthetic::{noise, verdict};

    const BENT: [f64; 6] = [0.6, 0.45, 0.5, 0.56, 0.48, 0.4];
    const PEAKED: [f64; 6] = [10.0, 11.0, 13.0, 16.0, 12.0, 9.0];
    const FALLING: [f64; 6] = [2.0, 1.8, 1.6, 1.4, 1.2, 1.0];

    fn table(
        runs: u64,
        error: [f64; 6],
        dimension: [f64; 6],
        radius: [f64; 6],
        spread: f64,
    ) -> Vec<NetworkOfWidth> {
        let mut random = noise(spread);
        let mut rows = Vec::new();
        for seed in 1..=runs {
            for (index, width) in [1, 2, 4, 8, 16, 32].into_iter().enumerate() {
                let mut value = |values: [f64; 6]| values[index] * (1.0 + random());
                rows.push(NetworkOfWidth {
                    seed,
                    width,
                    error: value(error),
                    dimension: value(dimension),
                    radius: value(radius),
                    centre_correlation: value(FALLING),
                });
            }
        }
        rows
    }

    #[test]
    fn it_holds_where_all_of_it_is_there() {
        let found = parts(&table(5, BENT, PEAKED, FALLING, 0.005));
        assert_eq!(verdict(found), Verdict::Holds);
    }

    #[test]
    fn it_fails_where_any_of_it_is_not() {
        let monotonic = [0.6, 0.55, 0.5, 0.45, 0.42, 0.4];
        for (error, dimension, radius) in [
            (monotonic, PEAKED, FALLING),
            // Dimension rises on where error falls again.
            (BENT, [9.0, 10.0, 12.0, 14.0, 16.0, 18.0], FALLING),
            // Radius comes all the way back.
            (BENT, PEAKED, [2.0, 1.5, 1.0, 1.2, 1.6, 1.9]),
        ] {
            let found = parts(&table(5, error, dimension, radius, 0.005));
            assert_eq!(
                verdict(found),
                Verdict::DoesNotHold,
                "{error:?} {dimension:?} {radius:?}"
            );
        }
    }

    #[test]
    fn it_is_open_where_runs_differ_or_are_too_few() {
        let found = parts(&table(3, BENT, PEAKED, FALLING, 0.2));
        assert_eq!(verdict(found), Verdict::Undecided);
        let error = parts(&table(2, BENT, PEAKED, FALLING, 0.0))
            .unwrap_err()
            .to_string();
        assert!(error.contains("2 runs"), "{error}");
    }

    /// The same noise that would give every single curve a bend must not give the claim one.
    #[test]
    fn no_pattern_is_found_in_noise() {
        let flat = [0.5; 6];
        let mut false_alarms = 0;
        for seed in 0..40 {
            let mut rows = table(5, flat, [10.0; 6], FALLING, 0.0);
            let mut random = crate::claims::synthetic::noise_of(seed, 0.05);
            for row in &mut rows {
                row.error += random();
            }
            let found = parts(&rows).unwrap();
            let bend = &found[..3];
            false_alarms += usize::from(bend.iter().all(|part| part.verdict == Verdict::Holds));
        }
        assert!(false_alarms <= 1, "{false_alarms} of 40");
    }

    #[test]
    fn the_bend_is_found_where_it_is() {
        let Bend {
            trough,
            peak,
            after,
        } = bend(&BENT);
        assert_eq!((trough, peak, after), (1, 3, 5));
    }

    #[test]
    fn a_way_back_is_measured_against_the_whole_way() {
        // 1.0 back of a way of -4.0: 1.0 - 0.25 * 4.0.
        assert!((reversal(&[5.0, 2.0, 3.0, 1.0], &[5.0, 2.0, 3.0, 1.0])).abs() < 1e-12);
        assert!(reversal(&FALLING, &FALLING) < 0.0);
    }
}
