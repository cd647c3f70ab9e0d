//! Tests of `cargo xtask`: the real program, in one binary.

mod cluster;
mod fetch;
mod glyphs;
mod reproduce;
