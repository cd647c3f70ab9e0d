//! Variance spectrum of all points: participation ratio and explained-variance dimension.

use faer::Mat;

use crate::geometry::Spectrum;
use crate::linalg;

/// Both dimensions from the eigenvalues λ of the covariance of all points (any common factor cancels).
///
/// `scatter` is the lower triangle of the smaller of the Gram matrix of points and that of features about their mean:
/// their non-zero eigenvalues agree. `directions` is the number of eigenvalues that count, min(N, ΣM_i). `None` where the
/// points have no variance at all.
pub(crate) fn spectrum(scatter: &Mat<f64>, share: f64) -> Option<Spectrum> {
    let values = linalg::symmetric_eigenvalues(scatter.as_ref())?;
    let values: Vec<f64> = values.into_iter().map(|v| v.max(0.0)).collect();
    let total: f64 = values.iter().sum();
    if total <= 0.0 {
        return None;
    }
    let ratio = |values: &[f64]| {
        let (sum, squares) = values
            .iter()
            .fold((0.0, 0.0), |(sum, squares), v| (sum + v, squares + v * v));
        if squares > 0.0 {
            sum * sum / squares
        } else {
            0.0
        }
    };
    let mut held = 0.0;
    let needed = values
        .iter()
        .position(|v| {
            held += v;
            held >= share * total
        })
        .map_or(values.len(), |index| index + 1);
    Some(Spectrum {
        participation_ratio: ratio(&values),
        explained_variance_dimension: needed,
        variance_share: share,
        reference_participation_ratio: ratio(&values[..values.len() - 1]),
        reference_explained_variance_dimension: needed - 1,
    })
}
