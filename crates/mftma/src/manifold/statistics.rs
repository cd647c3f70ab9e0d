//! Sums over Gaussian vectors, and the measures with standard errors that they give.
//!
//! Vectors that were drawn together (antithetic pairs, orthogonal blocks) are one unit: standard errors come from the
//! spread of the units, and by the delta method for what is not a plain mean.

use super::measures::{Dimensions, Estimate, ManifoldMeasures};
use super::problem::ManifoldProblem;
use super::sampling::{Anchor, CONTROLS, Chunk, Plan, expected_controls};
use crate::solver::StatusCounts;

/// The reference divides s by √(‖s‖² + this); kept in its convention alone.
const REFERENCE_FLOOR: f64 = 1e-12;

const COUNT: usize = 0;
const F: usize = 1;
const SQUARED_RADIUS: usize = 2;
const COSINE: usize = 3;
const COSINE_HANDED_IN: usize = 4;
const SQUARED_OVERLAP: usize = 5;
const FIRST_CONTROL: usize = 6;
const FIELDS: usize = FIRST_CONTROL + CONTROLS;

/// Fewer units than this are averaged plainly: regression would cost more than it explains.
const LEAST_UNITS: usize = 30;

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

    /// Solves for the first `count` vectors of `chunk` and sums what the measures need.
    pub(super) fn of(
        chunk: &mut Chunk,
        problem: &ManifoldProblem,
        plan: &Plan,
        margin: f64,
        count: usize,
    ) -> Self {
        let mut totals = Self::new(problem.set.rank);
        chunk.each(problem, margin, count, &mut |v, anchor| {
            if v.is_multiple_of(plan.block) {
                totals.open();
            }
            totals.add(&anchor, &problem.mean_point);
        });
        totals
    }

    /// Begin a unit.
    fn open(&mut self) {
        self.units.push([0.0; FIELDS]);
        self.positions.resize(self.positions.len() + self.rank, 0.0);
    }

    /// Count a vector in the unit begun last.
    fn add(&mut self, anchor: &Anchor<'_>, mean_point: &[f64]) {
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
        for (sum, control) in unit[FIRST_CONTROL..].iter_mut().zip(anchor.controls) {
            *sum += control;
        }
    }

    /// Add the units of a later chunk.
    pub(super) fn append(&mut self, later: &Self) {
        self.units.extend_from_slice(&later.units);
        self.positions.extend_from_slice(&later.positions);
        self.statuses.merge(&later.statuses);
        self.worst = self.worst.max(later.worst);
    }

    /// The measures, with averages corrected by the control variates where `controlled`.
    pub(super) fn measures(
        &self,
        problem: &ManifoldProblem,
        margin: f64,
        controlled: bool,
    ) -> ManifoldMeasures {
        let n: f64 = self.units.iter().map(|unit| unit[COUNT]).sum();
        let controls = Controls::new(
            &self.units,
            n,
            &expected_controls(problem, margin),
            controlled,
        );
        let mean = |field: usize| self.units.iter().map(|unit| unit[field]).sum::<f64>() / n;
        let average =
            |field: usize| controls.average(&self.units, n, mean(field), &|u| self.units[u][field]);

        let f = average(F);
        let inverse = f.value.max(0.0);
        let capacity = Estimate {
            value: inverse.recip(),
            standard_error: f
                .standard_error
                .filter(|_| inverse > 0.0)
                .map(|error| error / (inverse * inverse)),
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
        // R² = ⟨‖s‖²⟩ − ‖⟨s⟩‖²; the influence of one vector on it is ‖s‖² − 2 s·⟨s⟩ and a constant.
        let influence = |u: usize| {
            let s = &self.positions[u * self.rank..][..self.rank];
            self.units[u][SQUARED_RADIUS]
                - 2.0 * s.iter().zip(&centre).map(|(s, c)| s * c).sum::<f64>()
        };
        let squared = controls.average(
            &self.units,
            n,
            mean(SQUARED_RADIUS) - 2.0 * offset,
            &influence,
        );
        let radius = (squared.value + offset).max(0.0).sqrt();
        let radius = Estimate {
            value: radius,
            standard_error: squared.standard_error.map(|error| {
                if radius > 0.0 {
                    error / (2.0 * radius)
                } else {
                    0.0
                }
            }),
        };

        let cosine = |field: usize, d: usize| {
            let m = average(field);
            Estimate {
                value: d as f64 * m.value * m.value,
                standard_error: m
                    .standard_error
                    .map(|error| d as f64 * 2.0 * m.value.abs() * error),
            }
        };

        ManifoldMeasures {
            capacity,
            radius,
            dimension: Dimensions {
                cosine: cosine(COSINE, self.rank),
                cosine_handed_in: cosine(COSINE_HANDED_IN, problem.handed_in_dimension),
                mean_square: average(SQUARED_OVERLAP),
            },
            points: problem.points(),
            rank: self.rank,
            handed_in_dimension: problem.handed_in_dimension,
            vectors: n as usize,
            statuses: self.statuses,
            worst_kkt_residual: self.worst,
            capacity_bias: f
                .standard_error
                .filter(|_| inverse > 0.0)
                .map_or(0.0, |error| (error / inverse).powi(2)),
        }
    }
}

/// Control variates, centred, made orthonormal over the units: Σ_u c_u·c'_u is 1 for a control with itself, else 0.
struct Controls {
    /// (controls in use, units)
    units: Vec<Vec<f64>>,
    /// What each would add to a sum over all vectors, were its sample mean its true mean.
    gaps: Vec<f64>,
}

impl Controls {
    fn new(units: &[[f64; FIELDS]], n: f64, expected: &[f64; CONTROLS], wanted: bool) -> Self {
        let mut controls = Self {
            units: Vec::new(),
            gaps: Vec::new(),
        };
        if !wanted || units.len() < LEAST_UNITS {
            return controls;
        }
        for (field, &expected) in expected.iter().enumerate() {
            let sum: f64 = units.iter().map(|unit| unit[FIRST_CONTROL + field]).sum();
            let mut gap = expected - sum / n;
            let mut centred: Vec<f64> = units
                .iter()
                .map(|unit| unit[FIRST_CONTROL + field] - unit[COUNT] * sum / n)
                .collect();
            let size = norm(&centred);
            for (other, other_gap) in controls.units.iter().zip(&controls.gaps) {
                let c: f64 = other.iter().zip(&centred).map(|(a, b)| a * b).sum();
                gap -= c * other_gap;
                for (value, other) in centred.iter_mut().zip(other) {
                    *value -= c * other;
                }
            }
            let left = norm(&centred);
            // A control that others already explain, or that does not vary, has nothing to add.
            if left > 1e-6 * size && size > 1e-12 * sum.abs() {
                centred.iter_mut().for_each(|value| *value /= left);
                controls.units.push(centred);
                controls.gaps.push(gap / left);
            }
        }
        controls
    }

    /// A mean over vectors whose sum over unit u is `sum(u)`, corrected, with the standard error of what the controls
    /// leave unexplained.
    fn average(
        &self,
        units: &[[f64; FIELDS]],
        n: f64,
        mean: f64,
        sum: &dyn Fn(usize) -> f64,
    ) -> Estimate {
        let mut residual: Vec<f64> = units
            .iter()
            .enumerate()
            .map(|(u, unit)| sum(u) - unit[COUNT] * mean)
            .collect();
        let mut value = mean;
        for (control, gap) in self.units.iter().zip(&self.gaps) {
            let slope: f64 = control.iter().zip(&residual).map(|(a, b)| a * b).sum();
            value += slope * gap;
            for (residual, control) in residual.iter_mut().zip(control) {
                *residual -= slope * control;
            }
        }
        let count = units.len() as f64;
        let free = count - 1.0 - self.units.len() as f64;
        let standard_error = (free > 0.0).then(|| norm(&residual) * (count / free).sqrt() / n);
        Estimate {
            value,
            standard_error,
        }
    }
}

fn norm(x: &[f64]) -> f64 {
    x.iter().map(|x| x * x).sum::<f64>().sqrt()
}
