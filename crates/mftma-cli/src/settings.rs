//! Settings of an analysis, each defined once: the flag, its help, the key in `--config` and the record in the output all
//! come from one field.

use std::collections::{BTreeMap, BTreeSet};

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Args, FromArgMatches};
#[cfg(feature = "program")]
use mftma::joint::{self, InactiveManifolds, JointSettings, Labels, ManifoldsPerDraw};
#[cfg(feature = "program")]
use mftma::{AnalysisSettings, Conventions, RankRule, Vectors};
use serde::{Deserialize, Serialize};

use mftma_files::array::Layout;
#[cfg(feature = "program")]
use mftma_files::source::Wanted;

/// Which rules to follow where the reference Python package and this engine part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Convention {
    /// This engine's: reproducible choice of the removed directions (none is allowed), D counts the true rank,
    /// every manifold weighs the same in the global mean.
    Ours,
    /// The reference package's: random restarts, at least one direction removed, D = min(N, M), every point weighs the
    /// same. For comparing with published numbers.
    Reference,
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Measures {
    /// Capacity, radius and dimension of each class by itself, after directions common to the centres are removed.
    MeanField,
    /// Capacity of all classes together, with effective dimension, radius and utility (GLUE): needs no choice of common
    /// directions.
    Joint,
    /// Both, the joint ones first.
    Both,
}

impl Measures {
    /// Whether the joint measures are among them.
    pub fn joint(self) -> bool {
        self != Self::MeanField
    }

    /// Whether the mean-field measures are among them.
    pub fn mean_field(self) -> bool {
        self != Self::Joint
    }
}

/// How the joint measures label the classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dichotomies {
    /// Every class +1 or -1 with equal chance.
    Random,
    /// Half of the classes +1.
    Balanced,
    /// One class against the rest.
    OneAgainstRest,
    /// Two classes, without the others.
    Pairs,
}

/// What is subtracted from every point before the joint measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Centring {
    /// The mean of the classes' means, as the mean-field measures do.
    ByClass,
    /// The mean of all points.
    ByPoint,
    /// Nothing, as the papers on the joint capacity do.
    None,
}

/// How a class that no support vector belongs to counts in the joint measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Inactive {
    /// As an anchor at the origin.
    Zero,
    /// Not at all.
    Active,
}

/// Everything that can change a result of `mftma analyze`.
#[derive(Debug, Clone, PartialEq, Args, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[command(next_help_heading = "Settings (also keys of --config, under the same names)")]
pub struct Settings {
    /// What to measure. The joint measures need matrices of all points by all points: `both` leaves them out above 10,000 points, and
    /// says so; `joint` takes 30,000 at most. `mean-field` alone is the quick way.
    #[arg(long, value_enum, default_value_t = Measures::Both)]
    pub measures: Measures,

    /// Which axis counts the points; all others are flattened into features. The two layouts that tell the classes take
    /// no --labels.
    #[arg(long, value_enum, default_value_t = Layout::PointsByFeatures)]
    pub layout: Layout,

    /// This axis of every array is time, counted from 0: a layer for each of its bins, named `LAYER [bin 0]` and so on. The
    /// axes that are left are as --layout says.
    #[arg(long, value_name = "AXIS")]
    pub time_axis: Option<usize>,

    /// Arrays to read, in this order; without it, all with two or more axes.
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    pub layers: Vec<String>,

    /// Gaussian vectors per manifold (n_t). More make every measure steadier: the error falls as 1/sqrt(n_t), the time
    /// grows with n_t.
    #[arg(long, default_value_t = 200, value_name = "COUNT")]
    pub n_t: usize,

    /// Draw vectors until the relative standard error of each manifold's 1/capacity is below this, instead of a fixed
    /// --n-t. Smaller is slower: halving it takes four times as many.
    #[arg(long, value_name = "FRACTION")]
    pub target_error: Option<f64>,

    /// With --target-error, the most vectors that one manifold gets.
    #[arg(long, default_value_t = 10_000, value_name = "COUNT")]
    pub max_n_t: usize,

    /// Margin of the classification (kappa), relative to the centre's norm. A larger margin lowers capacity and makes
    /// more points matter.
    #[arg(
        id = "kappa",
        long = "kappa",
        default_value_t = 0.0,
        allow_negative_numbers = true
    )]
    #[serde(rename = "kappa")]
    pub margin: f64,

    /// Use at most this many points of each class, drawn at random. Fewer are faster and give lower dimension and higher
    /// capacity: compare only results of equal number.
    #[arg(long, value_name = "COUNT")]
    pub points: Option<usize>,

    /// Use this many classes, drawn at random. Fewer make the means less steady.
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

    /// Leave these classes out, by name: such as the mark of points without a label (--leave-out -1, --leave-out NA).
    #[arg(
        long,
        value_delimiter = ',',
        value_name = "NAMES",
        allow_hyphen_values = true
    )]
    pub leave_out: Vec<String>,

    /// Seed of every random draw. The same seed gives the same output at any number of threads.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,

    /// Threads to compute on; 0 takes all cores. Changes the time, never the result.
    #[arg(long, default_value_t = 0, value_name = "COUNT")]
    pub threads: usize,

    /// Whose rules to follow where they differ. It changes how the directions common to all centres are removed and what
    /// dimension counts.
    #[arg(long, value_enum, default_value_t = Convention::Ours)]
    pub convention: Convention,

    /// Remove exactly this many directions common to the centres (K), instead of as many as the rule finds. 0 removes none.
    #[arg(long, value_name = "COUNT", conflicts_with = "max_rank")]
    pub rank: Option<usize>,

    /// Remove at most this many directions common to the centres.
    #[arg(long, value_name = "COUNT")]
    pub max_rank: Option<usize>,

    /// Labellings of the classes that the joint capacity is an average over.
    #[arg(long, value_enum, default_value_t = Dichotomies::Random)]
    pub dichotomies: Dichotomies,

    /// Classes that take part in each labelling of the joint measures, drawn at random each time. When left out, all; or half of them, a
    /// quarter, ... where the features are too few to separate more, and a note says how many.
    #[arg(long, value_name = "COUNT")]
    pub classes_per_draw: Option<usize>,

    /// What to subtract from every point before the joint measures.
    #[arg(long, value_enum, default_value_t = Centring::ByClass)]
    pub centring: Centring,

    /// How a class without a support vector counts in the joint dimension, radius and utility; the papers do not say.
    #[arg(long, value_enum, default_value_t = Inactive::Zero)]
    pub inactive: Inactive,

    /// Margin of the joint capacity, at least 0, in units of the activations (--kappa is in units of the centres' norms).
    #[arg(
        id = "joint-kappa",
        long = "joint-kappa",
        default_value_t = 0.0,
        value_name = "MARGIN",
        allow_negative_numbers = true
    )]
    #[serde(rename = "joint-kappa")]
    pub joint_margin: f64,

    /// First project every point to this many random directions (0: none). It blurs distances by about 1/sqrt(COUNT).
    /// The reference does so above 5,000 features to save memory; here it is needed only for comparing with it.
    #[arg(long, default_value_t = 0, value_name = "COUNT")]
    pub projection: usize,

    /// Random restarts of the search for common directions of the centres.
    #[arg(long, default_value_t = 10, value_name = "COUNT")]
    pub restarts: usize,

    /// Resamples of the classes for the 95 % intervals of the means; 0 for none.
    #[arg(long, default_value_t = 1000, value_name = "COUNT")]
    pub resamples: usize,

    /// Also give the participation ratio, and the number of directions that hold this share of the variance (0: leave
    /// both out). Needs a matrix of all points by all points and its eigenvalues.
    #[arg(long, default_value_t = 0.0, num_args = 0..=1, default_missing_value = "0.9", value_name = "SHARE")]
    pub spectrum: f64,

    /// Most GiB that one compressed array may unpack to. Guards against files that unpack without end; uncompressed
    /// arrays have no limit.
    #[arg(long, default_value_t = 16.0, value_name = "GIB")]
    pub inflate_limit: f64,
}

/// A setting that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file of `--config` is not valid.
    #[error("{file}: {message}")]
    Config {
        /// The file.
        file: String,
        /// What is wrong, and where.
        message: String,
    },
    /// Flags that do not go together, or one that is missing.
    #[error("{problem}\n  try: {remedy}")]
    Flags {
        /// What is wrong.
        problem: String,
        /// What to type or change.
        remedy: String,
    },
    /// A value is out of range.
    #[error("--{name} is {value}, but must be {requirement}")]
    Range {
        /// The flag's name.
        name: &'static str,
        /// What was given.
        value: String,
        /// What is allowed.
        requirement: &'static str,
    },
}

/// Checks how many points of each class, and how many classes, are asked for.
pub fn check_choice(points: Option<usize>, classes: Option<usize>) -> Result<(), SettingsError> {
    let (name, value, requirement) = match (points, classes) {
        (Some(points @ 0), _) => ("points", points, "at least 1"),
        (_, Some(classes @ (0 | 1))) => ("classes", classes, "at least 2"),
        _ => return Ok(()),
    };
    Err(SettingsError::Range {
        name,
        value: value.to_string(),
        requirement,
    })
}

/// Says why a value of `--config` is of the wrong kind, and which would do: one of its choices; the same without quotation marks, or as a list; what
/// stood there `before`, unasked; or one made up. `all` is every setting.
fn misfit(
    argument: &Arg,
    key: &str,
    value: &toml::Value,
    before: Option<toml::Value>,
    problem: &str,
    mut all: toml::Table,
) -> String {
    let choices = argument.get_possible_values();
    if !choices.is_empty() {
        let choices: Vec<String> = choices
            .iter()
            .map(|c| format!("{:?}", c.get_name()))
            .collect();
        return format!(
            "{key} = {value} is none of its values\n  try: {key} = {}",
            choices.join(" or ")
        );
    }
    let read = |text: &str| {
        let table: Option<toml::Table> = toml::from_str(&format!("{key} = {text}")).ok();
        table.and_then(|mut table| table.remove(key))
    };
    let bare = value.as_str().and_then(read);
    let listed = match value {
        toml::Value::String(_) => read(&format!("[{value}]")),
        toml::Value::Integer(n) => read(&format!("[\"{n}\"]")),
        _ => None,
    };
    // An empty list would say nothing.
    let before = before.filter(|before| !before.is_array());
    let made_up = ["[\"a\", \"b\"]", "10", "0.5"].into_iter().filter_map(read);
    let all_of_them = bare.into_iter().chain(listed).chain(before).chain(made_up);
    let fits = all_of_them.into_iter().find(|other| {
        all.insert(key.to_owned(), other.clone());
        let settings = all.clone().try_into::<Settings>();
        settings.is_ok_and(|settings| settings.validate().is_ok())
    });
    let remedy = fits.map_or_else(String::new, |fits| format!("\n  try: {key} = {fits}"));
    format!("{key} = {value}: {problem}{remedy}")
}

impl Settings {
    /// Fills in from a TOML text what was not given as a flag. Keys are the flags' names.
    pub fn merge_config(
        self,
        matches: &ArgMatches,
        file: &str,
        text: &str,
    ) -> Result<Self, SettingsError> {
        let from_flags: BTreeSet<String> = matches
            .ids()
            .filter(|id| matches.value_source(id.as_str()) == Some(ValueSource::CommandLine))
            .map(|id| id.as_str().replace('_', "-"))
            .collect();
        let bad = |message: String| SettingsError::Config {
            file: file.to_owned(),
            message,
        };
        let given: toml::Table = toml::from_str(text).map_err(|e| bad(e.to_string()))?;
        let mut all = toml::Table::try_from(&self).map_err(|e| bad(e.to_string()))?;
        let flags = Self::augment_args(clap::Command::new("config"));
        let known: BTreeMap<String, &Arg> = flags
            .get_arguments()
            .map(|argument| (argument.get_id().as_str().replace('_', "-"), argument))
            .collect();
        let mut taken = Vec::new();
        for (key, value) in given {
            let Some(argument) = known.get(&key) else {
                let known: Vec<&str> = known.keys().map(String::as_str).collect();
                return Err(bad(format!(
                    "{key}: no setting of that name\n  try: one of {} (flags of files and output are not settings)",
                    known.join(", ")
                )));
            };
            if from_flags.contains(&key) {
                continue;
            }
            // "points = 50.0" and "kappa = 1" are what people write.
            let value = match (all.get(&key), value) {
                (Some(toml::Value::Float(_)), toml::Value::Integer(n)) => {
                    toml::Value::Float(n as f64)
                }
                // Names that are numbers: only-classes = [1, 2].
                (Some(toml::Value::Array(_)), toml::Value::Array(items)) => {
                    let name = |item| match item {
                        toml::Value::Integer(n) => toml::Value::String(n.to_string()),
                        other => other,
                    };
                    toml::Value::Array(items.into_iter().map(name).collect())
                }
                (_, value) => value,
            };
            let before = all.insert(key.clone(), value.clone());
            // One key at a time, because the error does not say which it was.
            if let Err(e) = all.clone().try_into::<Self>() {
                let problem = e.message().trim_end();
                return Err(bad(misfit(argument, &key, &value, before, problem, all)));
            }
            taken.push(key);
        }
        let merged: Self = all
            .try_into()
            .map_err(|e: toml::de::Error| bad(e.message().to_owned()))?;
        // Only here it is known which values are the file's; the others are told as flags.
        let of_file = |words: &str| taken.iter().any(|key| words.contains(key.as_str()));
        match merged.validate() {
            Err(SettingsError::Range {
                name,
                value,
                requirement,
            }) if of_file(name) => {
                Err(bad(format!("{name} is {value}, but must be {requirement}")))
            }
            Err(SettingsError::Flags { problem, remedy }) if of_file(&problem) => {
                Err(bad(format!("{problem}\n  try: {remedy}")))
            }
            _ => Ok(merged),
        }
    }

    /// Settings from a TOML text alone, the rest at their defaults.
    pub fn from_config(text: &str) -> Result<Self, SettingsError> {
        let matches = Self::augment_args(clap::Command::new("config"))
            .no_binary_name(true)
            .get_matches_from(std::iter::empty::<String>());
        let bad = |message: String| SettingsError::Config {
            file: "config".to_owned(),
            message,
        };
        Self::from_arg_matches(&matches)
            .map_err(|e| bad(e.to_string()))?
            .merge_config(&matches, "config", text)
    }

    /// Checks the ranges that need no data.
    pub fn validate(&self) -> Result<(), SettingsError> {
        let range = |name, value: String, requirement| {
            Err(SettingsError::Range {
                name,
                value,
                requirement,
            })
        };
        if let Some(target) = self.target_error
            && !(target > 0.0 && target < 1.0)
        {
            return range("target-error", target.to_string(), "above 0 and below 1");
        }
        check_choice(self.points, self.classes)?;
        if let Some(count @ (0 | 1)) = self.classes_per_draw {
            return range("classes-per-draw", count.to_string(), "at least 2");
        }
        if self.n_t == 0 {
            return range("n-t", "0".into(), "at least 1");
        }
        if self.max_n_t == 0 {
            return range("max-n-t", "0".into(), "at least 1");
        }
        if !self.margin.is_finite() {
            return range("kappa", self.margin.to_string(), "a finite number");
        }
        if !(self.joint_margin >= 0.0 && self.joint_margin.is_finite()) {
            let value = self.joint_margin.to_string();
            return range("joint-kappa", value, "at least 0 and finite");
        }
        if !(0.0..=1.0).contains(&self.spectrum) {
            return range("spectrum", self.spectrum.to_string(), "between 0 and 1");
        }
        if self.max_rank.is_some() && self.rank.is_some() {
            return Err(SettingsError::Flags {
                problem: "rank and max-rank are both given".into(),
                remedy: "one of them".into(),
            });
        }
        if self.max_rank.is_some() && self.convention == Convention::Reference {
            return Err(SettingsError::Flags {
                problem: "--max-rank: the reference's rule knows no cap".into(),
                remedy: "--rank, or --convention ours".into(),
            });
        }
        if self.threads > 4096 {
            return range("threads", self.threads.to_string(), "at most 4096");
        }
        if !(self.inflate_limit > 0.0 && self.inflate_limit < 1e9) {
            return range("inflate-limit", self.inflate_limit.to_string(), "above 0");
        }
        Ok(())
    }

    /// [`Settings::inflate_limit`] in bytes.
    pub fn inflate_bytes(&self) -> u64 {
        (self.inflate_limit * (1u64 << 30) as f64) as u64
    }

    /// Which points and classes to use.
    #[cfg(feature = "program")]
    pub fn wanted(&self) -> Wanted<'_> {
        Wanted {
            points: self.points,
            classes: self.classes,
            only_classes: &self.only_classes,
            leave_out: &self.leave_out,
            seed: self.seed,
        }
    }

    /// The engine's settings of the joint measures, where those are asked for.
    #[cfg(feature = "program")]
    pub fn joint(&self) -> Option<JointSettings> {
        if !self.measures.joint() {
            return None;
        }
        let settings = JointSettings::default()
            .margin(self.joint_margin)
            .seed(self.seed)
            .labels(match self.dichotomies {
                Dichotomies::Random => Labels::Random,
                Dichotomies::Balanced => Labels::Balanced,
                Dichotomies::OneAgainstRest => Labels::OneAgainstRest,
                Dichotomies::Pairs => Labels::Pairs,
            })
            .centring(match self.centring {
                Centring::ByClass => joint::Centring::ByManifold,
                Centring::ByPoint => joint::Centring::ByPoint,
                Centring::None => joint::Centring::None,
            })
            .manifolds_per_draw(match self.classes_per_draw {
                Some(count) => ManifoldsPerDraw::Count(count),
                None => ManifoldsPerDraw::Separable,
            })
            .inactive(match self.inactive {
                Inactive::Zero => InactiveManifolds::Zero,
                Inactive::Active => InactiveManifolds::Active,
            })
            .resamples(self.resamples);
        Some(match self.target_error {
            None => settings.vectors(self.n_t),
            Some(error) => settings.until_relative_error(error, self.max_n_t),
        })
    }

    /// The engine's part of these settings, which every result records too.
    #[cfg(feature = "program")]
    pub fn engine(&self) -> AnalysisSettings {
        let conventions = match self.convention {
            Convention::Ours => Conventions::ours(),
            Convention::Reference => Conventions::reference(),
        };
        let conventions = match (self.rank, self.max_rank) {
            (Some(rank), _) => conventions.rank_rule(RankRule::Fixed { rank }),
            (None, Some(rank)) => conventions.rank_rule(RankRule::AtMost { rank }),
            (None, None) => conventions,
        };
        let settings = AnalysisSettings::default()
            .margin(self.margin)
            .sampling(match self.target_error {
                None => Vectors::Count(self.n_t),
                Some(relative_error) => Vectors::UntilRelativeError {
                    relative_error,
                    cap: self.max_n_t,
                },
            })
            .seed(self.seed)
            .conventions(conventions)
            .restarts(self.restarts)
            .resamples(self.resamples);
        if self.spectrum > 0.0 {
            settings.spectrum(self.spectrum)
        } else {
            settings
        }
    }
}
