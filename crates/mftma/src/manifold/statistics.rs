//! Sums over Gaussian vectors, and the measures with standard errors that they give.
//!
//! Vectors that were drawn together (antithetic pairs, orthogonal blocks) are one unit: standard errors come from the
//! spread of the units, and by the delta method for what is not a plain mean.

use super::sampling::Anchor;
use super::{Dimensions, Estimate, ManifoldMeasures, ManifoldProblem};
use crate::solver::StatusCounts;

/// The reference divides s by √(‖s‖² + this); kept in its convention alone.
const REFERENCE_FLOOR: f64 = 1e-12;

const COUNT: usize = 0;
const F: usize = 1;
const SQUARED_RADIUS: usize = 2;
const COSINE: usize = 3;
const COSINE_HANDED_IN: usize = 4;
const SQUARED_OVERLAP: usize = 5;
const FIELDS: usize = 6;

/// Sums unit by unit.
#[derive(Clone, Debug)]
pub(super) struct Totals {
    rank: usize,
    /// (units, FIELDS)
    units: Vec<[f64; FIELDS]>,
    /// (units, rank): sums of s(T) relative to the mean point.
    positions: Vec<f64>,
    statuses: StatusCounts,
    worst: f64,
}

impl Totals {
    pub(super) fn new(rank: usize) -> Self {
        Self {
            rank,
            units: Vec::new(),
            positions: Vec::new(),
            statuses: StatusCounts::default(),
            worst: 0.0,
        }
    }

    /// Begin a unit.
    pub(super) fn open(&mut self) {
        self.units.push([0.0; FIELDS]);
        self.positions.resize(self.positions.len() + self.rank, 0.0);
    }

    /// Count a vector in the unit begun last.
    #[inline(always)]
    pub(super) fn add(&mut self, anchor: &Anchor<'_>, mean_point: &[f64]) {
        self.statuses.add(anchor.status);
        self.worst = self.worst.max(anchor.kkt);
        let Some(unit) = self.units.last_mut() else {
            return;
        };
        let from = self.positions.len() - self.rank;
        let mut squared = 0.0;
        for ((sum, s), mean) in self.positions[from..]
            .iter_mut()
            .zip(anchor.position)
            .zip(mean_point)
        {
            let s = s - mean;
            *sum += s;
            squared += s * s;
        }
        let length = anchor.squared_length;
        let (mut cosine, mut cosine_handed_in, mut overlap) = (0.0, 0.0, 0.0);
        if length > 0.0 && anchor.t_squared > 0.0 {
            overlap = anchor.overlap * anchor.overlap / length;
            cosine = anchor.overlap / (length * anchor.t_squared).sqrt();
            cosine_handed_in =
                anchor.overlap / ((length + REFERENCE_FLOOR) * anchor.t_squared_handed_in).sqrt();
        }
        unit[COUNT] += 1.0;
        unit[F] += anchor.f;
        unit[SQUARED_RADIUS] += squared;
        unit[COSINE] += cosine;
        unit[COSINE_HANDED_IN] += cosine_handed_in;
        unit[SQUARED_OVERLAP] += overlap;
    }

    /// Add the units of a later chunk.
    pub(super) fn append(&mut self, later: &Self) {
        self.units.extend_from_slice(&later.units);
        self.positions.extend_from_slice(&later.positions);
        self.statuses.merge(&later.statuses);
        self.worst = self.worst.max(later.worst);
    }

    pub(super) fn measures(&self, problem: &ManifoldProblem) -> ManifoldMeasures {
        let n: f64 = self.units.iter().map(|unit| unit[COUNT]).sum();
        let mean = |field: usize| self.units.iter().map(|unit| unit[field]).sum::<f64>() / n;
        // Standard error of the mean of a quantity whose sum over unit u is `sum(u)`.
        let error = |mean: f64, sum: &dyn Fn(usize) -> f64| {
            let units = self.units.len() as f64;
            (units > 1.0).then(|| {
                let squares: f64 = (0..self.units.len())
                    .map(|u| (sum(u) - self.units[u][COUNT] * mean).powi(2))
                    .sum();
                (squares * units / (units - 1.0)).sqrt() / n
            })
        };
        let field_error = |field: usize, mean: f64| error(mean, &|u| self.units[u][field]);

        let f = mean(F);
        let f_error = field_error(F, f);
        let capacity = Estimate {
            value: f.recip(),
            standard_error: f_error.filter(|_| f > 0.0).map(|error| error / (f * f)),
        };

        let mut centre = vec![0.0; self.rank];
        if self.rank > 0 {
            for unit in self.positions.chunks_exact(self.rank) {
                for (c, s) in centre.iter_mut().zip(unit) {
                    *c += s / n;
                }
            }
        }
        let offset: f64 = centre.iter().map(|c| c * c).sum();
        let squared = (mean(SQUARED_RADIUS) - offset).max(0.0);
        let radius = squared.sqrt();
        // Influence of one vector on R²: ‖s‖² − 2 s·⟨s⟩ (and a constant).
        let influence = |u: usize| {
            let s = &self.positions[u * self.rank..][..self.rank];
            self.units[u][SQUARED_RADIUS]
                - 2.0 * s.iter().zip(&centre).map(|(s, c)| s * c).sum::<f64>()
        };
        let radius_error = error(squared - offset, &influence).map(|error| {
            if radius > 0.0 {
                error / (2.0 * radius)
            } else {
                0.0
            }
        });

        let cosine = |field: usize, d: usize| {
            let m = mean(field);
            Estimate {
                value: d as f64 * m * m,
                standard_error: field_error(field, m).map(|error| d as f64 * 2.0 * m.abs() * error),
            }
        };
        let overlap = mean(SQUARED_OVERLAP);

        ManifoldMeasures {
            capacity,
            radius: Estimate {
                value: radius,
                standard_error: radius_error,
            },
            dimension: Dimensions {
                cosine: cosine(COSINE, self.rank),
                cosine_handed_in: cosine(COSINE_HANDED_IN, problem.handed_in_dimension),
                mean_square: Estimate {
                    value: overlap,
                    standard_error: field_error(SQUARED_OVERLAP, overlap),
                },
            },
            points: problem.points(),
            rank: self.rank,
            handed_in_dimension: problem.handed_in_dimension,
            vectors: n as usize,
            statuses: self.statuses,
            worst_kkt_residual: self.worst,
            capacity_bias: f_error
                .filter(|_| f > 0.0)
                .map_or(0.0, |error| (error / f).powi(2)),
        }
    }
}
