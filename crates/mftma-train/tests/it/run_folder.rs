//! What a run leaves on the disk, and what it refuses to take from there.

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use crate::common::{assert_same_files, data, files, run, settings, with_threads};
use mftma_train::checkpoint::Header;
use mftma_train::{
    Architecture, Checkpoint, Decay, OptimizerSettings, Progress, RESUME_FILE, Run, StopReason,
    TrainError, TrainSettings, Trainer, kept_file, optimizer_file,
};
use proptest::prelude::*;

fn vgg_or_mlp() -> [TrainSettings; 2] {
    let mut vgg = settings(Architecture::Vgg11, 32);
    vgg.recipe.stop.max_epochs = 2;
    vgg.recipe.optimizer = OptimizerSettings::Adam {
        beta1: 0.9,
        beta2: 0.999,
        epsilon: 1e-8,
        weight_decay: 0.0,
    };
    vgg.recipe.learning_rate = 1e-3;
    vgg.checkpoints.every = Some(1);
    let mut mlp = settings(Architecture::Mlp, 32);
    mlp.checkpoints.epochs = [0, 2, 5].into();
    mlp.checkpoints.best = true;
    mlp.recipe.schedule.decay = Decay::Cosine {
        epochs: 6,
        floor: 0.0,
    };
    [vgg, mlp]
}

/// Trains in `folder`, cancelling after every `stride` steps and starting again.
fn run_in_pieces(settings: &TrainSettings, folder: &Path, stride: usize) {
    let data = data(settings.network.input.height, 20, 1);
    for piece in 0.. {
        assert!(piece < 1000, "never ends");
        let trainer = Trainer::in_folder(settings.clone(), &data, folder).expect("starts");
        let mut left = stride;
        let trained = trainer.run(&mut |progress| {
            if let Progress::Step { .. } = progress {
                left -= 1;
            }
            if left == 0 {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        if trained.expect("trains").stopped.is_some() {
            assert!(piece > 0, "was never cancelled");
            return;
        }
    }
}

#[test]
fn cancelled_and_resumed_on_other_threads_gives_the_same_bytes() {
    for settings in vgg_or_mlp() {
        let home = tempfile::tempdir().expect("a folder");
        let (whole, pieces) = (home.path().join("whole"), home.path().join("pieces"));
        let data = data(settings.network.input.height, 20, 1);
        with_threads(2, || {
            run(Trainer::in_folder(settings.clone(), &data, &whole).expect("starts"));
        });
        with_threads(1, || run_in_pieces(&settings, &pieces, 9));
        assert_same_files(&whole, &pieces);
    }
}

/// Opens a folder and trains; gives the epochs whose training began.
fn epochs_trained(settings: &TrainSettings, folder: &Path, stop_after: usize) -> Vec<usize> {
    let data = data(settings.network.input.height, 20, 1);
    let trainer = Trainer::in_folder(settings.clone(), &data, folder).expect("starts");
    let (mut epochs, mut steps) = (Vec::new(), 0);
    trainer
        .run(&mut |progress| {
            match progress {
                Progress::EpochStarted { epoch, .. } => epochs.push(epoch),
                Progress::Step { .. } => steps += 1,
                _ => {}
            }
            if steps == stop_after {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })
        .expect("trains");
    epochs
}

#[test]
fn a_later_policy_gets_its_epochs_by_a_replay_to_the_same_bytes() {
    let [vgg, mlp] = vgg_or_mlp();
    let with = |settings: &TrainSettings, epochs: &[usize], best: bool| {
        let mut settings = settings.clone();
        settings.checkpoints.every = None;
        settings.checkpoints.epochs = epochs.iter().copied().collect();
        settings.checkpoints.best = best;
        settings
    };
    let always = usize::MAX;
    let cases = [
        // Two moments of Adam, and normalisations: from epoch 1 to 2, which is not the end.
        (
            {
                let mut longer = vgg.clone();
                longer.recipe.stop.max_epochs = 3;
                longer
            },
            (&[1][..], &[1, 2][..], false),
            vec![2],
        ),
        // From the nearest kept epoch before, never from the one after; 0 and the end cost nothing.
        (mlp.clone(), (&[1, 3], &[0, 1, 3, 5, 6], false), vec![4, 5]),
        (mlp.clone(), (&[1, 4], &[1, 3, 4, 5], false), vec![2, 3, 5]),
        (mlp.clone(), (&[], &[2], false), vec![1, 2]),
    ];
    for (settings, (before, after, best), again) in cases {
        let home = tempfile::tempdir().expect("a folder");
        let (late, asked) = (home.path().join("late"), home.path().join("asked"));
        let (before, after) = (with(&settings, before, false), with(&settings, after, best));
        epochs_trained(&before, &late, always);
        epochs_trained(&after, &asked, always);
        assert_eq!(before.hash(), after.hash(), "the policy is no identity");
        assert_eq!(epochs_trained(&after, &late, always), again);
        assert_same_files(&late, &asked);
        assert!(epochs_trained(&after, &late, always).is_empty(), "all made");
    }

    // The best epoch; cancelled in the middle of the replay and taken up again.
    let home = tempfile::tempdir().expect("a folder");
    let (late, asked) = (home.path().join("late"), home.path().join("asked"));
    let (before, after) = (with(&mlp, &[2], false), with(&mlp, &[2, 4], true));
    epochs_trained(&before, &late, always);
    epochs_trained(&after, &asked, always);
    let cut = epochs_trained(&after, &late, 10);
    assert!(cut.len() < 4, "{cut:?}");
    assert!(!late.join(kept_file(4)).exists());
    epochs_trained(&after, &late, always);
    assert_same_files(&late, &asked);

    // Without optimiser's states the way leads from the initialization, to the same networks.
    let home = tempfile::tempdir().expect("a folder");
    let mut bare = with(&mlp, &[3], false);
    bare.checkpoints.replay = false;
    epochs_trained(&bare, home.path(), always);
    assert!(!home.path().join(optimizer_file(3)).exists());
    bare.checkpoints.epochs.insert(4);
    assert_eq!(epochs_trained(&bare, home.path(), always), [1, 2, 3, 4]);
    let read = |folder: &Path| fs::read(folder.join(kept_file(4))).expect("reads");
    assert_eq!(read(home.path()), read(&asked));

    // Another epoch's state under the name is seen.
    fs::copy(late.join(optimizer_file(4)), late.join(optimizer_file(2))).expect("copies");
    let data = data(32, 20, 1);
    let three = with(&mlp, &[2, 3, 4], true);
    let error = Trainer::in_folder(three, &data, &late)
        .expect("starts")
        .run(&mut |_| ControlFlow::Continue(()))
        .err()
        .expect("refused")
        .to_string();
    assert!(
        error.contains(&optimizer_file(2)) && error.contains("epoch 4"),
        "{error}"
    );
}

#[test]
fn the_policy_says_which_files_there_are_and_how_large_they_can_get() {
    for settings in vgg_or_mlp() {
        let home = tempfile::tempdir().expect("a folder");
        let data = data(settings.network.input.height, 20, 1);
        let trainer = Trainer::in_folder(settings.clone(), &data, home.path()).expect("starts");
        let budget = trainer.disk_budget();
        let trained = run(trainer);
        let last = trained.history.len() - 1;
        let policy = &settings.checkpoints;
        let mut expected: Vec<String> = (0..=last)
            .filter(|&e| policy.keeps(e) || e == last)
            .map(kept_file)
            .collect();
        let between = 1..last;
        expected.extend(between.filter(|&e| policy.keeps(e)).map(optimizer_file));
        expected.extend(["lock", "metrics.jsonl", RESUME_FILE].map(String::from));
        expected.extend(policy.best.then(|| "best.safetensors".to_string()));
        expected.sort();
        let found = files(home.path());
        assert_eq!(
            found.keys().collect::<Vec<_>>(),
            expected.iter().collect::<Vec<_>>()
        );
        let used: u64 = found.values().map(|bytes| bytes.len() as u64).sum();
        assert_eq!(
            Run::open(home.path())
                .expect("opens")
                .disk_use()
                .expect("counts"),
            used
        );
        assert!(
            used <= budget && budget < 3 * used,
            "{used} bytes used of a budget of {budget}"
        );

        let mut tight = settings.clone();
        tight.checkpoints.limit_bytes = Some(1000);
        match Trainer::in_folder(tight, &data, &home.path().join("tight")) {
            Err(TrainError::DiskLimit { limit: 1000, .. }) => {}
            other => panic!("{:?}", other.err()),
        }
        assert!(
            !home.path().join("tight").exists(),
            "refused before anything is written"
        );
    }
}

#[test]
fn the_history_and_the_best_epoch_are_those_of_the_run() {
    let settings = vgg_or_mlp()[1].clone();
    let home = tempfile::tempdir().expect("a folder");
    let data = data(32, 20, 1);
    let trained = run(Trainer::in_folder(settings.clone(), &data, home.path()).expect("starts"));
    assert_eq!(trained.stopped, Some(StopReason::EpochLimit));
    let folder = Run::open(home.path()).expect("opens");
    assert_eq!(folder.history().expect("reads"), trained.history);
    assert_eq!(folder.epochs(), [0, 2, 5, 6]);
    let text = fs::read_to_string(home.path().join("metrics.jsonl")).expect("reads");
    let lines: Vec<mftma_train::EpochMetrics> = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("parses"))
        .collect();
    assert_eq!(lines, trained.history);
    let test = |m: &mftma_train::EpochMetrics| m.groups[&mftma_data::ExampleGroup::Test].correct;
    let best = folder.best().expect("opens").header().epoch;
    assert!(
        trained
            .history
            .iter()
            .all(|m| test(m) <= test(&trained.history[best]))
    );

    // Every kept network gives again the numbers that stand in the history.
    for epoch in folder.epochs() {
        let network = folder
            .checkpoint(epoch)
            .expect("opens")
            .network()
            .expect("builds");
        let groups = mftma_train::evaluate(&*network, &data, &mftma_data::ExampleGroup::ALL)
            .expect("evaluates");
        assert_eq!(groups, trained.history[epoch].groups);
        for (&group, score) in &groups {
            let all = data.group_indices(group);
            let examples = |indices: &[usize]| {
                mftma_train::evaluate_examples(&*network, &data, group, indices)
            };
            assert_eq!(&examples(&all).expect("evaluates"), score);
            let (some, rest) = all.split_at(all.len() / 3);
            let parts = [some, rest].map(|part| examples(part).expect("evaluates"));
            assert_eq!(parts[0].examples, some.len());
            assert_eq!(parts[0].correct + parts[1].correct, score.correct);
            assert!(examples(&[data.split(group).len()]).is_err());
        }
    }
    match folder.checkpoint(4) {
        Err(TrainError::NoCheckpoint {
            epoch: 4, known, ..
        }) => assert_eq!(known, "epochs 0, 2, 5, 6"),
        other => panic!("{:?}", other.err()),
    }
    // A run that has ended ends at once.
    let again = run(Trainer::in_folder(settings, &data, home.path()).expect("starts"));
    assert_eq!(
        (again.history, again.stopped),
        (trained.history, trained.stopped)
    );
}

/// A folder with the resume file of a run that was cancelled in its second epoch.
fn begun(settings: &TrainSettings) -> tempfile::TempDir {
    let home = tempfile::tempdir().expect("a folder");
    let data = data(32, 20, 1);
    let trainer = Trainer::in_folder(settings.clone(), &data, home.path()).expect("starts");
    trainer
        .run(&mut |progress| match progress {
            Progress::EpochStarted { epoch: 2, .. } => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        })
        .expect("trains");
    home
}

fn refusal(settings: TrainSettings, data: &mftma_train::TrainingData, folder: &Path) -> String {
    Trainer::in_folder(settings, data, folder)
        .err()
        .expect("refused")
        .to_string()
}

#[test]
fn other_settings_and_other_data_are_refused_by_name() {
    let settings = settings(Architecture::Mlp, 32);
    let home = begun(&settings);
    let same = data(32, 20, 1);
    for (change, named) in [
        (
            &(|s: &mut TrainSettings| s.recipe.learning_rate = 0.5) as &dyn Fn(&mut TrainSettings),
            "learning_rate",
        ),
        (&|s| s.seed = 9, "seed"),
        (&|s| s.network.width = 5, "network.width"),
        (&|s| s.recipe.stop.max_epochs = 7, "stop.max_epochs"),
        (
            &|s| {
                s.recipe.optimizer = OptimizerSettings::Sgd {
                    momentum: 0.5,
                    weight_decay: 0.0,
                }
            },
            "optimizer.momentum",
        ),
    ] {
        let mut other = settings.clone();
        change(&mut other);
        let message = refusal(other, &same, home.path());
        assert!(
            message.contains(named) && message.contains(RESUME_FILE),
            "{message}"
        );
    }
    let message = refusal(settings, &data(32, 20, 2), home.path());
    assert!(
        message.contains("checksum") && message.contains(RESUME_FILE),
        "{message}"
    );
}

#[test]
fn files_that_are_no_checkpoint_are_refused() {
    let settings = settings(Architecture::Mlp, 32);
    let home = begun(&settings);
    let data = data(32, 20, 1);
    let path = home.path().join(RESUME_FILE);
    let good = fs::read(&path).expect("reads");
    let foreign = safetensors::serialize(
        [(
            "w",
            safetensors::tensor::TensorView::new(safetensors::Dtype::F32, vec![1], &[0; 4])
                .expect("a view"),
        )],
        None,
    )
    .expect("serialises");
    let altered = String::from_utf8_lossy(&good).contains(r#"\"momentum\":0.9"#);
    assert!(altered, "the settings stand in the header as text");
    let at = good
        .windows(16)
        .position(|w| w == br#"\"momentum\":0.9}"#.get(..16).unwrap_or_default());
    let mut settings_altered = good.clone();
    settings_altered[at.expect("found") + 15] = b'8';
    for (bytes, named) in [
        (vec![], "too few"),
        (b"not a checkpoint".to_vec(), "no safetensors file"),
        (good[..good.len() / 2].to_vec(), "cut short"),
        (foreign, "another program"),
        (settings_altered, "altered"),
        ([good.as_slice(), b"more"].concat(), "cut short or damaged"),
    ] {
        fs::write(&path, &bytes).expect("writes");
        let message = refusal(settings.clone(), &data, home.path());
        // `Header::read` and `Checkpoint::open` may see the same damage in other words; both name the file.
        assert!(message.contains(RESUME_FILE), "{message}");
        assert!(message.contains("delete the file"), "{message}");
        let header = Header::read(&path);
        assert!(
            message.contains(named) || header.is_err_and(|e| e.to_string().contains(named)),
            "{named}: {message}"
        );
    }
    // A kept file under the name of the resume file has no optimiser state.
    let kept = begun(&{
        let mut s = settings.clone();
        s.checkpoints.every = Some(1);
        s
    });
    let mut s = settings.clone();
    s.checkpoints.every = Some(1);
    fs::copy(
        kept.path().join(kept_file(1)),
        kept.path().join(RESUME_FILE),
    )
    .expect("copies");
    assert!(refusal(s, &data, kept.path()).contains("no resume file"));
}

#[test]
fn a_folder_in_use_is_refused() {
    let settings = settings(Architecture::Mlp, 32);
    let home = tempfile::tempdir().expect("a folder");
    let data = data(32, 20, 1);
    let first = Trainer::in_folder(settings.clone(), &data, home.path()).expect("starts");
    assert!(refusal(settings.clone(), &data, home.path()).contains("in use"));
    drop(first);
    Trainer::in_folder(settings, &data, home.path()).expect("starts");
}

#[test]
fn partial_files_of_a_killed_writer_are_taken_away() {
    let settings = settings(Architecture::Mlp, 32);
    let home = begun(&settings);
    let left = home.path().join(format!("{}x", mftma_atomic::LEFTOVER));
    fs::write(&left, "half").expect("writes");
    let data = data(32, 20, 1);
    Trainer::in_folder(settings, &data, home.path()).expect("starts");
    assert!(!left.exists());
}

#[test]
fn divergence_keeps_the_last_good_epoch() {
    let mut settings = settings(Architecture::Mlp, 32);
    // One quiet epoch, then a rate at which the loss explodes.
    settings.recipe.learning_rate = 1e-3;
    settings.recipe.schedule.decay = Decay::Constant;
    settings.recipe.stop.max_loss = f64::MAX;
    let data = data(32, 20, 1);
    let home = tempfile::tempdir().expect("a folder");
    let mut wild = settings.clone();
    wild.recipe.learning_rate = 1e30;
    let error = Trainer::in_folder(wild.clone(), &data, home.path())
        .expect("starts")
        .run(&mut |_| ControlFlow::Continue(()))
        .err()
        .expect("diverges");
    let message = error.to_string();
    assert!(
        matches!(error, TrainError::Diverged { epoch: 1, .. }),
        "{message}"
    );
    let rate = 1e30.to_string();
    for part in [
        "epoch 1",
        &rate,
        "state after epoch 0 is kept",
        "learning_rate",
    ] {
        assert!(message.contains(part), "{part}: {message}");
    }
    let saved = Run::open(home.path())
        .expect("opens")
        .last()
        .expect("whole");
    assert_eq!(saved.header().epoch, 0);
    let network = saved.network().expect("builds");
    assert!(
        network
            .parameters()
            .iter()
            .all(|p| p.values().iter().all(|v| v.is_finite()))
    );

    // A threshold below the loss of guessing counts as divergence at the first step.
    settings.recipe.stop.max_loss = 0.01;
    let error = Trainer::new(settings, &data)
        .expect("starts")
        .run(&mut |_| ControlFlow::Continue(()));
    assert!(matches!(
        error,
        Err(TrainError::Diverged {
            epoch: 1,
            step: 0,
            ..
        })
    ));
}

#[test]
fn training_stops_at_the_training_accuracy() {
    let mut settings = settings(Architecture::Mlp, 32);
    settings.network.width = 8;
    settings.recipe.stop.max_epochs = 400;
    settings.recipe.stop.training_accuracy = Some(0.95);
    let data = data(32, 20, 1);
    let trained = run(Trainer::new(settings, &data).expect("starts"));
    assert_eq!(trained.stopped, Some(StopReason::TrainingAccuracy));
    let (last, before) = trained.history.split_last().expect("epochs");
    assert!(last.training_accuracy > 0.95 && before.iter().all(|m| m.training_accuracy <= 0.95));
    // It memorizes: permuted examples are fitted, and lost by their true labels.
    let of = |group| last.groups[&group].accuracy();
    use mftma_data::ExampleGroup::*;
    assert!(
        of(Permuted) > 0.85 && of(Restored) < 0.5,
        "{:?}",
        last.groups
    );
    let both = last.groups[&Permuted].correct + last.groups[&Unpermuted].correct;
    assert_eq!(last.training_accuracy, both as f64 / 100.0);
}

/// What is evaluated changes what is known, not what is trained; the end is decided on all.
#[test]
fn a_part_of_the_training_images_is_evaluated_until_the_end() {
    let mut settings = settings(Architecture::Mlp, 32);
    settings.network.width = 8;
    settings.recipe.stop.max_epochs = 400;
    settings.recipe.stop.training_accuracy = Some(0.95);
    let data = data(32, 20, 1);
    let whole = run(Trainer::new(settings.clone(), &data).expect("starts"));
    settings.recipe.evaluated_examples = Some(7);
    let part = run(Trainer::new(settings, &data).expect("starts"));
    use mftma_data::ExampleGroup::*;
    let examples = |metrics: &mftma_train::EpochMetrics| {
        [Unpermuted, Permuted, Restored, Test].map(|group| metrics.groups[&group].examples)
    };
    let all = examples(&whole.history[0]);
    assert!(all[0] > 7 && all[1] > 7);
    let (last, before) = part.history.split_last().expect("epochs");
    assert_eq!(examples(last), all);
    assert!(last.training_accuracy > 0.95);
    let few: Vec<_> = before.iter().filter(|m| examples(m) != all).collect();
    assert!(
        few.len() > before.len() / 2,
        "{} of {}",
        few.len(),
        before.len()
    );
    assert!(few.iter().all(|m| examples(m) == [7, 7, 7, all[3]]));
    for (a, b) in part.history.iter().zip(&whole.history) {
        assert_eq!(a.batch_loss, b.batch_loss, "epoch {}", a.epoch);
        assert_eq!(a.groups[&Test], b.groups[&Test], "epoch {}", a.epoch);
    }
    // Not before all of them say so, but perhaps after.
    assert!(part.history.len() >= whole.history.len());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever byte is changed, and wherever the file is cut, opening never panics, and gives an error or the same content.
    #[test]
    fn damage_is_always_seen(at in 0.0f64..1.0, value in 1u8..=255, cut in any::<bool>()) {
        use std::sync::OnceLock;
        static GOOD: OnceLock<Vec<u8>> = OnceLock::new();
        let good = GOOD.get_or_init(|| {
            let home = begun(&settings(Architecture::Mlp, 32));
            fs::read(home.path().join(RESUME_FILE)).expect("reads")
        });
        // Half of the cases in the header, where parsing happens.
        let header = 8 + u64::from_le_bytes(good[..8].try_into().expect("eight bytes")) as usize;
        let span = if value % 2 == 0 { header } else { good.len() };
        let at = (at * span as f64) as usize;
        let mut bytes = good.clone();
        if cut {
            bytes.truncate(at);
        } else {
            bytes[at] ^= value;
        }
        let home = tempfile::tempdir().expect("a folder");
        let path = home.path().join("damaged.safetensors");
        fs::write(&path, &bytes).expect("writes");
        if let Ok(opened) = Checkpoint::open(&path) {
            // White space of the header may change; nothing that is read may.
            fs::write(&path, good).expect("writes");
            prop_assert!(!cut, "cut at {at} of {}", good.len());
            let undamaged = Checkpoint::open(&path).expect("opens");
            prop_assert_eq!(opened.header(), undamaged.header());
        }
    }
}
