//! The study as jobs of an existing scheduler: the graph of its stages, each a command of its own, for Slurm, Snakemake and others.
//!
//! ```text
//! figures ─> plan.rs: nodes with inputs, costs and commands ─┬─> stage.rs: one of them, in a process of its own
//!                                                            ├─> submit.rs ─> slurm.rs: job arrays, jobs/ledger.json
//!                                                            ├─> snakemake.rs: a Snakefile
//!                                                            └─> wall.rs: how long on how many machines
//! ```
//!
//! No scheduler of our own: which job runs when and where is decided by the one that people have. What two jobs may do to one entry of the
//! store is decided by [`claim`](crate::claim).

pub mod command;
pub mod jobs;
pub mod plan;
pub mod show;
pub mod slurm;
pub mod snakemake;
pub mod stage;
pub mod store;
pub mod submit;
pub mod wall;
