//! The private extension module of the Python package `mftma`. It takes prepared arrays and plain settings and gives plain
//! dictionaries; the package around it owns conversion, names and documentation.

mod array;
mod data;
mod errors;
mod geometry;
mod similarity;
mod source;
mod work;

use std::ffi::OsString;

use pyo3::prelude::*;

/// The private extension module of the package `mftma`.
#[pymodule(gil_used = false)]
mod _mftma {
    use pyo3::prelude::*;

    #[pymodule_export]
    use super::data::{LabelPermutation, draw_manifolds};
    #[pymodule_export]
    use super::geometry::{
        addresses, analyze, default_settings, describe_warning, joint_capacity, project,
        simulate_capacity, variance_spectrum,
    };
    #[pymodule_export]
    use super::run_program;
    #[pymodule_export]
    use super::similarity::{
        Neurons, Representation, compared_points, maximum_match, simple_matches, verify,
    };

    // Python's name for it.
    #[allow(non_upper_case_globals)]
    #[pymodule_export]
    const __version__: &str = env!("CARGO_PKG_VERSION");
    #[pymodule_export]
    const ALGORITHM_VERSION: u32 = mftma::ALGORITHM_VERSION;

    /// NumPy's interface is looked up at its first use, and a Ctrl-C at that moment is a panic: let it be here.
    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        numpy::PyArray1::<f64>::zeros(module.py(), 0, false);
        Ok(())
    }
}

/// Runs the program `mftma` on `arguments`, the first of which is its name, and gives its exit code.
#[pyfunction]
fn run_program(py: Python<'_>, arguments: Vec<OsString>) -> u8 {
    py.detach(|| mftma_cli::program::run(arguments))
}
