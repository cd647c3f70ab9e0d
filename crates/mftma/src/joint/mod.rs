//! Capacity of correlated manifolds, and the effective geometry of their anchor points (GLUE).
//!
//! The mean-field capacity takes one manifold at a time and trusts that centres and axes are uncorrelated once shared
//! directions are removed. The *joint* capacity solves one problem over all points of all P manifolds and needs neither: for
//! a Gaussian t in the N features and labels y, F = min ‖v − t‖² over the v with y_μ⟨z, v⟩ ≥ κ for every point z of every
//! manifold μ, and α = P/⟨F⟩ (Wakhloo, Sussman & Chung, *Phys. Rev. Lett.* 131, 027301 (2023), DOI
//! 10.1103/PhysRevLett.131.027301).
//!
//! With λ ≥ 0 the duals, the *anchor* of manifold μ is s^μ = Σλ_i z_i/Σλ_i, a zero row of S (P, N) where μ carries no dual;
//! S₀ = ⟨S⟩, S₁ = S − S₀. Then (Chou et al., bioRxiv 2024.02.26.582157)
//! a = F, b = (S₁t)ᵀ(S₁S₁ᵀ)⁺(S₁t), c = (S₁t)ᵀ(S₀S₀ᵀ + S₁S₁ᵀ)⁺(S₁t), and
//!
//! - effective dimension D = ⟨b⟩/P,
//! - effective radius R = √(⟨c⟩/⟨b − c⟩),
//! - utility Ψ = ⟨c⟩/⟨a⟩,
//!
//! so that α = Ψ(1 + R⁻²)/D exactly, and differences of logarithms add up. The rows of S carry the labels' signs in the
//! papers; they drop out of all of these. At a margin κ > 0, a stays F and the anchors are those at the margin \[D\].
//!
//! Only inner products enter: one pass over the features gathers those of all n = ΣM_i points, and ⟨z_i, t⟩ is drawn through a
//! factor of them. Memory is about three n × n matrices of doubles; N does not matter after the pass.
//!
//! ```
//! use mftma::ArrayActivations;
//! use mftma::joint::{JointSettings, joint_geometry};
//! use ndarray::Array2;
//!
//! // Eight single points in general position.
//! let points = Array2::from_shape_fn((8, 30), |(i, j)| ((i * 31 + j * 17 + i * j * j) as f64).sin());
//! let source = ArrayActivations::new(points.view(), &[1; 8])?;
//! let found = joint_geometry(&source, &JointSettings::default().vectors(400))?;
//! let (alpha, error) = (found.capacity.value, found.capacity.standard_error.unwrap_or(f64::NAN));
//! assert!((alpha - 2.0).abs() < 5.0 * error);
//! # Ok::<(), mftma::Error>(())
//! ```

mod factor;
pub(crate) mod gather;
mod measures;
mod solve;

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

use faer::Mat;
use ndarray::Array2;
use rand::RngExt;
use rand::seq::index::sample;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::activations::Activations;
use crate::canonical::Canonical;
use crate::error::Error;
use crate::geometry::MeanEstimate;
use crate::linalg;
use crate::manifold::Estimate;
use crate::means::Resampling;
use crate::progress::Progress;
use crate::solver::{SolverStatus, StatusCounts};
use crate::streams;
use measures::{Anchors, Effective, Layout, MeanAnchors};
use solve::{Cone, Workspace};

/// Vectors whose inner products with the points are taken at once.
const CHUNK: usize = 8;

/// Draws that must all be separable where as many manifolds are taken as can be.
const PILOT: usize = 32;

/// Vectors before the relative error is first looked at, where it decides how many there are.
const FIRST_VECTORS: usize = 200;

/// How the manifolds are labelled in each draw.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Labels {
    /// Each +1 or −1 with equal chance, as the theory has it.
    #[default]
    Random,
    /// Half of the manifolds +1, drawn at random; where P is odd the larger half has a random sign.
    Balanced,
    /// One manifold, drawn at random, is +1 and all others −1.
    OneAgainstRest,
    /// Two manifolds, drawn at random, of opposite labels; the others take no part in the draw, and P is 2.
    Pairs,
    /// Given: rows of P labels ±1; draw v has row v modulo their number. One row is one fixed dichotomy.
    Fixed(Vec<Vec<i8>>),
}

/// How many manifolds are labelled in each draw. The others take no part, and P is the number of those that do: so fewer directions
/// can separate them ([`Error::NotSeparable`]), and the correlations that count are those among so many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ManifoldsPerDraw {
    /// All, as the papers have it.
    #[default]
    All,
    /// This many, drawn at random in each draw.
    Count(usize),
    /// All, or half of them, or a quarter, …: the first of these at which the first 32 draws can all be separated. Given labels, and labels
    /// at a margin, are always of all.
    Separable,
}

/// What is subtracted from every point first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Centring {
    /// Nothing: raw coordinates, as the papers on the joint capacity have it.
    #[default]
    None,
    /// The mean of the manifolds' means.
    ByManifold,
    /// The mean of all points.
    ByPoint,
}

/// How a manifold without dual mass enters the means of anchors. The sources do not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum InactiveManifolds {
    /// As a zero row that counts in ⟨S⟩. Single points then have D near 1 although they have no extent.
    #[default]
    Zero,
    /// Not at all: ⟨S⟩ is over active draws, and inactive rows of S₀ and S₁ are zero. Single points have D = R = 0.
    Active,
}

/// How many Gaussian vectors are drawn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum JointVectors {
    /// This many, from the seed.
    Count(usize),
    /// Twice as many again and again, until the relative standard errors of α, D and R are all at most `relative_error`, or
    /// `cap` is reached.
    UntilRelativeError {
        /// The relative standard error asked for, above 0.
        relative_error: f64,
        /// The most vectors.
        cap: usize,
    },
    /// Given, (n_t, N), one vector a row.
    Given(#[serde(skip)] Array2<f64>),
}

/// Settings of [`joint_geometry`]; start from the default and change what differs.
///
/// ```
/// use mftma::joint::{JointSettings, Labels};
/// let settings = JointSettings::default().vectors(500).labels(Labels::Balanced).seed(3);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct JointSettings {
    /// κ ≥ 0, in units of the activations. Default 0.
    pub margin: f64,
    /// How many Gaussian vectors. Default 200 \[D\].
    pub vectors: JointVectors,
    /// Seed of every random draw. Default 0.
    pub seed: u64,
    /// How the manifolds are labelled. Default [`Labels::Random`].
    pub labels: Labels,
    /// How many manifolds are labelled in each draw. Default [`ManifoldsPerDraw::All`].
    pub manifolds_per_draw: ManifoldsPerDraw,
    /// What is subtracted first. Default [`Centring::None`].
    pub centring: Centring,
    /// How manifolds without dual mass count. Default [`InactiveManifolds::Zero`].
    pub inactive: InactiveManifolds,
    /// Resamples of the manifolds for intervals over classes; 0 (the default) for none.
    pub resamples: usize,
    /// Coverage of the intervals, in (0, 1). Default 0.95.
    pub interval_coverage: f64,
    /// Whether the result keeps every draw. Default no.
    pub keep_draws: bool,
}

impl Default for JointSettings {
    fn default() -> Self {
        Self {
            margin: 0.0,
            vectors: JointVectors::Count(200),
            seed: 0,
            labels: Labels::default(),
            manifolds_per_draw: ManifoldsPerDraw::default(),
            centring: Centring::default(),
            inactive: InactiveManifolds::default(),
            resamples: 0,
            interval_coverage: 0.95,
            keep_draws: false,
        }
    }
}

impl JointSettings {
    /// κ ≥ 0.
    pub fn margin(mut self, margin: f64) -> Self {
        self.margin = margin;
        self
    }

    /// This many Gaussian vectors.
    pub fn vectors(mut self, count: usize) -> Self {
        self.vectors = JointVectors::Count(count);
        self
    }

    /// Vectors until the relative standard errors of α, D and R are at most `relative_error`, at most `cap` of them.
    pub fn until_relative_error(mut self, relative_error: f64, cap: usize) -> Self {
        self.vectors = JointVectors::UntilRelativeError {
            relative_error,
            cap,
        };
        self
    }

    /// These Gaussian vectors, (n_t, N).
    pub fn given_vectors(mut self, vectors: Array2<f64>) -> Self {
        self.vectors = JointVectors::Given(vectors);
        self
    }

    /// Seed of every random draw.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// How the manifolds are labelled.
    pub fn labels(mut self, labels: Labels) -> Self {
        self.labels = labels;
        self
    }

    /// How many manifolds are labelled in each draw.
    pub fn manifolds_per_draw(mut self, manifolds: ManifoldsPerDraw) -> Self {
        self.manifolds_per_draw = manifolds;
        self
    }

    /// What is subtracted from every point first.
    pub fn centring(mut self, centring: Centring) -> Self {
        self.centring = centring;
        self
    }

    /// How manifolds without dual mass count.
    pub fn inactive(mut self, rule: InactiveManifolds) -> Self {
        self.inactive = rule;
        self
    }

    /// Intervals over classes from this many resamples.
    pub fn resamples(mut self, resamples: usize) -> Self {
        self.resamples = resamples;
        self
    }

    /// Coverage of the intervals, in (0, 1).
    pub fn interval_coverage(mut self, coverage: f64) -> Self {
        self.interval_coverage = coverage;
        self
    }

    /// Keep every draw in the result.
    pub fn keep_draws(mut self, keep: bool) -> Self {
        self.keep_draws = keep;
        self
    }

    /// Given vectors and labels belong to points and manifolds in their order.
    pub(crate) fn keep_order(&self) -> bool {
        matches!(self.vectors, JointVectors::Given(_)) || matches!(self.labels, Labels::Fixed(_))
    }

    fn check(&self, manifolds: usize) -> Result<(), Error> {
        let refuse = |setting, value: String, requirement| {
            Err(Error::Setting {
                setting,
                value,
                requirement,
            })
        };
        if !(self.margin >= 0.0 && self.margin.is_finite()) {
            return refuse("margin", self.margin.to_string(), "finite and at least 0");
        }
        match &self.vectors {
            JointVectors::Count(0) => return refuse("vectors", "0".into(), "at least 1"),
            JointVectors::UntilRelativeError { cap: 0, .. } => {
                return refuse("cap", "0".into(), "at least 1");
            }
            JointVectors::UntilRelativeError { relative_error, .. }
                if relative_error.is_nan() || *relative_error <= 0.0 =>
            {
                return refuse("relative_error", relative_error.to_string(), "above 0");
            }
            JointVectors::Given(vectors) if vectors.nrows() == 0 => {
                return refuse("given_vectors", "empty".into(), "at least one row");
            }
            JointVectors::Given(vectors) if !vectors.iter().all(|t| t.is_finite()) => {
                return refuse("given_vectors", "not finite".into(), "finite everywhere");
            }
            _ => {}
        }
        match (self.manifolds_per_draw, &self.labels) {
            (ManifoldsPerDraw::Count(count), _) if count < 2 || count > manifolds => {
                let requirement = "from 2 to the number of manifolds";
                return refuse("manifolds_per_draw", count.to_string(), requirement);
            }
            (ManifoldsPerDraw::Count(count), Labels::Fixed(_)) => {
                let requirement = "left at all manifolds where labels are given";
                return refuse("manifolds_per_draw", count.to_string(), requirement);
            }
            _ => {}
        }
        if let Labels::Fixed(rows) = &self.labels {
            if rows.is_empty() {
                return refuse("labels", "empty".into(), "at least one row of labels");
            }
            for row in rows {
                if row.len() != manifolds {
                    return Err(Error::Shape {
                        what: "labels in a row (one per manifold)",
                        expected: manifolds,
                        found: row.len(),
                    });
                }
                if let Some(label) = row.iter().find(|label| label.abs() != 1) {
                    return refuse("labels", label.to_string(), "1 or -1");
                }
            }
        }
        if !(self.interval_coverage > 0.0 && self.interval_coverage < 1.0) {
            let value = self.interval_coverage.to_string();
            return refuse("interval_coverage", value, "between 0 and 1");
        }
        Ok(())
    }

    /// Vectors of the first batch, and the most there may be.
    fn counts(&self) -> (usize, usize) {
        match &self.vectors {
            JointVectors::Count(count) => (*count, *count),
            JointVectors::UntilRelativeError { cap, .. } => (FIRST_VECTORS.min(*cap), *cap),
            JointVectors::Given(vectors) => (vectors.nrows(), vectors.nrows()),
        }
    }
}

/// A mean over pairs of different manifolds in the two conventions of the papers, which disagree.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Alignment {
    /// Mean |inner product|, not normalised (definition B.6 of Chou et al. 2025): in squared units of the activations.
    pub absolute: f64,
    /// Mean signed cosine (algorithm 2 of the same); 0 where an anchor has no length.
    pub cosine: f64,
}

/// The three alignments.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Alignments {
    /// ⟨s₀^μ, s₀^ν⟩.
    pub centres: Alignment,
    /// ⟨s₁^μ, s₁^ν⟩, mean over draws.
    pub axes: Alignment,
    /// ⟨s₀^μ, s₁^ν⟩, mean over draws.
    pub centre_axes: Alignment,
}

/// One manifold's share of the joint measures. F, b and c are sums over manifolds, F = Σ_μ F_μ with F_μ = (Σ_i λ_i^μ)(y_μ⟨s^μ, t⟩ + κ).
/// At κ = 0, F_μ is taken as F times the manifold's part of the positive duals: the same expectation (by Gaussian integration by parts
/// both are the mean number of the manifold's duals), and a far smaller error. So each has its own α = 1/⟨F_μ⟩, D = ⟨b_μ⟩, R, Ψ, for which α = Ψ(1 + R⁻²)/D holds as well. The joint α is their harmonic
/// mean, the joint D their mean (where only some take part in each draw, over those that a manifold takes part in, only nearly so). NaN of a
/// manifold that took part in none.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct JointManifold {
    /// Index of the manifold, from 0.
    pub manifold: usize,
    /// M.
    pub points: usize,
    /// α_μ = 1/⟨F_μ⟩; infinite where the manifold never carries a dual.
    pub capacity: Estimate,
    /// D_μ.
    pub dimension: Estimate,
    /// R_μ; NaN where ⟨c_μ⟩/⟨b_μ − c_μ⟩ is negative, which a share can be.
    pub radius: Estimate,
    /// Ψ_μ.
    pub utility: Estimate,
    /// Share of draws in which it carries a dual.
    pub active: f64,
    /// ‖s₀^μ‖, in units of the activations.
    pub centre_norm: f64,
    /// √⟨‖s₁^μ‖²⟩, in units of the activations.
    pub axis_norm: f64,
}

/// One draw.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct JointDraw {
    /// F = a.
    pub f: f64,
    /// b.
    pub b: f64,
    /// c.
    pub c: f64,
    /// y (P): ±1, or 0 for a manifold that took no part.
    pub labels: Vec<i8>,
    /// Points with a positive dual, counted over all manifolds, in rising order.
    pub members: Vec<u32>,
    /// Their weights in the anchor of their manifold; they add up to 1 in each active manifold.
    pub weights: Vec<f64>,
    /// How the solver ended.
    pub status: SolverStatus,
    /// Largest violation of a KKT condition, relative to ‖t‖ times the longest point (plus κ).
    pub kkt_residual: f64,
}

/// Capacity and effective geometry of all manifolds together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct JointGeometry {
    /// The settings that it was measured with.
    pub settings: JointSettings,
    /// N.
    pub features: usize,
    /// Dimension of the span of all points.
    pub rank: usize,
    /// α = P/⟨F⟩.
    pub capacity: MeanEstimate,
    /// D = ⟨b⟩/P.
    pub dimension: MeanEstimate,
    /// R = √(⟨c⟩/⟨b − c⟩); 0 where ⟨c⟩ is.
    pub radius: MeanEstimate,
    /// Ψ = ⟨c⟩/⟨F⟩.
    pub utility: MeanEstimate,
    /// Manifolds labelled in each draw (with [`Labels::Pairs`], 2 of these).
    pub manifolds_per_draw: usize,
    /// Share of the draws whose labelled manifolds some vector separates, one-sided ones among them: at least a half ([`Error::NotSeparable`]). In the others F is the
    /// dimension of the points' span, the most it can be, so the capacity is rather too large where this is below 1.
    pub separable: f64,
    /// Alignments of centres and axes.
    pub alignments: Alignments,
    /// Share of manifolds that carry a dual, over draws.
    pub active: f64,
    /// Each manifold's share.
    pub manifolds: Vec<JointManifold>,
    /// Gaussian vectors drawn.
    pub vectors: usize,
    /// How the solver ended.
    pub statuses: StatusCounts,
    /// Largest violation of a KKT condition over all points and draws, relative to ‖t‖ times the longest point (plus κ).
    pub kkt_residual: f64,
    /// Mean number of positive duals of a draw.
    pub positive_duals: f64,
    /// Mean number of columns that were looked at to find them.
    pub columns: f64,
    /// Every draw, where asked for.
    pub draws: Vec<JointDraw>,
}

/// Joint capacity and effective geometry of `source`, on rayon's current pool; the same bytes on any number of threads.
///
/// Standard errors are over draws, by the delta method with the mean anchors held fixed.
///
/// # Errors
/// [`Error`] for input that cannot be measured: fewer than two manifolds, values that are not finite, settings out of range,
/// more than 30,000 points, a margin at which the labelled manifolds are not separable, manifolds that fewer than half of the labellings
/// separate ([`Error::NotSeparable`]).
pub fn joint_geometry<A: Activations + ?Sized>(
    source: &A,
    settings: &JointSettings,
) -> Result<JointGeometry, Error> {
    joint_geometry_with(source, settings, &|_| ControlFlow::Continue(()))
}

/// As [`joint_geometry`], telling `progress` what is being done; where it breaks, the measurement ends with
/// [`Error::Cancelled`]. The callback is called from several threads.
///
/// # Errors
/// As [`joint_geometry`], and [`Error::Cancelled`].
pub fn joint_geometry_with<A: Activations + ?Sized>(
    source: &A,
    settings: &JointSettings,
    progress: &(dyn Fn(Progress) -> ControlFlow<()> + Sync),
) -> Result<JointGeometry, Error> {
    check(source, settings)?;
    let of = source.n_features();
    let goes_on = || progress(Progress::Features { done: 0, of }).is_continue();
    let canonical = Canonical::new(source, settings.keep_order(), &goes_on)?;
    let products = gather::gather(&canonical, settings, progress)
        .map_err(|error| canonical.restored(error))?;
    from_products(canonical, products, settings, progress)
}

/// Whether `source` can be measured with `settings` at all.
pub(crate) fn check<A: Activations + ?Sized>(
    source: &A,
    settings: &JointSettings,
) -> Result<(), Error> {
    check_sizes(source.points_per_manifold(), source.n_features())?;
    settings.check(source.points_per_manifold().len())
}

/// The measures from the inner products of `canonical`.
pub(crate) fn from_products<A: Activations + ?Sized>(
    mut canonical: Canonical<'_, A>,
    products: gather::Products,
    settings: &JointSettings,
    progress: &(dyn Fn(Progress) -> ControlFlow<()> + Sync),
) -> Result<JointGeometry, Error> {
    let mut found = measure(&mut canonical, products, settings, progress)
        .map_err(|error| canonical.restored(error))?;
    restore(&mut found, &canonical);
    Ok(found)
}

/// Manifold of each point, and the first point of each manifold with the number of all points at the end.
fn numbered(sizes: &[usize]) -> (Vec<u32>, Vec<usize>) {
    let classes = (0_u32..)
        .zip(sizes)
        .flat_map(|(class, &m)| core::iter::repeat_n(class, m))
        .collect();
    let mut starts = vec![0];
    for m in sizes {
        starts.push(starts[starts.len() - 1] + m);
    }
    (classes, starts)
}

/// The measures in the order and units of `source`, which is rearranged unless its order is `kept`.
fn measure<A: Activations + ?Sized>(
    source: &mut Canonical<'_, A>,
    mut products: gather::Products,
    settings: &JointSettings,
    progress: &(dyn Fn(Progress) -> ControlFlow<()> + Sync),
) -> Result<JointGeometry, Error> {
    let (mut classes, mut starts) = numbered(source.points_per_manifold());
    let n = classes.len();
    if let Some(i) = (0..n).find(|&i| !products.gram[(i, i)].is_finite()) {
        return Err(Error::Overflow {
            manifold: classes[i] as usize,
        });
    }
    if !settings.keep_order() {
        source.rearrange(&products.arrange(&starts));
        (classes, starts) = numbered(source.points_per_manifold());
    }
    let longest = (0..n).map(|i| products.gram[(i, i)]).fold(0.0, f64::max);
    if longest < f64::MIN_POSITIVE {
        return Err(Error::AllAtOrigin);
    }
    let (source_of_vectors, rank) = match products.given {
        Some((u, lengths)) => (
            VectorSource::Given { u, lengths },
            n.min(source.n_features()),
        ),
        None => {
            let factor = factor::factor(&products.gram, 16.0 * n as f64 * f64::EPSILON * longest);
            let rank = factor.ncols();
            (VectorSource::Drawn { factor }, rank)
        }
    };
    let p = source.points_per_manifold().len();
    let mut run = Run {
        settings,
        margin: source.own_length(settings.margin),
        layout: Layout {
            gram: &products.gram,
            classes: &classes,
            starts: &starts,
        },
        source: source_of_vectors,
        longest: longest.sqrt(),
        rank,
        taking_part: match settings.manifolds_per_draw {
            ManifoldsPerDraw::Count(count) => count,
            _ => p,
        },
        progress,
    };
    let first = match settings.manifolds_per_draw {
        ManifoldsPerDraw::Separable => run.take_as_many_as_can_be_separated()?,
        _ => Vec::new(),
    };
    run.measure(source.n_features(), first)
}

/// Indices and units of the source.
fn restore<A: Activations + ?Sized>(found: &mut JointGeometry, canonical: &Canonical<'_, A>) {
    for m in &mut found.manifolds {
        m.manifold = canonical.manifold(m.manifold);
        m.centre_norm = canonical.length(m.centre_norm);
        m.axis_norm = canonical.length(m.axis_norm);
    }
    found.manifolds.sort_by_key(|m| m.manifold);
    let alignments = &mut found.alignments;
    for alignment in [
        &mut alignments.centres,
        &mut alignments.axes,
        &mut alignments.centre_axes,
    ] {
        alignment.absolute = canonical.length(canonical.length(alignment.absolute));
    }
    for draw in &mut found.draws {
        let mut labels = vec![0; draw.labels.len()];
        for (i, &label) in draw.labels.iter().enumerate() {
            labels[canonical.manifold(i)] = label;
        }
        draw.labels = labels;
        let mut members: Vec<(u32, f64)> = draw
            .members
            .iter()
            .zip(&draw.weights)
            .map(|(&row, &weight)| (canonical.row(row as usize) as u32, weight))
            .collect();
        members.sort_by_key(|&(row, _)| row);
        (draw.members, draw.weights) = members.into_iter().unzip();
    }
}

fn check_sizes(sizes: &[usize], features: usize) -> Result<(), Error> {
    if sizes.len() < 2 {
        return Err(Error::TooFewManifolds {
            found: sizes.len(),
            needed: 2,
        });
    }
    if let Some(manifold) = sizes.iter().position(|&m| m == 0) {
        return Err(Error::EmptyManifold { manifold });
    }
    if features == 0 {
        return Err(Error::NoFeatures);
    }
    let points: usize = sizes.iter().sum();
    if points > gather::MOST_POINTS {
        return Err(Error::Setting {
            setting: "points of all manifolds",
            value: points.to_string(),
            requirement: "at most 30000 for the joint capacity: take fewer points of each manifold",
        });
    }
    Ok(())
}

/// Where ⟨z_i, t⟩ come from.
enum VectorSource {
    /// C·g for independent normals g, with C·Cᵀ the points' inner products.
    Drawn { factor: Mat<f64> },
    /// ⟨z_i, t⟩ (n, n_t) and ‖t‖ of given vectors.
    Given { u: Mat<f64>, lengths: Vec<f64> },
}

/// Everything that is fixed for one measurement.
struct Run<'a> {
    settings: &'a JointSettings,
    /// κ in the units of `layout`.
    margin: f64,
    layout: Layout<'a>,
    source: VectorSource,
    longest: f64,
    rank: usize,
    /// Manifolds labelled in each draw.
    taking_part: usize,
    progress: &'a (dyn Fn(Progress) -> ControlFlow<()> + Sync),
}

/// One solved draw.
struct Solved {
    f: f64,
    /// F_μ (P).
    shares: Vec<f64>,
    anchors: Anchors,
    status: SolverStatus,
    separable: bool,
    kkt: f64,
    columns: usize,
}

impl Run<'_> {
    /// The measures, of which the first draws may be solved already.
    fn measure(&self, features: usize, mut new: Vec<Solved>) -> Result<JointGeometry, Error> {
        let (first, most) = self.settings.counts();
        let mut solved: Vec<Solved> = Vec::new();
        let mut anchors: Vec<Anchors> = Vec::new();
        let mut goal = first;
        loop {
            new.extend(self.solve(anchors.len() + new.len(), goal)?);
            for mut draw in new.drain(..) {
                anchors.push(core::mem::replace(&mut draw.anchors, Anchors::none()));
                solved.push(draw);
            }
            self.check_separable(&solved, &anchors)?;
            let mean = MeanAnchors::new(self.layout, &anchors, self.settings.inactive);
            let effective = self.effective(&mean, &anchors)?;
            let found = self.report(features, &mean, &solved, &anchors, &effective);
            if let JointVectors::UntilRelativeError { relative_error, .. } = self.settings.vectors {
                let worst = [found.capacity, found.dimension, found.radius]
                    .iter()
                    .filter_map(|m| m.standard_error.map(|error| error / m.value.abs()))
                    .fold(0.0, f64::max);
                if worst > relative_error && goal < most {
                    goal = (2 * goal).min(most);
                    continue;
                }
            }
            return Ok(found);
        }
    }

    /// Fewer manifolds, until the first draws can all be separated: these draws.
    fn take_as_many_as_can_be_separated(&mut self) -> Result<Vec<Solved>, Error> {
        if matches!(self.settings.labels, Labels::Fixed(_)) || self.margin > 0.0 {
            return Ok(Vec::new());
        }
        let (first, _) = self.settings.counts();
        loop {
            let pilot = self.solve(0, PILOT.min(first))?;
            if self.taking_part <= 2 || pilot.iter().all(|draw| draw.separable) {
                return Ok(pilot);
            }
            self.taking_part = (self.taking_part / 2).max(2);
        }
    }

    /// With fewer than half of the draws separable the manifolds are beyond their capacity, by the definition of the simulated one.
    fn check_separable(&self, solved: &[Solved], anchors: &[Anchors]) -> Result<(), Error> {
        let separable = solved.iter().filter(|draw| draw.separable).count();
        if 2 * separable >= solved.len() {
            return Ok(());
        }
        let labelled = |draw: &Anchors| draw.labels.iter().filter(|&&label| label != 0).count();
        let all: usize = anchors.iter().map(labelled).sum();
        Err(Error::NotSeparable {
            separable,
            draws: solved.len(),
            manifolds: all as f64 / solved.len() as f64,
            rank: self.rank,
        })
    }

    /// ⟨z_i, t⟩ (n, count) and ‖t‖ for vectors from `from` on.
    fn vectors(&self, from: usize, count: usize) -> (Mat<f64>, Vec<f64>) {
        match &self.source {
            VectorSource::Given { u, lengths } => (
                u.subcols(from, count).to_owned(),
                lengths[from..from + count].to_vec(),
            ),
            VectorSource::Drawn { factor } => {
                let mut normals = Mat::<f64>::zeros(factor.ncols(), count);
                for k in 0..count {
                    let mut rng = streams::joint_vector(self.settings.seed, (from + k) as u64);
                    for t in normals.col_as_slice_mut(k) {
                        *t = StandardNormal.sample(&mut rng);
                    }
                }
                let length = |k: usize| {
                    let t = normals.col_as_slice(k);
                    linalg::dot(t, t).sqrt()
                };
                let lengths = (0..count).map(length).collect();
                (linalg::product(factor.as_ref(), normals.as_ref()), lengths)
            }
        }
    }

    fn labels(&self, draw: usize) -> Vec<i8> {
        let p = self.layout.manifolds();
        let mut rng = streams::joint_labels(self.settings.seed, draw as u64);
        let taking_part = match self.taking_part {
            all if all == p => (0..p).collect(),
            some => sample(&mut rng, p, some).into_vec(),
        };
        let k = taking_part.len();
        let among = |rng: &mut ChaCha8Rng, positive: usize, sign: i8| {
            let mut labels = vec![-sign; k];
            for i in sample(rng, k, positive) {
                labels[i] = sign;
            }
            labels
        };
        let theirs = match &self.settings.labels {
            Labels::Random => (0..k)
                .map(|_| if rng.random::<bool>() { 1 } else { -1 })
                .collect(),
            Labels::Balanced => {
                let sign = if rng.random::<bool>() { 1 } else { -1 };
                among(&mut rng, k / 2, sign)
            }
            Labels::OneAgainstRest => among(&mut rng, 1, 1),
            Labels::Pairs => {
                let mut labels = vec![0; k];
                let pair = sample(&mut rng, k, 2);
                labels[pair.index(0)] = 1;
                labels[pair.index(1)] = -1;
                labels
            }
            Labels::Fixed(rows) => return rows[draw % rows.len()].clone(),
        };
        let mut labels = vec![0; p];
        for (manifold, label) in taking_part.into_iter().zip(theirs) {
            labels[manifold] = label;
        }
        labels
    }

    /// Solve draws `from..to`, in their order.
    fn solve(&self, from: usize, to: usize) -> Result<Vec<Solved>, Error> {
        let cone = Cone {
            gram: self.layout.gram,
            classes: self.layout.classes,
            starts: self.layout.starts,
            rank: self.rank,
            longest: self.longest,
            arch: crate::simd::arch(),
        };
        let done = AtomicUsize::new(from);
        let cancelled = AtomicBool::new(false);
        let chunks: Vec<Vec<Solved>> = (from..to)
            .into_par_iter()
            .step_by(CHUNK)
            .map(|start| {
                let count = CHUNK.min(to - start);
                let (u, lengths) = self.vectors(start, count);
                let mut workspace = Workspace::new(&cone);
                (0..count)
                    .map(|k| {
                        if cancelled.load(Relaxed) {
                            return Err(Error::Cancelled);
                        }
                        let u = u.col_as_slice(k);
                        let solved =
                            self.solve_one(&cone, start + k, u, lengths[k], &mut workspace)?;
                        let told = Progress::Vectors {
                            done: 1 + done.fetch_add(1, Relaxed),
                            of: to,
                        };
                        if (self.progress)(told).is_break() {
                            cancelled.store(true, Relaxed);
                            return Err(Error::Cancelled);
                        }
                        Ok(solved)
                    })
                    .collect::<Result<_, _>>()
            })
            .collect::<Vec<Result<_, _>>>()
            .into_iter()
            .collect::<Result<_, _>>()?;
        Ok(chunks.into_iter().flatten().collect())
    }

    fn solve_one(
        &self,
        cone: &Cone<'_>,
        draw: usize,
        u: &[f64],
        length: f64,
        workspace: &mut Workspace,
    ) -> Result<Solved, Error> {
        let margin = self.margin;
        let labels = self.labels(draw);
        let solution = cone.solve(u, length, &labels, margin, workspace);
        if margin > 0.0 && solution.status == SolverStatus::IterationLimit {
            return Err(Error::Setting {
                setting: "margin",
                value: self.settings.margin.to_string(),
                requirement: "0 here: some dichotomy of these manifolds is not separable through the origin, so no vector has a margin",
            });
        }
        // About their mean the centres add up to 0, so that no vector has one sign with all of them in any number of features: what one-sided
        // labellings say is nothing about too few directions.
        let one_sided = !(labels.contains(&1) && labels.contains(&-1));
        let p = labels.len();
        let (mut mass, mut overlap) = (vec![0.0; p], vec![0.0; p]);
        for (&i, x) in solution.members.iter().zip(&solution.multipliers) {
            mass[self.layout.classes[i as usize] as usize] += x;
        }
        let mut weights = solution.multipliers;
        for (&i, w) in solution.members.iter().zip(&mut weights) {
            let class = self.layout.classes[i as usize] as usize;
            *w /= mass[class];
            overlap[class] += *w * u[i as usize];
        }
        let shares = if margin == 0.0 {
            // On the face of the cone that t is projected to, F is chi-squared with as many degrees of freedom as there are duals,
            // independent of where on it: so the expectation of the duals' own terms is kept, and their tails are not (where nearly
            // all N directions are used, duals are huge and of both signs of y⟨z, t⟩).
            let mut counts = vec![0_usize; p];
            for &i in &solution.members {
                counts[self.layout.classes[i as usize] as usize] += 1;
            }
            let all = solution.members.len().max(1) as f64;
            let share = |&count: &usize| solution.f * count as f64 / all;
            counts.iter().map(share).collect()
        } else {
            mass.iter()
                .zip(&overlap)
                .zip(&labels)
                .map(|((mass, overlap), &label)| mass * (f64::from(label) * overlap + margin))
                .collect()
        };
        Ok(Solved {
            f: solution.f,
            shares,
            anchors: Anchors {
                members: solution.members,
                weights,
                mass,
                labels,
                overlap,
            },
            status: solution.status,
            separable: solution.separable || one_sided,
            kkt: solution.kkt,
            columns: solution.columns,
        })
    }

    fn effective(&self, mean: &MeanAnchors, draws: &[Anchors]) -> Result<Vec<Effective>, Error> {
        let chunks: Option<Vec<Vec<Effective>>> = draws
            .par_chunks(CHUNK)
            .enumerate()
            .map(|(chunk, draws)| {
                let (u, _) = self.vectors(chunk * CHUNK, draws.len());
                let rule = self.settings.inactive;
                let one = |(k, draw): (usize, &Anchors)| {
                    measures::effective(self.layout, mean, draw, u.col_as_slice(k), rule)
                };
                draws.iter().enumerate().map(one).collect()
            })
            .collect();
        match chunks {
            Some(chunks) => Ok(chunks.into_iter().flatten().collect()),
            None => Err(Error::Eigenproblem {
                what: "the anchors' inner products",
            }),
        }
    }

    fn report(
        &self,
        features: usize,
        mean: &MeanAnchors,
        solved: &[Solved],
        anchors: &[Anchors],
        effective: &[Effective],
    ) -> JointGeometry {
        let (p, n) = (self.layout.manifolds(), solved.len() as f64);
        let settings = self.settings;
        let mut joint = Moments::default();
        let mut own = vec![Moments::default(); p];
        let mut squared = vec![0.0; p];
        let mut active = vec![0_usize; p];
        let (mut statuses, mut kkt) = (StatusCounts::default(), 0.0_f64);
        let (mut duals, mut columns, mut taking_part, mut separable) = (0, 0, 0, 0);
        for ((draw, anchor), more) in solved.iter().zip(anchors).zip(effective) {
            joint.add(draw.f, more.b.iter().sum(), more.c.iter().sum());
            for (class, own) in own.iter_mut().enumerate() {
                if anchor.labels[class] != 0 {
                    own.add(draw.shares[class], more.b[class], more.c[class]);
                    taking_part += 1;
                }
                squared[class] += more.squared[class];
                active[class] += usize::from(anchor.mass[class] > 0.0);
            }
            statuses.add(draw.status);
            separable += usize::from(draw.separable);
            kkt = kkt.max(draw.kkt);
            duals += anchor.members.len();
            columns += draw.columns;
        }
        // P, or as many as take part in a draw.
        let parts = taking_part as f64 / n;
        let resampling = Resampling::drawn(
            settings.seed,
            settings.resamples,
            settings.interval_coverage,
            p,
        );
        let over = |of: fn(&Moments, f64) -> Estimate| {
            let Estimate {
                value,
                standard_error,
            } = of(&joint, parts);
            let interval = resampling.interval(|draw| {
                let mut sum = Moments::default();
                // Where few take part in a draw there may be manifolds that never did.
                let known = draw.iter().filter(|&&class| own[class].count > 0);
                let count = known.clone().count() as f64;
                for &class in known {
                    let mean = own[class].mean();
                    for (sum, mean) in sum.sums.iter_mut().zip(mean) {
                        *sum += mean;
                    }
                }
                sum.count = 1;
                Some(of(&sum, count).value).filter(|value| value.is_finite())
            });
            MeanEstimate {
                value,
                standard_error,
                interval,
            }
        };
        let part = |count: usize, draws: usize| count as f64 / draws.max(1) as f64;
        JointGeometry {
            settings: settings.clone(),
            features,
            rank: self.rank,
            capacity: over(Moments::capacity),
            dimension: over(Moments::dimension),
            radius: over(Moments::radius),
            utility: over(Moments::utility),
            manifolds_per_draw: self.taking_part,
            separable: part(separable, solved.len()),
            alignments: measures::alignments(mean, effective),
            active: part(active.iter().sum(), taking_part),
            manifolds: (0..p)
                .map(|class| JointManifold {
                    manifold: class,
                    points: self.layout.starts[class + 1] - self.layout.starts[class],
                    capacity: own[class].capacity(1.0),
                    dimension: own[class].dimension(1.0),
                    radius: own[class].radius(1.0),
                    utility: own[class].utility(1.0),
                    active: part(active[class], own[class].count),
                    centre_norm: mean.gram[(class, class)].max(0.0).sqrt(),
                    axis_norm: (squared[class] / own[class].count.max(1) as f64).sqrt(),
                })
                .collect(),
            vectors: solved.len(),
            statuses,
            kkt_residual: kkt,
            positive_duals: duals as f64 / n,
            columns: columns as f64 / n,
            draws: if settings.keep_draws {
                solved
                    .iter()
                    .zip(anchors)
                    .zip(effective)
                    .map(|((draw, anchor), more)| JointDraw {
                        f: draw.f,
                        b: more.b.iter().sum(),
                        c: more.c.iter().sum(),
                        labels: anchor.labels.clone(),
                        members: anchor.members.clone(),
                        weights: anchor.weights.clone(),
                        status: draw.status,
                        kkt_residual: draw.kkt,
                    })
                    .collect()
            } else {
                Vec::new()
            },
        }
    }
}

impl Anchors {
    fn none() -> Self {
        Self {
            members: Vec::new(),
            weights: Vec::new(),
            mass: Vec::new(),
            labels: Vec::new(),
            overlap: Vec::new(),
        }
    }
}

/// Sums of (a, b, c) over draws and of their products, from which means of them and the errors of ratios come.
#[derive(Clone, Debug, Default)]
struct Moments {
    count: usize,
    sums: [f64; 3],
    products: [[f64; 3]; 3],
}

impl Moments {
    fn add(&mut self, a: f64, b: f64, c: f64) {
        let values = [a, b, c];
        self.count += 1;
        for (i, x) in values.iter().enumerate() {
            self.sums[i] += x;
            for (j, y) in values.iter().enumerate() {
                self.products[i][j] += x * y;
            }
        }
    }

    fn mean(&self) -> [f64; 3] {
        self.sums.map(|sum| sum / self.count.max(1) as f64)
    }

    /// A function of the means with this gradient.
    fn estimate(&self, value: f64, gradient: [f64; 3]) -> Estimate {
        if self.count == 0 {
            return Estimate {
                value: f64::NAN,
                standard_error: None,
            };
        }
        let (mean, n) = (self.mean(), self.count as f64);
        let mut variance = 0.0;
        for (i, row) in self.products.iter().enumerate() {
            for (j, product) in row.iter().enumerate() {
                let covariance = product / n - mean[i] * mean[j];
                variance += gradient[i] * gradient[j] * covariance;
            }
        }
        let known = self.count > 1 && gradient.iter().all(|g| g.is_finite());
        Estimate {
            value,
            standard_error: known.then(|| (variance.max(0.0) / (n - 1.0)).sqrt()),
        }
    }

    fn capacity(&self, manifolds: f64) -> Estimate {
        let [a, ..] = self.mean();
        self.estimate(manifolds / a, [-manifolds / (a * a), 0.0, 0.0])
    }

    fn dimension(&self, manifolds: f64) -> Estimate {
        let [_, b, _] = self.mean();
        self.estimate(b / manifolds, [0.0, manifolds.recip(), 0.0])
    }

    fn radius(&self, _: f64) -> Estimate {
        let [_, b, c] = self.mean();
        if c == 0.0 {
            return self.estimate(0.0, [0.0; 3]);
        }
        let value = (c / (b - c)).sqrt();
        let slope = 0.5 / (value * (b - c) * (b - c));
        self.estimate(value, [0.0, -c * slope, b * slope])
    }

    fn utility(&self, _: f64) -> Estimate {
        let [a, _, c] = self.mean();
        self.estimate(c / a, [-c / (a * a), 0.0, a.recip()])
    }
}
