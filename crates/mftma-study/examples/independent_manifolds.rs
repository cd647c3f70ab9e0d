//! Why mean-field capacity is above simulated capacity in trained networks: the same manifolds, made independent of each other.
//!
//! `cargo run --release -p mftma-study --example independent_manifolds -- RUN DATASET SEED LAYER...`
//!
//! RUN is the folder of a training (`results/PROFILE/cache/train-…/run`), DATASET and SEED are those that it was run with, half of the
//! labels permuted. For the unpermuted and the permuted manifolds of each layer (P = 27 of M = 50 points, the first numbers of
//! `laptop`) at the end of training it prints the three capacities of the points as they are, of points whose manifolds each have axes turned at random
//! about its centre, and of manifolds that are turned at random with their centres. Turning changes no distance within a manifold.

use anyhow::{Context, Result, ensure};
use mftma::joint::{Centring, JointSettings, joint_geometry};
use mftma::{AnalysisSettings, ArrayActivations, Simulation, simulate_capacity};
use mftma_data::{
    ExampleGroup, LabelPermutation, ManifoldSettings, PermutationScheme, Shortage, draw_manifolds,
    stream,
};
use mftma_train::{LayerActivations, Place, Run, TrainingData};
use ndarray::{Array1, Array2, ArrayView2, Axis, s};
use rand_distr::{Distribution, StandardNormal};

const MANIFOLDS: usize = 27;
const POINTS: usize = 50;
const DICHOTOMIES: usize = 60;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [run, dataset, seed, layers @ ..] = arguments.as_slice() else {
        anyhow::bail!("RUN DATASET SEED LAYER...");
    };
    let seed: u64 = seed.parse().context("SEED")?;
    let dataset = mftma_data::open(dataset, None)?;
    let (labels, classes) = (dataset.train().labels(), dataset.classes());
    let permutation =
        LabelPermutation::draw(labels, classes, 0.5, PermutationScheme::Permute, seed)?;
    let data = TrainingData::new(dataset, permutation)?;
    let network = Run::open(run.as_ref())?.last()?.network()?;
    let settings = ManifoldSettings {
        manifolds: MANIFOLDS,
        examples: POINTS,
        seed,
        shortage: Shortage::Refuse,
    };
    println!("layer      group       manifolds        mean-field  joint   simulated");
    for layer in layers {
        for group in [ExampleGroup::Unpermuted, ExampleGroup::Permuted] {
            let test = data.dataset().test().labels();
            let manifolds = draw_manifolds(group, data.permutation(), test, &settings)?;
            let source = LayerActivations::new(&*network, &data, &manifolds, layer)?;
            let source = source.place(Place::Activation);
            let points = mftma::Activations::collect(&source)?.into_points();
            ensure!(
                points.ncols() > POINTS,
                "{layer} has too few features to turn manifolds in"
            );
            for (name, turned) in [
                ("as they are", points.clone()),
                ("axes turned", turned(points.view(), seed, false)),
                ("all turned", turned(points.view(), seed, true)),
            ] {
                let [mean_field, joint, simulated] = capacities(turned, seed)?;
                println!(
                    "{layer:<10} {group:<11} {name:<16} {mean_field:<11.4} {joint:<7.4} {simulated:.4}"
                );
            }
        }
    }
    Ok(())
}

/// Mean-field, joint and simulated capacity; 0 where there is none.
fn capacities(points: Array2<f64>, seed: u64) -> Result<[f64; 3]> {
    let source = ArrayActivations::owned(points, &[POINTS; MANIFOLDS])?;
    let analysis = AnalysisSettings::default()
        .vectors(300)
        .seed(seed)
        .build()?;
    let joint = JointSettings::default()
        .vectors(300)
        .centring(Centring::ByManifold)
        .seed(seed);
    let simulation = Simulation::default().repetitions(DICHOTOMIES).seed(seed);
    let joint = joint_geometry(&source, &joint).map_or(0.0, |found| found.capacity.value);
    Ok([
        analysis.run(&source)?.capacity.value,
        joint,
        simulate_capacity(&source, &simulation)?
            .capacity
            .unwrap_or(0.0),
    ])
}

/// Each manifold turned by an isometry of its own, about its centre or, with `centres`, about the mean of all.
fn turned(points: ArrayView2<'_, f64>, seed: u64, centres: bool) -> Array2<f64> {
    let mut random = stream(seed, "example/independent manifolds");
    let features = points.ncols();
    let global = points.mean_axis(Axis(0)).unwrap_or_default();
    let mut out = Array2::zeros(points.raw_dim());
    for manifold in 0..MANIFOLDS {
        let rows = s![manifold * POINTS..(manifold + 1) * POINTS, ..];
        let own = points.slice(rows);
        let centre = match centres {
            true => global.clone(),
            false => own.mean_axis(Axis(0)).unwrap_or_default(),
        };
        let moved = &own - &centre;
        let basis = orthonormal(moved.clone());
        let frame = orthonormal(Array2::from_shape_fn((basis.nrows(), features), |_| {
            StandardNormal.sample(&mut random)
        }));
        let turned = moved.dot(&basis.t()).dot(&frame);
        out.slice_mut(rows).assign(&(turned + &centre));
    }
    out
}

/// An orthonormal basis (k, N) of the span of the rows.
fn orthonormal(rows: Array2<f64>) -> Array2<f64> {
    let mut basis: Vec<Array1<f64>> = Vec::new();
    for row in rows.outer_iter() {
        let (mut rest, length) = (row.to_owned(), row.dot(&row).sqrt());
        // Twice, or rounding leaves something of the others.
        for _ in 0..2 {
            for axis in &basis {
                let along = rest.dot(axis);
                rest.scaled_add(-along, axis);
            }
        }
        let left = rest.dot(&rest).sqrt();
        if left > 1e-9 * length {
            basis.push(rest / left);
        }
    }
    let mut out = Array2::zeros((basis.len(), rows.ncols()));
    for (mut row, axis) in out.outer_iter_mut().zip(basis) {
        row.assign(&axis);
    }
    out
}
