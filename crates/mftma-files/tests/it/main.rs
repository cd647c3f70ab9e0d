//! Tests of `mftma-files` through its public interface, in one binary.

mod malformed;
mod readers;
