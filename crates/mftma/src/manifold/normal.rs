//! The standard normal distribution.

/// φ(x).
pub(crate) fn density(x: f64) -> f64 {
    (-0.5 * x * x).exp() / (2.0 * core::f64::consts::PI).sqrt()
}

/// Φ(x), with an absolute error of a few 1e-16.
pub(crate) fn cumulative(x: f64) -> f64 {
    if x.abs() > 9.0 {
        return if x > 0.0 { 1.0 } else { 0.0 };
    }
    // Φ(x) − ½ = φ(x)(x + x³/3 + x⁵/(3·5) + …), which converges everywhere.
    let (mut term, mut sum, mut k) = (x, x, 1.0);
    while term.abs() > 1e-17 * sum.abs() {
        k += 2.0;
        term *= x * x / k;
        sum += term;
    }
    0.5 + sum * density(x)
}

/// x with Φ(x) = p, for ½ ≤ p < 1, by bisection.
pub(crate) fn quantile(p: f64) -> f64 {
    let (mut low, mut high) = (0.0, 9.0);
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        if cumulative(middle) < p {
            low = middle;
        } else {
            high = middle;
        }
    }
    low
}

/// ⟨max(0, σx + κ)²⟩ over a standard normal x: 1/α of a single point at distance σ (golden closed form, σ = 1).
pub(crate) fn mean_squared_excess(sigma: f64, margin: f64) -> f64 {
    let u = margin / sigma;
    sigma * sigma * ((1.0 + u * u) * cumulative(u) + u * density(u)).max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values() {
        assert!((quantile(0.975) - 1.959_963_984_540_054).abs() < 1e-12);
        assert!(quantile(0.5).abs() < 1e-12);
        assert!((cumulative(-1.0) - 0.158_655_253_931_457_05).abs() < 1e-15);
        assert_eq!(cumulative(0.0), 0.5);
        assert!((mean_squared_excess(1.0, 0.0) - 0.5).abs() < 1e-15);
    }
}
