//! Arrays whose values lie apart in memory, as slices and transposed views do, and chunks put in their place.

#[cfg(any(feature = "hdf5", feature = "zarr"))]
use std::io;
use std::io::Write;
use std::sync::Arc;

use super::{Decode, ReadOptions, within_limit};
use crate::array::ArrayInfo;
#[cfg(any(feature = "hdf5", feature = "zarr"))]
use crate::bytes::Canvas;
use crate::bytes::{Bytes, Spool};
use crate::error::{InputError, Place};

/// Bytes gathered between two looks at the interrupt flag.
const CHUNK: usize = 1 << 20;

/// A view into bytes: value `i, j, ...` lies at `start + i * strides[0] + j * strides[1] + ...`, all in bytes.
#[derive(Debug)]
pub(super) struct Strided {
    pub(super) bytes: Arc<Bytes>,
    pub(super) start: usize,
    pub(super) strides: Vec<usize>,
}

/// Strides in bytes of values that lie side by side.
pub(super) fn strides_of(info: &ArrayInfo) -> Option<Vec<usize>> {
    let mut strides = vec![0; info.shape.len()];
    let mut next = info.element.size();
    let mut set = |axis: usize| -> Option<()> {
        strides[axis] = next;
        next = next.checked_mul(info.shape[axis])?;
        Some(())
    };
    if info.fortran_order {
        (0..info.shape.len()).try_for_each(&mut set)?;
    } else {
        (0..info.shape.len()).rev().try_for_each(&mut set)?;
    }
    Some(strides)
}

/// One byte past the last value of a view, counted from its first; `None` where that overflows. Zero for no values.
pub(super) fn extent(shape: &[usize], strides: &[usize], size: usize) -> Option<usize> {
    if shape.contains(&0) {
        return Some(0);
    }
    shape
        .iter()
        .zip(strides)
        .try_fold(size, |end, (&n, &stride)| {
            (n - 1).checked_mul(stride)?.checked_add(end)
        })
}

impl Decode for Strided {
    fn stored(&self) -> &'static str {
        "a view"
    }

    fn decode(
        &self,
        place: &Place,
        info: &ArrayInfo,
        options: ReadOptions<'_>,
    ) -> Result<(Arc<Bytes>, usize), InputError> {
        let size = info.element.size();
        let damaged = || {
            InputError::malformed(
                place,
                format!("{} reaches past the stored values", info.describe()),
                "write the file again",
            )
        };
        let values = self.bytes.get(self.start..).ok_or_else(damaged)?;
        let end = extent(&info.shape, &self.strides, size).ok_or_else(damaged)?;
        if self.strides.len() != info.shape.len() || end > values.len() {
            return Err(damaged());
        }
        // Strides of zero repeat values, so that a view may be larger than what it looks at.
        let len = info.data_len().ok_or_else(damaged)? as u64;
        within_limit(place, len, options, "save a copy: x.contiguous()")?;
        if len == 0 {
            return Ok((Arc::new(Bytes::Owned(Vec::new())), 0));
        }
        let mut spool = Spool::default();
        let mut buffer = Vec::new();
        let (inner, outer) = match (info.shape.split_last(), self.strides.split_last()) {
            (Some((&n, outer)), Some((&stride, strides))) => ((n, stride), (outer, strides)),
            _ => ((1, size), (&[][..], &[][..])),
        };
        let mut index = vec![0usize; outer.0.len()];
        let rows: usize = outer.0.iter().product();
        for _ in 0..rows {
            let base: usize = index.iter().zip(outer.1).map(|(i, s)| i * s).sum();
            for k in 0..inner.0 {
                let at = base + k * inner.1;
                buffer.extend_from_slice(&values[at..at + size]);
            }
            if buffer.len() >= CHUNK {
                if (options.interrupted)() {
                    return Err(InputError::Interrupted {
                        place: place.clone(),
                    });
                }
                spool
                    .write_all(&buffer)
                    .map_err(|e| InputError::io(place, e))?;
                buffer.clear();
            }
            advance(&mut index, outer.0);
        }
        spool
            .write_all(&buffer)
            .and_then(|()| spool.finish())
            .map(|bytes| (Arc::new(bytes), 0))
            .map_err(|e| InputError::io(place, e))
    }
}

/// The next index in C order.
pub(super) fn advance(index: &mut [usize], shape: &[usize]) {
    for (i, &n) in index.iter_mut().zip(shape).rev() {
        *i += 1;
        if *i < n {
            return;
        }
        *i = 0;
    }
}

/// Copies a chunk in C order to its place in an array in C order; what reaches past the array is dropped.
///
/// `shape`, `chunk_shape` and `origin` have a length for each axis; `chunk` holds `chunk_shape` values of `size` bytes.
#[cfg(any(feature = "hdf5", feature = "zarr"))]
pub(super) fn put_chunk(
    canvas: &mut Canvas,
    shape: &[usize],
    chunk_shape: &[usize],
    origin: &[usize],
    size: usize,
    chunk: &[u8],
) -> io::Result<()> {
    // How much of the chunk lies within the array.
    let mut inside = Vec::with_capacity(shape.len());
    for ((&n, &c), &o) in shape.iter().zip(chunk_shape).zip(origin) {
        inside.push(n.saturating_sub(o).min(c));
    }
    if inside.contains(&0) {
        return Ok(());
    }
    // Trailing axes that chunk and array share whole are one run.
    let mut split = shape.len().saturating_sub(1);
    while split > 0 && chunk_shape[split] == shape[split] && origin[split] == 0 {
        split -= 1;
    }
    let product = |lengths: &[usize]| lengths.iter().product::<usize>();
    let inner = product(shape.get(split + 1..).unwrap_or(&[])) * size;
    let run = inside.get(split).copied().unwrap_or(1) * inner;
    let mut index = vec![0usize; split];
    for _ in 0..product(&inside[..split]) {
        let (mut from, mut to) = (0, 0);
        for (axis, &i) in index.iter().enumerate() {
            from = from * chunk_shape[axis] + i;
            to = to * shape[axis] + origin[axis] + i;
        }
        if !shape.is_empty() {
            from *= chunk_shape[split];
            to = to * shape[split] + origin[split];
        }
        let (from, to) = (from * inner, to * inner);
        let Some(bytes) = chunk.get(from..from + run) else {
            return Err(io::Error::other("a chunk is shorter than its shape"));
        };
        canvas.write_at(to, bytes)?;
        advance(&mut index, &inside[..split]);
    }
    Ok(())
}

#[cfg(all(test, any(feature = "hdf5", feature = "zarr")))]
mod tests {
    use super::*;

    /// Every tiling of an array gives the array back, also where chunks reach past its edges.
    #[test]
    fn chunks_make_the_array() {
        let shape = [3usize, 4, 5];
        let values: Vec<u8> = (0..60).collect();
        let at = |i: usize, j: usize, k: usize| values[(i * 4 + j) * 5 + k];
        for chunk_shape in [
            [3, 4, 5],
            [2, 4, 5],
            [2, 3, 5],
            [1, 3, 2],
            [4, 5, 6],
            [3, 4, 2],
        ] {
            let mut canvas = Canvas::new(60).unwrap();
            let [a, b, c]: [usize; 3] = chunk_shape;
            for origin in
                (0..3usize.div_ceil(a) * 4usize.div_ceil(b) * 5usize.div_ceil(c)).map(|n| {
                    let (q, k) = (n / 5usize.div_ceil(c), n % 5usize.div_ceil(c));
                    [
                        q / 4usize.div_ceil(b) * a,
                        q % 4usize.div_ceil(b) * b,
                        k * c,
                    ]
                })
            {
                let mut chunk = Vec::new();
                for i in 0..a {
                    for j in 0..b {
                        for k in 0..c {
                            let (i, j, k) = (origin[0] + i, origin[1] + j, origin[2] + k);
                            let inside = i < 3 && j < 4 && k < 5;
                            chunk.push(if inside { at(i, j, k) } else { 255 });
                        }
                    }
                }
                put_chunk(&mut canvas, &shape, &chunk_shape, &origin, 1, &chunk).unwrap();
            }
            assert_eq!(
                &canvas.finish().unwrap()[..],
                &values[..],
                "{chunk_shape:?}"
            );
        }
    }
}
