//! Draws the features of one layer in two dimensions.

use std::ops::ControlFlow;
use std::rc::Rc;

use anyhow::{Context, Result, anyhow, ensure};
use mftma::{Activations, Block};
use mftma_data::ExampleGroup;
use mftma_train::{LayerActivations, Place};
use ndarray::Array2;
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

use super::TrainStage;
use crate::cache::{Space, StageInputs, TypedStage, Work};
use crate::experiment::Experiment;
use crate::profile::UmapSettings;
use crate::umap;

/// The groups in the picture: the training examples, each under the label by which its group is analysed.
pub const PICTURED_GROUPS: [ExampleGroup; 3] = [
    ExampleGroup::Unpermuted,
    ExampleGroup::Permuted,
    ExampleGroup::Restored,
];

/// The picture of one layer of one run at one epoch.
pub struct UmapStage {
    experiment: Rc<Experiment>,
    epoch: usize,
    layer: String,
}

/// One example in a picture.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PicturePoint {
    /// Its group. Permuted examples may appear again as restored ones.
    pub group: ExampleGroup,
    /// Its label by that group.
    pub class: u16,
    /// Where it lies.
    pub at: [f64; 2],
}

impl UmapStage {
    /// The picture of `layer` at `epoch`.
    pub fn new(experiment: Rc<Experiment>, epoch: usize, layer: String) -> Self {
        Self {
            experiment,
            epoch,
            layer,
        }
    }

    /// The epoch.
    pub fn epoch(&self) -> usize {
        self.epoch
    }

    /// The classes in the picture, ascending.
    pub fn classes(experiment: &Experiment) -> Vec<u16> {
        let all = experiment.data.dataset().classes();
        let mut classes: Vec<u16> = (0..all).map(|class| class as u16).collect();
        classes.shuffle(&mut mftma_data::stream(
            experiment.seed,
            "xtask/umap/classes",
        ));
        classes.truncate(experiment.profile.umap.classes);
        classes.sort_unstable();
        classes
    }

    /// Group, class and index of the examples in the picture.
    fn examples(&self) -> Vec<(ExampleGroup, u16, usize)> {
        let data = &self.experiment.data;
        let mut examples = Vec::new();
        for group in PICTURED_GROUPS {
            let labels = data.labels(group);
            for class in Self::classes(&self.experiment) {
                let mut indices = data.group_indices(group);
                indices.retain(|&i| labels[i] == class);
                let purpose = format!("xtask/umap/examples/{group}/{class}");
                indices.shuffle(&mut mftma_data::stream(self.experiment.seed, &purpose));
                indices.truncate(self.experiment.profile.umap.points);
                examples.extend(indices.into_iter().map(|i| (group, class, i)));
            }
        }
        examples
    }
}

/// What determines a picture, apart from the training.
#[derive(Debug, Serialize)]
pub struct UmapIdentity {
    epoch: usize,
    layer: String,
    umap: UmapSettings,
    seed: u64,
    place: Place,
}

impl TypedStage for UmapStage {
    const KIND: &'static str = "umap";
    const VERSION: u32 = 2;
    const RUNS_ENGINE: bool = false;
    type Settings = UmapIdentity;
    type Output = Vec<PicturePoint>;

    fn label(&self) -> String {
        format!(
            "{}, epoch {}, {}",
            self.experiment.label(),
            self.epoch,
            self.layer
        )
    }

    fn settings(&self) -> UmapIdentity {
        UmapIdentity {
            epoch: self.epoch,
            layer: self.layer.clone(),
            umap: UmapSettings {
                // Each picture is a stage of its own: another one in the list does not change this one.
                layers: Vec::new(),
                ..self.experiment.profile.umap.clone()
            },
            seed: self.experiment.seed,
            place: self.experiment.settings.geometry.place,
        }
    }

    fn inputs(&self) -> StageInputs {
        StageInputs::none().stage(&TrainStage::new(Rc::clone(&self.experiment)))
    }

    fn amount(&self) -> f64 {
        let umap = &self.experiment.profile.umap;
        let points = (PICTURED_GROUPS.len() * umap.classes * umap.points) as f64;
        points * points
    }

    fn space(&self) -> Space {
        let umap = &self.experiment.profile.umap;
        let points = (PICTURED_GROUPS.len() * umap.classes * umap.points) as f64;
        Space {
            memory: self.experiment.analysis_memory(points),
            ..Space::default()
        }
    }

    fn seconds_per_unit(&self) -> Option<f64> {
        // 0.44 to 0.68 s with 720 points, 3.8 to 7 s with 1,440 points of a wider layer.
        Some(1.8e-6)
    }

    fn compute(&self, work: &Work<'_>) -> Result<Vec<PicturePoint>> {
        let data = &self.experiment.data;
        let train = TrainStage::new(Rc::clone(&self.experiment));
        let network = train.network(work, self.epoch)?;
        let examples = self.examples();
        ensure!(!examples.is_empty(), "there are no examples to draw");
        let indices: Vec<usize> = examples.iter().map(|&(.., index)| index).collect();
        let bar = work.progress.bar(&format!("umap {}", self.label()), 2);
        // All three groups are of the training split.
        let source = LayerActivations::of_examples(
            &*network,
            data,
            ExampleGroup::Unpermuted,
            std::slice::from_ref(&indices),
            &self.layer,
        )
        .context("umap.layers of the profile")?
        .place(self.experiment.settings.geometry.place);
        let gram = gram(&source)?;
        bar.set(1);
        let settings = &self.experiment.profile.umap;
        let purpose = format!("xtask/umap/layout/{}", self.layer);
        let points = umap::embed(
            gram.view(),
            &umap::Settings {
                neighbours: settings.neighbours,
                min_distance: settings.min_distance,
                epochs: settings.epochs,
            },
            &mut mftma_data::stream(self.experiment.seed, &purpose),
        )?;
        let picture: Vec<PicturePoint> = examples
            .into_iter()
            .zip(points)
            .map(|((group, class, _), at)| PicturePoint { group, class, at })
            .collect();
        Ok(picture)
    }
}

/// Inner products of all points (n, n), gathered block by block.
fn gram(source: &LayerActivations<'_>) -> Result<Array2<f64>> {
    let n = source.points_per_manifold().iter().sum();
    let mut gram = Array2::<f64>::zeros((n, n));
    source
        .for_each_block(&mut |block| {
            match block {
                Block::F32(block) => gram += &block.dot(&block.t()).mapv(f64::from),
                Block::F64(block) => gram += &block.dot(&block.t()),
            }
            ControlFlow::Continue(())
        })
        .map_err(|error| anyhow!("{error}"))?;
    Ok(gram)
}
