//! One pass over the features: every inner product that the analysis needs, and nothing of N features per point kept.
//!
//! Each block of features is centred as it passes (its global mean, and every manifold's mean of those features, are
//! known from the block alone), so no digits are lost to a large common mean. Products are summed in double precision,
//! block by block in the source's order, each manifold's by one task: the bytes depend on the blocks, never on the
//! threads.

use std::ops::ControlFlow;

use faer::{Mat, MatMut, MatRef};
use ndarray::{Array2, ArrayView2, Axis, s};
use rayon::prelude::*;

use crate::activations::{Absorb, Activations, Scalar, pass};
use crate::error::Error;
use crate::linalg;
use crate::progress::Progress;

/// Features per product: wide enough for the products to run at speed and for rows to be read in runs of pages, narrow
/// enough for one manifold to stay in a cache.
pub(crate) const WIDTH: usize = 2_048;

/// Points that one task centres for the spectrum.
const TOGETHER: usize = 64;

/// What the pass is asked to keep beside the inner products.
pub(crate) struct Wanted<'a> {
    /// Leading min(N, M_i) features of every manifold, from which the reference's coordinates are made.
    pub(crate) leading: bool,
    /// Products with these directions (N, K).
    pub(crate) directions: Option<&'a Array2<f64>>,
    /// All points, or the Gram matrix of all of them, for the variance spectrum.
    pub(crate) spectrum: bool,
}

/// Inner products of one manifold's points x_μ, measured from their own centre c_i.
#[derive(Debug, Clone)]
pub(crate) struct ManifoldProducts {
    /// ⟨x_μ − c_i, x_ν − c_i⟩ (M, M), lower triangle; `None` where N < M, where all features are kept in `leading`.
    pub(crate) gram: Option<Mat<f64>>,
    /// ⟨c_m − c̄, x_μ − c_i⟩ (P, M).
    pub(crate) cross: Mat<f64>,
    /// The first features of x_μ − c_i (min(N, M), M), where asked for or where N < M.
    pub(crate) leading: Option<Mat<f64>>,
    /// Products of the given directions with x_μ − c_i (K, M).
    pub(crate) along: Mat<f64>,
}

/// Inner products of a whole source.
#[derive(Debug, Clone)]
pub(crate) struct InnerProducts {
    /// One entry per manifold.
    pub(crate) manifolds: Vec<ManifoldProducts>,
    /// C (P, P), full: Gram matrix of the centres c_m − c̄.
    pub(crate) centres: Mat<f64>,
    /// The first features of the centres (max_i min(N, M_i), P).
    pub(crate) leading_centres: Mat<f64>,
    /// Products of the given directions with the centres (K, P).
    pub(crate) centres_along: Mat<f64>,
    /// The first features of the given directions.
    pub(crate) leading_directions: Mat<f64>,
    /// ‖c̄‖², the scale against which centres may coincide.
    pub(crate) mean_norm_squared: f64,
    /// N.
    pub(crate) features: usize,
    /// Features that are the same for every point.
    pub(crate) constant_features: usize,
    /// The feature with the largest sum of squares about the mean of the centres, and that sum over all points.
    pub(crate) largest_feature: (usize, f64),
    /// Sum of squares of all points about the mean of the centres.
    pub(crate) squares: f64,
    /// Sum of squares of all points about their own centres.
    pub(crate) squares_within: f64,
    /// Gram matrix (ΣM, ΣM) of all points about their mean, or (N, N) of features: whichever is smaller.
    pub(crate) scatter: Option<Mat<f64>>,
}

pub(crate) struct Accumulator<'a> {
    sizes: Vec<usize>,
    /// First row of each manifold.
    starts: Vec<usize>,
    wanted: Wanted<'a>,
    products: InnerProducts,
    /// Points about their mean (N, ΣM), kept for the spectrum where N < ΣM.
    points: Option<Mat<f64>>,
    /// Points of a block about their mean, for the spectrum.
    scratch: Mat<f64>,
}

impl InnerProducts {
    /// Passes over `source` once.
    pub(crate) fn gather<A: Activations + ?Sized>(
        source: &A,
        wanted: Wanted<'_>,
        progress: &(dyn Fn(Progress) -> ControlFlow<()> + Sync),
    ) -> Result<Self, Error> {
        let mut accumulator = Accumulator::new(source, wanted)?;
        pass(source, WIDTH, progress, &mut accumulator)?;
        Ok(accumulator.finish())
    }
}

impl InnerProducts {
    /// Sorts manifolds by the lengths of their centres and points by their distances from them, which no rotation changes
    /// but by rounding, and returns the order: index and points of each manifold, as they stood before.
    ///
    /// [`InnerProducts::scatter`] stays as it is: only its eigenvalues are asked for.
    pub(crate) fn arrange(&mut self) -> Vec<(usize, Vec<usize>)> {
        let mut manifolds: Vec<usize> = (0..self.manifolds.len()).collect();
        let centres = &self.centres;
        manifolds.sort_by(|&a, &b| centres[(a, a)].total_cmp(&centres[(b, b)]));
        let order: Vec<(usize, Vec<usize>)> = manifolds
            .iter()
            .map(|&i| {
                let squared = self.manifolds[i].squared_distances();
                let mut points: Vec<usize> = (0..squared.len()).collect();
                points.sort_by(|&a, &b| squared[a].total_cmp(&squared[b]));
                (i, points)
            })
            .collect();
        self.centres = linalg::picked(&self.centres, Some(&manifolds), &manifolds);
        self.leading_centres = linalg::picked(&self.leading_centres, None, &manifolds);
        self.centres_along = linalg::picked(&self.centres_along, None, &manifolds);
        let mut products: Vec<Option<ManifoldProducts>> = std::mem::take(&mut self.manifolds)
            .into_iter()
            .map(Some)
            .collect();
        self.manifolds = order
            .iter()
            .filter_map(|(i, points)| Some(products[*i].take()?.arranged(&manifolds, points)))
            .collect();
        order
    }
}

impl ManifoldProducts {
    /// Squared distance of every point from the centre.
    pub(crate) fn squared_distances(&self) -> Vec<f64> {
        (0..self.cross.ncols())
            .map(|mu| match (&self.gram, &self.leading) {
                (Some(gram), _) => gram[(mu, mu)],
                (None, Some(points)) => {
                    linalg::dot(points.col_as_slice(mu), points.col_as_slice(mu))
                }
                (None, None) => 0.0,
            })
            .collect()
    }

    fn arranged(self, manifolds: &[usize], points: &[usize]) -> Self {
        Self {
            gram: self
                .gram
                .map(|gram| linalg::picked(&gram, Some(points), points)),
            cross: linalg::picked(&self.cross, Some(manifolds), points),
            leading: self
                .leading
                .map(|leading| linalg::picked(&leading, None, points)),
            along: linalg::picked(&self.along, None, points),
        }
    }
}

impl<'a> Accumulator<'a> {
    pub(crate) fn new<A: Activations + ?Sized>(
        source: &A,
        wanted: Wanted<'a>,
    ) -> Result<Self, Error> {
        let sizes = source.points_per_manifold().to_vec();
        let (p, features) = (sizes.len(), source.n_features());
        if p < 2 {
            return Err(Error::TooFewManifolds {
                found: p,
                needed: 2,
            });
        }
        if let Some(manifold) = sizes.iter().position(|&m| m == 0) {
            return Err(Error::EmptyManifold { manifold });
        }
        if features == 0 {
            return Err(Error::NoFeatures);
        }
        let k = match wanted.directions {
            None => 0,
            Some(v) if v.nrows() == features => v.ncols(),
            Some(v) => {
                return Err(Error::Shape {
                    what: "rows of the given directions (N, K)",
                    expected: features,
                    found: v.nrows(),
                });
            }
        };
        let mut starts = Vec::with_capacity(p);
        let mut total = 0;
        for &m in &sizes {
            starts.push(total);
            total += m;
        }
        let mut longest = 0;
        let manifolds = sizes
            .iter()
            .map(|&m| {
                let keep = wanted.leading || features < m;
                let leading = keep.then(|| Mat::zeros(features.min(m), m));
                longest = longest.max(leading.as_ref().map_or(0, Mat::nrows));
                ManifoldProducts {
                    gram: (features >= m).then(|| Mat::zeros(m, m)),
                    cross: Mat::zeros(p, m),
                    leading,
                    along: Mat::zeros(k, m),
                }
            })
            .collect();
        let small = total.min(features);
        Ok(Self {
            starts,
            scratch: Mat::zeros(0, 0),
            points: (wanted.spectrum && features < total).then(|| Mat::zeros(features, total)),
            products: InnerProducts {
                manifolds,
                centres: Mat::zeros(p, p),
                leading_centres: Mat::zeros(longest, p),
                centres_along: Mat::zeros(k, p),
                leading_directions: Mat::zeros(longest, k),
                mean_norm_squared: 0.0,
                features,
                constant_features: 0,
                largest_feature: (0, 0.0),
                squares: 0.0,
                squares_within: 0.0,
                scatter: wanted.spectrum.then(|| Mat::zeros(small, small)),
            },
            sizes,
            wanted,
        })
    }

    /// Takes in features from `first` on.
    fn take<T: Scalar>(&mut self, first: usize, block: ArrayView2<'_, T>) -> Result<(), Error> {
        let (w, p) = (block.ncols(), self.sizes.len());
        let rows = |i: usize| block.slice(s![self.starts[i]..self.starts[i] + self.sizes[i], ..]);

        let means: Vec<Vec<f64>> = (0..p)
            .into_par_iter()
            .map(|i| column_means(rows(i)))
            .collect();
        if let Some(i) = means
            .iter()
            .position(|mean| !mean.iter().all(|x| x.is_finite()))
        {
            return Err(not_finite(i, rows(i), first));
        }
        let mut grand = vec![0.0; w];
        for mean in &means {
            grand.iter_mut().zip(mean).for_each(|(g, x)| *g += x);
        }
        grand.iter_mut().for_each(|g| *g /= p as f64);
        // (P, w): centres about their mean, one a row: the product with every manifold's points then packs them fast.
        let centres = Mat::from_fn(p, w, |i, j| means[i][j] - grand[j]);
        self.products.mean_norm_squared += grand.iter().map(|g| g * g).sum::<f64>();
        self.products.constant_features += (0..w)
            .filter(|&j| {
                // Only a feature whose centres agree is worth a walk down its column.
                let first_value = block[(0, j)];
                let small = 1e-10 * grand[j].abs();
                (0..p).all(|i| centres[(i, j)].abs() <= small)
                    && block.column(j).iter().all(|&x| x == first_value)
            })
            .count();
        for i in 0..p {
            for j in first..self.products.leading_centres.nrows().min(first + w) {
                self.products.leading_centres[(j, i)] = centres[(i, j - first)];
            }
        }
        let directions = self.wanted.directions.map(|v| {
            let v = v.slice(s![first..first + w, ..]);
            Mat::from_fn(w, v.ncols(), |j, k| v[(j, k)])
        });
        if let Some(v) = &directions {
            linalg::add_product(
                self.products.centres_along.as_mut(),
                1.0,
                v.transpose(),
                centres.transpose(),
            );
            for k in 0..v.ncols() {
                for j in first..self.products.leading_directions.nrows().min(first + w) {
                    self.products.leading_directions[(j, k)] = v[(j - first, k)];
                }
            }
        }

        let most = self.sizes.iter().copied().max().unwrap_or(0);
        let InnerProducts {
            manifolds,
            centres: centre_gram,
            ..
        } = &mut self.products;
        let ((), squares) = rayon::join(
            || linalg::add_symmetric_product(centre_gram.as_mut(), 1.0, centres.as_ref()),
            || {
                let each = manifolds.par_iter_mut().enumerate().map_init(
                    || Mat::zeros(w, most),
                    |scratch, (i, products)| {
                        let points = centred(rows(i), &means[i], scratch);
                        let mut squares = vec![0.0; w];
                        for mu in 0..points.ncols() {
                            let column = points.col(mu);
                            for (sum, j) in squares.iter_mut().zip(0..w) {
                                *sum += column[j] * column[j];
                            }
                        }
                        if let Some(gram) = &mut products.gram {
                            linalg::add_symmetric_product(gram.as_mut(), 1.0, points.transpose());
                        }
                        linalg::add_product(products.cross.as_mut(), 1.0, centres.as_ref(), points);
                        if let Some(v) = &directions {
                            linalg::add_product(
                                products.along.as_mut(),
                                1.0,
                                v.transpose(),
                                points,
                            );
                        }
                        if let Some(leading) = &mut products.leading {
                            let end = leading.nrows().min(first + w);
                            for mu in 0..leading.ncols() {
                                for j in first..end {
                                    leading[(j, mu)] = points[(j - first, mu)];
                                }
                            }
                        }
                        squares
                    },
                );
                each.collect::<Vec<_>>()
            },
        );
        for j in 0..w {
            let within: f64 = squares.iter().map(|of| of[j]).sum();
            let between: f64 = (0..p)
                .map(|i| self.sizes[i] as f64 * centres[(i, j)] * centres[(i, j)])
                .sum();
            self.products.squares_within += within;
            self.products.squares += within + between;
            if within + between > self.products.largest_feature.1 {
                self.products.largest_feature = (first + j, within + between);
            }
        }
        if self.wanted.spectrum {
            self.absorb_scatter(first, block, &means);
        }
        Ok(())
    }

    /// The points of this block about the mean of all points, into the scatter or the store of points.
    fn absorb_scatter<T: Scalar>(
        &mut self,
        first: usize,
        block: ArrayView2<'_, T>,
        means: &[Vec<f64>],
    ) {
        let total = block.nrows() as f64;
        let mut mean = vec![0.0; block.ncols()];
        for (centre, &m) in means.iter().zip(&self.sizes) {
            mean.iter_mut()
                .zip(centre)
                .for_each(|(g, x)| *g += x * (m as f64 / total));
        }
        if self.scratch.nrows() < block.ncols() {
            self.scratch = Mat::zeros(block.ncols(), block.nrows());
        }
        self.scratch
            .as_mut()
            .par_col_chunks_mut(TOGETHER)
            .zip(block.axis_chunks_iter(Axis(0), TOGETHER).into_par_iter())
            .for_each(|(points, rows)| centre(rows, &mean, points));
        let points = self.scratch.as_ref().subrows(0, block.ncols());
        match (&mut self.points, &mut self.products.scatter) {
            (Some(store), _) => {
                for mu in 0..points.ncols() {
                    store.col_as_slice_mut(mu)[first..first + points.nrows()]
                        .copy_from_slice(&self.scratch.col_as_slice(mu)[..points.nrows()]);
                }
            }
            (None, Some(sums)) => linalg::add_symmetric_product_tiled(sums, points),
            (None, None) => {}
        }
    }

    pub(crate) fn finish(mut self) -> InnerProducts {
        linalg::mirror_lower(&mut self.products.centres);
        for products in &mut self.products.manifolds {
            if let Some(gram) = &mut products.gram {
                linalg::mirror_lower(gram);
            }
        }
        if let (Some(points), Some(scatter)) = (self.points.take(), &mut self.products.scatter) {
            linalg::add_symmetric_product_tiled(scatter, points.transpose());
        }
        self.products
    }
}

impl Absorb for Accumulator<'_> {
    fn absorb<T: Scalar>(&mut self, first: usize, block: ArrayView2<'_, T>) -> Result<(), Error> {
        self.take(first, block)
    }
}

/// Mean of every column of `rows` (M, w).
fn column_means<T: Scalar>(rows: ArrayView2<'_, T>) -> Vec<f64> {
    let mut sum = vec![0.0; rows.ncols()];
    // Four rows at a time, each sum still in the order of the rows: memory answers several requests at once, and the sums
    // are loaded and stored a quarter as often.
    for some in rows.axis_chunks_iter(Axis(0), 4) {
        let row = |i: usize| some.row(i).to_slice();
        match (some.nrows() == 4).then(|| (row(0), row(1), row(2), row(3))) {
            Some((Some(x), Some(y), Some(z), Some(w))) => crate::simd::arch().dispatch(
                #[inline(always)]
                || {
                    let rows = x.iter().zip(y).zip(z).zip(w);
                    for (s, (((&x, &y), &z), &w)) in sum.iter_mut().zip(rows) {
                        *s = *s + x.into() + y.into() + z.into() + w.into();
                    }
                },
            ),
            _ => some.rows().into_iter().for_each(|row| {
                sum.iter_mut().zip(row).for_each(|(s, &x)| *s += x.into());
            }),
        }
    }
    let scale = 1.0 / rows.nrows() as f64;
    sum.iter_mut().for_each(|s| *s *= scale);
    sum
}

/// Rows (M, w) less `mean` (w), as (w, M), one point a column, in the first columns of `scratch`.
fn centred<'a, T: Scalar>(
    rows: ArrayView2<'_, T>,
    mean: &[f64],
    scratch: &'a mut Mat<f64>,
) -> MatRef<'a, f64> {
    centre(rows, mean, scratch.as_mut());
    scratch.as_ref().subcols(0, rows.nrows())
}

/// Rows (M, w) less `mean` (w), into the first entries of the first columns of `out`.
fn centre<T: Scalar>(rows: ArrayView2<'_, T>, mean: &[f64], out: MatMut<'_, f64>) {
    let Some(out) = out.try_as_col_major_mut() else {
        unreachable!("columns in one piece");
    };
    for (column, row) in out.col_iter_mut().zip(rows.rows()) {
        let column = column.as_slice_mut();
        match row.to_slice() {
            Some(row) => crate::simd::arch().dispatch(
                #[inline(always)]
                || {
                    for ((out, &x), c) in column.iter_mut().zip(row).zip(mean) {
                        *out = x.into() - c;
                    }
                },
            ),
            None => {
                for ((out, &x), c) in column.iter_mut().zip(row).zip(mean) {
                    *out = x.into() - c;
                }
            }
        }
    }
}

/// Names the value that made a mean of manifold `i` not finite.
fn not_finite<T: Scalar>(manifold: usize, rows: ArrayView2<'_, T>, first_feature: usize) -> Error {
    for ((point, j), &x) in rows.indexed_iter() {
        let value: f64 = x.into();
        if !value.is_finite() {
            return Error::NotFinite {
                manifold,
                point,
                feature: first_feature + j,
                value,
            };
        }
    }
    Error::Overflow { manifold }
}
