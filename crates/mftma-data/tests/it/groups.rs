use std::collections::BTreeSet;

use mftma_data::{
    Error, ExampleGroup as Group, LabelPermutation, ManifoldIndices, ManifoldSettings,
    PermutationScheme, Shortage, draw_manifolds,
};
use proptest::prelude::*;

use crate::{at_thread_counts, refused};

fn permutation(classes: usize, per_class: usize, fraction: f64, seed: u64) -> LabelPermutation {
    let labels: Vec<u16> = (0..classes * per_class)
        .map(|i| (i % classes) as u16)
        .collect();
    LabelPermutation::draw(&labels, classes, fraction, PermutationScheme::Permute, seed).unwrap()
}

fn settings(manifolds: usize, examples: usize, seed: u64, shortage: Shortage) -> ManifoldSettings {
    ManifoldSettings {
        manifolds,
        examples,
        seed,
        shortage,
    }
}

/// Every property that a draw has whatever the settings.
fn check(drawn: &ManifoldIndices, permutation: &LabelPermutation, test: &[u16], limit: usize) {
    let mut seen = BTreeSet::new();
    assert!(drawn.classes().is_sorted());
    assert_eq!(drawn.classes().len(), drawn.indices().len());
    for (&class, list) in drawn.classes().iter().zip(drawn.indices()) {
        assert!(!list.is_empty() && list.len() <= limit && list.is_sorted());
        for &i in list {
            assert!(seen.insert(i), "example {i} is in two manifolds");
            let (label, chosen) = match drawn.group() {
                Group::Unpermuted => (permutation.true_labels()[i], Some(false)),
                Group::Permuted => (permutation.assigned_labels()[i], Some(true)),
                Group::Restored => (permutation.true_labels()[i], Some(true)),
                Group::Test => (test[i], None),
            };
            assert_eq!(label, class);
            assert!(chosen.is_none_or(|chosen| chosen == permutation.mask()[i]));
        }
    }
    assert_eq!(
        drawn.flat().len(),
        drawn.points_per_manifold().iter().sum::<usize>()
    );
}

/// The most images that any choice could hold: a plain maximum flow, one unit at a time, written apart from the
/// library's to check it.
fn most_pairs(permutation: &LabelPermutation, classes: &[u16], limit: usize) -> usize {
    let p = classes.len();
    let (source, sink) = (2 * p, 2 * p + 1);
    let mut capacity = vec![vec![0i64; 2 * p + 2]; 2 * p + 2];
    for i in (0..permutation.len()).filter(|&i| permutation.mask()[i]) {
        let place = |label: u16| classes.iter().position(|&class| class == label);
        let ends = (
            place(permutation.assigned_labels()[i]),
            place(permutation.true_labels()[i]),
        );
        if let (Some(row), Some(column)) = ends {
            capacity[row][p + column] += 1;
        }
    }
    for class in 0..p {
        capacity[source][class] = limit as i64;
        capacity[p + class][sink] = limit as i64;
    }
    fn push(at: usize, sink: usize, capacity: &mut [Vec<i64>], seen: &mut [bool]) -> bool {
        seen[at] = true;
        for next in 0..capacity.len() {
            if !seen[next]
                && capacity[at][next] > 0
                && (next == sink || push(next, sink, capacity, seen))
            {
                capacity[at][next] -= 1;
                capacity[next][at] += 1;
                return true;
            }
        }
        at == sink
    }
    let mut flow = 0;
    while push(source, sink, &mut capacity, &mut vec![false; 2 * p + 2]) {
        flow += 1;
    }
    flow
}

proptest! {
    #[test]
    fn every_group_holds_what_it_should(
        classes in 2usize..8, per_class in 4usize..40, fraction in 0.1..0.9f64,
        manifolds in 1usize..8, examples in 1usize..12, seed: u64,
    ) {
        prop_assume!(manifolds <= classes);
        let permutation = permutation(classes, per_class, fraction, seed);
        let test: Vec<u16> = (0..classes * 5).map(|i| (i / 5) as u16).collect();
        let draw = |group, shortage| {
            draw_manifolds(group, &permutation, &test, &settings(manifolds, examples, seed, shortage))
        };
        let mut common: Option<Vec<u16>> = None;
        for group in Group::ALL {
            match draw(group, Shortage::Take) {
                Ok(drawn) => {
                    check(&drawn, &permutation, &test, examples);
                    let classes = common.get_or_insert(drawn.classes().to_vec());
                    prop_assert_eq!(&classes[..], drawn.classes());
                }
                Err(Error::Shortage { had, .. }) => prop_assert_eq!(had, 0),
                Err(error) => return Err(TestCaseError::fail(error.to_string())),
            }
            // Refusing is taking, where all there is is enough.
            match (draw(group, Shortage::Refuse), draw(group, Shortage::Take)) {
                (Ok(drawn), Ok(taken)) => {
                    prop_assert!(drawn.indices().iter().all(|list| list.len() == examples));
                    prop_assert_eq!(drawn, taken);
                }
                (Err(Error::Shortage { class, wanted, had, .. }), taken) => {
                    prop_assert!(had < wanted && wanted == examples);
                    if let Ok(taken) = taken {
                        let at = taken.classes().iter().position(|&c| c == class).unwrap();
                        prop_assert_eq!(taken.indices()[at].len(), had);
                    }
                }
                (refused, taken) => {
                    return Err(TestCaseError::fail(format!("{refused:?} against {taken:?}")));
                }
            }
        }
    }

    #[test]
    fn permuted_and_restored_hold_the_same_images_and_as_many_as_there_can_be(
        classes in 1usize..7, per_class in 4usize..30, fraction in 0.2..=1.0f64,
        manifolds in 1usize..7, examples in 1usize..12, seed: u64,
    ) {
        prop_assume!(manifolds <= classes);
        let permutation = permutation(classes, per_class, fraction, seed);
        let draw = |group| {
            draw_manifolds(group, &permutation, &[], &settings(manifolds, examples, seed, Shortage::Take))
        };
        if let (Ok(permuted), Ok(restored)) = (draw(Group::Permuted), draw(Group::Restored)) {
            let images = |drawn: &ManifoldIndices| drawn.flat().into_iter().collect::<BTreeSet<_>>();
            prop_assert_eq!(images(&permuted), images(&restored));
            let most = most_pairs(&permutation, permuted.classes(), examples);
            prop_assert_eq!(permuted.flat().len(), most);
        }
    }

    #[test]
    fn same_seed_same_indices_at_any_thread_count(seed: u64) {
        let permutation = permutation(6, 40, 0.5, seed);
        let test = permutation.true_labels().to_vec();
        for group in Group::ALL {
            let draws = at_thread_counts(|| {
                let settings = settings(4, 3, seed, Shortage::Take);
                serde_json::to_vec(&draw_manifolds(group, &permutation, &test, &settings).unwrap()).unwrap()
            });
            prop_assert!(draws.windows(2).all(|pair| pair[0] == pair[1]));
        }
    }
}

#[test]
fn the_main_runs_settings_give_full_manifolds() {
    // CIFAR-100 with half the labels permuted: P = 100 classes, M = 50 examples, all four groups complete.
    let permutation = permutation(100, 500, 0.5, 0);
    let test: Vec<u16> = (0..10_000).map(|i| (i % 100) as u16).collect();
    let mut images = Vec::new();
    for group in Group::ALL {
        let settings = settings(100, 50, 0, Shortage::Refuse);
        let drawn = draw_manifolds(group, &permutation, &test, &settings).unwrap();
        check(&drawn, &permutation, &test, 50);
        assert_eq!(drawn.points_per_manifold(), vec![50; 100]);
        images.push(drawn.flat().into_iter().collect::<BTreeSet<_>>());
    }
    assert_eq!(images[1], images[2]);
    assert!(images[0].is_disjoint(&images[1]));
}

#[test]
fn exchanges_find_the_only_solution() {
    // Of these (assigned, true) pairs, taking (0, 0) first would leave class 1 of both kinds without an example.
    let json = |assigned: &[u16], truth: &[u16]| {
        let n = truth.len();
        serde_json::json!({
            "scheme": "permute", "fraction": 1.0, "seed": 0, "classes": 2, "mask": vec![true; n],
            "true_labels": truth, "assigned_labels": assigned,
            "checksum": "0".repeat(64),
        })
    };
    // The stored checksum is wrong; the error tells the right one.
    let mut value = json(&[0, 0, 1], &[0, 1, 0]);
    let error = serde_json::from_value::<LabelPermutation>(value.clone())
        .unwrap_err()
        .to_string();
    let right = error.split("has checksum ").nth(1).unwrap()[..64].to_owned();
    value["checksum"] = right.into();
    let permutation: LabelPermutation = serde_json::from_value(value).unwrap();
    for seed in 0..20 {
        let settings = settings(2, 1, seed, Shortage::Refuse);
        let permuted = draw_manifolds(Group::Permuted, &permutation, &[], &settings).unwrap();
        assert_eq!(permuted.indices(), [vec![1], vec![2]]);
        let restored = draw_manifolds(Group::Restored, &permutation, &[], &settings).unwrap();
        assert_eq!(restored.indices(), [vec![2], vec![1]]);
    }
}

#[test]
fn shortages_name_class_group_wanted_and_had() {
    let permutation = permutation(3, 10, 0.5, 1);
    let test = [0, 0, 1, 1, 2];
    for (group, wanted) in [
        (Group::Test, "wanted 2, had 1"),
        (Group::Unpermuted, "wanted 20, had "),
    ] {
        let examples = if group == Group::Test { 2 } else { 20 };
        refused(
            draw_manifolds(
                group,
                &permutation,
                &test,
                &settings(3, examples, 0, Shortage::Refuse),
            ),
            &["class", group.name(), wanted, "Shortage::Take"],
        );
    }
    // Nothing at all is refused either way.
    refused(
        draw_manifolds(
            Group::Test,
            &permutation,
            &[0, 1],
            &settings(3, 1, 0, Shortage::Take),
        ),
        &["class 2", "test", "had 0"],
    );
    let clean = LabelPermutation::draw(
        permutation.true_labels(),
        3,
        0.0,
        PermutationScheme::Permute,
        0,
    )
    .unwrap();
    for group in [Group::Permuted, Group::Restored] {
        refused(
            draw_manifolds(group, &clean, &[], &settings(3, 1, 0, Shortage::Take)),
            &[group.name(), "had 0"],
        );
    }
}

#[test]
fn settings_out_of_range_are_refused() {
    let permutation = permutation(3, 10, 0.5, 1);
    let draw = |manifolds, examples, test: &[u16]| {
        draw_manifolds(
            Group::Test,
            &permutation,
            test,
            &settings(manifolds, examples, 0, Shortage::Take),
        )
    };
    refused(draw(0, 1, &[]), &["number of manifolds", "0", "between 1"]);
    refused(draw(4, 1, &[]), &["number of manifolds", "4", "classes, 3"]);
    refused(draw(3, 0, &[]), &["examples per manifold", "at least 1"]);
    refused(draw(3, 1, &[0, 9]), &["test example 1", "label 9"]);
}
