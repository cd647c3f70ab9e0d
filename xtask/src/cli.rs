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
    Reproduce(Box<ReproduceArgs>),
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
    /// The figures to make (all when left out), after one of these words if wanted: `status`, what is finished, in progress and
    /// missing, and how jobs fare; `plan`, the graph of stages; `stage KEY`, one of them; `export snakemake`, a Snakefile; `cancel`, take
    /// back what --executor submitted
    #[arg(value_name = "WORD|FIGURE")]
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
    /// Folder of finished work; for jobs, on a file system that all nodes share [default: OUT/cache]
    #[arg(long, value_name = "DIR")]
    pub store: Option<PathBuf>,
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
    /// Flags of jobs.
    #[command(flatten)]
    pub jobs_of: JobArgs,
}

/// Flags about jobs of a scheduler.
#[derive(Debug, Args)]
#[command(next_help_heading = "Jobs of a scheduler (docs/cluster.md)")]
pub struct JobArgs {
    /// Submit what is missing as jobs, and return
    #[arg(long, value_name = "NAME", value_parser = ["slurm"], requires = "store", conflicts_with_all = ["dry_run", "check", "force"])]
    pub executor: Option<String>,
    /// Partition of the jobs
    #[arg(long, value_name = "NAME", requires = "executor")]
    pub partition: Option<String>,
    /// Account of the jobs
    #[arg(long, value_name = "NAME", requires = "executor")]
    pub account: Option<String>,
    /// Longest time limit of a job (90, 12:00:00, 2-00:00:00): what takes longer goes on in further ones [default: three times the estimate]
    #[arg(long, value_name = "TIME", requires = "executor")]
    pub time: Option<String>,
    /// Memory of every job [default: by its estimate]
    #[arg(long, value_name = "SIZE", requires = "executor")]
    pub mem: Option<String>,
    /// Cores of every job [default: 2, those of the estimates]
    #[arg(long, value_name = "N", requires = "executor", value_parser = clap::value_parser!(u64).range(1..=1024))]
    pub cpus: Option<u64>,
    /// How many jobs of an array run at once
    #[arg(long, value_name = "N", requires = "executor", value_parser = clap::value_parser!(u64).range(1..))]
    pub array_limit: Option<u64>,
    /// One more argument of sbatch; may be given several times
    #[arg(
        long = "sbatch-arg",
        value_name = "ARG",
        requires = "executor",
        allow_hyphen_values = true
    )]
    pub sbatch_args: Vec<String>,
    /// For `plan`: text, or json with nodes, inputs, estimates and commands
    #[arg(long, value_name = "FORMAT", value_parser = ["text", "json"])]
    pub format: Option<String>,
    /// For `plan`: the numbers of machines for which the time is told
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_values_t = [1, 8, 64, 512])]
    pub nodes: Vec<usize>,
    /// For `export snakemake`: the file to write
    #[arg(long, value_name = "FILE", default_value = "Snakefile")]
    pub to: PathBuf,
    /// For jobs: the name of the store that they were submitted with
    #[arg(long, value_name = "NAME", hide = true)]
    pub expect_store: Option<String>,
    /// For jobs: the hash of the program that they were submitted with
    #[arg(long, value_name = "HASH", hide = true)]
    pub expect_program: Option<String>,
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
