//! Memory for activations, aligned to cache lines and reused from step to step.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::simd::Level;
use super::{Kernels, LANES, Lanes};

/// Values per cache line of 64 bytes.
const LINE: usize = 16;

/// Free memory by size, and the kernels that work on it. A fresh large allocation costs a page fault for each 4 KiB, as much as
/// computing on it.
#[derive(Debug)]
pub(crate) struct Pool {
    free: Mutex<HashMap<usize, Vec<Vec<f32>>>>,
    kernels: Box<dyn Kernels>,
}

impl Default for Pool {
    fn default() -> Self {
        Self::new(Level::current())
    }
}

impl Pool {
    pub(crate) fn new(kernels: impl Kernels + 'static) -> Self {
        Self {
            free: Mutex::default(),
            kernels: Box::new(kernels),
        }
    }

    /// The kernels that work on this memory.
    pub(crate) fn kernels(&self) -> &dyn Kernels {
        &*self.kernels
    }

    /// Memory for `count` [`Lanes`], with unspecified values.
    pub(crate) fn take(self: &Arc<Self>, count: usize) -> Buffer {
        let size = count * LANES + LINE;
        let reused = self.lock().get_mut(&size).and_then(Vec::pop);
        Buffer {
            values: reused.unwrap_or_else(|| vec![0.0; size]),
            pool: Arc::clone(self),
        }
    }

    /// The same, with all values 0.
    pub(crate) fn zeros(self: &Arc<Self>, count: usize) -> Buffer {
        let mut buffer = self.take(count);
        buffer.lanes_mut().as_flattened_mut().fill(0.0);
        buffer
    }

    /// Takes back what [`Buffer::into_values`] gave.
    pub(crate) fn adopt(self: &Arc<Self>, values: Vec<f32>) -> Buffer {
        Buffer {
            values,
            pool: Arc::clone(self),
        }
    }

    /// Bytes that lie ready for reuse.
    #[cfg(test)]
    pub(crate) fn free_bytes(&self) -> usize {
        self.lock()
            .values()
            .flatten()
            .map(|values| size_of_val(values.as_slice()))
            .sum()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<usize, Vec<Vec<f32>>>> {
        // The map is valid even where a thread died while it held the lock.
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A run of [`Lanes`] that starts on a cache line. Goes back to its pool when dropped.
#[derive(Debug)]
pub(crate) struct Buffer {
    /// One line longer than needed; the used part starts at the first multiple of a line.
    values: Vec<f32>,
    pool: Arc<Pool>,
}

impl Buffer {
    fn start(&self) -> usize {
        self.values
            .as_ptr()
            .align_offset(LINE * size_of::<f32>())
            .min(LINE)
    }

    /// Number of [`Lanes`].
    pub(crate) fn len(&self) -> usize {
        self.values.len().saturating_sub(LINE) / LANES
    }

    pub(crate) fn lanes(&self) -> &[Lanes] {
        let (start, len) = (self.start(), self.len() * LANES);
        self.values[start..start + len].as_chunks().0
    }

    pub(crate) fn lanes_mut(&mut self) -> &mut [Lanes] {
        let (start, len) = (self.start(), self.len() * LANES);
        self.values[start..start + len].as_chunks_mut().0
    }

    /// The memory itself, for a place that can only hold a `Vec`; see [`Pool::adopt`].
    pub(crate) fn into_values(mut self) -> Vec<f32> {
        std::mem::take(&mut self.values)
    }

    pub(crate) fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let values = std::mem::take(&mut self.values);
        if !values.is_empty() {
            self.pool
                .lock()
                .entry(values.len())
                .or_default()
                .push(values);
        }
    }
}
