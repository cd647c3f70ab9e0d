//! Input–output correlations of real examples, and what permuted labels would leave of them.
//!
//! With P examples, inputs X (P, n) and targets Y (P, m), rows examples and columns centred, Σ = YᵀX/P (m, n). The theory of
//! [`crate::Dynamics`] assumes white inputs, XᵀX/P = I; [`Whitening`] makes them so. Images are far from white: on raw pixels the modes
//! of Σ say how strongly labels and inputs go together, not how fast each is learned.
//!
//! **Permuted labels.** Let C balanced classes be coded one-hot and assigned at random, with the class sizes kept. Centred, their columns
//! span C − 1 dimensions, in each of which the variance is 1/C, and that space is uniformly random among those orthogonal to the
//! constant vector, in P − 1 dimensions. So Σ has C − 1 singular values other than 0, and
//!
//! - for white inputs, C s² are squared cosines between random spaces of a(P − 1) = n and b(P − 1) = C − 1 dimensions, whose limit
//!   ends at (√(a(1 − b)) ± √(b(1 − a)))² (Wachter 1980, *Ann. Statist.* 8, 937–957, DOI 10.1214/aos/1176345134);
//!   for P ≫ n, C this is the law of Marchenko & Pastur, s between (√n ± √(C − 1))/√(CP);
//! - for inputs of variances λ_j along their principal axes, and P ≫ n, C, the law of Marchenko & Pastur for ZΛZᵀ/(C(P − 1)), Z normal
//!   (C − 1, n), whose edges are stationary values of ψ(α) = α (1 + (C − 1)⁻¹ Σ_j λ_j/(α − λ_j)) (Silverstein & Choi 1995,
//!   *J. Multivar. Anal.* 54, 295–309, DOI 10.1006/jmva.1995.1058).

use faer::Mat;
use ndarray::{Array1, Array2, ArrayView2, Axis};

use crate::error::{LinearError, finite, setting, shape};
use crate::spiked::Edges;

/// Σ = YᵀX/P (m, n) from inputs X (P, n) and targets Y (P, m), columns as they are; see [`centred`].
///
/// # Errors
/// [`LinearError::Shape`], [`LinearError::Empty`], [`LinearError::NotFinite`].
pub fn correlation(
    inputs: ArrayView2<'_, f64>,
    targets: ArrayView2<'_, f64>,
) -> Result<Array2<f64>, LinearError> {
    finite("inputs", inputs)?;
    finite("targets", targets)?;
    shape("rows of the targets", inputs.nrows(), targets.nrows())?;
    Ok(targets.t().dot(&inputs) / inputs.nrows() as f64)
}

/// Labels as rows (P, C) with a 1 in the column of the class.
///
/// # Errors
/// [`LinearError::Setting`] for a label of `classes` or above.
pub fn one_hot(labels: &[u16], classes: usize) -> Result<Array2<f64>, LinearError> {
    let mut out = Array2::zeros((labels.len(), classes));
    for (i, &label) in labels.iter().enumerate() {
        let class = usize::from(label);
        setting(
            "labels",
            f64::from(label),
            class < classes,
            "below the number of classes",
        )?;
        out[[i, class]] = 1.0;
    }
    Ok(out)
}

/// `values` (P, n) in double precision, less the mean of each column.
///
/// # Errors
/// [`LinearError::Empty`], [`LinearError::NotFinite`].
pub fn centred<T: Copy + Into<f64>>(values: ArrayView2<'_, T>) -> Result<Array2<f64>, LinearError> {
    finite("values", values)?;
    let values = values.mapv(Into::into);
    let mean = mean(&values);
    Ok(values - mean)
}

fn mean(values: &Array2<f64>) -> Array1<f64> {
    values.sum_axis(Axis(0)) / values.nrows() as f64
}

/// A linear map of inputs to coordinates that are white over the examples it was fitted to.
#[derive(Debug, Clone, PartialEq)]
pub struct Whitening {
    mean: Array1<f64>,
    /// Principal axes, each divided by its standard deviation, as columns (n, k).
    axes: Array2<f64>,
    /// Variances along all axes that have one, falling.
    variances: Vec<f64>,
}

impl Whitening {
    /// Fits to `inputs` (P, n), keeping the leading `components` principal axes, or as many as have variance. Takes O(n²P + n³).
    ///
    /// # Errors
    /// [`LinearError::Empty`], [`LinearError::NotFinite`], [`LinearError::Decomposition`]; [`LinearError::Setting`] where
    /// no component is asked for, or inputs do not vary.
    pub fn fit<T: Copy + Into<f64>>(
        inputs: ArrayView2<'_, T>,
        components: usize,
    ) -> Result<Self, LinearError> {
        finite("inputs", inputs)?;
        setting(
            "components",
            components as f64,
            components > 0,
            "at least 1",
        )?;
        let inputs = inputs.mapv(Into::into);
        let mean = mean(&inputs);
        let centred = &inputs - &mean;
        let (p, n) = centred.dim();
        let covariance = centred.t().dot(&centred) / p as f64;
        let covariance = Mat::from_fn(n, n, |i, j| covariance[[i, j]]);
        let (mut variances, vectors) =
            mftma_linalg::symmetric_eigen(covariance.as_ref()).ok_or(LinearError::Decomposition)?;
        let floor = variances[0] * n.max(p) as f64 * 4.0 * f64::EPSILON;
        variances.retain(|&v| v > floor && v > 0.0);
        setting(
            "inputs",
            variances.len() as f64,
            !variances.is_empty(),
            "more than one distinct input",
        )?;
        let kept = components.min(variances.len());
        let axes = Array2::from_shape_fn((n, kept), |(i, j)| vectors[(i, j)] / variances[j].sqrt());
        Ok(Self {
            mean,
            axes,
            variances,
        })
    }

    /// White coordinates (P, k) of `inputs` (P, n).
    ///
    /// # Errors
    /// [`LinearError::Shape`], [`LinearError::Empty`], [`LinearError::NotFinite`].
    pub fn apply<T: Copy + Into<f64>>(
        &self,
        inputs: ArrayView2<'_, T>,
    ) -> Result<Array2<f64>, LinearError> {
        finite("inputs", inputs)?;
        shape("columns of the inputs", self.mean.len(), inputs.ncols())?;
        Ok((inputs.mapv(Into::into) - &self.mean).dot(&self.axes))
    }

    /// Variances of the inputs along every principal axis that has one, falling: what [`permuted_edges`] takes.
    pub fn variances(&self) -> &[f64] {
        &self.variances
    }
}

/// Edges of the C − 1 singular values of Σ under permuted labels for inputs that are white, n of them, over P examples: exact proportions of
/// P, n and C. (Σ has min(n, C − 1) of them.)
///
/// # Errors
/// [`LinearError::Setting`] for fewer than 2 classes, no inputs, or P ≤ n + C − 1, where some are 1/√C whatever the labels.
pub fn white_permuted_edges(
    inputs: usize,
    examples: usize,
    classes: usize,
) -> Result<Edges, LinearError> {
    setting("inputs", inputs as f64, inputs > 0, "at least 1")?;
    setting("classes", classes as f64, classes >= 2, "at least 2")?;
    let enough = examples > inputs + classes - 1;
    setting(
        "examples",
        examples as f64,
        enough,
        "more than inputs + classes − 1",
    )?;
    let dimensions = (examples - 1) as f64;
    let (a, b) = (
        inputs as f64 / dimensions,
        (classes - 1) as f64 / dimensions,
    );
    let (x, y) = ((a * (1.0 - b)).sqrt(), (b * (1.0 - a)).max(0.0).sqrt());
    let scale = (classes as f64).sqrt();
    Ok(Edges {
        lower: (x - y).abs() / scale,
        upper: (x + y) / scale,
    })
}

/// Edges of the singular values of Σ under permuted labels for inputs with the given variances along their principal axes, over P examples and C
/// balanced classes, P ≫ n, C. Values that are 0 for want of variances or classes are left out.
///
/// # Errors
/// [`LinearError::Setting`] for fewer than 2 classes or examples, no variances, or one that is not finite and above 0.
pub fn permuted_edges(
    variances: &[f64],
    examples: usize,
    classes: usize,
) -> Result<Edges, LinearError> {
    setting("classes", classes as f64, classes >= 2, "at least 2")?;
    setting("examples", examples as f64, examples >= 2, "at least 2")?;
    setting(
        "variances",
        0.0,
        !variances.is_empty(),
        "at least one value",
    )?;
    for &v in variances {
        setting(
            "variances",
            v,
            v > 0.0 && v.is_finite(),
            "finite and above 0",
        )?;
    }
    let samples = (classes - 1) as f64;
    let largest = variances.iter().copied().fold(0.0, f64::max);
    let least = variances.iter().copied().fold(f64::INFINITY, f64::min);
    let value =
        |at: f64| at * (1.0 + variances.iter().map(|v| v / (at - v)).sum::<f64>() / samples);
    // 1 − ψ′(α): where it is 1 the edge lies.
    let pull = |at: f64| {
        variances
            .iter()
            .map(|v| (v / (at - v)).powi(2))
            .sum::<f64>()
            / samples
    };
    let root = |mut inside: f64, mut outside: f64| {
        for _ in 0..200 {
            let middle = 0.5 * (inside + outside);
            if pull(middle) > 1.0 {
                inside = middle;
            } else {
                outside = middle;
            }
        }
        0.5 * (inside + outside)
    };
    let count = variances.len() as f64;
    let far = largest * (2.0 + (count / samples).sqrt());
    let upper = value(root(largest, far));
    let lower = if count > samples {
        value(root(0.0, -far))
    } else if count < samples {
        value(root(least, 0.0))
    } else {
        0.0
    };
    let scale = samples / (classes as f64 * (examples - 1) as f64);
    Ok(Edges {
        lower: (lower.max(0.0) * scale).sqrt(),
        upper: (upper * scale).sqrt(),
    })
}
