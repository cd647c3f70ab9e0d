//! Rewinding exchanges exactly the layers that were asked for.

use crate::common::{data, run, settings};
use mftma_data::ExampleGroup;
use mftma_train::{
    Architecture, Checkpoint, Network, Parameter, ParameterRole, Place, RewoundStatistics, Run,
    TrainError, Trainer, TrainingData, evaluate, rewind, rewindable_layers,
};

fn trained(seed: u64) -> (TrainingData, tempfile::TempDir) {
    let home = tempfile::tempdir().expect("a folder");
    let data = data(32, 20, 1);
    let mut settings = settings(Architecture::Vgg11, 32);
    settings.seed = seed;
    settings.recipe.stop.max_epochs = 3;
    settings.checkpoints.every = Some(1);
    run(Trainer::in_folder(settings, &data, home.path()).expect("starts"));
    (data, home)
}

fn values<'a>(arrays: Vec<&'a Parameter>, layers: &[&str]) -> Vec<(&'a str, &'a [f32])> {
    let wanted = |p: &&Parameter| layers.contains(&p.layer());
    arrays
        .into_iter()
        .filter(wanted)
        .map(|p| (p.name(), p.values()))
        .collect()
}

#[test]
fn the_named_layers_come_from_the_early_epoch_and_the_rest_from_the_end() {
    let (data, home) = trained(0);
    let run = Run::open(home.path()).expect("opens");
    let (early, end) = (
        run.checkpoint(1).expect("kept"),
        run.checkpoint(3).expect("kept"),
    );
    let (first, last) = (
        early.network().expect("builds"),
        end.network().expect("builds"),
    );
    let all = rewindable_layers(&*last);
    assert!(all.len() == 9 && !all.contains(&"input"), "{all:?}");

    let check =
        |layers: &[&str], statistics: RewoundStatistics<'_>, statistics_from_early: &[&str]| {
            let network = rewind(&end, &early, layers, statistics).expect("rewinds");
            let rest: Vec<&str> = all
                .iter()
                .copied()
                .filter(|l| !layers.contains(l))
                .collect();
            assert_eq!(
                values(network.parameters(), layers),
                values(first.parameters(), layers)
            );
            assert_eq!(
                values(network.parameters(), &rest),
                values(last.parameters(), &rest)
            );
            let from_end: Vec<&str> = all
                .iter()
                .copied()
                .filter(|l| !statistics_from_early.contains(l))
                .collect();
            assert_eq!(
                values(network.statistics(), statistics_from_early),
                values(first.statistics(), statistics_from_early)
            );
            assert_eq!(
                values(network.statistics(), &from_end),
                values(last.statistics(), &from_end)
            );
            evaluate(&*network, &data, &ExampleGroup::ALL).expect("evaluates")
        };
    let score =
        |network: &dyn Network| evaluate(network, &data, &ExampleGroup::ALL).expect("evaluates");
    assert_ne!(score(&*first), score(&*last), "training changed something");
    for statistics in [RewoundStatistics::Rewound, RewoundStatistics::Kept] {
        assert_eq!(check(&[], statistics, &[]), score(&*last));
    }
    assert_eq!(
        check(&all, RewoundStatistics::Rewound, &all),
        score(&*first)
    );
    let some = [all[2], all[7]];
    check(&some, RewoundStatistics::Rewound, &some);
    check(&some, RewoundStatistics::Kept, &[]);
}

#[test]
fn unknown_layers_and_foreign_checkpoints_are_refused() {
    let (_, home) = trained(0);
    let (_, other) = trained(1);
    let run = Run::open(home.path()).expect("opens");
    let (early, end) = (
        run.checkpoint(1).expect("kept"),
        run.checkpoint(3).expect("kept"),
    );
    let refuse = |end: &Checkpoint, early: &Checkpoint, layers: &[&str]| {
        rewind(end, early, layers, RewoundStatistics::Kept)
            .err()
            .expect("refused")
    };
    for name in ["conv9_9", "input", ""] {
        let error = refuse(&end, &early, &[name]);
        assert!(
            matches!(&error, TrainError::UnknownLayer { .. })
                && error.to_string().contains("conv1"),
            "{error}"
        );
    }
    let foreign = Run::open(other.path())
        .expect("opens")
        .checkpoint(1)
        .expect("kept");
    let error = refuse(&end, &foreign, &[]);
    assert!(
        matches!(&error, TrainError::Mismatch { .. }) && error.to_string().contains("seed"),
        "{error}"
    );
}

/// The statistics of the first normalisation depend on the first convolution alone, so its activations give them directly.
#[test]
fn reestimated_statistics_are_those_of_the_training_images() {
    let (data, home) = trained(0);
    let run = Run::open(home.path()).expect("opens");
    let (early, end) = (
        run.checkpoint(1).expect("kept"),
        run.checkpoint(3).expect("kept"),
    );
    let name = rewindable_layers(&*end.network().expect("builds"))[0].to_string();
    let statistics = RewoundStatistics::Reestimated {
        data: &data,
        examples: usize::MAX,
        seed: 0,
    };
    let network = rewind(&end, &early, &[&name], statistics).expect("rewinds");

    let train = data.dataset().train();
    let all: Vec<usize> = (0..train.len()).collect();
    let mut images = Vec::new();
    data.batch_into(train, &all, &mut images);
    let images = ndarray::ArrayView4::from_shape((all.len(), 1, 32, 32), &images).expect("a batch");
    let mut moments = Vec::new();
    network
        .activations(images, &[1], Place::Preactivation, &mut |_, batch| {
            let planes = network.layers()[1].shape[0];
            let values = batch
                .to_shape((batch.nrows(), planes, 32 * 32))
                .expect("planes");
            for plane in values.axis_iter(ndarray::Axis(1)) {
                let n = plane.len() as f64;
                let mean = plane.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
                let variance = plane
                    .iter()
                    .map(|&v| (f64::from(v) - mean).powi(2))
                    .sum::<f64>()
                    / n;
                moments.push((mean, variance));
            }
        })
        .expect("passes");
    let of = |role| {
        let s = network
            .statistics()
            .into_iter()
            .find(|s| s.layer() == name && s.role() == role);
        s.expect("normalised").values().to_vec()
    };
    let (means, variances) = (
        of(ParameterRole::RunningMean),
        of(ParameterRole::RunningVariance),
    );
    assert_eq!(moments.len(), means.len());
    for ((mean, variance), (m, v)) in moments.into_iter().zip(means.into_iter().zip(variances)) {
        assert!(
            (f64::from(m) - mean).abs() < 1e-3 * variance.sqrt(),
            "mean {m}, not {mean}"
        );
        assert!(
            (f64::from(v) / variance - 1.0).abs() < 1e-3,
            "variance {v}, not {variance}"
        );
    }
}
