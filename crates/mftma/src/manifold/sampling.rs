//! Gaussian vectors in chunks, and the anchor point of each.

use ndarray::{Array2, ArrayView2};
use rand_distr::{ChiSquared, Distribution, StandardNormal};

use super::normal::mean_squared_excess;
use super::problem::ManifoldProblem;
use super::settings::{Sampling, VarianceReduction};
use crate::solver::kernels::{
    Rows, argmax, combine, dot, orthogonalise, padded, product, squared_excess,
};
use crate::solver::{SolverStatus, Workspace};
use crate::streams;

/// Vectors drawn from one random stream.
const CHUNK: usize = 64;

/// Doubles of S̃ᵀT held at a time: they should stay in the second-level cache.
const PRODUCTS: usize = 32 * 1024;

/// From this many vectors on a chunk is one unit of the standard errors, to bound memory.
const MERGE_FROM: usize = 16 * 1024;

/// How the vectors of one measurement are laid out; the same for any number of threads.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// Vectors per random stream: whole blocks.
    pub(super) chunk: usize,
    /// Vectors that are drawn together and so are one unit of the standard errors.
    pub(super) block: usize,
    reduction: VarianceReduction,
    /// Seed and manifold of the random streams.
    seed: u64,
    manifold: u64,
    /// Coordinates handed in beyond the rank.
    padding: usize,
}

impl Plan {
    pub(super) fn new(problem: &ManifoldProblem, sampling: &Sampling) -> Self {
        let n = problem.set.rank + 1;
        let (draw, mut block) = match sampling.variance_reduction {
            VarianceReduction::Independent => (1, 1),
            VarianceReduction::Antithetic => (2, 2),
            VarianceReduction::Orthogonal => (n, n),
            VarianceReduction::OrthogonalAntithetic => (2 * n, 2 * n),
        };
        let chunk = CHUNK.next_multiple_of(draw);
        let most = sampling.relative_error.map_or(sampling.vectors, |_| {
            sampling.max_vectors.max(sampling.vectors)
        });
        if most > MERGE_FROM {
            block = chunk;
        }
        Self {
            chunk,
            block,
            reduction: sampling.variance_reduction,
            seed: sampling.seed,
            manifold: sampling.stream,
            padding: problem.handed_in_dimension - problem.set.rank,
        }
    }

    pub(super) fn supplied(problem: &ManifoldProblem, vectors: usize) -> Self {
        Self {
            chunk: vectors,
            block: 1,
            reduction: VarianceReduction::Independent,
            seed: 0,
            manifold: 0,
            padding: problem.handed_in_dimension - problem.set.rank,
        }
    }
}

/// One Gaussian vector's anchor point.
pub(super) struct Anchor<'a> {
    pub(super) f: f64,
    pub(super) status: SolverStatus,
    pub(super) kkt: f64,
    /// s(T) in coordinates of the span, padded.
    pub(super) position: &'a [f64],
    /// Points with a positive multiplier, and the multipliers.
    pub(super) members: &'a [u32],
    pub(super) multipliers: &'a [f64],
    /// t·s(T).
    pub(super) overlap: f64,
    /// ‖s(T)‖².
    pub(super) squared_length: f64,
    /// ‖t‖² in the span, and in the coordinates handed in.
    pub(super) t_squared: f64,
    pub(super) t_squared_handed_in: f64,
    /// Functions of T with known means; see [`expected_controls`].
    pub(super) controls: [f64; CONTROLS],
}

/// Number of control variates.
pub(super) const CONTROLS: usize = 3;

/// Means over Gaussian vectors of the control variates: Σ_j F of point j alone, ‖(t, t₀ + κ)‖² and max(0, t₀ + κ)².
pub(super) fn expected_controls(problem: &ManifoldProblem, margin: f64) -> [f64; CONTROLS] {
    let alone = |g: f64| mean_squared_excess(g.sqrt(), margin) / g;
    [
        problem.set.diagonal.iter().map(|&g| alone(g)).sum(),
        (problem.set.rank + 1) as f64 + margin * margin,
        alone(1.0),
    ]
}

/// Vectors of one chunk and the scratch memory to solve them.
pub(super) struct Chunk {
    /// (chunk, rank), rows padded: t in coordinates of the span.
    t: Vec<f64>,
    t0: Vec<f64>,
    /// ‖t‖² beyond the span, in the coordinates handed in.
    beyond: Vec<f64>,
    /// S̃ᵀT of a few vectors.
    q: Vec<f64>,
    rows: usize,
    b: Vec<f64>,
    position: Vec<f64>,
    weights: Vec<f64>,
    block: Vec<f64>,
    workspace: Workspace,
}

impl Chunk {
    pub(super) fn new(problem: &ManifoldProblem, plan: &Plan) -> Self {
        let set = &problem.set;
        let rows = (PRODUCTS / set.m_stride).clamp(4, plan.chunk.next_multiple_of(4));
        let n = padded(set.rank + 1);
        Self {
            t: vec![0.0; plan.chunk * set.r_stride],
            t0: vec![0.0; plan.chunk],
            beyond: vec![0.0; plan.chunk],
            q: vec![0.0; rows * set.m_stride],
            rows,
            b: vec![0.0; set.m_stride],
            position: vec![0.0; set.r_stride],
            weights: Vec::with_capacity(set.rank + 1),
            block: vec![0.0; n * (set.rank + 1)],
            workspace: set.workspace(),
        }
    }

    /// Draw the vectors of chunk `index`.
    pub(super) fn draw(
        &mut self,
        problem: &ManifoldProblem,
        plan: &Plan,
        index: usize,
        count: usize,
    ) {
        let mut rng = streams::anchor_vectors(plan.seed, plan.manifold, index as u64);
        let (rank, stride) = (problem.set.rank, problem.set.r_stride);
        let set = |chunk: &mut Self, v: usize, sign: f64, coordinates: &[f64]| {
            if v < count {
                let row = &mut chunk.t[v * stride..][..rank];
                for (t, c) in row.iter_mut().zip(coordinates) {
                    *t = sign * c;
                }
                chunk.t0[v] = sign * coordinates[rank];
            }
        };
        match plan.reduction {
            VarianceReduction::Independent => {
                for v in 0..count {
                    for t in &mut self.t[v * stride..][..rank] {
                        *t = StandardNormal.sample(&mut rng);
                    }
                    self.t0[v] = StandardNormal.sample(&mut rng);
                }
            }
            VarianceReduction::Antithetic => {
                let mut row = core::mem::take(&mut self.block);
                for v in (0..count).step_by(2) {
                    for t in &mut row[..=rank] {
                        *t = StandardNormal.sample(&mut rng);
                    }
                    set(self, v, 1.0, &row[..=rank]);
                    set(self, v + 1, -1.0, &row[..=rank]);
                }
                self.block = row;
            }
            VarianceReduction::Orthogonal | VarianceReduction::OrthogonalAntithetic => {
                let n = rank + 1;
                let width = padded(n);
                let copies = if plan.reduction == VarianceReduction::Orthogonal {
                    1
                } else {
                    2
                };
                let mut block = core::mem::take(&mut self.block);
                for from in (0..count).step_by(copies * n) {
                    for row in block.chunks_exact_mut(width) {
                        for t in &mut row[..n] {
                            *t = StandardNormal.sample(&mut rng);
                        }
                    }
                    orthogonalise(problem.set.arch, &mut block, width);
                    for (i, row) in block.chunks_exact(width).enumerate() {
                        for copy in 0..copies {
                            let sign = if copy == 0 { 1.0 } else { -1.0 };
                            set(self, from + copies * i + copy, sign, &row[..n]);
                        }
                    }
                }
                self.block = block;
            }
        }
        self.beyond.fill(0.0);
        if plan.padding > 0
            && let Ok(beyond) = ChiSquared::new(plan.padding as f64)
        {
            for b in &mut self.beyond[..count] {
                *b = beyond.sample(&mut rng);
            }
        }
    }

    /// Take vectors (D + 1, n_t), one a column, given in the coordinates of the points.
    pub(super) fn load(
        &mut self,
        problem: &ManifoldProblem,
        basis: &Array2<f64>,
        vectors: ArrayView2<'_, f64>,
    ) {
        let (d, stride) = (problem.handed_in_dimension, problem.set.r_stride);
        let t = vectors.slice(ndarray::s![..d, ..]);
        let inside = basis.dot(&t);
        for v in 0..vectors.ncols() {
            let mut remaining: f64 = t.column(v).iter().map(|t| t * t).sum();
            for (r, &value) in inside.column(v).iter().enumerate() {
                self.t[v * stride + r] = value;
                remaining -= value * value;
            }
            self.t0[v] = vectors[[d, v]];
            self.beyond[v] = if problem.set.rank < d {
                remaining.max(0.0)
            } else {
                0.0
            };
        }
    }

    /// Solve for the first `count` vectors and hand each anchor point to `visit`.
    pub(super) fn each(
        &mut self,
        problem: &ManifoldProblem,
        margin: f64,
        count: usize,
        visit: &mut dyn FnMut(usize, Anchor<'_>),
    ) {
        let set = &problem.set;
        self.workspace.reset();
        let mut v = 0;
        while v < count {
            let rows = self.rows.min(count - v);
            let left = (&self.t[v * set.r_stride..], set.r_stride);
            product(
                set.arch,
                left,
                set.rank,
                &set.by_coordinate,
                set.m_stride,
                &mut self.q[..rows * set.m_stride],
            );
            for row in 0..rows {
                solve_one(problem, self, margin, v + row, row, visit);
            }
            v += rows;
        }
    }
}

fn solve_one(
    problem: &ManifoldProblem,
    chunk: &mut Chunk,
    margin: f64,
    v: usize,
    row: usize,
    visit: &mut dyn FnMut(usize, Anchor<'_>),
) {
    let set = &problem.set;
    let q = &chunk.q[row * set.m_stride..][..set.m_stride];
    let t = &chunk.t[v * set.r_stride..][..set.r_stride];
    let t_squared = dot(set.arch, t, t);
    let shift = chunk.t0[v] + margin;
    let (farthest, support) = argmax(set.arch, q, set.m);
    let (f, status, kkt, sum) = if support + shift > 0.0 {
        for (b, q) in chunk.b[..set.m].iter_mut().zip(q) {
            *b = q + shift;
        }
        let outcome = set.solve(
            &chunk.b,
            (t_squared + shift * shift).sqrt(),
            &mut chunk.workspace,
        );
        (outcome.f, outcome.status, outcome.kkt, outcome.sum)
    } else {
        (0.0, SolverStatus::Interior, 0.0, 0.0)
    };
    let bound = sum > 0.0;
    let members = if bound {
        chunk.workspace.members()
    } else {
        &[]
    };
    let multipliers = if bound {
        chunk.workspace.multipliers()
    } else {
        &[]
    };
    if bound {
        chunk.weights.clear();
        chunk.weights.extend(multipliers.iter().map(|x| x / sum));
        chunk.position.fill(0.0);
        let rows = Rows {
            data: &set.by_point,
            stride: set.r_stride,
            index: Some(members),
        };
        combine(set.arch, 1.0, &chunk.weights, rows, &mut chunk.position);
    } else {
        chunk
            .position
            .copy_from_slice(&set.by_point[farthest * set.r_stride..][..set.r_stride]);
    }
    let excess = shift.max(0.0);
    let anchor = Anchor {
        controls: [
            squared_excess(set.arch, q, &set.inverse_diagonal, shift),
            t_squared + shift * shift,
            excess * excess,
        ],
        f: if bound { f } else { 0.0 },
        status: if bound {
            status
        } else {
            SolverStatus::Interior
        },
        kkt,
        overlap: dot(set.arch, t, &chunk.position),
        squared_length: dot(set.arch, &chunk.position, &chunk.position),
        position: &chunk.position,
        members,
        multipliers,
        t_squared,
        t_squared_handed_in: t_squared + chunk.beyond[v],
    };
    visit(v, anchor);
}
