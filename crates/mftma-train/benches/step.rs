//! A whole training step (forward, loss, backward, SGD with momentum) of VGG-16 and ResNet-18 with batch normalisation, and of AlexNet
//! without, on 128 images of 3×32×32; throughput in images.
//!
//! ```text
//! RAYON_NUM_THREADS=2 cargo bench -p mftma-train --bench step
//! python benches/pytorch.py        # the same step in PyTorch, to be run in the same quiet minute
//! ```

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use mftma_train::{
    Architecture, ImageShape, NetworkSpec, Optimizer, OptimizerSettings, ParameterRole,
    StatisticsMode,
};
use ndarray::Array4;

const BATCH: usize = 128;

fn steps(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("step");
    group
        .sample_size(10)
        .throughput(Throughput::Elements(BATCH as u64));
    for (name, architecture, width, batch_norm) in [
        ("vgg16", Architecture::Vgg16, 8, true),
        ("vgg16", Architecture::Vgg16, 16, true),
        ("vgg16", Architecture::Vgg16, 64, true),
        ("resnet18", Architecture::ResNet18, 16, true),
        ("resnet18", Architecture::ResNet18, 64, true),
        ("alexnet", Architecture::AlexNet, 16, false),
        ("alexnet", Architecture::AlexNet, 64, false),
    ] {
        let input = ImageShape {
            channels: 3,
            height: 32,
            width: 32,
        };
        let spec = NetworkSpec {
            architecture,
            width,
            batch_norm,
            classes: 100,
            input,
        };
        let mut state = 1u32;
        let mut draw = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        };
        let mut network = spec
            .build(&mut |parameter| {
                let bound = (6.0 / parameter.fan_in() as f32).sqrt();
                if matches!(
                    parameter.role(),
                    ParameterRole::ConvolutionWeight | ParameterRole::LinearWeight
                ) {
                    parameter.values_mut().fill_with(|| bound * draw());
                }
            })
            .unwrap();
        let images = Array4::from_shape_simple_fn((BATCH, 3, 32, 32), &mut draw);
        let labels: Vec<u16> = (0..BATCH as u16).map(|i| i % 100).collect();
        let mut optimizer = Optimizer::new(
            OptimizerSettings::default(),
            network.parameters().iter().map(|p| (p.name(), p.len())),
        );
        group.bench_function(BenchmarkId::new(name, width), |bencher| {
            bencher.iter(|| {
                let step = network
                    .loss_and_gradients(images.view(), &labels, StatisticsMode::Batch)
                    .unwrap();
                optimizer.begin_step();
                let parameters = network.parameters_mut();
                for (index, (parameter, gradient)) in
                    parameters.into_iter().zip(&step.gradients).enumerate()
                {
                    optimizer.update(index, 0.01, parameter.values_mut(), gradient);
                }
                step.loss
            });
        });
    }
    group.finish();
}

criterion_group!(benches, steps);
criterion_main!(benches);
