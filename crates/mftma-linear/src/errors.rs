//! Training and test error over time, and when to stop.
//!
//! Lampinen & Ganguli 2018 (arXiv 1809.10374). A teacher W̄ makes y = W̄x + noise, so that the student sees
//! Σ̂ = Σ_α ŝ_α û_α v̂_αᵀ instead of W̄ and learns W(t) = Σ_α u_α(t) û_α v̂_αᵀ. With inputs that are white in training and test alike, and
//! constants left out that no student can change,
//!
//! - training error ‖Σ̂ − W(t)‖² = Σ_α (ŝ_α − u_α(t))²,
//! - test error ‖W̄ − W(t)‖² = ‖W̄‖² + Σ_α (u_α(t)² − 2 u_α(t) c_α) with c_α = û_αᵀ W̄ v̂_α,
//!
//! in squared Frobenius norms; the paper divides by ‖Σ̂‖² and ‖W̄‖². A mode helps until it has reached c_α and harms beyond: large ones are learned
//! first, so test error falls and then rises as the modes of the noise follow.

use ndarray::ArrayView2;
use serde::Serialize;

use crate::dynamics::Dynamics;
use crate::error::{LinearError, finite, setting, shape};
use crate::spiked::Spiked;
use crate::svd::Svd;

/// What the errors depend on: for each mode that the student learns its strength in the data and the teacher's part of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Modes {
    /// ŝ_α.
    values: Vec<f64>,
    /// How many modes each value stands for.
    weights: Vec<f64>,
    /// c_α.
    alignments: Vec<f64>,
    /// ‖W̄‖².
    teacher_power: f64,
}

/// Errors at one time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Errors {
    /// t.
    pub time: f64,
    /// ‖Σ̂ − W(t)‖².
    pub train: f64,
    /// ‖W̄ − W(t)‖².
    pub test: f64,
}

/// The best time to stop.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Stopping {
    /// Errors at the time of the least test error.
    pub best: Errors,
    /// Errors at the horizon.
    pub end: Errors,
    /// The best time is before the horizon: training on to the horizon overfits.
    pub overfits: bool,
}

impl Modes {
    /// From a correlation matrix in hand, decomposed, and its teacher W̄ (m, n).
    ///
    /// # Errors
    /// [`LinearError::Shape`], [`LinearError::NotFinite`].
    pub fn measured(data: &Svd, teacher: ArrayView2<'_, f64>) -> Result<Self, LinearError> {
        finite("teacher", teacher)?;
        let (rows, columns) = data.shape();
        shape("rows of the teacher", rows, teacher.nrows())?;
        shape("columns of the teacher", columns, teacher.ncols())?;
        let images = teacher.dot(&data.right);
        Ok(Self {
            values: data.values.clone(),
            weights: vec![1.0; data.values.len()],
            alignments: (0..data.values.len())
                .map(|k| data.left.column(k).dot(&images.column(k)))
                .collect(),
            teacher_power: teacher.iter().map(|w| w * w).sum(),
        })
    }

    /// As predicted for large matrices from the singular values of the teacher: its modes as [`Spiked`] sees them, and the rest of the
    /// min(m, n) modes noise, its density taken at `nodes` values (200 do).
    ///
    /// # Errors
    /// [`LinearError::Setting`] for a strength that is negative or not finite, more of them than there are modes, or no nodes.
    pub fn predicted(noise: &Spiked, teacher: &[f64], nodes: usize) -> Result<Self, LinearError> {
        for &s in teacher {
            setting(
                "teacher",
                s,
                s >= 0.0 && s.is_finite(),
                "finite and not negative",
            )?;
        }
        let count = teacher.len() as f64;
        let enough = teacher.len() <= noise.modes();
        setting(
            "teacher",
            count,
            enough,
            "at most min(rows, columns) strengths",
        )?;
        let mut modes = Self {
            values: teacher.iter().map(|&s| noise.observed(s)).collect(),
            weights: vec![1.0; teacher.len()],
            alignments: teacher.iter().map(|&s| noise.alignment(s)).collect(),
            teacher_power: teacher.iter().map(|s| s * s).sum(),
        };
        let rest = noise.modes() as f64 - count;
        for (value, weight) in noise.bulk(nodes)? {
            modes.values.push(value);
            modes.weights.push(rest * weight);
            modes.alignments.push(0.0);
        }
        Ok(modes)
    }

    /// ‖W̄‖², the test error of a student that has learned nothing.
    pub fn teacher_power(&self) -> f64 {
        self.teacher_power
    }

    /// ‖Σ̂‖², the training error of a student that has learned nothing.
    pub fn data_power(&self) -> f64 {
        let squares = self.values.iter().zip(&self.weights);
        squares.map(|(s, w)| w * s * s).sum()
    }

    /// The test error of the student that stops each mode at its best, where u_α = c_α: no time to stop reaches it.
    pub fn best_test(&self) -> f64 {
        let parts = self.alignments.iter().zip(&self.weights);
        self.teacher_power - parts.map(|(c, w)| w * c.max(0.0).powi(2)).sum::<f64>()
    }

    /// Errors at each of the times.
    ///
    /// # Errors
    /// [`LinearError::Setting`] for a time that is negative or not finite.
    pub fn errors(&self, dynamics: &Dynamics, times: &[f64]) -> Result<Vec<Errors>, LinearError> {
        let strengths = dynamics.strengths(&self.values, times)?;
        let rows = strengths.rows().into_iter().zip(times);
        Ok(rows
            .map(|(learned, &time)| {
                let (mut train, mut test) = (0.0, self.teacher_power);
                for (k, &u) in learned.iter().enumerate() {
                    train += self.weights[k] * (self.values[k] - u).powi(2);
                    test += self.weights[k] * u * (u - 2.0 * self.alignments[k]);
                }
                Errors { time, train, test }
            })
            .collect())
    }

    /// The time up to `horizon` at which test error is least: the best of 500 times in geometric steps over nine decades, then golden section
    /// between its neighbours.
    ///
    /// # Errors
    /// [`LinearError::Setting`] for a horizon that is not finite and above 0.
    pub fn optimal_stopping(
        &self,
        dynamics: &Dynamics,
        horizon: f64,
    ) -> Result<Stopping, LinearError> {
        let good = horizon > 0.0 && horizon.is_finite();
        setting("horizon", horizon, good, "finite and above 0")?;
        const GRID: usize = 500;
        let mut times = vec![0.0];
        times
            .extend((1..=GRID).map(|i| horizon * 10f64.powf(9.0 * (i as f64 / GRID as f64 - 1.0))));
        let scan = self.errors(dynamics, &times)?;
        let mut least = 0;
        for (i, errors) in scan.iter().enumerate() {
            if errors.test < scan[least].test {
                least = i;
            }
        }
        let end = scan[GRID];
        let mut best = scan[least];
        let (mut low, mut high) = (times[least.saturating_sub(1)], times[(least + 1).min(GRID)]);
        let ratio = 0.5 * (5f64.sqrt() - 1.0);
        for _ in 0..40 {
            let inner = [high - ratio * (high - low), low + ratio * (high - low)];
            let found = self.errors(dynamics, &inner)?;
            for errors in &found {
                if errors.test < best.test {
                    best = *errors;
                }
            }
            if found[0].test <= found[1].test {
                high = inner[1];
            } else {
                low = inner[0];
            }
        }
        Ok(Stopping {
            best,
            end,
            overfits: best.test < end.test,
        })
    }
}
