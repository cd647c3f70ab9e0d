//! Tests on the real data sets: ignored unless asked for, since their files are not in the repository.

use mftma_data::{DATA_DIR_VARIABLE, Dataset, Normalization, data_dir, open};

/// The data set `name`.
fn at_hand(name: &str) -> Dataset {
    open(name, None).unwrap_or_else(|error| {
        let dir = data_dir(None);
        panic!("{error} ({}; set {DATA_DIR_VARIABLE})", dir.display())
    })
}

#[test]
#[ignore = "needs CIFAR-100: MFTMA_DATA_DIR"]
fn cifar100_is_the_published_one() {
    let dataset = at_hand("cifar100");
    assert_eq!(
        (dataset.train().len(), dataset.test().len()),
        (50_000, 10_000)
    );
    for class in 0..100 {
        let count = |labels: &[u16]| labels.iter().filter(|&&label| label == class).count();
        assert_eq!(
            (
                count(dataset.train().labels()),
                count(dataset.test().labels())
            ),
            (500, 100)
        );
    }
    // Published per-channel statistics of the training split.
    let normalization = Normalization::from_training(&dataset);
    let published = [(0.50708, 0.26733), (0.48655, 0.25644), (0.44092, 0.27615)];
    for (channel, (mean, deviation)) in published.into_iter().enumerate() {
        assert!((normalization.mean()[channel] - mean).abs() < 5e-6);
        assert!((normalization.standard_deviation()[channel] - deviation).abs() < 5e-6);
    }
    // Each fine class lies in one coarse class, and each coarse class has five.
    let mut coarse_of = vec![None; 100];
    let train = dataset.train();
    for (&fine, &coarse) in train.labels().iter().zip(train.coarse_labels().unwrap()) {
        assert_eq!(*coarse_of[usize::from(fine)].get_or_insert(coarse), coarse);
    }
    for coarse in 0..20 {
        assert_eq!(
            coarse_of.iter().filter(|&&of| of == Some(coarse)).count(),
            5
        );
    }
    assert_eq!(
        dataset.checksum().to_string(),
        "6dc172176d86c737589cc0d0819beeebee86df1203318f90d489278855d38095"
    );
}

#[test]
#[ignore = "needs Tiny ImageNet: MFTMA_DATA_DIR"]
fn tiny_imagenet_is_read_whole_or_in_part() {
    let dataset = at_hand("tiny-imagenet-200");
    assert_eq!(dataset.image_shape(), [3, 64, 64]);
    for class in 0..dataset.classes() as u16 {
        let count = |labels: &[u16]| labels.iter().filter(|&&label| label == class).count();
        assert_eq!(
            (
                count(dataset.train().labels()),
                count(dataset.test().labels())
            ),
            (500, 50)
        );
    }
    let grey = (0..dataset.train().len())
        .filter(|&i| {
            let image = dataset.train().image(i);
            let plane = |channel| image.index_axis_move(ndarray::Axis(0), channel);
            plane(0) == plane(1) && plane(1) == plane(2)
        })
        .count();
    let share = grey as f64 / dataset.train().len() as f64;
    assert!(
        (0.005..0.05).contains(&share),
        "{share} of the images are grey"
    );
}

#[test]
#[ignore = "needs Fashion-MNIST: Debian's dataset-fashion-mnist"]
fn fashion_mnist_is_the_published_one() {
    // Debian's package, unless the data folder has a copy; the former is found whatever the data folder.
    let dataset = at_hand("fashion-mnist");
    assert_eq!(
        (dataset.train().len(), dataset.test().len()),
        (60_000, 10_000)
    );
    assert_eq!(dataset.image_shape(), [1, 28, 28]);
    let normalization = Normalization::from_training(&dataset);
    // Published: mean 0.2860, standard deviation 0.3530.
    assert!((normalization.mean()[0] - 0.2860).abs() < 1e-4);
    assert!((normalization.standard_deviation()[0] - 0.3530).abs() < 1e-4);
}
