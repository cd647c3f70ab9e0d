//! Exact anchor-point problems.
//!
//! For one Gaussian vector T the dual of paper.md §5 (Chung, Lee & Sompolinsky 2018, eq. 16 and its dual) is
//! min ½αᵀGα − αᵀb over α ≥ 0, with G = K + 1 (K the inner products of the points, 1 the centre's coordinate) and
//! b = S̃ᵀT + κ. It is solved to optimality by an active-set method on inner products alone:
//!
//! 1. a guess of the active set: the closed form for orthogonal points, then a few sweeps of coordinate descent;
//! 2. exact multipliers on that set, dropping the negative ones;
//! 3. while a constraint is violated, the most violated one enters: its multiplier rises, the members stay optimal among
//!    themselves, and a member whose multiplier falls to zero leaves. This is the dual method of Goldfarb & Idnani
//!    (1983, DOI 10.1007/BF02591962), which needs no full rank: a dependent constraint enters by exchange.
//!
//! Where there are many more points than dimensions, steps 2 and 3 see only the constraints that were violated so far
//! (constraint generation), and nothing M × M is ever formed.

pub(crate) mod active_set;
pub(crate) mod kernels;

use pulp::Arch;
use serde::{Deserialize, Serialize};

use active_set::{ActiveSet, Constraints, End};
use kernels::{Guess, Rows, argmax, combine, padded};

/// Outcome for one Gaussian vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum SolverStatus {
    /// Optimal, and every binding constraint carries a positive multiplier.
    Solved,
    /// No constraint binds: F(T) = 0.
    Interior,
    /// Optimal, but constraints bind that carry no multiplier (coincident points, or the apex of the cone with more
    /// points than dimensions): the anchor point is unique, its multipliers need not be.
    Degenerate,
    /// Violated constraints are left that could not be met any better, or the iteration limit came first; the residual says how far
    /// from the optimum. It is known of points whose inner products leave too few digits in double precision: more than about 1e5
    /// distances of the centre away, or in directions that differ by 1e6 in size.
    IterationLimit,
}

/// How many vectors ended with each [`SolverStatus`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StatusCounts {
    /// [`SolverStatus::Solved`].
    pub solved: usize,
    /// [`SolverStatus::Interior`].
    pub interior: usize,
    /// [`SolverStatus::Degenerate`].
    pub degenerate: usize,
    /// [`SolverStatus::IterationLimit`].
    pub iteration_limit: usize,
}

impl StatusCounts {
    /// Count one more vector.
    pub(crate) fn add(&mut self, status: SolverStatus) {
        match status {
            SolverStatus::Solved => self.solved += 1,
            SolverStatus::Interior => self.interior += 1,
            SolverStatus::Degenerate => self.degenerate += 1,
            SolverStatus::IterationLimit => self.iteration_limit += 1,
        }
    }

    /// Sum of two counts.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.solved += other.solved;
        self.interior += other.interior;
        self.degenerate += other.degenerate;
        self.iteration_limit += other.iteration_limit;
    }
}

/// Tuning of the solver; the answer does not depend on it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tuning {
    /// Relative violation below which a constraint counts as satisfied.
    pub(crate) tolerance: f64,
    /// Most sweeps of coordinate descent for the first guess.
    pub(crate) sweeps: usize,
    /// Points per dimension above which constraints are generated rather than held.
    pub(crate) generate_above: usize,
    /// Most constraints taken up at once.
    pub(crate) batch: usize,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            tolerance: 1e-13,
            sweeps: 6,
            generate_above: 5,
            batch: 16,
        }
    }
}

/// Points of one manifold in coordinates of their own span, as the solver reads them.
#[derive(Clone, Debug)]
pub(crate) struct PointSet {
    /// Number of points M.
    pub(crate) m: usize,
    /// Dimension r of their span.
    pub(crate) rank: usize,
    /// (r, M) row-major, rows padded to `m_stride`.
    pub(crate) by_coordinate: Vec<f64>,
    pub(crate) m_stride: usize,
    /// (M, r) row-major, rows padded to `r_stride`.
    pub(crate) by_point: Vec<f64>,
    pub(crate) r_stride: usize,
    /// G_jj = K_jj + 1.
    pub(crate) diagonal: Vec<f64>,
    /// 1/G_jj, padded.
    pub(crate) inverse_diagonal: Vec<f64>,
    /// 1/K_jj, padded; points next to the centre count as a thousandth of the longest away from it.
    inverse_lengths: Vec<f64>,
    /// G (M, M), rows padded to `m_stride`, where it is held.
    gram: Option<Vec<f64>>,
    /// √max G_jj: the length of the longest S̃.
    longest: f64,
    tuning: Tuning,
    pub(crate) arch: Arch,
}

impl PointSet {
    /// From coordinates (r, M) row-major; `gram` is K (M, M) where it is known more exactly than from the coordinates.
    pub(crate) fn new(
        m: usize,
        rank: usize,
        coordinates: &[f64],
        gram: Option<&dyn Fn(usize, usize) -> f64>,
    ) -> Self {
        Self::with_tuning(m, rank, coordinates, gram, Tuning::default())
    }

    /// As [`PointSet::new`], never forming the (M, M) Gram matrix: for a single solve.
    pub(crate) fn generated(m: usize, rank: usize, coordinates: &[f64]) -> Self {
        Self::with_tuning(
            m,
            rank,
            coordinates,
            None,
            Tuning {
                generate_above: 0,
                ..Tuning::default()
            },
        )
    }

    fn with_tuning(
        m: usize,
        rank: usize,
        coordinates: &[f64],
        gram: Option<&dyn Fn(usize, usize) -> f64>,
        tuning: Tuning,
    ) -> Self {
        let (m_stride, r_stride) = (padded(m), padded(rank));
        let mut by_coordinate = vec![0.0; rank * m_stride];
        let mut by_point = vec![0.0; m * r_stride];
        for d in 0..rank {
            for j in 0..m {
                let value = coordinates[d * m + j];
                by_coordinate[d * m_stride + j] = value;
                by_point[j * r_stride + d] = value;
            }
        }
        let row = |j: usize| &by_point[j * r_stride..(j + 1) * r_stride];
        let inner = |i: usize, j: usize| match gram {
            Some(gram) => gram(i, j),
            None => row(i).iter().zip(row(j)).map(|(a, b)| a * b).sum(),
        };
        let diagonal: Vec<f64> = (0..m).map(|j| 1.0 + inner(j, j).max(0.0)).collect();
        let mut inverse_diagonal = vec![0.0; m_stride];
        for (inverse, diagonal) in inverse_diagonal.iter_mut().zip(&diagonal) {
            *inverse = diagonal.recip();
        }
        let held = m <= 64 || m <= tuning.generate_above * rank;
        let gram = held.then(|| {
            let mut g = vec![0.0; m * m_stride];
            for i in 0..m {
                g[i * m_stride + i] = diagonal[i];
                for j in 0..i {
                    let value = 1.0 + 0.5 * (inner(i, j) + inner(j, i));
                    g[i * m_stride + j] = value;
                    g[j * m_stride + i] = value;
                }
            }
            g
        });
        let longest = diagonal.iter().fold(1.0_f64, |a, &b| a.max(b)).sqrt();
        let floor = 1e-6 * longest * longest;
        let mut inverse_lengths = vec![0.0; m_stride];
        for (inverse, diagonal) in inverse_lengths.iter_mut().zip(&diagonal) {
            *inverse = (diagonal - 1.0).max(floor).recip();
        }
        Self {
            m,
            rank,
            by_coordinate,
            m_stride,
            by_point,
            r_stride,
            diagonal,
            inverse_diagonal,
            inverse_lengths,
            gram,
            longest,
            tuning,
            arch: crate::simd::arch(),
        }
    }

    fn point(&self, j: usize) -> &[f64] {
        &self.by_point[j * self.r_stride..][..self.r_stride]
    }

    /// Scratch for [`PointSet::solve`], allocated once per thread of work.
    pub(crate) fn workspace(&self) -> Workspace {
        let capacity = (self.rank + 1).min(self.m);
        let local = if self.gram.is_some() {
            Local::default()
        } else {
            Local::new(self)
        };
        Workspace {
            active: ActiveSet::new(self.arch, capacity),
            g: vec![0.0; self.m_stride],
            alpha: vec![0.0; self.m_stride],
            position: vec![0.0; self.r_stride],
            local,
            selectivity: 0.6,
        }
    }

    /// Solve for one vector. `b` = S̃ᵀT + κ, padded with zeros to `m_stride`; `length` = ‖(t, t₀ + κ)‖ sets the scale
    /// of the residual. The active multipliers are left in the workspace.
    pub(crate) fn solve(&self, b: &[f64], length: f64, w: &mut Workspace) -> Outcome {
        self.solve_from(&[], b, length, w)
    }

    /// As [`PointSet::solve`]; where G is not held, it starts from `guess`, the points whose constraints are thought active.
    pub(crate) fn solve_from(
        &self,
        guess: &[u32],
        b: &[f64],
        length: f64,
        w: &mut Workspace,
    ) -> Outcome {
        let scale = self.longest * length.max(f64::MIN_POSITIVE);
        let tolerance = self.tuning.tolerance * scale;
        let mut entries = 20 * self.m + 1000;
        w.active.clear();
        let (end, residual) = match &self.gram {
            Some(gram) => self.solve_held(gram, b, tolerance, &mut entries, w),
            None => self.solve_generated(guess, b, tolerance, &mut entries, w),
        };
        // What is left in g is b − Gα with zeros at the members.
        let mut violation = 0.0_f64;
        let mut binding = 0;
        for &g in &w.g[..self.m] {
            violation = violation.max(g);
            binding += usize::from(g >= -tolerance);
        }
        let kkt = violation.max(residual) / scale;
        let sum = w.active.total();
        let mut f = 0.0;
        for (&j, &x) in w.members().iter().zip(&w.active.x) {
            f += x * b[j as usize];
        }
        let status = if end != End::Optimal && kkt > 1e-10 {
            SolverStatus::IterationLimit
        } else if w.active.len() == 0 {
            SolverStatus::Interior
        } else if binding > w.active.len() {
            SolverStatus::Degenerate
        } else {
            SolverStatus::Solved
        };
        Outcome {
            f: f.max(0.0),
            sum,
            status,
            kkt,
        }
    }

    /// The whole of G at hand.
    fn solve_held(
        &self,
        gram: &[f64],
        b: &[f64],
        tolerance: f64,
        entries: &mut usize,
        w: &mut Workspace,
    ) -> (End, f64) {
        let mut held = Held {
            arch: self.arch,
            gram,
            stride: self.m_stride,
            diagonal: &self.diagonal,
        };
        if 2 * self.rank >= self.m {
            self.arch.dispatch(Guess {
                gram,
                stride: self.m_stride,
                inverse_diagonal: &self.inverse_diagonal,
                inverse_lengths: &self.inverse_lengths,
                b,
                tolerance,
                sweeps: self.tuning.sweeps,
                alpha: &mut w.alpha[..self.m],
                g: &mut w.g,
            });
            let alpha = &w.alpha;
            w.active
                .start(&mut held, b, (0..self.m).filter(|&j| alpha[j] > 0.0));
        }
        w.active
            .run(&mut held, b, self.m, &mut w.g, tolerance, entries)
    }

    /// Take up the constraints within a fraction of the most violated one; the fraction follows what the last vectors of
    /// the same chunk needed.
    fn take_most_violated(&self, b: &[f64], w: &mut Workspace) {
        let top = argmax(self.arch, b, self.m).1;
        let wanted = self.rank + 8;
        let threshold = (w.selectivity * top).max(0.0);
        let taken = w.local.take(self, b, b, threshold, 2 * wanted);
        w.selectivity = if taken > wanted + wanted / 2 {
            (w.selectivity + 0.02).min(0.95)
        } else if taken < wanted {
            (w.selectivity - 0.02).max(0.0)
        } else {
            w.selectivity
        };
    }

    /// Constraints taken up as they are violated.
    fn solve_generated(
        &self,
        guess: &[u32],
        b: &[f64],
        tolerance: f64,
        entries: &mut usize,
        w: &mut Workspace,
    ) -> (End, f64) {
        w.local.clear();
        if guess.is_empty() {
            self.take_most_violated(b, w);
        } else {
            for &j in guess {
                w.local.push(self, j as usize, b[j as usize]);
            }
            let mut b_local = core::mem::take(&mut w.local.b);
            let mut view = Generated {
                set: self,
                local: &mut w.local,
            };
            w.active.start(&mut view, &b_local, 0..guess.len());
            core::mem::swap(&mut w.local.b, &mut b_local);
        }
        loop {
            let n = w.local.ids.len();
            let stride = padded(n);
            w.local.g.resize(w.local.stride, 0.0);
            let mut b_local = core::mem::take(&mut w.local.b);
            let mut g_local = core::mem::take(&mut w.local.g);
            let mut view = Generated {
                set: self,
                local: &mut w.local,
            };
            let (end, residual) = w.active.run(
                &mut view,
                &b_local[..stride],
                n,
                &mut g_local[..stride],
                tolerance,
                entries,
            );
            core::mem::swap(&mut w.local.b, &mut b_local);
            core::mem::swap(&mut w.local.g, &mut g_local);
            // All constraints at this point: b − S̃ᵀ(S̃α).
            w.position.fill(0.0);
            let members = &w.active.members;
            let ids = &w.local.ids;
            w.local.globals.clear();
            w.local
                .globals
                .extend(members.iter().map(|&i| ids[i as usize]));
            let x = &w.active.x[..members.len()];
            let rows = Rows {
                data: &self.by_point,
                stride: self.r_stride,
                index: Some(&w.local.globals),
            };
            combine(self.arch, 1.0, x, rows, &mut w.position);
            let sum = w.active.total();
            for (g, b) in w.g.iter_mut().zip(b) {
                *g = b - sum;
            }
            let rows = Rows {
                data: &self.by_coordinate,
                stride: self.m_stride,
                index: None,
            };
            combine(self.arch, -1.0, &w.position[..self.rank], rows, &mut w.g);
            for &j in &w.local.globals {
                w.g[j as usize] = 0.0;
            }
            let top = argmax(self.arch, &w.g, self.m).1;
            if top <= tolerance || end != End::Optimal {
                return (end, residual);
            }
            if w.local.ids.len() + self.tuning.batch > w.local.stride {
                w.local.keep_only(self, b, &mut w.active.members);
            }
            let threshold = (0.5 * top).max(tolerance);
            w.local.take(self, b, &w.g, threshold, self.tuning.batch);
        }
    }
}

/// What [`PointSet::solve`] finds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outcome {
    /// F(T) = αᵀGα.
    pub(crate) f: f64,
    /// Σα.
    pub(crate) sum: f64,
    pub(crate) status: SolverStatus,
    /// Largest violation of a KKT condition, relative to ‖T‖ times the longest S̃.
    pub(crate) kkt: f64,
}

/// Scratch memory of [`PointSet::solve`], and the multipliers of the last solution.
#[derive(Debug)]
pub(crate) struct Workspace {
    active: ActiveSet,
    g: Vec<f64>,
    alpha: Vec<f64>,
    position: Vec<f64>,
    local: Local,
    selectivity: f64,
}

impl Workspace {
    /// Indices of the points with a positive multiplier.
    pub(crate) fn members(&self) -> &[u32] {
        if self.local.stride > 0 {
            &self.local.globals
        } else {
            &self.active.members
        }
    }

    /// Their multipliers, in the same order.
    pub(crate) fn multipliers(&self) -> &[f64] {
        &self.active.x[..self.active.len()]
    }

    /// Forget what earlier vectors taught: chunks of vectors must not depend on which thread ran what before.
    pub(crate) fn reset(&mut self) {
        self.selectivity = 0.6;
    }
}

struct Held<'a> {
    arch: Arch,
    gram: &'a [f64],
    stride: usize,
    diagonal: &'a [f64],
}

impl Constraints for Held<'_> {
    fn diagonal(&self, j: usize) -> f64 {
        self.diagonal[j]
    }

    fn column(&mut self, j: usize, members: &[u32], out: &mut [f64]) {
        let row = &self.gram[j * self.stride..][..self.stride];
        for (out, &i) in out.iter_mut().zip(members) {
            *out = row[i as usize];
        }
    }

    fn gradient(&mut self, members: &[u32], x: &[f64], b: &[f64], g: &mut [f64]) {
        g.copy_from_slice(b);
        let rows = Rows {
            data: self.gram,
            stride: self.stride,
            index: Some(members),
        };
        combine(self.arch, -1.0, &x[..members.len()], rows, g);
    }
}

/// The constraints taken up so far, in both layouts.
#[derive(Debug, Default)]
struct Local {
    /// Their indices among all points.
    ids: Vec<u32>,
    /// (r, stride): coordinates of the constraints taken up.
    by_coordinate: Vec<f64>,
    stride: usize,
    b: Vec<f64>,
    g: Vec<f64>,
    y: Vec<f64>,
    full_column: Vec<f64>,
    globals: Vec<u32>,
}

impl Local {
    fn new(set: &PointSet) -> Self {
        let stride = padded(6 * (set.rank + 8) + 2 * set.tuning.batch);
        Self {
            ids: Vec::with_capacity(stride),
            by_coordinate: vec![0.0; set.rank * stride],
            stride,
            b: vec![0.0; stride],
            g: vec![0.0; stride],
            y: vec![0.0; set.r_stride],
            full_column: vec![0.0; stride],
            globals: Vec::with_capacity(set.rank + 1),
        }
    }

    fn clear(&mut self) {
        self.ids.clear();
        self.globals.clear();
    }

    fn push(&mut self, set: &PointSet, j: usize, b: f64) {
        let n = self.ids.len();
        for (d, &value) in set.point(j)[..set.rank].iter().enumerate() {
            self.by_coordinate[d * self.stride + n] = value;
        }
        self.b[n] = b;
        self.ids.push(j as u32);
    }

    /// Take up to `most` constraints whose `score` exceeds `threshold`, and at least the highest scoring one.
    fn take(
        &mut self,
        set: &PointSet,
        b: &[f64],
        score: &[f64],
        threshold: f64,
        most: usize,
    ) -> usize {
        let before = self.ids.len();
        for (chunk, scores) in score[..set.m_stride]
            .chunks_exact(kernels::LANES)
            .enumerate()
        {
            if !scores.iter().fold(false, |any, &s| any | (s > threshold)) {
                continue;
            }
            for (lane, &s) in scores.iter().enumerate() {
                let j = chunk * kernels::LANES + lane;
                if s > threshold && j < set.m && self.ids.len() - before < most {
                    self.push(set, j, b[j]);
                }
            }
        }
        self.ids.len() - before
    }

    /// Make room: keep the members alone, in their order.
    fn keep_only(&mut self, set: &PointSet, b: &[f64], members: &mut [u32]) {
        let kept: Vec<u32> = members.iter().map(|&i| self.ids[i as usize]).collect();
        self.ids.clear();
        for (slot, &j) in kept.iter().enumerate() {
            self.push(set, j as usize, b[j as usize]);
            members[slot] = slot as u32;
        }
    }
}

struct Generated<'a> {
    set: &'a PointSet,
    local: &'a mut Local,
}

impl Constraints for Generated<'_> {
    fn diagonal(&self, j: usize) -> f64 {
        self.set.diagonal[self.local.ids[j] as usize]
    }

    fn column(&mut self, j: usize, members: &[u32], out: &mut [f64]) {
        let Local {
            ids,
            by_coordinate,
            stride,
            full_column,
            ..
        } = &mut *self.local;
        let width = padded(ids.len());
        let full = &mut full_column[..width];
        full.fill(1.0);
        let point = &self.set.point(ids[j] as usize)[..self.set.rank];
        let rows = Rows {
            data: by_coordinate,
            stride: *stride,
            index: None,
        };
        combine(self.set.arch, 1.0, point, rows, full);
        for (out, &i) in out.iter_mut().zip(members) {
            *out = full[i as usize];
        }
    }

    fn gradient(&mut self, members: &[u32], x: &[f64], b: &[f64], g: &mut [f64]) {
        let Local {
            ids,
            by_coordinate,
            stride,
            y,
            globals,
            ..
        } = &mut *self.local;
        y.fill(0.0);
        let x = &x[..members.len()];
        globals.clear();
        globals.extend(members.iter().map(|&i| ids[i as usize]));
        let points = Rows {
            data: &self.set.by_point,
            stride: self.set.r_stride,
            index: Some(globals),
        };
        combine(self.set.arch, 1.0, x, points, y);
        let sum: f64 = x.iter().sum();
        for (g, b) in g.iter_mut().zip(b) {
            *g = b - sum;
        }
        let rows = Rows {
            data: by_coordinate,
            stride: *stride,
            index: None,
        };
        combine(self.set.arch, -1.0, &y[..self.set.rank], rows, g);
    }
}
