//! Chosen rows of arrays as the engine's input.

use std::ops::{ControlFlow, Range};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use mftma::{Activations, Block, SourceError};
use mftma_files::source::block_ranges;
use ndarray::{Array2, ArrayView2, Axis, s};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use rayon::prelude::*;

use crate::array::Part;

/// Arrays of the same features, one below the other, none of them copied.
pub(crate) struct Stack {
    parts: Vec<Part>,
    /// First row of each part, and the number of rows of all.
    starts: Vec<usize>,
    features: usize,
}

impl Stack {
    /// No array.
    pub(crate) const EMPTY: Self = Self {
        parts: Vec::new(),
        starts: Vec::new(),
        features: 0,
    };

    pub(crate) fn new(parts: &[Bound<'_, PyAny>]) -> PyResult<Arc<Self>> {
        let parts: Vec<Part> = parts.iter().map(Part::new).collect::<PyResult<_>>()?;
        let features = parts.first().map_or(0, |part| part.shape()[1]);
        let mut starts = vec![0];
        for (index, part) in parts.iter().enumerate() {
            let [rows, columns] = part.shape();
            if columns != features {
                return Err(PyValueError::new_err(format!(
                    "array {index} has {columns} features, but array 0 has {features}: all points must have the same features"
                )));
            }
            starts.push(starts[index] + rows);
        }
        Ok(Arc::new(Self {
            parts,
            starts,
            features,
        }))
    }

    pub(crate) fn rows(&self) -> usize {
        self.starts.last().copied().unwrap_or(0)
    }

    /// Rows of each part.
    pub(crate) fn sizes(&self) -> Vec<usize> {
        self.parts.iter().map(|part| part.shape()[0]).collect()
    }

    pub(crate) fn addresses(&self) -> Vec<usize> {
        self.parts.iter().map(Part::address).collect()
    }

    fn single(&self) -> bool {
        self.parts
            .iter()
            .all(|part| matches!(part, Part::Single(_)))
    }

    /// The part that holds `row`, and its place there.
    fn locate(&self, row: usize) -> (&Part, usize) {
        let part = self.starts.partition_point(|&start| start <= row) - 1;
        (&self.parts[part], row - self.starts[part])
    }

    /// Counts of NaN and of infinite values in `rows`, and the first of either: row, feature, value.
    pub(crate) fn not_finite(&self, rows: &[usize]) -> (usize, usize, Option<(usize, usize, f64)>) {
        let (mut nan, mut infinite, mut first) = (0, 0, None::<(usize, usize, f64)>);
        for &row in rows {
            let (part, at) = self.locate(row);
            let mut look = |feature: usize, value: f64| {
                if value.is_finite() {
                    return;
                }
                if value.is_nan() {
                    nan += 1;
                } else {
                    infinite += 1;
                }
                if first.is_none_or(|(r, f, _)| (row, feature) < (r, f)) {
                    first = Some((row, feature, value));
                }
            };
            match part {
                Part::Single(part) => (0..)
                    .zip(part.view().row(at))
                    .for_each(|(f, &x)| look(f, f64::from(x))),
                Part::Double(part) => (0..)
                    .zip(part.view().row(at))
                    .for_each(|(f, &x)| look(f, x)),
            }
        }
        (nan, infinite, first)
    }
}

/// Rows of a stack, manifold by manifold, in the program's blocks, so that its results are the program's to the bit.
pub(crate) struct Rows<'a> {
    pub(crate) stack: &'a Stack,
    pub(crate) rows: &'a [usize],
    pub(crate) sizes: &'a [usize],
    pub(crate) stop: &'a AtomicBool,
}

/// The caller asked to stop.
#[derive(Debug, thiserror::Error)]
#[error("stopped by the caller")]
pub(crate) struct Stopped;

impl Rows<'_> {
    /// Where the rows lie one after the other in one part, that part's rows.
    fn consecutive(&self) -> Option<(&Part, Range<usize>)> {
        let (&first, &last) = (self.rows.first()?, self.rows.last()?);
        let (part, start) = self.stack.locate(first);
        let end = start + self.rows.len();
        let whole = last.checked_sub(first)? + 1 == self.rows.len()
            && end <= part.shape()[0]
            && self.rows.windows(2).all(|pair| pair[0] + 1 == pair[1]);
        whole.then_some((part, start..end))
    }

    fn gather<T: Copy + Default + Send + Sync>(
        &self,
        range: Range<usize>,
        single: impl Fn(f32) -> T + Sync,
        double: impl Fn(f64) -> T + Sync,
    ) -> Array2<T> {
        let mut block = Array2::from_elem((self.rows.len(), range.len()), T::default());
        block
            .axis_iter_mut(Axis(0))
            .into_par_iter()
            .zip(self.rows)
            .for_each(|(mut to, &row)| match self.stack.locate(row) {
                (Part::Single(part), at) => {
                    to.zip_mut_with(&part.view().slice(s![at, range.clone()]), |to, &x| {
                        *to = single(x);
                    });
                }
                (Part::Double(part), at) => {
                    to.zip_mut_with(&part.view().slice(s![at, range.clone()]), |to, &x| {
                        *to = double(x);
                    });
                }
            });
        block
    }
}

impl Activations for Rows<'_> {
    fn points_per_manifold(&self) -> &[usize] {
        self.sizes
    }

    fn n_features(&self) -> usize {
        self.stack.features
    }

    fn for_each_block(
        &self,
        visit: &mut dyn FnMut(Block<'_>) -> ControlFlow<()>,
    ) -> Result<(), SourceError> {
        let single = self.stack.single();
        let in_place = self.consecutive();
        let size = if single { 4 } else { 8 };
        for range in block_ranges(self.rows.len(), self.stack.features, size) {
            if self.stop.load(Relaxed) {
                return Err(Box::new(Stopped));
            }
            fn slice<'a, T>(
                view: ArrayView2<'a, T>,
                rows: &Range<usize>,
                range: &Range<usize>,
            ) -> ArrayView2<'a, T> {
                view.slice_move(s![rows.clone(), range.clone()])
            }
            let flow = match (&in_place, single) {
                (Some((Part::Single(part), rows)), true) => {
                    visit(Block::F32(slice(part.view(), rows, &range)))
                }
                (Some((Part::Double(part), rows)), false) => {
                    visit(Block::F64(slice(part.view(), rows, &range)))
                }
                (_, true) => visit(Block::F32(self.gather(range, |x| x, |x| x as f32).view())),
                (_, false) => visit(Block::F64(self.gather(range, f64::from, |x| x).view())),
            };
            if flow.is_break() {
                break;
            }
        }
        Ok(())
    }
}
