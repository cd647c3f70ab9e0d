//! Means over manifolds with their errors: over Gaussian vectors, and over manifolds by resampling.

use faer::Mat;
use rand::RngExt;
use serde::{Deserialize, Serialize};

use crate::manifold::measures::Estimate;
use crate::settings::AnalysisSettings;
use crate::streams;

/// A two-sided interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Interval {
    /// Lower end.
    pub lower: f64,
    /// Upper end.
    pub upper: f64,
}

/// A mean over manifolds: its value, its standard error over the Gaussian vectors with the points held fixed, and where
/// asked for an interval over manifolds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MeanEstimate {
    /// The mean.
    pub value: f64,
    /// Standard error over the Gaussian vectors. `None` where one vector, or given vectors, leave it unknown.
    pub standard_error: Option<f64>,
    /// Percentile interval from resampling the manifolds (the classes) with replacement; see
    /// [`AnalysisSettings::resamples`].
    pub interval: Option<Interval>,
}

/// How values of manifolds are averaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MeanKind {
    /// 1 / mean(1/x), for capacities.
    Harmonic,
    /// The plain mean.
    Arithmetic,
}

/// Classes drawn with replacement, the same draws for every measure.
pub(crate) struct Resampling {
    draws: Vec<Vec<usize>>,
    coverage: f64,
}

impl Resampling {
    pub(crate) fn new(settings: &AnalysisSettings, manifolds: usize) -> Self {
        Self::drawn(
            settings.seed,
            settings.resamples,
            settings.interval_coverage,
            manifolds,
        )
    }

    pub(crate) fn drawn(seed: u64, resamples: usize, coverage: f64, manifolds: usize) -> Self {
        let mut rng = streams::resampled_manifolds(seed);
        let draws = (0..resamples)
            .map(|_| {
                (0..manifolds)
                    .map(|_| rng.random_range(0..manifolds))
                    .collect()
            })
            .collect();
        Self { draws, coverage }
    }

    /// Percentile interval of a statistic of the drawn indices.
    pub(crate) fn interval(&self, statistic: impl Fn(&[usize]) -> Option<f64>) -> Option<Interval> {
        let mut values: Vec<f64> = self
            .draws
            .iter()
            .filter_map(|draw| statistic(draw))
            .collect();
        values.sort_by(f64::total_cmp);
        let last = values.len().checked_sub(1)? as f64;
        let quantile = |q: f64| {
            let at = q * last;
            let (below, above) = (values[at.floor() as usize], values[at.ceil() as usize]);
            below + (above - below) * at.fract()
        };
        let tail = 0.5 * (1.0 - self.coverage);
        Some(Interval {
            lower: quantile(tail),
            upper: quantile(1.0 - tail),
        })
    }

    /// Interval of the mean |cos| between different classes, of the Gram matrix (P, P) of centred centres. Pairs of one
    /// class drawn twice are left out: their |cos| of 1 says nothing.
    pub(crate) fn correlation_interval(&self, gram: &Mat<f64>) -> Option<Interval> {
        if self.draws.is_empty() {
            return None;
        }
        let p = gram.nrows();
        let cosine = Mat::<f64>::from_fn(p, p, |i, j| {
            let scale = (gram[(i, i)] * gram[(j, j)]).sqrt();
            if scale > 0.0 {
                (gram[(i, j)].abs() / scale).min(1.0)
            } else {
                0.0
            }
        });
        self.interval(|draw| {
            let (mut sum, mut pairs) = (0.0, 0_usize);
            for &j in draw {
                for &i in draw {
                    if i != j {
                        sum += cosine[(i, j)];
                        pairs += 1;
                    }
                }
            }
            (pairs > 0).then(|| sum / pairs as f64)
        })
    }
}

/// The mean, its standard error by the delta method (manifolds have independent Gaussian vectors), and its interval.
pub(crate) fn over_manifolds(
    estimates: &[Estimate],
    kind: MeanKind,
    resampling: &Resampling,
) -> MeanEstimate {
    let mean = |values: &mut dyn Iterator<Item = f64>, n: usize| match kind {
        MeanKind::Harmonic => n as f64 / values.map(f64::recip).sum::<f64>(),
        MeanKind::Arithmetic => values.sum::<f64>() / n as f64,
    };
    let n = estimates.len();
    let value = mean(&mut estimates.iter().map(|e| e.value), n);
    let variance: Option<f64> = estimates
        .iter()
        .map(|e| {
            let slope = match kind {
                MeanKind::Harmonic => (value / e.value).powi(2),
                MeanKind::Arithmetic => 1.0,
            };
            e.standard_error
                .map(|error| (slope * error / n as f64).powi(2))
        })
        .sum();
    MeanEstimate {
        value,
        standard_error: variance.map(f64::sqrt),
        interval: resampling
            .interval(|draw| Some(mean(&mut draw.iter().map(|&i| estimates[i].value), n))),
    }
}
