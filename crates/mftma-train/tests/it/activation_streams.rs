//! Activations come out the same by every way, in the order of the examples asked for.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::common::{self, data, settings};
use mftma::{Activations, Block};
use mftma_data::{ExampleGroup, ManifoldSettings, Shortage, draw_manifolds};
use mftma_train::activations::{Examples, write_npy, write_safetensors};
use mftma_train::network::{LayerInfo, Pulled, PulledImages, Recorder, StatisticsMode, Step};
use mftma_train::{
    Architecture, LayerActivations, Network, NetworkError, NetworkSpec, Parameter, Place,
    TrainError, Trainer, TrainingData,
};
use ndarray::{Array2, ArrayView2, ArrayView4, s};

/// Row by row through the network, one image at a time.
fn direct(
    network: &dyn Network,
    data: &TrainingData,
    group: ExampleGroup,
    indices: &[usize],
    layer: &str,
    place: Place,
) -> Array2<f32> {
    let at = network
        .layers()
        .iter()
        .position(|l| l.name == layer)
        .expect("a layer");
    let mut out = Array2::zeros((indices.len(), network.layers()[at].features()));
    let split = data.split(group);
    for (row, &i) in indices.iter().enumerate() {
        let mut image = Vec::new();
        data.batch_into(split, &[i], &mut image);
        let image = ArrayView4::from_shape((1, 1, 32, 32), &image).expect("an image");
        network
            .activations(image, &[at], place, &mut |_, batch| {
                out.row_mut(row).assign(&batch.row(0))
            })
            .expect("passes");
    }
    out
}

fn streamed(source: &LayerActivations<'_>) -> Array2<f32> {
    let n: usize = source.points_per_manifold().iter().sum();
    let mut out = Array2::zeros((n, source.n_features()));
    let mut at = 0;
    source
        .for_each_block(&mut |block| {
            let Block::F32(block) = block else {
                panic!("f32 expected")
            };
            out.slice_mut(s![.., at..at + block.ncols()]).assign(&block);
            at += block.ncols();
            ControlFlow::Continue(())
        })
        .expect("streams");
    assert_eq!(at, source.n_features());
    out
}

fn close(a: &Array2<f32>, b: &Array2<f32>) -> bool {
    a.dim() == b.dim()
        && a.iter()
            .zip(b)
            .all(|(a, b)| (a - b).abs() <= 1e-4 * (1.0 + b.abs()))
}

#[test]
fn streams_and_files_agree_with_a_plain_forward_pass() {
    agree(Place::Preactivation);
    agree(Place::Activation);
}

fn agree(place: Place) {
    let data = data(32, 24, 1);
    let trainer = Trainer::new(settings(Architecture::Vgg11, 32), &data).expect("starts");
    let network = trainer.network();
    let manifolds = draw_manifolds(
        ExampleGroup::Permuted,
        data.permutation(),
        data.dataset().test().labels(),
        &ManifoldSettings {
            manifolds: 4,
            examples: 3,
            seed: 1,
            shortage: Shortage::Refuse,
        },
    )
    .expect("enough examples");
    let names: Vec<&str> = network.layers().iter().map(|l| l.name.as_str()).collect();
    let layers = [names[2], names[0], names[names.len() - 1]];
    let indices = manifolds.flat();
    let examples = Examples {
        data: &data,
        group: manifolds.group(),
        indices: &indices,
    };
    let home = tempfile::tempdir().expect("a folder");
    let file = home.path().join("layers.safetensors");
    let size = write_safetensors(&file, network, examples, &layers, place, "{}").expect("writes");
    let bytes = std::fs::read(&file).expect("reads");
    assert_eq!(bytes.len() as u64, size);
    let tensors = safetensors::SafeTensors::deserialize(&bytes).expect("is safetensors");

    for layer in layers {
        let expected = direct(network, &data, manifolds.group(), &indices, layer, place);
        let source = LayerActivations::new(network, &data, &manifolds, layer)
            .expect("a layer")
            .place(place);
        assert_eq!(source.points_per_manifold(), [3; 4]);
        let whole = streamed(&source);
        assert!(close(&whole, &expected), "{layer}");
        // In parts of one block each, whatever the limit: the same bytes.
        assert_eq!(streamed(&source.clone().memory_limit(1)), whole, "{layer}");
        // From what is held: the same.
        assert_eq!(streamed(&source), whole, "{layer}");

        let tensor = tensors.tensor(layer).expect("a tensor of each layer");
        assert_eq!(tensor.shape(), whole.shape());
        let floats: Vec<f32> = tensor
            .data()
            .chunks_exact(4)
            .map(|b| f32::from_le_bytes(b.try_into().expect("four")))
            .collect();
        assert!(floats.iter().eq(whole.iter()), "{layer}");

        let npy = home.path().join("layer.npy");
        write_npy(&npy, network, examples, layer, place).expect("writes");
        let bytes = std::fs::read(&npy).expect("reads");
        let array = npyz::NpyFile::new(&bytes[..]).expect("is npy");
        assert_eq!(
            array.shape(),
            whole.shape().iter().map(|&n| n as u64).collect::<Vec<_>>()
        );
        assert!(
            array
                .into_vec::<f32>()
                .expect("f32")
                .iter()
                .eq(whole.iter()),
            "{layer}"
        );
    }
}

/// Counts the forward passes of a network.
struct Counting<'a> {
    network: &'a dyn Network,
    passes: AtomicUsize,
}

impl Network for Counting<'_> {
    fn forward(
        &self,
        images: ArrayView4<'_, f32>,
        statistics: StatisticsMode,
        recorder: &mut dyn Recorder,
    ) -> Result<Option<Array2<f32>>, NetworkError> {
        self.passes.fetch_add(1, Ordering::Relaxed);
        self.network.forward(images, statistics, recorder)
    }

    fn spec(&self) -> &NetworkSpec {
        self.network.spec()
    }

    fn layers(&self) -> &[LayerInfo] {
        self.network.layers()
    }

    fn parameters(&self) -> Vec<&Parameter> {
        self.network.parameters()
    }

    fn statistics(&self) -> Vec<&Parameter> {
        self.network.statistics()
    }

    fn parameters_mut(&mut self) -> Vec<&mut Parameter> {
        unreachable!("nothing is changed")
    }

    fn statistics_mut(&mut self) -> Vec<&mut Parameter> {
        unreachable!("nothing is changed")
    }

    fn duplicate(&self) -> Box<dyn Network> {
        unreachable!("one is enough")
    }

    fn loss_and_gradients(
        &mut self,
        _: ArrayView4<'_, f32>,
        _: &[u16],
        _: StatisticsMode,
    ) -> Result<Step, NetworkError> {
        unreachable!("nothing is trained")
    }

    fn pull_back(
        &self,
        _: ArrayView4<'_, f32>,
        _: StatisticsMode,
        _: &mut dyn FnMut(ArrayView2<'_, f32>) -> Array2<f32>,
    ) -> Result<Pulled, NetworkError> {
        unreachable!("nothing is trained")
    }

    fn pull_back_to_images(
        &self,
        _: ArrayView4<'_, f32>,
        _: StatisticsMode,
        _: &mut dyn FnMut(ArrayView2<'_, f32>) -> Array2<f32>,
    ) -> Result<PulledImages, NetworkError> {
        unreachable!("nothing is trained")
    }
}

#[test]
fn layers_that_fit_come_from_one_forward_pass_and_are_those_of_their_own() {
    let data = data(32, 24, 1);
    let trainer = Trainer::new(settings(Architecture::Vgg11, 32), &data).expect("starts");
    let manifolds = draw_manifolds(
        ExampleGroup::Permuted,
        data.permutation(),
        data.dataset().test().labels(),
        &ManifoldSettings {
            manifolds: 4,
            examples: 3,
            seed: 1,
            shortage: Shortage::Refuse,
        },
    )
    .expect("enough examples");
    let network = trainer.network();
    let names: Vec<&str> = network.layers().iter().map(|l| l.name.as_str()).collect();
    let alone: Vec<Array2<f32>> = names
        .iter()
        .map(|name| streamed(&LayerActivations::new(network, &data, &manifolds, name).unwrap()))
        .collect();
    let bytes: Vec<usize> = alone.iter().map(|layer| 4 * layer.len()).collect();
    let all = bytes.iter().sum();
    let largest = *bytes.iter().max().unwrap();
    // All fit; the largest fits alone, and others in groups; the largest does not fit, and comes in parts, its first blocks twice, between
    // others that do; none fits.
    let small = |limit: usize| bytes.iter().filter(|bytes| **bytes <= limit).count();
    for limit in [all, largest, largest - 1, 0] {
        let passes = match limit {
            limit if limit == all => 1..=1,
            limit if limit == largest => 2..=names.len() - 1,
            0 => 2 * names.len()..=usize::MAX,
            limit => 1 + 2 * (names.len() - small(limit))..=usize::MAX,
        };
        let counting = Counting {
            network,
            passes: AtomicUsize::new(0),
        };
        let layers = LayerActivations::of_layers(
            &counting,
            &data,
            &manifolds,
            &names,
            Place::default(),
            limit,
        );
        let mut found = 0;
        for (layer, alone) in layers.expect("layers").zip(&alone) {
            let layer = layer.expect("a layer");
            assert!(streamed(&layer) == *alone, "{limit}: {}", names[found]);
            assert!(streamed(&layer) == *alone, "the second time");
            found += 1;
        }
        assert_eq!(found, names.len());
        let counted = counting.passes.into_inner();
        assert!(passes.contains(&counted), "{limit}: {counted} passes");
    }
}

#[test]
fn a_visitor_may_stop_and_wrong_names_and_indices_are_refused() {
    let data = data(32, 24, 1);
    let trainer = Trainer::new(settings(Architecture::Vgg11, 32), &data).expect("starts");
    let network = trainer.network();
    let group = ExampleGroup::Test;
    let source =
        LayerActivations::of_examples(network, &data, group, &[vec![5, 1], vec![0]], "input")
            .expect("a layer");
    let mut blocks = 0;
    source
        .for_each_block(&mut |_| {
            blocks += 1;
            ControlFlow::Break(())
        })
        .expect("streams");
    assert_eq!(blocks, 1);

    let refuse = |manifolds: &[Vec<usize>], layer| {
        LayerActivations::of_examples(network, &data, group, manifolds, layer)
            .err()
            .expect("refused")
    };
    assert!(matches!(
        refuse(&[vec![0]], "conv"),
        TrainError::UnknownLayer { .. }
    ));
    let beyond = refuse(&[vec![0], vec![60]], "input");
    assert!(
        matches!(&beyond, TrainError::Shape { found, .. } if found == "60"),
        "{beyond}"
    );
    let home = tempfile::tempdir().expect("a folder");
    let one = Examples {
        data: &data,
        group,
        indices: &[0],
    };
    let twice = write_safetensors(
        &home.path().join("x"),
        network,
        one,
        &["input", "input"],
        Place::default(),
        "",
    );
    assert!(twice.expect_err("refused").to_string().contains("once"));
    assert!(common::files(home.path()).is_empty());
}
