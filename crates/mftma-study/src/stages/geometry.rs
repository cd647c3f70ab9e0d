//! Measures the manifolds of one example group in every layer at one epoch.

use std::rc::Rc;

use anyhow::{Context, Result};
use mftma::{Analysis, Geometry};
use mftma_data::{ExampleGroup, ManifoldIndices, ManifoldSettings};
use mftma_train::{LayerActivations, Run};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::TrainStage;
use crate::cache::{Stage, Work, key};
use crate::experiment::Experiment;

/// Resamples of the classes behind the intervals \[D\].
pub const RESAMPLES: usize = 400;
/// Coverage of the intervals: that of one standard error either way of a normal distribution.
pub const COVERAGE: f64 = 0.6827;

/// The geometry of one example group in every layer, or in one, at one epoch of one run.
pub struct GeometryStage {
    experiment: Rc<Experiment>,
    epoch: usize,
    group: ExampleGroup,
    layer: Option<String>,
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
        let settings = &self.experiment.profile.geometry;
        self.experiment
            .manifold_settings(settings.manifolds, settings.points)
    }

    /// The examples of the manifolds.
    pub fn manifolds(&self) -> Result<ManifoldIndices> {
        self.experiment
            .manifolds(self.group, &self.manifold_settings(), "geometry")
    }

    fn analysis(&self) -> Result<Analysis> {
        let geometry = &self.experiment.profile.geometry;
        Ok(Analysis::builder()
            .margin(geometry.margin)
            .vectors(geometry.gaussian_vectors)
            .seed(self.experiment.seed)
            .resamples(RESAMPLES)
            .interval_coverage(COVERAGE)
            .build()?)
    }
}

impl Stage for GeometryStage {
    fn kind(&self) -> &'static str {
        "geometry"
    }

    // 2: pairs of Gaussian vectors and control variates by default.
    // 3: centre structure by preconditioned L-BFGS.
    // 4: poolings are layers.
    fn version(&self) -> u32 {
        4
    }

    fn label(&self) -> String {
        format!(
            "{}, epoch {}, {}",
            self.experiment.label(),
            self.epoch,
            self.group
        )
    }

    fn settings(&self) -> Value {
        let geometry = &self.experiment.profile.geometry;
        let mut settings = json!({
            "train": key(&TrainStage::new(Rc::clone(&self.experiment))),
            "epoch": self.epoch,
            "group": self.group,
            "manifolds": self.manifold_settings(),
            "gaussian_vectors": geometry.gaussian_vectors,
            "margin": geometry.margin,
            "resamples": RESAMPLES,
            "seed": self.experiment.seed,
        });
        if let Some(layer) = &self.layer {
            settings["layer"] = json!(layer);
        }
        settings
    }

    fn amount(&self) -> f64 {
        let geometry = &self.experiment.profile.geometry;
        let classes = self.experiment.data.dataset().classes();
        let manifolds = geometry.manifolds.min(classes) as f64;
        let (points, vectors) = (geometry.points as f64, geometry.gaussian_vectors as f64);
        let features = self.experiment.features();
        let products = (manifolds * points).powi(2) * features.iter().sum::<f64>() / 2.0;
        let solves = 100.0 * features.len() as f64 * manifolds * vectors * points.powi(2);
        let all = products + solves;
        match self.layer {
            Some(_) => all / features.len().max(1) as f64,
            None => all,
        }
    }

    fn seconds_per_unit(&self) -> Option<f64> {
        // 0.2 s a layer with 30 manifolds of 40 points and 200 vectors, on a VGG-16 of width 16.
        Some(4.5e-11)
    }

    fn compute(&self, work: &Work<'_>) -> Result<Value> {
        let data = &self.experiment.data;
        let train = TrainStage::new(Rc::clone(&self.experiment));
        let folder = TrainStage::run_folder(&work.cache.folder(&train));
        let network = Run::open(&folder)?.checkpoint(self.epoch)?.network()?;
        let (analysis, manifolds) = (self.analysis()?, self.manifolds()?);
        let layers = network.layers();
        let bar = work
            .progress
            .bar(&format!("geometry {}", self.label()), layers.len() as u64);
        let mut measured = Vec::with_capacity(layers.len());
        let wanted = |name: &str| self.layer.as_ref().is_none_or(|layer| layer == name);
        for (layer_index, layer) in layers.iter().enumerate() {
            if !wanted(&layer.name) {
                continue;
            }
            bar.message(layer.name.clone());
            let activations = LayerActivations::new(&*network, data, &manifolds, &layer.name)?;
            let (geometry, problem) = match analysis.run(&activations) {
                Ok(geometry) => (Some(geometry), None),
                // Points that coincide are a finding about the layer, not a reason to lose the other layers.
                Err(error @ mftma::Error::NoCentre { .. }) => (None, Some(error.to_string())),
                Err(error) => {
                    return Err(error).with_context(|| format!("layer {}", layer.name));
                }
            };
            measured.push(LayerGeometry {
                layer_index,
                layer: layer.name.clone(),
                geometry,
                problem,
            });
            bar.set(layer_index as u64 + 1);
        }
        Ok(serde_json::to_value(measured)?)
    }
}
