use mftma_sensitivity::{circle, crossings, segment};
use mftma_train::Architecture;
use ndarray::{Array1, Array4, Axis, s};

use crate::networks::{images, matrix, network, parameter};

/// A perceptron whose second hidden layer is always on, so that regions are those of the first: its units' half-spaces.
fn one_hidden_layer() -> Box<dyn mftma_train::Network> {
    let mut network = network(Architecture::Mlp, 4, false, 1);
    parameter(&mut *network, "fc2.bias").values_mut().fill(1e4);
    network
}

fn flat(images: &Array4<f32>, i: usize) -> Array1<f64> {
    images
        .index_axis(Axis(0), i)
        .iter()
        .map(|x| f64::from(*x))
        .collect()
}

#[test]
fn switches_on_a_segment_are_the_units_that_differ_at_its_ends() {
    let mut network = one_hidden_layer();
    let ends = images(2, 1, 3);
    let weights = matrix(&*network, "fc1.weight");
    let bias: Vec<f64> = parameter(&mut *network, "fc1.bias")
        .values()
        .iter()
        .map(|x| f64::from(*x))
        .collect();
    let on = |i: usize| -> Vec<bool> {
        let z = weights.dot(&flat(&ends, i));
        z.iter().zip(&bias).map(|(z, b)| z + b > 0.0).collect()
    };
    let wanted = on(0).iter().zip(on(1)).filter(|(a, b)| **a != *b).count() as u64;
    assert!(wanted > 4, "{wanted}");
    let path = segment(
        ends.index_axis(Axis(0), 0),
        ends.index_axis(Axis(0), 1),
        500,
    )
    .unwrap();
    let found = crossings(&*network, path.view()).unwrap();
    assert_eq!(found.switches(), wanted);
    assert_eq!(
        (found.layers[0].layer.as_str(), found.layers[0].switches),
        ("fc1", wanted)
    );
    assert_eq!((found.layers.len(), found.layers[1].switches), (2, 0));
    assert_eq!((found.layers[0].units, found.steps), (32, 499));
    assert!(found.changed_steps <= wanted && found.changed_steps > wanted / 2);
    // Fewer points see fewer switches only where a unit switches twice: on a segment none does.
    let coarse = segment(ends.index_axis(Axis(0), 0), ends.index_axis(Axis(0), 1), 2).unwrap();
    assert_eq!(
        crossings(&*network, coarse.view()).unwrap().switches(),
        wanted
    );
}

/// On a circle a unit's input is a + b cos θ + c sin θ: it crosses 0 twice where |a| < √(b² + c²), else never.
#[test]
fn switches_on_a_circle_are_twice_the_units_that_it_crosses() {
    let mut network = one_hidden_layer();
    let three = images(3, 1, 8);
    let view = |i| three.index_axis(Axis(0), i);
    let path = circle([view(0), view(1), view(2)], 3000).unwrap();
    let weights = matrix(&*network, "fc1.weight");
    let bias: Vec<f64> = parameter(&mut *network, "fc1.bias")
        .values()
        .iter()
        .map(|x| f64::from(*x))
        .collect();
    // From points of the path at 0, a quarter and a half turn.
    let at = |k: usize| weights.dot(&flat(&path, k)) + &Array1::from(bias.clone());
    let (zero, quarter, half) = (at(0), at(750), at(1500));
    let crossed = (0..bias.len()).filter(|&unit| {
        let a = (zero[unit] + half[unit]) / 2.0;
        let (b, c) = (zero[unit] - a, quarter[unit] - a);
        a.abs() < (b * b + c * c).sqrt()
    });
    let crossed = crossed.count() as u64;
    assert!(crossed > 4);
    let found = crossings(&*network, path.view()).unwrap();
    assert_eq!(found.switches(), 2 * crossed);
}

#[test]
fn batches_join_and_convolutions_are_counted_layer_by_layer() {
    let network = network(Architecture::Vgg11, 2, true, 1);
    let ends = images(2, 1, 3);
    let path = segment(
        ends.index_axis(Axis(0), 0),
        ends.index_axis(Axis(0), 1),
        150,
    )
    .unwrap();
    let whole = crossings(&*network, path.view()).unwrap();
    assert_eq!(whole.layers.len(), 8);
    assert!(whole.layers.iter().all(|layer| layer.switches > 0));
    // Cut where no batch ends, with the point in common.
    let first = crossings(&*network, path.slice(s![..=80, .., .., ..])).unwrap();
    let second = crossings(&*network, path.slice(s![80.., .., .., ..])).unwrap();
    for (i, layer) in whole.layers.iter().enumerate() {
        assert_eq!(
            layer.switches,
            first.layers[i].switches + second.layers[i].switches
        );
    }
    assert_eq!(
        whole.changed_steps,
        first.changed_steps + second.changed_steps
    );
    assert!(crossings(&*network, path.slice(s![..1, .., .., ..])).is_err());
}
