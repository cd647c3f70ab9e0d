//! The working active set: which multipliers are positive, their values, and the inverse of their Gram matrix.

use pulp::Arch;

use super::kernels::{LANES, Rows, argmax, axpy, combine, dot, padded, rank_one, ratios};

/// A constraint whose part orthogonal to the active ones is below this fraction of its own squared length counts as
/// dependent on them: it then enters by exchange. Below it the inverse would keep fewer than about three digits.
const DEPENDENT: f64 = 1e-13;

/// Rounds of iterative refinement of the multipliers before the inverse is built anew.
const REFINEMENTS: usize = 4;

/// An inverse is only built anew where the residual is so many times what the last new one left: where points nearly depend on each
/// other that is all there is to have, at any number of new inverses.
const WORN: f64 = 8.0;

/// So many constraints that lead back to members that were there before, without a gain, end a run.
const MOST_STUCK: usize = 8;

/// Where even a new inverse leaves a residual so many times the tolerance, [`DEPENDENT`] is raised by steps of [`STRICTER`], up to [`STRICTEST`].
const USELESS: f64 = 1e5;
const STRICTER: f64 = 100.0;
const STRICTEST: f64 = 1e-7;

/// Relative rise of the dual objective that is more than rounding.
const RISE: f64 = 1e-14;

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
    /// Violated constraints are left that depend on the members but for rounding.
    Stuck,
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
    /// Residual that the last inverse built anew left.
    floor: f64,
    /// What counts as dependent: [`DEPENDENT`], or more where that did not do.
    dependent: f64,
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
            floor: 0.0,
            dependent: DEPENDENT,
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
        (self.floor, self.dependent) = (0.0, DEPENDENT);
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
        self.fill(c, b, guess);
    }

    /// As [`Self::start`], on an empty set.
    fn fill<C: Constraints>(&mut self, c: &mut C, b: &[f64], guess: impl Iterator<Item = usize>) {
        for j in guess {
            if self.len() == self.capacity {
                break;
            }
            self.load_column(c, j);
            let diagonal = c.diagonal(j);
            let orthogonal = self.direction(diagonal);
            if orthogonal > self.dependent * diagonal {
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
            let independent = orthogonal > self.dependent * diagonal && k < self.capacity;
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
        let (mut rounds, mut anew) = (0, false);
        loop {
            c.gradient(&self.members, &self.x, b, g);
            let mut worst = 0.0_f64;
            let k = self.len();
            for (entry, &j) in self.column.iter_mut().zip(&self.members) {
                *entry = g[j as usize];
                worst = match entry.is_finite() {
                    true => worst.max(entry.abs()),
                    false => f64::INFINITY,
                };
            }
            let refined = rounds == REFINEMENTS;
            let mut useless = false;
            if anew && refined {
                self.floor = worst;
                useless = worst > USELESS * tolerance && self.dependent < STRICTEST;
                if useless {
                    self.dependent *= STRICTER;
                }
            }
            if worst <= 0.1 * tolerance
                || (refined && !useless && (anew || worst <= WORN * self.floor))
            {
                for &j in &self.members {
                    g[j as usize] = 0.0;
                }
                return worst;
            }
            let width = self.width();
            self.column[k..width].fill(0.0);
            if refined {
                // Updates have worn the inverse out: build it again from the same members.
                let members = core::mem::take(&mut self.members);
                self.x.fill(0.0);
                self.fill(c, b, members.into_iter().map(|j| j as usize));
                (rounds, anew) = (0, true);
            } else {
                self.add_solution();
                self.drop_negative();
                rounds += 1;
            }
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
        // Every entry raises the dual objective, so no members come twice: but by rounding, where they nearly depend on each other.
        let (mut best, mut seen, mut entered) = (None, Vec::new(), None);
        let (mut stuck, mut kept) = (Vec::new(), Vec::new());
        let mut refused = false;
        loop {
            let mut residual = self.polish(c, b, g, tolerance);
            let (mut j, mut top) = argmax(self.arch, g, n);
            if top <= tolerance && residual <= USELESS * tolerance {
                return (End::Optimal, residual);
            }
            let mut objective = self.objective(b);
            if residual > USELESS * tolerance {
                // No digits are left: back to members that had some, or to none.
                stuck.extend(entered);
                self.members.clear();
                self.x.fill(0.0);
                self.fill(c, b, kept.iter().map(|&j: &u32| j as usize));
                residual = self.polish(c, b, g, tolerance);
                objective = self.objective(b);
                (j, top) = argmax(self.arch, g, n);
            }
            let state = self.state();
            let risen = best.is_none_or(|best: f64| objective > best + RISE * best.abs());
            if risen && residual <= USELESS * tolerance {
                best = Some(objective);
                kept.clone_from(&self.members);
                seen.clear();
                stuck.clear();
            } else if seen.contains(&state) {
                stuck.extend(entered);
            }
            if refused {
                stuck.extend(entered);
            }
            seen.push(state);
            if !stuck.is_empty() {
                stuck.iter().for_each(|&j: &usize| g[j] = 0.0);
                (j, top) = argmax(self.arch, g, n);
            }
            if stuck.len() >= MOST_STUCK || (top <= tolerance && !stuck.is_empty()) {
                c.gradient(&self.members, &self.x, b, g);
                for &j in &self.members {
                    g[j as usize] = 0.0;
                }
                return (End::Stuck, residual);
            }
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
            entered = Some(j);
            refused = !self.enter(c, j, top);
        }
    }

    /// αᵀb, that is αᵀGα at the members' optimum.
    fn objective(&self, b: &[f64]) -> f64 {
        let pairs = self.members.iter().zip(&self.x);
        pairs.map(|(&j, x)| x * b[j as usize]).sum()
    }

    /// Tells one set of members from another, whatever their order.
    fn state(&self) -> u64 {
        self.members.iter().fold(0, |sum: u64, &j| {
            let mixed = (u64::from(j) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            sum.wrapping_add((mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9))
        })
    }

    /// Σ α over the members.
    pub(crate) fn total(&self) -> f64 {
        self.x[..self.len()].iter().sum()
    }
}
