//! Tests of `cargo xtask`: the real program, in one binary.

mod fetch;
mod glyphs;
mod reproduce;
