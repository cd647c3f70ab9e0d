//! The last layer at uniform softmax: class-mean differences and their finite-sample noise.

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis};

use crate::Error;

/// Checks that there is one label per row and that each label is a class.
pub(crate) fn check_labels(rows: usize, labels: &[u16], classes: usize) -> Result<(), Error> {
    if labels.len() != rows {
        return Err(Error::Length {
            what: "labels",
            got: labels.len(),
            expected: rows,
        });
    }
    match labels.iter().position(|&y| usize::from(y) >= classes) {
        Some(example) => Err(Error::Label {
            label: labels[example],
            example,
            classes,
        }),
        None => Ok(()),
    }
}

/// The class-mean factor M = Σ_x (1/C − e_y) f(x)ᵀ of a group of examples (equation 2).
///
/// `features` (n, d), `labels` n values below `classes`. Returns (classes, d). This is the exact gradient of the
/// summed cross-entropy with respect to a last layer's weights when the softmax is uniform and `features` are that
/// layer's inputs; for deeper layers it is the factor that drives the leading order
/// ([`Expansion::linear_gradient`](super::Expansion::linear_gradient)).
///
/// # Errors
/// [`Error::Length`] or [`Error::Label`] when labels and features do not fit.
pub fn class_mean_factor(
    features: ArrayView2<'_, f64>,
    labels: &[u16],
    classes: usize,
) -> Result<Array2<f64>, Error> {
    check_labels(features.nrows(), labels, classes)?;
    let mut factor = Array2::zeros((classes, features.ncols()));
    let share = features.sum_axis(Axis(0)) / classes as f64;
    for (row, &y) in features.rows().into_iter().zip(labels) {
        let mut target = factor.row_mut(usize::from(y));
        target -= &row;
    }
    factor += &share;
    Ok(factor)
}

/// First and second moments of one group's features, by class: all that the last layer's gradient depends on while
/// the softmax is uniform.
#[derive(Debug, Clone, PartialEq)]
pub struct ClassMoments {
    /// Number of classes C, those without an example included.
    pub classes: usize,
    /// Number of examples n.
    pub examples: usize,
    /// Examples of each class, C values.
    pub class_counts: Vec<usize>,
    /// Mean feature vector, d values.
    pub mean: Array1<f64>,
    /// Mean feature vector of each class (C, d); zero for a class without examples.
    pub class_means: Array2<f64>,
    /// Total variance around the mean, summed over features, normalised by n − 1 (0 for n = 1).
    pub total_variance: f64,
    /// Variance around each class's own mean, summed over features, normalised by n_c − 1 (0 where n_c < 2).
    pub class_variances: Vec<f64>,
}

impl ClassMoments {
    /// Moments of `features` (n, d) under `labels` (n values below `classes`).
    ///
    /// # Errors
    /// [`Error::Length`] or [`Error::Label`] when labels and features do not fit; [`Error::TooFew`] for no examples.
    pub fn new<A: Copy + Into<f64>>(
        features: ArrayView2<'_, A>,
        labels: &[u16],
        classes: usize,
    ) -> Result<Self, Error> {
        check_labels(features.nrows(), labels, classes)?;
        let examples = features.nrows();
        if examples == 0 {
            return Err(Error::TooFew {
                group: "given",
                what: "class means",
                wanted: 1,
                had: 0,
            });
        }
        let mut class_counts = vec![0usize; classes];
        let mut class_means = Array2::<f64>::zeros((classes, features.ncols()));
        for (row, &y) in features.rows().into_iter().zip(labels) {
            class_counts[usize::from(y)] += 1;
            class_means
                .row_mut(usize::from(y))
                .zip_mut_with(&row, |sum, &x| *sum += x.into());
        }
        let mean = class_means.sum_axis(Axis(0)) / examples as f64;
        for (mut row, &count) in class_means.rows_mut().into_iter().zip(&class_counts) {
            if count > 0 {
                row /= count as f64;
            }
        }
        let distance = |x: ArrayView1<'_, A>, centre: ArrayView1<'_, f64>| -> f64 {
            x.iter()
                .zip(centre)
                .map(|(&x, c)| (x.into() - c) * (x.into() - c))
                .sum()
        };
        let mut total = 0.0;
        let mut within = vec![0.0; classes];
        for (row, &y) in features.rows().into_iter().zip(labels) {
            total += distance(row, mean.view());
            within[usize::from(y)] += distance(row, class_means.row(usize::from(y)));
        }
        for (sum, &count) in within.iter_mut().zip(&class_counts) {
            *sum /= count.max(2) as f64 - 1.0;
        }
        Ok(Self {
            classes,
            examples,
            class_counts,
            mean,
            class_means,
            total_variance: total / (examples.max(2) as f64 - 1.0),
            class_variances: within,
        })
    }

    /// The summed gradient at uniform softmax (equation 3): row c is (n/C) h̄ − n_c h̄_c. Shape (C, d). Exact.
    pub fn gradient(&self) -> Array2<f64> {
        let uniform = Array1::from_elem(self.classes, 1.0 / self.classes as f64);
        self.gradient_at(uniform.view())
    }

    /// The summed gradient where the softmax is `probabilities` (C values) for every example (equation 13): row c is
    /// n p_c h̄ − n_c h̄_c. Beyond [`gradient`](Self::gradient) it holds n (p_c − 1/C) h̄, which is the same for any labels of
    /// the same counts: an offset that all logits share hides the difference between groups. Shape (C, d). Exact.
    ///
    /// # Panics
    /// Where there are not C probabilities.
    pub fn gradient_at(&self, probabilities: ArrayView1<'_, f64>) -> Array2<f64> {
        assert_eq!(probabilities.len(), self.classes, "one probability a class");
        let mut gradient = Array2::zeros(self.class_means.raw_dim());
        for (c, mut row) in gradient.rows_mut().into_iter().enumerate() {
            row.scaled_add(self.examples as f64 * probabilities[c], &self.mean);
            row.scaled_add(-(self.class_counts[c] as f64), &self.class_means.row(c));
        }
        gradient
    }

    /// Expected squared norm of the summed gradient when the labels are a uniformly random permutation of
    /// themselves, features fixed (equation 4): Σ_c (n/C − n_c)² ‖h̄‖² + S² Σ_c n_c (1 − n_c/n), with S² the total
    /// variance. The first term is label imbalance; the second the noise floor, its last factor the finite-population
    /// correction that a permutation brings. Exact for every n.
    pub fn squared_norm_under_permutation(&self) -> f64 {
        self.squared_norm_under_permutation_through(Array2::eye(self.classes).view())
    }

    /// The same for ‖Bᵀ M‖² with `outer` B (C, m) between the logits and the layer (equation 8):
    /// ‖Bᵀu‖² ‖h̄‖² + S² tr Bᵀ(diag n_c − n_c n_c'/n)B, u_c = n/C − n_c.
    ///
    /// # Panics
    /// Where B has not C rows.
    pub fn squared_norm_under_permutation_through(&self, outer: ArrayView2<'_, f64>) -> f64 {
        let n = self.examples as f64;
        let counts: Array1<f64> = self.class_counts.iter().map(|&c| c as f64).collect();
        let imbalance = counts.mapv(|count| n / self.classes as f64 - count);
        let drift = outer.t().dot(&imbalance);
        let weighted: f64 = outer
            .rows()
            .into_iter()
            .zip(&counts)
            .map(|(row, count)| count * row.dot(&row))
            .sum();
        let pooled = outer.t().dot(&counts);
        drift.dot(&drift) * self.mean.dot(&self.mean)
            + self.total_variance * (weighted - pooled.dot(&pooled) / n)
    }

    /// The part of the summed gradient's expected squared norm that is sampling noise when each example is an
    /// independent draw from its class (equation 5): (1 − 1/C) Σ_c n_c σ_c².
    pub fn sampling_noise(&self) -> f64 {
        self.sampling_noise_through(Array2::eye(self.classes).view())
    }

    /// The same for ‖Bᵀ M‖² with `outer` B (C, m): Σ_c n_c σ_c² ‖Bᵀ(1/C − e_c)‖².
    ///
    /// # Panics
    /// Where B has not C rows.
    pub fn sampling_noise_through(&self, outer: ArrayView2<'_, f64>) -> f64 {
        let pull = &outer.sum_axis(Axis(0)) / self.classes as f64;
        outer
            .rows()
            .into_iter()
            .zip(self.class_counts.iter().zip(&self.class_variances))
            .map(|(row, (&count, variance))| {
                let pull: f64 = pull.iter().zip(row).map(|(p, r)| (p - r) * (p - r)).sum();
                count as f64 * variance * pull
            })
            .sum()
    }

    /// Squared norm of the part that is signal: ‖gradient‖² less [`sampling_noise`](Self::sampling_noise). Unbiased,
    /// hence possibly negative where there is no signal.
    pub fn signal(&self) -> f64 {
        self.gradient().iter().map(|g| g * g).sum::<f64>() - self.sampling_noise()
    }

    /// Separation δ² (mean over classes present of ‖h̄_c − h̄‖², corrected for the sampling noise of the class means)
    /// and within-class variance σ² (pooled), as [`RatioModel`](super::RatioModel) takes them. The first is clamped at 0.
    pub fn separation_and_within(&self) -> (f64, f64) {
        let (mut between, mut within, mut freedom, mut noise, mut present) =
            (0.0, 0.0, 0.0, 0.0, 0.0);
        for (c, &count) in self
            .class_counts
            .iter()
            .enumerate()
            .filter(|&(_, &count)| count > 0)
        {
            let gap = &self.class_means.row(c) - &self.mean;
            between += gap.dot(&gap);
            within += (count as f64 - 1.0) * self.class_variances[c];
            freedom += count as f64 - 1.0;
            noise += 1.0 / count as f64;
            present += 1.0;
        }
        let within = if freedom > 0.0 { within / freedom } else { 0.0 };
        // E‖h̄_c − h̄‖² exceeds its population value by σ²(1/n_c − 1/n).
        let excess = within * (noise / present - 1.0 / self.examples as f64);
        ((between / present - excess).max(0.0), within)
    }
}
