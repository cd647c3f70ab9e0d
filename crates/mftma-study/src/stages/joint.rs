//! Joint capacity beside mean-field and simulated capacity, on the same points.

use std::rc::Rc;

use anyhow::{Context, Result};
use mftma::{Activations as _, MeanEstimate};

use mftma::joint::{Centring, JointSettings, joint_geometry};
use mftma_data::{ExampleGroup, ManifoldSettings};
use mftma_train::Place;
use serde::{Deserialize, Serialize};

use super::{SimulateStage, TrainStage};
use crate::cache::{Space, StageInputs, TypedStage, Work};
use crate::experiment::Experiment;

/// Gaussian vectors \[D\]: the standard error is then about 2 %.
const VECTORS: usize = 200;

/// The joint capacity of the manifolds of one example group in the layers of `[simulation]`.
pub struct JointStage {
    experiment: Rc<Experiment>,
    epoch: usize,
    group: ExampleGroup,
    /// Whose manifolds they are.
    simulated: SimulateStage,
}

/// The joint capacity of one layer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LayerJoint {
    /// Name of the layer.
    pub layer: String,
    /// P over the mean of F, and its standard error over draws; none where the layer has too few directions to separate half of the draws,
    /// as the simulated capacity is none there.
    pub capacity: Option<MeanEstimate>,
    /// P, manifolds.
    pub manifolds: usize,
}

impl JointStage {
    /// The capacities of `group` at `epoch`.
    pub fn new(experiment: Rc<Experiment>, epoch: usize, group: ExampleGroup) -> Self {
        Self {
            simulated: SimulateStage::new(Rc::clone(&experiment), epoch, group),
            experiment,
            epoch,
            group,
        }
    }

    /// The epoch.
    pub fn epoch(&self) -> usize {
        self.epoch
    }

    /// The example group.
    pub fn group(&self) -> ExampleGroup {
        self.group
    }
}

/// What determines the joint capacities, apart from the training.
#[derive(Debug, Serialize)]
pub struct JointIdentity {
    epoch: usize,
    group: ExampleGroup,
    layers: Vec<String>,
    manifolds: ManifoldSettings,
    joint: JointSettings,
    place: Place,
}

impl TypedStage for JointStage {
    const KIND: &'static str = "joint";
    const VERSION: u32 = 3;
    const RUNS_ENGINE: bool = true;
    type Settings = JointIdentity;
    type Output = Vec<LayerJoint>;

    fn label(&self) -> String {
        format!(
            "{}, epoch {}, {}",
            self.experiment.label(),
            self.epoch,
            self.group
        )
    }

    fn settings(&self) -> JointIdentity {
        JointIdentity {
            epoch: self.epoch,
            group: self.group,
            layers: self.experiment.profile.simulation.layers.clone(),
            manifolds: self.simulated.manifold_settings(),
            // The mean of the classes is subtracted, as the other two capacities do.
            joint: JointSettings::default()
                .vectors(VECTORS)
                .centring(Centring::ByManifold)
                .seed(self.experiment.seed),
            place: self.experiment.settings.geometry.place,
        }
    }

    fn inputs(&self) -> StageInputs {
        StageInputs::none().stage(&TrainStage::new(Rc::clone(&self.experiment)))
    }

    fn amount(&self) -> f64 {
        let manifolds = self.simulated.manifold_settings();
        let points = (manifolds.manifolds * manifolds.examples) as f64;
        // Inner products of all points in every layer, and for each vector a growing set of them.
        let layers = self.experiment.named_features().into_iter();
        let wanted = &self.experiment.profile.simulation.layers;
        let of_layer = |features: f64| {
            points * points * features / 2.0 + 100.0 * points * points * VECTORS as f64
        };
        layers
            .filter(|(name, _)| wanted.contains(name))
            .map(|(_, features)| of_layer(features))
            .sum()
    }

    fn space(&self) -> Space {
        let manifolds = self.simulated.manifold_settings();
        let points = (manifolds.manifolds * manifolds.examples) as f64;
        Space {
            memory: self.experiment.analysis_memory(points),
            ..Space::default()
        }
    }

    fn seconds_per_unit(&self) -> Option<f64> {
        // 20 s of processor time for two layers of 30 x 34 points, in an unreleased build on a busy machine: rather too much than too little.
        Some(2.0e-10)
    }

    fn compute(&self, work: &Work<'_>) -> Result<Vec<LayerJoint>> {
        let train = TrainStage::new(Rc::clone(&self.experiment));
        let network = train.network(work, self.epoch)?;
        let manifolds = self.simulated.manifolds()?;
        let JointIdentity { layers, joint, .. } = self.settings();
        let bar = work
            .progress
            .bar(&format!("joint {}", self.label()), layers.len() as u64);
        let mut found = Vec::with_capacity(layers.len());
        for (index, layer) in layers.iter().enumerate() {
            bar.message(layer.clone());
            let source = self
                .experiment
                .activations(&*network, &manifolds, layer)
                .context("simulation.layers of the profile")?;
            let capacity = match joint_geometry(&source, &joint) {
                Ok(geometry) => Some(geometry.capacity),
                Err(mftma::Error::NotSeparable { .. }) => None,
                Err(error) => return Err(error).with_context(|| format!("layer {layer}")),
            };
            found.push(LayerJoint {
                layer: layer.clone(),
                capacity,
                manifolds: source.points_per_manifold().len(),
            });
            bar.set(index as u64 + 1);
        }
        Ok(found)
    }
}
