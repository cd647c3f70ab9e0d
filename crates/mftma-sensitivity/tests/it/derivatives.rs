use mftma_sensitivity::{
    CriticalSettings, Error, JacobianMethod, Outputs, critical_samples, jacobian_norms,
    loss_gradients, margins, scores,
};
use mftma_train::{Architecture, StatisticsMode};
use ndarray::{Array2, Array4, Axis, s};

use crate::networks::{images, linear_network, loss, matrix, network, parameter, set};

/// Derivatives by the images, of all kinds of networks, against central differences along a random direction.
#[test]
fn pulling_back_to_images_agrees_with_finite_differences() {
    for (architecture, batch_norm) in [
        (Architecture::Mlp, false),
        (Architecture::Vgg11, true),
        (Architecture::ResNetShallow, true),
        (Architecture::AlexNet, false),
    ] {
        let network = network(architecture, 2, batch_norm, 2);
        let x = images(3, 2, 5);
        let direction = images(3, 2, 6);
        let v = images(1, 1, 8).into_shape_with_order((1024, 1)).unwrap();
        let v = v
            .slice(s![..12, ..])
            .to_owned()
            .into_shape_with_order((3, 4))
            .unwrap();
        let pulled = network
            .pull_back_to_images(x.view(), StatisticsMode::Running, &mut |scores| {
                assert_eq!(scores.dim(), (3, 4));
                v.clone()
            })
            .unwrap();
        assert_eq!(pulled.images.dim(), x.dim());
        assert_eq!(pulled.logits, network.logits(x.view()).unwrap());
        let slope: f64 = (&pulled.images * &direction)
            .iter()
            .map(|x| f64::from(*x))
            .sum();
        let value = |t: f32| -> f64 {
            let moved = &x + &(t * &direction);
            let scores = network.logits(moved.view()).unwrap();
            (&scores * &v).iter().map(|x| f64::from(*x)).sum()
        };
        // Kinks bend long differences, rounding disturbs short ones; several of these are averaged.
        let steps = [1e-4f32, 1.5e-4, 2e-4, 2.5e-4];
        let found = steps.map(|h| (value(h) - value(-h)) / (2.0 * f64::from(h)));
        let found = found.iter().sum::<f64>() / 4.0;
        let size = slope.abs().max(0.1);
        assert!(
            (found - slope).abs() < 0.03 * size,
            "{architecture}: {found} {slope} {:?}",
            [1e-5f32, 5e-5, 1e-4, 2e-4, 4e-4, 8e-4, 2e-3]
                .map(|h| (value(h) - value(-h)) / (2.0 * f64::from(h)))
        );
    }
}

#[test]
fn loss_sensitivity_is_the_gradient_of_the_loss() {
    let network = network(Architecture::Vgg11, 2, true, 1);
    let (x, labels) = (images(3, 1, 4), [0, 3, 2]);
    let found = loss_gradients(&*network, x.view(), &labels).unwrap();
    // The gradient by a block of pixels, pixel by pixel, of one example; all others of its pixels by the whole.
    for (i, found) in found.iter().enumerate() {
        let one = x.slice(s![i..i + 1, .., .., ..]).to_owned();
        assert!((found.loss - loss(&*network, &one, &labels[i..=i])).abs() < 1e-5);
        assert!(found.l2 > 0.0 && found.l1 >= found.l2);
    }
    let one = x.slice(s![1..2, .., .., ..]).to_owned();
    let (mut l1, mut squares) = (0.0, 0.0);
    for pixel in 0..1024 {
        let value = |h: f32| {
            let mut moved = one.clone();
            moved[[0, 0, pixel / 32, pixel % 32]] += h;
            loss(&*network, &moved, &labels[1..2])
        };
        let slope = (value(4e-3) - value(-4e-3)) / 8e-3;
        l1 += slope.abs();
        squares += slope * slope;
    }
    assert!(
        (found[1].l1 / l1 - 1.0).abs() < 0.02,
        "{} {l1}",
        found[1].l1
    );
    assert!(
        (found[1].l2 / squares.sqrt() - 1.0).abs() < 0.02,
        "{}",
        found[1].l2
    );
    let error = loss_gradients(&*network, x.view(), &[0, 1]).unwrap_err();
    assert!(matches!(error, Error::Length { .. }), "{error}");
    let error = loss_gradients(&*network, x.view(), &[0, 4, 1]).unwrap_err();
    assert!(
        error.to_string().contains("label 4 of example 1"),
        "{error}"
    );
}

fn frobenius(m: &Array2<f64>) -> f64 {
    m.iter().map(|x| x * x).sum::<f64>().sqrt()
}

#[test]
fn the_jacobian_of_a_linear_network_is_the_product_of_its_matrices() {
    let network = linear_network();
    let x = images(2, 1, 3);
    let product = matrix(&*network, "fc3.weight")
        .dot(&matrix(&*network, "fc2.weight"))
        .dot(&matrix(&*network, "fc1.weight"));
    let found =
        jacobian_norms(&*network, x.view(), Outputs::Scores, JacobianMethod::Exact).unwrap();
    for found in &found {
        assert!((found.norm() / frobenius(&product) - 1.0).abs() < 1e-5);
        assert_eq!(found.squared_error, 0.0);
    }
    // Behind the softmax: (diag p − p pᵀ) times the product.
    let mut network = network;
    parameter(&mut *network, "fc3.bias").values_mut().fill(0.0);
    let z = scores(&*network, x.view()).unwrap();
    // The hidden biases shift the scores far apart; the last bias takes that back.
    let shift: Vec<f32> = z
        .row(0)
        .iter()
        .enumerate()
        .map(|(c, z)| 0.3 * c as f32 - z)
        .collect();
    set(&mut *network, "fc3.bias", &shift);
    let z = scores(&*network, x.view()).unwrap();
    let found = jacobian_norms(
        &*network,
        x.view(),
        Outputs::Probabilities,
        JacobianMethod::Exact,
    )
    .unwrap();
    for (z, found) in z.rows().into_iter().zip(&found) {
        let e: Vec<f64> = z.iter().map(|z| f64::from(*z).exp()).collect();
        let p: Vec<f64> = e.iter().map(|x| x / e.iter().sum::<f64>()).collect();
        let response = Array2::from_shape_fn((4, 4), |(i, j)| {
            f64::from(u8::from(i == j)) * p[i] - p[i] * p[j]
        });
        let wanted = frobenius(&response.dot(&product));
        assert!(
            (found.norm() / wanted - 1.0).abs() < 1e-3,
            "{} {wanted}",
            found.norm()
        );
    }
}

#[test]
fn the_estimated_square_is_unbiased_and_says_how_far_it_is_off() {
    let network = network(Architecture::Vgg11, 2, true, 1);
    let x = images(40, 1, 3);
    for outputs in [Outputs::Scores, Outputs::Probabilities] {
        let exact = jacobian_norms(&*network, x.view(), outputs, JacobianMethod::Exact).unwrap();
        let method = JacobianMethod::Estimated {
            directions: 30,
            seed: 2,
        };
        let found = jacobian_norms(&*network, x.view(), outputs, method).unwrap();
        let off: Vec<f64> = (exact.iter().zip(&found))
            .map(|(exact, found)| (found.squared - exact.squared) / found.squared_error)
            .collect();
        let mean = off.iter().sum::<f64>() / 40.0;
        let square = off.iter().map(|z| z * z).sum::<f64>() / 40.0;
        assert!(mean.abs() < 0.6, "{mean}");
        assert!((0.4..2.5).contains(&square), "{square}");
    }
    let method = JacobianMethod::Estimated {
        directions: 1,
        seed: 2,
    };
    let error = jacobian_norms(&*network, x.view(), Outputs::Scores, method).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("directions = 1: give at least 2"),
        "{error}"
    );
}

/// A linear network of two classes has its boundary at a known distance: |z₀ − z₁| over the 1-norm of the difference of their weights.
#[test]
fn critical_samples_are_those_whose_boundary_is_within_the_radius() {
    let mut network = linear_network();
    let x = images(30, 1, 9);
    // Two classes compete, the others never win.
    let z = scores(&*network, x.view()).unwrap();
    let middle: f32 = z
        .column(0)
        .iter()
        .zip(z.column(1))
        .map(|(a, b)| a - b)
        .sum::<f32>()
        / 30.0;
    let bias = parameter(&mut *network, "fc3.bias").values_mut();
    bias[0] -= middle;
    bias[2] = -1e6;
    bias[3] = -1e6;
    let product = matrix(&*network, "fc3.weight")
        .dot(&matrix(&*network, "fc2.weight"))
        .dot(&matrix(&*network, "fc1.weight"));
    let slope = &product.row(0) - &product.row(1);
    let l1: f64 = slope.iter().map(|x| x.abs()).sum();
    let z = scores(&*network, x.view()).unwrap();
    let distances: Vec<f64> = z
        .rows()
        .into_iter()
        .map(|z| f64::from((z[0] - z[1]).abs()) / l1)
        .collect();
    let mut sorted = distances.clone();
    sorted.sort_by(f64::total_cmp);
    let radius = (sorted[14] + sorted[15]) / 2.0;
    // In a unit of its own.
    let unit = 0.25;
    let settings = CriticalSettings {
        radius: radius / unit,
        step: radius / unit / 4.0,
        noise: 0.0,
        iterations: 8,
        seed: 1,
    };
    let found = critical_samples(&*network, x.view(), &[unit], &settings).unwrap();
    for (found, distance) in found.iter().zip(&distances) {
        if (distance / radius - 1.0).abs() > 0.01 {
            assert_eq!(*found, *distance < radius, "{distance} {radius}");
        }
    }
    assert!(found.contains(&true) && found.contains(&false));
    // Examples are searched for one by one: a half alone gives the same, with noise too.
    let noisy = CriticalSettings {
        noise: 0.5 * settings.step,
        ..settings
    };
    let whole = critical_samples(&*network, x.view(), &[unit], &noisy).unwrap();
    let half = critical_samples(&*network, x.slice(s![..15, .., .., ..]), &[unit], &noisy).unwrap();
    assert_eq!(whole[..15], half);
    for (wrong, named) in [
        (
            CriticalSettings {
                radius: 0.0,
                ..settings
            },
            "radius",
        ),
        (
            CriticalSettings {
                step: f64::NAN,
                ..settings
            },
            "step",
        ),
        (
            CriticalSettings {
                noise: -1.0,
                ..settings
            },
            "noise",
        ),
        (
            CriticalSettings {
                iterations: 0,
                ..settings
            },
            "iterations",
        ),
    ] {
        let error = critical_samples(&*network, x.view(), &[unit], &wrong).unwrap_err();
        assert!(error.to_string().contains(named), "{error}");
    }
    assert!(critical_samples(&*network, x.view(), &[1.0, 1.0], &settings).is_err());
}

#[test]
fn margins_by_hand() {
    let network = network(Architecture::Mlp, 1, false, 1);
    let x: Array4<f32> = images(5, 1, 2);
    let z = network.logits(x.view()).unwrap();
    let found = margins(&*network, x.view(), &[0, 1, 2, 3, 0]).unwrap();
    for (i, (row, found)) in z.axis_iter(Axis(0)).zip(found).enumerate() {
        let mut others = row.to_vec();
        let own = others.remove(i % 4);
        let rival = others.into_iter().fold(f32::NEG_INFINITY, f32::max);
        assert!((found - f64::from(own - rival)).abs() < 1e-5);
    }
}
