//! The whole command line, declared in one place: parsing, help, manual page and completions come from here.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::report::Format;
use crate::settings::Settings;
use mftma_files::array::Layout;

/// What every help text ends with.
pub const EXIT_CODES: &str = "\
Exit codes:
  0    done (also when the reader of the output closed the pipe early)
  1    a layer could not be analysed, or another failure while running
  2    a flag or the --config file is wrong
  3    an input file is missing, damaged or unsuitable
  4    an output file exists and --force was not given
  130  stopped by Ctrl-C, SIGTERM or SIGHUP; what was finished is said and written";

/// The geometry of neural manifolds: capacity, radius, dimension and centre correlation of the classes in a layer.
#[derive(Debug, Parser)]
#[command(name = "mftma", version, after_help = EXIT_CODES, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Measure capacity, radius, dimension and centre correlation, layer by layer
    Analyze(Box<AnalyzeArgs>),
    /// Compare layers: linear CKA, SVCCA and PWCCA between every layer of A and of B
    Compare(CompareArgs),
    /// Capacity found by simulation: how many random features still separate random labellings of the classes
    Capacity(CapacityArgs),
    /// List the arrays of a file: shapes, types, classes, and what an analysis would cost
    Info(InfoArgs),
    /// Print a shell's completion script
    Completions {
        /// The shell.
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
    /// Print the manual page (roff): `mftma man > mftma.1`, or `mftma man | man -l -`
    Man,
}

/// Where results go.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Output")]
pub struct OutputArgs {
    /// Format of the result; without it, by the ending of --output, else a table.
    #[arg(long, value_enum)]
    pub format: Option<Format>,

    /// Write the result here instead of the terminal; `-` is standard output. A device or pipe is written to as it is.
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,

    /// Overwrite files that exist.
    #[arg(long)]
    pub force: bool,
}

/// `mftma analyze`.
#[derive(Debug, Args)]
#[command(
    after_help = EXIT_CODES,
    override_usage = "mftma analyze [OPTIONS] --labels <FILE> <ACTIVATIONS>..."
)]
pub struct AnalyzeArgs {
    /// Files of NumPy (.npy, .npz), safetensors, PyTorch (.pt), HDF5, MATLAB (.mat), Parquet or columns of numbers as text
    /// (.csv, .tsv, .txt), told by their first bytes; zarr folders; folders with one file or one folder per layer; - for
    /// standard input. Every array is a layer; numbered files of one layer are joined where their points add up to the labels.
    #[arg(required = true, value_name = "ACTIVATIONS")]
    pub activations: Vec<PathBuf>,

    /// The class of every point: an array of any of these formats, strings of HDF5, .csv, .tsv, or text with one label a line;
    /// FILE::NAME picks one of several arrays, or a column of a table (which then is no feature). Not needed with a --layout
    /// that tells the classes.
    #[arg(long, value_name = "FILE", allow_hyphen_values = true)]
    pub labels: Option<String>,

    /// Take settings from a TOML file; flags win over it.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Result format and place.
    #[command(flatten)]
    pub output: OutputArgs,

    /// Take over the layers that an earlier run finished, out of its JSON result (also an interrupted one's .partial), and measure the
    /// others. Settings, and the points of every class, must be the same; a layer is known again by its name, file, type and shape, and is measured
    /// again where a file behind it was written to since. How many were taken over is said.
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub resume: Option<PathBuf>,

    /// Rows of table, CSV and Parquet: one per layer, or one per layer and class.
    #[arg(long, value_enum, default_value_t = Rows::Layers, help_heading = "Output")]
    pub rows: Rows,

    /// Draw the measures over layers, with their 95 % intervals over classes: SVG, PNG or PDF, by the name's ending. Several
    /// files or folders of several layers each give a curve each.
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub plot: Option<PathBuf>,

    /// No progress bar.
    #[arg(short, long, help_heading = "Output")]
    pub quiet: bool,

    /// What changes the result.
    #[command(flatten)]
    pub settings: Settings,
}

/// What a row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Rows {
    /// One row per layer.
    Layers,
    /// One row per layer and class.
    Classes,
}

/// Choices of points shared by the smaller commands.
#[derive(Debug, Clone, Args)]
pub struct InputArgs {
    /// Which axis counts the points; all others are flattened into features.
    #[arg(long, value_enum, default_value_t = Layout::PointsByFeatures)]
    pub layout: Layout,

    /// This axis of every array is time, counted from 0: a layer for each of its bins.
    #[arg(long, value_name = "AXIS")]
    pub time_axis: Option<usize>,

    /// Threads to compute on; 0 takes all cores. Changes the time, never the result.
    #[arg(long, default_value_t = 0, value_name = "COUNT")]
    pub threads: usize,

    /// Seed of every random draw.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,

    /// Most GiB that one compressed array may unpack to.
    #[arg(long, default_value_t = 16.0, value_name = "GIB")]
    pub inflate_limit: f64,
}

impl InputArgs {
    /// The limit in bytes. Negative is none at all; NaN too.
    pub fn inflate_bytes(&self) -> u64 {
        (self.inflate_limit * (1u64 << 30) as f64) as u64
    }
}

/// `mftma compare`.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub struct CompareArgs {
    /// First file or folder, of any format that `mftma analyze` reads. Its layers give the weights of PWCCA.
    pub a: PathBuf,

    /// Second file or folder: the same points in the same order. Numbered files of one layer are joined where their points add up
    /// to those of the other side.
    pub b: PathBuf,

    /// Arrays to compare, in this order, of the sides that have them; of a side that has none of them, and without it, all with two or
    /// more axes but columns of labels.
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    pub layers: Vec<String>,

    /// Share of each layer's variance that SVCCA and PWCCA keep. 0.99 is SVCCA's; with 1 and fewer points than features
    /// every correlation is 1 by arithmetic.
    #[arg(long, default_value_t = 0.99, value_name = "SHARE")]
    pub variance: f64,

    /// Use at most this many points, drawn at random. Memory grows as its square, time as its cube.
    #[arg(long, default_value_t = 2000, value_name = "COUNT")]
    pub points: usize,

    /// Also match neurons (Wang et al. 2018): the largest sets of features of both layers of which each lies within this distance,
    /// relative to its length, of the span of the other set. 0 is an exact match, 0.5 a loose one. Wants more points than features;
    /// time grows as points x features x features.
    #[arg(long, value_name = "EPSILON")]
    pub matching: Option<f64>,

    /// Result format and place.
    #[command(flatten)]
    pub output: OutputArgs,

    /// Reading.
    #[command(flatten)]
    pub input: InputArgs,
}

/// `mftma capacity`.
#[derive(Debug, Args)]
#[command(
    after_help = EXIT_CODES,
    override_usage = "mftma capacity --simulate [OPTIONS] --labels <FILE> <ACTIVATIONS>..."
)]
pub struct CapacityArgs {
    /// Find the capacity by simulation (the only way this command knows; the mean-field value is `mftma analyze`'s).
    #[arg(long, required = true)]
    pub simulate: bool,

    /// Files or folders of activations; see `mftma analyze --help`.
    #[arg(required = true, value_name = "ACTIVATIONS")]
    pub activations: Vec<PathBuf>,

    /// The class of every point; see `mftma analyze --help`.
    #[arg(long, value_name = "FILE", allow_hyphen_values = true)]
    pub labels: Option<String>,

    /// Random labellings of the classes per number of features. More make the answer steadier and the time longer.
    #[arg(long, default_value_t = 100, value_name = "COUNT")]
    pub dichotomies: usize,

    /// Arrays to read, in this order; without it, all with two or more axes.
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    pub layers: Vec<String>,

    /// Use at most this many points of each class, drawn at random.
    #[arg(long, value_name = "COUNT")]
    pub points: Option<usize>,

    /// Use this many classes, drawn at random.
    #[arg(long, value_name = "COUNT")]
    pub classes: Option<usize>,

    /// Use these classes only, by name.
    #[arg(
        long,
        value_delimiter = ',',
        value_name = "NAMES",
        allow_hyphen_values = true
    )]
    pub only_classes: Vec<String>,

    /// Leave these classes out, by name: such as the mark of points without a label.
    #[arg(
        long,
        value_delimiter = ',',
        value_name = "NAMES",
        allow_hyphen_values = true
    )]
    pub leave_out: Vec<String>,

    /// Result format and place.
    #[command(flatten)]
    pub output: OutputArgs,

    /// Reading.
    #[command(flatten)]
    pub input: InputArgs,
}

/// `mftma info`.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub struct InfoArgs {
    /// A file or folder, of any format that `mftma analyze` reads; - for standard input.
    pub file: PathBuf,

    /// Also read labels and count the classes.
    #[arg(long, value_name = "FILE", allow_hyphen_values = true)]
    pub labels: Option<String>,

    /// Reading.
    #[command(flatten)]
    pub input: InputArgs,
}
