//! Operators on the tape against PyTorch, plain loops and finite differences.

use std::path::Path;

use dfdx::prelude::{Backward, ConstDim, Cpu, HasShape, Shape};
use ndarray::{Array2, Array4, ArrayView4};
use proptest::prelude::*;
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

/// The elements of a value of any shape, one row per example.
fn elements<S: Shape, T>(value: &Value<S, T>) -> Array2<f32> {
    let sizes: Vec<usize> = value.shape().concrete().into_iter().collect();
    let pixels = sizes[2..].iter().product();
    rows(value.data().lanes(), sizes[0], sizes[1], pixels)
}

/// The gradient that came back to `value`.
fn returned<S: Shape>(gradients: &mut TapeGradients, value: &Value<S>) -> Array2<f32> {
    let (pool, len) = (value.data().pool(), value.data().len());
    let buffer = collect(gradients, value.node(), pool, len).unwrap();
    elements(&Value::new(*value.shape(), buffer))
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
        as_maps(global_average_pool(x).unwrap())
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

fn maps<H: ConstDim>(images: &Array4<f32>) -> Value<Maps<H, H>> {
    let value = Workspace::default().images(images.view()).unwrap();
    value.track(true)
}

fn features(rows: &Array2<f32>) -> Value<Features> {
    let (batch, count) = rows.dim();
    let images = rows.clone().into_shape_with_order([batch, count, 1, 1]);
    maps::<Const<1>>(&images.unwrap()).reshaped((batch, count))
}

/// Features as maps of one pixel.
fn as_maps<T>(features: Value<Features, T>) -> Value<Maps<Const<1>, Const<1>>, T> {
    let (value, tape) = features.split();
    let (batch, count) = *value.shape();
    value.reshaped((batch, count, Const, Const)).with_tape(tape)
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
    close(
        "linear, input",
        returned(&mut gradients, &x),
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
    let back = returned(&mut gradients, &x);
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

/// `count` numbers from about -2 to 2, apart from each other and from 0 by at least `4 / count`, in a fixed disorder.
fn apart(count: usize) -> Vec<f32> {
    // A step that has no factor in common with the count visits every number once.
    let gcd = |mut a: usize, mut b: usize| {
        while b > 0 {
            (a, b) = (b, a % b);
        }
        a
    };
    let step = (count / 3 + 1..)
        .find(|step| gcd(*step, count) == 1)
        .unwrap();
    let number = |i: usize| (i * step % count) as f32 - count as f32 / 2.0 + 0.25;
    (0..count).map(|i| 4.0 * number(i) / count as f32).collect()
}

fn spread(shape: [usize; 4]) -> Array4<f32> {
    Array4::from_shape_vec(shape, apart(shape.iter().product())).unwrap()
}

/// A parameter of any shape with the values of `array`.
fn holding(role: ParameterRole, shape: &[usize], array: &Array4<f32>) -> Parameter {
    let mut parameter = Parameter::new("p", "x", role, shape.to_vec());
    parameter
        .values_mut()
        .copy_from_slice(array.as_slice().unwrap());
    parameter
}

/// `Σ output · weights` with fixed weights, and its gradient for each operand.
type Measured = (f64, Vec<Vec<f32>>);

fn measure<S: Shape, I: Shape>(
    output: Value<S, Tape>,
    values: &[&Value<I>],
    parameters: &[&Parameter],
) -> Measured {
    let found = elements(&output);
    let mut index = 0;
    let weights = Array2::from_shape_simple_fn(found.dim(), || {
        index += 1;
        (index * index % 101) as f32 / 50.0 - 1.0
    });
    let sizes: Vec<usize> = output.shape().concrete().into_iter().collect();
    let side = |axis: usize| sizes.get(axis).copied().unwrap_or(1);
    let shape = [sizes[0], sizes[1], side(2), side(3)];
    let sum = (found.iter().zip(&weights))
        .map(|(y, w)| f64::from(*y) * f64::from(*w))
        .sum();
    let weights = weights.into_shape_with_order(shape).unwrap();
    let mut gradients = send_back(output, weights.view());
    let mut all: Vec<Vec<f32>> = values
        .iter()
        .map(|value| returned(&mut gradients, value).into_iter().collect())
        .collect();
    all.extend(
        parameters
            .iter()
            .map(|p| collect_parameter(&mut gradients, p).unwrap()),
    );
    (sum, all)
}

/// The gradient of every number in every operand against a central difference. The operands' numbers are apart by more than the step,
/// so that no rectifier or maximum changes its mind.
fn check_differences(
    name: &str,
    operands: Vec<Array4<f32>>,
    operator: impl Fn(&[Array4<f32>]) -> Measured,
) {
    let (_, gradients) = operator(&operands);
    assert_eq!(gradients.len(), operands.len(), "{name}");
    for (which, gradient) in gradients.iter().enumerate() {
        assert_eq!(
            gradient.len(),
            operands[which].len(),
            "{name}, operand {which}"
        );
        let scale = gradient.iter().fold(0.0f32, |a, b| a.max(b.abs()));
        assert!(scale > 0.0, "{name}: operand {which} has no gradient");
        let step = 0.8 / operands[which].len().max(100) as f32;
        for (index, gradient) in gradient.iter().enumerate() {
            let at = |sign: f32| {
                let mut moved = operands.clone();
                let value = &mut moved[which].as_slice_mut().unwrap()[index];
                *value += sign * step;
                (f64::from(*value), operator(&moved).0)
            };
            let ((right, above), (left, below)) = (at(1.0), at(-1.0));
            let slope = (above - below) / (right - left);
            assert!(
                (slope - f64::from(*gradient)).abs() < 0.02 * f64::from(scale),
                "{name}, operand {which}, number {index}: {slope} by differences, {gradient} by the tape"
            );
        }
    }
}

#[test]
fn gradients_agree_with_differences() {
    use ParameterRole::*;
    let tape = Tape::default;
    type Four = Const<4>;
    type Two = Const<2>;
    // A few examples, and more than a block of them.
    for batch in [3, 33] {
        for (kernel, stride, padding) in [(3, 2, 1), (2, 2, 0), (1, 2, 0)] {
            let window = Window {
                kernel,
                stride,
                padding,
            };
            let shape = [3, 2, kernel, kernel];
            let operands = vec![
                spread([batch, 2, 4, 4]),
                spread(shape),
                spread([1, 1, 1, 3]),
            ];
            check_differences("convolution", operands, |o| {
                let x = maps::<Four>(&o[0]);
                let (w, b) = (
                    holding(ConvolutionWeight, &shape, &o[1]),
                    holding(Bias, &[3], &o[2]),
                );
                let y: Value<Maps<Two, Two>, Tape> =
                    convolution(x.again().with_tape(tape()), &w, Some(&b), window).unwrap();
                measure(y, &[&x], &[&w, &b])
            });
        }
        let operands = vec![
            spread([batch, 5, 1, 1]),
            spread([1, 1, 3, 5]),
            spread([1, 1, 1, 3]),
        ];
        check_differences("linear", operands, |o| {
            let x = maps::<Const<1>>(&o[0]).reshaped((batch, 5));
            let (w, b) = (
                holding(LinearWeight, &[3, 5], &o[1]),
                holding(Bias, &[3], &o[2]),
            );
            let y = linear(x.again().with_tape(tape()), &w, Some(&b)).unwrap();
            measure(y, &[&x], &[&w, &b])
        });
        let images = || vec![spread([batch, 2, 4, 4])];
        let window = Window {
            kernel: 3,
            stride: 2,
            padding: 1,
        };
        check_differences("maximum", images(), |o| {
            let x = maps::<Four>(&o[0]);
            let y: Value<Maps<Two, Two>, Tape> =
                max_pool(x.again().with_tape(tape()), window).unwrap();
            measure(y, &[&x], &[])
        });
        check_differences("average", images(), |o| {
            let x = maps::<Four>(&o[0]);
            let y: Value<Maps<Two, Two>, Tape> =
                average_pool(x.again().with_tape(tape()), window).unwrap();
            measure(y, &[&x], &[])
        });
        check_differences("global average", images(), |o| {
            let x = maps::<Four>(&o[0]);
            measure(
                global_average_pool(x.again().with_tape(tape())).unwrap(),
                &[&x],
                &[],
            )
        });
        check_differences("flatten", images(), |o| {
            let x = maps::<Four>(&o[0]);
            measure(flatten(x.again().with_tape(tape())).unwrap(), &[&x], &[])
        });
        check_differences("rectifier", vec![spread([batch, 7, 1, 1])], |o| {
            let x = maps::<Const<1>>(&o[0]).reshaped((batch, 7));
            measure(relu(x.again().with_tape(tape())).unwrap(), &[&x], &[])
        });
        check_differences("cross-entropy", vec![spread([batch, 4, 1, 1])], |o| {
            let x = maps::<Const<1>>(&o[0]).reshaped((batch, 4));
            let labels: Vec<u16> = (0..batch as u16).map(|i| i * 7 % 4).collect();
            let result = cross_entropy(x.again().with_tape(tape()), &labels).unwrap();
            let mut gradients = result.loss.backward();
            let gradient = returned(&mut gradients, &x);
            (result.mean, vec![gradient.into_iter().collect()])
        });
        for rectifier in [Rectifier::None, Rectifier::Relu] {
            // Two terms whose sums are apart too: one has numbers of half the size on a grid of half the step.
            let halves = spread([batch, 2, 4, 4]).mapv(|v| v / 2.0);
            check_differences("residual sum", vec![halves.clone(), halves], |o| {
                let (a, b) = (maps::<Four>(&o[0]), maps::<Four>(&o[1]));
                let (x, y) = (a.again().with_tape(tape()), b.again().with_tape(tape()));
                measure(residual_sum(x, y, rectifier).unwrap(), &[&a, &b], &[])
            });
            for (pooled, running) in [(false, false), (false, true), (true, false), (true, true)] {
                let gamma = Array4::from_shape_vec([1, 1, 1, 2], vec![1.5, -0.7]).unwrap();
                let beta = Array4::from_shape_vec([1, 1, 1, 2], vec![0.3, -0.1]).unwrap();
                // A gap about the mean, where the rectifier changes its mind.
                let x = spread([batch, 2, 4, 4]).mapv(|v| v + v.signum() / 2.0);
                let operands = vec![x, gamma, beta];
                check_differences(
                    &format!("normalisation, {rectifier:?}, pooled {pooled}, running {running}"),
                    operands,
                    |o| {
                        let x = maps::<Four>(&o[0]);
                        let (scale, shift) =
                            (holding(Scale, &[2], &o[1]), holding(Shift, &[2], &o[2]));
                        let norm = Some(BatchNorm {
                            scale: &scale,
                            shift: &shift,
                            constants: running.then_some((&[0.1, -0.1], &[0.8, 1.7])),
                        });
                        let input = x.again().with_tape(tape());
                        if pooled {
                            let y = respond_pooled(input, norm, rectifier).unwrap().0;
                            measure(y, &[&x], &[&scale, &shift])
                        } else {
                            let y = respond(input, norm, rectifier).unwrap().0;
                            measure(y, &[&x], &[&scale, &shift])
                        }
                    },
                );
            }
        }
    }
}

/// Numbers from -1 to 1 in any order.
fn numbers(count: usize) -> impl Strategy<Value = Vec<f32>> {
    proptest::collection::vec(-1.0f32..1.0, count)
}

fn near(found: &Array2<f32>, wanted: impl Fn(usize, usize) -> f64) -> Result<(), TestCaseError> {
    for ((n, i), found) in found.indexed_iter() {
        let wanted = wanted(n, i);
        prop_assert!(
            (f64::from(*found) - wanted).abs() < 1e-4,
            "example {n}, feature {i}: {found}, plain loops {wanted}"
        );
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(30))]

    #[test]
    fn linear_layer_is_the_plain_sum(
        (x, w, b, [batch, inputs, outputs]) in (1usize..70, 1usize..20, 1usize..20).prop_flat_map(|(n, i, o)| {
            (numbers(n * i), numbers(o * i), numbers(o), Just([n, i, o]))
        }),
    ) {
        let rows = Array2::from_shape_vec((batch, inputs), x.clone()).unwrap();
        let mut weight = Parameter::new("l", "w", ParameterRole::LinearWeight, vec![outputs, inputs]);
        weight.values_mut().copy_from_slice(&w);
        let mut bias = Parameter::new("l", "b", ParameterRole::Bias, vec![outputs]);
        bias.values_mut().copy_from_slice(&b);
        let found = linear(features(&rows), &weight, Some(&bias)).unwrap().to_array();
        prop_assert_eq!(found.dim(), (batch, outputs));
        near(&found, |n, o| {
            let terms = (0..inputs).map(|i| f64::from(x[n * inputs + i]) * f64::from(w[o * inputs + i]));
            f64::from(b[o]) + terms.sum::<f64>()
        })?;
    }

    #[test]
    fn maps_are_added_averaged_and_flattened(
        (a, b, batch, channels) in (1usize..70, 1usize..6).prop_flat_map(|(n, c)| {
            (numbers(n * c * 16), numbers(n * c * 16), Just(n), Just(c))
        }),
        rectified: bool,
    ) {
        let images = |values: &[f32]| Array4::from_shape_vec([batch, channels, 4, 4], values.to_vec()).unwrap();
        let (x, y) = (maps::<Const<4>>(&images(&a)), maps::<Const<4>>(&images(&b)));
        let at = |values: &[f32], n: usize, i: usize| f64::from(values[n * channels * 16 + i]);
        near(&flatten(x.again()).unwrap().to_array(), |n, i| at(&a, n, i))?;
        near(&global_average_pool(x.again()).unwrap().to_array(), |n, c| {
            (0..16).map(|pixel| at(&a, n, c * 16 + pixel)).sum::<f64>() / 16.0
        })?;
        let rectifier = if rectified { Rectifier::Relu } else { Rectifier::None };
        let floor = if rectified { 0.0 } else { f64::NEG_INFINITY };
        let sum = residual_sum(x, y, rectifier).unwrap();
        near(&sum.to_array(), |n, i| (at(&a, n, i) + at(&b, n, i)).max(floor))?;
    }

    #[test]
    fn batch_normalisation_is_the_plain_formula(
        (x, gamma, beta, batch, channels) in (2usize..70, 1usize..6).prop_flat_map(|(n, c)| {
            (numbers(n * c * 4), numbers(c), numbers(c), Just(n), Just(c))
        }),
    ) {
        let images = Array4::from_shape_vec([batch, channels, 2, 2], x.clone()).unwrap();
        let parameter = |role, values: &[f32]| {
            let mut parameter = Parameter::new("n", "p", role, vec![channels]);
            parameter.values_mut().copy_from_slice(values);
            parameter
        };
        let (scale, shift) = (parameter(ParameterRole::Scale, &gamma), parameter(ParameterRole::Shift, &beta));
        let norm = Some(BatchNorm { scale: &scale, shift: &shift, constants: None });
        let (y, moments) = respond(maps::<Const<2>>(&images), norm, Rectifier::Relu).unwrap();
        let moments = moments.unwrap();
        let count = (4 * batch) as f64;
        let plane = |c: usize| images.index_axis(ndarray::Axis(1), c).mapv(f64::from);
        let mean = |c: usize| plane(c).sum() / count;
        let variance = |c: usize| plane(c).mapv(|v| (v - mean(c)).powi(2)).sum() / count;
        for c in 0..channels {
            prop_assert!((f64::from(moments.mean[c]) - mean(c)).abs() < 1e-5);
            let unbiased = variance(c) * count / (count - 1.0);
            prop_assert!((f64::from(moments.variance[c]) - unbiased).abs() < 1e-5);
        }
        near(&y.to_array(), |n, i| {
            let c = i / 4;
            let x = f64::from(x[n * channels * 4 + i]);
            let normalised = (x - mean(c)) / (variance(c) + 1e-5).sqrt();
            (f64::from(gamma[c]) * normalised + f64::from(beta[c])).max(0.0)
        })?;
    }

    #[test]
    fn cross_entropy_is_the_plain_formula(
        (scores, labels, classes) in (1usize..70, 1usize..12).prop_flat_map(|(n, c)| {
            (numbers(n * c), proptest::collection::vec(0..c as u16, n), Just(c))
        }),
        size in prop_oneof![Just(1.0f32), Just(100.0)],
    ) {
        let rows = Array2::from_shape_vec((labels.len(), classes), scores).unwrap() * size;
        let result = cross_entropy(features(&rows), &labels).unwrap();
        let losses = rows.rows().into_iter().zip(&labels).map(|(row, label)| {
            let total: f64 = row.iter().map(|s| f64::from(*s).exp()).sum();
            total.ln() - f64::from(row[usize::from(*label)])
        });
        let mean = losses.sum::<f64>() / labels.len() as f64;
        prop_assert!((result.mean - mean).abs() < 1e-5 * (1.0 + mean));
        prop_assert_eq!(result.logits, rows);
    }
}
