use std::collections::BTreeSet;

use mftma_data::{Dataset, Shortage, Split, Subset};
use ndarray::Array4;
use proptest::prelude::*;

use crate::{at_thread_counts, made_up, refused};

/// Indices into the whole split; pixels of `made_up` tell them apart below 256 / 31 examples only, so images are
/// compared here with an index written into two bytes.
fn indexed(classes: usize, per_class: usize) -> Dataset {
    let split = || {
        let n = classes * per_class;
        let images = Array4::from_shape_fn((n, 1, 1, 2), |(i, _, _, x)| (i >> (8 * x)) as u8);
        let labels = (0..n).map(|i| (i % classes) as u16).collect::<Vec<_>>();
        let coarse = labels.iter().map(|label| label % 2).collect();
        Split::new(images, labels, Some(coarse)).unwrap()
    };
    let names = (0..classes).map(|class| format!("{class}")).collect();
    Dataset::new(
        "indexed",
        names,
        vec!["even".into(), "odd".into()],
        split(),
        split(),
    )
    .unwrap()
}

fn origins(split: &Split) -> Vec<usize> {
    split
        .pixels()
        .chunks(2)
        .map(|pair| usize::from(pair[0]) | usize::from(pair[1]) << 8)
        .collect()
}

proptest! {
    #[test]
    fn a_subset_holds_what_was_asked_for(
        classes in 1usize..12, per_class in 1usize..15, keep in 1usize..12, train in 1usize..15, seed: u64,
    ) {
        prop_assume!(keep <= classes && train <= per_class);
        let whole = indexed(classes, per_class);
        let subset = Subset { classes: Some(keep), train_per_class: Some(train), seed, ..Subset::default() };
        let part = subset.of(&whole).unwrap();
        prop_assert_eq!(part.classes(), keep);
        prop_assert_eq!(part.train().len(), keep * train);
        prop_assert_eq!(part.test().len(), keep * per_class);
        for split in [part.train(), part.test()] {
            let origins = origins(split);
            prop_assert!(origins.is_sorted() && origins.windows(2).all(|pair| pair[0] < pair[1]));
            for (i, &origin) in origins.iter().enumerate() {
                let class = origin % classes;
                prop_assert_eq!(&part.class_names()[usize::from(split.labels()[i])], &class.to_string());
                prop_assert_eq!(split.coarse_labels().unwrap()[i], (class % 2) as u16);
            }
        }
        let again = at_thread_counts(|| subset.of(&whole).unwrap().checksum());
        prop_assert!(again.iter().all(|&sum| sum == part.checksum()));
    }

    #[test]
    fn larger_subsets_add_to_smaller_ones(seed: u64, few in 1usize..8, more in 1usize..8) {
        prop_assume!(few <= more);
        let whole = indexed(6, 8);
        let of = |train| {
            let subset = Subset { classes: Some(3), train_per_class: Some(train), seed, ..Subset::default() };
            origins(subset.of(&whole).unwrap().train()).into_iter().collect::<BTreeSet<_>>()
        };
        prop_assert!(of(few).is_subset(&of(more)));
    }
}

#[test]
fn by_default_everything_is_kept() {
    let whole = made_up(4, 5);
    assert_eq!(
        Subset::default().of(&whole).unwrap().checksum(),
        whole.checksum()
    );
}

#[test]
fn shortages_are_refused_or_taken() {
    let whole = made_up(4, 5);
    let subset = Subset {
        train_per_class: Some(3),
        test_per_class: Some(6),
        ..Subset::default()
    };
    refused(
        subset.of(&whole),
        &["class 0", "test", "wanted 6, had 5", "Shortage::Take"],
    );
    let part = Subset {
        shortage: Shortage::Take,
        ..subset
    }
    .of(&whole)
    .unwrap();
    assert_eq!((part.train().len(), part.test().len()), (12, 20));
    refused(
        Subset {
            classes: Some(5),
            ..subset
        }
        .of(&whole),
        &["number of classes", "5", "4"],
    );
    refused(
        Subset {
            classes: Some(0),
            ..subset
        }
        .of(&whole),
        &["number of classes", "0"],
    );
    refused(
        Subset {
            train_per_class: Some(0),
            ..subset
        }
        .of(&whole),
        &["per class", "at least 1"],
    );
}
