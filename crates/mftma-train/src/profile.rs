//! Named profiles: which data, with which labels permuted, trained how.

use std::path::Path;

use mftma_data::{LabelPermutation, PermutationScheme, Subset};
use serde::{Deserialize, Serialize};

use crate::{TrainError, TrainSettings, TrainingData};

/// The embedded profiles, by name.
const EMBEDDED: [(&str, &str); 2] = [
    ("cifar100", include_str!("../profiles/cifar100.toml")),
    ("glyphs", include_str!("../profiles/glyphs.toml")),
];

/// A training run by name: data, permutation and settings. Each embedded profile is a commented TOML file in `profiles/`;
/// `docs/trials.md` tells what was tried on the way to it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// What the profile is for, in a sentence.
    pub about: String,
    /// Name of the data set, as [`mftma_data::open`] takes it.
    pub dataset: String,
    /// The part of it that is used.
    pub subset: Subset,
    /// Which labels are permuted.
    pub permutation: PermutationSettings,
    /// The network and its training.
    pub train: TrainSettings,
}

/// Which labels are permuted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PermutationSettings {
    /// The permuted fraction ε of the training examples, 0 to 1.
    pub fraction: f64,
    /// How the chosen examples get their labels; permuted among themselves \[P\] by default.
    #[serde(default)]
    pub scheme: PermutationScheme,
    /// Seed of the choice and the labels.
    #[serde(default)]
    pub seed: u64,
}

impl Profile {
    /// Names of the embedded profiles.
    pub fn names() -> impl Iterator<Item = &'static str> {
        EMBEDDED.iter().map(|(name, _)| *name)
    }

    /// An embedded profile.
    ///
    /// # Errors
    /// [`TrainError::Setting`] where there is none of this name.
    pub fn named(name: &str) -> Result<Self, TrainError> {
        match EMBEDDED.iter().find(|(known, _)| *known == name) {
            Some((_, text)) => Self::from_toml(text),
            None => {
                let known = Self::names().collect::<Vec<_>>().join(", ");
                Err(TrainError::setting(
                    "profile",
                    name,
                    format!("the embedded profiles are {known}"),
                ))
            }
        }
    }

    /// A profile written in TOML.
    ///
    /// # Errors
    /// [`TrainError::Setting`] where a field is missing, unknown or out of range; the text says where.
    pub fn from_toml(text: &str) -> Result<Self, TrainError> {
        let profile: Profile = toml::from_str(text).map_err(|e| {
            TrainError::setting("profile", e.to_string().trim_end(), "correct the profile")
        })?;
        profile.train.check()?;
        Ok(profile)
    }

    /// Opens the data set, takes the part, and permutes the labels.
    ///
    /// # Errors
    /// [`TrainError::Data`] where the data set is missing or has too few examples.
    pub fn load(&self, data_dir: Option<&Path>) -> Result<TrainingData, TrainError> {
        let dataset = self
            .subset
            .of(&mftma_data::open(&self.dataset, data_dir)?)?;
        let permutation = LabelPermutation::draw(
            dataset.train().labels(),
            dataset.classes(),
            self.permutation.fraction,
            self.permutation.scheme,
            self.permutation.seed,
        )?;
        TrainingData::new(dataset, permutation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn embedded_profiles_parse_and_are_consistent() {
        for name in Profile::names() {
            let profile = Profile::named(name).unwrap_or_else(|e| panic!("{name}: {e}"));
            assert_eq!(
                profile.subset.classes,
                Some(profile.train.network.classes),
                "{name}"
            );
            let toml = toml::to_string(&profile).expect("serialises");
            assert_eq!(
                Profile::from_toml(&toml).expect("parses"),
                profile,
                "{name}"
            );
        }
    }

    #[test]
    fn mistakes_are_named() {
        let text = EMBEDDED[0].1;
        let check = |text: String, named: &str| {
            let message = Profile::from_toml(&text).expect_err("refused").to_string();
            assert!(message.contains(named), "{message}");
        };
        check(
            text.replace("learning_rate", "learning_speed"),
            "learning_speed",
        );
        check(
            text.replace("[permutation]", "[permutations]"),
            "permutations",
        );
        check(
            text.replace("batch_size = ", "batch_size = -"),
            "batch_size",
        );
        assert!(
            Profile::named("cifar")
                .expect_err("refused")
                .to_string()
                .contains("cifar100")
        );
    }
}
