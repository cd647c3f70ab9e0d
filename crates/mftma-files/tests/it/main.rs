//! Tests of `mftma-files` through its public interface, in one binary.

mod common;
mod damaged;
mod formats;
mod malformed;
mod readers;
