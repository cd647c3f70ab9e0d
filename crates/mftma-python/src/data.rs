//! Label permutation and example groups.

use mftma_data::{ExampleGroup, ManifoldSettings, PermutationScheme, Shortage};
use numpy::{PyArray1, PyReadonlyArray1};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use serde::de::{DeserializeOwned, value::StrDeserializer};

use crate::errors;

/// A choice by its name.
fn named<T: DeserializeOwned>(what: &str, name: &str) -> PyResult<T> {
    let deserializer: StrDeserializer<'_, serde::de::value::Error> = StrDeserializer::new(name);
    T::deserialize(deserializer)
        .map_err(|error| PyValueError::new_err(format!("{what} is {name:?}: {error}")))
}

/// Labels of which a fraction was made noise.
#[pyclass(frozen, module = "mftma._mftma")]
pub(crate) struct LabelPermutation(mftma_data::LabelPermutation);

#[pymethods]
impl LabelPermutation {
    #[new]
    fn new(
        labels: PyReadonlyArray1<'_, u16>,
        classes: usize,
        fraction: f64,
        scheme: &str,
        seed: u64,
    ) -> PyResult<Self> {
        let labels = labels.as_array().to_vec();
        let scheme: PermutationScheme = named("scheme", scheme)?;
        mftma_data::LabelPermutation::draw(&labels, classes, fraction, scheme, seed)
            .map(Self)
            .map_err(errors::value)
    }

    #[getter]
    fn mask<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<bool>> {
        PyArray1::from_slice(py, self.0.mask())
    }

    #[getter]
    fn true_labels<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<u16>> {
        PyArray1::from_slice(py, self.0.true_labels())
    }

    #[getter]
    fn assigned_labels<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<u16>> {
        PyArray1::from_slice(py, self.0.assigned_labels())
    }

    #[getter]
    fn effective_noise_rate(&self) -> f64 {
        self.0.effective_noise_rate()
    }

    #[getter]
    fn checksum(&self) -> String {
        self.0.checksum().to_string()
    }
}

/// Classes and, for each, the indices of its examples.
type Drawn<'py> = (Vec<u16>, Vec<Bound<'py, PyArray1<i64>>>);

/// Draws the examples of each manifold of one group.
#[pyfunction]
#[allow(clippy::too_many_arguments)]
pub(crate) fn draw_manifolds<'py>(
    py: Python<'py>,
    group: &str,
    permutation: &LabelPermutation,
    test_labels: PyReadonlyArray1<'py, u16>,
    manifolds: usize,
    examples: usize,
    seed: u64,
    shortage: &str,
) -> PyResult<Drawn<'py>> {
    let group: ExampleGroup = named("group", group)?;
    let shortage: Shortage = named("shortage", shortage)?;
    let drawn = mftma_data::draw_manifolds(
        group,
        &permutation.0,
        &test_labels.as_array().to_vec(),
        &ManifoldSettings {
            manifolds,
            examples,
            seed,
            shortage,
        },
    )
    .map_err(errors::value)?;
    let indices = drawn
        .indices()
        .iter()
        .map(|list| {
            let list: Vec<i64> = list.iter().map(|&i| i as i64).collect();
            PyArray1::from_vec(py, list)
        })
        .collect();
    Ok((drawn.classes().to_vec(), indices))
}
