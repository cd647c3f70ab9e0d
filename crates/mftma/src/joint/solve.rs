//! The joint problem of one Gaussian vector: its projection on the cone of all signed points.
//!
//! The dual is min ½λᵀGλ − λᵀb over λ ≥ 0 with G_ij = y_i y_j ⟨z_i, z_j⟩ and b_i = y_i⟨z_i, t⟩ + κ. Few duals are positive, so
//! only a growing set of columns is worked on: coordinate descent finds about which, then the engine's active-set method
//! solves exactly on the set, and columns that are violated among *all* join it until none is.

use faer::Mat;
use pulp::Arch;

use crate::solver::SolverStatus;
use crate::solver::active_set::{ActiveSet, Constraints, End};
use crate::solver::kernels::{Rows, argmax, axpy, combine, padded};

/// Relative violation below which a constraint counts as satisfied.
const TOLERANCE: f64 = 1e-13;
/// Relative violation that the approximate rounds leave to the exact ones.
const ROUGH: f64 = 1e-4;
/// Columns of each manifold to begin with, and most that join at once.
const FIRST: usize = 6;
const JOIN: usize = 4;
/// Relative size of all ⟨z_i, v⟩ below which v is rounding, so that t lies in the cone.
const NOTHING_LEFT: f64 = 1e-9;
/// Rounds of approximate column generation, and sweeps of coordinate descent in each.
const ROUNDS: usize = 12;
const SWEEPS: usize = 60;

/// All points, as the solver reads them.
pub(super) struct Cone<'a> {
    /// ⟨z_i, z_j⟩ (n, n).
    pub(super) gram: &'a Mat<f64>,
    /// Manifold of each point.
    pub(super) classes: &'a [u32],
    /// First point of each manifold, and n.
    pub(super) starts: &'a [usize],
    /// Dimension of the points' span: more duals than that are never needed.
    pub(super) rank: usize,
    /// Length of the longest point.
    pub(super) longest: f64,
    pub(super) arch: Arch,
}

/// What one vector gives.
pub(super) struct Solution {
    /// Squared length of the projection.
    pub(super) f: f64,
    /// Points with a positive dual, in rising order, and the duals.
    pub(super) members: Vec<u32>,
    pub(super) multipliers: Vec<f64>,
    pub(super) status: SolverStatus,
    /// Whether some vector has the right sign of inner product with every labelled point.
    pub(super) separable: bool,
    /// Largest violation of a KKT condition over all points, relative to ‖t‖ times the longest point (plus κ).
    pub(super) kkt: f64,
    /// Columns that were looked at.
    pub(super) columns: usize,
}

/// Scratch memory, and the working set of columns.
pub(super) struct Workspace {
    active: ActiveSet,
    /// Points in the working set, and whether a point is.
    ids: Vec<u32>,
    taken: Vec<bool>,
    /// ±1 for each of them.
    signs: Vec<f64>,
    /// Their Gram matrix with signs, row by row, `stride` apart.
    g: Vec<f64>,
    stride: usize,
    b: Vec<f64>,
    gradient: Vec<f64>,
    lambda: Vec<f64>,
    /// b − Gλ of all points.
    all_b: Vec<f64>,
    all: Vec<f64>,
    found: Vec<(f64, u32)>,
}

/// The working set as the active-set method sees it.
struct View<'a> {
    arch: Arch,
    g: &'a [f64],
    stride: usize,
}

impl Constraints for View<'_> {
    fn diagonal(&self, j: usize) -> f64 {
        self.g[j * self.stride + j]
    }

    fn column(&mut self, j: usize, members: &[u32], out: &mut [f64]) {
        let row = &self.g[j * self.stride..][..self.stride];
        for (out, &i) in out.iter_mut().zip(members) {
            *out = row[i as usize];
        }
    }

    fn gradient(&mut self, members: &[u32], x: &[f64], b: &[f64], g: &mut [f64]) {
        g.copy_from_slice(b);
        let rows = Rows {
            data: self.g,
            stride: self.stride,
            index: Some(members),
        };
        combine(self.arch, -1.0, &x[..members.len()], rows, g);
    }
}

impl Workspace {
    pub(super) fn new(cone: &Cone<'_>) -> Self {
        let n = cone.classes.len();
        let stride = padded(n.min(256));
        Self {
            active: ActiveSet::with_room(cone.arch, cone.rank.min(n), 120),
            ids: Vec::new(),
            taken: vec![false; n],
            signs: Vec::new(),
            g: vec![0.0; stride * stride],
            stride,
            b: Vec::new(),
            gradient: Vec::new(),
            lambda: Vec::new(),
            all_b: vec![0.0; n],
            all: vec![0.0; n],
            found: Vec::new(),
        }
    }

    fn clear(&mut self) {
        for &j in &self.ids {
            self.taken[j as usize] = false;
        }
        self.ids.clear();
        self.signs.clear();
        self.active.clear();
        self.b.clear();
        self.gradient.clear();
        self.lambda.clear();
    }

    /// Put the point with sign `sign` into the working set, with dual 0.
    fn join(&mut self, cone: &Cone<'_>, point: u32, sign: f64) {
        let w = self.ids.len();
        if w == self.stride {
            let stride = padded((2 * w).min(cone.classes.len()));
            let mut g = vec![0.0; stride * stride];
            for (new, old) in g
                .chunks_exact_mut(stride)
                .zip(self.g.chunks_exact(self.stride))
            {
                new[..self.stride].copy_from_slice(old);
            }
            (self.g, self.stride) = (g, stride);
        }
        self.taken[point as usize] = true;
        self.ids.push(point);
        self.signs.push(sign);
        if padded(w + 1) > self.b.len() {
            // Columns beyond the set may hold an earlier vector's numbers.
            let (from, to) = (self.b.len(), padded(w + 1));
            for row in self.g.chunks_exact_mut(self.stride).take(w) {
                row[from..to].fill(0.0);
            }
            self.b.resize(to, 0.0);
            self.gradient.resize(to, 0.0);
            self.lambda.resize(to, 0.0);
        }
        self.g[w * self.stride..][..padded(w + 1)].fill(0.0);
        let column = cone.gram.col_as_slice(point as usize);
        let mut gradient = self.all_b[point as usize];
        self.b[w] = gradient;
        for i in 0..=w {
            let value = sign * self.signs[i] * column[self.ids[i] as usize];
            self.g[w * self.stride + i] = value;
            self.g[i * self.stride + w] = value;
            gradient -= value * self.lambda[i];
        }
        self.gradient[w] = gradient;
    }

    /// Let the most violated constraints in `all` of every manifold join; `false` if none is above `least`.
    fn join_violated(&mut self, cone: &Cone<'_>, labels: &[i8], most: usize, least: f64) -> bool {
        let before = self.ids.len();
        let mut found = core::mem::take(&mut self.found);
        for (class, &label) in labels.iter().enumerate() {
            if label == 0 {
                continue;
            }
            found.clear();
            let (from, to) = (cone.starts[class], cone.starts[class + 1]);
            for i in from..to {
                if self.all[i] > least && !self.taken[i] {
                    found.push((self.all[i], i as u32));
                }
            }
            found.sort_by(|x, y| y.0.total_cmp(&x.0).then(x.1.cmp(&y.1)));
            for &(_, i) in found.iter().take(most) {
                self.join(cone, i, f64::from(label));
            }
        }
        self.found = found;
        self.ids.len() > before
    }

    /// Coordinate descent on the working set until steps are short or there were enough of them.
    fn descend(&mut self, cone: &Cone<'_>, short: f64, tolerance: f64) {
        let width = padded(self.ids.len());
        for _ in 0..SWEEPS {
            let mut longest = 0.0_f64;
            for i in 0..self.ids.len() {
                let old = self.lambda[i];
                let slope = self.gradient[i];
                let row = &self.g[i * self.stride..][..width];
                if (old == 0.0 && slope <= tolerance) || row[i] <= 0.0 {
                    continue;
                }
                let new = (old + slope / row[i]).max(0.0);
                longest = longest.max((new - old).abs() * row[i].sqrt());
                self.lambda[i] = new;
                axpy(cone.arch, old - new, row, &mut self.gradient[..width]);
            }
            if longest <= short {
                break;
            }
        }
    }

    /// all ← b − Gλ over all points for duals of members of the working set.
    fn look_at_all(&mut self, cone: &Cone<'_>, labels: &[i8], duals: &[(u32, f64)]) {
        self.all.fill(0.0);
        for &(i, x) in duals {
            let column = cone.gram.col_as_slice(self.ids[i as usize] as usize);
            axpy_any(cone.arch, x * self.signs[i as usize], column, &mut self.all);
        }
        for (class, &label) in labels.iter().enumerate() {
            let points = cone.starts[class]..cone.starts[class + 1];
            let sign = f64::from(label);
            for (g, b) in self.all[points.clone()].iter_mut().zip(&self.all_b[points]) {
                *g = b - sign * *g;
            }
        }
    }

    /// Whether t lies in the cone: v = t − Σλ_i y_i z_i, of which `all` holds the inner products with all points, is 0 to rounding within their span.
    fn nothing_left(&self, cone: &Cone<'_>, labels: &[i8], scale: f64) -> bool {
        let labelled = cone
            .classes
            .iter()
            .map(|&class| labels[class as usize] != 0);
        let mut products = self
            .all
            .iter()
            .zip(labelled)
            .filter(|(_, labelled)| *labelled);
        products.all(|(product, _)| product.abs() <= NOTHING_LEFT * scale)
    }

    fn approximate_duals(&self) -> Vec<(u32, f64)> {
        let lambda = self.lambda.iter().take(self.ids.len()).enumerate();
        lambda
            .filter(|&(_, &x)| x > 0.0)
            .map(|(i, &x)| (i as u32, x))
            .collect()
    }

    fn exact_duals(&self) -> Vec<(u32, f64)> {
        let members = self.active.members.iter().zip(&self.active.x);
        members.map(|(&i, &x)| (i, x)).collect()
    }
}

/// As [`axpy`], for rows that are not padded: their last entries one by one.
fn axpy_any(arch: Arch, a: f64, x: &[f64], y: &mut [f64]) {
    let whole = x.len() - x.len() % crate::solver::kernels::LANES;
    axpy(arch, a, &x[..whole], &mut y[..whole]);
    for (y, x) in y[whole..].iter_mut().zip(&x[whole..]) {
        *y += a * x;
    }
}

impl Cone<'_> {
    /// Solve for one vector: `u` (n) holds ⟨z_i, t⟩, `length` is ‖t‖, `labels` (P) are ±1, or 0 for a manifold left out.
    pub(super) fn solve(
        &self,
        u: &[f64],
        length: f64,
        labels: &[i8],
        margin: f64,
        w: &mut Workspace,
    ) -> Solution {
        let mut found = self.project(u, length, labels, margin, w);
        if !found.separable {
            // t lies in the cone. If -t does too the cone holds a line, which that of separable points does not.
            let opposite: Vec<f64> = u.iter().map(|u| -u).collect();
            found.separable = self.project(&opposite, length, labels, margin, w).separable;
        }
        found
    }

    /// As [`Cone::solve`], but points whose cone holds t do not count as separable.
    fn project(
        &self,
        u: &[f64],
        length: f64,
        labels: &[i8],
        margin: f64,
        w: &mut Workspace,
    ) -> Solution {
        w.clear();
        let scale = (self.longest * length + margin).max(f64::MIN_POSITIVE);
        let tolerance = TOLERANCE * scale;
        for ((b, &class), u) in w.all_b.iter_mut().zip(self.classes).zip(u) {
            *b = match labels[class as usize] {
                0 => f64::NEG_INFINITY,
                label => f64::from(label) * u + margin,
            };
        }
        w.all.copy_from_slice(&w.all_b);
        w.join_violated(self, labels, FIRST, tolerance);
        for _ in 0..ROUNDS {
            w.descend(self, 0.1 * ROUGH * length, tolerance);
            let duals = w.approximate_duals();
            w.look_at_all(self, labels, &duals);
            if !w.join_violated(self, labels, JOIN, ROUGH * scale) {
                break;
            }
        }

        let n = self.classes.len();
        let guess = w.approximate_duals();
        let mut started = false;
        let mut entries = 20 * n + 1000;
        let (end, residual) = loop {
            let (here, width) = (w.ids.len(), padded(w.ids.len()));
            let mut view = View {
                arch: self.arch,
                g: &w.g,
                stride: w.stride,
            };
            let b = &w.b[..width];
            if !started {
                let guess = guess.iter().map(|&(i, _)| i as usize);
                w.active.start(&mut view, b, guess);
                started = true;
            }
            let gradient = &mut w.gradient[..width];
            let (end, residual) =
                w.active
                    .run(&mut view, b, here, gradient, tolerance, &mut entries);
            let duals = w.exact_duals();
            w.look_at_all(self, labels, &duals);
            if end == End::Limit {
                break (end, residual);
            }
            if margin == 0.0 && w.nothing_left(self, labels, scale) {
                break (End::Optimal, residual);
            }
            let top = argmax(self.arch, &w.all, n).1;
            // Members' own residuals are the active set's business.
            let least = (0.1 * top).max(tolerance);
            w.lambda.fill(0.0);
            if !w.join_violated(self, labels, JOIN, least) {
                break (end, residual);
            }
        };
        let separable = margin > 0.0 || !w.nothing_left(self, labels, scale);
        self.report(w, (end, residual), separable, scale, tolerance)
    }

    fn report(
        &self,
        w: &Workspace,
        (end, residual): (End, f64),
        separable: bool,
        scale: f64,
        tolerance: f64,
    ) -> Solution {
        let mut duals: Vec<(u32, f64)> = w
            .exact_duals()
            .into_iter()
            .filter(|&(_, x)| x > 0.0)
            .map(|(i, x)| (w.ids[i as usize], x))
            .collect();
        duals.sort_by_key(|&(point, _)| point);
        let mut violation = residual;
        let mut binding = 0;
        for &g in &w.all {
            violation = violation.max(g);
            binding += usize::from(g >= -tolerance);
        }
        for &(point, _) in &duals {
            violation = violation.max(w.all[point as usize].abs());
        }
        let kkt = violation / scale;
        let f: f64 = duals.iter().map(|&(i, x)| x * w.all_b[i as usize]).sum();
        let status = if !separable {
            // v is 0: every constraint binds.
            SolverStatus::Degenerate
        } else if end != End::Optimal && kkt.is_nan() | (kkt > 1e-10) {
            SolverStatus::IterationLimit
        } else if duals.is_empty() {
            SolverStatus::Interior
        } else if binding > duals.len() {
            SolverStatus::Degenerate
        } else {
            SolverStatus::Solved
        };
        let (members, multipliers) = duals.into_iter().unzip();
        Solution {
            f: f.max(0.0),
            members,
            multipliers,
            status,
            separable,
            kkt,
            columns: w.ids.len(),
        }
    }
}
