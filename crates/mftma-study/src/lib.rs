//! The study behind `cargo xtask reproduce`: settings, finished work, tables, figures, claims and the report, as a library.
//!
//! ```text
//! profile ─> experiment (data, permutation, seed) ─> stages ─> tables ─> figures
//!                                                      └─────> claims ─> report
//! ```
//!
//! A *study* is one [profile](profile::Profile) carried out; a *run* is one seed of it; an *experiment* is a run's data and network
//! settings; a *stage* is expensive work with one output, kept in the [cache] under a hash of everything that determines it; a
//! *checkpoint* is a network after some epoch. [`reproduce::run`] does everything; the modules below can be used alone.
//!
//! Nothing here prints: what people should read goes to the writer that the caller gives, progress to
//! the caller's [sink](progress::Sink).

/// Writes a line for people. That nobody reads it any more (`| head`) is no failure.
macro_rules! say {
    ($to:expr, $($text:tt)*) => {{
        let _ = writeln!($to, $($text)*);
    }};
}

pub mod cache;
pub mod check;
pub mod claim;
pub mod claims;
pub mod cluster;
pub mod compare;
pub mod estimate;
pub mod experiment;
pub mod figures;
pub mod files;
pub mod interim;
pub mod linear_network;
pub mod profile;
pub mod progress;
pub mod provenance;
pub mod published;
pub mod record;
pub mod report;
pub mod reproduce;
pub mod results;
pub mod stages;
pub mod status;
pub mod study;
pub mod table;
pub mod umap;
