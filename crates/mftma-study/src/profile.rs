//! Profiles: the settings of a whole reproduction, in one readable file.

mod gradients;
mod memorization;
mod supplement;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use mftma_data::PermutationScheme;
use mftma_train::{Architecture, Place, Recipe};
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

pub use gradients::GradientSettings;
pub use memorization::{
    ChannelSettings, ComplexitySettings, ControlSettings, ExampleSettings, LearningSettings,
    MemorizationSettings, ResetSettings,
};
pub use supplement::{
    JointCapacitySettings, LinearSettings, SensitivitySettings, SimilaritySettings,
    SupplementSettings, TinyImageNetSettings,
};

/// The profiles that come with the project: name and text.
pub const BUILT_IN: [(&str, &str); 6] = [
    ("smoke", include_str!("../profiles/smoke.toml")),
    ("quick", include_str!("../profiles/quick.toml")),
    ("laptop", include_str!("../profiles/laptop.toml")),
    ("record", include_str!("../profiles/record.toml")),
    ("record64", include_str!("../profiles/record64.toml")),
    ("paper", include_str!("../profiles/paper.toml")),
];

/// Settings of a reproduction.
///
/// In the file the main experiment's tables stand at the top: `[data]`, `[network]`, `[training]`, `[geometry]`. The other experiments
/// hold the same tables (`[supplement.network]`), and what a file does not say there is as in the main experiment; in
/// `[supplement.tiny_imagenet]`, as in the supplement.
///
/// A new setting gets a default, by `#[serde(default)]`, so that it is written in one place and touches no profile.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// One line for people.
    pub description: String,
    /// Seed of the first run; run r (from 0) has seed `seed + r`.
    pub seed: u64,
    /// Number of independent runs.
    pub runs: u64,
    /// The main experiment.
    pub experiment: ExperimentSettings,
    /// Figure 1: capacity by simulation.
    pub simulation: SimulationSettings,
    /// Figure 2, panel b: features drawn in two dimensions.
    pub umap: UmapSettings,
    /// Figure 4, panels a and b.
    pub rewinding: RewindingSettings,
    /// Figure 4, panels c to e.
    pub double_descent: DoubleDescentSettings,
    /// Figure 5.
    pub gradients: GradientSettings,
    /// Figures S1 to S10.
    pub supplement: SupplementSettings,
}

/// The settings of one experiment: which images, which network, how it is trained and measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExperimentSettings {
    /// Images and labels.
    pub data: DataSettings,
    /// The network.
    pub network: NetworkSettings,
    /// How it is trained; what is left out is as in [`Recipe`].
    #[serde(default)]
    pub training: Recipe,
    /// The analysis of its layers.
    pub geometry: GeometrySettings,
}

/// Which images, and how many labels are noise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataSettings {
    /// Name of the data set.
    pub dataset: String,
    /// Classes at most: a set that has fewer gives all.
    pub classes: usize,
    /// Training images of a class at most.
    pub train_per_class: usize,
    /// Test images of a class at most.
    pub test_per_class: usize,
    /// Fraction of training examples whose labels are permuted.
    pub permuted_fraction: f64,
    /// How they are permuted; among themselves where left out \[P\].
    #[serde(default)]
    pub scheme: PermutationScheme,
}

/// The network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkSettings {
    /// Architecture.
    pub architecture: Architecture,
    /// Base channel count.
    pub width: usize,
    /// Whether convolutions are followed by batch normalisation.
    pub batch_norm: bool,
}

/// Which layers' manifolds are measured when, and how finely.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GeometrySettings {
    /// Epochs that are measured; the last one is always added.
    pub epochs: Vec<usize>,
    /// P, manifolds; at most the number of classes.
    pub manifolds: usize,
    /// M, points of a manifold.
    pub points: usize,
    /// n_t, Gaussian vectors of a manifold.
    pub gaussian_vectors: usize,
    /// κ, margin; 0 where left out \[S\].
    #[serde(default)]
    pub margin: f64,
    /// Where in a layer; after its non-linearity where left out \[D\]: there the published values lie nearer (see `docs/search.md`).
    #[serde(default = "activation")]
    pub place: Place,
}

fn activation() -> Place {
    Place::Activation
}

/// Capacity by simulation beside mean-field capacity, on a few layers of the trained network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SimulationSettings {
    /// Layers whose manifolds are simulated, by name.
    pub layers: Vec<String>,
    /// P, manifolds; at most the number of classes.
    pub manifolds: usize,
    /// M, points of a manifold.
    pub points: usize,
    /// Pairs of a projection and a dichotomy.
    pub repetitions: usize,
}

/// Two-dimensional pictures of features by UMAP.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UmapSettings {
    /// The layers that are drawn, by name: an early and a late one.
    pub layers: Vec<String>,
    /// Classes.
    pub classes: usize,
    /// Examples of a class in each group.
    pub points: usize,
    /// Nearest neighbours of an example that the picture is to keep together.
    pub neighbours: usize,
    /// Least distance between points of the picture.
    pub min_distance: f64,
    /// Epochs of its optimisation.
    pub epochs: usize,
}

/// Rewinding of single layers and of the last k layers to each epoch of `geometry.epochs`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RewindingSettings {
    /// Where the running statistics of normalisations come from.
    pub statistics: RewindingStatistics,
    /// Training images on which statistics are measured anew, where they are.
    pub statistics_examples: usize,
    /// Examples at most of each group whose accuracy is taken.
    pub examples: usize,
}

/// Where the running statistics of normalisations come from after rewinding; see [`mftma_train::RewoundStatistics`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RewindingStatistics {
    /// Of the rewound layers from the early epoch, of the rest from the end.
    Rewound,
    /// All from the end.
    Kept,
    /// All measured anew on training images.
    Reestimated,
}

/// A sweep over widths with label noise, across the interpolation threshold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DoubleDescentSettings {
    /// Base widths, ascending.
    pub widths: Vec<usize>,
    /// Independent runs of each width.
    pub runs: u64,
    /// The layer whose manifolds are measured at the end, by name.
    pub layer: String,
    /// The networks, but for their widths.
    pub experiment: ExperimentSettings,
}

impl Profile {
    /// The profile called `name`: a built-in one, or a file.
    ///
    /// Returns its short name too, which names the default results folder.
    pub fn load(name: &str) -> Result<(String, Self)> {
        Self::load_with(name, &[])
    }

    /// The same with some values changed, by their keys: `("data.classes", 6.into())`. Experiments that take a value from the main one
    /// take the new one.
    pub fn load_with(name: &str, changes: &[(&str, Value)]) -> Result<(String, Self)> {
        if let Some((_, text)) = BUILT_IN.iter().find(|(known, _)| *known == name) {
            return Ok((name.to_owned(), Self::parse(text, name, changes)?));
        }
        let path = Path::new(name);
        if path.extension().is_none_or(|extension| extension != "toml") {
            let known: Vec<&str> = BUILT_IN.iter().map(|(known, _)| *known).collect();
            bail!(
                "no profile is called {name:?}: give one of {}, or a file whose name ends in .toml",
                known.join(", ")
            );
        }
        let text = fs::read_to_string(path).with_context(|| {
            format!("cannot read the profile {name}; give the path of an existing file")
        })?;
        let short = path.file_stem().map_or_else(
            || "custom".to_owned(),
            |stem| stem.to_string_lossy().into_owned(),
        );
        Ok((short, Self::parse(&text, name, changes)?))
    }

    fn parse(text: &str, name: &str, changes: &[(&str, Value)]) -> Result<Self> {
        let profile = || -> Result<Self> {
            let mut table = whole(toml::from_str(text)?)?;
            for (key, value) in changes {
                set(&mut table, key, value)?;
            }
            gather_experiments(&mut table)?;
            // First the experiment that others take values from, so that an error names the value where it stands.
            if let Some(main) = table.get(GATHERED).cloned() {
                ExperimentSettings::deserialize(main)
                    .map_err(|error| in_words_of_the_file(&error))?;
            }
            let profile = Self::deserialize(table).map_err(|error| in_words_of_the_file(&error))?;
            profile.check()?;
            Ok(profile)
        };
        profile().with_context(|| {
            format!("profile {name} is not valid; compare it with crates/mftma-study/profiles/quick.toml")
        })
    }

    /// Capacity by simulation as figure S8 compares it: that of figure 1, with the manifolds of `[supplement.joint]` where it names some.
    pub fn compared(&self) -> SimulationSettings {
        let joint = &self.supplement.joint;
        let simulation = &self.simulation;
        SimulationSettings {
            manifolds: joint.manifolds.unwrap_or(simulation.manifolds),
            points: joint.points.unwrap_or(simulation.points),
            ..simulation.clone()
        }
    }

    /// The layers of figure S8.
    pub fn compared_layers(&self) -> &[String] {
        match self.supplement.joint.layers.as_slice() {
            [] => &self.simulation.layers,
            layers => layers,
        }
    }

    /// Every experiment's settings, with what stands before their keys.
    fn experiments(&self) -> [(&'static str, &ExperimentSettings); 5] {
        let supplement = &self.supplement;
        [
            ("", &self.experiment),
            ("double_descent.", &self.double_descent.experiment),
            ("gradients.", &self.gradients.experiment),
            ("supplement.", &supplement.experiment),
            (
                "supplement.tiny_imagenet.",
                &supplement.tiny_imagenet.experiment,
            ),
        ]
    }

    /// Checks what the libraries cannot: they check their own settings.
    pub fn check(&self) -> Result<()> {
        if self.runs == 0 {
            bail!("runs is 0: give at least 1");
        }
        for (prefix, settings) in self.experiments() {
            // No class leaves the figure out.
            if prefix != "supplement.tiny_imagenet." || settings.data.classes > 0 {
                settings.check(prefix)?;
            }
        }
        let supplement = &self.supplement;
        for &fraction in &supplement.permuted_fractions {
            check_fraction("supplement.permuted_fractions", fraction)?;
        }
        for &manifolds in &supplement.sensitivity.manifolds {
            check_compared("supplement.sensitivity.manifolds", manifolds)?;
        }
        supplement
            .joint
            .check(self.experiment.training.stop.max_epochs)
    }
}

impl ExperimentSettings {
    fn check(&self, prefix: &str) -> Result<()> {
        let key = |name: &str| format!("{prefix}{name}");
        check_fraction(&key("data.permuted_fraction"), self.data.permuted_fraction)?;
        check_compared(&key("data.classes"), self.data.classes)?;
        check_compared(&key("geometry.manifolds"), self.geometry.manifolds)?;
        self.training.check().with_context(|| key("training"))?;
        let last = self.training.stop.max_epochs;
        match self.geometry.epochs.iter().find(|&&epoch| epoch > last) {
            Some(epoch) => bail!(
                "{} holds {epoch}, but training ends at epoch {last} ({})",
                key("geometry.epochs"),
                key("training.stop.max_epochs")
            ),
            None => Ok(()),
        }
    }
}

impl JointCapacitySettings {
    fn check(&self, last: usize) -> Result<()> {
        for (name, epochs) in [
            ("epochs", &self.epochs),
            ("simulated_epochs", &self.simulated_epochs),
        ] {
            if let Some(epoch) = epochs.iter().find(|&&epoch| epoch > last) {
                bail!(
                    "supplement.joint.{name} holds {epoch}, but training ends at epoch {last} (training.stop.max_epochs)"
                );
            }
        }
        ensure!(
            !self.groups.is_empty(),
            "supplement.joint.groups is empty: give at least one group, or leave it out for all four"
        );
        if let Some(manifolds) = self.manifolds {
            check_compared("supplement.joint.manifolds", manifolds)?;
        }
        Ok(())
    }
}

fn check_fraction(key: &str, value: f64) -> Result<()> {
    ensure!(
        (0.0..=1.0).contains(&value),
        "{key} is {value}: give numbers from 0 to 1"
    );
    Ok(())
}

fn check_compared(key: &str, value: usize) -> Result<()> {
    ensure!(
        value >= 2,
        "{key} is {value}: give at least 2, manifolds are compared"
    );
    Ok(())
}

/// Names the built-in profile that another one changes.
const BASE: &str = "base";

/// The tables that make up an experiment.
const PARTS: [&str; 4] = ["data", "network", "training", "geometry"];
/// Under which name they are gathered.
const GATHERED: &str = "experiment";
/// Tables that hold an experiment like that of another table; the first is the main experiment's. A table stands after the one it is like.
const EXPERIMENTS: [(&[&str], &[&str]); 5] = [
    (&[], &[]),
    (&["double_descent"], &[]),
    (&["gradients"], &[]),
    (&["supplement"], &[]),
    (&["supplement", "tiny_imagenet"], &["supplement"]),
];

/// Makes every experiment whole: gathers its tables under one name, and adds what stands only in the one that it is like.
fn gather_experiments(table: &mut Table) -> Result<()> {
    for (path, like) in EXPERIMENTS {
        let like = match inner(table, like)?.get(GATHERED) {
            Some(Value::Table(like)) => like.clone(),
            _ => Table::new(),
        };
        let here = inner(table, path)?;
        let mut whole = Table::new();
        for part in PARTS {
            let mut settings = match like.get(part) {
                Some(Value::Table(settings)) => settings.clone(),
                _ => Table::new(),
            };
            match here.remove(part) {
                Some(Value::Table(own)) => {
                    refuse_old_names(&[path, &[part]].concat().join("."), &own)?;
                    overlay(&mut settings, own);
                }
                Some(_) => bail!("{} is no table", [path, &[part]].concat().join(".")),
                None => {}
            }
            whole.insert(part.to_owned(), Value::Table(settings));
        }
        here.insert(GATHERED.to_owned(), Value::Table(whole));
    }
    Ok(())
}

/// A profile with what it leaves out as in the built-in one that its `base` names, if any.
fn whole(mut own: Table) -> Result<Table> {
    let Some(base) = own.remove(BASE) else {
        return Ok(own);
    };
    let known = |name: &str| BUILT_IN.iter().find(|(known, _)| *known == name);
    let Some((_, text)) = base.as_str().and_then(known) else {
        let names: Vec<&str> = BUILT_IN.iter().map(|(known, _)| *known).collect();
        bail!("{BASE} is {base}: give one of {}", names.join(", "));
    };
    let mut table = whole(toml::from_str(text)?)?;
    overlay(&mut table, own);
    Ok(table)
}

/// Puts `own` over `settings`, table by table. A table that names its kind stands for itself: the settings of another kind are none
/// of its own.
fn overlay(settings: &mut Table, own: Table) {
    for (key, value) in own {
        match (settings.get_mut(&key), value) {
            (Some(Value::Table(below)), Value::Table(above)) if !above.contains_key("kind") => {
                overlay(below, above);
            }
            (_, value) => {
                settings.insert(key, value);
            }
        }
    }
}

/// Settings that profiles once called otherwise than the code does, and what to write now.
const OLD_NAMES: [(&str, &str, &str); 3] = [
    ("training", "max_epochs", "stop.max_epochs = {}"),
    ("training", "stop_above", "stop.training_accuracy = {}"),
    (
        "training",
        "momentum",
        "optimizer = { kind = \"sgd\", momentum = {} }",
    ),
];

fn refuse_old_names(path: &str, table: &Table) -> Result<()> {
    for (part, old, new) in OLD_NAMES {
        if let (true, Some(value)) = (path.ends_with(part), table.get(old)) {
            bail!(
                "{path}.{old} has another name now: write {} in [{path}]",
                new.replace("{}", &value.to_string())
            );
        }
    }
    Ok(())
}

/// The table at a path, made where it is not there.
fn inner<'a>(mut table: &'a mut Table, path: &[&str]) -> Result<&'a mut Table> {
    for name in path {
        let next = table
            .entry(*name)
            .or_insert_with(|| Value::Table(Table::new()));
        table = next
            .as_table_mut()
            .with_context(|| format!("{} is no table", path.join(".")))?;
    }
    Ok(table)
}

/// Sets the value of a key with dots.
fn set(table: &mut Table, key: &str, value: &Value) -> Result<()> {
    let mut path: Vec<&str> = key.split('.').collect();
    let name = path.pop().unwrap_or_default();
    inner(table, &path)?.insert(name.to_owned(), value.clone());
    Ok(())
}

/// An error with the keys as they stand in the file: not gathered.
fn in_words_of_the_file(error: &toml::de::Error) -> anyhow::Error {
    let text = error.to_string().replace(&format!("{GATHERED}."), "");
    anyhow::Error::msg(text.trim_end().replace('\n', " "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use mftma_train::{Initialization, OptimizerSettings};

    #[test]
    fn every_built_in_profile_is_valid() {
        for (name, _) in BUILT_IN {
            Profile::load(name).unwrap();
        }
    }

    #[test]
    fn a_profile_may_change_another() {
        let own = |text: &str| Profile::parse(text, "x", &[]);
        let (_, laptop) = Profile::load("laptop").unwrap();
        let same = own("base = \"laptop\"").unwrap();
        assert_eq!(same, laptop);
        let wide = own("base = \"laptop\"\nseed = 5\n[network]\nwidth = 64").unwrap();
        assert_eq!((wide.seed, wide.experiment.network.width), (5, 64));
        assert_eq!(wide.experiment.data, laptop.experiment.data);
        let error = format!("{:#}", own("base = \"enormous\"").unwrap_err());
        assert!(
            error.contains("base is \"enormous\": give one of smoke"),
            "{error}"
        );
    }

    #[test]
    fn every_value_names_its_source() {
        for (name, text) in BUILT_IN {
            for line in text.lines() {
                let line = line.trim();
                if line.is_empty() || line.starts_with(['#', '[']) {
                    continue;
                }
                let source = line
                    .split_once('#')
                    .map_or("", |(_, comment)| comment.trim());
                assert!(
                    ["[P]", "[S]", "[R]", "[D]", "[S/R]"]
                        .iter()
                        .any(|tag| source.starts_with(tag)),
                    "{name}: no source tag: {line}"
                );
            }
        }
    }

    /// The error of the smoke profile with `old` replaced by `new` where it first stands after `behind`.
    fn refused(behind: &str, old: &str, new: &str) -> String {
        let (before, after) = BUILT_IN[0].1.split_once(behind).unwrap();
        assert!(after.contains(old), "{old}");
        let text = format!("{before}{behind}{}", after.replacen(old, new, 1));
        format!("{:#}", Profile::parse(&text, "x", &[]).unwrap_err())
    }

    #[test]
    fn errors_name_the_key() {
        let error = Profile::load("enormous").unwrap_err().to_string();
        assert!(
            error.contains("smoke, quick, laptop, record, record64, paper"),
            "{error}"
        );
        for (behind, old, new, named) in [
            ("[training]", "momentum =", "momentun =", "momentun"),
            (
                "[training]",
                "batch_size = 64",
                "batch_size = \"64\"",
                "`training.batch_size`",
            ),
            ("[network]", "width = 8", "width = -8", "`network.width`"),
            (
                "[supplement.network]",
                "width = 4",
                "width = \"4\"",
                "`supplement.network.width`",
            ),
            ("[supplement.network]", "width", "widht", "widht"),
            (
                "[supplement.sensitivity]",
                "points = [8, 15]",
                "points = 8",
                "`supplement.sensitivity.points`",
            ),
            (
                "[geometry]",
                "epochs = [0, 2, 4]",
                "epochs = [0, 2, 9]",
                "geometry.epochs holds 9",
            ),
            (
                "[double_descent.data]",
                "permuted_fraction = 0.2",
                "permuted_fraction = 2.0",
                "double_descent.data.permuted_fraction is 2",
            ),
            (
                "[supplement.data]",
                "classes = 8",
                "classes = 1",
                "supplement.data.classes is 1",
            ),
            (
                "[supplement.sensitivity]",
                "manifolds = [5, 10]",
                "manifolds = [1]",
                "supplement.sensitivity.manifolds is 1",
            ),
            (
                "[supplement.joint]",
                "\nepochs = [0]",
                "\nepochs = [0, 9]",
                "supplement.joint.epochs holds 9",
            ),
            (
                "[supplement.joint]",
                "gaussian_vectors",
                "manifolds = 1 # [D]\ngaussian_vectors",
                "supplement.joint.manifolds is 1",
            ),
            (
                "[training]",
                "learning_rate = ",
                "learning_rate = -",
                "training: setting `learning_rate` is -",
            ),
            (
                "[supplement.geometry]",
                "manifolds = 8",
                "manifolds = 1",
                "supplement.geometry.manifolds is 1",
            ),
        ] {
            let error = refused(behind, old, new);
            assert!(error.contains(named), "{named}: {error}");
            assert!(!error.contains(GATHERED), "{error}");
        }
    }

    #[test]
    fn an_experiment_is_as_the_main_one_where_it_does_not_say_otherwise() {
        let changes = [
            ("data.dataset", "cifar100".into()),
            ("data.permuted_fraction", 0.25.into()),
            ("training.learning_rate", 0.5.into()),
            ("supplement.training.stop.max_epochs", 7.into()),
            ("supplement.network.width", 3.into()),
        ];
        let profile = Profile::load_with("smoke", &changes).unwrap().1;
        let supplement = &profile.supplement.experiment;
        let tiny = &profile.supplement.tiny_imagenet.experiment;
        assert_eq!(supplement.data.dataset, "cifar100");
        assert_eq!(supplement.training.stop.max_epochs, 7);
        assert_eq!(supplement.training.stop.training_accuracy, Some(0.99));
        assert_eq!(supplement.network.width, 3);
        assert_eq!(tiny.geometry, supplement.geometry);
        assert_ne!(tiny.data.dataset, "cifar100");
        assert_eq!(profile.double_descent.experiment.data.dataset, "glyphs");
        for (prefix, settings) in profile.experiments() {
            assert_eq!(settings.network.batch_norm, prefix != "double_descent.");
            let rate = settings.training.learning_rate;
            assert_eq!(rate == 0.5, prefix != "double_descent.", "{prefix}: {rate}");
        }
    }

    #[test]
    fn schedule_and_initialization_may_be_given() {
        // The first of several: that of the main training.
        let text = BUILT_IN[0].1.replacen(
            "optimizer =",
            "schedule = { decay = { kind = \"cosine\", epochs = 4 } }\n\
             initialization = { scheme = \"fan-in-uniform\" }\n\
             optimizer =",
            1,
        );
        let profile = Profile::parse(&text, "x", &[]).unwrap();
        let training = profile.experiment.training;
        assert_eq!(training.schedule.factor(5, 0, 1), 0.0);
        assert_ne!(training.initialization, Initialization::default());
    }

    #[test]
    fn a_table_of_a_kind_is_taken_whole() {
        let changes = [
            (
                "training.optimizer",
                toml::toml! { kind = "adam"
                beta1 = 0.5 }
                .into(),
            ),
            (
                "supplement.training.optimizer",
                toml::toml! { kind = "sgd" }.into(),
            ),
            ("double_descent.training.stop.training_accuracy", 1.0.into()),
        ];
        let profile = Profile::load_with("smoke", &changes).unwrap().1;
        let supplement = &profile.supplement.experiment.training;
        assert_eq!(supplement.optimizer, OptimizerSettings::default());
        assert!(matches!(
            profile.gradients.experiment.training.optimizer,
            OptimizerSettings::Adam { beta1: 0.5, .. }
        ));
        let sweep = &profile.double_descent.experiment.training;
        assert_eq!(sweep.stop.training_accuracy, None);
    }

    #[test]
    fn old_names_of_settings_say_the_new_ones() {
        for (path, name, value, remedy) in [
            ("training", "max_epochs", "7", "stop.max_epochs = 7"),
            (
                "supplement.training",
                "stop_above",
                "0.5",
                "stop.training_accuracy = 0.5",
            ),
            (
                "double_descent.training",
                "momentum",
                "0.5",
                "optimizer = { kind = \"sgd\", momentum = 0.5 }",
            ),
        ] {
            let key = format!("{path}.{name}");
            let value: Value = format!("x = {value}").parse::<Table>().unwrap()["x"].clone();
            let error = Profile::load_with("smoke", &[(&key, value)]).unwrap_err();
            let error = format!("{error:#}");
            assert!(error.contains(&key) && error.contains(remedy), "{error}");
            // The remedy works.
            let (name, value) = remedy.split_once(" = ").unwrap();
            let value = format!("x = {value}").parse::<Table>().unwrap()["x"].clone();
            Profile::load_with("smoke", &[(&format!("{path}.{name}"), value)]).unwrap();
        }
    }
}
