//! The working active set: which multipliers are positive, their values, and the inverse of their Gram matrix.

use pulp::Arch;

use super::kernels::{LANES, Rows, argmax, axpy, combine, dot, padded, rank_one, ratios};

/// A constraint whose part orthogonal to the active ones is below this fraction of its own squared length counts as
/// dependent on them: it then enters by exchange. Below it the inverse would keep fewer than about three digits.
const DEPENDENT: f64 = 1e-13;

/// Rounds of iterative refinement of the multipliers before the inverse is built anew.
const REFINEMENTS: usize = 4;

/// What the active set asks of the constraints: entries of G = K + 1, never the whole of it.
pub(crate) trait Constraints {
    /// G_jj.
    fn diagonal(&self, j: usize) -> f64;
    /// out_i ← G_{members_i, j}.
    fn column(&mut self, j: usize, members: &[u32], out: &mut [f64]);
    /// g ← b − Gα for the α that is x on the members and 0 elsewhere.
    fn gradient(&mut self, members: &[u32], x: &[f64], b: &[f64], g: &mut [f64]);
}

/// How a run of the active-set method ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Optimal,
    Limit,
}

/// The active set and its inverse Gram matrix H = (G_PP)⁻¹, kept by rank-one updates.
#[derive(Debug)]
pub(crate) struct ActiveSet {
    arch: Arch,
    pub(crate) members: Vec<u32>,
    /// Multipliers of the members, then zeros.
    pub(crate) x: Vec<f64>,
    h: Vec<f64>,
    stride: usize,
    /// Members there is memory for, at most `capacity`.
    room: usize,
    capacity: usize,
    column: Vec<f64>,
    u: Vec<f64>,
    ratio: Vec<f64>,
}

impl ActiveSet {
    /// Room for `capacity` members: one more than the rank of G is never needed.
    pub(crate) fn new(arch: Arch, capacity: usize) -> Self {
        Self::with_room(arch, capacity, capacity)
    }

    /// As [`ActiveSet::new`], with memory for `room` members at first.
    pub(crate) fn with_room(arch: Arch, capacity: usize, room: usize) -> Self {
        let room = room.min(capacity);
        let stride = padded(room + 1);
        Self {
            arch,
            members: Vec::with_capacity(room),
            x: vec![0.0; stride],
            h: vec![0.0; stride * (room + 1)],
            stride,
            room,
            capacity,
            column: vec![0.0; stride],
            u: vec![0.0; stride],
            ratio: vec![0.0; stride],
        }
    }

    /// Memory for twice as many members.
    fn grow(&mut self) {
        let k = self.len();
        let room = (2 * self.room.max(8)).min(self.capacity);
        let stride = padded(room + 1);
        let mut h = vec![0.0; stride * (room + 1)];
        for (new, old) in h
            .chunks_exact_mut(stride)
            .zip(self.h.chunks_exact(self.stride))
            .take(k)
        {
            new[..self.stride].copy_from_slice(old);
        }
        self.h = h;
        for row in [&mut self.x, &mut self.column, &mut self.u, &mut self.ratio] {
            row.resize(stride, 0.0);
        }
        (self.room, self.stride) = (room, stride);
    }

    pub(crate) fn clear(&mut self) {
        self.members.clear();
        self.x.fill(0.0);
    }

    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }

    /// Length of the members' rows with padding.
    fn width(&self) -> usize {
        padded(self.len())
    }

    /// u ← H·column for constraint j, whose Gram column must be in `column`; the squared length of j's part orthogonal
    /// to the members, G_jj − columnᵀu.
    fn direction(&mut self, diagonal: f64) -> f64 {
        let (k, width) = (self.len(), self.width());
        self.u[..width].fill(0.0);
        let rows = Rows {
            data: &self.h,
            stride: self.stride,
            index: None,
        };
        combine(
            self.arch,
            1.0,
            &self.column[..k],
            rows,
            &mut self.u[..width],
        );
        diagonal - dot(self.arch, &self.column[..width], &self.u[..width])
    }

    fn load_column<C: Constraints>(&mut self, c: &mut C, j: usize) {
        let (k, width) = (self.len(), self.width());
        self.column[k..width].fill(0.0);
        c.column(j, &self.members, &mut self.column[..k]);
    }

    /// Make j a member with multiplier `value`; `u` and `orthogonal` as `direction` left them.
    fn push(&mut self, j: usize, orthogonal: f64, value: f64) {
        if self.len() == self.room && self.room < self.capacity {
            self.grow();
        }
        let (k, width, stride) = (self.len(), self.width(), self.stride);
        let inverse = orthogonal.recip();
        let u = &self.u;
        if k == width {
            for row in self.h.chunks_exact_mut(stride).take(k) {
                row[k..k + LANES].fill(0.0);
            }
        }
        rank_one(self.arch, inverse, &u[..width], k, &mut self.h, stride);
        for (row, u) in self.h.chunks_exact_mut(stride).zip(&u[..k]) {
            row[k] = -u * inverse;
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
    fn remove(&mut self, i: usize) {
        let (k, width, stride) = (self.len(), self.width(), self.stride);
        let last = k - 1;
        self.u[..width].copy_from_slice(&self.h[i * stride..][..width]);
        let inverse = self.u[i].recip();
        axpy(
            self.arch,
            -self.x[i] * inverse,
            &self.u[..width],
            &mut self.x[..width],
        );
        rank_one(
            self.arch,
            -inverse,
            &self.u[..width],
            k,
            &mut self.h,
            stride,
        );
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
    fn add_solution(&mut self) {
        let (k, width) = (self.len(), self.width());
        let rows = Rows {
            data: &self.h,
            stride: self.stride,
            index: None,
        };
        combine(
            self.arch,
            1.0,
            &self.column[..k],
            rows,
            &mut self.x[..width],
        );
    }

    /// Drop members with negative multipliers, the most negative first, until none is left.
    fn drop_negative(&mut self) {
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
            self.remove(worst.0);
        }
    }

    /// Start from a guess of the active set, leaving out dependent constraints and those with negative multipliers.
    pub(crate) fn start<C: Constraints>(
        &mut self,
        c: &mut C,
        b: &[f64],
        guess: impl Iterator<Item = usize>,
    ) {
        self.clear();
        for j in guess {
            if self.len() == self.capacity {
                break;
            }
            self.load_column(c, j);
            let diagonal = c.diagonal(j);
            let orthogonal = self.direction(diagonal);
            if orthogonal > DEPENDENT * diagonal {
                self.push(j, orthogonal, 0.0);
            }
        }
        for (entry, &j) in self.column.iter_mut().zip(&self.members) {
            *entry = b[j as usize];
        }
        self.add_solution();
        self.drop_negative();
    }

    /// Raise the multiplier of j from 0 until its constraint holds with equality. Members whose multiplier reaches 0 on
    /// the way leave. The members stay optimal among themselves all along, so the dual objective only rises.
    fn enter<C: Constraints>(&mut self, c: &mut C, j: usize, mut gradient: f64) -> bool {
        let diagonal = c.diagonal(j);
        self.load_column(c, j);
        let mut value = 0.0;
        loop {
            let (k, width) = (self.len(), self.width());
            let orthogonal = self.direction(diagonal);
            let independent = orthogonal > DEPENDENT * diagonal && k < self.capacity;
            let mut step = if independent {
                gradient / orthogonal
            } else {
                f64::INFINITY
            };
            let mut leaving = None;
            if k > 0 {
                let nearest = ratios(
                    self.arch,
                    &self.x[..width],
                    &self.u[..width],
                    &mut self.ratio[..width],
                );
                if nearest < step {
                    step = nearest;
                    leaving = self.ratio[..k].iter().position(|&r| r == nearest);
                }
            }
            if !step.is_finite() {
                // Nobody leaves: the points surround the centre, and the constraint is independent by its centre
                // coordinate alone, however small beside the points.
                if orthogonal <= 4.0 * f64::EPSILON * diagonal || k == self.capacity {
                    return false;
                }
                step = gradient / orthogonal;
            }
            let (u, x) = (&self.u[..width], &mut self.x[..width]);
            axpy(self.arch, -step, u, x);
            value += step;
            let Some(i) = leaving else {
                self.push(j, orthogonal, value);
                return true;
            };
            gradient -= step * orthogonal.max(0.0);
            self.x[i] = 0.0;
            self.remove(i);
        }
    }

    /// Bring the members' own residual below `tolerance` and leave b − Gα in `g`, with zeros at the members.
    /// Returns the largest |residual| of a member.
    fn polish<C: Constraints>(
        &mut self,
        c: &mut C,
        b: &[f64],
        g: &mut [f64],
        tolerance: f64,
    ) -> f64 {
        let mut rounds = 0;
        loop {
            c.gradient(&self.members, &self.x, b, g);
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
                self.start(c, b, members.into_iter().map(|j| j as usize));
            } else {
                self.add_solution();
                self.drop_negative();
            }
            rounds += 1;
        }
    }

    /// From a state whose members are optimal among themselves to the optimum over all `n` constraints.
    ///
    /// `g` is left holding b − Gα, with zeros at the members. Returns also the largest |residual| of a member.
    #[allow(clippy::too_many_arguments)] // one call a problem; a struct would only rename them
    pub(crate) fn run<C: Constraints>(
        &mut self,
        c: &mut C,
        b: &[f64],
        n: usize,
        g: &mut [f64],
        tolerance: f64,
        entries: &mut usize,
    ) -> (End, f64) {
        loop {
            let residual = self.polish(c, b, g, tolerance);
            let (mut j, mut top) = argmax(self.arch, g, n);
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
            if !self.enter(c, j, top) {
                return (End::Limit, residual);
            }
        }
    }

    /// Σ α over the members.
    pub(crate) fn total(&self) -> f64 {
        self.x[..self.len()].iter().sum()
    }
}
