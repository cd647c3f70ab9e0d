//! NumPy arrays read while Python's lock is free: the only module with `unsafe` code.
#![allow(unsafe_code)]

use ndarray::{ArrayView2, Ix2, ShapeBuilder};
use numpy::{Element, PyArray2, PyArrayMethods, PyUntypedArrayMethods};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;

/// A matrix (rows, columns) whose memory belongs to a NumPy array, kept alive as long as this lives.
///
/// As with every library that releases the lock, whoever writes to the array meanwhile changes what is computed.
struct Borrowed<T> {
    _owner: Py<PyAny>,
    data: *const T,
    shape: [usize; 2],
    strides: [usize; 2],
}

// SAFETY: the pointer is only read, through shared views; the owner is only dropped, which PyO3 defers where the thread does
// not hold the lock.
unsafe impl<T: Sync> Send for Borrowed<T> {}
// SAFETY: as above; nothing is changed through a shared reference.
unsafe impl<T: Sync> Sync for Borrowed<T> {}

impl<T: Element> Borrowed<T> {
    fn new(array: &Bound<'_, PyArray2<T>>) -> PyResult<Self> {
        let size = size_of::<T>() as isize;
        let step = |stride: isize| -> PyResult<usize> {
            if stride < 0 || stride % size != 0 {
                return Err(PyValueError::new_err(
                    "the array's strides are negative or no multiple of its items: pass numpy.ascontiguousarray(x)",
                ));
            }
            Ok((stride / size) as usize)
        };
        let (shape, strides) = (array.shape(), array.strides());
        let data: *const T = array.data();
        if !data.is_aligned() {
            return Err(PyValueError::new_err(
                "the array is not aligned: pass numpy.ascontiguousarray(x)",
            ));
        }
        Ok(Self {
            data,
            shape: [shape[0], shape[1]],
            strides: [step(strides[0])?, step(strides[1])?],
            _owner: array.clone().into_any().unbind(),
        })
    }

    fn view(&self) -> ArrayView2<'_, T> {
        let [rows, columns] = self.shape;
        let shape = Ix2(rows, columns).strides(Ix2(self.strides[0], self.strides[1]));
        if rows == 0 || columns == 0 {
            // NumPy may leave such an array without memory.
            let empty: &[T] = &[];
            return ArrayView2::from_shape((rows, columns), empty)
                .unwrap_or_else(|_| unreachable!("no element is wanted"));
        }
        // SAFETY: NumPy vouches for shape and strides of its own memory, which the owner keeps alive; the pointer is aligned and
        // the strides are whole and not negative, as `new` checked.
        unsafe { ArrayView2::from_shape_ptr(shape, self.data) }
    }
}

/// A matrix of either precision.
pub(crate) enum Part {
    Single(PartOf<f32>),
    Double(PartOf<f64>),
}

/// A matrix of one precision.
pub(crate) struct PartOf<T>(Borrowed<T>);

impl<T: Element> PartOf<T> {
    pub(crate) fn view(&self) -> ArrayView2<'_, T> {
        self.0.view()
    }
}

impl Part {
    pub(crate) fn new(array: &Bound<'_, PyAny>) -> PyResult<Self> {
        if let Ok(array) = array.cast::<PyArray2<f32>>() {
            return Ok(Self::Single(PartOf(Borrowed::new(array)?)));
        }
        if let Ok(array) = array.cast::<PyArray2<f64>>() {
            return Ok(Self::Double(PartOf(Borrowed::new(array)?)));
        }
        Err(PyTypeError::new_err(
            "an array of float32 or float64 with two axes was expected",
        ))
    }

    pub(crate) fn shape(&self) -> [usize; 2] {
        match self {
            Self::Single(part) => part.0.shape,
            Self::Double(part) => part.0.shape,
        }
    }

    pub(crate) fn address(&self) -> usize {
        match self {
            Self::Single(part) => part.0.data as usize,
            Self::Double(part) => part.0.data as usize,
        }
    }
}
