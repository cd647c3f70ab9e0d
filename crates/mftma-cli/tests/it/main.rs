//! Tests of the program `mftma`, run as a user would, in one binary.

mod cases;
mod formats;
mod program;
mod reference_example;
