//! From training to the geometry by files and without: activations that `mftma-train` writes, `mftma-files` reads.

use mftma::{Analysis, Geometry};
use mftma_data::{
    Dataset, ExampleGroup, LabelPermutation, ManifoldSettings, PermutationScheme, Shortage, Split,
    draw_manifolds,
};
use mftma_files::read::{self, labels};
use mftma_files::{LayerSource, Layout, Matrix, ReadOptions, Selection, Wanted};
use mftma_train::activations::{Examples, write_npy, write_safetensors};
use mftma_train::{
    Architecture, ImageShape, LayerActivations, NetworkSpec, Place, TrainSettings, Trainer,
    TrainingData,
};
use ndarray::Array4;

const CLASSES: usize = 5;
const POINTS: usize = 6;
const LAYERS: [&str; 2] = ["conv1_1", "fc1"];
const OPTIONS: ReadOptions<'static> = ReadOptions {
    inflate_limit: 1 << 20,
    interrupted: &|| false,
};

/// Images of 1 × 32 × 32, half of their labels permuted.
fn data() -> TrainingData {
    let split = |per_class: usize| {
        let labels: Vec<u16> = (0..per_class * CLASSES)
            .map(|i| (i % CLASSES) as u16)
            .collect();
        let images = Array4::from_shape_fn((labels.len(), 1, 32, 32), |(i, _, y, x)| {
            (40 * usize::from(labels[i]) + (i * 7919 + y * 104_729 + x * 1_299_709) % 61) as u8
        });
        Split::new(images, labels, None).unwrap()
    };
    let names = (0..CLASSES).map(|class| format!("class {class}")).collect();
    let dataset = Dataset::new("made up", names, vec![], split(24), split(8)).unwrap();
    let labels = dataset.train().labels().to_vec();
    let permutation =
        LabelPermutation::draw(&labels, CLASSES, 0.5, PermutationScheme::Permute, 1).unwrap();
    TrainingData::new(dataset, permutation).unwrap()
}

fn analysis() -> Analysis {
    Analysis::builder().vectors(30).seed(2).build().unwrap()
}

/// The geometry of the array of a layer in a file.
fn from_file(path: &std::path::Path, layer: &str) -> Geometry {
    let mut entries = read::open(path).unwrap();
    entries.retain(|entry| entry.name == layer);
    let [entry] = <[_; 1]>::try_from(entries).unwrap();
    let matrix = Matrix::new(entry.load(OPTIONS).unwrap(), Layout::PointsByFeatures).unwrap();
    let targets = path.with_extension("txt");
    let labels = labels::read(&targets.to_string_lossy(), matrix.n_points(), OPTIONS).unwrap();
    let wanted = Wanted {
        points: None,
        classes: None,
        only_classes: &[],
        leave_out: &[],
        seed: 0,
    };
    let chosen = Selection::new(&labels, &wanted).unwrap();
    let source = LayerSource::new(matrix, &chosen.points, &chosen.points_per_class, &|| false);
    analysis().run(&source).unwrap()
}

#[test]
fn activations_by_file_have_the_geometry_of_those_in_memory() {
    let data = data();
    let mut settings = TrainSettings::new(NetworkSpec {
        architecture: Architecture::Vgg11,
        width: 4,
        batch_norm: true,
        classes: CLASSES,
        input: ImageShape {
            channels: 1,
            height: 32,
            width: 32,
        },
    });
    settings.recipe.batch_size = 16;
    let trainer = Trainer::new(settings, &data).unwrap();
    let network = trainer.network();
    let manifolds = draw_manifolds(
        ExampleGroup::Permuted,
        data.permutation(),
        data.dataset().test().labels(),
        &ManifoldSettings {
            manifolds: CLASSES,
            examples: POINTS,
            seed: 1,
            shortage: Shortage::Refuse,
        },
    )
    .unwrap();

    let home = tempfile::tempdir().unwrap();
    let tensors = home.path().join("layers.safetensors");
    let indices = manifolds.flat();
    let examples = Examples {
        data: &data,
        group: manifolds.group(),
        indices: &indices,
    };
    let place = Place::default();
    write_safetensors(&tensors, network, examples, &LAYERS, place, "{}").unwrap();
    let classes = |i: usize| format!("{}\n", i / POINTS);
    let labels: String = (0..CLASSES * POINTS).map(classes).collect();
    for layer in LAYERS {
        let source = LayerActivations::new(network, &data, &manifolds, layer).unwrap();
        let expected = analysis().run(&source).unwrap();
        assert!(expected.capacity.value > 0.0);
        let npy = home.path().join(format!("{layer}.npy"));
        write_npy(&npy, network, examples, layer, place).unwrap();
        for path in [&npy, &tensors] {
            std::fs::write(path.with_extension("txt"), &labels).unwrap();
            let found = from_file(path, layer);
            // Blocks of features of other sizes: sums of other orders.
            for (found, expected) in [
                (found.capacity.value, expected.capacity.value),
                (found.radius.value, expected.radius.value),
                (found.dimension.value, expected.dimension.value),
                (found.centre_correlation, expected.centre_correlation),
            ] {
                let difference = (found - expected).abs();
                assert!(
                    difference < 1e-9 * expected,
                    "{}: {difference}",
                    path.display()
                );
            }
        }
    }
}
