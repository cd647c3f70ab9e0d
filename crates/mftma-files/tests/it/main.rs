//! Tests of `mftma-files` through its public interface, in one binary.

mod common;
mod damaged;
mod formats;
#[cfg(unix)]
mod links;
mod malformed;
mod readers;
