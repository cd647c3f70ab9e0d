//! One run of a profile: its data, and the stages that work on it.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::{Context, Result};
use mftma_data::{Dataset, LabelPermutation, Shortage, Subset};
use mftma_train::{DataIdentity, ImageShape, NetworkSpec, TrainingData};

use crate::profile::Profile;

/// One run: a profile, a seed, and the data with permuted labels.
pub struct Experiment {
    /// The settings.
    pub profile: Profile,
    /// Seed of the permutation, the initialization, the order of examples and the Gaussian vectors.
    pub seed: u64,
    /// Images and labels.
    pub data: TrainingData,
    /// Checksums of the images and the permutation.
    pub identity: DataIdentity,
}

impl Experiment {
    /// The runs of a profile. The images are the same in all; the permutation is each run's own.
    pub fn all(profile: &Profile, data_dir: Option<&Path>) -> Result<Vec<Rc<Self>>> {
        let whole = open(&profile.data.dataset, data_dir)?;
        let subset = Subset {
            classes: Some(profile.data.classes.min(whole.classes())),
            train_per_class: Some(profile.data.train_per_class),
            test_per_class: Some(profile.data.test_per_class),
            seed: profile.seed,
            shortage: Shortage::Take,
        };
        let dataset = subset.of(&whole)?;
        drop(whole);
        (0..profile.runs)
            .map(|run| {
                let seed = profile.seed.wrapping_add(run);
                let permutation = LabelPermutation::draw(
                    dataset.train().labels(),
                    dataset.classes(),
                    profile.data.permuted_fraction,
                    profile.data.scheme,
                    seed,
                )?;
                let data = TrainingData::new(dataset.clone(), permutation)?;
                let identity = data.identity();
                Ok(Rc::new(Self {
                    profile: profile.clone(),
                    seed,
                    data,
                    identity,
                }))
            })
            .collect()
    }

    /// The network that the profile asks for, on this run's images.
    pub fn network(&self) -> NetworkSpec {
        let dataset = self.data.dataset();
        let [channels, height, width] = dataset.image_shape();
        NetworkSpec {
            architecture: self.profile.network.architecture,
            width: self.profile.network.width,
            batch_norm: self.profile.network.batch_norm,
            classes: dataset.classes(),
            input: ImageShape {
                channels,
                height,
                width,
            },
        }
    }

    /// Which run it is, for people: `vgg16 x16 on glyphs, seed 1`.
    pub fn label(&self) -> String {
        format!(
            "{} x{} on {}, seed {}",
            self.profile.network.architecture,
            self.profile.network.width,
            self.data.dataset().name(),
            self.seed
        )
    }
}

/// Opens a data set; the embedded one needs no folder.
fn open(name: &str, data_dir: Option<&Path>) -> Result<Dataset> {
    mftma_data::open(name, data_dir).with_context(|| {
        let folder: PathBuf = mftma_data::data_dir(data_dir);
        format!(
            "data set {name} (--data-dir {}; `cargo xtask fetch {name}` gets it)",
            folder.display()
        )
    })
}
