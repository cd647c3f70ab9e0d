use mftma_data::Augmentation;
use ndarray::{Array3, s};
use proptest::prelude::*;

use crate::refused;

fn image() -> Array3<u8> {
    Array3::from_shape_fn((2, 6, 5), |(c, y, x)| (1 + 100 * c + 10 * y + x) as u8)
}

fn applied(
    augmentation: &Augmentation,
    image: &Array3<u8>,
    epoch: u64,
    example: u64,
) -> Array3<u8> {
    let mut out = Array3::zeros(image.raw_dim());
    augmentation
        .apply(image.view(), epoch, example, out.view_mut())
        .unwrap();
    out
}

proptest! {
    #[test]
    fn off_means_unchanged(epoch: u64, example: u64, seed: u64) {
        let off = Augmentation { seed, ..Augmentation::default() };
        prop_assert_eq!(applied(&off, &image(), epoch, example), image());
    }

    #[test]
    fn flips_mirror_or_leave(epoch: u64, example: u64, seed: u64) {
        let flip = Augmentation { flip: true, seed, ..Augmentation::default() };
        let out = applied(&flip, &image(), epoch, example);
        prop_assert!(out == image() || out == image().slice(s![.., .., ..;-1]));
    }

    #[test]
    fn crops_shift_by_at_most_the_padding(epoch: u64, example: u64, seed: u64, padding in 0usize..4) {
        let crop = Augmentation { crop_padding: padding, seed, ..Augmentation::default() };
        let out = applied(&crop, &image(), epoch, example);
        let padding = padding as isize;
        let shifted = |down: isize, right: isize| {
            Array3::from_shape_fn((2, 6, 5), |(c, y, x)| {
                let (y, x) = (y as isize + down, x as isize + right);
                if (0..6).contains(&y) && (0..5).contains(&x) { image()[[c, y as usize, x as usize]] } else { 0 }
            })
        };
        let found = (-padding..=padding)
            .any(|down| (-padding..=padding).any(|right| shifted(down, right) == out));
        prop_assert!(found, "{out:?}");
    }

    #[test]
    fn one_setting_does_not_move_the_draws_of_another(epoch: u64, example: u64, seed: u64) {
        let crop = Augmentation { crop_padding: 2, seed, ..Augmentation::default() };
        let both = Augmentation { flip: true, ..crop };
        let (alone, with) = (applied(&crop, &image(), epoch, example), applied(&both, &image(), epoch, example));
        prop_assert!(with == alone || with == alone.slice(s![.., .., ..;-1]));
    }
}

#[test]
fn rotation_keeps_a_disc_and_turns_an_edge() {
    let side = 33;
    let disc = Array3::from_shape_fn((1, side, side), |(_, y, x)| {
        let (y, x) = (y as f64 - 16.0, x as f64 - 16.0);
        (255.0 * (-(y * y + x * x) / 60.0).exp()).round() as u8
    });
    let rotation = Augmentation {
        rotation_degrees: 90.0,
        ..Augmentation::default()
    };
    let edge = Array3::from_shape_fn((1, side, side), |(_, y, _)| if y < 16 { 200 } else { 0 });
    let mut turned = 0;
    for example in 0..20 {
        let out = applied(&rotation, &disc, 0, example);
        for (a, b) in out.iter().zip(&disc) {
            assert!((i32::from(*a) - i32::from(*b)).abs() <= 3);
        }
        turned += usize::from(applied(&rotation, &edge, 0, example) != edge);
    }
    assert_eq!(turned, 20);
}

#[test]
fn draws_differ_over_epochs_examples_and_seeds() {
    let crop = Augmentation {
        crop_padding: 3,
        flip: true,
        rotation_degrees: 20.0,
        seed: 1,
    };
    let first = applied(&crop, &image(), 0, 0);
    assert_eq!(applied(&crop, &image(), 0, 0), first);
    assert_ne!(applied(&crop, &image(), 1, 0), first);
    assert_ne!(applied(&crop, &image(), 0, 1), first);
    assert_ne!(
        applied(&Augmentation { seed: 2, ..crop }, &image(), 0, 0),
        first
    );
}

#[test]
fn unusable_settings_are_refused() {
    let mut out = Array3::zeros((2, 6, 5));
    for angle in [-1.0, 181.0, f32::NAN] {
        let wrong = Augmentation {
            rotation_degrees: angle,
            ..Augmentation::default()
        };
        refused(
            wrong.apply(image().view(), 0, 0, out.view_mut()),
            &["rotation", "between 0 and 180"],
        );
    }
    let mut other = Array3::zeros((2, 5, 6));
    refused(
        Augmentation::default().apply(image().view(), 0, 0, other.view_mut()),
        &["(2, 6, 5)", "(2, 5, 6)"],
    );
    let huge = Augmentation {
        crop_padding: usize::MAX,
        ..Augmentation::default()
    };
    refused(
        huge.apply(image().view(), 0, 0, out.view_mut()),
        &["crop padding"],
    );
}
