//! Claim 6, double descent: over width, test accuracy at the final epoch rises, dips and rises again; D_M at the final epoch is
//! non-monotonic, and exceeds that at the best epoch most around the dip and not at the ends; R_M and ρ_centre are monotonic.
//!
//! The best epoch is the one of the highest test accuracy of each training, among those evaluated. All but the excess of D_M is about the
//! final epoch.
//!
//! Widths are picked: the peak of accuracy before the dip, the dip, and the width after it with the highest accuracy (the first rise
//! starts at the narrowest network); and the two between which D_M goes back most. Picking them on the very numbers that are then tested
//! would find a pattern in noise. So they are picked for each run on the mean of the *other* runs, and the differences are taken in
//! the run left out; intervals are Student's over runs.

use std::collections::{BTreeMap, BTreeSet};

use super::inputs::{self, NetworkOfWidth, Stages};
use super::statistics::{End, mean, over_runs};
use super::{Claim, Gap, Part, Side};
use crate::published::{self, Epoch, Measure, WidthPoint};
use crate::study::Study;

/// A difference of test accuracy above this is a rise \[D\].
const RISE: f64 = 0.01;
/// One above this is a dip, and the way back out of it \[D\].
const DIP: f64 = 0.02;
/// Why.
const DIP_REASON: &str = "two percentage points: some three standard errors of an accuracy on 10,000 test images; the published figure has \
2.9";
/// A ratio of dimensions above this is an excess \[D\].
const EXCESS: f64 = 1.05;
/// An excess at the ends below this share of that at the dip counts as none \[D\].
const SHARE: f64 = 0.25;
/// A way back of more than this share of the whole way breaks monotony \[D\].
const REVERSAL: f64 = 0.25;
/// Fewest runs \[D\]: with two, each is picked for by the other alone and Student's quantile is 12.7.
const RUNS: usize = 3;
const PARTS: usize = 8;

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
        "Over width, final test accuracy rises, dips and rises; dimension at the final epoch is non-monotonic, and exceeds that at the best \
         epoch around the dip and not at the ends; radius and centre correlation are monotonic."
    }

    fn stages(&self, study: &Study<'_>) -> anyhow::Result<Stages> {
        inputs::widths_measured(study)
    }

    fn parts(&self, study: &Study<'_>) -> Result<Vec<Part>, Gap> {
        let published = if inputs::as_in_figure4(study.profile) {
            published::figure4()?
        } else {
            Vec::new()
        };
        parts(&inputs::networks_of_widths(study)?, &published)
    }
}

/// What the statistics are taken from: one curve per run each.
struct Curves {
    /// Test accuracy at the final epoch.
    accuracy: Vec<Curve>,
    /// Logarithm of D_M at the final epoch.
    dimension: Vec<Curve>,
    /// The same less that at the best epoch.
    excess: Vec<Curve>,
}

/// The numbers of each run.
#[derive(Default)]
struct Numbers {
    rise: Vec<f64>,
    dip: Vec<f64>,
    rise_again: Vec<f64>,
    way_back: Vec<f64>,
    excess: Vec<f64>,
    ends: [Vec<f64>; 2],
}

impl Numbers {
    /// Widths are picked on `others`, values taken from the run.
    fn add(&mut self, others: [&Curve; 2], accuracy: &Curve, dimension: &Curve, excess: &Curve) {
        let Bend { peak, dip, after } = bend(others[0]);
        self.rise.push(accuracy[peak] - accuracy[0]);
        self.dip.push(accuracy[peak] - accuracy[dip]);
        self.rise_again.push(accuracy[after] - accuracy[dip]);
        self.way_back.push(way_back(others[1], dimension));
        self.excess.push(excess[dip]);
        for (ends, end) in self.ends.iter_mut().zip([0, excess.len() - 1]) {
            ends.push(excess[end] - SHARE * excess[dip]);
        }
    }

    fn of(curves: &Curves) -> Self {
        let mut numbers = Self::default();
        for run in 0..curves.accuracy.len() {
            let others = [&curves.accuracy, &curves.dimension].map(|all| mean_without(all, run));
            numbers.add(
                [&others[0], &others[1]],
                &curves.accuracy[run],
                &curves.dimension[run],
                &curves.excess[run],
            );
        }
        numbers
    }
}

/// The parts of the claim; beside them what follows from the points of figure 4, where the networks are the figure's.
fn parts(networks: &[NetworkOfWidth], published: &[WidthPoint]) -> Result<Vec<Part>, Gap> {
    let curves_of = |measure| curves(networks, measure);
    let dimension = logarithms(curves_of(|n| n.last.dimension)?)?;
    let at_best = logarithms(curves_of(|n| n.best.dimension)?)?;
    let excess = dimension.iter().zip(&at_best);
    let found = Numbers::of(&Curves {
        excess: excess
            .map(|(last, best)| inputs::less(last, best))
            .collect(),
        dimension,
        accuracy: curves_of(|n| n.last.accuracy)?,
    });
    let figure = of_figure(published);
    let beside = |number: fn(&Numbers) -> &Vec<f64>| {
        let value = figure.as_ref().map(|figure| number(figure)[0]);
        (number(&found).clone(), value)
    };
    let mut parts = Vec::with_capacity(PARTS);
    for (statistic, (values, published), threshold, reason) in [
        (
            "Final test accuracy at the peak before the dip less that at the smallest width (fraction)",
            beside(|numbers| &numbers.rise),
            RISE,
            "one percentage point: the last digit in which accuracies of this kind are reported",
        ),
        (
            "Final test accuracy at the peak less that at the dip behind it (fraction)",
            beside(|numbers| &numbers.dip),
            DIP,
            DIP_REASON,
        ),
        (
            "Highest final test accuracy beyond the dip less that at the dip (fraction)",
            beside(|numbers| &numbers.rise_again),
            DIP,
            DIP_REASON,
        ),
    ] {
        let estimate = over_runs(&[values], End::Least, PARTS)?;
        let part = Part::new(statistic, estimate, Side::Above, threshold, reason);
        parts.push(part.beside(published));
    }
    for (statistic, (values, published), threshold, reason) in [
        (
            "Longest way back of final dimension over width (ratio)",
            beside(|numbers| &numbers.way_back),
            1.0,
            "any way back breaks monotony; the two widths are picked on other runs, so that noise has none on average (the published way \
             back is 2 %)",
        ),
        (
            "Dimension at the final epoch over that at the best epoch, at the dip (ratio)",
            beside(|numbers| &numbers.excess),
            EXCESS,
            "a twentieth, as in claim 3, and half of the published excess",
        ),
    ] {
        let estimate = over_runs(&[values], End::Least, PARTS)?.map(f64::exp);
        let part = Part::new(statistic, estimate, Side::Above, threshold, reason);
        parts.push(part.beside(published.map(f64::exp)));
    }
    parts.push(Part::new(
        "Greatest excess of final dimension at the narrowest and the widest network less a quarter of that at the dip (difference of \
         logarithms)",
        over_runs(&found.ends, End::Greatest, PARTS)?,
        Side::Below,
        0.0,
        "`not at the ends` is read as: less than a quarter of what the dip shows, as `only` in claim 2",
    ));
    let radius: fn(&NetworkOfWidth) -> f64 = |network| network.last.radius;
    for (name, measure) in [
        ("radius", radius),
        ("centre correlation", |network| {
            network.last.centre_correlation
        }),
    ] {
        let curves = curves(networks, measure)?;
        let values = (0..curves.len())
            .map(|left_out| {
                let others = mean_without(&curves, left_out);
                reversal(&others, &curves[left_out])
            })
            .collect();
        parts.push(Part::new(
            format!("Longest way back of final {name} over width less a quarter of its whole way (in its own unit)"),
            over_runs(&[values], End::Greatest, PARTS)?,
            Side::Below,
            0.0,
            "`monotonic` is read as: no way back longer than a quarter of the way from the narrowest to the widest network",
        ));
    }
    Ok(parts)
}

/// The same numbers of the curves of the paper's figure 4, at the parameters at which all of them were read.
fn of_figure(points: &[WidthPoint]) -> Option<Numbers> {
    let curve = |epoch, measure| -> BTreeMap<u64, f64> {
        let of_curve = points
            .iter()
            .filter(|p| (p.epoch, p.measure) == (epoch, measure));
        of_curve
            .map(|point| (point.parameters, point.value))
            .collect()
    };
    let accuracy = curve(Epoch::Last, Measure::TestAccuracy);
    let last = curve(Epoch::Last, Measure::Dimension);
    let best = curve(Epoch::Best, Measure::Dimension);
    let common: Vec<u64> = accuracy
        .keys()
        .copied()
        .filter(|parameters| last.contains_key(parameters) && best.contains_key(parameters))
        .collect();
    if common.len() < 4 {
        return None;
    }
    let at = |curve: &BTreeMap<u64, f64>| -> Curve { common.iter().map(|p| curve[p]).collect() };
    let accuracy = at(&accuracy)
        .iter()
        .map(|percent| percent / 100.0)
        .collect();
    let dimension: Curve = at(&last).iter().map(|value| value.ln()).collect();
    let at_best: Curve = at(&best).iter().map(|value| value.ln()).collect();
    let mut numbers = Numbers::default();
    let excess = inputs::less(&dimension, &at_best);
    numbers.add([&accuracy, &dimension], &accuracy, &dimension, &excess);
    Some(numbers)
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
    peak: usize,
    dip: usize,
    after: usize,
}

/// The widths of which the least pronounced of rise, dip and second rise is most pronounced; among equals, all three together.
fn bend(accuracy: &[f64]) -> Bend {
    let n = accuracy.len();
    let first = Bend {
        peak: 1,
        dip: 2,
        after: 3,
    };
    let mut best = ((f64::NEG_INFINITY, f64::NEG_INFINITY), first);
    for peak in 1..n - 2 {
        for dip in peak + 1..n - 1 {
            for after in dip + 1..n {
                let rise = accuracy[peak] - accuracy[0];
                let fall = accuracy[peak] - accuracy[dip];
                let rise_again = accuracy[after] - accuracy[dip];
                let least = rise.min(fall).min(rise_again);
                let pronounced = (least, rise + fall + rise_again);
                if pronounced > best.0 {
                    best = (pronounced, Bend { peak, dip, after });
                }
            }
        }
    }
    best.1
}

/// The direction of a curve from its first value to its last.
fn direction(curve: &[f64]) -> f64 {
    if curve[curve.len() - 1] >= curve[0] {
        1.0
    } else {
        -1.0
    }
}

/// How far `run` goes back, against the direction of `others`, between the two widths at which these go back most.
///
/// Where others never go back, these are the two at which they go on least.
fn way_back(others: &[f64], run: &[f64]) -> f64 {
    let n = others.len();
    let direction = direction(others);
    let back = |curve: &[f64], (from, to): (usize, usize)| direction * (curve[from] - curve[to]);
    let mut longest = (0, 1);
    for from in 0..n {
        for to in from + 1..n {
            if back(others, (from, to)) > back(others, longest) {
                longest = (from, to);
            }
        }
    }
    back(run, longest)
}

/// That way less the allowed share of the run's whole way.
fn reversal(others: &[f64], run: &[f64]) -> f64 {
    way_back(others, run) - REVERSAL * direction(others) * (run[run.len() - 1] - run[0])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claims::Verdict;
    use crate::claims::inputs::WidthState;
    use crate::claims::synthetic::{noise, verdict};

    const BENT: [f64; 6] = [0.4, 0.55, 0.5, 0.44, 0.52, 0.6];
    const BUMP: [f64; 6] = [16.0, 14.0, 15.0, 15.5, 12.0, 9.0];
    const AT_BEST: [f64; 6] = [16.0, 14.0, 13.5, 13.0, 11.5, 9.0];
    const FALLING: [f64; 6] = [2.0, 1.8, 1.6, 1.4, 1.2, 1.0];

    fn table(
        runs: u64,
        accuracy: [f64; 6],
        [last, best]: [[f64; 6]; 2],
        radius: [f64; 6],
        spread: f64,
    ) -> Vec<NetworkOfWidth> {
        let mut random = noise(spread);
        let mut rows = Vec::new();
        for seed in 1..=runs {
            for (index, width) in [1, 2, 4, 8, 16, 32].into_iter().enumerate() {
                let mut state = |accuracy: [f64; 6], dimension: [f64; 6]| {
                    let mut value = |values: [f64; 6]| values[index] * (1.0 + random());
                    WidthState {
                        accuracy: value(accuracy),
                        dimension: value(dimension),
                        radius: value(radius),
                        centre_correlation: value(FALLING),
                    }
                };
                rows.push(NetworkOfWidth {
                    seed,
                    width,
                    best: state([0.7; 6], best),
                    last: state(accuracy, last),
                });
            }
        }
        rows
    }

    fn found(
        accuracy: [f64; 6],
        dimension: [[f64; 6]; 2],
        radius: [f64; 6],
    ) -> Result<Vec<Part>, Gap> {
        parts(&table(5, accuracy, dimension, radius, 0.005), &[])
    }

    #[test]
    fn it_holds_where_all_of_it_is_there() {
        let found = found(BENT, [BUMP, AT_BEST], FALLING);
        assert_eq!(verdict(found), Verdict::Holds);
    }

    #[test]
    fn it_fails_where_any_of_it_is_not() {
        let monotonic = [0.4, 0.44, 0.48, 0.52, 0.56, 0.6];
        let falling = [16.0, 15.0, 14.0, 12.0, 10.0, 9.0];
        let elsewhere = [14.0, 13.0, 13.5, 13.0, 11.0, 8.0];
        let no_excess = BUMP;
        for (part, accuracy, dimension, radius) in [
            (1, monotonic, [BUMP, AT_BEST], FALLING),
            (3, BENT, [falling, AT_BEST], FALLING),
            (4, BENT, [BUMP, no_excess], FALLING),
            (5, BENT, [BUMP, elsewhere], FALLING),
            // Radius comes all the way back.
            (6, BENT, [BUMP, AT_BEST], [2.0, 1.5, 1.0, 1.2, 1.6, 1.9]),
        ] {
            let parts = found(accuracy, dimension, radius).unwrap();
            assert_eq!(parts[part].verdict, Verdict::DoesNotHold, "{part}");
            assert_eq!(verdict(Ok(parts)), Verdict::DoesNotHold);
        }
    }

    #[test]
    fn it_is_open_where_runs_differ_or_are_too_few() {
        let found = parts(&table(3, BENT, [BUMP, AT_BEST], FALLING, 0.2), &[]);
        assert_eq!(verdict(found), Verdict::Undecided);
        let few = table(2, BENT, [BUMP, AT_BEST], FALLING, 0.0);
        let error = parts(&few, &[]).unwrap_err().to_string();
        assert!(error.contains("2 runs"), "{error}");
    }

    /// The same noise that would give every single curve a bend must not give the claim one.
    #[test]
    fn no_pattern_is_found_in_noise() {
        let mut false_alarms = [0, 0];
        for seed in 0..40 {
            let mut rows = table(5, [0.5; 6], [FALLING.map(|d| 10.0 + d); 2], FALLING, 0.0);
            let mut random = crate::claims::synthetic::noise_of(seed, 0.05);
            for row in &mut rows {
                row.last.accuracy += random();
                row.last.dimension += random();
            }
            let found = parts(&rows, &[]).unwrap();
            let holds = |parts: &[Part]| parts.iter().all(|part| part.verdict == Verdict::Holds);
            false_alarms[0] += usize::from(holds(&found[..3]));
            false_alarms[1] += usize::from(holds(&found[3..4]));
        }
        assert!(false_alarms[0] <= 1, "{false_alarms:?} of 40");
        // One in twenty, at the widths where noise comes nearest to a way back.
        assert!(false_alarms[1] <= 4, "{false_alarms:?} of 40");
    }

    #[test]
    fn the_bend_is_found_where_it_is() {
        let Bend { peak, dip, after } = bend(&BENT);
        assert_eq!((peak, dip, after), (1, 3, 5));
        // The first rise is the least: it does not keep dip and end from being the deepest and the highest.
        let Bend { peak, dip, after } = bend(&[0.40, 0.41, 0.38, 0.30, 0.35, 0.5]);
        assert_eq!((peak, dip, after), (1, 3, 5));
    }

    #[test]
    fn a_way_back_is_measured_against_the_whole_way() {
        // 1.0 back of a way of -4.0: 1.0 - 0.25 * 4.0.
        assert!((reversal(&[5.0, 2.0, 3.0, 1.0], &[5.0, 2.0, 3.0, 1.0])).abs() < 1e-12);
        assert!(reversal(&FALLING, &FALLING) < 0.0);
        assert!((way_back(&BUMP, &BUMP) - 1.5).abs() < 1e-12);
        assert!(way_back(&FALLING, &FALLING) < 0.0);
    }

    #[test]
    fn the_published_figure_stands_beside_it() {
        let figure = published::figure4().unwrap();
        let rows = table(5, BENT, [BUMP, AT_BEST], FALLING, 0.005);
        let found = parts(&rows, &figure).unwrap();
        let value = |part: usize| found[part].published.as_ref().unwrap().value;
        // 45.5, 51.0, 48.1 and 61.8 %; D 27.75 and 28.3, at the dip 28.1 over 25.5.
        for (part, expected) in [
            (0, 0.055),
            (1, 0.029),
            (2, 0.137),
            (3, 28.3 / 27.75),
            (4, 28.1 / 25.5),
        ] {
            assert!(
                (value(part) - expected).abs() < 1e-9,
                "{part}: {}",
                value(part)
            );
        }
        assert!(found[5].published.is_none());
        // The figure satisfies what it can be asked.
        let numbers = of_figure(&figure).unwrap();
        assert!(numbers.ends.iter().flatten().all(|&end| end < 0.0));
    }
}
