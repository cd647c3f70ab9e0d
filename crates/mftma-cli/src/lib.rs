//! Readers, settings and reports of the `mftma` program.
//!
//! The program is glue: it reads activations ([`read`]), hands them in feature blocks to the engine crate `mftma`, and
//! writes what comes back. It is a library only so that tests and fuzz targets reach the readers; the numbers are the
//! engine's, and someone who writes Rust should call that instead.

pub mod array;
pub mod bytes;
pub mod cli;
pub mod commands;
pub mod error;
pub mod interrupt;
pub mod plot;
pub mod read;
pub mod report;
pub mod settings;
pub mod source;
