//! Products of matrices, symmetric eigenproblems and singular values, behind one door.
//!
//! faer's decompositions are generic: they are compiled anew, for about a minute, in each crate that calls them. This
//! crate calls them for `f64`, so that editing the engine does not compile them again. Eigenvalues alone of large matrices
//! are had by way of a band. Small problems are solved on the calling thread, large ones in a fixed number of parts on the
//! rayon pool: the bytes never depend on the pool. Those of products, of small symmetric problems (below 512) and of
//! eigenvalues alone do not depend on the processor either.

use faer::diag::Diag;
use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::evd::{ComputeEigenvectors, self_adjoint_evd, self_adjoint_evd_scratch};
use faer::linalg::svd::{ComputeSvdVectors, svd, svd_scratch};
use faer::{Mat, MatRef, Par};

mod band;
mod plain;
mod product;

pub use product::{add_product, add_symmetric_product, dot, product};

/// Eigenvalues in falling order (n), and their orthonormal eigenvectors as columns (n, n), of the symmetric matrix whose
/// lower triangle `a` (n, n) holds. `None` only if the iteration fails, which it does for matrices that are not finite. Of small
/// matrices (n < 512) each eigenvector's largest entry is positive.
pub fn symmetric_eigen(a: MatRef<'_, f64>) -> Option<(Vec<f64>, Mat<f64>)> {
    if a.nrows() < SPLIT_FROM {
        return plain::eigen(a);
    }
    large(a)
}

/// Eigenvalues alone, in falling order (n), of the symmetric matrix whose lower triangle `a` (n, n) holds. `None` as for
/// [`symmetric_eigen`]. Of large matrices they differ from its values in the last digits.
pub fn symmetric_eigenvalues(a: MatRef<'_, f64>) -> Option<Vec<f64>> {
    if a.nrows() < BAND_FROM {
        plain::eigen(a).map(|(values, _)| values)
    } else {
        band::eigenvalues(a)
    }
}

/// Order from which a problem is split into parts.
const SPLIT_FROM: usize = 512;
/// Order from which eigenvalues alone are had by way of a band.
const BAND_FROM: usize = 512;
/// How many parts: sums are taken part by part, so this number, and not that of the threads, decides their bytes.
const PARTS: usize = 8;

/// [`symmetric_eigen`] by faer, at any order.
fn large(a: MatRef<'_, f64>) -> Option<(Vec<f64>, Mat<f64>)> {
    let n = a.nrows();
    let par = if n < SPLIT_FROM {
        Par::Seq
    } else {
        Par::rayon(PARTS)
    };
    let (mut values, mut vectors) = (Diag::<f64>::zeros(n), Mat::<f64>::zeros(n, n));
    let wanted = ComputeEigenvectors::Yes;
    let scratch = self_adjoint_evd_scratch::<f64>(n, wanted, par, Default::default());
    self_adjoint_evd(
        a,
        values.as_mut(),
        Some(vectors.as_mut()),
        par,
        MemStack::new(&mut MemBuffer::new(scratch)),
        Default::default(),
    )
    .ok()?;
    // faer sorts them rising.
    let values = (0..n).rev().map(|i| values[i]).collect();
    Some((values, vectors.reverse_cols().to_owned()))
}

/// The thin singular value decomposition A = U diag(s) Vᵀ of `a` (m, n): U (m, r) and V (n, r) with orthonormal columns and
/// s (r) falling, r = min(m, n). `None` only if the iteration fails, which it does for matrices that are not finite.
/// On the calling thread.
pub fn thin_svd(a: MatRef<'_, f64>) -> Option<(Mat<f64>, Vec<f64>, Mat<f64>)> {
    let (m, n) = a.shape();
    let r = m.min(n);
    let (mut u, mut v) = (Mat::zeros(m, r), Mat::zeros(n, r));
    let mut values = Diag::<f64>::zeros(r);
    let thin = ComputeSvdVectors::Thin;
    let scratch = svd_scratch::<f64>(m, n, thin, thin, Par::Seq, Default::default());
    svd(
        a,
        values.as_mut(),
        Some(u.as_mut()),
        Some(v.as_mut()),
        Par::Seq,
        MemStack::new(&mut MemBuffer::new(scratch)),
        Default::default(),
    )
    .ok()?;
    Some((u, (0..r).map(|i| values[i]).collect(), v))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn singular_vectors_rebuild_the_matrix() {
        for (m, n) in [(5, 9), (9, 5), (6, 6), (1, 4)] {
            let a = Mat::from_fn(m, n, |i, j| ((3 * i * j + i + 2 * j) as f64).sin());
            let (u, s, v) = thin_svd(a.as_ref()).expect("finite");
            let r = s.len();
            assert_eq!(r, m.min(n));
            assert!(s.windows(2).all(|pair| pair[0] >= pair[1]) && s[r - 1] >= 0.0);
            let close = |x: f64, y: f64| (x - y).abs() < 1e-12;
            for i in 0..m {
                for j in 0..n {
                    let rebuilt: f64 = (0..r).map(|k| u[(i, k)] * s[k] * v[(j, k)]).sum();
                    assert!(close(rebuilt, a[(i, j)]));
                }
            }
            for k in 0..r {
                for l in 0..r {
                    let left: f64 = (0..m).map(|i| u[(i, k)] * u[(i, l)]).sum();
                    let right: f64 = (0..n).map(|j| v[(j, k)] * v[(j, l)]).sum();
                    let one = f64::from(u8::from(k == l));
                    assert!(close(left, one) && close(right, one));
                }
            }
        }
    }

    #[test]
    fn bytes_do_not_depend_on_the_pool() {
        let n = SPLIT_FROM + 1;
        let a = Mat::from_fn(n, n, |i, j| ((i * j + i + j) as f64).sin());
        let with = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
            pool.build().unwrap().install(|| {
                let alone = symmetric_eigenvalues(a.as_ref()).expect("finite");
                (symmetric_eigen(a.as_ref()).expect("finite"), alone)
            })
        };
        let one = with(1);
        assert!(one == with(2));
        assert!(one == with(5));
        let ((values, _), alone) = one;
        let close = |(x, y): (&f64, &f64)| (x - y).abs() < 1e-13 * values[0];
        assert!(alone.iter().zip(&values).all(close));
    }

    /// Columns are orthonormal, U diag(λ) Uᵀ is the matrix and values fall, whatever its rank, scale and repeated values.
    #[test]
    fn small_problems_are_solved_at_any_rank_and_scale() {
        for (n, rank) in [(1, 1), (2, 2), (3, 0), (30, 30), (30, 4), (120, 119)] {
            for scale in [1.0, 1e-290, 1e290] {
                for repeated in [false, true] {
                    let part = |i: usize, j: usize| match repeated {
                        true => f64::from(u8::from(i == j)),
                        false => ((31 * i + 17 * j + i * j) as f64 * 0.7).sin(),
                    };
                    let full = Mat::from_fn(n, n, |i, j| {
                        scale * (0..rank).map(|k| part(i, k) * part(j, k)).sum::<f64>()
                    });
                    let (values, vectors) = symmetric_eigen(full.as_ref()).expect("finite");
                    assert!(values.windows(2).all(|pair| pair[0] >= pair[1]));
                    assert_eq!(symmetric_eigenvalues(full.as_ref()).as_ref(), Some(&values));
                    let within = 1e-13 * n as f64;
                    for k in 0..n {
                        let vector = vectors.col_as_slice(k);
                        let (top, low) = vector.iter().fold((0.0, 0.0), |(top, low), &x| {
                            (f64::max(top, x), f64::min(low, x))
                        });
                        assert!(top >= -low - 1e-14, "{vector:?}");
                    }
                    for i in 0..n {
                        for j in 0..n {
                            let at =
                                |k: usize| vectors[(i, k)] * (values[k] / scale) * vectors[(j, k)];
                            let rebuilt: f64 = (0..n).map(at).sum();
                            let product: f64 =
                                (0..n).map(|k| vectors[(k, i)] * vectors[(k, j)]).sum();
                            assert!(
                                (rebuilt - full[(i, j)] / scale).abs() < within * (1 + rank) as f64
                            );
                            assert!((product - f64::from(u8::from(i == j))).abs() < within);
                        }
                    }
                }
            }
        }
        assert_eq!(
            symmetric_eigenvalues(Mat::<f64>::zeros(0, 0).as_ref()),
            Some(vec![])
        );
        for value in [f64::NAN, f64::INFINITY] {
            let a = Mat::from_fn(3, 3, |i, j| if (i, j) == (2, 0) { value } else { 1.0 });
            assert!(symmetric_eigen(a.as_ref()).is_none());
        }
    }

    #[test]
    fn decomposition_rebuilds_the_matrix() {
        let n = 7;
        let full = Mat::from_fn(n, n, |i, j| ((i * j + i + j) as f64).sin());
        let lower = Mat::from_fn(n, n, |i, j| if i >= j { full[(i, j)] } else { f64::NAN });
        let (values, vectors) = symmetric_eigen(lower.as_ref()).expect("finite");
        assert!(values.windows(2).all(|pair| pair[0] >= pair[1]));
        assert_eq!(
            symmetric_eigenvalues(lower.as_ref()).map(|v| v.len()),
            Some(n)
        );
        for i in 0..n {
            for j in 0..n {
                let rebuilt: f64 = (0..n)
                    .map(|k| vectors[(i, k)] * values[k] * vectors[(j, k)])
                    .sum();
                let product: f64 = (0..n).map(|k| vectors[(k, i)] * vectors[(k, j)]).sum();
                assert!((rebuilt - full[(i, j)]).abs() < 1e-12);
                assert!((product - f64::from(u8::from(i == j))).abs() < 1e-12);
            }
        }
    }
}
