//! A class is a set: its points, and the classes themselves, in an order that depends on nothing but the numbers.
//!
//! Rows are sorted by their features, the first one first, and classes by their sorted rows, so that any two orders of the
//! same data become one before inner products are summed and before anything is drawn. Rows that are alike in all
//! features are interchangeable. Mostly the first block tells all rows apart, and the source is only read so far for it.
//!
//! Double precision is brought near 1 by a power of two where fourth powers would leave its range: exact, and undone in
//! the result.

use std::cmp::Ordering;
use std::ops::ControlFlow;

use ndarray::{Array2, ArrayView2, Axis, s};

use crate::activations::{Activations, Block};
use crate::error::{Error, SourceError};

/// Columns copied at a time.
const WIDTH: usize = 2_048;

/// Largest values from 2^−EXPONENT to 2^EXPONENT are left as they are.
const EXPONENT: i32 = 100;

/// A source whose manifolds and points are in the canonical order.
pub(crate) struct Canonical<'a, A: ?Sized> {
    source: &'a A,
    sizes: Vec<usize>,
    /// Row of the source that stands at each row here.
    rows: Vec<usize>,
    /// Manifold of the source that stands at each index here.
    manifolds: Vec<usize>,
    /// First row of each manifold of the source.
    starts: Vec<usize>,
    /// Values here are those of the source times 2^−exponent.
    exponent: i32,
}

impl<A: ?Sized> Clone for Canonical<'_, A> {
    fn clone(&self) -> Self {
        Self {
            source: self.source,
            sizes: self.sizes.clone(),
            rows: self.rows.clone(),
            manifolds: self.manifolds.clone(),
            starts: self.starts.clone(),
            exponent: self.exponent,
        }
    }
}

impl<'a, A: Activations + ?Sized> Canonical<'a, A> {
    /// Reads as much of `source` as tells its rows apart, or nothing where the order is to be `kept`.
    /// `goes_on` is asked before every block but the first.
    pub(crate) fn new(
        source: &'a A,
        kept: bool,
        goes_on: &dyn Fn() -> bool,
    ) -> Result<Self, Error> {
        let sizes = source.points_per_manifold();
        let mut starts = Vec::with_capacity(sizes.len());
        let mut total = 0;
        for size in sizes {
            starts.push(total);
            total += size;
        }
        let mut order = Order::new(total);
        let mut largest = 0.0_f64;
        let mut blocks = 0;
        let mut cancelled = false;
        source
            .for_each_block(&mut |block| {
                blocks += 1;
                cancelled = blocks > 1 && !goes_on();
                // A source of the wrong shape is refused by the pass that measures it.
                if cancelled || block.n_points() != total {
                    return ControlFlow::Break(());
                }
                let told = match block {
                    Block::F32(view) => {
                        largest = 1.0;
                        kept || order.refine(view)
                    }
                    Block::F64(view) => {
                        let finite = view.iter().copied().filter(|x| x.is_finite());
                        largest = finite.fold(largest, |a, x| a.max(x.abs()));
                        (kept || order.refine(view)) && largest > 0.0
                    }
                };
                if told {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            })
            .map_err(Error::Source)?;
        if cancelled {
            return Err(Error::Cancelled);
        }
        let exponent = if largest > 0.0 { exponent(largest) } else { 0 };
        let mut here = Self {
            source,
            sizes: sizes.to_vec(),
            rows: (0..total).collect(),
            manifolds: (0..sizes.len()).collect(),
            starts,
            exponent: if exponent.abs() > EXPONENT {
                exponent
            } else {
                0
            },
        };
        if !kept {
            here.sort(&order.ranks());
        }
        Ok(here)
    }

    /// Puts manifolds and their rows in order, given the rank of every row of the source.
    fn sort(&mut self, ranks: &[usize]) {
        let mut sorted: Vec<(Vec<usize>, usize)> = (0..self.sizes.len())
            .map(|i| {
                let mut rows: Vec<usize> =
                    (self.starts[i]..self.starts[i] + self.sizes[i]).collect();
                rows.sort_by_key(|&row| ranks[row]);
                (rows, i)
            })
            .collect();
        let key = |rows: &[usize]| rows.iter().map(|&row| ranks[row]).collect::<Vec<_>>();
        sorted.sort_by_cached_key(|(rows, _)| key(rows));
        self.sizes = sorted.iter().map(|(rows, _)| rows.len()).collect();
        self.manifolds = sorted.iter().map(|&(_, i)| i).collect();
        self.rows = sorted.into_iter().flat_map(|(rows, _)| rows).collect();
    }

    /// Takes manifolds, and the points within each, in another order: index and points of each, as they stand now.
    pub(crate) fn rearrange(&mut self, order: &[(usize, Vec<usize>)]) {
        let mut starts = Vec::with_capacity(self.sizes.len());
        let mut total = 0;
        for size in &self.sizes {
            starts.push(total);
            total += size;
        }
        let rows = order
            .iter()
            .flat_map(|(i, points)| points.iter().map(|point| self.rows[starts[*i] + point]));
        self.rows = rows.collect();
        self.manifolds = order.iter().map(|&(i, _)| self.manifolds[i]).collect();
        self.sizes = order.iter().map(|(_, points)| points.len()).collect();
    }

    /// The source's index of manifold `i`.
    pub(crate) fn manifold(&self, i: usize) -> usize {
        self.manifolds[i]
    }

    /// The source's index among all points of the one that stands at `row` here.
    pub(crate) fn row(&self, row: usize) -> usize {
        self.rows[row]
    }

    /// The source's index, within its manifold, of point `point` of manifold `i`.
    pub(crate) fn point(&self, i: usize, point: usize) -> usize {
        let start: usize = self.sizes[..i].iter().sum();
        self.rows[start + point] - self.starts[self.manifolds[i]]
    }

    /// A length of the source in the units of the values here.
    pub(crate) fn own_length(&self, length: f64) -> f64 {
        scaled(length, -self.exponent)
    }

    /// A length in the units of the source.
    pub(crate) fn length(&self, length: f64) -> f64 {
        scaled(length, self.exponent)
    }

    /// `error` with the source's indices and units.
    pub(crate) fn restored(&self, error: Error) -> Error {
        match error {
            Error::NotFinite {
                manifold,
                point,
                feature,
                value,
            } => Error::NotFinite {
                manifold: self.manifold(manifold),
                point: self.point(manifold, point),
                feature,
                value,
            },
            Error::EmptyManifold { manifold } => Error::EmptyManifold {
                manifold: self.manifold(manifold),
            },
            Error::NoCentre {
                manifold,
                reason,
                norm,
                scale,
            } => Error::NoCentre {
                manifold: self.manifold(manifold),
                reason,
                norm: self.length(norm),
                scale: self.length(scale),
            },
            Error::CoincidentCentres { longest, spread } => Error::CoincidentCentres {
                longest: self.length(longest),
                spread: self.length(spread),
            },
            Error::Manifold { manifold, source } => Error::Manifold {
                manifold: self.manifold(manifold),
                source,
            },
            Error::Overflow { manifold } => Error::Overflow {
                manifold: self.manifold(manifold),
            },
            other => other,
        }
    }

    fn in_order(&self) -> bool {
        self.rows.iter().enumerate().all(|(i, &row)| i == row)
    }

    fn picked<T: Copy>(&self, view: ArrayView2<'_, T>, start: usize) -> Array2<T> {
        let end = view.ncols().min(start + WIDTH);
        view.slice(s![.., start..end]).select(Axis(0), &self.rows)
    }
}

impl<A: Activations + ?Sized> Activations for Canonical<'_, A> {
    fn points_per_manifold(&self) -> &[usize] {
        &self.sizes
    }

    fn n_features(&self) -> usize {
        self.source.n_features()
    }

    fn for_each_block(
        &self,
        visit: &mut dyn FnMut(Block<'_>) -> ControlFlow<()>,
    ) -> Result<(), SourceError> {
        let as_it_is = self.in_order() && self.exponent == 0;
        self.source.for_each_block(&mut |block| {
            if as_it_is || block.n_points() != self.rows.len() {
                return visit(block);
            }
            for start in (0..block.width()).step_by(WIDTH) {
                let flow = match block {
                    Block::F32(view) => visit(Block::F32(self.picked(view, start).view())),
                    Block::F64(view) => {
                        let mut values = self.picked(view, start);
                        if self.exponent != 0 {
                            values.mapv_inplace(|x| scaled(x, -self.exponent));
                        }
                        visit(Block::F64(values.view()))
                    }
                };
                if flow.is_break() {
                    return flow;
                }
            }
            ControlFlow::Continue(())
        })
    }
}

/// The exponent e of 2^e ≤ x < 2^(e + 1), for x > 0.
fn exponent(x: f64) -> i32 {
    let of_normal = |x: f64| ((x.to_bits() >> 52) & 0x7ff) as i32 - 1_023;
    if x < f64::MIN_POSITIVE {
        of_normal(x * 2f64.powi(60)) - 60
    } else {
        of_normal(x)
    }
}

/// x · 2^e in two steps, each within the range of the type.
fn scaled(x: f64, e: i32) -> f64 {
    x * 2f64.powi(e / 2) * 2f64.powi(e - e / 2)
}

/// The order of rows by their features so far.
struct Order {
    rows: Vec<usize>,
    /// Runs of `rows`, as start and end, that no feature has told apart yet.
    ties: Vec<(usize, usize)>,
}

impl Order {
    fn new(rows: usize) -> Self {
        Self {
            rows: (0..rows).collect(),
            ties: if rows > 1 {
                vec![(0, rows)]
            } else {
                Vec::new()
            },
        }
    }

    /// Sorts what is tied by a block's features; whether all rows are told apart now.
    fn refine<T: Copy + Into<f64>>(&mut self, block: ArrayView2<'_, T>) -> bool {
        let compare = |&a: &usize, &b: &usize| {
            let (a, b) = (block.row(a), block.row(b));
            let pairs = a.iter().zip(&b);
            pairs
                // Adding 0 makes −0 and 0 one.
                .map(|(&x, &y)| (x.into() + 0.0).total_cmp(&(y.into() + 0.0)))
                .find(|order| order.is_ne())
                .unwrap_or(Ordering::Equal)
        };
        let mut ties = Vec::new();
        for &(start, end) in &self.ties {
            let run = &mut self.rows[start..end];
            run.sort_by(compare);
            let mut from = start;
            for alike in run.chunk_by(|a, b| compare(a, b).is_eq()) {
                if alike.len() > 1 {
                    ties.push((from, from + alike.len()));
                }
                from += alike.len();
            }
        }
        self.ties = ties;
        self.ties.is_empty()
    }

    /// The place of every row; rows that are alike have the same.
    fn ranks(&self) -> Vec<usize> {
        let mut ranks = vec![0; self.rows.len()];
        for (place, &row) in self.rows.iter().enumerate() {
            ranks[row] = place;
        }
        for &(start, end) in &self.ties {
            for &row in &self.rows[start..end] {
                ranks[row] = start;
            }
        }
        ranks
    }
}
