//! Measures the manifolds of one example group in every layer at one epoch.

use std::rc::Rc;

use anyhow::{Context, Result};
use mftma::{AnalysisSettings, Conventions, Geometry};
use mftma_data::{ExampleGroup, ManifoldIndices, ManifoldSettings};
use mftma_train::Place;
use serde::{Deserialize, Serialize};

use super::TrainStage;
use crate::cache::{Space, StageInputs, TypedStage, Work};
use crate::experiment::{Experiment, HeldLayers};

/// Resamples of the classes behind the intervals \[D\].
const RESAMPLES: usize = 400;
/// Coverage of the intervals: that of one standard error either way of a normal distribution.
pub const COVERAGE: f64 = 0.6827;

/// The geometry of one example group in every layer, or in one, at one epoch of one run.
pub struct GeometryStage {
    experiment: Rc<Experiment>,
    epoch: usize,
    group: ExampleGroup,
    layer: Option<String>,
    conventions: Conventions,
}

/// The geometry of one layer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LayerGeometry {
    /// Place of the layer in the network; 0 is the input.
    pub layer_index: usize,
    /// Name of the layer.
    pub layer: String,
    /// The measures; none where the layer has no geometry.
    pub geometry: Option<Geometry>,
    /// Why it has none, for instance because all its outputs coincide.
    pub problem: Option<String>,
}

impl GeometryStage {
    /// The geometry of `group` at `epoch`.
    pub fn new(experiment: Rc<Experiment>, epoch: usize, group: ExampleGroup) -> Self {
        Self {
            experiment,
            epoch,
            group,
            layer: None,
            conventions: Conventions::ours(),
        }
    }

    /// The same by the conventions of the reference, as the paper must have measured.
    pub fn by_reference(self) -> Self {
        Self {
            conventions: Conventions::reference(),
            ..self
        }
    }

    /// The same in this layer only.
    pub fn in_layer(self, layer: String) -> Self {
        Self {
            layer: Some(layer),
            ..self
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
        let settings = &self.experiment.settings.geometry;
        self.experiment
            .manifold_settings(settings.manifolds, settings.points)
    }

    /// The examples of the manifolds.
    pub fn manifolds(&self) -> Result<ManifoldIndices> {
        self.experiment
            .manifolds(self.group, &self.manifold_settings())
    }

    fn is_measured(&self, layer: &str) -> bool {
        self.layer.as_ref().is_none_or(|one| one == layer)
    }

    /// Features of the layers that are measured; for estimates.
    fn measured_features(&self) -> Vec<f64> {
        let layers = self.experiment.named_features().into_iter();
        let measured = layers.filter(|(name, _)| self.is_measured(name));
        measured.map(|(_, features)| features).collect()
    }

    fn analysis(&self) -> AnalysisSettings {
        analysis_settings(&self.experiment, self.experiment.settings.geometry.margin)
            .conventions(self.conventions.clone())
    }
}

/// The analysis of the experiment's profile, at this margin: what the engine is given, and what stands in the key.
pub fn analysis_settings(experiment: &Experiment, margin: f64) -> AnalysisSettings {
    AnalysisSettings::default()
        .margin(margin)
        .vectors(experiment.settings.geometry.gaussian_vectors)
        .seed(experiment.seed)
        .resamples(RESAMPLES)
        .interval_coverage(COVERAGE)
}

/// What determines the geometry of one group at one epoch, apart from the training.
#[derive(Debug, Serialize)]
pub struct GeometryIdentity {
    epoch: usize,
    group: ExampleGroup,
    manifolds: ManifoldSettings,
    analysis: AnalysisSettings,
    place: Place,
    /// All layers where there is none.
    layer: Option<String>,
}

impl TypedStage for GeometryStage {
    const KIND: &'static str = "geometry";
    const VERSION: u32 = 2;
    const RUNS_ENGINE: bool = true;
    type Settings = GeometryIdentity;
    type Output = Vec<LayerGeometry>;

    fn label(&self) -> String {
        format!(
            "{}, epoch {}, {}",
            self.experiment.label(),
            self.epoch,
            self.group
        )
    }

    fn settings(&self) -> GeometryIdentity {
        GeometryIdentity {
            epoch: self.epoch,
            group: self.group,
            manifolds: self.manifold_settings(),
            analysis: self.analysis(),
            place: self.experiment.settings.geometry.place,
            layer: self.layer.clone(),
        }
    }

    fn inputs(&self) -> StageInputs {
        StageInputs::none().stage(&TrainStage::new(Rc::clone(&self.experiment)))
    }

    /// Seconds on two quiet cores, by the runs of record of `quick` and `laptop`: every layer has inner products of all points, anchor
    /// points, and some work that does not grow; as many layers as memory holds come from one way through the network.
    fn amount(&self) -> f64 {
        let geometry = &self.experiment.settings.geometry;
        let classes = self.experiment.data.dataset().classes();
        let manifolds = geometry.manifolds.min(classes) as f64;
        let (points, vectors) = (geometry.points as f64, geometry.gaussian_vectors as f64);
        let examples = manifolds * points;
        let of_layer = |features: f64| {
            let products = examples.powi(2) * features / 2.0;
            let solves = 100.0 * manifolds * vectors * points * points.min(features);
            0.01 + 3.5e-11 * (products + solves)
        };
        let measured = self.measured_features();
        let passes = HeldLayers::of(examples, &measured).passes as f64;
        let forward = passes * examples * self.experiment.multiply_adds();
        1.1e-11 * forward + measured.into_iter().map(of_layer).sum::<f64>()
    }

    fn space(&self) -> Space {
        let geometry = &self.experiment.settings.geometry;
        let points = (geometry.manifolds * geometry.points) as f64;
        let held = HeldLayers::of(points, &self.measured_features()).bytes;
        Space {
            memory: self.experiment.analysis_memory(points) + held,
            ..Space::default()
        }
    }

    fn seconds_per_unit(&self) -> Option<f64> {
        // By the runs of record: `laptop` and `record` 0.4 to 0.8 beside others, `quick`, whose layers are small, 1 to 1.6.
        Some(0.7)
    }

    fn compute(&self, work: &Work<'_>) -> Result<Vec<LayerGeometry>> {
        let train = TrainStage::new(Rc::clone(&self.experiment));
        let network = train.network(work, self.epoch)?;
        let (analysis, manifolds) = (self.analysis().build()?, self.manifolds()?);
        let layers: Vec<(usize, &str)> = network
            .layers()
            .iter()
            .enumerate()
            .map(|(index, layer)| (index, layer.name.as_str()))
            .filter(|(_, name)| self.is_measured(name))
            .collect();
        let bar = work
            .progress
            .bar(&format!("geometry {}", self.label()), layers.len() as u64);
        let names: Vec<&str> = layers.iter().map(|(_, name)| *name).collect();
        let sources = self
            .experiment
            .layers_activations(&*network, &manifolds, &names)?;
        let mut measured = Vec::with_capacity(layers.len());
        for ((layer_index, name), activations) in layers.into_iter().zip(sources) {
            bar.message(name.to_owned());
            let activations = activations.with_context(|| format!("layer {name}"))?;
            let (geometry, problem) = match analysis.run(&activations) {
                Ok(geometry) => (Some(geometry), None),
                // Points that coincide are a finding about the layer, not a reason to lose the other layers.
                Err(
                    error
                    @ (mftma::Error::NoCentre { .. } | mftma::Error::CoincidentCentres { .. }),
                ) => (None, Some(error.to_string())),
                Err(error) => {
                    return Err(error).with_context(|| format!("layer {name}"));
                }
            };
            measured.push(LayerGeometry {
                layer_index,
                layer: name.to_owned(),
                geometry,
                problem,
            });
            bar.set(measured.len() as u64);
        }
        Ok(measured)
    }
}
