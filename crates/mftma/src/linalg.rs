//! Dense products on the calling thread, and eigenproblems: bytes never depend on the pool.

use faer::prelude::*;
use faer::{Mat, MatRef};

// Compiled in a crate of their own: faer's generic decompositions take a minute.
pub(crate) use mftma_linalg::{
    add_product, add_symmetric_product, dot, product, symmetric_eigen, symmetric_eigenvalues,
};

/// Copies the lower triangle of a square matrix onto its upper one.
pub(crate) fn mirror_lower(a: &mut Mat<f64>) {
    for j in 0..a.ncols() {
        for i in 0..j {
            a[(i, j)] = a[(j, i)];
        }
    }
}

/// Orthonormal columns spanning those of `a` (r, k), r ≥ k, by two passes of modified Gram–Schmidt. Columns that depend
/// on earlier ones are replaced by coordinate directions, so the result always has k orthonormal columns.
pub(crate) fn orthonormalise(a: &mut Mat<f64>) {
    let (r, k) = (a.nrows(), a.ncols());
    debug_assert!(k <= r);
    let norm = |x: &[f64]| dot(x, x).sqrt();
    let mut next_unit = 0;
    for j in 0..k {
        let mut column = a.col_as_slice(j).to_vec();
        let length = loop {
            let before = norm(&column);
            for _ in 0..2 {
                for i in 0..j {
                    let other = a.col_as_slice(i);
                    let along = dot(&column, other);
                    column
                        .iter_mut()
                        .zip(other)
                        .for_each(|(x, y)| *x -= along * y);
                }
            }
            let after = norm(&column);
            if after > 1e-10 * before {
                break after;
            }
            column.fill(0.0);
            column[next_unit] = 1.0;
            next_unit += 1;
        };
        for (out, x) in a.col_as_slice_mut(j).iter_mut().zip(&column) {
            *out = x / length;
        }
    }
}

/// Inverse L⁻¹ (k, k), lower, of the Cholesky factor of a symmetric positive semi-definite matrix (k, k); pivots that are nought
/// but for rounding are held up, so that it is always finite.
pub(crate) fn inverse_factor(a: &Mat<f64>) -> Mat<f64> {
    let k = a.nrows();
    // Row-major: L, then L⁻¹.
    let (mut l, mut t) = (vec![0.0; k * k], Mat::<f64>::zeros(k, k));
    let largest = (0..k).map(|i| a[(i, i)]).fold(f64::MIN_POSITIVE, f64::max);
    for j in 0..k {
        for m in j..k {
            let (row_j, row_m) = (&l[j * k..j * k + j], &l[m * k..m * k + j]);
            let value = a[(m, j)] - dot(row_j, row_m);
            l[m * k + j] = if m == j {
                value.max(1e-12 * largest).sqrt()
            } else {
                value / l[j * k + j]
            };
        }
    }
    for j in 0..k {
        let column = t.col_as_slice_mut(j);
        column[j] = 1.0 / l[j * k + j];
        for m in j + 1..k {
            column[m] = -dot(&l[m * k + j..m * k + m], &column[j..m]) / l[m * k + m];
        }
    }
    t
}

/// Inverse (k, k) of a symmetric positive semi-definite matrix, as [`inverse_factor`] has it.
pub(crate) fn inverse(a: &Mat<f64>) -> Mat<f64> {
    let factor = inverse_factor(a);
    product(factor.transpose(), factor.as_ref())
}

/// Adds aᵀ·a for a (k, n) to the lower triangle of `out` (n, n), in tiles on rayon's current pool. Tiles are fixed by n,
/// and each is summed by one task.
pub(crate) fn add_symmetric_product_tiled(out: &mut Mat<f64>, a: MatRef<'_, f64>) {
    const TILE: usize = 256;
    use rayon::prelude::*;
    let n = a.ncols();
    out.as_mut()
        .par_col_chunks_mut(TILE)
        .enumerate()
        .for_each(|(tile, mut columns)| {
            let start = tile * TILE;
            let width = columns.ncols();
            add_product(
                columns.rb_mut().subrows_mut(start, n - start),
                1.0,
                a.transpose().subrows(start, n - start),
                a.subcols(start, width),
            );
        });
}

/// These rows (or all) and columns.
pub(crate) fn picked(a: &Mat<f64>, rows: Option<&[usize]>, columns: &[usize]) -> Mat<f64> {
    let n = rows.map_or(a.nrows(), <[usize]>::len);
    Mat::from_fn(n, columns.len(), |i, j| {
        a[(rows.map_or(i, |rows| rows[i]), columns[j])]
    })
}
