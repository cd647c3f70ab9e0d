//! Tests of `mftma` through its public interface, in one binary. What needs a process to itself stands beside it: `levels`, because
//! the level of vector instructions is the process's, and `memory`, because its peak is.

mod analysis;
mod closed_forms;
mod common;
mod golden_a;
mod golden_b;
mod inputs;
mod joint;
mod matching;
mod properties;
mod rank_rule;
mod real_activations;
mod regressions;
mod similarity;
mod simulated;
