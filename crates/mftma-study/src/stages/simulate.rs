//! Capacity by simulation beside mean-field capacity, on the same points.

use std::rc::Rc;

use anyhow::{Context, Result};
use mftma::{AnalysisSettings, MeanEstimate, SimulatedCapacity, Simulation, simulate_capacity};
use mftma_data::{ExampleGroup, ManifoldIndices, ManifoldSettings};
use mftma_train::Place;
use serde::{Deserialize, Serialize};

use super::TrainStage;
use super::geometry::{COVERAGE, analysis_settings};
use crate::cache::{Space, StageInputs, TypedStage, Work};
use crate::experiment::Experiment;
use crate::interim;
use crate::profile::SimulationSettings;

/// The groups whose capacities are compared.
pub const SIMULATED_GROUPS: [ExampleGroup; 2] = [ExampleGroup::Unpermuted, ExampleGroup::Permuted];

/// Both capacities of the manifolds of one example group in the profile's layers.
pub struct SimulateStage {
    experiment: Rc<Experiment>,
    epoch: usize,
    group: ExampleGroup,
    simulation: SimulationSettings,
}

/// Both capacities of one layer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LayerCapacities {
    /// Name of the layer.
    pub layer: String,
    /// Simulated: value and the ends of its interval; none where the data do not bound it.
    pub simulated: [Option<f64>; 3],
    /// Mean-field.
    pub mean_field: MeanEstimate,
    /// P, manifolds.
    pub manifolds: usize,
}

impl SimulateStage {
    /// The capacities of `group` at `epoch`.
    pub fn new(experiment: Rc<Experiment>, epoch: usize, group: ExampleGroup) -> Self {
        Self {
            simulation: experiment.profile.simulation.clone(),
            experiment,
            epoch,
            group,
        }
    }

    /// The same with these settings in place of the profile's `[simulation]`; the same stage where they are equal.
    pub fn with(self, simulation: SimulationSettings) -> Self {
        Self { simulation, ..self }
    }

    /// The epoch.
    pub fn epoch(&self) -> usize {
        self.epoch
    }

    /// The example group.
    pub fn group(&self) -> ExampleGroup {
        self.group
    }

    /// How the manifolds are drawn.
    pub fn manifold_settings(&self) -> ManifoldSettings {
        let settings = &self.simulation;
        self.experiment
            .manifold_settings(settings.manifolds, settings.points)
    }

    /// The examples of the manifolds.
    pub fn manifolds(&self) -> Result<ManifoldIndices> {
        self.experiment
            .manifolds(self.group, &self.manifold_settings())
            .context("simulation.points or simulation.manifolds of the profile")
    }
}

/// What determines both capacities, apart from the training.
#[derive(Debug, Serialize)]
pub struct SimulateIdentity {
    epoch: usize,
    group: ExampleGroup,
    layers: Vec<String>,
    manifolds: ManifoldSettings,
    simulation: Simulation,
    analysis: AnalysisSettings,
    place: Place,
}

impl TypedStage for SimulateStage {
    const KIND: &'static str = "simulate";
    const VERSION: u32 = 2;
    const RUNS_ENGINE: bool = true;
    type Settings = SimulateIdentity;
    type Output = Vec<LayerCapacities>;

    fn label(&self) -> String {
        format!(
            "{}, epoch {}, {}",
            self.experiment.label(),
            self.epoch,
            self.group
        )
    }

    fn settings(&self) -> SimulateIdentity {
        let settings = &self.simulation;
        SimulateIdentity {
            epoch: self.epoch,
            group: self.group,
            layers: settings.layers.clone(),
            manifolds: self.manifold_settings(),
            simulation: Simulation::default()
                .repetitions(settings.repetitions)
                .confidence(COVERAGE)
                .seed(self.experiment.seed),
            // Hyperplanes without margin: that is what a simulation can test.
            analysis: analysis_settings(&self.experiment, 0.0),
            place: self.experiment.settings.geometry.place,
        }
    }

    fn inputs(&self) -> StageInputs {
        StageInputs::none().stage(&TrainStage::new(Rc::clone(&self.experiment)))
    }

    fn amount(&self) -> f64 {
        let settings = &self.simulation;
        let manifolds = self.manifold_settings();
        let points = (manifolds.manifolds * manifolds.examples) as f64;
        // Separating hyperplanes in as many dimensions as there are manifolds, more or less.
        settings.layers.len() as f64
            * settings.repetitions as f64
            * points
            * (manifolds.manifolds as f64).powi(2)
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
        // By the runs of record of `quick` and `laptop`.
        Some(4.8e-7)
    }

    fn compute(&self, work: &Work<'_>) -> Result<Vec<LayerCapacities>> {
        let train = TrainStage::new(Rc::clone(&self.experiment));
        let network = train.network(work, self.epoch)?;
        let manifolds = self.manifolds()?;
        let SimulateIdentity {
            layers,
            simulation,
            analysis,
            ..
        } = self.settings();
        let analysis = analysis.build()?;
        let bar = work
            .progress
            .bar(&format!("simulate {}", self.label()), layers.len() as u64);
        let path = |index: usize| work.folder.join(format!("layer-{index:04}.bin"));
        let kept = (0..layers.len()).filter(|&index| path(index).exists());
        work.resumed_from(kept.count(), layers.len());
        let of_layer = |layer: &String| {
            let source = self
                .experiment
                .activations(&*network, &manifolds, layer)
                .context("simulation.layers of the profile")?;
            let geometry = analysis
                .run(&source)
                .with_context(|| format!("layer {layer}"))?;
            let SimulatedCapacity {
                capacity,
                interval,
                manifolds,
                ..
            } = simulate_capacity(&source, &simulation)
                .with_context(|| format!("layer {layer}"))?;
            Ok(LayerCapacities {
                layer: layer.clone(),
                simulated: [
                    capacity,
                    (interval.0 > 0.0).then_some(interval.0),
                    interval.1.is_finite().then_some(interval.1),
                ],
                mean_field: geometry.capacity,
                manifolds,
            })
        };
        let mut found = Vec::with_capacity(layers.len());
        for (index, layer) in layers.iter().enumerate() {
            bar.message(layer.clone());
            found.push(interim::kept(&path(index), || of_layer(layer))?);
            bar.set(index as u64 + 1);
        }
        Ok(found)
    }
}
