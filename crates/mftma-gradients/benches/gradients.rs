//! Time of one full-batch measurement, and of the theory beside it. Two quiet cores (AVX-512), `cargo bench -p
//! mftma-gradients --bench gradients`:
//!
//! | what | time |
//! |---|---|
//! | exact gradients of the groups, VGG-11 of width 8, 640 images of 32×32 | 0.26 s |
//! | the same with the norms of 64 single examples | 0.75 s |
//! | class moments of 640 × 1,024 features | 1.3 ms |
//! | expansion of a perceptron 1,024–128–128–10, 640 examples, smooth | 32 ms |
//! | the same, rectified | 15 ms |

use std::hint::black_box;
use std::ops::ControlFlow;

use criterion::{Criterion, criterion_group, criterion_main};
use mftma_gradients::theory::{Activation, ClassMoments, Expansion};
use mftma_gradients::{Examples, MeasureSettings, measure};
use mftma_train::{Architecture, ImageShape, NetworkSpec};
use ndarray::{Array2, Array4};
use rand::RngExt;

fn gradients(c: &mut Criterion) {
    let (classes, n) = (10usize, 640usize);
    let mut stream = mftma_data::stream(1, "benchmark");
    let images = Array4::from_shape_simple_fn((n, 1, 32, 32), || stream.random::<f32>() - 0.5);
    let labels: Vec<u16> = (0..n).map(|i| (i % classes) as u16).collect();
    let mask: Vec<bool> = (0..n).map(|i| i < n / 2).collect();
    let examples = Examples::new(images.view(), &labels, &labels, &mask).expect("counts agree");
    let input = ImageShape {
        channels: 1,
        height: 32,
        width: 32,
    };
    let spec = NetworkSpec {
        architecture: Architecture::Vgg11,
        width: 8,
        batch_norm: false,
        classes,
        input,
    };
    let mut network = spec
        .build(&mut |parameter| {
            let fan = parameter.fan_in() as f32;
            for value in parameter.values_mut() {
                *value = (stream.random::<f32>() - 0.5) * (6.0 / fan).sqrt();
            }
        })
        .expect("sizes fit");
    let mut group = c.benchmark_group("gradients");
    group.sample_size(10);
    for per_example in [0, 64] {
        let settings = MeasureSettings {
            per_example,
            ..MeasureSettings::default()
        };
        group.bench_function(
            format!("measure vgg11 width 8, 640 images, {per_example} single"),
            |b| {
                b.iter(|| {
                    measure(network.as_mut(), &examples, &settings, &mut |_, _| {
                        ControlFlow::Continue(())
                    })
                });
            },
        );
    }
    let features = Array2::from_shape_simple_fn((n, 1024), || stream.random::<f32>() - 0.5);
    group.bench_function("class moments, 640 × 1024", |b| {
        b.iter(|| ClassMoments::new(black_box(features.view()), &labels, classes));
    });
    let inputs = features.mapv(f64::from);
    let mut matrix = |rows, columns| {
        Array2::from_shape_simple_fn((rows, columns), || stream.random::<f64>() - 0.5)
    };
    let weights = vec![matrix(128, 1024), matrix(128, 128), matrix(classes, 128)];
    for (name, activation) in [
        ("smooth", Activation::TANH),
        ("rectified", Activation::Rectified),
    ] {
        let theory = Expansion::new(weights.clone(), activation).expect("shapes fit");
        group.bench_function(format!("expansion, {name}, 640 × 1024"), |b| {
            b.iter(|| theory.leading_gradients(black_box(inputs.view()), &labels));
        });
    }
    group.finish();
}

criterion_group!(benches, gradients);
criterion_main!(benches);
