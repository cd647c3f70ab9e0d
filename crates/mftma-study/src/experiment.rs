//! Experiments: settings and a seed each, with the data; and how they are made so that nothing is read or drawn twice.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;

use anyhow::{Context, Result, ensure};
use mftma_data::{
    Dataset, Error as DataError, ExampleGroup, LabelPermutation, ManifoldIndices, ManifoldSettings,
    PermutationScheme, Shortage, Subset, draw_manifolds,
};
use mftma_train::activations::MEMORY_LIMIT;
use mftma_train::{
    DataIdentity, ImageShape, LayerActivations, Layers, Network, NetworkSpec, ParameterRole,
    TrainingData,
};

use crate::cache::StageInputs;
use crate::profile::{DataSettings, ExperimentSettings, Profile};

/// One network on one data set: settings, a seed, and the data with permuted labels.
pub struct Experiment {
    /// Data, network, training and geometry.
    pub settings: ExperimentSettings,
    /// The profile that it belongs to: what is done with its network.
    pub profile: Rc<Profile>,
    /// Seed of the permutation, the initialization, the order of examples and the Gaussian vectors.
    pub seed: u64,
    /// Images and labels; shared with the experiments of equal data settings and seed.
    pub data: Rc<TrainingData>,
    /// Checksums of the images and the permutation.
    pub identity: DataIdentity,
}

impl Experiment {
    /// The network, on this run's images.
    pub fn network(&self) -> NetworkSpec {
        let dataset = self.data.dataset();
        let [channels, height, width] = dataset.image_shape();
        NetworkSpec {
            architecture: self.settings.network.architecture,
            width: self.settings.network.width,
            batch_norm: self.settings.network.batch_norm,
            classes: dataset.classes(),
            input: ImageShape {
                channels,
                height,
                width,
            },
        }
    }

    /// The images and labels, as what a stage builds on.
    pub fn data_inputs(&self) -> StageInputs {
        let identity = &self.identity;
        StageInputs::none()
            .checksum(
                "dataset",
                &format!("{} {}", identity.dataset, identity.dataset_checksum),
            )
            .checksum("permutation", &identity.permutation_checksum)
            .checksum(
                "normalization",
                &serde_json::to_string(&identity.normalization).expect("numbers can be written"),
            )
    }

    /// Trained numbers of the network.
    ///
    /// # Errors
    /// A network that cannot be built.
    pub fn parameters(&self) -> Result<usize> {
        let network = self.network().build(&mut |_| {})?;
        let parameters = network.parameters();
        let sizes = parameters
            .iter()
            .map(|p| p.shape().iter().product::<usize>());
        Ok(sizes.sum())
    }

    /// Multiplications and additions of one image's way through the network; for estimates. 0 where it cannot be built.
    pub fn multiply_adds(&self) -> f64 {
        let Ok(network) = self.network().build(&mut |_| {}) else {
            return 0.0;
        };
        let positions = |layer: &str| {
            let info = network.layers().iter().find(|info| info.name == layer);
            // All but the first extent of a layer's output are places where the same weights are used.
            info.map_or(1, |info| info.shape.iter().skip(1).product::<usize>())
        };
        network
            .parameters()
            .iter()
            .filter(|parameter| {
                let role = parameter.role();
                matches!(
                    role,
                    ParameterRole::ConvolutionWeight | ParameterRole::LinearWeight
                )
            })
            .map(|weights| {
                let size: usize = weights.shape().iter().product();
                (size * positions(weights.layer())) as f64
            })
            .sum()
    }

    /// Bytes of the trained numbers; for estimates. 0 where the network cannot be built.
    pub fn network_bytes(&self) -> f64 {
        4.0 * self.parameters().unwrap_or(0) as f64
    }

    /// Bytes of the images; for estimates.
    pub fn data_bytes(&self) -> f64 {
        image_bytes(self.data.dataset())
    }

    /// Bytes at the peak of a training; for estimates: images, values with gradients, momentum and a copy on its way to the disk, and of
    /// every layer what it was given, what it gave and its gradient.
    pub fn training_memory(&self) -> f64 {
        let outputs: f64 = self.features().iter().sum();
        let batch = self.settings.training.batch_size as f64;
        self.data_bytes() + 5.0 * self.network_bytes() + 4.0 * 4.0 * batch * outputs
    }

    /// Bytes at the peak of an analysis of `points` points of this run's widest layer; for estimates: beside the network at work, their
    /// features and some square arrays of their inner products.
    pub fn analysis_memory(&self, points: f64) -> f64 {
        let widest = self.features().into_iter().fold(0.0, f64::max);
        self.training_memory() + 8.0 * points * widest + 4.0 * 8.0 * points * points
    }

    /// Features of each layer's output; for estimates. None where the network cannot be built.
    pub fn features(&self) -> Vec<f64> {
        let named = self.named_features().into_iter();
        named.map(|(_, features)| features).collect()
    }

    /// The same with the names of the layers.
    pub fn named_features(&self) -> Vec<(String, f64)> {
        let Ok(network) = self.network().build(&mut |_| {}) else {
            return Vec::new();
        };
        let layers = network.layers().iter();
        layers
            .map(|layer| (layer.name.clone(), layer.features() as f64))
            .collect()
    }

    /// Checks that the network has the layers that the profile's `setting` names.
    pub fn check_layers(&self, setting: &str, layers: &[String]) -> Result<()> {
        let network = self.network().build(&mut |_| {})?;
        let names: Vec<&str> = network.layers().iter().map(|l| l.name.as_str()).collect();
        for layer in layers {
            ensure!(
                names.contains(&layer.as_str()),
                "{setting} of the profile names {layer:?}, but {} has the layers {}",
                self.settings.network.architecture,
                names.join(", ")
            );
        }
        Ok(())
    }

    /// How `manifolds` manifolds (at most all classes) of `points` examples are drawn.
    pub fn manifold_settings(&self, manifolds: usize, points: usize) -> ManifoldSettings {
        ManifoldSettings {
            manifolds: manifolds.min(self.data.dataset().classes()),
            examples: points,
            seed: self.seed,
            shortage: Shortage::Refuse,
        }
    }

    /// The examples of the manifolds of `group`.
    pub fn manifolds(
        &self,
        group: ExampleGroup,
        settings: &ManifoldSettings,
    ) -> Result<ManifoldIndices> {
        draw_manifolds(
            group,
            self.data.permutation(),
            self.data.dataset().test().labels(),
            settings,
        )
        .with_context(|| {
            format!(
                "{} manifolds of {} points are more than the data set has",
                settings.manifolds, settings.examples
            )
        })
    }

    /// The activations of the manifolds in a layer of this run's network, at the place where the experiment measures.
    pub fn activations<'a>(
        &'a self,
        network: &'a dyn Network,
        manifolds: &ManifoldIndices,
        layer: &str,
    ) -> Result<LayerActivations<'a>> {
        let source = LayerActivations::new(network, &self.data, manifolds, layer)?;
        Ok(source.place(self.settings.geometry.place))
    }

    /// The same of several layers, computed together as far as memory goes.
    pub fn layers_activations<'a>(
        &'a self,
        network: &'a dyn Network,
        manifolds: &ManifoldIndices,
        layers: &[&str],
    ) -> Result<Layers<'a>> {
        let place = self.settings.geometry.place;
        Ok(LayerActivations::of_layers(
            network,
            &self.data,
            manifolds,
            layers,
            place,
            MEMORY_LIMIT,
        )?)
    }

    /// Which run it is, for people: `vgg16 x16 on glyphs, 50 % permuted, seed 1`.
    pub fn label(&self) -> String {
        format!(
            "{} x{} on {}, {:.0} % permuted, seed {}",
            self.settings.network.architecture,
            self.settings.network.width,
            self.data.dataset().name(),
            100.0 * self.settings.data.permuted_fraction,
            self.seed
        )
    }
}

/// What layers take that are computed together as far as memory goes; for estimates.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HeldLayers {
    /// Bytes at the peak, beside those of an analysis of the widest layer.
    pub bytes: f64,
    /// Forward passes of all images.
    pub passes: usize,
}

impl HeldLayers {
    /// Of layers with these `features` for `points` points, as [`LayerActivations::of_layers`] takes them together.
    pub fn of(points: f64, features: &[f64]) -> Self {
        let limit = MEMORY_LIMIT as f64;
        let (mut together, mut bytes, mut passes) = (0.0, 0.0_f64, 0);
        for layer in features.iter().map(|features| 4.0 * points * features) {
            if layer > limit {
                // In parts, the first of which is looked at twice.
                passes += 1 + (layer / limit).ceil() as usize;
                together = 0.0;
                continue;
            }
            if together == 0.0 || together + layer > limit {
                passes += 1;
                together = 0.0;
            }
            together += layer;
            bytes = bytes.max(together);
        }
        Self { bytes, passes }
    }
}

/// Everything that determines a run's images and labels: data settings, seed of the subset, seed of the permutation.
type DataKey = (DataSettings, u64, u64);

/// Images that some experiments hold in memory, each once; for estimates.
#[derive(Debug, Clone, Default)]
pub struct Images {
    /// Bytes by their place in memory.
    held: BTreeMap<usize, f64>,
    /// Bytes of the largest data set that they were chosen from: it is there for a while too.
    whole: f64,
}

impl Images {
    /// And these.
    pub fn extend(&mut self, others: &Self) {
        self.held.extend(&others.held);
        self.whole = self.whole.max(others.whole);
    }

    /// Their bytes.
    pub fn bytes(&self) -> f64 {
        self.held.values().sum::<f64>() + self.whole
    }
}

fn image_bytes(dataset: &Dataset) -> f64 {
    (dataset.train().pixels().len() + dataset.test().pixels().len()) as f64
}

/// Makes experiments. Each data set is read when the first experiment asks for it; images and permutations of equal
/// settings exist once.
pub struct Experiments {
    data_dir: Option<PathBuf>,
    /// The whole data set that was read last: several subsets may be asked of it.
    whole: RefCell<Option<(String, Rc<Dataset>)>>,
    /// Bytes of the images of each data set that was read, by its name.
    wholes: RefCell<BTreeMap<String, f64>>,
    /// The subsets: runs of one experiment differ in their labels, not in their images.
    subsets: RefCell<Vec<((DataSettings, u64), Dataset)>>,
    data: RefCell<Vec<(DataKey, Rc<TrainingData>)>>,
    /// Those of the experiments that were asked for since somebody wanted to know.
    asked: RefCell<Vec<Rc<TrainingData>>>,
    made: RefCell<Vec<Rc<Experiment>>>,
}

impl Experiments {
    /// No experiments yet; data sets are looked for in `data_dir`.
    pub fn new(data_dir: Option<PathBuf>) -> Self {
        Self {
            data_dir,
            whole: RefCell::default(),
            wholes: RefCell::default(),
            subsets: RefCell::default(),
            data: RefCell::default(),
            asked: RefCell::default(),
            made: RefCell::default(),
        }
    }

    /// The main experiment of a profile with `seed`.
    pub fn main(&self, profile: Profile, seed: u64) -> Result<Rc<Experiment>> {
        let settings = profile.experiment.clone();
        self.get(&Rc::new(profile), settings, seed)
    }

    /// The experiment of these settings with `seed`; the same one where it was asked for before.
    ///
    /// The images depend on the profile's own seed only, so that runs differ in permutation, initialization and order.
    pub fn get(
        &self,
        profile: &Rc<Profile>,
        settings: ExperimentSettings,
        seed: u64,
    ) -> Result<Rc<Experiment>> {
        let known = self.made.borrow();
        if let Some(experiment) = known
            .iter()
            .find(|e| e.seed == seed && e.settings == settings && e.profile == *profile)
        {
            self.asked.borrow_mut().push(Rc::clone(&experiment.data));
            return Ok(Rc::clone(experiment));
        }
        drop(known);
        let data = self.data(&settings.data, profile.seed, seed)?;
        self.asked.borrow_mut().push(Rc::clone(&data));
        let experiment = Rc::new(Experiment {
            identity: data.identity(),
            settings,
            profile: Rc::clone(profile),
            seed,
            data,
        });
        self.made.borrow_mut().push(Rc::clone(&experiment));
        Ok(experiment)
    }

    fn data(
        &self,
        settings: &DataSettings,
        subset_seed: u64,
        seed: u64,
    ) -> Result<Rc<TrainingData>> {
        let key = (settings.clone(), subset_seed, seed);
        let known = self.data.borrow();
        if let Some((_, data)) = known.iter().find(|(other, _)| *other == key) {
            return Ok(Rc::clone(data));
        }
        drop(known);
        let dataset = self.subset(settings, subset_seed)?;
        let permutation = LabelPermutation::draw(
            dataset.train().labels(),
            dataset.classes(),
            settings.permuted_fraction,
            settings.scheme,
            seed,
        )?;
        let data = Rc::new(TrainingData::new(dataset, permutation)?);
        self.data.borrow_mut().push((key, Rc::clone(&data)));
        Ok(data)
    }

    fn subset(&self, settings: &DataSettings, seed: u64) -> Result<Dataset> {
        // What is done to the labels makes no other images.
        let mut images = settings.clone();
        images.permuted_fraction = 0.0;
        images.scheme = PermutationScheme::default();
        let key = (images, seed);
        let known = self.subsets.borrow();
        if let Some((_, dataset)) = known.iter().find(|(other, _)| *other == key) {
            return Ok(dataset.clone());
        }
        drop(known);
        let whole = self.whole(&settings.dataset)?;
        let subset = Subset {
            classes: Some(settings.classes.min(whole.classes())),
            train_per_class: Some(settings.train_per_class),
            test_per_class: Some(settings.test_per_class),
            seed,
            shortage: Shortage::Take,
        };
        let dataset = subset.of(&whole)?;
        // Copies have it too, from here on.
        dataset.checksum();
        self.subsets.borrow_mut().push((key, dataset.clone()));
        Ok(dataset)
    }

    /// The images of the experiments that `list` asks for, and what it gives.
    pub fn images_of<T>(&self, list: impl FnOnce() -> T) -> (Images, T) {
        self.asked.borrow_mut().clear();
        let given = list();
        let mut images = Images::default();
        let wholes = self.wholes.borrow();
        for data in self.asked.borrow().iter() {
            let whole = wholes.get(data.dataset().name()).copied();
            images.whole = images.whole.max(whole.unwrap_or(0.0));
            for split in [data.dataset().train(), data.dataset().test()] {
                let pixels = split.pixels();
                let place = pixels.as_ptr() as usize;
                images.held.insert(place, pixels.len() as f64);
            }
        }
        (images, given)
    }

    fn whole(&self, name: &str) -> Result<Rc<Dataset>> {
        let mut last = self.whole.borrow_mut();
        if let Some((_, whole)) = last.as_ref().filter(|(known, _)| known == name) {
            return Ok(Rc::clone(whole));
        }
        // The old one is let go before the new one is read: two large sets need not fit in memory.
        *last = None;
        let whole = Rc::new(self.open(name)?);
        let bytes = image_bytes(&whole);
        // Under the name that its subsets have.
        self.wholes
            .borrow_mut()
            .insert(whole.name().to_owned(), bytes);
        *last = Some((name.to_owned(), Rc::clone(&whole)));
        Ok(whole)
    }

    /// Opens a data set; the embedded one needs no folder.
    fn open(&self, name: &str) -> Result<Dataset> {
        let folder = mftma_data::data_dir(self.data_dir.as_deref());
        mftma_data::open(name, self.data_dir.as_deref()).map_err(|error| match error {
            // Neither a folder nor a download helps with a name that nobody knows.
            unknown @ DataError::UnknownSet { .. } => unknown.into(),
            // What can be downloaded is named; a folder of one's own images is not.
            error if name.starts_with("folder:") => {
                anyhow::Error::new(error).context(format!("data set {name}"))
            }
            error => anyhow::Error::new(error).context(format!(
                "data set {name} (--data-dir {}; `cargo xtask fetch {name}` gets it)",
                folder.display()
            )),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn smoke() -> Profile {
        Profile::load("smoke").unwrap().1
    }

    #[test]
    fn layers_are_held_together_as_far_as_memory_goes() {
        // Bytes in units of an eighth of the limit: 3 + 4 fit, 2 begins anew, 10 comes in two parts and a look ahead, 8 alone, 1 last.
        let eighth = MEMORY_LIMIT as f64 / 8.0 / 4.0 / 100.0;
        let features = [3.0, 4.0, 2.0, 10.0, 8.0, 1.0].map(|n| n * eighth);
        let held = HeldLayers::of(100.0, &features);
        assert_eq!(held.passes, 1 + 1 + 3 + 1 + 1);
        assert!((held.bytes / MEMORY_LIMIT as f64 - 1.0).abs() < 1e-12);
        let none = HeldLayers::of(100.0, &[]);
        assert_eq!((none.bytes, none.passes), (0.0, 0));
    }

    #[test]
    fn equal_settings_share_everything() {
        let experiments = Experiments::new(None);
        let first = experiments.main(smoke(), 1).unwrap();
        assert!(Rc::ptr_eq(&first, &experiments.main(smoke(), 1).unwrap()));
        let mut wider = smoke();
        wider.experiment.network.width += 1;
        let wider = experiments.main(wider, 1).unwrap();
        assert!(!Rc::ptr_eq(&first, &wider));
        assert!(Rc::ptr_eq(&first.data, &wider.data));
    }

    #[test]
    fn seeds_and_data_settings_tell_data_apart() {
        let experiments = Experiments::new(None);
        let first = experiments.main(smoke(), 1).unwrap();
        let second = experiments.main(smoke(), 2).unwrap();
        assert_eq!(
            first.identity.dataset_checksum,
            second.identity.dataset_checksum
        );
        assert_ne!(
            first.identity.permutation_checksum,
            second.identity.permutation_checksum
        );
        let pixels = |experiment: &Experiment| experiment.data.dataset().train().pixels().as_ptr();
        assert_eq!(pixels(&first), pixels(&second), "images are there twice");
        let bytes = first.data_bytes();
        let of = |seed| experiments.main(smoke(), seed).unwrap();
        let (images, _) = experiments.images_of(|| [of(1), of(2)]);
        let whole = image_bytes(&mftma_data::open("glyphs", None).unwrap());
        assert_eq!(images.bytes(), bytes + whole);
        let mut clean = smoke();
        clean.experiment.data.permuted_fraction = 0.0;
        let clean = experiments.main(clean, 1).unwrap();
        assert_eq!(clean.data.permutation().permuted(), 0);
        assert_ne!(first.label(), clean.label());
    }

    #[test]
    fn unknown_sets_are_not_offered_for_download() {
        let mut profile = smoke();
        profile.experiment.data.dataset = "cifar1000".into();
        let error = Experiments::new(None).main(profile, 1).err().unwrap();
        let text = format!("{error:#}");
        assert!(text.contains("cifar100"), "{text}");
        assert!(!text.contains("fetch"), "{text}");
    }

    #[test]
    fn multiplications_by_hand() {
        let mut profile = smoke();
        profile.experiment.network.width = 1;
        let experiment = Experiments::new(None).main(profile, 1).unwrap();
        // VGG-11 of width 1 on one channel of 32 x 32: eight 3 x 3 convolutions on sides of 32, 16, 8, 8, 4, 4, 2 and 2,
        // then 10 classes from 8 x 1 x 1.
        let by_hand = 9.0
            * (1.0 * 1024.0
                + 2.0 * 256.0
                + (8.0 + 16.0) * 64.0
                + (32.0 + 64.0) * 16.0
                + (64.0 + 64.0) * 4.0)
            + 80.0;
        assert_eq!(experiment.multiply_adds(), by_hand);
        assert_eq!(experiment.features()[0], 1024.0);
    }
}
