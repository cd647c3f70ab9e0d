//! Values read off the paper's figures 3 and 4 C–E (Stephenson et al. 2021, DOI 10.48550/arXiv.2105.14602), and how far measured
//! values lie from them.
//!
//! The curves were digitised by hand; each measure has its [reading error](Measure::reading_error). A point that another curve hides
//! in the figure is absent here. The paper gives places by number only: [`LAYERS`] names them, an inference \[D\].

use anyhow::{Context, Result, ensure};
use mftma_data::ExampleGroup;
use serde::{Deserialize, Serialize};

const FIGURE3: &str = include_str!("../data/published/fig3.csv");
const FIGURE4: &str = include_str!("../data/published/fig4cde.csv");

/// The places of figure 3, by index: the input, thirteen convolutions with the five poolings between them, the last linear layer.
pub const LAYERS: [&str; 20] = [
    "input", "conv1_1", "conv1_2", "pool1", "conv2_1", "conv2_2", "pool2", "conv3_1", "conv3_2",
    "conv3_3", "pool3", "conv4_1", "conv4_2", "conv4_3", "pool4", "conv5_1", "conv5_2", "conv5_3",
    "pool5", "fc1",
];

/// Which epoch a curve shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Epoch {
    /// The best epoch: of the highest test accuracy, we take it.
    Best,
    /// The last; figure 4 calls it final.
    #[serde(alias = "final")]
    Last,
}

impl Epoch {
    /// Both, in the order of the figure's rows.
    pub const ALL: [Self; 2] = [Self::Best, Self::Last];

    /// `best` or `last`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Best => "best",
            Self::Last => "last",
        }
    }
}

/// What was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// Capacity α, manifolds per feature.
    Capacity,
    /// Radius R, relative to the centre's norm.
    Radius,
    /// Dimension D.
    Dimension,
    /// Test accuracy in per cent.
    TestAccuracy,
}

impl Measure {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::Capacity,
        Self::Radius,
        Self::Dimension,
        Self::TestAccuracy,
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Capacity => "capacity",
            Self::Radius => "radius",
            Self::Dimension => "dimension",
            Self::TestAccuracy => "test accuracy",
        }
    }

    /// Half-width of what a reader of the figure cannot tell apart, in the measure's own unit.
    pub fn reading_error(self) -> f64 {
        match self {
            Self::Capacity => 0.0005,
            Self::Radius => 0.01,
            Self::Dimension | Self::TestAccuracy => 0.2,
        }
    }
}

/// One point of figure 3: VGG-16 on CIFAR-100, half of the labels permuted.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LayerPoint {
    /// Row of the figure.
    #[serde(rename = "panel")]
    pub epoch: Epoch,
    /// Curve.
    pub group: ExampleGroup,
    /// Column of the figure.
    pub measure: Measure,
    /// Place in the network, into [`LAYERS`].
    pub layer_index: usize,
    /// The value read.
    pub value: f64,
}

/// One point of figure 4 C–E: ResNet-18 of growing width.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct WidthPoint {
    /// Best or final epoch.
    pub epoch: Epoch,
    /// Panel: test accuracy, radius or dimension.
    pub measure: Measure,
    /// Number of parameters, where the curve was read.
    pub parameters: u64,
    /// The value read.
    pub value: f64,
}

/// The points of figure 3.
///
/// # Errors
/// As [`read_layers`]; the embedded table is tested not to have any.
pub fn figure3() -> Result<Vec<LayerPoint>> {
    read_layers(FIGURE3).context("published values of figure 3")
}

/// The points of figure 4 C–E.
///
/// # Errors
/// As [`read_widths`]; the embedded table is tested not to have any.
pub fn figure4() -> Result<Vec<WidthPoint>> {
    read_widths(FIGURE4).context("published values of figure 4")
}

/// Points from a table `panel,group,measure,layer_index,value`.
///
/// # Errors
/// A row that cannot be read, with its line; a place that [`LAYERS`] lacks; a value that is not a positive number.
pub fn read_layers(text: &str) -> Result<Vec<LayerPoint>> {
    let points: Vec<LayerPoint> = rows(text)?;
    for point in &points {
        let LayerPoint {
            layer_index, value, ..
        } = *point;
        ensure!(
            layer_index < LAYERS.len(),
            "layer_index {layer_index}: the figure has places 0 to {}",
            LAYERS.len() - 1
        );
        positive(value)?;
    }
    Ok(points)
}

/// Points from a table `epoch,measure,parameters,value`.
///
/// # Errors
/// A row that cannot be read, with its line; a value that is not a positive number.
pub fn read_widths(text: &str) -> Result<Vec<WidthPoint>> {
    let points: Vec<WidthPoint> = rows(text)?;
    points.iter().try_for_each(|point| positive(point.value))?;
    Ok(points)
}

fn rows<T: serde::de::DeserializeOwned>(text: &str) -> Result<Vec<T>> {
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    Ok(reader.deserialize().collect::<Result<_, _>>()?)
}

fn positive(value: f64) -> Result<()> {
    ensure!(
        value.is_finite() && value > 0.0,
        "value {value}: the figures show positive numbers only"
    );
    Ok(())
}

/// A measured value to hold against figure 3.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measured {
    /// What was measured, where and when.
    pub point: LayerPoint,
    /// Its standard error, in the same unit.
    pub standard_error: f64,
}

/// How far one curve lies from the published one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Difference {
    /// Row of the figure.
    pub epoch: Epoch,
    /// Column of the figure.
    pub measure: Measure,
    /// Curve.
    pub group: ExampleGroup,
    /// Points that both have.
    pub points: usize,
    /// Mean of |ours / published − 1|.
    pub mean: f64,
    /// The largest of them.
    pub largest: f64,
    /// Where it is.
    pub largest_layer: usize,
    /// Mean of |ours − published| in units of √(standard error² + reading error²).
    pub mean_in_errors: f64,
}

/// The differences of each curve of figure 3 that `measured` shares points with, in the order of the figure: row, column, group.
///
/// `scale` multiplies a measured value before it is compared: 1 for the raw difference, published over measured value at the input to
/// take a group's offset there out. Values of places that the figure does not show are passed over.
pub fn differences(
    published: &[LayerPoint],
    measured: &[Measured],
    scale: impl Fn(Measure, ExampleGroup) -> f64,
) -> Vec<Difference> {
    let mut found = Vec::new();
    for epoch in Epoch::ALL {
        for measure in [Measure::Capacity, Measure::Radius, Measure::Dimension] {
            for group in ExampleGroup::ALL {
                let factor = scale(measure, group);
                let pairs = published
                    .iter()
                    .filter(|p| (p.epoch, p.measure, p.group) == (epoch, measure, group))
                    .filter_map(|p| measured.iter().find(|m| same(p, &m.point)).map(|m| (p, m)));
                let curve: Vec<_> = pairs.map(|(p, m)| distance(p, m, factor)).collect();
                found.extend(summary(epoch, measure, group, &curve));
            }
        }
    }
    found
}

fn same(a: &LayerPoint, b: &LayerPoint) -> bool {
    (a.epoch, a.measure, a.group, a.layer_index) == (b.epoch, b.measure, b.group, b.layer_index)
}

/// Place, relative difference, difference in errors.
fn distance(published: &LayerPoint, measured: &Measured, factor: f64) -> (usize, f64, f64) {
    let ours = factor * measured.point.value;
    let error = (factor * measured.standard_error).hypot(published.measure.reading_error());
    let apart = (ours - published.value).abs();
    (
        published.layer_index,
        apart / published.value,
        apart / error,
    )
}

fn summary(
    epoch: Epoch,
    measure: Measure,
    group: ExampleGroup,
    curve: &[(usize, f64, f64)],
) -> Option<Difference> {
    let &(largest_layer, largest, _) = curve.iter().max_by(|a, b| a.1.total_cmp(&b.1))?;
    let points = curve.len();
    Some(Difference {
        epoch,
        measure,
        group,
        points,
        mean: curve.iter().map(|c| c.1).sum::<f64>() / points as f64,
        largest,
        largest_layer,
        mean_in_errors: curve.iter().map(|c| c.2).sum::<f64>() / points as f64,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn written<T: Serialize>(points: &[T]) -> String {
        let mut writer = csv::Writer::from_writer(Vec::new());
        points.iter().for_each(|p| writer.serialize(p).unwrap());
        String::from_utf8(writer.into_inner().unwrap()).unwrap()
    }

    #[test]
    fn figure3_comes_back_as_it_was_read() {
        let points = figure3().unwrap();
        assert_eq!(points.len(), 334);
        assert_eq!(written(&points), FIGURE3);
        let places: HashSet<_> = points
            .iter()
            .map(|p| (p.epoch, p.group, p.measure, p.layer_index))
            .collect();
        assert_eq!(places.len(), points.len(), "a point is given twice");
    }

    #[test]
    fn figure4_comes_back_as_it_was_read() {
        let points = figure4().unwrap();
        assert_eq!(points.len(), 98);
        let text = written(&points).replace("last,", "final,");
        assert_eq!(text, FIGURE4);
    }

    #[test]
    fn what_the_figures_are_known_to_show() {
        let at = |epoch, group, measure, layer| {
            let all = figure3().unwrap();
            let found = all.iter().find(|p| {
                (p.epoch, p.group, p.measure, p.layer_index) == (epoch, group, measure, layer)
            });
            found.unwrap().value
        };
        use ExampleGroup::{Permuted, Restored};
        assert_eq!(at(Epoch::Last, Permuted, Measure::Capacity, 19), 0.1);
        assert_eq!(at(Epoch::Last, Permuted, Measure::Radius, 19), 0.99);
        assert_eq!(at(Epoch::Last, Restored, Measure::Dimension, 19), 32.9);
        let dip = |epoch, parameters| {
            let all = figure4().unwrap();
            let found = all.iter().find(|p| {
                (p.epoch, p.measure, p.parameters) == (epoch, Measure::TestAccuracy, parameters)
            });
            found.unwrap().value
        };
        assert!(dip(Epoch::Last, 550_000) + 2.0 < dip(Epoch::Last, 145_000));
        assert!(dip(Epoch::Best, 550_000) > dip(Epoch::Best, 145_000));
    }

    #[test]
    fn damaged_tables_are_refused() {
        let head = "panel,group,measure,layer_index,value\n";
        for (row, message) in [
            ("best,permuted,capacity,20,0.04", "places 0 to 19"),
            ("best,permuted,capacity,2,-1.0", "positive"),
            ("best,permuted,capacity,2,NaN", "positive"),
            ("best,shuffled,capacity,2,0.04", "shuffled"),
            ("best,permuted,capacity,2", "line: 2"),
        ] {
            let error = read_layers(&format!("{head}{row}\n")).unwrap_err();
            assert!(format!("{error:#}").contains(message), "{row}: {error:#}");
        }
    }

    fn point(layer_index: usize, value: f64) -> LayerPoint {
        LayerPoint {
            epoch: Epoch::Last,
            group: ExampleGroup::Test,
            measure: Measure::Radius,
            layer_index,
            value,
        }
    }

    #[test]
    fn differences_by_hand() {
        let published = [point(0, 1.0), point(1, 2.0), point(2, 4.0)];
        let measured: Vec<_> = [(0, 1.1), (1, 2.2), (3, 9.0)]
            .map(|(layer, value)| Measured {
                point: point(layer, value),
                standard_error: 0.0,
            })
            .into();
        let raw = differences(&published, &measured, |_, _| 1.0);
        assert_eq!(raw.len(), 1);
        assert_eq!(raw[0].points, 2);
        assert!((raw[0].mean - 0.1).abs() < 1e-12);
        assert!((raw[0].mean_in_errors - 15.0).abs() < 1e-9); // 0.1 and 0.2 by a reading error of 0.01
        let scaled = differences(&published, &measured, |_, _| 1.0 / 1.1);
        assert!(scaled[0].largest < 1e-12);
        let doubled = differences(&published, &measured, |_, _| 2.0);
        assert!((doubled[0].largest - 1.2).abs() < 1e-12);
    }

    #[test]
    fn figure3_lies_on_itself_and_not_on_another() {
        let published = figure3().unwrap();
        let measured: Vec<_> = published
            .iter()
            .map(|&point| Measured {
                point,
                standard_error: 0.0,
            })
            .collect();
        let found = differences(&published, &measured, |_, _| 1.0);
        assert_eq!(found.len(), 24);
        assert!(found.iter().all(|d| d.largest == 0.0));
        assert_eq!(found.iter().map(|d| d.points).sum::<usize>(), 334);
        let off = differences(&published, &measured, |_, _| 1.03);
        assert!(off.iter().all(|d| (d.mean - 0.03).abs() < 1e-9));
    }
}
