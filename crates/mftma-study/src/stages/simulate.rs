//! Capacity by simulation beside mean-field capacity, on the same points.

use std::ops::ControlFlow;
use std::rc::Rc;

use anyhow::{Context, Result, anyhow};
use mftma::{
    Activations, Analysis, Block, MeanEstimate, SimulatedCapacity, Simulation, simulate_capacity,
};
use mftma_data::{ExampleGroup, ManifoldIndices, ManifoldSettings};
use mftma_train::{LayerActivations, Run};
use ndarray::{Array2, s};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::TrainStage;
use super::geometry::{COVERAGE, RESAMPLES};
use crate::cache::{Stage, Work, key};
use crate::experiment::Experiment;

/// Both capacities of the manifolds of one example group in the profile's layers.
pub struct SimulateStage {
    experiment: Rc<Experiment>,
    epoch: usize,
    group: ExampleGroup,
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
        let settings = &self.experiment.profile.simulation;
        self.experiment
            .manifold_settings(settings.manifolds, settings.points)
    }

    /// The examples of the manifolds.
    pub fn manifolds(&self) -> Result<ManifoldIndices> {
        self.experiment
            .manifolds(self.group, &self.manifold_settings(), "simulation")
    }
}

impl Stage for SimulateStage {
    fn kind(&self) -> &'static str {
        "simulate"
    }

    fn version(&self) -> u32 {
        1
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
        let profile = &self.experiment.profile;
        json!({
            "train": key(&TrainStage::new(Rc::clone(&self.experiment))),
            "epoch": self.epoch,
            "group": self.group,
            "layers": profile.simulation.layers,
            "manifolds": self.manifold_settings(),
            "repetitions": profile.simulation.repetitions,
            "gaussian_vectors": profile.geometry.gaussian_vectors,
            "resamples": RESAMPLES,
            "seed": self.experiment.seed,
        })
    }

    fn compute(&self, work: &Work<'_>) -> Result<Value> {
        let data = &self.experiment.data;
        let profile = &self.experiment.profile;
        let train = TrainStage::new(Rc::clone(&self.experiment));
        let folder = TrainStage::run_folder(&work.cache.folder(&train));
        let network = Run::open(&folder)?.checkpoint(self.epoch)?.network()?;
        let manifolds = self.manifolds()?;
        // Hyperplanes without margin: that is what a simulation can test.
        let analysis = Analysis::builder()
            .vectors(profile.geometry.gaussian_vectors)
            .seed(self.experiment.seed)
            .resamples(RESAMPLES)
            .interval_coverage(COVERAGE)
            .build()?;
        let simulation = Simulation {
            repetitions: profile.simulation.repetitions,
            confidence: COVERAGE,
            seed: self.experiment.seed,
            ..Simulation::default()
        };
        let layers = &profile.simulation.layers;
        let bar = work
            .progress
            .bar(&format!("simulate {}", self.label()), layers.len() as u64);
        let mut found = Vec::with_capacity(layers.len());
        for (index, layer) in layers.iter().enumerate() {
            bar.message(layer.clone());
            let source = LayerActivations::new(&*network, data, &manifolds, layer)
                .context("simulation.layers of the profile")?;
            let geometry = analysis
                .run(&source)
                .with_context(|| format!("layer {layer}"))?;
            let counts = source.points_per_manifold();
            let SimulatedCapacity {
                capacity, interval, ..
            } = simulate_capacity(collect(&source)?.view(), counts, &simulation)?;
            found.push(LayerCapacities {
                layer: layer.clone(),
                simulated: [
                    capacity,
                    (interval.0 > 0.0).then_some(interval.0),
                    interval.1.is_finite().then_some(interval.1),
                ],
                mean_field: geometry.capacity,
                manifolds: counts.len(),
            });
            bar.set(index as u64 + 1);
        }
        Ok(serde_json::to_value(found)?)
    }
}

/// All points (n, N) of a source.
fn collect(source: &LayerActivations<'_>) -> Result<Array2<f64>> {
    let n = source.points_per_manifold().iter().sum();
    let mut points = Array2::zeros((n, source.n_features()));
    let mut from = 0;
    source
        .for_each_block(&mut |block| {
            let to = from + block.width();
            let mut part = points.slice_mut(s![.., from..to]);
            match block {
                Block::F32(block) => part.zip_mut_with(&block, |to, from| *to = f64::from(*from)),
                Block::F64(block) => part.assign(&block),
            }
            from = to;
            ControlFlow::Continue(())
        })
        .map_err(|error| anyhow!("{error}"))?;
    Ok(points)
}
