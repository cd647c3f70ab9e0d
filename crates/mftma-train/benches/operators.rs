//! Convolutions and what surrounds them, forward and backward, on rayon's default pool.
//!
//! Throughput counts one element for each multiplication and each addition of the full kernel (as if no tap fell on
//! padding), so that "Gelem/s" is the GFLOP/s by which libraries are compared.
//!
//! ```text
//! RAYON_NUM_THREADS=2 cargo bench -p mftma-train --bench operators
//! ```

use std::hint::black_box;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use dfdx::prelude::ConstDim;
use mftma_train::ops::{
    BatchNorm, Const, Halve, Maps, OwnedTape, Parameter, ParameterRole, Rectifier, Value, Window,
    Workspace, back_propagate, convolution, max_pool, respond, respond_pooled,
};
use ndarray::Array4;

fn maps<H: ConstDim>(workspace: &Workspace, batch: usize, channels: usize) -> Value<Maps<H, H>> {
    let mut state = 1u32;
    let images = Array4::from_shape_simple_fn((batch, channels, H::SIZE, H::SIZE), || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    });
    workspace.images(images.view()).unwrap().track(true)
}

fn weight(name: &str, role: ParameterRole, shape: Vec<usize>) -> Parameter {
    let mut parameter = Parameter::new(name, "weight", role, shape);
    for (i, value) in parameter.values_mut().iter_mut().enumerate() {
        *value = (i % 13) as f32 * 0.01 - 0.05;
    }
    parameter
}

fn convolutions(criterion: &mut Criterion) {
    fn one<H: ConstDim>(criterion: &mut Criterion, inputs: usize, outputs: usize, batch: usize) {
        let workspace = Workspace::default();
        let x = maps::<H>(&workspace, batch, inputs);
        let gradient = maps::<H>(&workspace, batch, outputs);
        let kernel = weight(
            "conv",
            ParameterRole::ConvolutionWeight,
            vec![outputs, inputs, 3, 3],
        );
        let window = Window {
            kernel: 3,
            stride: 1,
            padding: 1,
        };
        let work = 2 * 9 * inputs * outputs * H::SIZE * H::SIZE * batch;
        let name = format!("{inputs}-{outputs}, {0}x{0}, {batch}", H::SIZE);
        let mut group = criterion.benchmark_group("convolution 3x3");
        group
            .sample_size(20)
            .throughput(Throughput::Elements(work as u64));
        group.bench_function(BenchmarkId::new("forward", &name), |bencher| {
            bencher.iter(|| -> Value<Maps<H, H>> {
                convolution(x.again(), &kernel, None, window).unwrap()
            });
        });
        group.throughput(Throughput::Elements(2 * work as u64));
        group.bench_function(BenchmarkId::new("backward", &name), |bencher| {
            bencher.iter_batched(
                || {
                    convolution(
                        x.again().with_tape(OwnedTape::default()),
                        &kernel,
                        None,
                        window,
                    )
                    .unwrap()
                },
                |output: Value<Maps<H, H>, _>| {
                    black_box(back_propagate(output, &gradient).unwrap())
                },
                BatchSize::PerIteration,
            );
        });
        group.finish();
    }
    one::<Const<32>>(criterion, 16, 16, 128);
    one::<Const<16>>(criterion, 32, 32, 128);
    one::<Const<8>>(criterion, 64, 64, 128);
    one::<Const<4>>(criterion, 128, 128, 128);
    one::<Const<2>>(criterion, 128, 128, 128);
    one::<Const<32>>(criterion, 3, 64, 128);
    one::<Const<32>>(criterion, 64, 64, 64);
    one::<Const<8>>(criterion, 256, 256, 64);
    one::<Const<4>>(criterion, 512, 512, 64);
}

/// Normalisation, rectifier and pooling on 16 channels of 32×32, batch 128: throughput in elements of the input.
fn element_wise(criterion: &mut Criterion) {
    type Side = Const<32>;
    let workspace = Workspace::default();
    let x = maps::<Side>(&workspace, 128, 16);
    let same = maps::<Side>(&workspace, 128, 16);
    let half = maps::<<Side as Halve>::Half>(&workspace, 128, 16);
    let scale = weight("norm", ParameterRole::Scale, vec![16]);
    let shift = weight("norm", ParameterRole::Shift, vec![16]);
    let norm = Some(BatchNorm {
        scale: &scale,
        shift: &shift,
        constants: None,
    });
    let mut group = criterion.benchmark_group("element-wise, 16, 32x32, 128");
    group.throughput(Throughput::Elements(128 * 16 * 32 * 32));
    let tape = || x.again().with_tape(OwnedTape::default());
    group.bench_function("norm-relu forward", |b| {
        b.iter(|| respond(x.again(), norm, Rectifier::Relu).unwrap())
    });
    group.bench_function("norm-relu backward", |b| {
        b.iter_batched(
            || respond(tape(), norm, Rectifier::Relu).unwrap().0,
            |output| black_box(back_propagate(output, &same).unwrap()),
            BatchSize::PerIteration,
        );
    });
    group.bench_function("norm-relu-pool forward", |b| {
        b.iter(|| respond_pooled(x.again(), norm, Rectifier::Relu).unwrap());
    });
    group.bench_function("norm-relu-pool backward", |b| {
        b.iter_batched(
            || respond_pooled(tape(), norm, Rectifier::Relu).unwrap().0,
            |output| black_box(back_propagate(output, &half).unwrap()),
            BatchSize::PerIteration,
        );
    });
    let window = Window {
        kernel: 3,
        stride: 2,
        padding: 1,
    };
    group.bench_function("max-pool 3x3 forward", |b| {
        b.iter(|| -> Value<Maps<Const<16>, Const<16>>> { max_pool(x.again(), window).unwrap() });
    });
    group.bench_function("max-pool 3x3 backward", |b| {
        b.iter_batched(
            || max_pool(tape(), window).unwrap(),
            |output: Value<Maps<Const<16>, Const<16>>, _>| {
                black_box(back_propagate(output, &half).unwrap())
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

criterion_group!(benches, convolutions, element_wise);
criterion_main!(benches);
