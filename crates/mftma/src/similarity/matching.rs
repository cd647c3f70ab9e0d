//! Which neurons of two layers represent the same thing: maximum and simple matches of neuron activation subspaces.
//!
//! Wang, Hu, Gu, Wu, Hu, He & Hopcroft 2018 (*Towards understanding learning representations*, NeurIPS 2018, arXiv 1810.11750,
//! DOI 10.48550/arXiv.1810.11750). A neuron x is its vector z_x of activations over d points (not centred). With X and Y sets
//! of neurons of two layers and 0 ≤ ε < 1:
//!
//! - (X, Y) is an **ε-approximate match** if dist(z_x, span z_Y) ≤ ε ‖z_x‖ for every x ∈ X, and likewise for every
//!   y ∈ Y with span z_X. At ε = 0, an exact match, the two spans are equal.
//! - The union of two matches is a match, for spans only grow: so there is one largest match in two given sets, the **maximum
//!   match** (X*, Y*), and (|X*| + |Y*|) / (|X| + |Y|) is the **maximum match similarity**.
//! - A match is **v-minimum** if it holds the neuron v and no match strictly inside it does; it is a **simple match** if it is
//!   v-minimum for some v. Every match is a union of simple ones (their decomposition theorem):
//!   the maximum match says how much two layers share, simple matches in how small pieces.
//!
//! **Algorithms** (theirs). The maximum match: drop from X each neuron that is too far from span z_Y, then from Y each
//! that is too far from what is left of X, until nothing is dropped. Whatever is dropped was too far from a span that holds that of
//! every match, so it is in none. That is the certificate: [`MaximumMatch::removed`] lists each neuron with its round and distance,
//! and [`MaximumMatch::verify`] replays it. A v-minimum match: from the maximum match, leave out one
//! neuron after another, keeping to the maximum match of what is left wherever v stays in it.
//!
//! **What it does not say.** With as many independent neurons as points one side spans everything and all of the other
//! matches; [`MaximumMatch::ranks`] against the number of points tells. A silent neuron (all activations 0) is at distance 0 from every span
//! and so always matches, by the definition; [`MaximumMatch::silent`] counts them.
//!
//! Distances come from pivoted Gram–Schmidt bases, each vector orthogonalised twice. A distance up to 10⁻⁸ ‖z‖ counts as 0, so
//! ε = 0 finds exact matches of double-precision activations; from single-precision ones take ε ≥ 10⁻⁶. Memory is d (|X| + |Y|)
//! doubles; a maximum match takes O(d |X| |Y|) operations a round, with d at most |X| + |Y| after a change of basis, and
//! simple matches up to (|X*| + |Y*|)² maximum matches.
//!
//! ```
//! use mftma::ArrayActivations;
//! use mftma::similarity::matching::{Neurons, maximum_match, simple_matches};
//! use ndarray::array;
//!
//! // Four points. The first two neurons of either side span the same plane; the third are strangers.
//! let x = array![[1.0, 0.0, 0.3], [0.0, 1.0, 0.1], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0]];
//! let y = array![[1.0, 2.0, 0.0], [1.0, -1.0, 0.2], [0.0, 0.0, 0.0], [0.0, 0.0, 1.0]];
//! let x = Neurons::new(&ArrayActivations::new(x.view(), &[4])?)?;
//! let y = Neurons::new(&ArrayActivations::new(y.view(), &[4])?)?;
//!
//! let found = maximum_match(&x, &y, 0.0)?;
//! assert_eq!((&found.first[..], &found.second[..]), (&[0, 1][..], &[0, 1][..]));
//! assert_eq!(found.similarity(), 4.0 / 6.0);
//! assert!(found.verify(&x, &y)?);
//! assert_eq!(simple_matches(&x, &y, 0.0)?.len(), 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::collections::BTreeMap;

use faer::{Mat, MatRef};
use mftma_linalg::product;
use rayon::prelude::*;
use serde::Serialize;

use super::{Values, each_slice};
use crate::activations::Activations;
use crate::error::Error;
use crate::linalg;

/// A distance from a unit vector to a span that is rounding.
const ROUNDING: f64 = 1e-8;
/// A unit vector that is left with less than this adds no direction to a span.
const DEPENDENT: f64 = 1e-10;

/// The neurons of one layer: a unit vector of d activations for each feature, or nought for a silent one.
#[derive(Debug, Clone)]
pub struct Neurons {
    /// (d, neurons).
    vectors: Mat<f64>,
    silent: usize,
}

impl Neurons {
    /// Streams `source` once. Its features are the neurons, its points the d inputs; labels play no part.
    ///
    /// # Errors
    /// [`Error::TooFewPoints`], [`Error::NoFeatures`], [`Error::NotFinite`], or the source's.
    pub fn new<A: Activations + ?Sized>(source: &A) -> Result<Self, Error> {
        let d: usize = source.points_per_manifold().iter().sum();
        if d < 2 {
            return Err(Error::TooFewPoints { found: d });
        }
        let mut columns: Vec<Vec<f64>> = Vec::with_capacity(source.n_features());
        each_slice(source, d, Values::Raw, |x| {
            columns.extend((0..x.ncols()).map(|j| (0..d).map(|i| x[(i, j)]).collect()));
        })?;
        if columns.is_empty() {
            return Err(Error::NoFeatures);
        }
        let mut silent = 0;
        for column in &mut columns {
            // By the largest first: the squares of very large or small activations would not fit.
            let largest = column.iter().fold(0.0, |m: f64, x| m.max(x.abs()));
            if largest == 0.0 {
                silent += 1;
                continue;
            }
            column.iter_mut().for_each(|x| *x /= largest);
            let norm = dot(column, column).sqrt();
            column.iter_mut().for_each(|x| *x /= norm);
        }
        Ok(Self {
            vectors: Mat::from_fn(d, columns.len(), |i, j| columns[j][i]),
            silent,
        })
    }

    /// d, the number of points.
    pub fn points(&self) -> usize {
        self.vectors.nrows()
    }

    /// How many neurons.
    pub fn size(&self) -> usize {
        self.vectors.ncols()
    }
}

/// One of the two layers that are matched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Side {
    /// The first layer.
    First,
    /// The second.
    Second,
}

/// A neuron that is in no match, and why.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Removal {
    /// Its layer.
    pub side: Side,
    /// Its index there.
    pub neuron: usize,
    /// When it was dropped, from 0: even rounds look at the first layer, odd ones at the second.
    pub round: usize,
    /// dist(z, span)/‖z‖ from the neurons of the other layer that were left then; above ε.
    pub distance: f64,
}

/// The one largest ε-approximate match between two layers, with its certificate.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct MaximumMatch {
    /// The tolerance ε.
    pub epsilon: f64,
    /// X*, indices of neurons of the first layer, rising.
    pub first: Vec<usize>,
    /// Y*, indices of neurons of the second layer, rising.
    pub second: Vec<usize>,
    /// For each neuron of X*, dist(z, span z_Y*)/‖z‖, at most ε.
    pub first_distances: Vec<f64>,
    /// For each neuron of Y*, dist(z, span z_X*)/‖z‖, at most ε.
    pub second_distances: Vec<f64>,
    /// Every other neuron, in the order in which they were dropped.
    pub removed: Vec<Removal>,
    /// |X| and |Y|.
    pub sizes: (usize, usize),
    /// Dimensions of span z_X and span z_Y. One that equals the number of points makes the match trivial.
    pub ranks: (usize, usize),
    /// Neurons of either layer whose activations are all 0: they match whatever the other layer does.
    pub silent: (usize, usize),
}

impl MaximumMatch {
    /// (|X*| + |Y*|) / (|X| + |Y|), in [0, 1].
    pub fn similarity(&self) -> f64 {
        (self.first.len() + self.second.len()) as f64 / (self.sizes.0 + self.sizes.1) as f64
    }

    /// Replays the certificate from the activations, in their own coordinates: whether (X*, Y*) is a match, and each other neuron was
    /// dropped in its turn for being too far from all that was left of the other layer. Then no match holds a dropped neuron.
    ///
    /// # Errors
    /// [`Error::DifferentPoints`] and [`Error::Neuron`] where the layers are not those of the match.
    pub fn verify(&self, a: &Neurons, b: &Neurons) -> Result<bool, Error> {
        same_points(a, b)?;
        let named = |side| {
            self.removed
                .iter()
                .filter(move |r| r.side == side)
                .map(|r| r.neuron)
        };
        let pair = Pair::plain(a, b, self.epsilon);
        let mut left = [
            checked(self.first.iter().copied().chain(named(Side::First)), a)?,
            checked(self.second.iter().copied().chain(named(Side::Second)), b)?,
        ];
        if left[0].len() != a.size() || left[1].len() != b.size() {
            return Ok(false);
        }
        for step in self.removed.chunk_by(|r, s| r.round == s.round) {
            let side = step[0].side;
            if step.iter().any(|r| r.side != side) {
                return Ok(false);
            }
            let out: Vec<usize> = step.iter().map(|r| r.neuron).collect();
            let distances = pair.distances(side, &out, &left[1 - side as usize]);
            if distances.iter().any(|&d| d <= pair.tolerance) {
                return Ok(false);
            }
            left[side as usize].retain(|i| !out.contains(i));
        }
        Ok(pair.holds(&left) && left == [self.first.clone(), self.second.clone()])
    }
}

/// A simple match: v-minimum for each of the neurons it names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct SimpleMatch {
    /// Neurons of the first layer, rising.
    pub first: Vec<usize>,
    /// Neurons of the second layer, rising.
    pub second: Vec<usize>,
    /// The neurons v for which it was found as a v-minimum match.
    pub minimum_for: Vec<(Side, usize)>,
}

/// Two layers in coordinates of the space that they span together.
struct Pair<'a> {
    vectors: [MatOrRef<'a>; 2],
    tolerance: f64,
}

enum MatOrRef<'a> {
    Own(Mat<f64>),
    Of(MatRef<'a, f64>),
}

type Sets = [Vec<usize>; 2];

impl<'a> Pair<'a> {
    /// In the coordinates of the points.
    fn plain(a: &'a Neurons, b: &'a Neurons, epsilon: f64) -> Self {
        Self {
            vectors: [
                MatOrRef::Of(a.vectors.as_ref()),
                MatOrRef::Of(b.vectors.as_ref()),
            ],
            tolerance: epsilon.max(ROUNDING),
        }
    }

    fn new(a: &'a Neurons, b: &'a Neurons, epsilon: f64) -> Result<Self, Error> {
        same_points(a, b)?;
        if !(0.0..1.0).contains(&epsilon) {
            return Err(Error::Setting {
                setting: "epsilon",
                value: epsilon.to_string(),
                requirement: "at least 0 and below 1",
            });
        }
        let mut pair = Self::plain(a, b, epsilon);
        let (p, q) = (a.size(), b.size());
        if a.points() > p + q {
            let both = Mat::from_fn(a.points(), p + q, |i, j| {
                if j < p {
                    a.vectors[(i, j)]
                } else {
                    b.vectors[(i, j - p)]
                }
            });
            let all: Vec<usize> = (0..p + q).collect();
            let axes = basis(both.as_ref(), &all);
            let seen = |x: &Neurons| MatOrRef::Own(product(axes.transpose(), x.vectors.as_ref()));
            pair.vectors = [seen(a), seen(b)];
        }
        Ok(pair)
    }

    fn of(&self, side: usize) -> MatRef<'_, f64> {
        match &self.vectors[side] {
            MatOrRef::Own(m) => m.as_ref(),
            MatOrRef::Of(m) => *m,
        }
    }

    fn everything(&self) -> Sets {
        [
            (0..self.of(0).ncols()).collect(),
            (0..self.of(1).ncols()).collect(),
        ]
    }

    /// dist(z, span)/‖z‖ of neurons of one side from the span of neurons of the other.
    fn distances(&self, side: Side, neurons: &[usize], others: &[usize]) -> Vec<f64> {
        let side = side as usize;
        let span = basis(self.of(1 - side), others);
        let own = self.of(side);
        let mut rest = Mat::from_fn(own.nrows(), neurons.len(), |i, j| own[(i, neurons[j])]);
        // Twice, so that what is left is orthogonal to the span to rounding.
        for _ in 0..2 {
            let along = product(span.transpose(), rest.as_ref());
            let taken = product(span.as_ref(), along.as_ref());
            rest -= taken;
        }
        let column = |j| rest.col_as_slice(j);
        (0..neurons.len())
            .map(|j| linalg::dot(column(j), column(j)).sqrt())
            .collect()
    }

    fn holds(&self, sets: &Sets) -> bool {
        [Side::First, Side::Second].into_iter().all(|side| {
            let (own, other) = (&sets[side as usize], &sets[1 - side as usize]);
            self.distances(side, own, other)
                .iter()
                .all(|&d| d <= self.tolerance)
        })
    }

    /// The maximum match within `sets`, or `None` as soon as `keep` is dropped. Drops are told to `dropped`.
    fn maximum(
        &self,
        mut sets: Sets,
        keep: Option<(Side, usize)>,
        mut dropped: impl FnMut(Removal),
    ) -> Option<Sets> {
        let mut quiet = 0;
        for round in 0.. {
            let side = if round % 2 == 0 {
                Side::First
            } else {
                Side::Second
            };
            let (own, other) = (side as usize, 1 - side as usize);
            let distances = self.distances(side, &sets[own], &sets[other]);
            let mut kept = Vec::with_capacity(sets[own].len());
            for (&neuron, &distance) in sets[own].iter().zip(&distances) {
                if distance <= self.tolerance {
                    kept.push(neuron);
                    continue;
                }
                if keep == Some((side, neuron)) {
                    return None;
                }
                dropped(Removal {
                    side,
                    neuron,
                    round,
                    distance,
                });
            }
            quiet = if kept.len() == sets[own].len() {
                quiet + 1
            } else {
                0
            };
            sets[own] = kept;
            // One quiet round is not enough at the start: the other side has not been looked at.
            if quiet == 2 || (quiet == 1 && round > 0) {
                break;
            }
        }
        Some(sets)
    }

    /// A v-minimum match within the match `sets`, which holds v.
    fn minimum(&self, mut sets: Sets, v: (Side, usize)) -> Sets {
        let candidates: Vec<(Side, usize)> = [Side::First, Side::Second]
            .into_iter()
            .flat_map(|side| sets[side as usize].iter().map(move |&i| (side, i)))
            .filter(|&u| u != v)
            .collect();
        // Once is enough: a neuron that v cannot do without stays so in every smaller set.
        for (side, neuron) in candidates {
            if !sets[side as usize].contains(&neuron) {
                continue;
            }
            let mut fewer = sets.clone();
            fewer[side as usize].retain(|&i| i != neuron);
            if let Some(smaller) = self.maximum(fewer, Some(v), |_| ()) {
                sets = smaller;
            }
        }
        sets
    }
}

fn same_points(a: &Neurons, b: &Neurons) -> Result<(), Error> {
    if a.points() == b.points() {
        return Ok(());
    }
    Err(Error::DifferentPoints {
        first: a.points(),
        second: b.points(),
    })
}

/// Indices that the layer has, rising, each once.
fn checked(neurons: impl Iterator<Item = usize>, of: &Neurons) -> Result<Vec<usize>, Error> {
    let mut all: Vec<usize> = neurons.collect();
    all.sort_unstable();
    all.dedup();
    match all.last() {
        Some(&neuron) if neuron >= of.size() => Err(Error::Neuron {
            neuron,
            size: of.size(),
        }),
        _ => Ok(all),
    }
}

/// Whether neurons `first` of `a` and `second` of `b` are an ε-approximate match.
///
/// # Errors
/// [`Error::DifferentPoints`], [`Error::Setting`], [`Error::Neuron`].
pub fn is_match(
    a: &Neurons,
    b: &Neurons,
    first: &[usize],
    second: &[usize],
    epsilon: f64,
) -> Result<bool, Error> {
    let pair = Pair::new(a, b, epsilon)?;
    let sets = [
        checked(first.iter().copied(), a)?,
        checked(second.iter().copied(), b)?,
    ];
    Ok(pair.holds(&sets))
}

/// The maximum ε-approximate match of two layers (Wang et al. 2018). It grows with ε, and depends neither on
/// the order of neurons or points nor on the scale of a neuron.
///
/// # Errors
/// [`Error::DifferentPoints`], [`Error::Setting`].
pub fn maximum_match(a: &Neurons, b: &Neurons, epsilon: f64) -> Result<MaximumMatch, Error> {
    let pair = Pair::new(a, b, epsilon)?;
    let all = pair.everything();
    let ranks = (
        basis(pair.of(0), &all[0]).ncols(),
        basis(pair.of(1), &all[1]).ncols(),
    );
    let mut removed = Vec::new();
    let [first, second] = pair
        .maximum(all, None, |removal| removed.push(removal))
        .unwrap_or_default();
    Ok(MaximumMatch {
        epsilon,
        first_distances: pair.distances(Side::First, &first, &second),
        second_distances: pair.distances(Side::Second, &second, &first),
        first,
        second,
        removed,
        sizes: (a.size(), b.size()),
        ranks,
        silent: (a.silent, b.silent),
    })
}

/// A v-minimum ε-approximate match for the neuron `neuron` of `side` (Wang et al. 2018), or `None` if no match holds
/// it. There may be several; this one comes of leaving out neurons in the order of their indices, first layer first.
///
/// # Errors
/// [`Error::DifferentPoints`], [`Error::Setting`], [`Error::Neuron`].
pub fn minimum_match(
    a: &Neurons,
    b: &Neurons,
    side: Side,
    neuron: usize,
    epsilon: f64,
) -> Result<Option<SimpleMatch>, Error> {
    let pair = Pair::new(a, b, epsilon)?;
    checked(std::iter::once(neuron), [a, b][side as usize])?;
    let v = (side, neuron);
    Ok(pair
        .maximum(pair.everything(), Some(v), |_| ())
        .map(|sets| {
            let [first, second] = pair.minimum(sets, v);
            SimpleMatch {
                first,
                second,
                minimum_for: vec![v],
            }
        }))
}

/// A v-minimum match for every neuron v of the maximum match, each distinct one once, the smallest first. Their union is the
/// maximum match. Where a neuron has several v-minimum matches one of them is given, as by [`minimum_match`]: all may be
/// exponentially many. Runs on rayon's current pool; the result does not depend on it.
///
/// # Errors
/// [`Error::DifferentPoints`], [`Error::Setting`].
pub fn simple_matches(a: &Neurons, b: &Neurons, epsilon: f64) -> Result<Vec<SimpleMatch>, Error> {
    let pair = Pair::new(a, b, epsilon)?;
    let whole = pair
        .maximum(pair.everything(), None, |_| ())
        .unwrap_or_default();
    let neurons: Vec<(Side, usize)> = [Side::First, Side::Second]
        .into_iter()
        .flat_map(|side| whole[side as usize].iter().map(move |&i| (side, i)))
        .collect();
    let found: Vec<Sets> = neurons
        .par_iter()
        .map(|&v| pair.minimum(whole.clone(), v))
        .collect();
    let mut distinct: BTreeMap<(usize, Sets), Vec<(Side, usize)>> = BTreeMap::new();
    for (sets, v) in found.into_iter().zip(neurons) {
        let size = sets[0].len() + sets[1].len();
        distinct.entry((size, sets)).or_default().push(v);
    }
    Ok(distinct
        .into_iter()
        .map(|((_, [first, second]), minimum_for)| SimpleMatch {
            first,
            second,
            minimum_for,
        })
        .collect())
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

fn subtract(from: &mut [f64], times: f64, what: &[f64]) {
    from.iter_mut().zip(what).for_each(|(x, y)| *x -= times * y);
}

/// Orthonormal columns (d, r) that span the chosen columns, unit or nought, of `vectors` (d, p): Gram–Schmidt that takes the
/// column with most left of it next, and orthogonalises it twice.
fn basis(vectors: MatRef<'_, f64>, chosen: &[usize]) -> Mat<f64> {
    let d = vectors.nrows();
    let mut rest: Vec<Vec<f64>> = chosen
        .iter()
        .map(|&j| (0..d).map(|i| vectors[(i, j)]).collect())
        .collect();
    let mut axes: Vec<Vec<f64>> = Vec::new();
    while axes.len() < d {
        let norms = rest.iter().map(|x| dot(x, x));
        let Some((next, square)) = norms.enumerate().max_by(|x, y| x.1.total_cmp(&y.1)) else {
            break;
        };
        if square.sqrt() <= DEPENDENT {
            break;
        }
        let mut axis = rest.swap_remove(next);
        for before in &axes {
            let along = dot(&axis, before);
            subtract(&mut axis, along, before);
        }
        let norm = dot(&axis, &axis).sqrt();
        // Nothing but rounding was left of it.
        if norm <= 0.5 * square.sqrt() {
            continue;
        }
        axis.iter_mut().for_each(|x| *x /= norm);
        for other in &mut rest {
            let along = dot(other, &axis);
            subtract(other, along, &axis);
        }
        axes.push(axis);
    }
    Mat::from_fn(d, axes.len(), |i, j| axes[j][i])
}
