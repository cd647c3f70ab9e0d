use std::collections::BTreeMap;

use mftma_data::{Error, LabelPermutation, PermutationScheme as Scheme};
use proptest::prelude::*;

use crate::{at_thread_counts, refused};

const SCHEMES: [Scheme; 3] = [Scheme::Permute, Scheme::Uniform, Scheme::Derange];

fn histogram(labels: impl IntoIterator<Item = u16>) -> BTreeMap<u16, usize> {
    let mut counts = BTreeMap::new();
    for label in labels {
        *counts.entry(label).or_insert(0) += 1;
    }
    counts
}

/// Labels of up to nine classes, some of which may be missing or rare.
fn labels() -> impl Strategy<Value = (Vec<u16>, usize)> {
    (1usize..10).prop_flat_map(|classes| {
        (
            proptest::collection::vec(0..classes as u16, 0..300),
            Just(classes),
        )
    })
}

fn chosen(permutation: &LabelPermutation) -> Vec<usize> {
    (0..permutation.len())
        .filter(|&i| permutation.mask()[i])
        .collect()
}

proptest! {
    #[test]
    fn mask_is_exact_and_labels_outside_it_are_untouched(
        (labels, classes) in labels(), fraction in 0.0..=1.0f64, seed: u64,
    ) {
        for scheme in SCHEMES {
            let drawn = match LabelPermutation::draw(&labels, classes, fraction, scheme, seed) {
                Err(Error::NoDerangement { .. }) if scheme == Scheme::Derange => continue,
                drawn => drawn.unwrap(),
            };
            prop_assert_eq!(drawn.permuted(), (fraction * labels.len() as f64).round() as usize);
            prop_assert_eq!(chosen(&drawn).len(), drawn.permuted());
            // The permutation is undone by the true labels it keeps.
            prop_assert_eq!(drawn.true_labels(), &labels[..]);
            let mut wrong = 0;
            for ((&assigned, &label), &chosen) in drawn.assigned_labels().iter().zip(&labels).zip(drawn.mask()) {
                prop_assert!(usize::from(assigned) < classes);
                wrong += usize::from(assigned != label);
                prop_assert!(chosen || assigned == label);
            }
            let rate = wrong as f64 / labels.len().max(1) as f64;
            prop_assert_eq!(drawn.effective_noise_rate(), rate);
        }
    }

    #[test]
    fn permuting_and_deranging_keep_the_class_histogram(
        (labels, classes) in labels(), fraction in 0.0..=1.0f64, seed: u64,
    ) {
        for scheme in [Scheme::Permute, Scheme::Derange] {
            let Ok(drawn) = LabelPermutation::draw(&labels, classes, fraction, scheme, seed) else { continue };
            prop_assert_eq!(histogram(drawn.assigned_labels().to_vec()), histogram(labels.clone()));
            let among = |of: &[u16]| histogram(chosen(&drawn).into_iter().map(|i| of[i]));
            prop_assert_eq!(among(drawn.assigned_labels()), among(&labels));
        }
    }

    #[test]
    fn deranging_leaves_nobody_its_label_exactly_where_that_is_possible(
        (labels, classes) in labels(), fraction in 0.0..=1.0f64, seed: u64,
    ) {
        // The mask does not depend on the scheme, so another scheme tells who was chosen.
        let other = LabelPermutation::draw(&labels, classes, fraction, Scheme::Permute, seed).unwrap();
        let counts = histogram(chosen(&other).into_iter().map(|i| labels[i]));
        let possible = counts.values().all(|&count| 2 * count <= other.permuted());
        match LabelPermutation::draw(&labels, classes, fraction, Scheme::Derange, seed) {
            Ok(drawn) => {
                prop_assert!(possible);
                prop_assert_eq!(drawn.mask(), other.mask());
                prop_assert!(chosen(&drawn).iter().all(|&i| drawn.assigned_labels()[i] != labels[i]));
                prop_assert_eq!(
                    drawn.effective_noise_rate(),
                    drawn.permuted() as f64 / labels.len().max(1) as f64
                );
            }
            Err(Error::NoDerangement { class, count, chosen }) => {
                prop_assert!(!possible);
                prop_assert_eq!(counts[&class], count);
                prop_assert_eq!(chosen, other.permuted());
            }
            Err(error) => return Err(TestCaseError::fail(error.to_string())),
        }
    }

    #[test]
    fn same_seed_same_bytes_at_any_thread_count((labels, classes) in labels(), seed: u64) {
        for scheme in SCHEMES {
            let draws = at_thread_counts(|| {
                LabelPermutation::draw(&labels, classes, 0.5, scheme, seed)
                    .ok()
                    .map(|drawn| serde_json::to_vec(&drawn).unwrap())
            });
            prop_assert!(draws.windows(2).all(|pair| pair[0] == pair[1]));
        }
    }

    #[test]
    fn serialising_gives_the_same_back_and_tampering_is_noticed(
        (labels, classes) in labels(), fraction in 0.0..=1.0f64, seed: u64, at: prop::sample::Index,
    ) {
        let drawn = LabelPermutation::draw(&labels, classes, fraction, Scheme::Uniform, seed).unwrap();
        let mut json = serde_json::to_value(&drawn).unwrap();
        prop_assert_eq!(&serde_json::from_value::<LabelPermutation>(json.clone()).unwrap(), &drawn);
        if !labels.is_empty() {
            let entry = &mut json["mask"][at.index(labels.len())];
            *entry = (!entry.as_bool().unwrap()).into();
            let error = serde_json::from_value::<LabelPermutation>(json).unwrap_err();
            prop_assert!(error.to_string().contains("altered"), "{}", error);
        }
    }
}

fn balanced(classes: u16, per_class: usize) -> Vec<u16> {
    (0..classes)
        .flat_map(|class| vec![class; per_class])
        .collect()
}

#[test]
fn fraction_zero_changes_nothing_and_fraction_one_chooses_all() {
    let labels = balanced(10, 30);
    for scheme in SCHEMES {
        let none = LabelPermutation::draw(&labels, 10, 0.0, scheme, 1).unwrap();
        assert_eq!(none.assigned_labels(), labels);
        assert_eq!((none.permuted(), none.effective_noise_rate()), (0, 0.0));
        let all = LabelPermutation::draw(&labels, 10, 1.0, scheme, 1).unwrap();
        assert!(all.mask().iter().all(|&chosen| chosen));
        assert_ne!(all.assigned_labels(), labels);
    }
}

#[test]
fn effective_noise_rate_is_what_chance_predicts() {
    // An example draws its own label back with probability (300 − 1)/(3000 − 1) on average, near 1/10.
    let labels = balanced(10, 600);
    for (scheme, expected) in [
        (Scheme::Permute, 0.45),
        (Scheme::Uniform, 0.45),
        (Scheme::Derange, 0.5),
    ] {
        let drawn = LabelPermutation::draw(&labels, 10, 0.5, scheme, 5).unwrap();
        // 3000 draws: a standard deviation of about 16 of 6000.
        let rate = drawn.effective_noise_rate();
        assert!((rate - expected).abs() < 0.012, "{scheme}: {rate}");
    }
}

#[test]
fn deranged_labels_are_spread_over_all_other_classes() {
    let labels = balanced(5, 400);
    let drawn = LabelPermutation::draw(&labels, 5, 1.0, Scheme::Derange, 3).unwrap();
    for class in 0..5 {
        let given = histogram(
            (0..2000)
                .filter(|&i| labels[i] == class)
                .map(|i| drawn.assigned_labels()[i]),
        );
        assert_eq!(given.len(), 4);
        // 100 expected, standard deviation below 9.
        assert!(
            given.values().all(|&count| (60..140).contains(&count)),
            "{given:?}"
        );
    }
}

#[test]
fn seeds_and_schemes_differ_but_share_the_mask_of_a_seed() {
    let labels = balanced(10, 100);
    let draw = |scheme, seed| LabelPermutation::draw(&labels, 10, 0.5, scheme, seed).unwrap();
    let (a, b, c) = (
        draw(Scheme::Permute, 1),
        draw(Scheme::Permute, 2),
        draw(Scheme::Derange, 1),
    );
    assert_ne!(a.mask(), b.mask());
    assert_eq!(a.mask(), c.mask());
    assert_ne!(a.assigned_labels(), c.assigned_labels());
    assert_ne!(a.checksum(), b.checksum());
    assert_ne!(a.checksum(), c.checksum());
}

#[test]
fn the_draw_of_a_seed_stays_what_it_was() {
    // Cached results are keyed by seeds: a change of this number means that old results cannot be compared.
    let drawn = LabelPermutation::draw(&balanced(10, 100), 10, 0.5, Scheme::Permute, 0).unwrap();
    assert_eq!(
        drawn.checksum().to_string(),
        "33f4be619fbbe4a5a738f1a49b872f6aeed71ac9f2e58094a95d9b238d442ef8"
    );
}

#[test]
fn impossible_requests_are_refused_in_words() {
    for fraction in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
        let drawn = LabelPermutation::draw(&[0, 1], 2, fraction, Scheme::Permute, 0);
        refused(
            drawn,
            &[
                "permuted fraction",
                &fraction.to_string(),
                "between 0 and 1",
            ],
        );
    }
    refused(
        LabelPermutation::draw(&[0, 3], 3, 0.5, Scheme::Permute, 0),
        &["example 1", "label 3", "3 classes"],
    );
    refused(
        LabelPermutation::draw(&[], 70_000, 0.5, Scheme::Uniform, 0),
        &["70000", "at most 65536"],
    );
    refused(
        LabelPermutation::draw(&[0, 1, 1, 1], 2, 1.0, Scheme::Derange, 0),
        &["class 1 holds 3 of the 4", "choose another scheme"],
    );
}

#[test]
fn exactly_half_in_one_class_can_still_be_deranged() {
    let labels: Vec<u16> = [vec![0; 2000], vec![1; 1000], vec![2; 1000]].concat();
    let drawn = LabelPermutation::draw(&labels, 3, 1.0, Scheme::Derange, 9).unwrap();
    assert!(
        labels
            .iter()
            .zip(drawn.assigned_labels())
            .all(|(t, a)| t != a)
    );
}
