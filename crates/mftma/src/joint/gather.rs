//! One pass over the features: the inner products of all points, and of all points with given vectors.

use std::ops::ControlFlow;

use faer::{Mat, MatRef};
use ndarray::{Array2, ArrayView2};
use rayon::prelude::*;

use super::{Centring, JointSettings, JointVectors};
use crate::activations::{Absorb, Activations, Scalar, pass};
use crate::error::Error;
use crate::linalg;
use crate::progress::Progress;

/// Features per product: one block of all points in double precision is all that is held beside the products.
pub(crate) const WIDTH: usize = 1_024;

/// Most points of all manifolds together: beyond it the products alone take more than 7 GB.
pub(super) const MOST_POINTS: usize = 30_000;

/// Inner products of a whole source; n = ΣM_i.
pub(crate) struct Products {
    /// ⟨z_i, z_j⟩ (n, n), full.
    pub(super) gram: Mat<f64>,
    /// ⟨z_i, t⟩ for every given vector (n, n_t), and the vectors' lengths.
    pub(super) given: Option<(Mat<f64>, Vec<f64>)>,
}

impl Products {
    /// Sorts manifolds by the lengths of their means and points by their own, which no rotation changes but by rounding, and
    /// returns the order: index and points of each manifold, as they stood before. `starts` are the manifolds' first points.
    /// Products with given vectors stay as they are.
    pub(super) fn arrange(&mut self, starts: &[usize]) -> Vec<(usize, Vec<usize>)> {
        let gram = &self.gram;
        let lengths: Vec<f64> = starts
            .windows(2)
            .map(|ends| {
                let sum: f64 = (ends[0]..ends[1])
                    .map(|j| gram.col_as_slice(j)[ends[0]..ends[1]].iter().sum::<f64>())
                    .sum();
                sum / ((ends[1] - ends[0]) as f64).powi(2)
            })
            .collect();
        let mut manifolds: Vec<usize> = (0..lengths.len()).collect();
        manifolds.sort_by(|&a, &b| lengths[a].total_cmp(&lengths[b]));
        let order: Vec<(usize, Vec<usize>)> = manifolds
            .into_iter()
            .map(|i| {
                let mut points: Vec<usize> = (0..starts[i + 1] - starts[i]).collect();
                let squared = |point: usize| gram[(starts[i] + point, starts[i] + point)];
                points.sort_by(|&a, &b| squared(a).total_cmp(&squared(b)));
                (i, points)
            })
            .collect();
        let rows: Vec<usize> = order
            .iter()
            .flat_map(|(i, points)| points.iter().map(|point| starts[*i] + point))
            .collect();
        self.gram = linalg::picked(&self.gram, Some(&rows), &rows);
        order
    }
}

pub(crate) struct Gatherer<'a> {
    sizes: Vec<usize>,
    /// Manifold of each point.
    classes: Vec<u32>,
    centring: Centring,
    vectors: Option<&'a Array2<f64>>,
    /// (n, width) of the block at hand: one point after another.
    scratch: Vec<f64>,
    products: Products,
}

pub(super) fn gather<A: Activations + ?Sized>(
    source: &A,
    settings: &JointSettings,
    progress: &(dyn Fn(Progress) -> ControlFlow<()> + Sync),
) -> Result<Products, Error> {
    let mut gatherer = Gatherer::new(source, settings)?;
    pass(source, WIDTH, progress, &mut gatherer)?;
    Ok(gatherer.finish())
}

impl<'a> Gatherer<'a> {
    pub(crate) fn new<A: Activations + ?Sized>(
        source: &A,
        settings: &'a JointSettings,
    ) -> Result<Self, Error> {
        let (classes, _) = super::numbered(source.points_per_manifold());
        let (n, features) = (classes.len(), source.n_features());
        let vectors = match &settings.vectors {
            JointVectors::Given(vectors) => Some(vectors),
            _ => None,
        };
        if let Some(vectors) = vectors
            && vectors.ncols() != features
        {
            return Err(Error::Shape {
                what: "columns of the given Gaussian vectors (n_t, N)",
                expected: features,
                found: vectors.ncols(),
            });
        }
        Ok(Self {
            sizes: source.points_per_manifold().to_vec(),
            classes,
            centring: settings.centring,
            vectors,
            scratch: Vec::new(),
            products: Products {
                gram: Mat::zeros(n, n),
                given: vectors.map(|vectors| {
                    let length = |row: ndarray::ArrayView1<'_, f64>| row.dot(&row).sqrt();
                    let lengths = vectors.rows().into_iter().map(length).collect();
                    (Mat::zeros(n, vectors.nrows()), lengths)
                }),
            },
        })
    }

    pub(crate) fn finish(mut self) -> Products {
        linalg::mirror_lower(&mut self.products.gram);
        self.products
    }
}

impl Absorb for Gatherer<'_> {
    fn absorb<T: Scalar>(&mut self, first: usize, block: ArrayView2<'_, T>) -> Result<(), Error> {
        let (n, width) = (block.nrows(), block.ncols());
        if width == 0 {
            return Ok(());
        }
        self.scratch.resize(n * width, 0.0);
        self.scratch
            .par_chunks_exact_mut(width)
            .enumerate()
            .for_each(|(point, out)| {
                for (out, &x) in out.iter_mut().zip(block.row(point)) {
                    *out = x.into();
                }
            });
        if let Some(at) = self.scratch.par_iter().position_first(|x| !x.is_finite()) {
            let (point, j) = (at / width, at % width);
            let manifold = self.classes[point] as usize;
            return Err(Error::NotFinite {
                manifold,
                point: point - self.sizes[..manifold].iter().sum::<usize>(),
                feature: first + j,
                value: self.scratch[at],
            });
        }
        if self.centring != Centring::None {
            // A feature's mean is known from its block alone, so no digits are lost to a large common mean.
            let (p, total) = (self.sizes.len() as f64, n as f64);
            let mut mean = vec![0.0; width];
            for (row, &class) in self.scratch.chunks_exact(width).zip(&self.classes) {
                let weight = match self.centring {
                    Centring::ByManifold => (p * self.sizes[class as usize] as f64).recip(),
                    _ => total.recip(),
                };
                mean.iter_mut().zip(row).for_each(|(m, x)| *m += weight * x);
            }
            self.scratch.par_chunks_exact_mut(width).for_each(|row| {
                row.iter_mut().zip(&mean).for_each(|(x, m)| *x -= m);
            });
        }
        let points = MatRef::from_column_major_slice(&self.scratch, width, n);
        linalg::add_symmetric_product_tiled(&mut self.products.gram, points);
        if let (Some((given, _)), Some(vectors)) = (&mut self.products.given, self.vectors) {
            let t = Mat::from_fn(width, vectors.nrows(), |j, v| vectors[(v, first + j)]);
            linalg::add_product(given.as_mut(), 1.0, points.transpose(), t.as_ref());
        }
        Ok(())
    }
}
