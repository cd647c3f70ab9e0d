//! The working active set: which multipliers are positive, their values, and the inverse of their Gram matrix.

use pulp::Simd;

use super::kernels::{LANES, argmax, axpy, combine, dot, padded};

/// A constraint whose part orthogonal to the active ones is below this fraction of its own squared length counts as
/// dependent on them: it then enters by exchange. Below it the inverse would keep fewer than about three digits.
const DEPENDENT: f64 = 1e-13;

/// Rounds of iterative refinement of the multipliers before the inverse is built anew.
const REFINEMENTS: usize = 4;

/// What the active set asks of the constraints: entries of G = K + 1, never the whole of it.
pub(super) trait Constraints {
    /// G_jj.
    fn diagonal(&self, j: usize) -> f64;
    /// out_i ← G_{members_i, j}.
    fn column<S: Simd>(&mut self, simd: S, j: usize, members: &[u32], out: &mut [f64]);
    /// g ← b − Gα for the α that is x on the members and 0 elsewhere.
    fn gradient<S: Simd>(&mut self, simd: S, members: &[u32], x: &[f64], b: &[f64], g: &mut [f64]);
}

/// How a run of the active-set method ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Optimal,
    Limit,
}

/// The active set and its inverse Gram matrix H = (G_PP)⁻¹, kept by rank-one updates.
#[derive(Debug, Default)]
pub(super) struct ActiveSet {
    pub(super) members: Vec<u32>,
    /// Multipliers of the members, then zeros.
    pub(super) x: Vec<f64>,
    h: Vec<f64>,
    stride: usize,
    capacity: usize,
    column: Vec<f64>,
    u: Vec<f64>,
    ratio: Vec<f64>,
}

impl ActiveSet {
    /// Room for `capacity` members: one more than the rank of G is never needed.
    pub(super) fn new(capacity: usize) -> Self {
        let stride = padded(capacity + 1);
        Self {
            members: Vec::with_capacity(capacity),
            x: vec![0.0; stride],
            h: vec![0.0; stride * (capacity + 1)],
            stride,
            capacity,
            column: vec![0.0; stride],
            u: vec![0.0; stride],
            ratio: vec![0.0; stride],
        }
    }

    pub(super) fn clear(&mut self) {
        self.members.clear();
        self.x.fill(0.0);
    }

    pub(super) fn len(&self) -> usize {
        self.members.len()
    }

    /// Length of the members' rows with padding.
    fn width(&self) -> usize {
        padded(self.len())
    }

    /// u ← H·column for constraint j, whose Gram column must be in `column`; the squared length of j's part orthogonal
    /// to the members, G_jj − columnᵀu.
    #[inline(always)]
    fn direction<S: Simd>(&mut self, simd: S, diagonal: f64) -> f64 {
        let (k, width) = (self.len(), self.width());
        self.u[..width].fill(0.0);
        let (h, stride) = (&self.h, self.stride);
        combine(
            simd,
            &self.column[..k],
            |i| &h[i * stride..][..width],
            &mut self.u[..width],
        );
        diagonal - dot(simd, &self.column[..width], &self.u[..width])
    }

    #[inline(always)]
    fn load_column<S: Simd, C: Constraints>(&mut self, simd: S, c: &mut C, j: usize) {
        let (k, width) = (self.len(), self.width());
        self.column[k..width].fill(0.0);
        c.column(simd, j, &self.members, &mut self.column[..k]);
    }

    /// Make j a member with multiplier `value`; `u` and `orthogonal` as `direction` left them.
    #[inline(always)]
    fn push<S: Simd>(&mut self, simd: S, j: usize, orthogonal: f64, value: f64) {
        let (k, width, stride) = (self.len(), self.width(), self.stride);
        let inverse = orthogonal.recip();
        let u = &self.u;
        if k == width {
            for row in self.h.chunks_exact_mut(stride).take(k) {
                row[k..k + LANES].fill(0.0);
            }
        }
        for (i, row) in self.h.chunks_exact_mut(stride).take(k).enumerate() {
            axpy(simd, u[i] * inverse, &u[..width], &mut row[..width]);
            row[k] = -u[i] * inverse;
        }
        let row = &mut self.h[k * stride..][..padded(k + 1)];
        row.fill(0.0);
        for (entry, u) in row.iter_mut().zip(&u[..k]) {
            *entry = -u * inverse;
        }
        row[k] = inverse;
        self.members.push(j as u32);
        self.x[k] = value;
    }

    /// Drop the member in slot i, moving the others so that they stay optimal among themselves.
    #[inline(always)]
    fn remove<S: Simd>(&mut self, simd: S, i: usize) {
        let (k, width, stride) = (self.len(), self.width(), self.stride);
        let last = k - 1;
        self.u[..width].copy_from_slice(&self.h[i * stride..][..width]);
        let inverse = self.u[i].recip();
        axpy(
            simd,
            -self.x[i] * inverse,
            &self.u[..width],
            &mut self.x[..width],
        );
        for (row, &u) in self.h.chunks_exact_mut(stride).zip(&self.u[..k]) {
            axpy(simd, -u * inverse, &self.u[..width], &mut row[..width]);
        }
        // The last member takes the free slot.
        self.h
            .copy_within(last * stride..last * stride + width, i * stride);
        for row in self.h.chunks_exact_mut(stride).take(k) {
            row[i] = row[last];
            row[last] = 0.0;
        }
        self.x[i] = self.x[last];
        self.x[last] = 0.0;
        self.column[i] = self.column[last];
        self.column[last] = 0.0;
        self.members.swap_remove(i);
    }

    /// x ← x + H r for r in `column`.
    #[inline(always)]
    fn add_solution<S: Simd>(&mut self, simd: S) {
        let (k, width) = (self.len(), self.width());
        let (h, stride) = (&self.h, self.stride);
        combine(
            simd,
            &self.column[..k],
            |i| &h[i * stride..][..width],
            &mut self.x[..width],
        );
    }

    /// Drop members with negative multipliers, the most negative first, until none is left.
    #[inline(always)]
    fn drop_negative<S: Simd>(&mut self, simd: S) {
        loop {
            let mut worst = (0, 0.0);
            for (i, &x) in self.x[..self.len()].iter().enumerate() {
                if x < worst.1 {
                    worst = (i, x);
                }
            }
            if worst.1 >= 0.0 {
                return;
            }
            self.remove(simd, worst.0);
        }
    }

    /// Start from a guess of the active set, leaving out dependent constraints and those with negative multipliers.
    #[inline(always)]
    pub(super) fn start<S: Simd, C: Constraints>(
        &mut self,
        simd: S,
        c: &mut C,
        b: &[f64],
        guess: impl Iterator<Item = usize>,
    ) {
        self.clear();
        for j in guess {
            if self.len() == self.capacity {
                break;
            }
            self.load_column(simd, c, j);
            let diagonal = c.diagonal(j);
            let orthogonal = self.direction(simd, diagonal);
            if orthogonal > DEPENDENT * diagonal {
                self.push(simd, j, orthogonal, 0.0);
            }
        }
        for (entry, &j) in self.column.iter_mut().zip(&self.members) {
            *entry = b[j as usize];
        }
        self.add_solution(simd);
        self.drop_negative(simd);
    }

    /// Raise the multiplier of j from 0 until its constraint holds with equality. Members whose multiplier reaches 0 on
    /// the way leave. The members stay optimal among themselves all along, so the dual objective only rises.
    #[inline(always)]
    fn enter<S: Simd, C: Constraints>(
        &mut self,
        simd: S,
        c: &mut C,
        j: usize,
        mut gradient: f64,
    ) -> bool {
        let diagonal = c.diagonal(j);
        self.load_column(simd, c, j);
        let mut value = 0.0;
        loop {
            let (k, width) = (self.len(), self.width());
            let orthogonal = self.direction(simd, diagonal);
            let independent = orthogonal > DEPENDENT * diagonal && k < self.capacity;
            let mut step = if independent {
                gradient / orthogonal
            } else {
                f64::INFINITY
            };
            let mut leaving = None;
            if k > 0 {
                let nearest = self.ratios(simd, width);
                if nearest < step {
                    step = nearest;
                    leaving = self.ratio[..k].iter().position(|&r| r == nearest);
                }
            }
            if !step.is_finite() {
                return false; // a column of zeros: cannot happen for G = K + 1, whose diagonal is at least 1
            }
            let (u, x) = (&self.u[..width], &mut self.x[..width]);
            axpy(simd, -step, u, x);
            value += step;
            let Some(i) = leaving else {
                self.push(simd, j, orthogonal, value);
                return true;
            };
            gradient -= step * orthogonal.max(0.0);
            self.x[i] = 0.0;
            self.remove(simd, i);
        }
    }

    /// ratio_i ← x_i / u_i where u_i > 0, infinity elsewhere; the smallest.
    #[inline(always)]
    fn ratios<S: Simd>(&mut self, simd: S, width: usize) -> f64 {
        let (x, _) = S::as_simd_f64s(&self.x[..width]);
        let (u, _) = S::as_simd_f64s(&self.u[..width]);
        let (ratio, _) = S::as_mut_simd_f64s(&mut self.ratio[..width]);
        let zero = simd.splat_f64s(0.0);
        let infinity = simd.splat_f64s(f64::INFINITY);
        let mut nearest = infinity;
        for ((ratio, x), u) in ratio.iter_mut().zip(x).zip(u) {
            let quotient = simd.div_f64s(simd.max_f64s(*x, zero), *u);
            *ratio = simd.select_f64s(simd.greater_than_f64s(*u, zero), quotient, infinity);
            nearest = simd.min_f64s(nearest, *ratio);
        }
        simd.reduce_min_f64s(nearest)
    }

    /// Bring the members' own residual below `tolerance` and leave b − Gα in `g`, with zeros at the members.
    /// Returns the largest |residual| of a member.
    #[inline(always)]
    fn polish<S: Simd, C: Constraints>(
        &mut self,
        simd: S,
        c: &mut C,
        b: &[f64],
        g: &mut [f64],
        tolerance: f64,
    ) -> f64 {
        let mut rounds = 0;
        loop {
            c.gradient(simd, &self.members, &self.x, b, g);
            let mut worst = 0.0_f64;
            let k = self.len();
            for (entry, &j) in self.column.iter_mut().zip(&self.members) {
                *entry = g[j as usize];
                worst = worst.max(entry.abs());
            }
            if worst <= 0.1 * tolerance || rounds == 2 * REFINEMENTS {
                for &j in &self.members {
                    g[j as usize] = 0.0;
                }
                return worst;
            }
            let width = self.width();
            self.column[k..width].fill(0.0);
            if rounds == REFINEMENTS {
                // Updates have worn the inverse out: build it again from the same members.
                let members = self.members.clone();
                self.start(simd, c, b, members.into_iter().map(|j| j as usize));
            } else {
                self.add_solution(simd);
                self.drop_negative(simd);
            }
            rounds += 1;
        }
    }

    /// From a state whose members are optimal among themselves to the optimum over all `n` constraints.
    ///
    /// `g` is left holding b − Gα, with zeros at the members. Returns also the largest |residual| of a member.
    #[inline(always)]
    pub(super) fn run<S: Simd, C: Constraints>(
        &mut self,
        simd: S,
        c: &mut C,
        b: &[f64],
        n: usize,
        g: &mut [f64],
        tolerance: f64,
        entries: &mut usize,
    ) -> (End, f64) {
        loop {
            let residual = self.polish(simd, c, b, g, tolerance);
            let (mut j, mut top) = argmax(simd, g, n);
            if top <= tolerance {
                return (End::Optimal, residual);
            }
            if *entries == 0 {
                return (End::Limit, residual);
            }
            if *entries < n {
                // Long past what any problem needs: take the first violated constraint (Bland), which cannot cycle.
                j = g[..n].iter().position(|&g| g > tolerance).unwrap_or(j);
                top = g[j];
            }
            *entries -= 1;
            if !self.enter(simd, c, j, top) {
                return (End::Limit, residual);
            }
        }
    }

    /// Σ α over the members.
    #[inline(always)]
    pub(super) fn total<S: Simd>(&self, simd: S) -> f64 {
        let width = self.width();
        if width == 0 {
            return 0.0;
        }
        let ones = simd.splat_f64s(1.0);
        let (x, _) = S::as_simd_f64s(&self.x[..width]);
        let mut sum = simd.splat_f64s(0.0);
        for x in x {
            sum = simd.mul_add_e_f64s(ones, *x, sum);
        }
        simd.reduce_sum_f64s(sum)
    }
}
