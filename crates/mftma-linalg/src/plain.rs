//! Eigenvalues and eigenvectors of small symmetric matrices, by one order of operations on every processor.
//!
//! Householder's reduction to tridiagonal form, then the QL iteration with Wilkinson's implicit shift (B. N. Parlett, The Symmetric
//! Eigenvalue Problem, 1980, § 7.4 and 8.9 to 8.13; `dsytd2` and `dsteqr` of LAPACK). Libraries would do, but faer's sums are as wide as
//! the processor's registers, and nalgebra's iteration (0.35) leaves no numbers where eigenvalues are in clusters.

use faer::{Mat, MatRef};

use crate::band::{dot, halvings, reflect};

/// Turns of the iteration for each eigenvalue: three or four are usual.
const TURNS: usize = 60;

/// Eigenvalues in falling order (n) of the symmetric matrix whose lower triangle `a` (n, n) holds, and their eigenvectors as columns
/// (n, n), of each the largest entry positive. `None` where `a` holds a number that is not finite.
pub(crate) fn eigen(a: MatRef<'_, f64>) -> Option<(Vec<f64>, Mat<f64>)> {
    let n = a.nrows();
    let mut largest = 0.0_f64;
    for j in 0..n {
        for i in j..n {
            if !a[(i, j)].is_finite() {
                return None;
            }
            largest = largest.max(a[(i, j)].abs());
        }
    }
    let (first, second) = halvings(largest);
    let (down, up) = (2.0_f64.powi(-first), 2.0_f64.powi(-second));
    let mut full = vec![0.0; n * n];
    for j in 0..n {
        for i in j..n {
            full[j * n + i] = a[(i, j)] * down * up;
        }
    }
    let (values, vectors) = pulp::Arch::new().dispatch(Solve(full, n))?;

    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|&i, &j| values[j].total_cmp(&values[i]));
    let mut out = Mat::zeros(n, n);
    for (to, &from) in order.iter().enumerate() {
        let vector = &vectors[from * n..][..n];
        let longest = vector
            .iter()
            .fold(0.0_f64, |m, &x| if x.abs() > m.abs() { x } else { m });
        let sign = 1.0_f64.copysign(longest);
        for (to, x) in out.col_as_slice_mut(to).iter_mut().zip(vector) {
            *to = sign * x;
        }
    }
    let scaled = |i: &usize| values[*i] * 2.0_f64.powi(first) * 2.0_f64.powi(second);
    Some((order.iter().map(scaled).collect(), out))
}

/// The problem of a matrix of this order, its columns one after another, of which the lower triangle is read: eigenvalues and
/// eigenvectors in no order.
struct Solve(Vec<f64>, usize);

impl pulp::NullaryFnOnce for Solve {
    type Output = Option<(Vec<f64>, Vec<f64>)>;

    #[inline(always)]
    fn call(self) -> Self::Output {
        let Self(mut a, n) = self;
        let (mut d, mut e, scales) = tridiagonal(&mut a, n);
        let mut q = reflections(&a, &scales, n);
        implicit_ql(&mut d, &mut e, &mut q).then_some((d, q))
    }
}

/// Makes the matrix tridiagonal by a reflection I − τ v vᵀ for each column, whose v lies below the subdiagonal afterwards. Returns the
/// diagonal (n), the subdiagonal (n, the last entry nought) and every τ.
#[inline(always)]
fn tridiagonal(a: &mut [f64], n: usize) -> (Vec<f64>, Vec<f64>, Vec<f64>) {
    let (mut d, mut e, mut scales) = (vec![0.0; n], vec![0.0; n], vec![0.0; n]);
    for k in 0..n {
        d[k] = a[k * n + k];
        if k + 1 == n {
            break;
        }
        let (done, rest) = a.split_at_mut((k + 1) * n);
        let column = &mut done[k * n + k + 1..];
        let tau = reflect(column);
        (e[k], scales[k]) = (column[0], tau);
        if tau == 0.0 {
            continue;
        }
        let mut v = column.to_vec();
        v[0] = 1.0;
        // τ B v, by the lower triangle of what remains.
        let mut w = vec![0.0; v.len()];
        for (c, column) in rest.chunks_exact(n).enumerate() {
            let (head, below) = (column[k + 1 + c], &column[k + 2 + c..]);
            w[c] += head * v[c] + dot(below, &v[c + 1..]);
            let along = v[c];
            for (w, x) in w[c + 1..].iter_mut().zip(below) {
                *w += along * x;
            }
        }
        w.iter_mut().for_each(|w| *w *= tau);
        let half = 0.5 * tau * dot(&w, &v);
        for (w, v) in w.iter_mut().zip(&v) {
            *w -= half * v;
        }
        for (c, column) in rest.chunks_exact_mut(n).enumerate() {
            let (along_w, along_v) = (w[c], v[c]);
            let both = v[c..].iter().zip(&w[c..]);
            for (x, (v, w)) in column[k + 1 + c..].iter_mut().zip(both) {
                *x -= v * along_w + w * along_v;
            }
        }
    }
    (d, e, scales)
}

/// The product of the reflections that [`tridiagonal`] left (n, n).
#[inline(always)]
fn reflections(a: &[f64], scales: &[f64], n: usize) -> Vec<f64> {
    let mut q = vec![0.0; n * n];
    q.iter_mut().step_by(n + 1).for_each(|x| *x = 1.0);
    for k in (0..n.saturating_sub(2)).rev() {
        if scales[k] == 0.0 {
            continue;
        }
        let v = &a[k * n + k + 2..(k + 1) * n];
        for column in q[(k + 1) * n..].chunks_exact_mut(n) {
            let (head, below) = (column[k + 1], &mut column[k + 2..]);
            let along = scales[k] * (head + dot(v, below));
            below.iter_mut().zip(v).for_each(|(x, v)| *x -= along * v);
            column[k + 1] -= along;
        }
    }
    q
}

/// Leaves the eigenvalues of the tridiagonal matrix with this diagonal (n) and subdiagonal (n, the last entry nought) in the former, in
/// no order, and turns the columns of `q` (n, n) into eigenvectors. Whether the iteration ended.
#[inline(always)]
fn implicit_ql(d: &mut [f64], e: &mut [f64], q: &mut [f64]) -> bool {
    let n = d.len();
    let largest = d.iter().chain(&*e).fold(0.0_f64, |m, x| m.max(x.abs()));
    // What all eigenvalues may be moved by, far below the rounding of the reduction.
    let least = f64::EPSILON / 16.0 * largest;
    for l in 0..n {
        let mut turns = 0;
        loop {
            let m = (l..n - 1)
                .find(|&m| {
                    let size = e[m].abs();
                    size <= least || size <= f64::EPSILON / 2.0 * (d[m].abs() + d[m + 1].abs())
                })
                .unwrap_or(n - 1);
            if m == l {
                break;
            }
            turns += 1;
            if turns > TURNS {
                return false;
            }
            let half = (d[l + 1] - d[l]) / (2.0 * e[l]);
            let shift = d[l] - e[l] / (half + length(half, 1.0).copysign(half));
            let (mut c, mut s) = (1.0, 1.0);
            let mut bulge = d[m] - shift;
            let mut moved = 0.0;
            let mut split = false;
            for i in (l..m).rev() {
                let (across, along) = (s * e[i], c * e[i]);
                let r = length(across, bulge);
                e[i + 1] = r;
                if r == 0.0 {
                    // The matrix falls apart here.
                    d[i + 1] -= moved;
                    split = true;
                    break;
                }
                (s, c) = (across / r, bulge / r);
                let before = d[i + 1] - moved;
                let turned = (d[i] - before) * s + 2.0 * c * along;
                moved = s * turned;
                d[i + 1] = before + moved;
                bulge = c * turned - along;
                let (left, right) = q[i * n..][..2 * n].split_at_mut(n);
                for (x, y) in left.iter_mut().zip(right) {
                    (*x, *y) = (c * *x - s * *y, s * *x + c * *y);
                }
            }
            if !split {
                d[l] -= moved;
                e[l] = bulge;
            }
            e[m] = 0.0;
        }
    }
    true
}

/// √(x² + y²), by operations that are rounded the same everywhere: libraries' `hypot` are not.
#[inline(always)]
pub(crate) fn length(x: f64, y: f64) -> f64 {
    let top = x.abs().max(y.abs());
    if top == 0.0 {
        return 0.0;
    }
    let (x, y) = (x / top, y / top);
    top * (x * x + y * y).sqrt()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::band::tests::{KINDS, largest, matrix};

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(100))]

        #[test]
        fn eigenpairs_are_those_of_the_matrix_and_values_are_faers(
            kind in 0..KINDS.len(),
            n in 1_usize..120,
            seed in 0_u64..1_000,
            power in prop::sample::select(vec![-250, -20, 0, 0, 20, 250]),
        ) {
            let scale = 10_f64.powi(power);
            let a = matrix(KINDS[kind], n, seed);
            let a = Mat::from_fn(n, n, |i, j| a[(i, j)] * scale);
            let lower = Mat::from_fn(n, n, |i, j| if i >= j { a[(i, j)] } else { f64::NAN });
            let (values, vectors) = eigen(lower.as_ref()).expect("finite");
            prop_assert!(values.is_sorted_by(|x, y| x >= y) && values.len() == n);
            let close = 1e-13 * largest(&values);
            let (faers, _) = crate::large(a.as_ref()).expect("finite");
            for (x, y) in values.iter().zip(&faers) {
                prop_assert!((x - y).abs() <= close, "{x} in place of {y}");
            }
            for (k, value) in values.iter().enumerate() {
                let vector = vectors.col_as_slice(k);
                let longest = vector.iter().fold(0.0_f64, |m, x| m.max(x.abs()));
                prop_assert!(vector.contains(&longest));
                for i in 0..n {
                    let product: f64 = (0..n).map(|j| a[(i, j)] * vector[j]).sum();
                    prop_assert!((product - value * vector[i]).abs() <= close);
                    let along: f64 = (0..n).map(|j| vectors[(j, i)] * vector[j]).sum();
                    prop_assert!((along - f64::from(u8::from(i == k))).abs() < 1e-13);
                }
            }
        }
    }
}
