//! Settings, commands and reports of the `mftma` program.
//!
//! The program is glue: it reads activations through [`mftma_files`], hands them in feature blocks to the engine crate
//! `mftma`, and writes what comes back. It is a library so that the fuzz target of settings reaches them and the Python package can
//! bring the program; someone who writes Rust should call those two crates instead.

// They end the program where nobody listens; see `say`.
#![deny(clippy::print_stderr, clippy::print_stdout)]

pub mod settings;

#[cfg(feature = "program")]
pub mod cli;
#[cfg(feature = "program")]
pub mod commands;
#[cfg(feature = "program")]
pub mod interrupt;
#[cfg(feature = "program")]
pub mod measure;
#[cfg(feature = "program")]
pub mod plot;
#[cfg(feature = "program")]
pub mod program;
#[cfg(feature = "program")]
pub mod report;
#[cfg(feature = "program")]
pub mod say;
#[cfg(feature = "program")]
mod signals;
