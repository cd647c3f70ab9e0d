//! Variance spectrum of all points: participation ratio and explained-variance dimension.

use std::ops::ControlFlow;

use faer::Mat;

use crate::activations::Activations;
use crate::error::Error;
use crate::geometry::Spectrum;
use crate::gram::{InnerProducts, Wanted};
use crate::linalg;
use crate::progress::Progress;
use crate::settings::demand_share;

/// The variance spectrum of all points (ΣM_i, N) of `source` about their mean, without the geometry of manifolds: what
/// [`crate::AnalysisSettings::spectrum`] adds to an analysis. `share` is the share of the variance that the counted directions
/// hold. `None` where all points are the same.
///
/// It takes a matrix of the smaller of (ΣM_i)² and N² doubles and all its eigenvalues, 4/3 n³ operations.
///
/// # Errors
/// [`Error::Setting`] for a share outside (0, 1], [`Error::Cancelled`] where `progress` breaks, and those of a pass over the
/// source: fewer than two manifolds, one without a point, values that are not finite.
pub fn variance_spectrum<A: Activations + ?Sized>(
    source: &A,
    share: f64,
    progress: &(dyn Fn(Progress) -> ControlFlow<()> + Sync),
) -> Result<Option<Spectrum>, Error> {
    demand_share(share)?;
    let wanted = Wanted {
        leading: false,
        directions: None,
        spectrum: true,
    };
    let products = InnerProducts::gather(source, wanted, progress)?;
    Ok(products
        .scatter
        .and_then(|scatter| spectrum(&scatter, share)))
}

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
