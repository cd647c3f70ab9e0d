//! The analysis: settings checked once, then run on any source.

use std::ops::ControlFlow;

use crate::activations::Activations;
use crate::error::Error;
use crate::geometry::Geometry;
use crate::settings::{Conventions, Vectors};

/// What an analysis is doing; handed to the callback of [`Analysis::run_with`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Progress {
    /// Reading features and taking inner products.
    Features {
        /// Features done.
        done: usize,
        /// N.
        of: usize,
    },
    /// Searching the low-rank centre structure.
    Centres,
    /// Solving the Gaussian vectors' problems.
    Manifolds {
        /// Manifolds done.
        done: usize,
        /// P.
        of: usize,
    },
}

/// An analysis with checked settings. It holds no data and can be run on any number of sources.
#[derive(Debug, Clone)]
pub struct Analysis {
    pub(crate) settings: AnalysisBuilder,
}

/// Settings of an [`Analysis`]; start with [`Analysis::builder`].
#[derive(Debug, Clone)]
pub struct AnalysisBuilder {
    pub(crate) margin: f64,
    pub(crate) vectors: Vectors,
    pub(crate) seed: u64,
    pub(crate) conventions: Conventions,
    pub(crate) restarts: usize,
    pub(crate) resamples: usize,
    pub(crate) interval_coverage: f64,
    pub(crate) spectrum: Option<f64>,
}

impl Default for AnalysisBuilder {
    fn default() -> Self {
        Self {
            margin: 0.0,
            vectors: Vectors::Count(300),
            seed: 0,
            conventions: Conventions::ours(),
            restarts: 10,
            resamples: 0,
            interval_coverage: 0.95,
            spectrum: None,
        }
    }
}

impl AnalysisBuilder {
    /// κ, the margin, any finite number. Default 0 (the reference's example notebook \[S\]).
    pub fn margin(mut self, margin: f64) -> Self {
        self.margin = margin;
        self
    }

    /// n_t, Gaussian vectors per manifold. Default 300 (the reference's example notebook \[S\]).
    pub fn vectors(self, count: usize) -> Self {
        self.sampling(Vectors::Count(count))
    }

    /// How Gaussian vectors are drawn or given.
    pub fn sampling(mut self, vectors: Vectors) -> Self {
        self.vectors = vectors;
        self
    }

    /// Seed of every random draw. Default 0. The same seed gives the same bytes at any number of threads.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// The conventions. Default [`Conventions::ours`].
    pub fn conventions(mut self, conventions: Conventions) -> Self {
        self.conventions = conventions;
        self
    }

    /// Restarts for each K of the centre structure. Default 10 (as the reference \[S\]).
    pub fn restarts(mut self, restarts: usize) -> Self {
        self.restarts = restarts;
        self
    }

    /// Resamples of the manifolds for the intervals of the over-manifold means; 0 (the default) for no intervals.
    pub fn resamples(mut self, resamples: usize) -> Self {
        self.resamples = resamples;
        self
    }

    /// Coverage of the intervals, in (0, 1). Default 0.95.
    pub fn interval_coverage(mut self, coverage: f64) -> Self {
        self.interval_coverage = coverage;
        self
    }

    /// Also take the variance spectrum, with the number of directions for `share` of the variance (the reference: 0.9).
    /// Off by default: it needs the Gram matrix of *all* points, (ΣM_i)² doubles, and its eigenvalues.
    pub fn spectrum(mut self, share: f64) -> Self {
        self.spectrum = Some(share);
        self
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// [`Error::Setting`] naming the first one outside its range.
    pub fn build(self) -> Result<Analysis, Error> {
        let refuse = |setting, value: String, requirement| {
            Err(Error::Setting {
                setting,
                value,
                requirement,
            })
        };
        if !self.margin.is_finite() {
            return refuse("margin", self.margin.to_string(), "finite");
        }
        match &self.vectors {
            Vectors::Count(0) => return refuse("vectors", "0".into(), "at least 1"),
            Vectors::UntilRelativeError { relative_error, .. }
                if relative_error.is_nan() || *relative_error <= 0.0 =>
            {
                return refuse("relative_error", relative_error.to_string(), "above 0");
            }
            Vectors::UntilRelativeError { cap: 0, .. } => {
                return refuse("cap", "0".into(), "at least 1");
            }
            _ => {}
        }
        if self.restarts == 0 {
            return refuse("restarts", "0".into(), "at least 1");
        }
        if !(self.interval_coverage > 0.0 && self.interval_coverage < 1.0) {
            return refuse(
                "interval_coverage",
                self.interval_coverage.to_string(),
                "between 0 and 1",
            );
        }
        if let Some(share) = self.spectrum
            && !(share > 0.0 && share <= 1.0)
        {
            return refuse("spectrum", share.to_string(), "above 0 and at most 1");
        }
        Ok(Analysis { settings: self })
    }
}

impl Analysis {
    /// Starts from the defaults: κ = 0, 300 Gaussian vectors, seed 0, our conventions, no intervals, no spectrum.
    pub fn builder() -> AnalysisBuilder {
        AnalysisBuilder::default()
    }

    /// Analyses `source` on rayon's current thread pool.
    ///
    /// # Errors
    /// [`Error`] for input that cannot be analysed.
    pub fn run<A: Activations + ?Sized>(&self, source: &A) -> Result<Geometry, Error> {
        self.run_with(source, &|_| ControlFlow::Continue(()))
    }

    /// As [`Analysis::run`], telling `progress` what is being done; where it breaks, the analysis ends with
    /// [`Error::Cancelled`]. The callback is called from several threads.
    ///
    /// # Errors
    /// As [`Analysis::run`], and [`Error::Cancelled`].
    pub fn run_with<A: Activations + ?Sized>(
        &self,
        source: &A,
        progress: &(dyn Fn(Progress) -> ControlFlow<()> + Sync),
    ) -> Result<Geometry, Error> {
        let _ = (source, progress, &self.settings);
        Err(Error::Manifold {
            manifold: 0,
            reason: "the engine is being put in".into(),
        })
    }
}
