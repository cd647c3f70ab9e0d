//! Operators on the tape against PyTorch and against finite differences.

use std::path::Path;

use dfdx::prelude::{Backward, ConstDim, Cpu, HasShape, Shape};
use ndarray::{Array2, Array4, ArrayView4};
use safetensors::SafeTensors;

use super::value::{TapeGradients, collect};
use super::*;

/// Values computed by PyTorch; see `tests/fixtures/pytorch.py`.
struct Reference(Vec<u8>);

impl Reference {
    fn read() -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/pytorch.safetensors");
        Self(std::fs::read(path).unwrap())
    }

    fn get(&self, name: &str) -> (Vec<usize>, Vec<f32>) {
        let file = SafeTensors::deserialize(&self.0).unwrap();
        let tensor = file.tensor(name).unwrap();
        let (values, _) = tensor.data().as_chunks();
        (
            tensor.shape().to_vec(),
            values
                .iter()
                .map(|bytes| f32::from_le_bytes(*bytes))
                .collect(),
        )
    }

    fn maps(&self, name: &str) -> Array4<f32> {
        let (shape, values) = self.get(name);
        Array4::from_shape_vec([shape[0], shape[1], shape[2], shape[3]], values).unwrap()
    }

    fn parameter(&self, name: &str, role: ParameterRole) -> Parameter {
        let (shape, values) = self.get(name);
        let mut parameter = Parameter::new(name, "x", role, shape);
        parameter.values_mut().copy_from_slice(&values);
        parameter
    }
}

fn close(what: &str, found: impl IntoIterator<Item = f32>, wanted: &[f32], tolerance: f32) {
    let found: Vec<f32> = found.into_iter().collect();
    assert_eq!(found.len(), wanted.len(), "{what}");
    for (index, (found, wanted)) in found.iter().zip(wanted).enumerate() {
        assert!(
            (found - wanted).abs() <= tolerance * (1.0 + wanted.abs()),
            "{what}[{index}]: {found}, PyTorch {wanted}"
        );
    }
}

type Tape = OwnedTape<f32, Cpu>;

/// A gradient of any shape with as many values per example.
fn send_back<S: Shape>(output: Value<S, Tape>, gradient: ArrayView4<'_, f32>) -> TapeGradients {
    let mut data = output.data().pool().take(output.data().len());
    images::pack(gradient, data.lanes_mut());
    let gradient = Value::new(*output.shape(), data);
    back_propagate(output, &gradient).unwrap()
}

/// The gradient that came back to `value`.
fn returned<H: ConstDim, W: ConstDim>(
    gradients: &mut TapeGradients,
    value: &Value<Maps<H, W>>,
) -> Array2<f32> {
    let buffer = collect(
        gradients,
        value.node(),
        value.data().pool(),
        value.data().len(),
    )
    .unwrap();
    Value::new(*value.shape(), buffer).to_array()
}

/// Runs a one-input operator of the reference file and compares output and input gradient.
fn check<H: ConstDim, W: ConstDim, P: ConstDim, Q: ConstDim>(
    reference: &Reference,
    case: &str,
    operator: impl FnOnce(Value<Maps<H, W>, Tape>) -> Value<Maps<P, Q>, Tape>,
) -> TapeGradients {
    let x: Value<Maps<H, W>> = Workspace::default()
        .images(reference.maps(&format!("{case}.x")).view())
        .unwrap();
    let x = x.track(true);
    let output = operator(x.again().with_tape(Tape::default()));
    close(
        case,
        output.to_array(),
        &reference.get(&format!("{case}.output")).1,
        1e-5,
    );
    let (_, gradient) = reference.get(&format!("{case}.output.gradient"));
    let (batch, channels, ..) = *output.shape();
    let gradient = Array4::from_shape_vec([batch, channels, P::SIZE, Q::SIZE], gradient).unwrap();
    let mut gradients = send_back(output, gradient.view());
    let wanted = reference.get(&format!("{case}.x.gradient")).1;
    close(
        &format!("{case}, input"),
        returned(&mut gradients, &x),
        &wanted,
        1e-4,
    );
    gradients
}

#[test]
fn convolutions_agree_with_pytorch() {
    fn one<H: ConstDim, P: ConstDim>(reference: &Reference, case: &str, window: Window) {
        let weight = reference.parameter(&format!("{case}.w"), ParameterRole::ConvolutionWeight);
        let bias = reference.parameter(&format!("{case}.b"), ParameterRole::Bias);
        let mut gradients = check::<H, H, P, P>(reference, case, |x| {
            convolution(x, &weight, Some(&bias), window).unwrap()
        });
        for parameter in [&weight, &bias] {
            let wanted = reference.get(&format!("{}.gradient", parameter.layer())).1;
            close(
                parameter.layer(),
                collect_parameter(&mut gradients, parameter).unwrap(),
                &wanted,
                1e-4,
            );
        }
    }
    let reference = Reference::read();
    one::<Const<8>, Const<8>>(
        &reference,
        "conv3",
        Window {
            kernel: 3,
            stride: 1,
            padding: 1,
        },
    );
    one::<Const<8>, Const<4>>(
        &reference,
        "conv3s2",
        Window {
            kernel: 3,
            stride: 2,
            padding: 1,
        },
    );
    one::<Const<8>, Const<4>>(
        &reference,
        "conv1s2",
        Window {
            kernel: 1,
            stride: 2,
            padding: 0,
        },
    );
    one::<Const<16>, Const<4>>(
        &reference,
        "conv5s4",
        Window {
            kernel: 5,
            stride: 4,
            padding: 2,
        },
    );
}

#[test]
fn pooling_agrees_with_pytorch() {
    let reference = Reference::read();
    check::<Const<8>, Const<8>, Const<4>, Const<4>>(&reference, "max", |x| {
        max_pool(
            x,
            Window {
                kernel: 3,
                stride: 2,
                padding: 1,
            },
        )
        .unwrap()
    });
    check::<Const<8>, Const<8>, Const<4>, Const<4>>(&reference, "average", |x| {
        average_pool(
            x,
            Window {
                kernel: 2,
                stride: 2,
                padding: 0,
            },
        )
        .unwrap()
    });
    check::<Const<8>, Const<8>, Const<1>, Const<1>>(&reference, "global", |x| {
        let (x, tape) = global_average_pool(x).unwrap().split();
        let (batch, features) = *x.shape();
        x.reshaped((batch, features, Const, Const)).with_tape(tape)
    });
}

#[test]
fn normalisation_agrees_with_pytorch() {
    let reference = Reference::read();
    for case in ["norm", "fused"] {
        let scale = reference.parameter(&format!("{case}.gamma"), ParameterRole::Scale);
        let shift = reference.parameter(&format!("{case}.beta"), ParameterRole::Shift);
        let norm = Some(BatchNorm {
            scale: &scale,
            shift: &shift,
            constants: None,
        });
        let mut gradients = if case == "norm" {
            check::<Const<4>, Const<4>, Const<4>, Const<4>>(&reference, case, |x| {
                respond(x, norm, Rectifier::None).unwrap().0
            })
        } else {
            check::<Const<4>, Const<4>, Const<2>, Const<2>>(&reference, case, |x| {
                respond_pooled(x, norm, Rectifier::Relu).unwrap().0
            })
        };
        for parameter in [&scale, &shift] {
            let wanted = reference.get(&format!("{}.gradient", parameter.layer())).1;
            close(
                parameter.layer(),
                collect_parameter(&mut gradients, parameter).unwrap(),
                &wanted,
                1e-4,
            );
        }
    }
}

#[test]
fn residual_addition_agrees_with_pytorch() {
    let reference = Reference::read();
    let workspace = Workspace::default();
    let map = |name: &str| -> Value<Maps<Const<4>, Const<4>>> {
        workspace
            .images(reference.maps(name).view())
            .unwrap()
            .track(true)
    };
    let (a, b) = (map("residual.a"), map("residual.b"));
    let sum = residual_sum(
        a.again().with_tape(Tape::default()),
        b.again().with_tape(Tape::default()),
        Rectifier::Relu,
    );
    let sum = sum.unwrap();
    close(
        "residual",
        sum.to_array(),
        &reference.get("residual.output").1,
        1e-6,
    );
    let mut gradients = send_back(sum, reference.maps("residual.output.gradient").view());
    close(
        "a",
        returned(&mut gradients, &a),
        &reference.get("residual.a.gradient").1,
        1e-6,
    );
    close(
        "b",
        returned(&mut gradients, &b),
        &reference.get("residual.b.gradient").1,
        1e-6,
    );
}

fn features(rows: &Array2<f32>) -> Value<Features> {
    let (batch, count) = rows.dim();
    let maps = rows
        .clone()
        .into_shape_with_order((batch, count, 1, 1))
        .unwrap();
    let value: Value<Maps<Const<1>, Const<1>>> = Workspace::default().images(maps.view()).unwrap();
    value.track(true).reshaped((batch, count))
}

#[test]
fn linear_layer_agrees_with_pytorch() {
    let reference = Reference::read();
    let (shape, values) = reference.get("linear.input");
    let x = features(&Array2::from_shape_vec((shape[0], shape[1]), values).unwrap());
    let weight = reference.parameter("linear.weight", ParameterRole::LinearWeight);
    let bias = reference.parameter("linear.bias", ParameterRole::Bias);
    let y = linear(x.again().with_tape(Tape::default()), &weight, Some(&bias)).unwrap();
    close(
        "linear",
        y.to_array(),
        &reference.get("linear.output").1,
        1e-5,
    );
    let (shape, values) = reference.get("linear.output.gradient");
    let mut gradients = send_back(
        y,
        Array4::from_shape_vec([shape[0], shape[1], 1, 1], values)
            .unwrap()
            .view(),
    );
    for parameter in [&weight, &bias] {
        let wanted = reference.get(&format!("{}.gradient", parameter.layer())).1;
        close(
            parameter.layer(),
            collect_parameter(&mut gradients, parameter).unwrap(),
            &wanted,
            1e-4,
        );
    }
    let (batch, count) = *x.shape();
    let back = returned(
        &mut gradients,
        &x.reshaped((batch, count, Const::<1>, Const::<1>)),
    );
    close(
        "linear, input",
        back,
        &reference.get("linear.input.gradient").1,
        1e-4,
    );
}

#[test]
fn cross_entropy_agrees_with_pytorch() {
    let reference = Reference::read();
    let (shape, values) = reference.get("loss.scores");
    let x = features(&Array2::from_shape_vec((shape[0], shape[1]), values).unwrap());
    let result = cross_entropy(x.again().with_tape(Tape::default()), &[1, 0, 3, 2, 2]).unwrap();
    close(
        "loss",
        [result.mean as f32],
        &reference.get("loss.value").1,
        1e-6,
    );
    let mut gradients = result.loss.backward();
    let back = returned(
        &mut gradients,
        &x.reshaped((shape[0], shape[1], Const::<1>, Const::<1>)),
    );
    close("scores", back, &reference.get("loss.gradient").1, 1e-6);
}

#[test]
fn flattening_keeps_channel_row_column_order() {
    let maps = Array4::from_shape_fn([35, 3, 2, 4], |(n, c, y, x)| {
        (n * 1000 + c * 100 + y * 10 + x) as f32
    });
    let x: Value<Maps<Const<2>, Const<4>>> = Workspace::default().images(maps.view()).unwrap();
    let x = x.track(true);
    let y = flatten(x.again().with_tape(Tape::default())).unwrap();
    let rows = maps.clone().into_shape_with_order((35, 24)).unwrap();
    assert_eq!(y.to_array(), rows);
    let gradient = rows.clone().into_shape_with_order([35, 24, 1, 1]).unwrap();
    let mut gradients = send_back(y, gradient.view());
    assert_eq!(returned(&mut gradients, &x), rows);
}

#[test]
fn a_value_used_twice_gets_both_gradients() {
    let maps = Array4::from_shape_fn([2, 1, 2, 2], |(n, _, y, x)| (n + y + x) as f32 + 1.0);
    let x: Value<Maps<Const<2>, Const<2>>> = Workspace::default().images(maps.view()).unwrap();
    let x = x.track(true);
    let twice = residual_sum(
        x.again().with_tape(Tape::default()),
        x.again().with_tape(Tape::default()),
        Rectifier::None,
    );
    let mut gradients = send_back(twice.unwrap(), maps.view());
    let wanted: Vec<f32> = maps.iter().map(|v| 2.0 * v).collect();
    close("twice", returned(&mut gradients, &x), &wanted, 0.0);
}

#[test]
fn operands_that_do_not_fit_are_refused() {
    let images = Array4::zeros([2, 3, 8, 8]);
    let workspace = Workspace::default();
    let x = || -> Value<Maps<Const<8>, Const<8>>> { workspace.images(images.view()).unwrap() };
    let weight = Parameter::new(
        "c",
        "weight",
        ParameterRole::ConvolutionWeight,
        vec![4, 5, 3, 3],
    );
    let window = Window {
        kernel: 3,
        stride: 1,
        padding: 1,
    };
    let refused = |result: Result<Value<Maps<Const<8>, Const<8>>>, NetworkError>| {
        result.unwrap_err().to_string()
    };
    assert!(refused(convolution(x(), &weight, None, window)).contains("takes 5 channels"));
    let weight = Parameter::new(
        "c",
        "weight",
        ParameterRole::ConvolutionWeight,
        vec![4, 3, 3, 3],
    );
    assert!(
        refused(convolution(
            x(),
            &weight,
            None,
            Window {
                stride: 2,
                ..window
            }
        ))
        .contains("into 4×4, not 8×8")
    );
    assert!(
        refused(convolution(
            x(),
            &weight,
            None,
            Window {
                stride: 0,
                ..window
            }
        ))
        .contains("stride 0")
    );
    let bias = Parameter::new("c", "bias", ParameterRole::Bias, vec![3]);
    assert!(
        refused(convolution(x(), &weight, Some(&bias), window)).contains("3 values for 4 outputs")
    );
    let small: Result<Value<Maps<Const<4>, Const<4>>>, _> = workspace.images(images.view());
    assert!(small.unwrap_err().to_string().contains("3×4×4"));
    let scores = features(&Array2::zeros((2, 3)));
    assert!(
        cross_entropy(scores.again(), &[0])
            .unwrap_err()
            .to_string()
            .contains("2 images but 1 labels")
    );
    assert!(
        cross_entropy(scores, &[0, 3])
            .unwrap_err()
            .to_string()
            .contains("label 3 at position 1")
    );
}
