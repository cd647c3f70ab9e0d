//! Readers, settings and reports of the `mftma` program.
//!
//! The program is glue: it reads activations ([`read`]), hands them in feature blocks to the engine crate `mftma`, and
//! writes what comes back. It is a library only so that tests and fuzz targets reach the readers; the numbers are the
//! engine's, and someone who writes Rust should call that instead.

pub mod array;
pub mod bytes;
pub mod error;
pub mod read;
pub mod settings;

#[cfg(feature = "program")]
pub mod cli;
#[cfg(feature = "program")]
pub mod commands;
#[cfg(feature = "program")]
pub mod interrupt;
#[cfg(feature = "program")]
pub mod plot;
#[cfg(feature = "program")]
pub mod report;
#[cfg(feature = "program")]
pub mod source;
