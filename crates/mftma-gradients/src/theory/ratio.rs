//! How much smaller the permuted examples' gradient starts, before any training.

use serde::{Deserialize, Serialize};

use crate::Error;

/// What the ratio ‖g_permuted‖ / ‖g_unpermuted‖ per example depends on at uniform softmax: balanced classes, each
/// example an independent draw around its class mean.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RatioModel {
    /// Number of classes C, at least 2.
    pub classes: usize,
    /// Training examples per class, both groups together.
    pub per_class: f64,
    /// Fraction ε of examples with permuted labels, strictly between 0 and 1.
    pub permuted_fraction: f64,
    /// Separation δ²: mean over classes of the squared distance between class mean and global mean, in the features
    /// that reach the layer.
    pub separation: f64,
    /// Within-class variance σ², summed over features.
    pub within: f64,
}

/// Root-mean-square gradient norms per example, and their ratio.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ContributionRatio {
    /// √(E‖g_U‖²)/n_U: unpermuted examples.
    pub unpermuted: f64,
    /// √(E‖g_P‖²)/n_P: permuted examples.
    pub permuted: f64,
    /// permuted / unpermuted.
    pub ratio: f64,
}

impl RatioModel {
    /// Checks the model's ranges.
    ///
    /// # Errors
    /// [`Error::Setting`] naming the value that is out of range.
    pub fn check(&self) -> Result<(), Error> {
        let bad = |name, value, remedy| {
            Err(Error::Setting {
                name,
                value,
                remedy,
            })
        };
        if self.classes < 2 {
            return bad("classes", self.classes as f64, "give at least 2 classes");
        }
        if !(self.permuted_fraction > 0.0 && self.permuted_fraction < 1.0) {
            return bad(
                "permuted_fraction",
                self.permuted_fraction,
                "give a fraction strictly between 0 and 1",
            );
        }
        if !(self.per_class.is_finite() && self.per_class > 0.0) {
            return bad(
                "per_class",
                self.per_class,
                "give a positive number of examples per class",
            );
        }
        if !(self.separation.is_finite() && self.separation >= 0.0) {
            return bad(
                "separation",
                self.separation,
                "give a finite squared distance, 0 or more",
            );
        }
        if !(self.within.is_finite() && self.within >= 0.0) {
            return bad("within", self.within, "give a finite variance, 0 or more");
        }
        if self.separation + self.within == 0.0 {
            return bad(
                "within",
                0.0,
                "separation and variance are both 0: all features coincide and no gradient is left",
            );
        }
        Ok(())
    }

    /// Expected norms and ratio (equations 9–11):
    ///
    /// unpermuted² = δ²/C + (1 − 1/C) σ²/n_U, permuted² = (1 − 1/C)(σ² + δ² n_P/(n_P − 1))/n_P,
    /// with n_U = (1 − ε)n, n_P = εn, n = C · per_class.
    ///
    /// # Errors
    /// [`Error::Setting`] from [`check`](Self::check).
    pub fn predict(&self) -> Result<ContributionRatio, Error> {
        self.check()?;
        let classes = self.classes as f64;
        let n = classes * self.per_class;
        let n_permuted = self.permuted_fraction * n;
        let n_unpermuted = n - n_permuted;
        let spread = 1.0 - 1.0 / classes;
        // n/(n−1) turns the population's between-class variance into the sample's; moot for a single example.
        let correction = if n_permuted > 1.0 {
            n_permuted / (n_permuted - 1.0)
        } else {
            1.0
        };
        let unpermuted = (self.separation / classes + spread * self.within / n_unpermuted).sqrt();
        let permuted = (spread * (self.within + self.separation * correction) / n_permuted).sqrt();
        Ok(ContributionRatio {
            unpermuted,
            permuted,
            ratio: permuted / unpermuted,
        })
    }
}
