//! Measuring a prepared manifold: drawing or taking Gaussian vectors, solving for each, averaging.

use ndarray::{Array1, Array2, ArrayView2};
use rayon::prelude::*;

use super::error::ProblemError;
use super::measures::{AnchorPoints, ManifoldMeasures};
use super::problem::{ManifoldProblem, check};
use super::sampling::{Chunk, Plan};
use super::settings::{Sampling, check_margin};
use super::statistics::Totals;
use crate::solver::SolverStatus;

impl ManifoldProblem {
    /// Measures over vectors drawn as `sampling` says, on rayon's current pool; the same bytes at any thread count.
    ///
    /// # Errors
    /// [`ProblemError`] where a setting is out of range.
    pub fn measure(&self, sampling: &Sampling) -> Result<ManifoldMeasures, ProblemError> {
        sampling.check()?;
        let plan = Plan::new(self, sampling);
        let mut totals = Totals::new(self.set.rank);
        let mut wanted = sampling.vectors;
        let mut chunks_done = 0;
        loop {
            let chunks = wanted.div_ceil(plan.chunk);
            let parts: Vec<Totals> = (chunks_done..chunks)
                .into_par_iter()
                .map_init(
                    || Chunk::new(self, &plan),
                    |chunk, index| {
                        let count = plan.chunk.min(wanted - index * plan.chunk);
                        chunk.draw(self, &plan, index, count);
                        Totals::of(chunk, self, &plan, sampling.margin, count)
                    },
                )
                .collect();
            for part in &parts {
                totals.append(part);
            }
            chunks_done = chunks;
            let measures = totals.measures(self, sampling.margin, sampling.control_variates);
            let Some(target) = sampling.relative_error else {
                return Ok(measures);
            };
            // Chunks stay whole, so that the vectors do not depend on how the number asked for was reached.
            let limit = sampling.max_vectors / plan.chunk * plan.chunk;
            let error = measures.relative_error();
            if error <= target || wanted >= limit {
                return Ok(measures);
            }
            let factor = if error.is_finite() {
                (error / target).powi(2) * 1.05
            } else {
                4.0
            };
            let next = (wanted as f64 * factor.clamp(1.25, 16.0)).ceil() as usize;
            wanted = next.next_multiple_of(plan.chunk).min(limit);
        }
    }

    /// Measures over supplied vectors (n_t, D + 1), one a row, the centre's coordinate last.
    ///
    /// # Errors
    /// [`ProblemError`] where the problem has no coordinates, or the vectors have another shape or are not finite.
    pub fn measure_supplied(
        &self,
        margin: f64,
        vectors: ArrayView2<'_, f64>,
    ) -> Result<ManifoldMeasures, ProblemError> {
        let (plan, mut chunk) = self.supplied(margin, vectors)?;
        Ok(Totals::of(&mut chunk, self, &plan, margin, vectors.nrows())
            .measures(self, margin, false))
    }

    /// The anchor point of each supplied vector (n_t, D + 1), one a row.
    ///
    /// # Errors
    /// As [`measure_supplied`](Self::measure_supplied).
    pub fn anchors(
        &self,
        margin: f64,
        vectors: ArrayView2<'_, f64>,
    ) -> Result<AnchorPoints, ProblemError> {
        let (_, mut chunk) = self.supplied(margin, vectors)?;
        let basis = self.basis.as_ref().ok_or(ProblemError::NoCoordinates)?;
        let (n, d, rank) = (vectors.nrows(), self.handed_in_dimension, self.set.rank);
        let mut result = AnchorPoints {
            f: Array1::zeros(n),
            anchors: Array2::ones((n, d + 1)),
            statuses: vec![SolverStatus::Interior; n],
            kkt_residuals: Array1::zeros(n),
            multipliers: vec![Vec::new(); n],
        };
        chunk.each(self, margin, n, &mut |v, anchor| {
            result.f[v] = anchor.f;
            result.statuses[v] = anchor.status;
            result.kkt_residuals[v] = anchor.kkt;
            for coordinate in 0..d {
                result.anchors[[v, coordinate]] = (0..rank)
                    .map(|r| basis[[r, coordinate]] * anchor.position[r])
                    .sum();
            }
            result.multipliers[v] = anchor
                .members
                .iter()
                .map(|&j| j as usize)
                .zip(anchor.multipliers.iter().copied())
                .collect();
        });
        Ok(result)
    }

    fn supplied(
        &self,
        margin: f64,
        vectors: ArrayView2<'_, f64>,
    ) -> Result<(Plan, Chunk), ProblemError> {
        let basis = self.basis.as_ref().ok_or(ProblemError::NoCoordinates)?;
        let expected = self.handed_in_dimension + 1;
        if vectors.ncols() != expected {
            return Err(ProblemError::VectorShape {
                expected,
                found: vectors.ncols(),
            });
        }
        if vectors.nrows() == 0 {
            return Err(ProblemError::NoVectors);
        }
        check("the Gaussian vectors", vectors)?;
        check_margin(margin)?;
        let plan = Plan::supplied(self, vectors.nrows());
        let mut chunk = Chunk::new(self, &plan);
        chunk.load(self, basis, vectors.reversed_axes());
        Ok((plan, chunk))
    }
}
