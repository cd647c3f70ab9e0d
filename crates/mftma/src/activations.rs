//! Where activations come from: blocks of features, so that a whole layer need never stand in memory twice.

use std::ops::ControlFlow;

use ndarray::{Array2, ArrayView2, AsArray, Axis, CowArray, Ix2, s};

use crate::error::{Error, SourceError};
use crate::progress::Progress;

/// A block of consecutive features of every point: shape (points of all manifolds, width of the block).
///
/// Rows are ordered manifold by manifold, as [`Activations::points_per_manifold`] counts them.
#[derive(Debug, Clone, Copy)]
pub enum Block<'a> {
    /// Single precision; inner products are still taken in double precision.
    F32(ArrayView2<'a, f32>),
    /// Double precision.
    F64(ArrayView2<'a, f64>),
}

impl Block<'_> {
    /// Number of rows: the points of all manifolds.
    pub fn n_points(&self) -> usize {
        match self {
            Block::F32(a) => a.nrows(),
            Block::F64(a) => a.nrows(),
        }
    }

    /// Number of columns: the features in this block.
    pub fn width(&self) -> usize {
        match self {
            Block::F32(a) => a.ncols(),
            Block::F64(a) => a.ncols(),
        }
    }
}

/// A source of activations: P manifolds of M_i points each in N features, handed out in blocks of features.
///
/// The engine passes over a source once, from the first feature to the last.
///
/// ```
/// use std::ops::ControlFlow;
/// use mftma::{Activations, Block, SourceError};
/// use ndarray::Array2;
///
/// /// Two manifolds of three points whose features are made as they are asked for.
/// struct Waves;
///
/// impl Activations for Waves {
///     fn points_per_manifold(&self) -> &[usize] {
///         &[3, 3]
///     }
///     fn n_features(&self) -> usize {
///         1000
///     }
///     fn for_each_block(
///         &self,
///         visit: &mut dyn FnMut(Block<'_>) -> ControlFlow<()>,
///     ) -> Result<(), SourceError> {
///         for start in (0..1000).step_by(250) {
///             let block = Array2::from_shape_fn((6, 250), |(point, j)| {
///                 ((point + 1) as f64 * (start + j) as f64).sin()
///             });
///             if visit(Block::F64(block.view())).is_break() {
///                 break;
///             }
///         }
///         Ok(())
///     }
/// }
/// ```
pub trait Activations {
    /// M_i, the number of points of each manifold; its length is P.
    fn points_per_manifold(&self) -> &[usize];

    /// N, the number of features of a point.
    fn n_features(&self) -> usize;

    /// Calls `visit` with consecutive blocks of features, each of shape (ΣM_i, width), until all N features are
    /// through or `visit` breaks. Widths of some hundreds to some thousands of features suit the engine; any width is correct.
    ///
    /// # Errors
    /// Whatever keeps the source from yielding its features; the engine hands it on as [`Error::Source`].
    fn for_each_block(
        &self,
        visit: &mut dyn FnMut(Block<'_>) -> ControlFlow<()>,
    ) -> Result<(), SourceError>;

    /// All points in memory, in double precision: ΣM_i·N doubles.
    ///
    /// # Errors
    /// [`Error::Source`] if the source fails, [`Error::Shape`] if it yields other sizes than it announced.
    fn collect(&self) -> Result<ArrayActivations<'static, f64>, Error> {
        let total = self.points_per_manifold().iter().sum();
        let mut all = Collected(Array2::zeros((total, self.n_features())));
        quiet_pass(self, usize::MAX, &mut all)?;
        Ok(ArrayActivations {
            points: all.0.into(),
            points_per_manifold: self.points_per_manifold().to_vec(),
        })
    }
}

struct Collected(Array2<f64>);

impl Absorb for Collected {
    fn absorb<T: Scalar>(&mut self, first: usize, block: ArrayView2<'_, T>) -> Result<(), Error> {
        let mut part = self.0.slice_mut(s![.., first..first + block.ncols()]);
        part.zip_mut_with(&block, |to, &x| *to = x.into());
        Ok(())
    }
}

/// The numbers that activations may be: `f32` and `f64`.
pub trait Scalar: Copy + Into<f64> + PartialEq + Send + Sync + 'static + sealed::Sealed {
    /// A block of such numbers.
    fn block(view: ArrayView2<'_, Self>) -> Block<'_>;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for f64 {}
}

impl Scalar for f32 {
    fn block(view: ArrayView2<'_, Self>) -> Block<'_> {
        Block::F32(view)
    }
}

impl Scalar for f64 {
    fn block(view: ArrayView2<'_, Self>) -> Block<'_> {
        Block::F64(view)
    }
}

/// The labels that occur, in rising order: label i is that of manifold i of [`ArrayActivations::from_labels`].
pub fn distinct_labels<L: Ord>(labels: &[L]) -> Vec<&L> {
    let mut labels: Vec<&L> = labels.iter().collect();
    labels.sort_unstable();
    labels.dedup();
    labels
}

/// Features in a block of [`ArrayActivations`]. The engine cuts wider blocks itself.
const BLOCK_WIDTH: usize = 2_048;

/// Activations in memory, borrowed or owned: an array of shape (ΣM_i, N), one point a row, manifold by manifold.
///
/// ```
/// use mftma::{Activations, ArrayActivations, ndarray::{Array2, array}};
///
/// // An array whose rows are in order: three manifolds of 2, 2 and 3 points.
/// let x = Array2::<f32>::zeros((7, 20));
/// let source = ArrayActivations::new(x.view(), &[2, 2, 3])?;
/// assert_eq!(source.n_features(), 20);
///
/// // Points with labels, in any order.
/// let x = array![[1.0, 0.0], [5.0, 5.0], [2.0, 0.0]];
/// let source = ArrayActivations::from_labels(&x, &["dog", "cat", "dog"])?;
/// assert_eq!(source.points(), array![[5.0, 5.0], [1.0, 0.0], [2.0, 0.0]]);
/// assert_eq!(source.points_per_manifold(), [1, 2]);
///
/// // One array per manifold, of unequal numbers of points.
/// let ragged = vec![Array2::<f64>::zeros((2, 20)), Array2::zeros((5, 20))];
/// let source = ArrayActivations::from_manifolds(&ragged)?;
/// assert_eq!(source.points_per_manifold(), [2, 5]);
/// # Ok::<(), mftma::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct ArrayActivations<'a, T> {
    points: CowArray<'a, T, Ix2>,
    points_per_manifold: Vec<usize>,
}

impl<'a, T: Scalar> ArrayActivations<'a, T> {
    /// Borrows `points` of shape (ΣM_i, N), rows in the order of the manifolds, and takes the M_i.
    ///
    /// # Errors
    /// [`Error::Shape`] if the M_i do not add up to the number of rows.
    pub fn new(points: ArrayView2<'a, T>, points_per_manifold: &[usize]) -> Result<Self, Error> {
        Self::checked(points.into(), points_per_manifold)
    }

    /// As [`ArrayActivations::new`], and takes the points over.
    ///
    /// # Errors
    /// As [`ArrayActivations::new`].
    pub fn owned(points: Array2<T>, points_per_manifold: &[usize]) -> Result<Self, Error> {
        Self::checked(points.into(), points_per_manifold)
    }

    /// Takes `points` of shape (ΣM_i, N), rows in any order, and the label of each row. Manifolds are in the order of their
    /// labels, points of a manifold in the order of their rows. Rows that are in this order already are borrowed, others
    /// copied.
    ///
    /// # Errors
    /// [`Error::Shape`] if there is not one label for each row.
    pub fn from_labels<A, L>(points: A, labels: &[L]) -> Result<Self, Error>
    where
        A: AsArray<'a, T, Ix2>,
        L: Ord,
    {
        let points: ArrayView2<'a, T> = points.into();
        if labels.len() != points.nrows() {
            return Err(Error::Shape {
                what: "labels (one for each row of the points)",
                expected: points.nrows(),
                found: labels.len(),
            });
        }
        let mut order: Vec<usize> = (0..labels.len()).collect();
        order.sort_by(|&a, &b| labels[a].cmp(&labels[b]));
        let points_per_manifold = order
            .chunk_by(|&a, &b| labels[a] == labels[b])
            .map(<[usize]>::len)
            .collect();
        let points = if order.is_sorted() {
            points.into()
        } else {
            points.select(Axis(0), &order).into()
        };
        Ok(Self {
            points,
            points_per_manifold,
        })
    }

    /// The points (ΣM_i, N), one a row.
    pub fn points(&self) -> ArrayView2<'_, T> {
        self.points.view()
    }

    /// The points (ΣM_i, N), one a row, copied only where they were borrowed.
    pub fn into_points(self) -> Array2<T> {
        self.points.into_owned()
    }

    fn checked(points: CowArray<'a, T, Ix2>, points_per_manifold: &[usize]) -> Result<Self, Error> {
        let expected = points_per_manifold.iter().sum();
        if points.nrows() != expected {
            return Err(Error::Shape {
                what: "rows of the array (the sum of the points per manifold)",
                expected,
                found: points.nrows(),
            });
        }
        Ok(Self {
            points,
            points_per_manifold: points_per_manifold.to_vec(),
        })
    }
}

impl<T: Scalar> ArrayActivations<'static, T> {
    /// Copies one array per manifold, each of shape (M_i, N), one point a row; the M_i may differ.
    ///
    /// # Errors
    /// [`Error::FeatureCount`] naming the first manifold whose N is not that of manifold 0.
    pub fn from_manifolds<'m, M>(manifolds: impl IntoIterator<Item = M>) -> Result<Self, Error>
    where
        M: AsArray<'m, T, Ix2>,
    {
        let manifolds: Vec<ArrayView2<'m, T>> = manifolds.into_iter().map(Into::into).collect();
        let expected = manifolds.first().map_or(0, |first| first.ncols());
        let mut values = Vec::new();
        for (manifold, points) in manifolds.iter().enumerate() {
            if points.ncols() != expected {
                return Err(Error::FeatureCount {
                    manifold,
                    expected,
                    found: points.ncols(),
                });
            }
            values.extend(points.iter().copied());
        }
        let points_per_manifold: Vec<usize> = manifolds.iter().map(ArrayView2::nrows).collect();
        let shape = (points_per_manifold.iter().sum(), expected);
        let found = values.len();
        let points = Array2::from_shape_vec(shape, values).map_err(|_| Error::Shape {
            what: "values of all manifolds",
            expected: shape.0 * shape.1,
            found,
        })?;
        Ok(Self {
            points: points.into(),
            points_per_manifold,
        })
    }
}

impl<T: Scalar> Activations for ArrayActivations<'_, T> {
    fn points_per_manifold(&self) -> &[usize] {
        &self.points_per_manifold
    }

    fn n_features(&self) -> usize {
        self.points.ncols()
    }

    fn for_each_block(
        &self,
        visit: &mut dyn FnMut(Block<'_>) -> ControlFlow<()>,
    ) -> Result<(), SourceError> {
        let n = self.points.ncols();
        for start in (0..n).step_by(BLOCK_WIDTH) {
            let end = n.min(start + BLOCK_WIDTH);
            if visit(T::block(self.points.slice(s![.., start..end]))).is_break() {
                break;
            }
        }
        Ok(())
    }
}

/// What takes in the features of a source.
pub(crate) trait Absorb {
    /// Takes in features `first..first + width` of every point: shape (ΣM_i, width).
    fn absorb<T: Scalar>(&mut self, first: usize, block: ArrayView2<'_, T>) -> Result<(), Error>;
}

/// Hands all features of `source` to `into`, in their order and at most `width` at a time, and tells `progress` of each.
///
/// # Errors
/// [`Error::Source`] if the source fails, [`Error::Shape`] if it yields other sizes than it announced, [`Error::Cancelled`]
/// if `progress` breaks, and whatever `into` finds.
pub(crate) fn pass<A: Activations + ?Sized, V: Absorb>(
    source: &A,
    width: usize,
    progress: &(dyn Fn(Progress) -> ControlFlow<()> + Sync),
    into: &mut V,
) -> Result<(), Error> {
    let mut pass = Pass {
        points: source.points_per_manifold().iter().sum(),
        features: source.n_features(),
        done: 0,
        width,
        progress,
    };
    let mut failure = None;
    source
        .for_each_block(&mut |block| {
            let outcome = match block {
                Block::F32(view) => pass.block(view, into),
                Block::F64(view) => pass.block(view, into),
            };
            match outcome {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => {
                    failure = Some(error);
                    ControlFlow::Break(())
                }
            }
        })
        .map_err(Error::Source)?;
    match failure {
        Some(error) => Err(error),
        None => pass.features_are(pass.done == pass.features, pass.done),
    }
}

/// As [`pass`], telling nobody.
pub(crate) fn quiet_pass<A: Activations + ?Sized, V: Absorb>(
    source: &A,
    width: usize,
    into: &mut V,
) -> Result<(), Error> {
    pass(source, width, &|_| ControlFlow::Continue(()), into)
}

struct Pass<'a> {
    points: usize,
    features: usize,
    done: usize,
    width: usize,
    progress: &'a (dyn Fn(Progress) -> ControlFlow<()> + Sync),
}

impl Pass<'_> {
    fn block<T: Scalar, V: Absorb>(
        &mut self,
        block: ArrayView2<'_, T>,
        into: &mut V,
    ) -> Result<(), Error> {
        if block.nrows() != self.points {
            return Err(Error::Shape {
                what: "rows of a block (the sum of the points per manifold)",
                expected: self.points,
                found: block.nrows(),
            });
        }
        let end = self.done + block.ncols();
        self.features_are(end <= self.features, end)?;
        for narrow in block.axis_chunks_iter(Axis(1), self.width) {
            into.absorb(self.done, narrow)?;
            self.done += narrow.ncols();
            let told = Progress::Features {
                done: self.done,
                of: self.features,
            };
            if (self.progress)(told).is_break() {
                return Err(Error::Cancelled);
            }
        }
        Ok(())
    }

    fn features_are(&self, as_announced: bool, found: usize) -> Result<(), Error> {
        if as_announced {
            return Ok(());
        }
        Err(Error::Shape {
            what: "features yielded by the source",
            expected: self.features,
            found,
        })
    }
}
