//! The one manifold with a closed form at every size: the ball.

use crate::manifold::normal::{cumulative, density};

/// Steps of Simpson's rule over the norm of the Gaussian vector; even. The integrand is smooth: 1e-10 is reached with fewer.
const STEPS: usize = 2000;
/// The norm is followed so far to either side of √D; beyond lies less than 1e-17 of it.
const REACH: f64 = 9.0;

/// Capacity α of a ball of radius `radius` (its centre at distance 1) in `dimension` dimensions, at margin `margin`: what the
/// mean-field theory gives without sampling (Chung, Lee & Sompolinsky 2018, §IV, DOI 10.1103/PhysRevX.8.031003).
///
/// The dimension need not be whole, so that measured R_M and D_M can be put in. `None` where the radius is negative, the
/// dimension below 1, or a value not finite.
///
/// ```
/// // At radius 1 and margin 0, α = 2/(D + 1).
/// assert!((mftma::ball_capacity(1.0, 9.0, 0.0).unwrap() - 0.2).abs() < 1e-9);
/// ```
pub fn ball_capacity(radius: f64, dimension: f64, margin: f64) -> Option<f64> {
    let finite = radius.is_finite() && dimension.is_finite() && margin.is_finite();
    if !finite || radius < 0.0 || dimension < 1.0 {
        return None;
    }
    let root = dimension.sqrt();
    let (from, to) = ((root - REACH).max(0.0), root + REACH);
    let step = (to - from) / STEPS as f64;
    // The density of the norm up to a factor, which the sum of the weights divides out. Largest at √(D − 1).
    let log_density = |t: f64| {
        if dimension == 1.0 {
            -0.5 * t * t
        } else {
            (dimension - 1.0) * t.ln() - 0.5 * t * t
        }
    };
    let largest = log_density((dimension - 1.0).sqrt());
    let (mut sum, mut weights) = (0.0, 0.0);
    for i in 0..=STEPS {
        let t = from + step * i as f64;
        let simpson = match i {
            0 | STEPS => 1.0,
            _ => 2.0 + 2.0 * (i % 2) as f64,
        };
        let weight = simpson * (log_density(t) - largest).exp();
        if weight > 0.0 {
            sum += weight * inverse_at(t, radius, margin);
            weights += weight;
        }
    }
    Some(weights / sum)
}

/// ⟨F⟩ over t₀ for a Gaussian vector whose part in the ball's space has norm `t`.
///
/// With u = −t₀: F is (Rt + κ − u)²/(1 + R²) for κ − t/R < u < κ + Rt (the ball is touched on its surface), t² + (u − κ)²
/// below (the cone's apex), 0 above. All three are moments of truncated normals.
fn inverse_at(t: f64, radius: f64, margin: f64) -> f64 {
    let upper = margin + radius * t;
    // A ball without radius is a point, which has no apex to be pushed to.
    let lower = if radius > 0.0 {
        margin - t / radius
    } else {
        f64::NEG_INFINITY
    };
    let (above, below) = (cumulative(upper), cumulative(lower));
    let (at_upper, at_lower) = (density(upper), density(lower));
    let moment = |u: f64, density: f64| if density > 0.0 { u * density } else { 0.0 };
    let surface = (upper * upper + 1.0) * (above - below) - 2.0 * upper * (at_lower - at_upper)
        + moment(lower, at_lower)
        - moment(upper, at_upper);
    let apex =
        (t * t + margin * margin + 1.0) * below + 2.0 * margin * at_lower - moment(lower, at_lower);
    surface / (1.0 + radius * radius) + apex
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_by_hand() {
        for dimension in [1.0, 2.0, 7.0, 50.0, 400.0] {
            let at = |radius| ball_capacity(radius, dimension, 0.0).unwrap();
            assert!((at(1.0) * (dimension + 1.0) / 2.0 - 1.0).abs() < 1e-9);
            assert!((at(0.0) - 2.0).abs() < 1e-9);
            assert!((at(1e-9) - 2.0).abs() < 1e-6);
            assert!((at(1e7) * (dimension + 0.5) - 1.0).abs() < 1e-5);
        }
    }

    #[test]
    fn larger_balls_and_margins_are_harder() {
        let at = |radius, dimension, margin| ball_capacity(radius, dimension, margin).unwrap();
        assert!(at(0.5, 5.0, 0.0) > at(0.6, 5.0, 0.0));
        assert!(at(0.5, 5.0, 0.0) > at(0.5, 5.5, 0.0));
        assert!(at(0.5, 5.0, 0.0) > at(0.5, 5.0, 0.1));
    }

    #[test]
    fn what_is_no_ball_has_no_capacity() {
        for (radius, dimension) in [
            (-1.0, 3.0),
            (1.0, 0.5),
            (f64::NAN, 3.0),
            (1.0, f64::INFINITY),
        ] {
            assert_eq!(ball_capacity(radius, dimension, 0.0), None);
        }
    }
}
