//! Profiles: the settings of a whole reproduction, in one readable file.

mod gradients;
mod supplement;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use mftma_data::PermutationScheme;
use mftma_train::{Architecture, Initialization, Schedule};
use serde::{Deserialize, Serialize};

pub use gradients::GradientSettings;
pub use supplement::{SimilaritySettings, SupplementSettings};

/// The profiles that come with the project: name and text.
pub const BUILT_IN: [(&str, &str); 4] = [
    ("smoke", include_str!("../profiles/smoke.toml")),
    ("quick", include_str!("../profiles/quick.toml")),
    ("laptop", include_str!("../profiles/laptop.toml")),
    ("paper", include_str!("../profiles/paper.toml")),
];

/// Settings of a reproduction. Every value stands in the file: nothing here has a default, but for
/// [`TrainingSettings::schedule`] and [`TrainingSettings::initialization`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// One line for people.
    pub description: String,
    /// Seed of the first run; run r (from 0) has seed `seed + r`.
    pub seed: u64,
    /// Number of independent runs.
    pub runs: u64,
    /// Images and labels.
    pub data: DataSettings,
    /// The network.
    pub network: NetworkSettings,
    /// Its training.
    pub training: TrainingSettings,
    /// The analysis of its layers.
    pub geometry: GeometrySettings,
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
    /// Figures S1 to S6.
    pub supplement: SupplementSettings,
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
    /// How they are permuted.
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

/// Training by stochastic gradient descent with momentum, without any regularisation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainingSettings {
    /// Epochs at most.
    pub max_epochs: usize,
    /// Training ends when the accuracy on the (permuted) training labels is above this; never where it is 1.
    pub stop_above: f64,
    /// Learning rate, multiplied by the schedule.
    pub learning_rate: f64,
    /// Course of the learning rate; constant where left out \[D\].
    #[serde(default)]
    pub schedule: Schedule,
    /// How weights start; He-normal, at its own scale, where left out \[D\].
    #[serde(default)]
    pub initialization: Initialization,
    /// Momentum.
    pub momentum: f32,
    /// Examples in a batch.
    pub batch_size: usize,
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
    /// κ, margin.
    pub margin: f64,
    /// The keys of the profile that `manifolds` and `points` come from, for errors; no setting.
    #[serde(skip, default = "main_geometry")]
    pub keys: &'static str,
}

/// [`GeometrySettings::keys`] of the main experiment.
fn main_geometry() -> &'static str {
    "geometry.points or geometry.manifolds"
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
    /// Name of the data set.
    pub dataset: String,
    /// Architecture.
    pub architecture: Architecture,
    /// Whether convolutions are followed by batch normalisation.
    pub batch_norm: bool,
    /// Base widths, ascending.
    pub widths: Vec<usize>,
    /// Independent runs of each width.
    pub runs: u64,
    /// Classes at most.
    pub classes: usize,
    /// Training images of a class at most.
    pub train_per_class: usize,
    /// Test images of a class at most.
    pub test_per_class: usize,
    /// Fraction of training examples whose labels are permuted.
    pub permuted_fraction: f64,
    /// Epochs: all are trained, at every width.
    pub max_epochs: usize,
    /// Learning rate.
    pub learning_rate: f64,
    /// Momentum.
    pub momentum: f32,
    /// Examples in a batch.
    pub batch_size: usize,
    /// The layer whose manifolds are measured, by name.
    pub layer: String,
    /// M, points of a manifold.
    pub points: usize,
    /// n_t, Gaussian vectors of a manifold.
    pub gaussian_vectors: usize,
}

impl Profile {
    /// The profile called `name`: a built-in one, or a file.
    ///
    /// Returns its short name too, which names the default results folder.
    pub fn load(name: &str) -> Result<(String, Self)> {
        if let Some((_, text)) = BUILT_IN.iter().find(|(known, _)| *known == name) {
            return Ok((name.to_owned(), Self::parse(text, name)?));
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
        Ok((short, Self::parse(&text, name)?))
    }

    fn parse(text: &str, name: &str) -> Result<Self> {
        let profile: Self = toml::from_str(text).with_context(|| {
            format!("profile {name} is not valid; compare it with crates/mftma-study/profiles/quick.toml")
        })?;
        profile.check().with_context(|| format!("profile {name}"))?;
        Ok(profile)
    }

    /// Checks what the libraries cannot: they check their own settings.
    pub fn check(&self) -> Result<()> {
        if self.runs == 0 {
            bail!("runs is 0: give at least 1");
        }
        if !(0.0..=1.0).contains(&self.data.permuted_fraction) {
            bail!(
                "data.permuted_fraction is {}: give a number from 0 to 1",
                self.data.permuted_fraction
            );
        }
        if let Some(epoch) = self
            .geometry
            .epochs
            .iter()
            .find(|&&epoch| epoch > self.training.max_epochs)
        {
            bail!(
                "geometry.epochs holds {epoch}, but training ends at epoch {} (training.max_epochs)",
                self.training.max_epochs
            );
        }
        for (name, value) in [
            ("data.classes", self.data.classes),
            ("geometry.manifolds", self.geometry.manifolds),
        ] {
            if value < 2 {
                bail!("{name} is {value}: give at least 2, manifolds are compared");
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_in_profile_is_valid() {
        for (name, _) in BUILT_IN {
            Profile::load(name).unwrap();
        }
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

    #[test]
    fn unknown_names_and_fields_are_refused() {
        let error = Profile::load("enormous").unwrap_err().to_string();
        assert!(error.contains("smoke, quick, laptop, paper"), "{error}");
        let text = BUILT_IN[0].1.replace("momentum =", "momentun =");
        assert!(Profile::parse(&text, "x").is_err());
        let text = BUILT_IN[0]
            .1
            .replace("epochs = [0, 2, 4]", "epochs = [0, 2, 9]");
        let error = format!("{:#}", Profile::parse(&text, "x").unwrap_err());
        assert!(error.contains("geometry.epochs holds 9"), "{error}");
    }

    #[test]
    fn schedule_and_initialization_may_be_given() {
        // The first of several: that of the main training.
        let text = BUILT_IN[0].1.replacen(
            "momentum =",
            "schedule = { decay = { kind = \"cosine\", epochs = 4 } }\n\
             initialization = { scheme = \"fan-in-uniform\" }\n\
             momentum =",
            1,
        );
        let training = Profile::parse(&text, "x").unwrap().training;
        assert_eq!(training.schedule.factor(5, 0, 1), 0.0);
        assert_ne!(training.initialization, Initialization::default());
    }
}
