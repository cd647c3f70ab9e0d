//! Joint capacity with effective dimension, radius and utility, and mean-field capacity of the same points.

use std::ops::ControlFlow;
use std::rc::Rc;

use anyhow::{Context, Result};
use mftma::joint::{Centring, JointGeometry, JointSettings, ManifoldsPerDraw};
use mftma::{AnalysisSettings, MeanEstimate};
use mftma_data::{ExampleGroup, ManifoldIndices, ManifoldSettings};
use mftma_train::Place;
use serde::{Deserialize, Serialize};

use super::TrainStage;
use super::geometry::analysis_settings;
use crate::cache::{Space, StageInputs, TypedStage, Work};
use crate::experiment::Experiment;

/// The joint and the mean-field capacity of the manifolds of one example group at one epoch, in the layers of `[supplement.joint]`.
pub struct EffectiveStage {
    experiment: Rc<Experiment>,
    epoch: usize,
    group: ExampleGroup,
}

/// The measures of one layer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LayerEffective {
    /// Place of the layer in the network; 0 is the input.
    pub layer_index: usize,
    /// Name of the layer.
    pub layer: String,
    /// The joint measures; none where the layer has none.
    pub joint: Option<Effective>,
    /// α_M with its interval over classes; none where the layer has none.
    pub mean_field: Option<MeanEstimate>,
    /// Why something is missing, for instance because all outputs coincide.
    pub problem: Option<String>,
}

/// The joint measures of one layer, for which α = Ψ(1 + R⁻²)/D.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Effective {
    /// α, R, D and Ψ.
    pub capacity: f64,
    /// P, manifolds that take part in each draw: fewer than there are where the layer cannot separate more.
    pub manifolds: usize,
    /// R.
    pub radius: f64,
    /// D.
    pub dimension: f64,
    /// Ψ.
    pub utility: f64,
    /// Standard errors of the four, in this order, over Gaussian vectors.
    pub errors: [Option<f64>; 4],
    /// Each manifold's ⟨F⟩, ⟨b⟩ and ⟨c⟩, of which the four are made: α = n/ΣF, R = √(Σc/Σ(b − c)), D = Σb/n, Ψ = Σc/ΣF of n.
    pub shares: Vec<[f64; 3]>,
}

impl Effective {
    /// What a figure needs of the engine's result.
    pub fn of(joint: &JointGeometry) -> Self {
        // A manifold that took part in no draw has no share.
        let known = joint
            .manifolds
            .iter()
            .filter(|m| !m.capacity.value.is_nan());
        let shares = known.map(|m| {
            let f = 1.0 / m.capacity.value;
            // A manifold that never carries a dual has no share in c, and no utility.
            let c = if f > 0.0 { f * m.utility.value } else { 0.0 };
            [f, m.dimension.value, c]
        });
        let measures = [joint.capacity, joint.radius, joint.dimension, joint.utility];
        Self {
            capacity: joint.capacity.value,
            manifolds: joint.manifolds_per_draw,
            radius: joint.radius.value,
            dimension: joint.dimension.value,
            utility: joint.utility.value,
            errors: measures.map(|measure| measure.standard_error),
            shares: shares.collect(),
        }
    }
}

impl EffectiveStage {
    /// The measures of `group` at `epoch`.
    pub fn new(experiment: Rc<Experiment>, epoch: usize, group: ExampleGroup) -> Self {
        Self {
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

    fn manifold_settings(&self) -> ManifoldSettings {
        let simulation = self.experiment.profile.compared();
        self.experiment
            .manifold_settings(simulation.manifolds, simulation.points)
    }

    /// The examples of the manifolds.
    pub fn manifolds(&self) -> Result<ManifoldIndices> {
        self.experiment
            .manifolds(self.group, &self.manifold_settings())
            .context("supplement.joint.points or supplement.joint.manifolds of the profile, or where these are left out those of [simulation]")
    }
}

/// What determines the measures, apart from the training.
#[derive(Debug, Serialize)]
pub struct EffectiveIdentity {
    epoch: usize,
    group: ExampleGroup,
    layers: Vec<String>,
    manifolds: ManifoldSettings,
    joint: JointSettings,
    analysis: AnalysisSettings,
    place: Place,
}

impl TypedStage for EffectiveStage {
    const KIND: &'static str = "effective";
    const VERSION: u32 = 3;
    const RUNS_ENGINE: bool = true;
    type Settings = EffectiveIdentity;
    type Output = Vec<LayerEffective>;

    fn label(&self) -> String {
        format!(
            "{}, epoch {}, {}",
            self.experiment.label(),
            self.epoch,
            self.group
        )
    }

    fn settings(&self) -> EffectiveIdentity {
        EffectiveIdentity {
            epoch: self.epoch,
            group: self.group,
            layers: self.experiment.profile.compared_layers().to_vec(),
            manifolds: self.manifold_settings(),
            // The mean of the classes is subtracted, as the other two capacities do.
            joint: JointSettings::default()
                .vectors(self.experiment.profile.supplement.joint.gaussian_vectors)
                .centring(Centring::ByManifold)
                .manifolds_per_draw(ManifoldsPerDraw::Separable)
                .seed(self.experiment.seed),
            // As beside the simulation.
            analysis: analysis_settings(&self.experiment, 0.0),
            place: self.experiment.settings.geometry.place,
        }
    }

    fn inputs(&self) -> StageInputs {
        StageInputs::none().stage(&TrainStage::new(Rc::clone(&self.experiment)))
    }

    /// Seconds on two quiet cores, roughly: in every layer a way through the network, inner products of all points, for each vector the inverse of
    /// the inner products of about half as many as the layer has dimensions (some 0.1 s on one core where 650 of 1,350 points are met with
    /// equality; an untrained network's last layers take ten times as long), and some work that does not grow.
    fn amount(&self) -> f64 {
        let ManifoldSettings {
            manifolds,
            examples,
            ..
        } = self.manifold_settings();
        let points = (manifolds * examples) as f64;
        let vectors = self.experiment.profile.supplement.joint.gaussian_vectors as f64;
        let forward = points * self.experiment.multiply_adds();
        let layers = self.experiment.named_features().into_iter();
        let wanted = self.experiment.profile.compared_layers();
        let of_layer = |features: f64| {
            let products = points * points * features / 2.0;
            let solves = 0.7 * points * points.min(features).powi(2) * vectors;
            0.05 + 3.0e-11 * (products + solves) + 1.1e-11 * forward
        };
        layers
            .filter(|(name, _)| wanted.contains(name))
            .map(|(_, features)| of_layer(features))
            .sum()
    }

    fn space(&self) -> Space {
        let manifolds = self.manifold_settings();
        let points = (manifolds.manifolds * manifolds.examples) as f64;
        Space {
            memory: self.experiment.analysis_memory(points),
            ..Space::default()
        }
    }

    fn seconds_per_unit(&self) -> Option<f64> {
        // [D] from single layers of `laptop`'s network; no record of whole stages yet.
        Some(1.0)
    }

    fn compute(&self, work: &Work<'_>) -> Result<Vec<LayerEffective>> {
        let train = TrainStage::new(Rc::clone(&self.experiment));
        let network = train.network(work, self.epoch)?;
        let manifolds = self.manifolds()?;
        let EffectiveIdentity {
            layers,
            joint,
            analysis,
            ..
        } = self.settings();
        let analysis = analysis.build()?;
        let bar = work
            .progress
            .bar(&format!("joint {}", self.label()), layers.len() as u64);
        let wanted = network.layers().iter().enumerate();
        let wanted: Vec<_> = wanted
            .filter(|(_, layer)| layers.contains(&layer.name))
            .collect();
        let names: Vec<&str> = wanted
            .iter()
            .map(|(_, layer)| layer.name.as_str())
            .collect();
        let sources = self
            .experiment
            .layers_activations(&*network, &manifolds, &names)?;
        let mut found = Vec::with_capacity(wanted.len());
        for ((layer_index, layer), source) in wanted.into_iter().zip(sources) {
            bar.message(layer.name.clone());
            let source = source.with_context(|| format!("layer {}", layer.name))?;
            let in_layer = || format!("layer {}", layer.name);
            let (mean_field, joint) = analysis
                .run_with_joint(&source, &joint, &|_| ControlFlow::Continue(()))
                .with_context(in_layer)?;
            let mut problem = None;
            let joint = measured(joint, &mut problem).with_context(in_layer)?;
            let mean_field = measured(mean_field, &mut problem).with_context(in_layer)?;
            found.push(LayerEffective {
                layer_index,
                layer: layer.name.clone(),
                joint: joint.as_ref().map(Effective::of),
                mean_field: mean_field.map(|geometry| geometry.capacity),
                problem,
            });
            bar.set(found.len() as u64);
        }
        Ok(found)
    }
}

/// Points that coincide, or that no vector separates, are a finding about the layer, not a reason to lose the other layers.
fn measured<T>(
    outcome: Result<T, mftma::Error>,
    problem: &mut Option<String>,
) -> Result<Option<T>, mftma::Error> {
    match outcome {
        Ok(found) => Ok(Some(found)),
        Err(
            error @ (mftma::Error::NoCentre { .. }
            | mftma::Error::CoincidentCentres { .. }
            | mftma::Error::AllAtOrigin
            | mftma::Error::NotSeparable { .. }),
        ) => {
            *problem = Some(error.to_string());
            Ok(None)
        }
        Err(error) => Err(error),
    }
}
