//! Layer strengths that need not be balanced, and weights that start aligned with the data.

use ndarray::{Array2, ArrayView2, s};

use crate::error::{LinearError, setting, times as checked_times};
use crate::ode::Integrator;
use crate::svd::Svd;

const TOLERANCE: f64 = 1e-12;
const STEPS: usize = 1_000_000;

/// Strengths a_l of one mode in each of D layers, (times, D), from any start:
/// τ da_l/dt = (Π_{k≠l} a_k) (s − Π_k a_k) (Saxe et al. 2013, arXiv 1312.6120, for modes already decoupled).
///
/// a_k² − a_l² stays what it was, for every pair of layers; equal layers give [`crate::Dynamics`] back. `strength` s ≥ 0,
/// times in any order. Error of about 10⁻¹⁰ of the largest strength on the way.
///
/// # Errors
/// [`LinearError::Setting`], [`LinearError::Empty`]; [`LinearError::Steps`] for times so far beyond convergence that an
/// explicit method does not reach them.
pub fn layer_strengths(
    initial: &[f64],
    strength: f64,
    tau: f64,
    times: &[f64],
) -> Result<Array2<f64>, LinearError> {
    checked_times(times)?;
    if initial.is_empty() {
        return Err(LinearError::Empty { what: "initial" });
    }
    for &a in initial {
        setting("initial", a, a.is_finite(), "finite")?;
    }
    let finite = strength >= 0.0 && strength.is_finite();
    setting("strength", strength, finite, "finite and not negative")?;
    setting(
        "tau",
        tau,
        tau > 0.0 && tau.is_finite(),
        "finite and above 0",
    )?;
    let slope = |a: &[f64], out: &mut [f64]| {
        let rest = strength - a.iter().product::<f64>();
        for (l, slope) in out.iter_mut().enumerate() {
            let others: f64 = (0..a.len()).filter(|&k| k != l).map(|k| a[k]).product();
            *slope = others * rest;
        }
    };
    let scale = initial.iter().fold(0.0, |m: f64, a| m.max(a.abs()));
    let allowed = |a: f64| TOLERANCE * a.max(1e-3 * scale).max(f64::MIN_POSITIVE);
    let mut path = Integrator::new(initial.to_vec(), slope, allowed, STEPS);
    let mut order: Vec<usize> = (0..times.len()).collect();
    order.sort_by(|&i, &j| times[i].total_cmp(&times[j]));
    let mut out = Array2::zeros((times.len(), initial.len()));
    let mut now = 0.0;
    for i in order {
        let then = times[i] / tau;
        if !path.advance(then - now) {
            return Err(LinearError::Steps {
                limit: STEPS,
                time: times[i],
            });
        }
        now = then;
        for (out, a) in out.row_mut(i).iter_mut().zip(&path.state) {
            *out = *a;
        }
    }
    Ok(out)
}

/// *Training-aligned* weights (Lampinen & Ganguli 2018, arXiv 1809.10374): matrices W_1 … W_D whose product is
/// u₀ Σ_α u_α v_αᵀ over the modes of the correlation, balanced, so that gradient flow moves every mode by itself and
/// [`crate::Dynamics`] is exact from the first step. `hidden` gives the width of each hidden layer, none for D = 1; modes beyond the narrowest
/// are left out. A rotation of a hidden layer would change nothing; here hidden unit α carries mode α.
///
/// # Errors
/// [`LinearError::Setting`] for a width of 0 or `initial` that is not above 0.
pub fn aligned_weights(
    modes: &Svd,
    hidden: &[usize],
    initial: f64,
) -> Result<Vec<Array2<f64>>, LinearError> {
    setting(
        "initial",
        initial,
        initial > 0.0 && initial.is_finite(),
        "finite and above 0",
    )?;
    for &width in hidden {
        setting("hidden", width as f64, width > 0, "at least 1")?;
    }
    let depth = hidden.len() + 1;
    let each = initial.powf(1.0 / depth as f64);
    let kept = hidden.iter().copied().fold(modes.values.len(), usize::min);
    let left: ArrayView2<'_, f64> = modes.left.slice(s![.., ..kept]);
    let right = modes.right.slice(s![.., ..kept]);
    if depth == 1 {
        return Ok(vec![initial * left.dot(&right.t())]);
    }
    let mut weights = Vec::with_capacity(depth);
    let mut first = Array2::zeros((hidden[0], right.nrows()));
    first.slice_mut(s![..kept, ..]).assign(&(each * &right.t()));
    weights.push(first);
    for pair in hidden.windows(2) {
        let mut middle = Array2::zeros((pair[1], pair[0]));
        (0..kept).for_each(|i| middle[[i, i]] = each);
        weights.push(middle);
    }
    let mut last = Array2::zeros((left.nrows(), hidden[hidden.len() - 1]));
    last.slice_mut(s![.., ..kept]).assign(&(each * &left));
    weights.push(last);
    Ok(weights)
}
