//! Minimisation over orthonormal r×K matrices of a function that depends on their span alone.
//!
//! Limited-memory BFGS on the Stiefel manifold (Absil, Mahony & Sepulchre, *Optimization Algorithms on Matrix
//! Manifolds*, 2008; DOI 10.1515/9781400830244): tangent vectors at A are those with AᵀΞ = 0 (the cost being constant
//! along rotations within the span), steps are retracted by orthonormalisation, and history is carried along as it is, the
//! direction that it gives being projected.

use std::collections::VecDeque;

use faer::{Mat, MatRef};

use crate::linalg;

/// When to stop, and how much to remember.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Most iterations.
    pub(crate) iterations: usize,
    /// Stop once the next step promises to lower the cost by less than this share of it.
    pub(crate) decrease: f64,
    /// Step and gradient pairs kept.
    pub(crate) memory: usize,
}

/// A cost at an orthonormal (r, K).
#[derive(Debug, Clone)]
pub(crate) struct At {
    /// Its value.
    pub(crate) cost: f64,
    /// Its Euclidean gradient (r, K).
    pub(crate) gradient: Mat<f64>,
    /// Q⁻¹ (K, K), symmetric and positive definite, where the Hessian is like Ξ ↦ ΞQ.
    pub(crate) preconditioner: Mat<f64>,
}

/// Where a minimisation ended.
#[derive(Debug, Clone)]
pub(crate) struct Minimum {
    /// Orthonormal (r, K).
    pub(crate) point: Mat<f64>,
    /// The cost there.
    pub(crate) cost: f64,
}

fn dot(a: &Mat<f64>, b: &Mat<f64>) -> f64 {
    (0..a.ncols())
        .map(|j| linalg::dot(a.col_as_slice(j), b.col_as_slice(j)))
        .sum()
}

/// a += scale · b.
fn add(a: &mut Mat<f64>, scale: f64, b: &Mat<f64>) {
    for j in 0..a.ncols() {
        for (x, y) in a.col_as_slice_mut(j).iter_mut().zip(b.col_as_slice(j)) {
            *x += scale * y;
        }
    }
}

fn scaled(a: &Mat<f64>, scale: f64) -> Mat<f64> {
    Mat::from_fn(a.nrows(), a.ncols(), |i, j| scale * a[(i, j)])
}

/// (I − AAᵀ)·Ξ, the tangent part of `direction` at `point`.
pub(crate) fn tangent(point: MatRef<'_, f64>, direction: &mut Mat<f64>) {
    let along = linalg::product(point.transpose(), direction.as_ref());
    linalg::add_product(direction.as_mut(), -1.0, point, along.as_ref());
}

/// Minimises `cost` from `start` (r, K).
pub(crate) fn minimise(
    cost: impl Fn(MatRef<'_, f64>) -> At,
    mut start: Mat<f64>,
    limits: Limits,
) -> Minimum {
    linalg::orthonormalise(&mut start);
    let mut point = start;
    let mut at = cost(point.as_ref());
    tangent(point.as_ref(), &mut at.gradient);
    let mut history: VecDeque<(Mat<f64>, Mat<f64>, f64)> = VecDeque::new();
    for _ in 0..limits.iterations {
        let mut direction = two_loop(&at, &history);
        tangent(point.as_ref(), &mut direction);
        let mut slope = dot(&direction, &at.gradient);
        if slope.is_nan() || slope >= 0.0 {
            history.clear();
            direction = scaled(&at.gradient, -1.0);
            slope = -dot(&at.gradient, &at.gradient);
        }
        if -slope <= limits.decrease * at.cost {
            break;
        }
        // Without curvature pairs the slope has no length scale; turn the span by at most a quarter radian.
        let length = dot(&direction, &direction).sqrt();
        let longest = if history.is_empty() { 0.1 } else { 0.7 };
        let mut step = (longest / length).min(1.0);
        let accepted = loop {
            let trial = retract(&point, step, &direction);
            let trial_at = cost(trial.as_ref());
            // Near the minimum differences of the cost are rounding; the gradient still tells.
            if trial_at.cost <= at.cost + 1e-4 * step * slope + ROUNDING * at.cost {
                break Some((trial, trial_at));
            }
            if step * length < 1e-13 {
                break None;
            }
            // Minimiser of the parabola through both values and the slope, kept within bounds.
            let curvature = trial_at.cost - at.cost - step * slope;
            step *= (-0.5 * step * slope / curvature).clamp(0.1, 0.6);
        };
        let Some((next, mut next_at)) = accepted else {
            if history.is_empty() {
                break;
            }
            history.clear();
            continue;
        };
        tangent(next.as_ref(), &mut next_at.gradient);
        let mut s = scaled(&direction, step);
        tangent(next.as_ref(), &mut s);
        tangent(next.as_ref(), &mut at.gradient);
        let mut y = next_at.gradient.clone();
        add(&mut y, -1.0, &at.gradient);
        let sy = dot(&s, &y);
        if sy > 1e-10 * (dot(&s, &s) * dot(&y, &y)).sqrt() {
            if history.len() == limits.memory {
                history.pop_front();
            }
            history.push_back((s, y, 1.0 / sy));
        }
        (point, at) = (next, next_at);
    }
    Minimum {
        point,
        cost: at.cost,
    }
}

/// Orthonormal columns spanning those of `point` + `step`·`direction`, by the Cholesky factor of their Gram matrix. That is
/// I + step²·ΞᵀΞ for a tangent Ξ, and so well conditioned for the steps taken here.
fn retract(point: &Mat<f64>, step: f64, direction: &Mat<f64>) -> Mat<f64> {
    let mut moved = point.clone();
    add(&mut moved, step, direction);
    let gram = linalg::product(moved.transpose(), moved.as_ref());
    linalg::product(moved.as_ref(), linalg::inverse_factor(&gram).transpose())
}

/// Rises of the cost below this share of it are rounding.
const ROUNDING: f64 = 1e-14;

/// −H·g with H the limited-memory inverse Hessian (Nocedal's two-loop recursion) upon the preconditioner.
fn two_loop(at: &At, history: &VecDeque<(Mat<f64>, Mat<f64>, f64)>) -> Mat<f64> {
    let preconditioned = |x: &Mat<f64>| linalg::product(x.as_ref(), at.preconditioner.as_ref());
    let mut q = scaled(&at.gradient, -1.0);
    let mut weights = Vec::with_capacity(history.len());
    for (s, y, rho) in history.iter().rev() {
        let weight = rho * dot(s, &q);
        add(&mut q, -weight, y);
        weights.push(weight);
    }
    q = preconditioned(&q);
    if let Some((_, y, rho)) = history.back() {
        q = scaled(&q, 1.0 / (rho * dot(y, &preconditioned(y))));
    }
    for ((s, y, rho), weight) in history.iter().zip(weights.iter().rev()) {
        let correction = weight - rho * dot(y, &q);
        add(&mut q, correction, s);
    }
    q
}
