//! Tests of the program `mftma`, run as a user would, in one binary.

mod cases;
mod common;
mod formats;
#[cfg(unix)]
mod full_disk;
#[cfg(unix)]
mod interrupted;
mod program;
mod reference_example;
#[cfg(unix)]
mod remedies;
