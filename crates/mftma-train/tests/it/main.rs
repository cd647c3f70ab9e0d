//! Tests of `mftma-train` through its public interface, in one binary. `levels` has a process to itself, because the level of vector
//! instructions is the process's.

mod activation_streams;
#[path = "../common/mod.rs"]
mod common;
mod kill;
mod networks;
mod rewinding;
mod run_folder;
