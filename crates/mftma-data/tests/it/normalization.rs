use mftma_data::{Dataset, Normalization, Split};
use ndarray::{Array4, Axis};
use proptest::prelude::*;

use crate::{made_up, refused};

proptest! {
    #[test]
    fn training_images_get_mean_zero_and_deviation_one(pixels in proptest::collection::vec(any::<u8>(), 24..240)) {
        let n = pixels.len() / 12;
        let images = Array4::from_shape_vec((n, 3, 2, 2), pixels[..n * 12].to_vec()).unwrap();
        let split = Split::new(images, vec![0; n], None).unwrap();
        let dataset = Dataset::new("random", vec!["one".into()], Vec::new(), split.clone(), split).unwrap();
        let normalization = Normalization::from_training(&dataset);
        let out = normalization.apply(dataset.train().images().view()).unwrap();
        for channel in 0..3 {
            let values = out.index_axis(Axis(1), channel).mapv(f64::from);
            let mean = values.mean().unwrap();
            prop_assert!(mean.abs() < 1e-5, "mean {mean}");
            let deviation = values.mapv(|value| (value - mean).powi(2)).mean().unwrap().sqrt();
            let constant = normalization.standard_deviation()[channel] == 0.0;
            prop_assert!(constant || (deviation - 1.0).abs() < 1e-4, "deviation {deviation}");
        }
    }
}

#[test]
fn the_test_split_has_no_influence() {
    let whole = made_up(3, 4);
    let inverted = Split::new(
        whole.test().images().mapv(|pixel| 255 - pixel),
        whole.test().labels().to_vec(),
        None,
    );
    let other = Dataset::new(
        "made up",
        whole.class_names().to_vec(),
        Vec::new(),
        whole.train().clone(),
        inverted.unwrap(),
    )
    .unwrap();
    assert_ne!(other.checksum(), whole.checksum());
    assert_eq!(
        Normalization::from_training(&other),
        Normalization::from_training(&whole)
    );
}

#[test]
fn a_constant_channel_is_centred_only() {
    let normalization = Normalization::new(vec![0.2], vec![0.0]).unwrap();
    let out = normalization
        .apply(Array4::from_elem((1, 1, 1, 1), 51).view())
        .unwrap();
    assert!(out[[0, 0, 0, 0]].abs() < 1e-7);
}

#[test]
fn unusable_statistics_are_refused() {
    refused(
        Normalization::new(vec![0.5], vec![]),
        &["1 channel means", "0 standard deviations"],
    );
    refused(
        Normalization::new(vec![f64::NAN], vec![1.0]),
        &["channel mean", "NaN", "finite"],
    );
    refused(
        Normalization::new(vec![0.0], vec![-1.0]),
        &["standard deviation", "-1"],
    );
    let two = Normalization::new(vec![0.5; 2], vec![1.0; 2]).unwrap();
    refused(
        two.apply(Array4::zeros((1, 3, 1, 1)).view()),
        &["3 channels", "statistics of 2"],
    );
    let json = serde_json::to_string(&two).unwrap();
    assert_eq!(serde_json::from_str::<Normalization>(&json).unwrap(), two);
    assert!(serde_json::from_str::<Normalization>(&json.replacen("0.5,0.5", "0.5", 1)).is_err());
}
