use faer::Mat;
use mftma_linalg::thin_svd;
use mftma_sensitivity::{SpectralSettings, layer_norms, operators, path_norm};
use mftma_train::{Architecture, Network, ParameterRole};
use ndarray::{Array4, s};

use crate::networks::{images, linear_network, matrix, network};

/// The matrix of an operator, column by column.
fn explicit(operator: &mftma_sensitivity::LayerOperator) -> Mat<f64> {
    let columns: Vec<Vec<f64>> = (0..operator.inputs())
        .map(|i| {
            let mut unit = vec![0.0; operator.inputs()];
            unit[i] = 1.0;
            operator.apply(&unit)
        })
        .collect();
    Mat::from_fn(operator.outputs(), operator.inputs(), |i, j| columns[j][i])
}

#[test]
fn spectral_norms_are_the_largest_singular_values() {
    // Strides of one and two, kernels of one and three, linear layers; the wide maps are left out, their matrices are large.
    let settings = SpectralSettings {
        iterations: 4000,
        tolerance: 1e-13,
        seed: 3,
    };
    let mut seen = 0;
    for (architecture, batch_norm) in [
        (Architecture::Vgg11, true),
        (Architecture::ResNetShallow, true),
        (Architecture::Mlp, false),
    ] {
        let network = network(architecture, 1, batch_norm, 1);
        for operator in operators(&*network).unwrap() {
            if operator.inputs() > 300 && operator.layer() != "fc1" {
                continue;
            }
            let matrix = explicit(&operator);
            let (_, values, _) = thin_svd(matrix.as_ref()).unwrap();
            let found = operator.norms(&settings).unwrap();
            // From below, and nearer the farther the second value lies.
            let (off, gap) = (
                1.0 - found.spectral / values[0],
                1.0 - values[1] / values[0],
            );
            let near = if gap > 0.01 { 1e-6 } else { 1e-3 };
            assert!(
                (-1e-9..near).contains(&off),
                "{}: {off} {gap}",
                operator.layer()
            );
            // The residual says how far the nearest value may be.
            let square = found.spectral.powi(2);
            let nearest = values.iter().map(|s| (s * s - square).abs());
            let nearest = nearest.fold(f64::INFINITY, f64::min);
            assert!(nearest <= (found.residual + 1e-9) * square);
            let frobenius = values.iter().map(|s| s * s).sum::<f64>().sqrt();
            assert!(
                (found.frobenius / frobenius - 1.0).abs() < 1e-9,
                "{}",
                operator.layer()
            );
            assert!(found.stable_rank() >= 1.0 - 1e-9);
            // The transpose is the transpose.
            let y: Vec<f64> = (0..operator.outputs())
                .map(|i| (i % 7) as f64 - 3.0)
                .collect();
            let back = operator.apply_transposed(&y);
            for (j, back) in back.iter().enumerate() {
                let wanted: f64 = y.iter().enumerate().map(|(i, y)| y * matrix[(i, j)]).sum();
                assert!((back - wanted).abs() < 1e-9);
            }
            seen += 1;
        }
    }
    assert!(seen > 10, "{seen}");
}

/// An operator is what the network itself does to a difference of inputs, up to its rectifier.
#[test]
fn operators_are_those_of_the_network() {
    let network = network(Architecture::Vgg11, 2, true, 2);
    let (a, b) = (images(1, 2, 3), images(1, 2, 4));
    // What leaves the first layer before its rectifier, from its outputs before normalisation and its statistics.
    let outputs = |x: &Array4<f32>| {
        let mut found = None;
        network
            .activations(
                x.view(),
                &[1],
                mftma_train::Place::Preactivation,
                &mut |_, values| {
                    found = Some(values.row(0).mapv(f64::from).to_vec());
                },
            )
            .unwrap();
        found.unwrap()
    };
    let array = |role| {
        let (parameters, statistics) = (network.parameters(), network.statistics());
        let mut arrays = parameters.into_iter().chain(statistics);
        arrays
            .find(|p| p.layer() == "conv1_1" && p.role() == role)
            .unwrap()
            .values()
            .to_vec()
    };
    let (gamma, variance) = (
        array(ParameterRole::Scale),
        array(ParameterRole::RunningVariance),
    );
    let factor = |c: usize| f64::from(gamma[c]) / (f64::from(variance[c]) + 1e-5).sqrt();
    let operator = &operators(&*network).unwrap()[0];
    let difference: Vec<f64> = a
        .iter()
        .zip(&b)
        .map(|(a, b)| f64::from(*a) - f64::from(*b))
        .collect();
    let found = operator.apply(&difference);
    for (i, ((found, a), b)) in found.iter().zip(outputs(&a)).zip(outputs(&b)).enumerate() {
        assert!((found - factor(i / 1024) * (a - b)).abs() < 1e-4, "{i}");
    }
}

#[test]
fn the_path_norm_of_a_perceptron_by_enumeration() {
    let network = linear_network();
    let [one, two, three] =
        ["fc1.weight", "fc2.weight", "fc3.weight"].map(|name| matrix(&*network, name));
    let mut sum = 0.0;
    for c in 0..three.nrows() {
        for j in 0..two.nrows() {
            for i in 0..two.ncols() {
                for x in 0..one.ncols() {
                    sum += (three[[c, j]] * two[[j, i]] * one[[i, x]]).powi(2);
                }
            }
        }
    }
    let found = path_norm(&*network).unwrap();
    assert!(
        (found / sum.sqrt() - 1.0).abs() < 1e-5,
        "{found} {}",
        sum.sqrt()
    );
}

/// Normalisation is folded in: the same function with γ and the weights scaled against each other has the same norms; and rescaling a
/// layer against the next one, which changes no output, leaves the path norm alone.
#[test]
fn norms_do_not_see_how_a_function_is_written() {
    let network = network(Architecture::Vgg11, 2, true, 1);
    let settings = SpectralSettings::default();
    let (path, norms) = (
        path_norm(&*network).unwrap(),
        layer_norms(&*network, &settings).unwrap(),
    );
    let mut other = network.duplicate();
    let scale = |network: &mut dyn Network, layer: &str, role: ParameterRole, factor: f32| {
        for p in network.parameters_mut() {
            if p.layer() == layer && p.role() == role {
                p.values_mut().iter_mut().for_each(|x| *x *= factor);
            }
        }
    };
    scale(&mut *other, "conv2_1", ParameterRole::Scale, 4.0);
    scale(
        &mut *other,
        "conv2_1",
        ParameterRole::ConvolutionWeight,
        0.25,
    );
    assert!((path_norm(&*other).unwrap() / path - 1.0).abs() < 1e-5);
    let same = layer_norms(&*other, &settings).unwrap();
    for (a, b) in norms.iter().zip(&same) {
        assert!((a.spectral / b.spectral - 1.0).abs() < 1e-5, "{}", a.layer);
    }
    let mut other = network.duplicate();
    scale(&mut *other, "conv2_1", ParameterRole::Scale, 4.0);
    scale(&mut *other, "conv2_1", ParameterRole::Shift, 4.0);
    scale(
        &mut *other,
        "conv3_1",
        ParameterRole::ConvolutionWeight,
        0.25,
    );
    assert!((path_norm(&*other).unwrap() / path - 1.0).abs() < 1e-5);
    let moved = layer_norms(&*other, &settings).unwrap();
    assert!((moved[1].spectral / norms[1].spectral - 4.0).abs() < 1e-4);
    scale(&mut *other, "conv2_1", ParameterRole::Scale, 4.0);
    assert!(
        (path_norm(&*other).unwrap() / path - 4.0).abs() < 1e-4,
        "a changed function"
    );
}

/// The product of the spectral norms bounds how far apart scores can be.
#[test]
fn the_product_of_spectral_norms_is_a_lipschitz_bound() {
    let network = network(Architecture::Vgg11, 2, true, 1);
    let norms = layer_norms(&*network, &SpectralSettings::default()).unwrap();
    let bound: f64 = norms.iter().map(|n| n.spectral).product();
    let x = images(2, 1, 5);
    let z = network.logits(x.view()).unwrap();
    let length = |values: Vec<f32>| {
        values
            .iter()
            .map(|x| f64::from(*x).powi(2))
            .sum::<f64>()
            .sqrt()
    };
    let apart = length((&z.row(0) - &z.row(1)).to_vec());
    let (a, b) = (x.slice(s![0, .., .., ..]), x.slice(s![1, .., .., ..]));
    let between = length((&a - &b).iter().copied().collect());
    assert!(apart <= bound * between && apart > 0.0);
}
