//! Tests of `mftma-linear` through its public interface, in one binary.

mod dynamics;
mod noise;
