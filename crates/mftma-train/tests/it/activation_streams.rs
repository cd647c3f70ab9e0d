//! Activations come out the same by every way, in the order of the examples asked for.

use std::ops::ControlFlow;

use crate::common::{self, data, settings};
use mftma::{Activations, Block};
use mftma_data::{ExampleGroup, ManifoldSettings, Shortage, draw_manifolds};
use mftma_train::activations::{Examples, write_npy, write_safetensors};
use mftma_train::{
    Architecture, LayerActivations, Network, Place, TrainError, Trainer, TrainingData,
};
use ndarray::{Array2, ArrayView4, s};

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
