//! Numbers with intervals. Every random draw is seeded: the same results give the same intervals.

use mftma_data::stream;
use rand::RngExt;
use statrs::distribution::{ContinuousCDF, Normal, StudentsT};

/// Coverage of the interval that a part must pass to hold \[D\]: what most readers expect.
pub const COVERAGE: f64 = 0.95;
/// Resamples of the classes \[D\]: tails of one part in a thousand are still made of several draws.
const RESAMPLES: usize = 4000;
/// Fewest classes that are resampled \[D\]: the spread of fewer says next to nothing.
const FEWEST_CLASSES: usize = 5;
/// Seed of the resampling \[D\].
const SEED: u64 = 1;

/// A number with its intervals.
#[derive(Debug, Clone, PartialEq)]
pub struct Estimate {
    /// The number.
    pub value: f64,
    /// Its interval at [`COVERAGE`].
    pub interval: [f64; 2],
    /// Its interval at the coverage that holds for all parts of a claim at once (Bonferroni).
    pub wide: [f64; 2],
    /// What the intervals cover: `30 classes`, `3 runs`.
    pub over: String,
}

impl Estimate {
    /// The estimate of an increasing function of the number.
    pub fn map(self, function: impl Fn(f64) -> f64) -> Self {
        Self {
            value: function(self.value),
            interval: self.interval.map(&function),
            wide: self.wide.map(&function),
            over: self.over,
        }
    }

    /// The smallest or largest of several numbers, from intervals that hold for all of them at once.
    fn extreme(
        values: &[f64],
        end: End,
        parts: usize,
        over: String,
        half_widths: impl Fn(f64) -> Vec<f64>,
    ) -> Result<Self, String> {
        let pick = |values: Vec<f64>| match end {
            End::Least => values.into_iter().fold(f64::INFINITY, f64::min),
            End::Greatest => values.into_iter().fold(f64::NEG_INFINITY, f64::max),
        };
        let interval = |coverage: f64| {
            let halves = half_widths(coverage);
            let ends = |sign: f64| {
                let moved = values
                    .iter()
                    .zip(&halves)
                    .map(|(value, half)| value + sign * half);
                pick(moved.collect())
            };
            [ends(-1.0), ends(1.0)]
        };
        let estimate = Self {
            value: pick(values.to_vec()),
            interval: interval(COVERAGE),
            wide: interval(1.0 - (1.0 - COVERAGE) / parts as f64),
            over,
        };
        let numbers = [estimate.interval, estimate.wide].concat();
        if estimate.value.is_finite() && numbers.iter().all(|number| number.is_finite()) {
            Ok(estimate)
        } else {
            Err("a value or its spread is not finite".into())
        }
    }
}

/// Which of several numbers a statement is about: `in every layer` is about the least, `in no layer` about the greatest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The least.
    Least,
    /// The greatest.
    Greatest,
}

/// The least or greatest mean over classes. `columns` holds one list per number (a layer, say) with one value per class, the
/// same classes in each.
///
/// The classes are resampled, whole (all columns together); the interval is as wide as the largest studentised deviation
/// of any column in the given share of the resamples, so it holds for all columns at once. Few classes are paid for by
/// the ratio of Student's to the normal quantile.
pub fn over_classes(columns: &[Vec<f64>], end: End, parts: usize) -> Result<Estimate, String> {
    let n = columns.first().map_or(0, Vec::len);
    if n < FEWEST_CLASSES {
        return Err(format!(
            "{n} classes, and an interval needs at least {FEWEST_CLASSES}"
        ));
    }
    let moments: Vec<(f64, f64)> = columns
        .iter()
        .map(|column| mean_and_error(column))
        .collect();
    let mut random = stream(SEED, "claims: resampled classes");
    let mut largest: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            let drawn: Vec<usize> = (0..n).map(|_| random.random_range(0..n)).collect();
            columns
                .iter()
                .zip(&moments)
                .filter(|(_, (_, error))| *error > 0.0)
                .map(|(column, (mean, error))| {
                    let sum: f64 = drawn.iter().map(|&class| column[class]).sum();
                    (sum / n as f64 - mean).abs() / error
                })
                .fold(0.0, f64::max)
        })
        .collect();
    largest.sort_by(f64::total_cmp);
    let freedom = (n - 1) as f64;
    let half_widths = |coverage: f64| {
        let index = (coverage * RESAMPLES as f64).ceil() as usize;
        let quantile = largest[index.clamp(1, RESAMPLES) - 1];
        // The spread of a resample's mean is smaller than the standard error by √((n − 1)/n).
        let factor = (n as f64 / freedom).sqrt() * student(freedom, coverage) / normal(coverage);
        moments
            .iter()
            .map(|(_, error)| quantile * factor * error)
            .collect()
    };
    let means: Vec<f64> = moments.iter().map(|(mean, _)| *mean).collect();
    Estimate::extreme(&means, end, parts, format!("{n} classes"), half_widths)
}

/// The least or greatest mean over runs. `columns` holds one list per number with one value per run.
///
/// Student's intervals, widened for the number of columns (Bonferroni).
pub fn over_runs(columns: &[Vec<f64>], end: End, parts: usize) -> Result<Estimate, String> {
    let n = columns.first().map_or(0, Vec::len);
    if n < 2 {
        return Err(format!(
            "{n} run, and an interval over runs needs at least 2"
        ));
    }
    let moments: Vec<(f64, f64)> = columns
        .iter()
        .map(|column| mean_and_error(column))
        .collect();
    let half_widths = |coverage: f64| {
        let coverage = 1.0 - (1.0 - coverage) / columns.len() as f64;
        let quantile = student((n - 1) as f64, coverage);
        moments.iter().map(|(_, error)| quantile * error).collect()
    };
    let means: Vec<f64> = moments.iter().map(|(mean, _)| *mean).collect();
    Estimate::extreme(&means, end, parts, format!("{n} runs"), half_widths)
}

/// The least or greatest of numbers with known standard errors, widened for their number (Bonferroni).
pub fn with_errors(
    numbers: &[(f64, f64)],
    end: End,
    parts: usize,
    over: &str,
) -> Result<Estimate, String> {
    let half_widths = |coverage: f64| {
        let quantile = normal(1.0 - (1.0 - coverage) / numbers.len() as f64);
        numbers.iter().map(|(_, error)| quantile * error).collect()
    };
    let values: Vec<f64> = numbers.iter().map(|(value, _)| *value).collect();
    Estimate::extreme(&values, end, parts, over.to_owned(), half_widths)
}

/// The mean of some values.
pub fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Mean and its standard error.
fn mean_and_error(values: &[f64]) -> (f64, f64) {
    let (n, mean) = (values.len() as f64, mean(values));
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (mean, (squares / (n - 1.0) / n).sqrt())
}

/// Half the width of the central interval of Student's distribution.
pub fn student(freedom: f64, coverage: f64) -> f64 {
    StudentsT::new(0.0, 1.0, freedom)
        .map_or(f64::INFINITY, |law| law.inverse_cdf(0.5 + coverage / 2.0))
}

/// Half the width of the central interval of the standard normal distribution.
pub fn normal(coverage: f64) -> f64 {
    Normal::standard().inverse_cdf(0.5 + coverage / 2.0)
}

#[cfg(test)]
mod tests {
    use rand_distr::{Distribution, StandardNormal};

    use super::*;

    fn noise(random: &mut impl rand::Rng, n: usize) -> Vec<f64> {
        (0..n).map(|_| StandardNormal.sample(random)).collect()
    }

    #[test]
    fn quantiles_are_those_of_the_tables() {
        assert!((normal(0.95) - 1.959_964).abs() < 1e-5);
        assert!((student(2.0, 0.95) - 4.302_653).abs() < 1e-5);
    }

    #[test]
    fn an_interval_over_runs_by_hand() {
        // Mean 2, standard error 1/√3, two degrees of freedom.
        let estimate = over_runs(&[vec![1.0, 2.0, 3.0]], End::Least, 1).unwrap();
        let half = 4.302_653 / 3f64.sqrt();
        assert!((estimate.value - 2.0).abs() < 1e-12);
        assert!((estimate.interval[0] - (2.0 - half)).abs() < 1e-5);
        assert_eq!(estimate.interval, estimate.wide);
        let wide = over_runs(&[vec![1.0, 2.0, 3.0]], End::Least, 4).unwrap();
        assert!(wide.wide[0] < wide.interval[0] && wide.interval[1] < wide.wide[1]);
    }

    #[test]
    fn what_does_not_vary_has_no_width() {
        let columns = [vec![1.0; 8], vec![3.0; 8]];
        let estimate = over_classes(&columns, End::Greatest, 3).unwrap();
        assert_eq!((estimate.value, estimate.interval), (3.0, [3.0, 3.0]));
    }

    #[test]
    fn too_few_are_refused() {
        assert!(over_classes(&[vec![1.0; 4]], End::Least, 1).is_err());
        assert!(over_runs(&[vec![1.0]], End::Least, 1).is_err());
        assert!(over_classes(&[vec![f64::NAN; 9]], End::Least, 1).is_err());
        assert!(over_classes(&[], End::Least, 1).is_err());
    }

    /// How often the interval holds the truth, for the mean of one column and for all of ten at once.
    #[test]
    fn intervals_hold_the_truth_as_often_as_they_say() {
        for (columns, classes) in [(1, 10), (10, 20)] {
            let mut random = stream(3, "test: coverage");
            let rounds = 300;
            let covered = (0..rounds)
                .filter(|_| {
                    let columns: Vec<Vec<f64>> =
                        (0..columns).map(|_| noise(&mut random, classes)).collect();
                    // All true means are 0: no column's interval may exclude it.
                    let least = over_classes(&columns, End::Least, 1).unwrap();
                    let greatest = over_classes(&columns, End::Greatest, 1).unwrap();
                    least.interval[1] >= 0.0 && greatest.interval[0] <= 0.0
                })
                .count();
            let share = covered as f64 / f64::from(rounds);
            assert!((0.91..=0.99).contains(&share), "{columns}: {share}");
        }
    }
}
