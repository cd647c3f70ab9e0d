//! What determines a training run: every setting by name, and one hash over all of them.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

use crate::init::Initialization;
use crate::optim::OptimizerSettings;
use crate::schedule::Schedule;
use crate::{NetworkSpec, TrainError};

/// Everything but the data that determines the bytes of a training run.
///
/// Serialised (JSON in a checkpoint) under the field names here; a field left out takes its default, an
/// unknown one is an error. Tags say where a default comes from: \[P\] read in the paper, \[S\] in a second source, \[R\]
/// recalled and unverified, \[D\] decided by this project.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainSettings {
    /// Architecture, width and class count.
    pub network: NetworkSpec,
    /// Seed of the initialization, the order of examples and the augmentation (each its own named stream). Default 0.
    #[serde(default)]
    pub seed: u64,
    /// How the network is trained. Its settings stand beside the others in a file.
    #[serde(flatten)]
    pub recipe: Recipe,
    /// Which epochs are kept on disk.
    #[serde(default)]
    pub checkpoints: CheckpointPolicy,
}

/// How a network is trained, whatever the network, the data and the seed: [`TrainSettings`] and the profiles of the study hold one.
///
/// Where a setting is left out: stochastic gradient descent with momentum, without any regularisation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Recipe {
    /// How parameters start.
    pub initialization: Initialization,
    /// The update rule. SGD with momentum 0.9 \[S\], no weight decay \[P\].
    pub optimizer: OptimizerSettings,
    /// Base learning rate, multiplied by the schedule. Default 0.01 \[S\] (the nearest known settings, an example notebook of
    /// the reference, not the paper).
    pub learning_rate: f64,
    /// Course of the learning rate. Constant by default \[D\].
    pub schedule: Schedule,
    /// Most examples in a batch; 128 by default \[D\]. An epoch of n examples takes ⌈n / batch_size⌉ steps whose sizes differ
    /// by at most one, so that no step normalises over a remainder of a few examples.
    pub batch_size: usize,
    /// When training ends.
    pub stop: StopConditions,
    /// Random crops and reflections of the training images; none by default: the paper trains without
    /// regularisation \[P\].
    pub augmentation: mftma_data::Augmentation,
    /// Unpermuted, and permuted, training images at most that are evaluated after an epoch; all by default. Test images are always all
    /// evaluated, and so are training images of the last epoch, and where the evaluated ones pass the stop condition, which is
    /// decided on all of them. A forward pass of every training image costs about a third of an epoch's training.
    // Left out of JSON where all are, so that files written before this field existed keep their hashes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evaluated_examples: Option<usize>,
}

impl Default for Recipe {
    fn default() -> Self {
        Recipe {
            initialization: Initialization::default(),
            optimizer: OptimizerSettings::default(),
            learning_rate: 0.01,
            schedule: Schedule::default(),
            batch_size: 128,
            stop: StopConditions::default(),
            augmentation: mftma_data::Augmentation::default(),
            evaluated_examples: None,
        }
    }
}

impl Recipe {
    /// Checks every setting.
    ///
    /// # Errors
    /// [`TrainError::Setting`] with the name, the value and the remedy.
    pub fn check(&self) -> Result<(), TrainError> {
        self.fault().map_or(Ok(()), |(name, value, remedy)| {
            Err(TrainError::setting(name, value, remedy))
        })
    }

    fn fault(&self) -> Option<(&'static str, String, &'static str)> {
        if !(self.learning_rate.is_finite() && self.learning_rate > 0.0) {
            return Some((
                "learning_rate",
                self.learning_rate.to_string(),
                "give a positive number",
            ));
        }
        if self.batch_size == 0 {
            return Some(("batch_size", "0".into(), "give at least 1"));
        }
        if let Some(accuracy) = self.stop.training_accuracy
            && !(0.0..1.0).contains(&accuracy)
        {
            return Some((
                "stop.training_accuracy",
                accuracy.to_string(),
                "give a share in [0, 1), such as 0.99",
            ));
        }
        if self.evaluated_examples == Some(0) {
            return Some((
                "evaluated_examples",
                "0".into(),
                "give at least 1, or leave it out to evaluate all",
            ));
        }
        if self.stop.max_loss.is_nan() || self.stop.max_loss <= 0.0 {
            return Some((
                "stop.max_loss",
                self.stop.max_loss.to_string(),
                "give a positive number",
            ));
        }
        let faults = [
            self.schedule.fault(),
            self.optimizer.fault(),
            self.initialization.fault(),
        ];
        faults.into_iter().flatten().next()
    }
}

mod defaults {
    pub(super) fn max_epochs() -> usize {
        1000
    }
    pub(super) fn training_accuracy() -> Option<f64> {
        Some(0.99)
    }
    pub(super) fn max_loss() -> f64 {
        1e3
    }
    pub(super) fn yes() -> bool {
        true
    }
    pub(super) fn is_yes(value: &bool) -> bool {
        *value
    }
}

/// A share that can be passed. TOML has no word for none.
fn none_where_1<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    let share = Option::<f64>::deserialize(deserializer)?;
    Ok(share.filter(|&share| share != 1.0))
}

/// When training ends; the first condition met counts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StopConditions {
    /// Epochs at most; 1,000 by default \[P\].
    #[serde(default = "defaults::max_epochs")]
    pub max_epochs: usize,
    /// Ends after the first epoch in which the share of training examples that are given their (permuted) training label, in
    /// evaluation mode, is *above* this; 0.99 in the paper \[P\] and by default. None: train to the epoch limit. In a file that is 1,
    /// which no share is above, or JSON's `null`.
    #[serde(
        default = "defaults::training_accuracy",
        deserialize_with = "none_where_1"
    )]
    pub training_accuracy: Option<f64>,
    /// Training is declared diverged when the mean loss of a batch is above this (or not a number); 1,000 by default \[D\], hundreds of
    /// times the loss of guessing.
    #[serde(default = "defaults::max_loss")]
    pub max_loss: f64,
}

impl Default for StopConditions {
    fn default() -> Self {
        StopConditions {
            max_epochs: defaults::max_epochs(),
            training_accuracy: defaults::training_accuracy(),
            max_loss: defaults::max_loss(),
        }
    }
}

/// Which epochs are kept on disk, beside the one file from which the run resumes.
///
/// The policy is no part of what a run is ([`TrainSettings::identity`]): a run's folder may be opened again with another one.
///
/// Epoch 0 is the initialization. Kept epochs hold parameters and normalisation statistics only (f32); the optimiser's state lies beside
/// them in files of its own ([`CheckpointPolicy::replay`]), and in the resume file, which each epoch replaces. So the disk holds at
/// most `kept epochs × (network + optimiser's state) + resume file`, which [`crate::Trainer::disk_budget`] states before training begins.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckpointPolicy {
    /// Keeps every n-th epoch, 0 included. None: only those listed.
    #[serde(default)]
    pub every: Option<usize>,
    /// Keeps these epochs.
    #[serde(default)]
    pub epochs: BTreeSet<usize>,
    /// Keeps the epoch of the highest test accuracy so far (the first of equals), in one file that is replaced.
    #[serde(default)]
    pub best: bool,
    /// Keeps the last epoch; true by default.
    #[serde(default = "defaults::yes")]
    pub at_stop: bool,
    /// Leaves the optimiser's state beside each kept epoch, so that a later policy can ask for further epochs at the cost of training
    /// again from the nearest kept one; without it, from the initialization. Takes as much disk as the kept network again (twice as
    /// much for Adam). True by default.
    // Left out of JSON where true, so that files written before this field existed keep their hashes.
    #[serde(default = "defaults::yes", skip_serializing_if = "defaults::is_yes")]
    pub replay: bool,
    /// Refuses to start if the files can come to more than this many bytes. None: no limit.
    #[serde(default)]
    pub limit_bytes: Option<u64>,
}

impl Default for CheckpointPolicy {
    /// Only the last epoch.
    fn default() -> Self {
        CheckpointPolicy {
            every: None,
            epochs: BTreeSet::new(),
            best: false,
            at_stop: true,
            replay: true,
            limit_bytes: None,
        }
    }
}

impl CheckpointPolicy {
    /// Whether the policy keeps `epoch` (apart from the best and the last).
    pub fn keeps(&self, epoch: usize) -> bool {
        self.epochs.contains(&epoch) || self.every.is_some_and(|n| epoch.is_multiple_of(n))
    }

    /// Networks that a run of at most `max_epochs` epochs can keep, the resume file and optimiser's states not counted.
    pub fn files_at_most(&self, max_epochs: usize) -> u64 {
        let scheduled = (0..=max_epochs).filter(|&e| self.keeps(e)).count();
        let last = usize::from(self.at_stop && !self.keeps(max_epochs));
        (scheduled + last + usize::from(self.best)) as u64
    }
}

impl TrainSettings {
    /// Settings for a network, everything else at its default.
    pub fn new(network: NetworkSpec) -> Self {
        TrainSettings {
            network,
            seed: 0,
            recipe: Recipe::default(),
            checkpoints: CheckpointPolicy::default(),
        }
    }

    /// Whether a kept epoch leaves the optimiser's state beside it. The initialization needs none, nor does the end.
    pub(crate) fn leaves_optimizer(&self, epoch: usize, is_last: bool) -> bool {
        let policy = &self.checkpoints;
        policy.replay && policy.keeps(epoch) && epoch > 0 && !is_last
    }

    /// Checks every setting.
    ///
    /// # Errors
    /// [`TrainError::Setting`] with the name, the value and the remedy.
    pub fn check(&self) -> Result<(), TrainError> {
        if self.checkpoints.every == Some(0) {
            return Err(TrainError::setting(
                "checkpoints.every",
                "0",
                "give at least 1, or leave it out",
            ));
        }
        self.recipe.check()
    }

    /// The settings that decide what is computed: all but which epochs are kept. The checkpoint policy is at its default.
    pub fn identity(&self) -> Self {
        TrainSettings {
            checkpoints: CheckpointPolicy::default(),
            ..self.clone()
        }
    }

    /// The hash of [`TrainSettings::identity`]: BLAKE3 of its JSON, fields in declared order.
    pub fn hash(&self) -> SettingsHash {
        self.identity().hash_as_written()
    }

    /// The hash of these settings as they stand, the policy included.
    pub(crate) fn hash_as_written(&self) -> SettingsHash {
        SettingsHash(blake3::hash(self.to_json().as_bytes()).to_hex().to_string())
    }

    /// The settings as JSON, as checkpoints carry them.
    pub fn to_json(&self) -> String {
        // Numbers, strings, lists and maps with string keys: nothing that JSON cannot hold.
        serde_json::to_string(self).expect("settings are plain data")
    }

    /// The first setting of the identity in which `other` differs, as `(name, here, there)`.
    pub(crate) fn first_difference(&self, other: &Self) -> Option<(String, String, String)> {
        let json = |s: &Self| serde_json::to_value(s.identity()).unwrap_or_default();
        difference(String::new(), &json(self), &json(other))
    }
}

fn difference(
    name: String,
    a: &serde_json::Value,
    b: &serde_json::Value,
) -> Option<(String, String, String)> {
    if let (Some(a), Some(b)) = (a.as_object(), b.as_object()) {
        let keys: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
        let null = serde_json::Value::Null;
        return keys.into_iter().find_map(|key| {
            let name = if name.is_empty() {
                key.clone()
            } else {
                format!("{name}.{key}")
            };
            difference(
                name,
                a.get(key).unwrap_or(&null),
                b.get(key).unwrap_or(&null),
            )
        });
    }
    (a != b).then(|| (name, a.to_string(), b.to_string()))
}

/// The hash of a run's settings, in hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SettingsHash(String);

impl fmt::Display for SettingsHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Architecture, ImageShape};

    fn settings() -> TrainSettings {
        TrainSettings::new(NetworkSpec {
            architecture: Architecture::Vgg11,
            width: 2,
            batch_norm: true,
            classes: 10,
            input: ImageShape {
                channels: 3,
                height: 32,
                width: 32,
            },
        })
    }

    /// Hashes of runs are over this text: the recipe stands among the other settings, in the order of before it had a type of its own.
    #[test]
    fn a_recipe_is_written_among_the_other_settings() {
        let mut settings = settings();
        settings.recipe.evaluated_examples = Some(7);
        let text = settings.to_json();
        let names = [
            "network",
            "seed",
            "initialization",
            "optimizer",
            "learning_rate",
            "schedule",
            "batch_size",
            "stop",
            "augmentation",
            "evaluated_examples",
            "checkpoints",
        ];
        let places: Vec<usize> = names
            .iter()
            .map(|name| text.find(&format!("\"{name}\":")).expect(name))
            .collect();
        assert!(places.is_sorted(), "{text}");
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value.as_object().unwrap().len(), names.len());
        assert_eq!(
            serde_json::from_str::<TrainSettings>(&text).unwrap(),
            settings
        );
    }

    #[test]
    fn what_a_file_leaves_out_is_at_its_default_and_what_nobody_knows_is_refused() {
        let network = serde_json::to_string(&settings().network).unwrap();
        let read = |more: &str| {
            serde_json::from_str::<TrainSettings>(&format!("{{\"network\": {network}{more}}}"))
        };
        assert_eq!(read("").unwrap(), settings());
        let other = read(", \"learning_rate\": 1").unwrap();
        assert_eq!(other.recipe.learning_rate, 1.0);
        for unknown in ["learning_rates", "recipe"] {
            let error = read(&format!(", \"{unknown}\": 1"))
                .unwrap_err()
                .to_string();
            assert!(error.contains(unknown), "{error}");
        }
        let alone = serde_json::from_str::<Recipe>("{\"seed\": 1}").unwrap_err();
        assert!(alone.to_string().contains("seed"), "{alone}");
    }
}
