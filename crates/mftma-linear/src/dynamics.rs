//! How strong a mode of the input–output correlation has become in the network by time t.
//!
//! Saxe, McClelland & Ganguli 2013 (arXiv 1312.6120). A network of D layers of weights, ŷ = W_D ⋯ W_1 x, learns by gradient flow
//! on the mean squared error, τ dW_l/dt = −∂/∂W_l ½⟨‖y − ŷ‖²⟩, from inputs with ⟨xxᵀ⟩ = I. With Σ = ⟨yxᵀ⟩ = Σ_α s_α u_α v_αᵀ and weights
//! that are aligned with its singular vectors and balanced, every mode learns by itself: with u the product of its D equal layer
//! strengths a, u = a^D,
//!
//! τ du/dt = D u^{2−2/D} (s − u)   (for D = 2, τ du/dt = 2u(s − u)).
//!
//! - D = 1: u(t) = s + (u₀ − s) e^{−t/τ}: all modes in the same time.
//! - D = 2: u(t) = s / (1 + (s/u₀ − 1) e^{−2st/τ}): strong modes first, the time to learn growing as τ/s.
//! - s = 0: u(t) = u₀ (1 + 2(D − 1) u₀^{2−2/D} t/τ)^{−D/(2D−2)}.
//! - D ≥ 3 is integrated. With u = s/(1 + σe^{−x}), σ = ±1 the sign of s − u₀, the equation becomes
//!   τ dx/dt = D s^{2−2/D} (1 + σe^{−x})^{−(1−2/D)}: its slope tends to a constant, so nothing is stiff and an explicit method
//!   with error control follows it to the end. Times come from the other direction, as the integral
//!   t = (τ/D) s^{2/D−2} ∫ (1 + e^{−x})^{1−2/D} dx by Gauss–Legendre panels.
//!
//! With learning rate λ and full batches τ = 1/λ where t counts steps; then the theory is the limit of small λ.

use ndarray::Array2;
use serde::Serialize;

use crate::error::{LinearError, setting, times as checked_times};
use crate::ode::Integrator;

/// Error allowed in one step of x, relative to x where x is small.
const TOLERANCE: f64 = 1e-13;
const STEPS: usize = 1_000_000;

/// A deep linear network that learns each mode from the same small strength.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Dynamics {
    depth: usize,
    initial: f64,
    tau: f64,
}

impl Dynamics {
    /// `depth` D ≥ 1 layers of weights; every mode starts at the strength `initial` u₀ > 0 (0 is allowed at depth 1: deeper
    /// networks would never leave it); time constant `tau` τ > 0, in the unit of all times.
    ///
    /// # Errors
    /// [`LinearError::Setting`].
    pub fn new(depth: usize, initial: f64, tau: f64) -> Result<Self, LinearError> {
        setting("depth", depth as f64, depth >= 1, "at least 1")?;
        let started = initial > 0.0 || (depth == 1 && initial == 0.0);
        setting(
            "initial",
            initial,
            started && initial.is_finite(),
            "finite and above 0 (0 is allowed at depth 1)",
        )?;
        setting(
            "tau",
            tau,
            tau > 0.0 && tau.is_finite(),
            "finite and above 0",
        )?;
        Ok(Self {
            depth,
            initial,
            tau,
        })
    }

    /// D, layers of weights.
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// u₀, the strength of every mode at time 0.
    pub fn initial(&self) -> f64 {
        self.initial
    }

    /// τ.
    pub fn tau(&self) -> f64 {
        self.tau
    }

    /// u(t) of a mode whose singular value is `strength` s ≥ 0, for t ≥ 0; NaN outside these ranges. Relative error: rounding
    /// for depths 1 and 2 and for s = 0, below 10⁻⁹ for others.
    pub fn strength(&self, strength: f64, t: f64) -> f64 {
        self.path(strength, &[t])[0]
    }

    /// u(t) for every time (rows) and every singular value (columns).
    ///
    /// # Errors
    /// [`LinearError::Setting`] for a time or singular value that is negative or not finite.
    pub fn strengths(&self, values: &[f64], times: &[f64]) -> Result<Array2<f64>, LinearError> {
        checked_times(times)?;
        for &s in values {
            setting(
                "values",
                s,
                s >= 0.0 && s.is_finite(),
                "finite and not negative",
            )?;
        }
        let mut out = Array2::zeros((times.len(), values.len()));
        for (mut column, &s) in out.columns_mut().into_iter().zip(values) {
            column.assign(&ndarray::arr1(&self.path(s, times)));
        }
        Ok(out)
    }

    /// u at each of the times, in any order.
    fn path(&self, s: f64, times: &[f64]) -> Vec<f64> {
        let (d, u0) = (self.depth as f64, self.initial);
        let good = |t: f64| t >= 0.0 && s >= 0.0 && s.is_finite();
        let closed = |of: &dyn Fn(f64) -> f64| {
            times
                .iter()
                .map(|&t| if good(t) { of(t / self.tau) } else { f64::NAN })
                .collect()
        };
        if self.depth == 1 {
            return closed(&|t| u0 - (s - u0) * (-t).exp_m1());
        }
        if s == 0.0 {
            let power = 2.0 - 2.0 / d;
            return closed(&|t| u0 * (1.0 + power * d * u0.powf(power) * t).powf(-1.0 / power));
        }
        if s == u0 {
            return closed(&|_| s);
        }
        if self.depth == 2 {
            // Written so that neither a small s nor a small u₀ cancels.
            return closed(&|t| s / (-(-2.0 * s * t).exp_m1() + s / u0 * (-2.0 * s * t).exp()));
        }
        let sign = if u0 < s { 1.0 } else { -1.0 };
        let power = 1.0 - 2.0 / d;
        let start = if u0 < s {
            u0.ln() - (s - u0).ln()
        } else {
            -(-(s / u0)).ln_1p()
        };
        // 1 + σe^{−x}, which must not cancel where u₀ is far above s.
        let bracket = |x: f64| {
            if sign > 0.0 {
                1.0 + (-x).exp()
            } else {
                -(-x).exp_m1()
            }
        };
        let slope = |x: &[f64], out: &mut [f64]| out[0] = bracket(x[0]).powf(-power);
        let allowed = |x: f64| {
            if sign > 0.0 {
                TOLERANCE
            } else {
                TOLERANCE * x.abs().min(1.0)
            }
        };
        let rate = d * s.powf(2.0 - 2.0 / d) / self.tau;
        let mut order: Vec<usize> = (0..times.len()).collect();
        order.sort_by(|&i, &j| times[i].total_cmp(&times[j]));
        let mut integrator = Integrator::new(vec![start], slope, allowed, STEPS);
        let mut now = 0.0;
        let mut out = vec![f64::NAN; times.len()];
        for i in order {
            if !good(times[i]) {
                continue;
            }
            let then = rate * times[i];
            // So late that x is past every precision, whatever the path there.
            let x = if then.is_finite() && integrator.advance(then - now) {
                now = then;
                integrator.state[0]
            } else {
                f64::INFINITY
            };
            out[i] = if times[i] == 0.0 { u0 } else { s / bracket(x) };
        }
        out
    }

    /// The time at which a mode of singular value `strength` s has grown to `target`: 0 where it starts there or above, `None`
    /// where it never does (target ≥ s, or a value that is not finite or negative).
    pub fn time_to(&self, strength: f64, target: f64) -> Option<f64> {
        let (s, d, u0) = (strength, self.depth as f64, self.initial);
        if !(s >= 0.0 && s.is_finite() && target.is_finite()) {
            return None;
        }
        if target <= u0 {
            return Some(0.0);
        }
        if target >= s {
            return None;
        }
        if self.depth == 1 {
            return Some(self.tau * ((s - u0) / (s - target)).ln());
        }
        let logit = |u: f64| u.ln() - (s - u).ln();
        let (from, to) = (logit(u0), logit(target));
        let integral = if self.depth == 2 {
            to - from
        } else {
            let power = 1.0 - 2.0 / d;
            panels(from, to, |x| (1.0 + (-x).exp()).powf(power))
        };
        Some(self.tau / d * s.powf(2.0 / d - 2.0) * integral)
    }

    /// The detection wave (Lampinen & Ganguli 2018, arXiv 1809.10374): at time t, the singular value down to which
    /// modes have been learned, u(t) ≥ `fraction` · s. It comes from infinity at t = 0 and falls as 1/t at depth 2 but
    /// for a logarithm. `None` once it has passed every mode, at depth 1, where all modes are learned in the same time, and for
    /// a fraction outside (0, 1) or a time that is negative or NaN. Modes below u₀/`fraction` are as strong from the start.
    pub fn front(&self, t: f64, fraction: f64) -> Option<f64> {
        if self.depth == 1 || !(fraction > 0.0 && fraction < 1.0) || t.is_nan() || t < 0.0 {
            return None;
        }
        if t == 0.0 {
            return Some(f64::INFINITY);
        }
        let late = |s: f64| {
            self.time_to(s, fraction * s)
                .is_some_and(|needed| needed >= t)
        };
        let lowest = self.initial / fraction;
        let mut high = 2.0 * lowest;
        // The time needed falls to 0 for strong modes; weak ones may need little too, so look from above.
        let needed = |s: f64| self.time_to(s, fraction * s).unwrap_or(0.0);
        while needed(high) >= t || needed(high) > needed(0.5 * high) {
            high *= 2.0;
            if !high.is_finite() {
                return Some(f64::INFINITY);
            }
        }
        const GRID: i32 = 400;
        let at = |i: i32| lowest * (high / lowest).powf(f64::from(i) / f64::from(GRID));
        let below = (0..GRID).rev().find(|&i| late(at(i)))?;
        let (mut low, mut high) = (at(below), at(below + 1));
        for _ in 0..60 {
            let middle = 0.5 * (low + high);
            if late(middle) {
                low = middle;
            } else {
                high = middle;
            }
        }
        Some(0.5 * (low + high))
    }
}

/// ∫ f from `from` to `to` by panels of at most unit width.
fn panels(from: f64, to: f64, f: impl Fn(f64) -> f64) -> f64 {
    let nodes = gauss_legendre();
    let count = (to - from).abs().ceil().max(1.0);
    let half = 0.5 * (to - from) / count;
    (0..count as usize)
        .map(|i| {
            let middle = from + half * (2 * i + 1) as f64;
            let sum: f64 = nodes.iter().map(|(x, w)| w * f(middle + half * x)).sum();
            half * sum
        })
        .sum()
}

/// Nodes and weights on [−1, 1], by Newton's method on the Legendre polynomial of degree 12.
fn gauss_legendre() -> [(f64, f64); 12] {
    let n = 12;
    std::array::from_fn(|i| {
        let mut x = (std::f64::consts::PI * (i as f64 + 0.75) / (f64::from(n) + 0.5)).cos();
        let mut slope = 1.0;
        for _ in 0..8 {
            let (mut before, mut value) = (1.0, x);
            for k in 2..=n {
                let k = f64::from(k);
                (before, value) = (
                    value,
                    ((2.0 * k - 1.0) * x * value - (k - 1.0) * before) / k,
                );
            }
            slope = f64::from(n) * (x * value - before) / (x * x - 1.0);
            x -= value / slope;
        }
        (x, 2.0 / ((1.0 - x * x) * slope * slope))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quadrature_is_exact_for_polynomials_and_close_for_others() {
        assert!((panels(-1.0, 2.5, |x| x.powi(7)) - (2.5f64.powi(8) - 1.0) / 8.0).abs() < 1e-10);
        assert!((panels(-3.0, 4.0, f64::exp) / (4f64.exp() - (-3f64).exp()) - 1.0).abs() < 1e-14);
    }
}
