//! Tidy tables: one row per measured value. Tables are views: figures are drawn from them, claims read the outputs of stages.

mod condition;
mod group;
mod measure;
mod text;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

pub use condition::{
    AnalysisSetting, Ball, BallProperty, Condition, Control, Curve, GradientInputs, Learner,
    Normalisation, RewoundLayers, WeightScale,
};
pub use group::Group;
pub use measure::{Measure, OfManifolds, Range};

/// One value of one measure, with all that identifies it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Name of the profile.
    pub profile: String,
    /// Data set.
    pub dataset: String,
    /// Architecture.
    pub architecture: String,
    /// Base width of the network.
    pub width: usize,
    /// Seed of the run.
    pub seed: u64,
    /// Place of the layer in the network, 0 for the input; empty for what concerns the whole network.
    pub layer_index: Option<usize>,
    /// Name of the layer; empty as above.
    pub layer: Option<String>,
    /// Epochs of training behind the value.
    pub epoch: usize,
    /// Steps of the optimiser behind the value; empty where whole epochs are counted.
    pub step: Option<usize>,
    /// What was varied: rewound layers, an ablation, the number of points; empty for the plain experiment.
    pub condition: Option<Condition>,
    /// Example group.
    pub group: Group,
    /// What was measured.
    pub measure: Measure,
    /// Its value.
    pub value: f64,
    /// Standard error of the value over classes (geometry) or examples (accuracy).
    pub standard_error: Option<f64>,
    /// Standard error over the Gaussian vectors, the points held fixed (geometry only).
    pub standard_error_vectors: Option<f64>,
    /// Manifolds (geometry) or examples (accuracy) behind the value.
    pub count: usize,
}

/// The table as comma-separated values with a header line.
pub fn to_csv(rows: &[Row]) -> Result<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for row in rows {
        writer.serialize(row)?;
    }
    writer.into_inner().context("cannot write the table")
}

/// Reads a table back.
pub fn from_csv(bytes: &[u8]) -> Result<Vec<Row>> {
    csv::Reader::from_reader(bytes)
        .deserialize()
        .map(|row| row.context("the table is not as this program writes it"))
        .collect()
}

#[cfg(test)]
mod tests {
    use mftma_data::ExampleGroup;
    use mftma_gradients::{GradientGroup, GradientPart, InputAblation};
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;
    use crate::published::{Epoch, Measure as Published};

    #[test]
    fn tables_come_back_as_they_were() {
        let row = Row {
            profile: "smoke".into(),
            dataset: "glyphs, \"embedded\"".into(),
            architecture: "vgg16".into(),
            width: 8,
            seed: 1,
            layer_index: None,
            layer: None,
            epoch: 2,
            step: None,
            condition: None,
            group: ExampleGroup::Test.into(),
            measure: Measure::CAPACITY,
            value: 0.1 + 0.2,
            standard_error: Some(1e-300),
            standard_error_vectors: None,
            count: 3,
        };
        let rows = [
            row.clone(),
            Row {
                layer_index: Some(3),
                layer: Some("conv1_1".into()),
                step: Some(7),
                condition: Some(Condition::Setting(AnalysisSetting::Manifolds, 20)),
                ..row
            },
        ];
        assert_eq!(from_csv(&to_csv(&rows).unwrap()).unwrap(), rows);
    }
    #[test]
    fn the_engines_averages_over_manifolds_are_measures_of_tables() {
        for (name, measure) in [
            ("capacity", Measure::CAPACITY),
            ("radius", Measure::RADIUS),
            ("dimension", Measure::DIMENSION),
            ("centre_correlation", Measure::CENTRE_CORRELATION),
            ("centre_rank", Measure::CENTRE_RANK),
        ] {
            assert_eq!(name.parse(), Ok(measure));
        }
        let mut averages = mftma::measures::MEASURES
            .iter()
            .filter(|entry| entry.is_averaged() && entry.is_of_layers());
        assert!(averages.all(|entry| entry.name.parse::<Measure>().is_ok()));
        // Not of the tables: the joint problem, a count of points, what K would change.
        for name in [
            "joint_dimension",
            "points",
            "rank",
            "radius_change_at_lower_rank",
        ] {
            assert!(name.parse::<Measure>().is_err(), "{name}");
        }
    }

    #[test]
    fn measures_and_groups_have_one_text_each() {
        for measure in Measure::all() {
            assert_eq!(measure.to_string().parse(), Ok(measure));
            let json = serde_json::to_string(&measure).unwrap();
            assert_eq!(json, format!("\"{measure}\""));
            let (low, high) = measure.range();
            assert!(low < high, "{measure}");
        }
        for measure in mftma_gradients::Measure::ALL {
            let json = serde_json::to_string(&measure).unwrap();
            assert_eq!(json, format!("\"{measure}\""));
        }
        for group in Group::all() {
            assert_eq!(group.to_string().parse(), Ok(group));
        }
        for group in GradientGroup::ALL {
            assert_eq!(Group::from(group).name(), group.name());
        }
        assert!("capacities".parse::<Measure>().is_err());
        assert!("tests".parse::<Group>().is_err());
    }

    fn ball() -> impl Strategy<Value = Ball> {
        let property = || select(BallProperty::ALL.to_vec());
        let fixed = prop::collection::vec((property(), 0.0..1e3f64), 0..3);
        (fixed, property(), 0..1_000_000i64).prop_map(|(fixed, varied, thousandths)| Ball {
            fixed,
            varied,
            thousandths,
        })
    }

    fn curve() -> impl Strategy<Value = Curve> {
        let places = (select(Epoch::ALL.to_vec()), select(Published::ALL.to_vec()));
        (places, any::<bool>()).prop_map(|((epoch, measure), without_offset)| Curve {
            epoch,
            measure,
            without_offset,
        })
    }

    fn condition() -> impl Strategy<Value = Condition> {
        let layer = || "[a-z][a-z0-9_.]{0,12}";
        let inputs: Vec<GradientInputs> = GradientInputs::all().collect();
        prop_oneof![
            any::<usize>().prop_map(Condition::TrainingExample),
            ball().prop_map(Condition::Ball),
            (any::<usize>(), "[^\r\n]{0,20}")
                .prop_map(|(index, class)| Condition::PicturePoint { index, class }),
            Just(Condition::Rewound(RewoundLayers::None)),
            layer().prop_map(|name| Condition::Rewound(RewoundLayers::One(name))),
            any::<usize>().prop_map(|count| Condition::Rewound(RewoundLayers::Last(count))),
            select(Epoch::ALL.to_vec()).prop_map(Condition::Shown),
            select(Epoch::ALL.to_vec()).prop_map(Condition::Published),
            curve().prop_map(Condition::Difference),
            Just(Condition::WidthSweep(Epoch::Best)),
            Just(Condition::WidthSweep(Epoch::Last)),
            select(inputs).prop_map(Condition::Inputs),
            (0.0..1e3f32).prop_map(|scale| Condition::WeightScale(WeightScale(scale))),
            (0.0..=1.0f64).prop_map(Condition::PermutedFraction),
            (select(AnalysisSetting::ALL.to_vec()), any::<usize>())
                .prop_map(|(setting, value)| Condition::Setting(setting, value)),
            (layer(), layer()).prop_map(|(first, other)| Condition::Layers(first, other)),
            any::<(usize, usize)>().prop_map(|(first, other)| Condition::Epochs(first, other)),
            (any::<(usize, usize)>(), 0.0..1.0f64)
                .prop_map(|(epochs, tolerance)| Condition::Matched { epochs, tolerance }),
            any::<usize>().prop_map(Condition::Mode),
            (
                select(Learner::ALL.to_vec()),
                proptest::option::of(0.0..1e3f64)
            )
                .prop_map(|(learner, time)| Condition::Learning { learner, time }),
            layer().prop_map(Condition::Reset),
            any::<usize>().prop_map(Condition::Zeroed),
            any::<u8>().prop_map(Condition::Quantile),
            select(Control::ALL.to_vec()).prop_map(Condition::Control),
        ]
    }

    proptest! {
        #[test]
        fn a_condition_comes_back_from_its_text(condition in condition()) {
            prop_assert_eq!(condition.to_string().parse(), Ok(condition));
        }

        #[test]
        fn a_row_comes_back_from_its_table(
            layer in prop::option::of((any::<usize>(), "[^\r\n]{1,20}")),
            (epoch, step) in (any::<usize>(), any::<Option<usize>>()),
            condition in prop::option::of(condition()),
            group in select(Group::all().collect::<Vec<_>>()),
            measure in select(Measure::all().collect::<Vec<_>>()),
            value in any::<f64>().prop_filter("a table holds finite numbers", |value| value.is_finite()),
        ) {
            let (layer_index, layer) = layer.unzip();
            let row = Row {
                profile: "smoke".into(),
                dataset: "glyphs".into(),
                architecture: "vgg16".into(),
                width: 8,
                seed: u64::MAX,
                layer_index,
                layer,
                epoch,
                step,
                condition,
                group,
                measure,
                value,
                standard_error: None,
                standard_error_vectors: None,
                count: 3,
            };
            let rows = [row];
            prop_assert_eq!(from_csv(&to_csv(&rows).unwrap()).unwrap(), rows);
        }

        /// Whatever stands in a table is read as a condition or refused, and what is read is written as it stood.
        #[test]
        fn any_text_is_read_or_refused(text in "(rewind |epoch |point |ball, |P )?[ -~]{0,24}") {
            if let Ok(condition) = text.parse::<Condition>() {
                let again: Condition = condition.to_string().parse().unwrap();
                prop_assert_eq!(again, condition);
            }
        }
    }

    #[test]
    fn conditions_stand_in_tables_as_they_always_did() {
        let layer = |name: &str| name.to_owned();
        for (condition, text) in [
            (Condition::TrainingExample(3), "training example 3"),
            (
                Condition::Ball(Ball::new(
                    vec![
                        (BallProperty::Radius, 0.25),
                        (BallProperty::Dimension, 10.0),
                    ],
                    BallProperty::Correlation,
                    0.1,
                )),
                "ball, R 0.25, D 10, rho 0.100",
            ),
            (
                Condition::Rewound(RewoundLayers::One(layer("conv1_1"))),
                "rewind conv1_1",
            ),
            (Condition::Shown(Epoch::Best), "best epoch"),
            (Condition::Published(Epoch::Last), "published, last epoch"),
            (
                Condition::Difference(Curve {
                    epoch: Epoch::Last,
                    measure: Published::Capacity,
                    without_offset: true,
                }),
                "difference of capacity at the last epoch, offset divided out",
            ),
            (Condition::Rewound(RewoundLayers::Last(2)), "rewind last 2"),
            (Condition::Rewound(RewoundLayers::None), "none"),
            (
                Condition::Inputs(GradientInputs::uniform(InputAblation::Raw)),
                "raw, uniform softmax",
            ),
            (
                Condition::Inputs(
                    GradientInputs::uniform(InputAblation::Raw)
                        .with(Normalisation::Without)
                        .part(GradientPart::LabelFree),
                ),
                "raw, without normalisation, uniform softmax, label-free part",
            ),
            (Condition::WeightScale(WeightScale(0.1)), "weight scale 0.1"),
            (Condition::PermutedFraction(0.25), "fraction 0.25"),
            (
                Condition::Setting(AnalysisSetting::GaussianVectors, 50),
                "n_t 50",
            ),
            (
                Condition::Layers(layer("conv1_1"), layer("fc1")),
                "conv1_1 x fc1",
            ),
            (Condition::Epochs(100, 1000), "epoch 100 x epoch 1000"),
            (Condition::Reset(layer("conv1_1")), "reset conv1_1"),
            (Condition::Zeroed(5), "channels zeroed 5"),
            (Condition::Quantile(10), "quantile 10"),
            (
                Condition::Control(Control::WeightDecay),
                "trained with weight decay",
            ),
        ] {
            assert_eq!(condition.to_string(), text);
            assert_eq!(text.parse(), Ok(condition));
        }
    }
}
