//! Measures what unpermuted and permuted examples contribute to the gradient near initialization.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::Path;
use std::rc::Rc;

use anyhow::{Context, Result};
use mftma_gradients::theory::{ClassMoments, RatioModel};
use mftma_gradients::{
    Examples, GradientGroup, GradientPart, InputAblation, Measure, MeasureSettings, Parts, Row,
    flat, measure, measure_parts, predict_last_layer, predict_perceptron, prediction_rows, rows,
};
use mftma_train::{
    Architecture, Initialization, Network, NetworkSpec, Progress, TrainSettings,
    reestimate_statistics,
};
use ndarray::{Array4, ArrayView4};
use serde::Serialize;

use super::TrainStage;
use crate::cache::{Space, StageInputs, TypedStage, Work};
use crate::experiment::Experiment;
use crate::interim;
use crate::profile::GradientSettings;
use crate::table::{GradientInputs, Normalisation, WeightScale};

/// Random blocks of each group, from which halves are made.
const BLOCKS: usize = 8;
/// Training images on which normalisation statistics are measured before each measurement: running ones lag behind.
const STATISTICS_EXAMPLES: usize = 1000;

/// Factor on the last layer's weights that makes the softmax uniform, as the theory of claim 7 assumes: at their ordinary scale the logits of
/// all examples share an offset, whose gradient hides the difference between the groups (`mftma-gradients`, docs/derivation.md, §6).
const SMALL_HEAD: f32 = 0.01;

/// Gradients over the first steps and epochs of one run, in a short training of its own.
pub struct GradientStage {
    experiment: Rc<Experiment>,
    /// Whether this is the training otherwise normalised, beside that of the experiment.
    otherwise: bool,
}

/// Gradients of a perceptron at its initialization, beside what the expansion in its weight scale predicts.
pub struct ExpansionStage {
    experiment: Rc<Experiment>,
}

impl GradientStage {
    /// The gradients of `experiment`, whose training ends after the last epoch to be measured.
    pub fn new(experiment: Rc<Experiment>) -> Self {
        Self {
            experiment,
            otherwise: false,
        }
    }

    /// Both parts alone, after every step but the start, which the stage of the network as it is has. `experiment` is the one with
    /// normalisation where the study's is without, or without where that is with.
    pub fn otherwise_normalised(experiment: Rc<Experiment>) -> Self {
        Self {
            experiment,
            otherwise: true,
        }
    }

    /// Optimiser steps of one epoch.
    pub fn steps_per_epoch(experiment: &Experiment) -> usize {
        let images = experiment.data.dataset().train().len();
        images.div_ceil(experiment.settings.training.batch_size)
    }

    /// The steps after which gradients are measured.
    fn steps(&self) -> BTreeSet<usize> {
        let settings = &self.experiment.profile.gradients;
        let of_epoch = Self::steps_per_epoch(&self.experiment);
        let epochs = settings.epochs.iter().map(|epoch| epoch * of_epoch);
        let last = settings.epochs.iter().max().copied().unwrap_or(0) * of_epoch;
        let dense = settings.steps.iter().copied().filter(|&step| step <= last);
        let steps = dense.chain(epochs);
        steps.filter(|&step| step > 0 || !self.otherwise).collect()
    }

    /// Measures one state of the network, unless an interrupted attempt has done so.
    fn measure(&self, network: &dyn Network, step: usize, folder: &Path) -> Result<()> {
        let path = state_file(folder, step);
        if path.exists() {
            return Ok(());
        }
        let run = &*self.experiment;
        let mut network = network.duplicate();
        reestimate_statistics(&mut *network, &run.data, STATISTICS_EXAMPLES, run.seed)?;
        let images = training_images(run)?;
        let examples = examples(run, images.view())?;
        let settings = measure_settings(run);
        let raw = match self.otherwise {
            true => GradientInputs::RAW.with(normalisation(&run.network())),
            false => GradientInputs::RAW,
        };
        let (seed, at) = (run.seed, step as u64);
        let parts = measured_parts(&*network, &examples, &settings)?;
        let mut table = Vec::new();
        let mut add_parts = |parts: &Parts, inputs: GradientInputs| {
            for part in GradientPart::ALL {
                table.extend(rows(parts.get(part), &inputs.part(part), seed, at));
            }
        };
        add_parts(&parts, raw);
        if step == 0 {
            let only_norms = MeasureSettings {
                per_example: 0,
                ..settings
            };
            let truth = run.data.permutation().true_labels();
            let ablated = |ablation: InputAblation| {
                ablation.apply(images.view(), truth, run.data.dataset().classes())
            };
            let mut uniform = network.duplicate();
            scale_last_layer(&mut *uniform, SMALL_HEAD);
            let mut of_uniform = Vec::new();
            for ablation in InputAblation::ALL {
                let images = ablated(ablation)?;
                let examples = self::examples(run, images.view())?;
                if ablation != InputAblation::Raw {
                    let parts = measured_parts(&*network, &examples, &only_norms)?;
                    add_parts(&parts, GradientInputs::of(ablation));
                }
                let measured = measured(&*uniform, &examples, &only_norms)?;
                let inputs = GradientInputs::uniform(ablation);
                of_uniform.extend(rows(&measured, &inputs, seed, at));
                of_uniform.push(predicted_ratio(
                    run,
                    images.view(),
                    ablation,
                    &of_uniform[0],
                )?);
            }
            let (normalisation, mut other) = self.other_network()?;
            let inputs = raw.with(normalisation);
            add_parts(&measured_parts(&*other, &examples, &only_norms)?, inputs);
            scale_last_layer(&mut *other, SMALL_HEAD);
            let measured = measured(&*other, &examples, &only_norms)?;
            let inputs = GradientInputs {
                uniform_softmax: true,
                ..inputs
            };
            table.extend(of_uniform);
            table.extend(rows(&measured, &inputs, seed, at));
            let predicted = predict_last_layer(&*network, &examples, &parts.whole)?;
            table.extend(prediction_rows(&predicted, &raw, seed, at));
        }
        interim::write(&path, &table)
    }

    /// The same network at its initialization with batch normalisation where it is trained without, or without where it is trained with.
    fn other_network(&self) -> Result<(Normalisation, Box<dyn Network>)> {
        let run = &*self.experiment;
        let own = run.network();
        let spec = NetworkSpec {
            batch_norm: !own.batch_norm,
            ..own
        };
        let settings = TrainStage::new(Rc::clone(&self.experiment)).train_settings();
        let initialization = settings.recipe.initialization;
        let mut network =
            spec.build(&mut |parameter| initialization.fill(settings.seed, parameter))?;
        reestimate_statistics(&mut *network, &run.data, STATISTICS_EXAMPLES, run.seed)?;
        Ok((normalisation(&spec), network))
    }
}

fn normalisation(spec: &NetworkSpec) -> Normalisation {
    match spec.batch_norm {
        true => Normalisation::With,
        false => Normalisation::Without,
    }
}

/// What determines the gradients of a run, apart from its data.
#[derive(Debug, Serialize)]
pub struct GradientIdentity {
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    otherwise_normalised: bool,
    train: TrainSettings,
    steps: BTreeSet<usize>,
    measure: MeasureSettings,
    statistics_examples: usize,
    small_head: f32,
}

impl TypedStage for GradientStage {
    const KIND: &'static str = "gradients";
    const VERSION: u32 = 2;
    const RUNS_ENGINE: bool = false;
    type Settings = GradientIdentity;
    type Output = Vec<Row<GradientInputs>>;

    fn label(&self) -> String {
        self.experiment.label()
    }

    fn amount(&self) -> f64 {
        let run = &self.experiment;
        // What labels pull: unpermuted, permuted, and permuted once more as restored; what pulls without them: all once. At the start three
        // more such measurements, and four of the whole alone.
        let at_the_start = if self.otherwise {
            0.0
        } else {
            2.5 * 3.0 + 1.5 * 4.0
        };
        let passes = 2.5 * self.steps().len() as f64 + at_the_start;
        let passes = passes + run.settings.training.stop.max_epochs as f64;
        let images = run.data.dataset().train().len() as f64;
        3.0 * images * passes * run.multiply_adds()
    }

    fn space(&self) -> Space {
        let run = &self.experiment;
        // All training images as numbers, twice, and gradients of every group.
        let images = 4.0 * 2.0 * run.data_bytes();
        Space {
            memory: run.training_memory() + images + 8.0 * run.network_bytes(),
            disk: 1e6 + 6.0 * run.network_bytes(),
        }
    }

    fn seconds_per_unit(&self) -> Option<f64> {
        // By the runs of record: `quick` 1.2e-11 to 1.5e-11, `laptop` 5e-12 to 9e-12 where little ran beside.
        Some(1.2e-11)
    }

    fn settings(&self) -> GradientIdentity {
        GradientIdentity {
            otherwise_normalised: self.otherwise,
            train: TrainStage::new(Rc::clone(&self.experiment))
                .train_settings()
                .identity(),
            steps: self.steps(),
            measure: measure_settings(&self.experiment),
            statistics_examples: STATISTICS_EXAMPLES,
            small_head: SMALL_HEAD,
        }
    }

    fn inputs(&self) -> StageInputs {
        self.experiment.data_inputs()
    }

    fn compute(&self, work: &Work<'_>) -> Result<Vec<Row<GradientInputs>>> {
        let steps = self.steps();
        let training = TrainStage::new(Rc::clone(&self.experiment));
        let trainer = training.trainer(work)?;
        let bar = work
            .progress
            .bar(&format!("gradients {}", self.label()), steps.len() as u64);
        let measured = |step: &&usize| state_file(work.folder, **step).exists();
        work.resumed_from(steps.iter().filter(measured).count(), steps.len());
        // States before an epoch that an interrupted attempt finished are on the disk: they were measured before it was saved.
        if trainer.history().is_empty() && steps.contains(&0) {
            self.measure(trainer.network(), 0, work.folder)?;
        }
        let mut failure = None;
        trainer.run(&mut |progress| {
            if let Progress::Step {
                epoch,
                step,
                steps: of_epoch,
                network,
                ..
            } = progress
            {
                let behind = (epoch - 1) * of_epoch + step + 1;
                if steps.contains(&behind) {
                    bar.set(steps.range(..behind).count() as u64);
                    if let Err(error) = self.measure(network, behind, work.folder) {
                        failure = Some(error);
                        return ControlFlow::Break(());
                    }
                }
            }
            ControlFlow::Continue(())
        })?;
        if let Some(error) = failure {
            return Err(error);
        }
        let mut table = Vec::new();
        for step in steps {
            let path = state_file(work.folder, step);
            // Training may have ended before the last planned epoch.
            if path.exists() {
                table.extend(interim::read::<Vec<Row<GradientInputs>>>(&path)?);
            }
        }
        Ok(table)
    }
}

impl ExpansionStage {
    /// The perceptron on the data of `experiment`.
    pub fn new(experiment: Rc<Experiment>) -> Self {
        Self { experiment }
    }

    /// The perceptron.
    pub fn network(&self) -> NetworkSpec {
        NetworkSpec {
            architecture: Architecture::Mlp,
            width: self.gradients().perceptron_width,
            batch_norm: false,
            ..self.experiment.network()
        }
    }

    fn gradients(&self) -> &GradientSettings {
        &self.experiment.profile.gradients
    }
}

/// What determines the gradients of the perceptron, apart from its data.
#[derive(Debug, Serialize)]
pub struct ExpansionIdentity {
    network: NetworkSpec,
    /// Scaled by each of `scales`.
    initialization: Initialization,
    scales: Vec<f32>,
    seed: u64,
    measure: MeasureSettings,
}

impl TypedStage for ExpansionStage {
    const KIND: &'static str = "expansion";
    const VERSION: u32 = 1;
    const RUNS_ENGINE: bool = false;
    type Settings = ExpansionIdentity;
    type Output = Vec<Row<WeightScale>>;

    fn label(&self) -> String {
        format!("perceptron, {}", self.experiment.label())
    }

    fn settings(&self) -> ExpansionIdentity {
        ExpansionIdentity {
            network: self.network(),
            initialization: Initialization::default(),
            scales: self.gradients().weight_scales.clone(),
            seed: self.experiment.seed,
            measure: measure_settings(&self.experiment),
        }
    }

    fn inputs(&self) -> StageInputs {
        self.experiment.data_inputs()
    }

    fn amount(&self) -> f64 {
        let dataset = self.experiment.data.dataset();
        let units = 8 * self.gradients().perceptron_width;
        let pixels: usize = dataset.image_shape().iter().product();
        let weights = units * (pixels + units + dataset.classes());
        (dataset.train().len() * self.gradients().weight_scales.len()) as f64 * weights as f64
    }

    fn space(&self) -> Space {
        let run = &self.experiment;
        let units = 8.0 * self.gradients().perceptron_width as f64;
        let images = 4.0 * 3.0 * run.data_bytes();
        Space {
            memory: images
                + 64.0 * units * units
                + 8.0 * units * run.data.dataset().train().len() as f64,
            ..Space::default()
        }
    }

    fn seconds_per_unit(&self) -> Option<f64> {
        // By the runs of record of `quick` and `laptop`.
        Some(2.6e-9)
    }

    fn compute(&self, _work: &Work<'_>) -> Result<Vec<Row<WeightScale>>> {
        let run = &*self.experiment;
        let images = training_images(run)?;
        let examples = examples(run, images.view())?;
        let mut table = Vec::new();
        for &scale in &self.gradients().weight_scales {
            let initialization = Initialization {
                scale,
                ..self.settings().initialization
            };
            let network = self
                .network()
                .build(&mut |parameter| initialization.fill(run.seed, parameter))?;
            let measured = measured(&*network, &examples, &measure_settings(run))?;
            let predicted = predict_perceptron(&*network, &examples, &measured)?;
            let inputs = WeightScale(scale);
            table.extend(rows(&measured, &inputs, run.seed, 0));
            table.extend(prediction_rows(&predicted, &inputs, run.seed, 0));
        }
        Ok(table)
    }
}

const STOPPED: &str = "the measurement was stopped";

fn scale_last_layer(network: &mut dyn Network, factor: f32) {
    let Some(last) = network.layers().last().map(|layer| layer.name.clone()) else {
        return;
    };
    for parameter in network.parameters_mut() {
        if parameter.layer() == last {
            parameter.values_mut().iter_mut().for_each(|w| *w *= factor);
        }
    }
}

fn state_file(folder: &Path, step: usize) -> std::path::PathBuf {
    folder.join(format!("step-{step:07}.bin"))
}

fn measure_settings(run: &Experiment) -> MeasureSettings {
    MeasureSettings {
        batch_size: run.settings.training.batch_size,
        blocks: BLOCKS,
        per_example: run.profile.gradients.examples,
        seed: run.seed,
    }
}

/// All training images, normalised.
fn training_images(run: &Experiment) -> Result<Array4<f32>> {
    let train = run.data.dataset().train();
    let all: Vec<usize> = (0..train.len()).collect();
    let mut pixels = Vec::new();
    run.data.batch_into(train, &all, &mut pixels);
    let [channels, height, width] = train.image_shape();
    Ok(Array4::from_shape_vec(
        (train.len(), channels, height, width),
        pixels,
    )?)
}

fn examples<'a>(run: &'a Experiment, images: ArrayView4<'a, f32>) -> Result<Examples<'a>> {
    let permutation = run.data.permutation();
    let examples = Examples::new(
        images,
        permutation.assigned_labels(),
        permutation.true_labels(),
        permutation.mask(),
    );
    examples.context("figure 5 compares unpermuted with permuted examples")
}

fn measured(
    network: &dyn Network,
    examples: &Examples<'_>,
    settings: &MeasureSettings,
) -> Result<mftma_gradients::Contributions> {
    let measured = measure(network, examples, settings, &mut |_, _| {
        ControlFlow::Continue(())
    })?;
    measured.context(STOPPED)
}

fn measured_parts(
    network: &dyn Network,
    examples: &Examples<'_>,
    settings: &MeasureSettings,
) -> Result<Parts> {
    let measured = measure_parts(network, examples, settings, &mut |_, _| {
        ControlFlow::Continue(())
    })?;
    measured.context(STOPPED)
}

/// The ratio of the groups before any training as the moments of the pixels predict it, as a row of the first layer.
fn predicted_ratio(
    run: &Experiment,
    images: ArrayView4<'_, f32>,
    ablation: InputAblation,
    like: &Row<GradientInputs>,
) -> Result<Row<GradientInputs>> {
    let permutation = run.data.permutation();
    let classes = run.data.dataset().classes();
    let moments = ClassMoments::new(flat(images).view(), permutation.true_labels(), classes)?;
    let (separation, within) = moments.separation_and_within();
    let images = permutation.true_labels().len();
    let model = RatioModel {
        classes,
        per_class: images as f64 / classes as f64,
        permuted_fraction: permutation.permuted() as f64 / images as f64,
        separation,
        within,
    };
    Ok(Row {
        inputs: GradientInputs::of(ablation),
        group: GradientGroup::Permuted,
        examples: permutation.permuted(),
        measure: Measure::PredictedRatio,
        value: model.predict()?.ratio,
        standard_error: None,
        ..like.clone()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::{Cache, key};
    use crate::experiment::Experiments;
    use crate::profile::Profile;
    use crate::progress::Progress;
    use crate::study::Study;

    #[test]
    fn the_training_otherwise_normalised_begins_after_the_start() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path().join("cache"), Progress::silent());
        let (name, profile) = Profile::load("smoke").unwrap();
        let study = Study::new(&name, &profile, Experiments::new(None), &cache).unwrap();
        let own = study.gradient_runs().unwrap().remove(0);
        let other = study.otherwise_normalised_runs().unwrap().remove(0);
        assert_ne!(own.network().batch_norm, other.network().batch_norm);
        assert_eq!(own.seed, other.seed);
        let whole = GradientStage::new(own);
        let alone = GradientStage::new(Rc::clone(&other));
        let other = GradientStage::otherwise_normalised(other);
        let mut steps = whole.steps();
        assert!(steps.remove(&0) && !steps.is_empty());
        assert_eq!(other.steps(), steps);
        assert_ne!(key(&other), key(&alone));
    }
}
