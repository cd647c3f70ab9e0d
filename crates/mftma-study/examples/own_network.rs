//! A network and a data set of one's own, from label permutation to a figure, in seconds:
//!
//! `cargo run --release -p mftma-study --example own_network -- FOLDER`
//!
//! Writes the run to `FOLDER/run` and `FOLDER/capacity.svg`, and prints what rewinding each layer does to the test accuracy.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;

use anyhow::{Context, Result};
use mftma::Analysis;
use mftma_data::{
    Dataset, ExampleGroup, LabelPermutation, ManifoldSettings, PermutationScheme, Shortage, Split,
    draw_manifolds,
};
use mftma_draw::{Anchor, Canvas, INK, Panel, TextStyle, class_colour, nice_ticks};
use mftma_train::assembly::{Body, assemble};
use mftma_train::layers::{Blueprint, Convolution, Halt, Linear, Pass, Pooling};
use mftma_train::ops::{Const, Features, Maps, Recording, Rectifier, Value, flatten};
use mftma_train::{
    Architecture, ImageShape, LayerActivations, Network, NetworkSpec, RewoundStatistics, Run,
    TrainSettings, Trainer, TrainingData, evaluate, rewind_network, rewindable_layers,
    visit_fields,
};
use ndarray::Array4;

const CLASSES: usize = 10;
const SIDE: usize = 16;
/// The epoch that layers are put back to.
const EARLY: usize = 2;

/// Two convolutions, each with a pooling, and a linear layer.
#[derive(Clone, Debug)]
struct TwoStages {
    one: Convolution<3, 1>,
    first: Pooling,
    two: Convolution<3, 1>,
    second: Pooling,
    last: Linear,
}

visit_fields!([] TwoStages: one(one, two, last) many() then());

impl TwoStages {
    fn new(plan: &mut Blueprint, spec: &NetworkSpec) -> Self {
        let w = spec.width;
        Self {
            one: Convolution::new::<Const<16>>(plan, "conv1", spec.input.channels, w),
            first: Pooling::to_maps::<Const<8>>(plan, "pool1", w),
            two: Convolution::new::<Const<8>>(plan, "conv2", w, 2 * w),
            second: Pooling::to_maps::<Const<4>>(plan, "pool2", 2 * w),
            last: Linear::last(plan, "fc1", 2 * w * 4 * 4, spec.classes),
        }
    }
}

impl Body for TwoStages {
    type Side = Const<SIDE>;

    fn forward<T: Recording>(
        &self,
        x: Value<Maps<Const<SIDE>, Const<SIDE>>, T>,
        pass: &mut Pass<'_>,
    ) -> Result<Value<Features, T>, Halt> {
        let x = self.one.forward_pooled(x, &self.first, pass)?;
        let x = self.two.forward_pooled(x, &self.second, pass)?;
        self.last.forward(flatten(x)?, Rectifier::None, pass)
    }
}

/// Waves of a direction and length for each class, at a random place, under noise.
fn waves() -> Result<Dataset> {
    let split = |name: &str, per_class: usize| -> Result<Split> {
        let mut noise = mftma_data::stream(1, name);
        let mut uniform = move || f64::from(rand::Rng::next_u32(&mut noise)) / f64::from(u32::MAX);
        let labels: Vec<u16> = (0..per_class * CLASSES)
            .map(|i| (i % CLASSES) as u16)
            .collect();
        let mut images = Array4::zeros((labels.len(), 1, SIDE, SIDE));
        for (mut image, &label) in images.outer_iter_mut().zip(&labels) {
            let (sin, cos) = (0.3 * f64::from(label)).sin_cos();
            let (length, place) = (4.0 + f64::from(label % 3), 6.3 * uniform());
            for ((_, y, x), pixel) in image.indexed_iter_mut() {
                let along = (cos * x as f64 + sin * y as f64) * 6.3 / length + place;
                *pixel = (128.0 + 50.0 * along.sin() + 120.0 * (uniform() - 0.5)) as u8;
            }
        }
        Ok(Split::new(images, labels, None)?)
    };
    let names = (0..CLASSES).map(|class| format!("wave {class}")).collect();
    Ok(Dataset::new(
        "waves",
        names,
        vec![],
        split("train", 40)?,
        split("test", 40)?,
    )?)
}

fn settings() -> TrainSettings {
    let mut settings = TrainSettings::new(NetworkSpec {
        architecture: Architecture::Own,
        width: 16,
        batch_norm: true,
        classes: CLASSES,
        input: ImageShape {
            channels: 1,
            height: SIDE,
            width: SIDE,
        },
    });
    settings.recipe.learning_rate = 0.05;
    settings.recipe.batch_size = 32;
    settings.recipe.stop.max_epochs = 40;
    settings.checkpoints.epochs = [0, EARLY].into();
    settings
}

/// Capacity of the manifolds of each group in each layer, in the order of the layers.
pub type Capacities = BTreeMap<ExampleGroup, Vec<f64>>;

fn capacities(network: &dyn Network, data: &TrainingData) -> Result<Capacities> {
    let analysis = Analysis::builder().vectors(100).seed(1).build()?;
    let settings = ManifoldSettings {
        manifolds: CLASSES,
        examples: 10,
        seed: 0,
        shortage: Shortage::Refuse,
    };
    let mut found = Capacities::new();
    for group in ExampleGroup::ALL {
        let test = data.dataset().test().labels();
        let manifolds = draw_manifolds(group, data.permutation(), test, &settings)?;
        for layer in network.layers() {
            let source = LayerActivations::new(network, data, &manifolds, &layer.name)?;
            let geometry = analysis.run(&source)?;
            found
                .entry(group)
                .or_default()
                .push(geometry.capacity.value);
        }
    }
    Ok(found)
}

/// Capacity over layers, a line for each group.
fn figure(layers: &[String], capacities: &Capacities) -> String {
    let top = capacities.values().flatten().fold(0.0f64, |a, &b| a.max(b));
    let mut canvas = Canvas::new(300.0, 200.0, "Capacity over layers");
    let last = layers.len() as f64 - 1.0;
    let ticks = nice_ticks(0.0, top, 4);
    let above = ticks.last().copied().unwrap_or(top);
    let panel = Panel::new([40.0, 24.0, 160.0, 130.0], (0.0, last), (0.0, above));
    panel.y_axis(&mut canvas, &ticks, true);
    panel.x_names(&mut canvas, layers, true);
    for (index, (group, values)) in capacities.iter().enumerate() {
        let points: Vec<_> = (values.iter().enumerate())
            .map(|(layer, &value)| (layer as f64, value, 0.0))
            .collect();
        panel.line(&mut canvas, &points, class_colour(index), true);
        let key = (208.0, 40.0 + 14.0 * index as f64);
        let style = TextStyle::new(8.0, class_colour(index), Anchor::Start);
        canvas.text(key, group.name(), style);
    }
    panel.frame(&mut canvas);
    let title = TextStyle::new(9.0, INK, Anchor::Start);
    canvas.text((40.0, 14.0), "Capacity after the last epoch", title);
    canvas.finish()
}

/// What the study found.
pub struct Found {
    /// Share of the permuted training examples that are given their permuted label after the last epoch.
    pub memorized: f64,
    /// Capacities after the last epoch.
    pub capacities: Capacities,
    /// Test accuracy as trained, and after each layer was put back to [`EARLY`].
    pub rewound: Vec<(String, f64)>,
    /// The figure, SVG.
    pub figure: String,
}

/// Permutes, trains, measures, rewinds and draws.
pub fn study(folder: &Path) -> Result<Found> {
    let dataset = waves()?;
    let labels = dataset.train().labels();
    let permutation = LabelPermutation::draw(labels, CLASSES, 0.5, PermutationScheme::Permute, 0)?;
    let data = TrainingData::new(dataset, permutation)?;

    let settings = settings();
    let blank = assemble(&settings.network, TwoStages::new);
    let run_folder = folder.join("run");
    let trained = Trainer::of_network(settings, &data, blank)?
        .keep_in(&run_folder)?
        .run(&mut |_| ControlFlow::Continue(()))?;
    let end = &*trained.network;
    let metrics = trained.history.last().context("an epoch")?;
    let memorized = metrics.groups[&ExampleGroup::Permuted].accuracy();

    let capacities = capacities(end, &data)?;

    let mut early = end.duplicate();
    let checkpoint = Run::open(&run_folder)?.checkpoint(EARLY)?;
    checkpoint.load_into(&mut *early)?;
    let test_accuracy = |network: &dyn Network| -> Result<f64> {
        let scores = evaluate(network, &data, &[ExampleGroup::Test])?;
        Ok(scores[&ExampleGroup::Test].accuracy())
    };
    let mut rewound = vec![("nothing".to_owned(), test_accuracy(end)?)];
    for layer in rewindable_layers(end) {
        let network = rewind_network(end, &*early, &[layer], RewoundStatistics::Rewound)?;
        rewound.push((layer.to_owned(), test_accuracy(&*network)?));
    }

    let names: Vec<String> = end.layers().iter().map(|l| l.name.clone()).collect();
    let figure = figure(&names, &capacities);
    mftma_atomic::write(&folder.join("capacity.svg"), figure.as_bytes())?;
    Ok(Found {
        memorized,
        capacities,
        rewound,
        figure,
    })
}

#[allow(dead_code)] // the test of this example calls `study`
fn main() -> Result<()> {
    let folder = std::env::args_os().nth(1);
    let folder = folder.context("usage: own_network FOLDER")?;
    std::fs::create_dir_all(&folder)?;
    let found = study(Path::new(&folder))?;
    println!(
        "{:.0} % of the permuted labels memorized",
        100.0 * found.memorized
    );
    for (layer, accuracy) in &found.rewound {
        println!(
            "{layer} put back to epoch {EARLY}: test accuracy {:.1} %",
            100.0 * accuracy
        );
    }
    println!("{}", Path::new(&folder).join("capacity.svg").display());
    Ok(())
}
