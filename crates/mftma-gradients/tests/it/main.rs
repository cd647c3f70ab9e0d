//! Tests of `mftma-gradients` through its public interface, in one binary.

mod measure;
mod theory;
