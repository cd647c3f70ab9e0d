//! What an analysis can be made of, and what settings and results keep.

use mftma::similarity::Representation;
use mftma::{
    ALGORITHM_VERSION, Activations, Analysis, AnalysisSettings, ArrayActivations, Conventions,
    Dichotomy, DimensionCount, DimensionForm, Error, Geometry, GlobalMean, RankRule, Sampling,
    Simulation, VarianceReduction, Vectors, analyze, distinct_labels, project,
};
use ndarray::{Array2, Axis, concatenate, s};
use proptest::prelude::*;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

/// Three manifolds of unequal sizes around centres of their own, in the order of their manifolds.
const SIZES: [usize; 3] = [4, 7, 5];

fn points(seed: u64) -> Array2<f64> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut normal = |rows| {
        Array2::from_shape_simple_fn((rows, 20), || {
            let x: f64 = StandardNormal.sample(&mut rng);
            x
        })
    };
    let centres: Array2<f64> = normal(3) * 3.0;
    let mut all = normal(16);
    let of = (0..3).flat_map(|i| std::iter::repeat_n(i, SIZES[i]));
    for (mut row, i) in all.outer_iter_mut().zip(of) {
        row += &centres.row(i);
    }
    all
}

fn settings() -> AnalysisSettings {
    AnalysisSettings::default().vectors(30).seed(3)
}

fn in_order(points: &Array2<f64>) -> Geometry {
    let source = ArrayActivations::new(points.view(), &SIZES).unwrap();
    Analysis::new(settings()).unwrap().run(&source).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    /// Points in any order that keeps that within a label, and labels of any type, are the same manifolds.
    #[test]
    fn labels_in_any_order(keys in proptest::collection::vec(any::<u32>(), 16)) {
        let sorted = points(1);
        let names = ["ant", "bee", "cow"];
        let mut order: Vec<usize> = (0..16).collect();
        order.sort_by_key(|&i| keys[i]);
        // Within a label rows keep their order: ranks of each label's rows are dealt out in turn.
        let label_of = |row: usize| if row < 4 { 0 } else if row < 11 { 1 } else { 2 };
        let shuffled: Vec<usize> = order.iter().map(|&i| label_of(i)).collect();
        let mut next = [0, 4, 11];
        let rows: Vec<usize> = shuffled.iter().map(|&label| { next[label] += 1; next[label] - 1 }).collect();
        let mixed = sorted.select(Axis(0), &rows);
        let labels: Vec<String> = shuffled.iter().map(|&i| names[i].to_owned()).collect();
        prop_assert_eq!(distinct_labels(&labels), names);
        let found = analyze(&mixed, &labels, &settings()).unwrap();
        prop_assert_eq!(found, in_order(&sorted));
    }
}

/// Finite numbers of every size, which must come back bit for bit.
fn array(rows: usize, columns: usize) -> impl Strategy<Value = Array2<f64>> {
    let value = prop_oneof![-1.0..1.0f64, proptest::num::f64::NORMAL];
    proptest::collection::vec(value, rows * columns)
        .prop_map(move |values| Array2::from_shape_vec((rows, columns), values).unwrap())
}

fn any_reduction() -> impl Strategy<Value = VarianceReduction> {
    prop_oneof![
        Just(VarianceReduction::Independent),
        Just(VarianceReduction::Antithetic),
        Just(VarianceReduction::Orthogonal),
        Just(VarianceReduction::OrthogonalAntithetic),
    ]
}

fn any_conventions() -> impl Strategy<Value = Conventions> {
    let rule = prop_oneof![
        Just(RankRule::Reproducible),
        Just(RankRule::Reference),
        any::<usize>().prop_map(|rank| RankRule::Fixed { rank }),
        (1..6usize, 0..4usize)
            .prop_flat_map(|(n, k)| array(n, k))
            .prop_map(|directions| RankRule::Given { directions }),
    ];
    let count = prop_oneof![
        Just(DimensionCount::TrueRank),
        Just(DimensionCount::Coordinates)
    ];
    let form = prop_oneof![
        Just(DimensionForm::SquaredMean),
        Just(DimensionForm::MeanSquare)
    ];
    let mean = prop_oneof![Just(GlobalMean::ByManifold), Just(GlobalMean::ByPoint)];
    (rule, count, form, mean).prop_map(|(rule, count, form, mean)| {
        Conventions::ours()
            .rank_rule(rule)
            .dimension_count(count)
            .dimension_form(form)
            .global_mean(mean)
    })
}

fn any_settings() -> impl Strategy<Value = AnalysisSettings> {
    let vectors = prop_oneof![
        any::<usize>().prop_map(Vectors::Count),
        (0.0..1.0f64, any::<usize>()).prop_map(|(relative_error, cap)| {
            Vectors::UntilRelativeError {
                relative_error,
                cap,
            }
        }),
        proptest::collection::vec((0..4usize, 1..5usize), 0..3)
            .prop_flat_map(|shapes| {
                let arrays: Vec<_> = shapes.into_iter().map(|(n, d)| array(n, d)).collect();
                arrays
            })
            .prop_map(Vectors::Given),
    ];
    let counts = (any::<u64>(), any::<usize>(), any::<usize>());
    let shares = (0.0..1.0f64, proptest::option::of(0.0..1.0f64));
    let margin = proptest::num::f64::NORMAL;
    (
        margin,
        vectors,
        any_conventions(),
        any_reduction(),
        counts,
        shares,
    )
        .prop_map(
            |(margin, vectors, conventions, reduction, counts, shares)| {
                let settings = AnalysisSettings::default()
                    .margin(margin)
                    .sampling(vectors)
                    .conventions(conventions)
                    .variance_reduction(reduction)
                    .seed(counts.0)
                    .restarts(counts.1)
                    .resamples(counts.2)
                    .interval_coverage(shares.0);
                match shares.1 {
                    Some(share) => settings.spectrum(share),
                    None => settings,
                }
            },
        )
}

/// Through JSON and back.
fn through<T: serde::Serialize + serde::de::DeserializeOwned>(value: &T) -> T {
    serde_json::from_str(&serde_json::to_string(value).unwrap()).unwrap()
}

proptest! {
    #[test]
    fn settings_survive_serde(settings in any_settings()) {
        prop_assert_eq!(through(&settings), settings);
    }

    #[test]
    fn settings_of_the_smaller_jobs_survive_serde(
        numbers in (any::<u64>(), any::<u64>(), any::<usize>(), any::<usize>()),
        shares in (proptest::num::f64::NORMAL, 0.0..1.0f64, proptest::option::of(0.0..1.0f64)),
        flags in (any::<bool>(), any::<bool>(), any::<bool>()),
        reduction in any_reduction(),
    ) {
        let sampling = Sampling::default()
            .margin(shares.0)
            .seed(numbers.0)
            .stream(numbers.1)
            .vectors(numbers.2)
            .max_vectors(numbers.3)
            .relative_error(shares.2)
            .control_variates(flags.0)
            .variance_reduction(reduction);
        prop_assert_eq!(through(&sampling), sampling);
        let dichotomy = if flags.0 {
            Dichotomy::Uniform
        } else {
            Dichotomy::Sparse { positive: numbers.3 }
        };
        let simulation = Simulation::default()
            .seed(numbers.0)
            .repetitions(numbers.2)
            .confidence(shares.1)
            .bias(flags.1)
            .subtract_global_mean(flags.2)
            .dichotomy(dichotomy);
        prop_assert_eq!(through(&simulation), simulation);
    }
}

#[test]
fn one_array_a_manifold() {
    let all = points(2);
    let ragged: Vec<Array2<f64>> = [0..4, 4..11, 11..16]
        .map(|rows| all.slice(s![rows, ..]).to_owned())
        .into();
    let source = ArrayActivations::from_manifolds(&ragged).unwrap();
    assert_eq!(source.points_per_manifold(), SIZES);
    let analysis = settings().build().unwrap();
    assert_eq!(analysis.run(&source).unwrap(), in_order(&all));
    let owned = ArrayActivations::owned(all.clone(), &SIZES).unwrap();
    assert_eq!(analysis.run(&owned).unwrap(), in_order(&all));

    let misfit = [Array2::<f32>::zeros((2, 3)), Array2::zeros((4, 5))];
    let error = ArrayActivations::from_manifolds(&misfit).unwrap_err();
    assert!(
        error.to_string().contains("manifold 1 has 5 features"),
        "{error}"
    );
    let none: [Array2<f64>; 0] = [];
    let source = ArrayActivations::from_manifolds(&none).unwrap();
    assert!(matches!(
        analysis.run(&source),
        Err(Error::TooFewManifolds { found: 0, .. })
    ));
}

#[test]
fn single_precision_and_wrong_numbers_of_labels() {
    let all = points(3);
    let single = all.mapv(|x| x as f32);
    let labels: Vec<u8> = (0..16)
        .map(|i| u8::from(i >= 4) + u8::from(i >= 11))
        .collect();
    let found = analyze(&single, &labels, &settings()).unwrap();
    assert_eq!(found, in_order(&single.mapv(f64::from)));
    assert!(matches!(
        analyze(&all, &labels[1..], &settings()),
        Err(Error::Shape {
            expected: 16,
            found: 15,
            ..
        })
    ));
}

#[test]
fn collecting_keeps_every_value() {
    // More features than one block holds.
    let wide = Array2::from_shape_fn((16, 5_000), |(i, j)| (i * 5_000 + j) as f32);
    let source = ArrayActivations::new(wide.view(), &SIZES).unwrap();
    let collected = source.collect().unwrap();
    assert_eq!(collected.points_per_manifold(), SIZES);
    assert_eq!(collected.into_points(), wide.mapv(f64::from));
}

/// A source that yields fewer features than it says.
struct Short;

impl Activations for Short {
    fn points_per_manifold(&self) -> &[usize] {
        &[1, 1]
    }
    fn n_features(&self) -> usize {
        4
    }
    fn for_each_block(
        &self,
        visit: &mut dyn FnMut(mftma::Block<'_>) -> std::ops::ControlFlow<()>,
    ) -> Result<(), mftma::SourceError> {
        let _ = visit(mftma::Block::F64(Array2::zeros((2, 3)).view()));
        Ok(())
    }
}

#[test]
fn a_source_that_ends_early_is_told() {
    assert!(matches!(
        Short.collect(),
        Err(Error::Shape {
            expected: 4,
            found: 3,
            ..
        })
    ));
    for error in [
        project(&Short, 2, 1).unwrap_err(),
        Representation::new(&Short).err().unwrap(),
    ] {
        assert!(matches!(error, Error::Shape { found: 3, .. }), "{error}");
    }
}

#[test]
fn results_record_every_setting_and_given_arrays_survive() {
    let all = points(4);
    let directions = Array2::eye(20).slice(s![.., ..2]).to_owned();
    let rule = RankRule::Given { directions };
    let given = Vectors::Given(SIZES.map(|m| Array2::ones((3, m + 1))).into());
    let settings = settings()
        .conventions(Conventions::reference().rank_rule(rule))
        .sampling(given)
        .margin(0.25)
        .resamples(7)
        .restarts(3)
        .interval_coverage(0.5)
        .spectrum(0.8);
    let source = ArrayActivations::new(all.view(), &SIZES).unwrap();
    let found = settings.clone().build().unwrap().run(&source).unwrap();
    assert_eq!(found.settings, settings);
    assert_eq!(found.algorithm_version, ALGORITHM_VERSION);
    let text = serde_json::to_string(&found).unwrap();
    let back: Geometry = serde_json::from_str(&text).unwrap();
    assert_eq!(back, found);
    let again = back.settings.build().unwrap().run(&source).unwrap();
    assert_eq!(again, found);
}

#[test]
fn settings_read_with_defaults_and_refuse_what_they_do_not_know() {
    let read = |text: &str| serde_json::from_str::<AnalysisSettings>(text);
    assert_eq!(read("{}").unwrap(), AnalysisSettings::default());
    let rule = read(r#"{"conventions": {"rank_rule": {"rule": "fixed", "rank": 2}}}"#).unwrap();
    assert_eq!(
        rule.conventions,
        Conventions::ours().rank_rule(RankRule::Fixed { rank: 2 })
    );
    let error = read(r#"{"kappa": 1.0}"#).unwrap_err().to_string();
    assert!(
        error.contains("kappa") && error.contains("margin"),
        "{error}"
    );
    let error = read(r#"{"conventions": {"rank_rule": {"rule": "given"}}}"#).unwrap_err();
    assert!(error.to_string().contains("directions"), "{error}");
    // Six numbers are no 2 x 2 array.
    let text = r#"{"conventions": {"rank_rule": {"rule": "given",
        "directions": {"v": 1, "dim": [2, 2], "data": [1, 2, 3, 4, 5, 6]}}}}"#;
    assert!(read(text).is_err());
    // Directions that are read are checked as directions that are set.
    let text = r#"{"conventions": {"rank_rule": {"rule": "given",
        "directions": {"v": 1, "dim": [2, 1], "data": [1.0, 1.0]}}}}"#;
    let error = read(text).unwrap().build().unwrap_err().to_string();
    assert!(
        error.contains("directions") && error.contains("orthonormal"),
        "{error}"
    );
}

/// Points whose features come one block after another.
struct Blocks(Vec<Array2<f64>>);

impl Activations for Blocks {
    fn points_per_manifold(&self) -> &[usize] {
        &SIZES
    }

    fn n_features(&self) -> usize {
        self.0.iter().map(Array2::ncols).sum()
    }

    fn for_each_block(
        &self,
        visit: &mut dyn FnMut(mftma::Block<'_>) -> std::ops::ControlFlow<()>,
    ) -> Result<(), mftma::SourceError> {
        for block in &self.0 {
            if visit(mftma::Block::F64(block.view())).is_break() {
                break;
            }
        }
        Ok(())
    }
}

/// The matrix of the centres is one of all manifolds: none is to blame, and none is a single problem's "manifold 0".
#[test]
fn a_failing_eigenproblem_of_the_centres_blames_no_manifold() {
    // The first features do not tell that later ones are too large to square.
    let vast = Blocks(vec![points(5), points(5) * 1e160]);
    let error = settings().build().unwrap().run(&vast).unwrap_err();
    assert!(matches!(error, Error::Eigenproblem { .. }), "{error}");
    let text = error.to_string();
    assert!(
        text.contains("centres") && !text.contains("manifold 0"),
        "{text}"
    );
}

/// A projection shares no random word with a draw that a program makes from a numbered stream of the same seed.
#[test]
fn a_projection_has_random_numbers_of_its_own() {
    let unit = concatenate![Axis(0), Array2::<f64>::eye(2), Array2::eye(2)];
    let source = ArrayActivations::new(unit.view(), &[2, 2]).unwrap();
    let projected = project(&source, 3, 9).unwrap();
    for direction in 0..3 {
        let mut rng = ChaCha8Rng::seed_from_u64(9);
        rng.set_stream(direction as u64);
        let first: f64 = StandardNormal.sample(&mut rng);
        let second: f64 = StandardNormal.sample(&mut rng);
        let numbered = first / first.hypot(second);
        assert!((projected[[0, direction]] - numbered).abs() > 1e-6);
    }
}
