//! The whole command line, declared once.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Project tasks: reproduce the study's figures, fetch data sets, build the embedded one.
#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    version,
    arg_required_else_help = true
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// One task, one file.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the study: train, measure every layer's manifolds over epochs, draw the figures
    Reproduce(ReproduceArgs),
    /// Check that a results folder holds every figure and table, and that their numbers can be true
    Check(CheckArgs),
    /// Fetch a data set, check it, and unpack it into the data folder
    Fetch(FetchArgs),
    /// Rebuild the embedded data set `glyphs` from fonts installed on this machine
    Glyphs(GlyphsArgs),
}

/// Flags of `cargo xtask reproduce`.
#[derive(Debug, Args)]
pub struct ReproduceArgs {
    /// The figures to make (all when left out), or `status`: what is finished, in progress and missing
    #[arg(value_name = "FIGURE")]
    pub figures: Vec<String>,
    /// One panel of the figure, by its letter; its files are named `figN-b`
    #[arg(long, value_name = "LETTER", requires = "figures")]
    pub panel: Option<String>,
    /// Data set to train on [default: the profile's]
    #[arg(long, value_name = "NAME")]
    pub dataset: Option<String>,
    /// Folder that holds downloaded data sets
    #[arg(long, value_name = "DIR", env = "MFTMA_DATA_DIR")]
    pub data_dir: Option<PathBuf>,
    /// Folder for tables and figures [default: results/PROFILE]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Settings: smoke, quick, laptop, paper, or a TOML file
    #[arg(long, value_name = "PROFILE", default_value = "quick")]
    pub profile: String,
    /// No progress bars
    #[arg(long)]
    pub quiet: bool,
    /// List what would run, why, and about how long it would take, and do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Compare with the results of record in results/PROFILE: run into --out (a temporary folder when left out), then name
    /// every number and verdict that differs by more than its tolerance
    #[arg(long, conflicts_with_all = ["dry_run", "panel"])]
    pub check: bool,
    /// Threads of the pool that all work is shared out to; the results do not depend on it [default: one for each core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub jobs: Option<u16>,
    /// Redo finished work
    #[arg(long)]
    pub force: bool,
    /// Number of independent seeds [default: the profile's]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1000))]
    pub seeds: Option<u64>,
}

/// Flags of `cargo xtask check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// The results folder
    pub folder: PathBuf,
    /// A figure to check (all when left out); may be given several times
    #[arg(long = "figure", value_name = "FIGURE")]
    pub figures: Vec<String>,
}

/// Flags of `cargo xtask fetch`.
#[derive(Debug, Args)]
pub struct FetchArgs {
    /// Name of the data set, as in datasets/manifest.toml
    pub set: String,
    /// Folder that holds downloaded data sets
    #[arg(long, value_name = "DIR", env = "MFTMA_DATA_DIR")]
    pub data_dir: Option<PathBuf>,
    /// Take this local archive or unpacked folder instead of downloading
    #[arg(long, value_name = "FILE_OR_DIR")]
    pub from: Option<PathBuf>,
    /// Another list of data sets, in the form of datasets/manifest.toml
    #[arg(long, value_name = "FILE")]
    pub manifest: Option<PathBuf>,
    /// Longest wait for the server's next bytes
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..))]
    pub patience: u64,
    /// No progress bar
    #[arg(long)]
    pub quiet: bool,
}

/// Flags of `cargo xtask glyphs`.
#[derive(Debug, Args)]
pub struct GlyphsArgs {
    /// Root of the Debian system whose font packages are drawn
    #[arg(long, value_name = "DIR", default_value = "/")]
    pub fonts: PathBuf,
    /// Folder to write the data set to; its packages.csv names the packages
    #[arg(long, value_name = "DIR", default_value = "datasets/glyphs")]
    pub out: PathBuf,
    /// Folder for pictures of all images of either split, for looking at
    #[arg(long, value_name = "DIR")]
    pub sheet: Option<PathBuf>,
}
