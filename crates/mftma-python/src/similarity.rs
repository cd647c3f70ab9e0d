//! Similarity of two representations of the same points.

use std::sync::Arc;

use mftma::similarity::matching;
use mftma::similarity::{linear_cka, pwcca, svcca};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pythonize::{depythonize, pythonize};
use serde::Serialize;

use crate::errors::Context;
use crate::source::{Rows, Stack};
use crate::work;

/// The points of `n` that `mftma compare` would compare.
#[pyfunction]
pub(crate) fn compared_points(n: usize, most: usize, seed: u64) -> Vec<usize> {
    mftma_cli::commands::compare::compared_points(n, most, seed)
}

/// All rows of a stack as one group.
struct Whole {
    stack: Arc<Stack>,
    rows: Vec<usize>,
    size: [usize; 1],
}

impl Whole {
    fn new(parts: &[Bound<'_, PyAny>], rows: Option<Vec<usize>>) -> PyResult<Arc<Self>> {
        let stack = Stack::new(parts)?;
        let rows = rows.unwrap_or_else(|| (0..stack.rows()).collect());
        if let Some(row) = rows.iter().find(|&&row| row >= stack.rows()) {
            return Err(PyValueError::new_err(format!(
                "row {row} of {} was asked for",
                stack.rows()
            )));
        }
        Ok(Arc::new(Self {
            size: [rows.len()],
            stack,
            rows,
        }))
    }

    fn source<'a>(&'a self, control: &'a work::Control) -> Rows<'a> {
        Rows {
            stack: &self.stack,
            rows: &self.rows,
            sizes: &self.size,
            stop: &control.stop,
        }
    }

    fn context(&self) -> Context<'_> {
        Context {
            stack: &self.stack,
            rows: &self.rows,
            classes: &[],
        }
    }
}

/// One side of comparisons.
#[pyclass(frozen, module = "mftma._mftma")]
pub(crate) struct Representation {
    whole: Arc<Whole>,
    inner: Arc<mftma::similarity::Representation>,
    threads: usize,
}

#[derive(Serialize)]
struct Correlations<'a> {
    correlations: &'a [f64],
    svcca: f64,
    pwcca: f64,
    kept: (usize, usize),
    forced: usize,
}

#[pymethods]
impl Representation {
    /// Takes the inner products of all rows, or of those asked for.
    #[new]
    #[pyo3(signature = (parts, rows=None, threads=0))]
    fn new(
        py: Python<'_>,
        parts: Vec<Bound<'_, PyAny>>,
        rows: Option<Vec<usize>>,
        threads: usize,
    ) -> PyResult<Self> {
        let whole = Whole::new(&parts, rows)?;
        let shared = Arc::clone(&whole);
        let inner = work::run(py, threads, None, move |control| {
            mftma::similarity::Representation::new(&shared.source(control))
        })?
        .map_err(|e| whole.context().explain(e))?;
        Ok(Self {
            whole,
            inner: Arc::new(inner),
            threads,
        })
    }

    #[getter]
    fn points(&self) -> usize {
        self.inner.points()
    }

    #[getter]
    fn features(&self) -> usize {
        self.inner.features()
    }

    /// Linear CKA with another.
    fn cka(&self, py: Python<'_>, other: &Self) -> PyResult<f64> {
        let (a, b) = (Arc::clone(&self.inner), Arc::clone(&other.inner));
        work::run(py, self.threads, None, move |_| linear_cka(&a, &b))?
            .map_err(|e| self.whole.context().explain(e))
    }

    /// Canonical correlations with another: SVCCA, PWCCA and what they are made of.
    fn correlations<'py>(
        &self,
        py: Python<'py>,
        other: &Self,
        variance: f64,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (a, b) = (Arc::clone(&self.inner), Arc::clone(&other.inner));
        let whole = Arc::clone(&self.whole);
        let (found, weighted) = work::run(py, self.threads, None, move |control| {
            let found = svcca(&a, &b, variance)?;
            let weighted = pwcca(&found, &whole.source(control))?;
            Ok((found, weighted))
        })?
        .map_err(|e| self.whole.context().explain(e))?;
        Ok(pythonize(
            py,
            &Correlations {
                correlations: &found.correlations,
                svcca: found.mean(),
                pwcca: weighted,
                kept: found.kept,
                forced: found.forced,
            },
        )?)
    }
}

/// The neurons of one layer.
#[pyclass(frozen, module = "mftma._mftma")]
pub(crate) struct Neurons {
    whole: Arc<Whole>,
    inner: Arc<matching::Neurons>,
    threads: usize,
}

#[pymethods]
impl Neurons {
    /// Takes the activation vector of every feature.
    #[new]
    #[pyo3(signature = (parts, threads=0))]
    fn new(py: Python<'_>, parts: Vec<Bound<'_, PyAny>>, threads: usize) -> PyResult<Self> {
        let whole = Whole::new(&parts, None)?;
        let shared = Arc::clone(&whole);
        let inner = work::run(py, threads, None, move |control| {
            matching::Neurons::new(&shared.source(control))
        })?
        .map_err(|e| whole.context().explain(e))?;
        Ok(Self {
            whole,
            inner: Arc::new(inner),
            threads,
        })
    }
}

/// The maximum match of two layers.
#[pyfunction]
pub(crate) fn maximum_match<'py>(
    py: Python<'py>,
    first: &Neurons,
    second: &Neurons,
    epsilon: f64,
) -> PyResult<Bound<'py, PyAny>> {
    let (a, b) = (Arc::clone(&first.inner), Arc::clone(&second.inner));
    let found = work::run(py, first.threads, None, move |_| {
        matching::maximum_match(&a, &b, epsilon)
    })?
    .map_err(|e| first.whole.context().explain(e))?;
    Ok(pythonize(py, &found)?)
}

/// The simple matches of two layers.
#[pyfunction]
pub(crate) fn simple_matches<'py>(
    py: Python<'py>,
    first: &Neurons,
    second: &Neurons,
    epsilon: f64,
) -> PyResult<Bound<'py, PyAny>> {
    let (a, b) = (Arc::clone(&first.inner), Arc::clone(&second.inner));
    let found = work::run(py, first.threads, None, move |_| {
        matching::simple_matches(&a, &b, epsilon)
    })?
    .map_err(|e| first.whole.context().explain(e))?;
    Ok(pythonize(py, &found)?)
}

/// Whether the maximum match of two layers, found again, is `found` and its certificate holds.
#[pyfunction]
pub(crate) fn verify(
    py: Python<'_>,
    first: &Neurons,
    second: &Neurons,
    found: &Bound<'_, PyAny>,
) -> PyResult<bool> {
    let given: serde_json::Value = depythonize(found)?;
    let epsilon = given["epsilon"].as_f64().unwrap_or(f64::NAN);
    let (a, b) = (Arc::clone(&first.inner), Arc::clone(&second.inner));
    let (again, holds) = work::run(py, first.threads, None, move |_| {
        let again = matching::maximum_match(&a, &b, epsilon)?;
        let holds = again.verify(&a, &b)?;
        Ok((again, holds))
    })?
    .map_err(|e: mftma::Error| first.whole.context().explain(e))?;
    let again = serde_json::to_value(&again).map_err(crate::errors::value)?;
    Ok(holds && again == given)
}
