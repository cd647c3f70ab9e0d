//! An explicit Runge–Kutta method of order 5 with an embedded error estimate of order 4, for autonomous systems.
//!
//! Dormand & Prince 1980, *J. Comput. Appl. Math.* 6, 19–26 (DOI 10.1016/0771-050X(80)90013-3), table 2.

const A: [[f64; 6]; 6] = [
    [1.0 / 5.0, 0.0, 0.0, 0.0, 0.0, 0.0],
    [3.0 / 40.0, 9.0 / 40.0, 0.0, 0.0, 0.0, 0.0],
    [44.0 / 45.0, -56.0 / 15.0, 32.0 / 9.0, 0.0, 0.0, 0.0],
    [
        19372.0 / 6561.0,
        -25360.0 / 2187.0,
        64448.0 / 6561.0,
        -212.0 / 729.0,
        0.0,
        0.0,
    ],
    [
        9017.0 / 3168.0,
        -355.0 / 33.0,
        46732.0 / 5247.0,
        49.0 / 176.0,
        -5103.0 / 18656.0,
        0.0,
    ],
    // The solution of order 5 itself: the last stage is the first of the next step.
    [
        35.0 / 384.0,
        0.0,
        500.0 / 1113.0,
        125.0 / 192.0,
        -2187.0 / 6784.0,
        11.0 / 84.0,
    ],
];
/// Order 5 less order 4.
const E: [f64; 7] = [
    71.0 / 57600.0,
    0.0,
    -71.0 / 16695.0,
    71.0 / 1920.0,
    -17253.0 / 339200.0,
    22.0 / 525.0,
    -1.0 / 40.0,
];

/// A solution under way: its state, the slope there, and the step to try next.
pub(crate) struct Integrator<F, S> {
    slope_of: F,
    /// The error that one step may make in a component, from its value.
    allowed: S,
    pub(crate) state: Vec<f64>,
    slope: Vec<f64>,
    step: f64,
    steps: usize,
    limit: usize,
}

impl<F: Fn(&[f64], &mut [f64]), S: Fn(f64) -> f64> Integrator<F, S> {
    pub(crate) fn new(state: Vec<f64>, slope_of: F, allowed: S, limit: usize) -> Self {
        let mut slope = vec![0.0; state.len()];
        slope_of(&state, &mut slope);
        // The error of a first step this short is far below what is allowed.
        let step = state
            .iter()
            .zip(&slope)
            .filter(|(_, k)| **k != 0.0)
            .map(|(y, k)| (allowed(*y).powf(0.2) * (y.abs() + allowed(*y)) / k.abs()).abs())
            .fold(f64::INFINITY, f64::min);
        Self {
            slope_of,
            allowed,
            state,
            slope,
            step: 0.01 * step,
            steps: 0,
            limit,
        }
    }

    /// Moves on by `span` ≥ 0; false if that took too many steps.
    pub(crate) fn advance(&mut self, span: f64) -> bool {
        let n = self.state.len();
        let mut left = span;
        let mut k = vec![vec![0.0; n]; 7];
        let mut next = vec![0.0; n];
        while left > 0.0 {
            if self.slope.iter().all(|&k| k == 0.0) {
                return true;
            }
            if self.steps == self.limit {
                return false;
            }
            self.steps += 1;
            let h = self.step.min(left);
            k[0].copy_from_slice(&self.slope);
            for (stage, row) in A.iter().enumerate() {
                for (i, next) in next.iter_mut().enumerate() {
                    let sum: f64 = row.iter().zip(&k[..=stage]).map(|(a, k)| a * k[i]).sum();
                    *next = self.state[i] + h * sum;
                }
                (self.slope_of)(&next, &mut k[stage + 1]);
            }
            let error = (0..n)
                .map(|i| {
                    let error: f64 = (0..7).map(|j| E[j] * k[j][i]).sum();
                    (h * error).abs() / (self.allowed)(self.state[i].abs().min(next[i].abs()))
                })
                .fold(0.0, |m: f64, e| if e > m || e.is_nan() { e } else { m });
            let factor = if error.is_finite() {
                (0.9 * error.powf(-0.2)).clamp(0.2, 5.0)
            } else {
                0.2
            };
            if error <= 1.0 {
                self.state.copy_from_slice(&next);
                self.slope.copy_from_slice(&k[6]);
                // A step cut short by the end says nothing against the longer one.
                left = if h < left { left - h } else { 0.0 };
                self.step = if h < self.step { self.step } else { h * factor };
            } else {
                self.step = h * factor.min(0.9);
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rotation_keeps_its_phase() {
        let rotate = |y: &[f64], out: &mut [f64]| {
            out[0] = -y[1];
            out[1] = y[0];
        };
        let mut error = Vec::new();
        for tolerance in [1e-6, 1e-9, 1e-12] {
            let mut path = Integrator::new(vec![1.0, 0.0], rotate, |_| tolerance, 100_000);
            assert!(path.advance(1.5));
            assert!(path.advance(8.5));
            error.push((path.state[0] - 10f64.cos()).abs() + (path.state[1] - 10f64.sin()).abs());
        }
        assert!(
            error[2] < 1e-10 && error[2] < error[1] && error[1] < error[0],
            "{error:?}"
        );
    }

    #[test]
    fn too_many_steps_are_told() {
        let mut path = Integrator::new(vec![1.0], |y, out| out[0] = -1e6 * y[0], |_| 1e-9, 50);
        assert!(!path.advance(1.0));
    }
}
