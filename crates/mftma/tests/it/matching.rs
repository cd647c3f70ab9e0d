//! Maximum and simple matches against planted ones, and their algebra.

use mftma::ArrayActivations;
use mftma::Error;
use mftma::similarity::matching::{
    Neurons, Side, is_match, maximum_match, minimum_match, simple_matches,
};
use ndarray::{Array1, Array2, Axis, concatenate, s};
use proptest::prelude::*;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

fn noise(seed: u64, n: usize, p: usize) -> Array2<f64> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    Array2::from_shape_simple_fn((n, p), || StandardNormal.sample(&mut rng))
}

fn neurons(x: &Array2<f64>) -> Neurons {
    Neurons::new(&ArrayActivations::new(x.view(), &[x.nrows()]).unwrap()).unwrap()
}

fn beside(parts: &[Array2<f64>]) -> Array2<f64> {
    let views: Vec<_> = parts.iter().map(|p| p.view()).collect();
    concatenate(Axis(1), &views).unwrap()
}

/// Blocks of 2, 3 and 1 neurons a side that span the same spaces, then strangers: 2 in the first layer, 3 in the second.
fn planted(seed: u64, points: usize) -> (Array2<f64>, Array2<f64>) {
    let (mut x, mut y) = (Vec::new(), Vec::new());
    for (block, size) in [2, 3, 1].into_iter().enumerate() {
        let part = noise(seed + 10 * block as u64, points, size);
        y.push(part.dot(&noise(seed + 10 * block as u64 + 1, size, size)));
        x.push(part);
    }
    x.push(noise(seed + 50, points, 2));
    y.push(noise(seed + 60, points, 3));
    (beside(&x), beside(&y))
}

fn permuted(x: &Array2<f64>, order: &[usize]) -> Array2<f64> {
    x.select(Axis(1), order)
}

fn order(seed: u64, n: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..n).collect();
    order.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
    order
}

#[test]
fn planted_matches_are_found_exactly() {
    // More points than neurons, and fewer than both layers have together.
    for (seed, points) in [(1, 60), (2, 60), (3, 13)] {
        let (x, y) = planted(seed, points);
        let (a, b) = (neurons(&x), neurons(&y));
        let found = maximum_match(&a, &b, 0.0).unwrap();
        assert_eq!(found.first, [0, 1, 2, 3, 4, 5], "{points} points");
        assert_eq!(found.second, [0, 1, 2, 3, 4, 5]);
        assert_eq!(found.similarity(), 12.0 / 17.0);
        assert_eq!((found.sizes, found.ranks), ((8, 9), (8, 9)));
        assert!(
            found
                .first_distances
                .iter()
                .chain(&found.second_distances)
                .all(|&d| d < 1e-8)
        );
        assert!(found.removed.iter().all(|r| r.distance > 0.1));
        assert!(found.verify(&a, &b).unwrap());

        let simple = simple_matches(&a, &b, 0.0).unwrap();
        let sets: Vec<_> = simple
            .iter()
            .map(|m| (m.first.clone(), m.second.clone()))
            .collect();
        assert_eq!(
            sets,
            [
                (vec![5], vec![5]),
                (vec![0, 1], vec![0, 1]),
                (vec![2, 3, 4], vec![2, 3, 4])
            ]
        );
        assert_eq!(simple[0].minimum_for, [(Side::First, 5), (Side::Second, 5)]);
        assert_eq!(simple[2].minimum_for.len(), 6);
    }
}

#[test]
fn neurons_fall_one_after_another() {
    // x0 needs y0 and y1; y1 needs x1; x1 is a stranger to all of the second layer: so all fall but x2 and y2.
    let z = noise(4, 30, 4);
    let (e, f, g, h) = (z.column(0), z.column(1), z.column(2), z.column(3));
    let x = ndarray::stack![Axis(1), &e + &f, &f + &g, h];
    let y = ndarray::stack![Axis(1), e, f, 3.0 * &h];
    let (a, b) = (neurons(&x), neurons(&y));
    let found = maximum_match(&a, &b, 0.0).unwrap();
    assert_eq!((&found.first[..], &found.second[..]), (&[2][..], &[2][..]));
    let rounds: Vec<_> = found
        .removed
        .iter()
        .map(|r| (r.side, r.neuron, r.round))
        .collect();
    assert_eq!(
        rounds,
        [
            (Side::First, 1, 0),
            (Side::Second, 0, 1),
            (Side::Second, 1, 1),
            (Side::First, 0, 2)
        ]
    );
    assert!(found.verify(&a, &b).unwrap());
}

#[test]
fn a_false_certificate_is_refused() {
    let (x, y) = planted(5, 40);
    let (a, b) = (neurons(&x), neurons(&y));
    let found = maximum_match(&a, &b, 0.0).unwrap();
    // A matched neuron said to be dropped; a dropped one said to match; one that is nowhere; another tolerance.
    let mut forged = found.clone();
    forged.removed[0].neuron = forged.first.remove(0);
    assert!(!forged.verify(&a, &b).unwrap());
    let mut forged = found.clone();
    let back = forged.removed.remove(0);
    assert_eq!(back.side, Side::First);
    forged.first.push(back.neuron);
    assert!(!forged.verify(&a, &b).unwrap());
    let mut forged = found.clone();
    forged.first.pop();
    assert!(!forged.verify(&a, &b).unwrap());
    let mut forged = found.clone();
    forged.epsilon = 0.9999;
    assert!(!forged.verify(&a, &b).unwrap());
    assert!(matches!(
        found.verify(&b, &a),
        Err(Error::Neuron { .. }) | Ok(false)
    ));
}

#[test]
fn tolerance_admits_noise_of_its_size() {
    // A unit vector with noise of relative size δ orthogonal to it is δ/√(1 + δ²) away from the line of the other.
    let z = noise(6, 200, 2);
    let e = &z.column(0) / z.column(0).dot(&z.column(0)).sqrt();
    let other: Array1<f64> = &z.column(1) - &(e.dot(&z.column(1)) * &e);
    let other = &other / other.dot(&other).sqrt();
    let noisy = &e + &(0.1 * &other);
    let distance = 0.1 / 1.01f64.sqrt();
    let x = e.insert_axis(Axis(1));
    let y = noisy.insert_axis(Axis(1));
    let (a, b) = (neurons(&x), neurons(&y));
    let below = maximum_match(&a, &b, distance - 1e-9).unwrap();
    assert_eq!(below.similarity(), 0.0);
    assert!((below.removed[0].distance - distance).abs() < 1e-12);
    let above = maximum_match(&a, &b, distance + 1e-9).unwrap();
    assert_eq!(above.similarity(), 1.0);
    assert!((above.second_distances[0] - distance).abs() < 1e-12);
}

#[test]
fn special_layers() {
    let x = noise(7, 20, 6);
    let a = neurons(&x);
    // Any invertible map of the neurons, and the layer itself.
    let b = neurons(&x.dot(&noise(8, 6, 6)));
    assert_eq!(maximum_match(&a, &b, 0.0).unwrap().similarity(), 1.0);
    assert_eq!(simple_matches(&a, &a, 0.0).unwrap().len(), 6);
    // Independent noise in many dimensions; in as few as there are neurons one side spans all.
    let strangers = maximum_match(&a, &neurons(&noise(9, 20, 6)), 0.1).unwrap();
    assert_eq!(strangers.similarity(), 0.0);
    let few = |seed| neurons(&noise(seed, 6, 6));
    let trivial = maximum_match(&few(10), &few(11), 0.0).unwrap();
    assert_eq!((trivial.similarity(), trivial.ranks), (1.0, (6, 6)));
    // A silent neuron matches by itself.
    let mut y = noise(12, 20, 3);
    y.column_mut(1).fill(0.0);
    let silent = maximum_match(&a, &neurons(&y), 0.0).unwrap();
    assert_eq!((&silent.second[..], silent.silent), (&[1][..], (0, 1)));
    let lone = minimum_match(&a, &neurons(&y), Side::Second, 1, 0.0).unwrap();
    assert_eq!(lone.unwrap().second, [1]);
    assert_eq!(
        minimum_match(&a, &neurons(&y), Side::Second, 0, 0.0).unwrap(),
        None
    );
}

#[test]
fn unusable_input_is_refused() {
    let (a, b) = (neurons(&noise(1, 5, 2)), neurons(&noise(2, 6, 2)));
    assert!(matches!(
        maximum_match(&a, &b, 0.1),
        Err(Error::DifferentPoints {
            first: 5,
            second: 6
        })
    ));
    for epsilon in [-0.1, 1.0, f64::NAN] {
        assert!(matches!(
            maximum_match(&a, &a, epsilon),
            Err(Error::Setting { .. })
        ));
    }
    assert!(matches!(
        is_match(&a, &a, &[2], &[], 0.1),
        Err(Error::Neuron { neuron: 2, size: 2 })
    ));
    assert!(minimum_match(&a, &a, Side::First, 7, 0.1).is_err());
    let one = noise(3, 1, 4);
    let source = ArrayActivations::new(one.view(), &[1]).unwrap();
    assert!(matches!(
        Neurons::new(&source),
        Err(Error::TooFewPoints { found: 1 })
    ));
}

/// Two layers of random mixtures of a few shared directions and noise of their own, at which matches differ with ε.
fn layers(seed: u64, points: usize, p: usize, q: usize) -> (Array2<f64>, Array2<f64>) {
    let shared = noise(seed, points, 3);
    let layer = |seed: u64, size: usize| {
        let own = noise(seed, points, size);
        let scale = noise(seed + 1, 1, size).mapv(|x| 0.3 * x.powi(2));
        shared.dot(&noise(seed + 2, 3, size)) + own * scale
    };
    (layer(seed + 100, p), layer(seed + 200, q))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn matches_grow_with_the_tolerance(seed in 0u64..10_000, p in 1usize..7, q in 1usize..7) {
        let (x, y) = layers(seed, 25, p, q);
        let (a, b) = (neurons(&x), neurons(&y));
        let mut before = (Vec::new(), Vec::new());
        for epsilon in [0.0, 0.05, 0.1, 0.2, 0.3, 0.5, 0.8, 0.99] {
            let found = maximum_match(&a, &b, epsilon).unwrap();
            prop_assert!(before.0.iter().all(|i| found.first.contains(i)));
            prop_assert!(before.1.iter().all(|i| found.second.contains(i)));
            prop_assert!(found.verify(&a, &b).unwrap());
            prop_assert!(is_match(&a, &b, &found.first, &found.second, epsilon).unwrap());
            before = (found.first, found.second);
        }
    }

    /// Every match lies in the maximum match, every union of matches is one: over all pairs of sets of small layers.
    #[test]
    fn the_maximum_is_the_union_of_all_matches(seed in 0u64..10_000, p in 1usize..4, q in 1usize..4, epsilon in 0.05f64..0.7) {
        let (x, y) = layers(seed, 12, p, q);
        let (a, b) = (neurons(&x), neurons(&y));
        let chosen = |bits: usize, of: usize| (0..of).filter(|i| bits >> i & 1 == 1).collect::<Vec<_>>();
        let mut matches = Vec::new();
        for (left, right) in (0..1 << p).flat_map(|l| (0..1 << q).map(move |r| (l, r))) {
            if is_match(&a, &b, &chosen(left, p), &chosen(right, q), epsilon).unwrap() {
                matches.push((left, right));
            }
        }
        for &(l, r) in &matches {
            for &(k, s) in &matches {
                prop_assert!(matches.contains(&(l | k, r | s)));
            }
        }
        let union = matches.iter().fold((0, 0), |u, m| (u.0 | m.0, u.1 | m.1));
        let found = maximum_match(&a, &b, epsilon).unwrap();
        prop_assert_eq!((&found.first, &found.second), (&chosen(union.0, p), &chosen(union.1, q)));
        // Simple matches: no smaller match holds their neuron, and together they are the maximum match.
        let mut together = (0, 0);
        for simple in simple_matches(&a, &b, epsilon).unwrap() {
            let bits = |set: &[usize]| set.iter().fold(0, |m, i| m | 1 << i);
            let whole: (usize, usize) = (bits(&simple.first), bits(&simple.second));
            prop_assert!(matches.contains(&whole));
            together = (together.0 | whole.0, together.1 | whole.1);
            for &(side, v) in &simple.minimum_for {
                let smaller = matches.iter().find(|m| {
                    m.0 & !whole.0 == 0 && m.1 & !whole.1 == 0 && **m != whole
                        && [m.0, m.1][side as usize] >> v & 1 == 1
                });
                prop_assert_eq!(smaller, None);
            }
        }
        prop_assert_eq!(together, union);
    }

    #[test]
    fn order_and_scale_of_neurons_do_not_matter(seed in 0u64..10_000, p in 1usize..8, q in 1usize..8, epsilon in 0.0f64..0.6) {
        let (x, y) = layers(seed, 25, p, q);
        let found = maximum_match(&neurons(&x), &neurons(&y), epsilon).unwrap();
        let (left, right) = (order(seed, p), order(seed + 1, q));
        let scaled = permuted(&x, &left) * noise(seed + 2, 1, p).mapv(|s| 1e150 * (s + 0.01 * s.signum()));
        let moved = maximum_match(&neurons(&scaled), &neurons(&permuted(&y, &right)), epsilon).unwrap();
        let sorted = |set: &[usize], by: &[usize]| {
            let mut original: Vec<usize> = set.iter().map(|&i| by[i]).collect();
            original.sort_unstable();
            original
        };
        prop_assert_eq!(sorted(&moved.first, &left), found.first.clone());
        prop_assert_eq!(sorted(&moved.second, &right), found.second.clone());
        // The sides may be exchanged, and the points reordered.
        let swapped = maximum_match(&neurons(&y), &neurons(&x), epsilon).unwrap();
        prop_assert_eq!((&swapped.second, &swapped.first), (&found.first, &found.second));
        let reversed = |z: &Array2<f64>| neurons(&z.slice(s![..;-1, ..]).to_owned());
        let turned = maximum_match(&reversed(&x), &reversed(&y), epsilon).unwrap();
        prop_assert_eq!((turned.first, turned.second), (found.first, found.second));
    }

    /// Planted exact matches in any order: simple matches do not depend on it where each layer's neurons are independent.
    #[test]
    fn planted_matches_in_any_order(seed in 0u64..10_000) {
        let (x, y) = planted(seed, 40);
        let (left, right) = (order(seed, 8), order(seed + 1, 9));
        let simple = simple_matches(&neurons(&permuted(&x, &left)), &neurons(&permuted(&y, &right)), 0.0).unwrap();
        let sets: Vec<_> = simple.iter().map(|m| {
            let mut sides = [
                m.first.iter().map(|&i| left[i]).collect::<Vec<_>>(),
                m.second.iter().map(|&i| right[i]).collect(),
            ];
            sides.iter_mut().for_each(|side| side.sort_unstable());
            sides
        }).collect();
        let expected: Vec<[Vec<usize>; 2]> = [vec![5], vec![0, 1], vec![2, 3, 4]].into_iter().map(|s| [s.clone(), s]).collect();
        prop_assert_eq!(sets, expected);
    }
}
