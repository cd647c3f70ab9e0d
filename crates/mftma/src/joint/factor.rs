//! A factor of the inner products, through which Gaussian vectors are drawn whatever the number of features.

use faer::prelude::*;
use faer::{Mat, MatRef};
use rayon::prelude::*;

use crate::linalg;

/// Columns per panel.
const PANEL: usize = 64;

/// Columns of the remainder that one task updates.
const TILE: usize = 256;

/// C (n, r) with K ≈ C·Cᵀ for a positive semi-definite K (n, n): Cholesky factorisation with pivoting, panel by panel,
/// that stops where no remaining squared length exceeds `floor`. Tiles are fixed by n: the same bytes on any pool.
pub(super) fn factor(gram: &Mat<f64>, floor: f64) -> Mat<f64> {
    let n = gram.nrows();
    let mut a = gram.clone();
    let mut order: Vec<usize> = (0..n).collect();
    let mut remaining: Vec<f64> = (0..n).map(|i| a[(i, i)]).collect();
    let mut rank = n;
    let mut start = 0;
    'panels: while start < n {
        let end = n.min(start + PANEL);
        for j in start..end {
            let pivot = j + longest(&remaining[j..]);
            let length = remaining[pivot];
            if length <= floor {
                rank = j;
                break 'panels;
            }
            swap(&mut a, j, pivot);
            order.swap(j, pivot);
            remaining.swap(j, pivot);
            // The column less what the panel's earlier columns explain of it.
            let mut column = a.col_as_slice(j)[j..].to_vec();
            for p in start..j {
                let other = &a.col_as_slice(p)[j..];
                let c = other[0];
                for (x, y) in column.iter_mut().zip(other) {
                    *x -= c * y;
                }
            }
            let scale = length.sqrt();
            column[0] = scale;
            for (x, remaining) in column.iter_mut().zip(&mut remaining[j..]).skip(1) {
                *x /= scale;
                *remaining -= *x * *x;
            }
            a.col_as_slice_mut(j)[j..].copy_from_slice(&column);
        }
        if end < n {
            let panel = a
                .as_ref()
                .submatrix(end, start, n - end, end - start)
                .to_owned();
            update(&mut a, end, panel.as_ref());
            for (i, remaining) in remaining.iter_mut().enumerate().skip(end) {
                *remaining = a[(i, i)];
            }
        }
        start = end;
    }
    let mut out = Mat::zeros(n, rank);
    for p in 0..rank {
        for i in p..n {
            out[(order[i], p)] = a[(i, p)];
        }
    }
    out
}

/// Index of the longest, the first of those that tie but for rounding, so that coordinates do not turn on it.
fn longest(squared_lengths: &[f64]) -> usize {
    let top = squared_lengths.iter().fold(f64::MIN, |a, &b| a.max(b));
    squared_lengths
        .iter()
        .position(|&length| length >= top - 1e-6 * top.abs())
        .unwrap_or(0)
}

/// Exchange rows and columns j < q of a symmetric matrix of which the lower triangle is read, left columns with it.
fn swap(a: &mut Mat<f64>, j: usize, q: usize) {
    if j == q {
        return;
    }
    let n = a.nrows();
    let mut exchange = |one: (usize, usize), other: (usize, usize)| {
        let kept = a[one];
        a[one] = a[other];
        a[other] = kept;
    };
    for p in 0..j {
        exchange((j, p), (q, p));
    }
    exchange((j, j), (q, q));
    for i in j + 1..q {
        exchange((i, j), (q, i));
    }
    for i in q + 1..n {
        exchange((i, j), (i, q));
    }
}

/// Subtract panel·panelᵀ from the lower triangle of the remainder, which begins at row and column `from`.
fn update(a: &mut Mat<f64>, from: usize, panel: MatRef<'_, f64>) {
    let left = panel.nrows();
    a.as_mut()
        .subcols_mut(from, left)
        .par_col_chunks_mut(TILE)
        .enumerate()
        .for_each(|(tile, mut columns)| {
            let first = tile * TILE;
            let width = columns.ncols();
            linalg::add_product(
                columns.rb_mut().subrows_mut(from + first, left - first),
                -1.0,
                panel.subrows(first, left - first),
                panel.subrows(first, width).transpose(),
            );
        });
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;
    use rand_distr::{Distribution, StandardNormal};

    #[test]
    fn a_factor_rebuilds_the_matrix_at_its_rank() {
        for (n, rank) in [(5, 5), (40, 7), (150, 150), (300, 130)] {
            let mut rng = ChaCha8Rng::seed_from_u64(n as u64);
            let x = Mat::from_fn(n, rank, |i, _| {
                let z: f64 = StandardNormal.sample(&mut rng);
                z * (1 + i % 5) as f64
            });
            let gram = linalg::product(x.as_ref(), x.transpose());
            let found = factor(&gram, 1e-10 * gram[(0, 0)]);
            assert_eq!(found.ncols(), rank, "n {n}");
            let back = linalg::product(found.as_ref(), found.transpose());
            let error = (&back - &gram).norm_max() / gram.norm_max();
            assert!(error < 1e-12, "n {n}: {error:e}");
        }
    }
}
