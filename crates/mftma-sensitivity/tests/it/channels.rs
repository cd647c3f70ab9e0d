use mftma_sensitivity::{
    Channel, Error, UndoSettings, channel_effects, channels, scores, undo, zero,
};
use mftma_train::{Architecture, Network, Place, StatisticsMode, predicted};
use ndarray::{Array2, Array4, Axis, s};

use crate::networks::{images, loss, network, parameter, set};

/// Two ordinary examples of the classes 0 and 1, which differ in the sign of their left half, and one of class 0 that is memorized as
/// class 3 by one unit of the first hidden layer, which fires for no other.
fn planted() -> (Box<dyn Network>, Array4<f32>, [u16; 3]) {
    let mut network = network(Architecture::Mlp, 1, false, 1);
    let mut x = Array4::zeros((3, 1, 32, 32));
    for ((i, _, row, column), pixel) in x.indexed_iter_mut() {
        let sign = if i == 1 { -1.0 } else { 1.0 };
        *pixel = match column {
            0..16 => sign,
            // The right half of the third is its own.
            _ if i == 2 => {
                if (row + column).is_multiple_of(2) {
                    1.0
                } else {
                    -1.0
                }
            }
            _ => 0.0,
        };
    }
    let pattern = |unit: usize, row: usize, column: usize| match (unit, column) {
        // Units 0 and 1: the left half, either sign; unit 5: the pattern of the third.
        (0, 0..16) => 1.0 / 512.0,
        (1, 0..16) => -1.0 / 512.0,
        (5, 16..32) => {
            if (row + column).is_multiple_of(2) {
                1.0 / 512.0
            } else {
                -1.0 / 512.0
            }
        }
        _ => 0.0,
    };
    let weights: Vec<f32> = (0..8 * 1024)
        .map(|i| pattern(i / 1024, i % 1024 / 32, i % 32))
        .collect();
    set(&mut *network, "fc1.weight", &weights);
    parameter(&mut *network, "fc1.bias").values_mut().fill(0.0);
    let identity: Vec<f32> = (0..64)
        .map(|i| f32::from(u8::from(i / 8 == i % 8)))
        .collect();
    set(&mut *network, "fc2.weight", &identity);
    parameter(&mut *network, "fc2.bias").values_mut().fill(0.0);
    // Class 0 reads unit 0, class 1 unit 1, class 3 unit 5, more strongly.
    let mut last = [0.0; 32];
    (last[0], last[8 + 1], last[3 * 8 + 5]) = (3.0, 3.0, 9.0);
    set(&mut *network, "fc3.weight", &last);
    parameter(&mut *network, "fc3.bias").values_mut().fill(0.0);
    (network, x, [0, 1, 3])
}

#[test]
fn the_one_channel_that_memorizes_an_example_is_found() {
    let (network, x, labels) = planted();
    let all = scores(&*network, x.view()).unwrap();
    let given: Vec<usize> = all.rows().into_iter().map(predicted).collect();
    assert_eq!(given, [0, 1, 3]);
    let others = x.slice(s![..2, .., .., ..]);
    let settings = UndoSettings::default();
    let (found, after) = undo(
        &*network,
        (x.index_axis(Axis(0), 2), 3),
        (others, &labels[..2]),
        &settings,
    )
    .unwrap();
    assert!(found.undone);
    // Its unit in either hidden layer: the second hands it on.
    assert_eq!(found.zeroed.len(), 1);
    let Channel { layer, channel } = found.zeroed[0];
    assert!((layer == 1 || layer == 2) && channel == 5, "{found:?}");
    assert_eq!(found.kept, Some(1.0));
    // Without it the example is what it looks like, and the others are what they were.
    let now: Vec<usize> = scores(&*after, x.view())
        .unwrap()
        .rows()
        .into_iter()
        .map(predicted)
        .collect();
    assert_eq!(now, [0, 1, 0]);
    // The network that was given is as before.
    assert_eq!(scores(&*network, x.view()).unwrap(), all);
}

#[test]
fn the_search_ends_at_its_limit_or_where_nothing_helps() {
    let (network, x, labels) = planted();
    let others = x.slice(s![..2, .., .., ..]);
    let none = UndoSettings {
        limit: 0,
        ..UndoSettings::default()
    };
    let target = (x.index_axis(Axis(0), 2), 3);
    let (found, _) = undo(&*network, target, (others, &labels[..2]), &none).unwrap();
    assert!(!found.undone && found.zeroed.is_empty());
    // An example that is wrong already is undone by nothing.
    let (found, _) = undo(&*network, (target.0, 1), (others, &labels[..2]), &none).unwrap();
    assert!(found.undone && found.zeroed.is_empty());
    // Nothing but the last layer's bias makes it class 2: no channel helps.
    let mut stubborn = network.duplicate();
    set(&mut *stubborn, "fc3.bias", &[0.0, 0.0, 100.0, 0.0]);
    let (found, _) = undo(
        &*stubborn,
        (target.0, 2),
        (others, &labels[..2]),
        &UndoSettings::default(),
    )
    .unwrap();
    assert!(!found.undone);
    let refused = undo(&*network, (target.0, 9), (others, &labels[..2]), &none)
        .err()
        .unwrap();
    assert!(
        matches!(refused, Error::Label { label: 9, .. }),
        "{refused}"
    );
    let nobody = x.slice(s![..0, .., .., ..]);
    assert!(undo(&*network, target, (nobody, &[]), &none).is_err());
}

/// Multiplies all that leaves a channel, as its own parameters can.
fn scaled(network: &dyn Network, channel: Channel, factor: f32) -> Box<dyn Network> {
    let mut other = network.duplicate();
    let name = network.layers()[channel.layer].name.clone();
    let normalised = network.spec().batch_norm;
    let names = match normalised {
        true => [format!("{name}.bn.gamma"), format!("{name}.bn.beta")],
        false => [format!("{name}.weight"), format!("{name}.bias")],
    };
    for array in names {
        let array = parameter(&mut *other, &array);
        let each = array.len() / array.shape()[0];
        let range = channel.channel * each..(channel.channel + 1) * each;
        array.values_mut()[range]
            .iter_mut()
            .for_each(|x| *x *= factor);
    }
    other
}

#[test]
fn effects_are_derivatives_by_a_channels_scale() {
    for (architecture, batch_norm) in [
        (Architecture::Vgg11, true),
        (Architecture::Vgg11, false),
        (Architecture::ResNetShallow, true),
    ] {
        let network = network(architecture, 2, batch_norm, 1);
        let (x, labels) = (images(4, 1, 3), [0, 1, 2, 3]);
        let step = network
            .duplicate()
            .loss_and_gradients(x.view(), &labels, StatisticsMode::Running)
            .unwrap();
        let effects = channel_effects(&*network, &step.gradients);
        let all: Vec<Channel> = effects.iter().map(|(channel, _)| *channel).collect();
        assert_eq!(all, channels(&*network));
        let largest = effects.iter().fold(0.0f64, |top, (_, e)| top.max(e.abs()));
        for (channel, effect) in effects.into_iter().step_by(5) {
            let at = |h: f32| loss(&*scaled(&*network, channel, 1.0 + h), &x, &labels);
            let slope = |h: f32| (at(h) - at(-h)) / (2.0 * f64::from(h));
            // Kinks bend long differences, rounding disturbs short ones.
            let found = [1e-4, 2e-4, 3e-4].map(slope).iter().sum::<f64>() / 3.0;
            assert!(
                (found - effect).abs() < 0.03 * effect.abs() + 0.02 * largest,
                "{architecture} {channel:?}: {found} {effect} {largest} {:?}",
                [1e-5, 3e-5, 1e-4, 3e-4, 1e-3].map(slope)
            );
        }
    }
}

#[test]
fn a_zeroed_channel_is_zero_everywhere() {
    for batch_norm in [true, false] {
        let mut network = network(Architecture::Vgg11, 2, batch_norm, 1);
        let x = images(3, 1, 3);
        let take = |network: &dyn Network| -> Array2<f32> {
            let mut found = None;
            network
                .activations(x.view(), &[3], Place::Activation, &mut |_, values| {
                    found = Some(values.to_owned())
                })
                .unwrap();
            found.unwrap()
        };
        assert_eq!(network.layers()[3].name, "conv2_1");
        let before = take(&*network);
        zero(
            &mut *network,
            Channel {
                layer: 3,
                channel: 1,
            },
        )
        .unwrap();
        let after = take(&*network);
        let side = 16 * 16;
        assert!(
            before
                .slice(s![.., side..2 * side])
                .iter()
                .any(|x| *x != 0.0)
        );
        assert!(
            after
                .slice(s![.., side..2 * side])
                .iter()
                .all(|x| *x == 0.0)
        );
        assert_eq!(after.slice(s![.., ..side]), before.slice(s![.., ..side]));
        let last = network.layers().len() - 1;
        for wrong in [
            Channel {
                layer: last,
                channel: 0,
            },
            Channel {
                layer: 0,
                channel: 0,
            },
            Channel {
                layer: 3,
                channel: 4,
            },
            Channel {
                layer: 99,
                channel: 0,
            },
        ] {
            assert!(zero(&mut *network, wrong).is_err(), "{wrong:?}");
        }
    }
}
