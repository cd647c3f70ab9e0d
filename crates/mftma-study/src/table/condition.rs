//! What was varied for a row.

use std::fmt;
use std::str::FromStr;

use mftma_gradients::{GradientPart, InputAblation};
use serde::{Deserialize, Serialize};

use super::text::as_text;
use crate::published::{Epoch, Measure as Published};

/// What sets a value apart from that of the plain experiment.
#[derive(Debug, Clone, PartialEq)]
pub enum Condition {
    /// Figure 1, a: a training example, by its place among them.
    TrainingExample(usize),
    /// Figure 1, c: a ball.
    Ball(Ball),
    /// Figure 2, b: a point of a picture.
    PicturePoint {
        /// Its place in the picture.
        index: usize,
        /// Name of its class.
        class: String,
    },
    /// Figure 3: the value measured in one row of the figure.
    Shown(Epoch),
    /// Figure 3: the value read in the published figure.
    Published(Epoch),
    /// Figure 3: how far a curve lies from the published one.
    Difference(Curve),
    /// Figure 4, a and b: layers put back to an earlier epoch.
    Rewound(RewoundLayers),
    /// Figure 4, c to e: a network of the sweep over widths, at its best or at its final epoch.
    WidthSweep(Epoch),
    /// Figure 5: what the network was given.
    Inputs(GradientInputs),
    /// Figure 5, c: the factor on a perceptron's initial weights.
    WeightScale(WeightScale),
    /// Figure S4: the fraction of permuted labels.
    PermutedFraction(f64),
    /// Figure S5: a setting of the analysis and its value.
    Setting(AnalysisSetting, usize),
    /// Figure S6: two layers.
    Layers(String, String),
    /// Figure S6: two epochs of a layer.
    Epochs(usize, usize),
    /// Figure S6: two epochs of a layer whose neurons are matched.
    Matched {
        /// The two epochs.
        epochs: (usize, usize),
        /// ε.
        tolerance: f64,
    },
    /// Figure S10: a mode of the correlation, by its rank from 0.
    Mode(usize),
    /// Figure S10: who learns, and after what time where that is no epoch.
    Learning {
        /// Who.
        learner: Learner,
        /// In units of the time in which the strongest mode is half learned.
        time: Option<f64>,
    },
    /// Figure 4, f: a single layer put back, to the row's epoch.
    Reset(String),
    /// Figure 4, g: after so many channels were zeroed.
    Zeroed(usize),
    /// Figure S9: so many per cent of the examples have less.
    Quantile(u8),
    /// Figure S9: how the network was trained.
    Control(Control),
}

/// A training with explicit regularisation, beside one without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    /// Without.
    Plain,
    /// With weight decay.
    WeightDecay,
    /// With random shifts and reflections of the images.
    Augmentation,
}

impl Control {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Plain, Self::WeightDecay, Self::Augmentation];

    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "no regularisation",
            Self::WeightDecay => "weight decay",
            Self::Augmentation => "augmentation",
        }
    }
}

/// Who learns in figure S10.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Learner {
    /// A deep linear network as the exact theory has it.
    Theory,
    /// A deep linear network that was trained.
    LinearNetwork,
    /// The network of the study.
    Network,
}

/// A curve of figure 3 that is held against the published one; the group is the row's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Curve {
    /// Row of the figure.
    pub epoch: Epoch,
    /// Column.
    pub measure: Published,
    /// Whether the group's offset at the input was divided out.
    pub without_offset: bool,
}

/// Which layers were put back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RewoundLayers {
    /// None: the trained network.
    None,
    /// This one.
    One(String),
    /// So many of the last.
    Last(usize),
}

/// What the images and the network were when gradients were taken, and which part of the pull on the scores was carried back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct GradientInputs {
    /// What was done to the images.
    pub ablation: InputAblation,
    /// Whether the network has the batch normalisation that it is trained with.
    pub normalisation: Normalisation,
    /// Whether the weights of the last layer were made small, so that the softmax is uniform.
    pub uniform_softmax: bool,
    /// The part.
    pub part: GradientPart,
}

/// Batch normalisation of a network whose gradients are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Normalisation {
    /// As in the network that is trained.
    AsTrained,
    /// Put in; the network is trained without.
    With,
    /// Left out; the network is trained with it.
    Without,
}

/// The factor on the initial weights of a network.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct WeightScale(pub f32);

/// A setting of the analysis that figure S5 varies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnalysisSetting {
    /// P.
    Manifolds,
    /// M.
    Points,
    /// n_t.
    GaussianVectors,
}

/// A property of balls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BallProperty {
    /// R.
    Radius,
    /// D.
    Dimension,
    /// ρ between centres.
    Correlation,
}

/// A ball of the theory: what is held fixed, and what varies along its curve.
#[derive(Debug, Clone, PartialEq)]
pub struct Ball {
    /// Properties held fixed.
    pub fixed: Vec<(BallProperty, f64)>,
    /// The property that varies.
    pub varied: BallProperty,
    /// Its value, in thousandths.
    pub thousandths: i64,
}

impl Ball {
    /// A ball at a value, of which three decimals are kept.
    pub fn new(fixed: Vec<(BallProperty, f64)>, varied: BallProperty, value: f64) -> Self {
        Self {
            fixed,
            varied,
            thousandths: (1000.0 * value).round() as i64,
        }
    }
}

impl GradientInputs {
    /// The images as they are, in the network as it is trained.
    pub const RAW: Self = Self::of(InputAblation::Raw);

    /// These images in the network as it is.
    pub const fn of(ablation: InputAblation) -> Self {
        Self {
            ablation,
            normalisation: Normalisation::AsTrained,
            uniform_softmax: false,
            part: GradientPart::Whole,
        }
    }

    /// These images with a uniform softmax.
    pub const fn uniform(ablation: InputAblation) -> Self {
        Self {
            uniform_softmax: true,
            ..Self::of(ablation)
        }
    }

    /// The same in a network with other normalisation.
    pub const fn with(self, normalisation: Normalisation) -> Self {
        Self {
            normalisation,
            ..self
        }
    }

    /// A part of the same gradient.
    pub const fn part(self, part: GradientPart) -> Self {
        Self { part, ..self }
    }

    /// Every combination, plain ones first.
    pub fn all() -> impl Iterator<Item = Self> {
        let both = |ablation| [Self::of(ablation), Self::uniform(ablation)];
        let plain = InputAblation::ALL.into_iter().flat_map(both);
        let plain: Vec<Self> = plain.collect();
        let normalisations = Normalisation::ALL.into_iter();
        normalisations
            .flat_map(|normalisation| GradientPart::ALL.map(|part| (normalisation, part)))
            .flat_map(move |(normalisation, part)| {
                let all = plain.clone().into_iter();
                all.map(move |inputs| inputs.with(normalisation).part(part))
            })
    }
}

impl Normalisation {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::AsTrained, Self::With, Self::Without];

    /// What it adds to a text.
    fn suffix(self) -> &'static str {
        match self {
            Self::AsTrained => "",
            Self::With => ", with normalisation",
            Self::Without => ", without normalisation",
        }
    }
}

impl Learner {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Theory, Self::LinearNetwork, Self::Network];

    /// Its name in tables and figures.
    pub fn name(self) -> &'static str {
        match self {
            Self::Theory => "linear theory",
            Self::LinearNetwork => "linear network",
            Self::Network => "network",
        }
    }
}

impl AnalysisSetting {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Manifolds, Self::Points, Self::GaussianVectors];

    /// Its symbol.
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Manifolds => "P",
            Self::Points => "M",
            Self::GaussianVectors => "n_t",
        }
    }
}

impl BallProperty {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Radius, Self::Dimension, Self::Correlation];

    /// Its symbol, in letters.
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Radius => "R",
            Self::Dimension => "D",
            Self::Correlation => "rho",
        }
    }
}

const TRAINING_EXAMPLE: &str = "training example ";
const BALL: &str = "ball, ";
const POINT: &str = "point ";
const OF_CLASS: &str = " of class ";
const ROW: &str = " epoch";
const PUBLISHED: &str = "published, ";
const DIFFERENCE: &str = "difference of ";
const AT: &str = " at the ";
const WITHOUT_OFFSET: &str = ", offset divided out";
const NOTHING_REWOUND: &str = "none";
const REWOUND: &str = "rewind ";
const LAST: &str = "rewind last ";
const SWEEP: &str = "double descent";
const SWEEP_BEST: &str = "double descent, best epoch";
const UNIFORM_SOFTMAX: &str = ", uniform softmax";
const WEIGHT_SCALE: &str = "weight scale ";
const FRACTION: &str = "fraction ";
const WITH: &str = " x ";
const EPOCH: &str = "epoch ";
const RESET: &str = "reset ";
const ZEROED: &str = "channels zeroed ";
const QUANTILE: &str = "quantile ";
const TRAINED: &str = "trained with ";
const TOLERANCE: &str = ", tolerance ";
const MODE: &str = "mode ";
const TIME: &str = " at time ";

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TrainingExample(index) => write!(f, "{TRAINING_EXAMPLE}{index}"),
            Self::Ball(ball) => ball.fmt(f),
            Self::PicturePoint { index, class } => write!(f, "{POINT}{index}{OF_CLASS}{class}"),
            Self::Shown(epoch) => write!(f, "{}{ROW}", epoch.name()),
            Self::Published(epoch) => write!(f, "{PUBLISHED}{}{ROW}", epoch.name()),
            Self::Difference(curve) => curve.fmt(f),
            Self::Rewound(layers) => layers.fmt(f),
            Self::WidthSweep(Epoch::Last) => f.write_str(SWEEP),
            Self::WidthSweep(Epoch::Best) => f.write_str(SWEEP_BEST),
            Self::Inputs(inputs) => inputs.fmt(f),
            Self::WeightScale(scale) => scale.fmt(f),
            Self::PermutedFraction(fraction) => write!(f, "{FRACTION}{fraction}"),
            Self::Setting(setting, value) => write!(f, "{} {value}", setting.symbol()),
            Self::Layers(first, other) => write!(f, "{first}{WITH}{other}"),
            Self::Epochs(first, other) => write!(f, "{EPOCH}{first}{WITH}{EPOCH}{other}"),
            Self::Reset(layer) => write!(f, "{RESET}{layer}"),
            Self::Zeroed(count) => write!(f, "{ZEROED}{count}"),
            Self::Quantile(percent) => write!(f, "{QUANTILE}{percent}"),
            Self::Control(control) => write!(f, "{TRAINED}{}", control.name()),
            Self::Matched {
                epochs: (first, other),
                tolerance,
            } => write!(
                f,
                "{EPOCH}{first}{WITH}{EPOCH}{other}{TOLERANCE}{tolerance}"
            ),
            Self::Mode(rank) => write!(f, "{MODE}{rank}"),
            Self::Learning { learner, time } => {
                f.write_str(learner.name())?;
                time.map_or(Ok(()), |time| write!(f, "{TIME}{time}"))
            }
        }
    }
}

impl FromStr for Condition {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // Pairs of epochs before pairs of layers: these may have any names.
        let readings: [fn(&str) -> Option<Self>; 22] = [
            |text| (text == SWEEP).then_some(Self::WidthSweep(Epoch::Last)),
            |text| (text == SWEEP_BEST).then_some(Self::WidthSweep(Epoch::Best)),
            |text| number(text, TRAINING_EXAMPLE).map(Self::TrainingExample),
            |text| text.parse().ok().map(Self::Ball),
            |text| {
                let (index, class) = text.strip_prefix(POINT)?.split_once(OF_CLASS)?;
                let (index, class) = (index.parse().ok()?, class.to_owned());
                Some(Self::PicturePoint { index, class })
            },
            |text| row_of_figure3(text).map(Self::Shown),
            |text| row_of_figure3(text.strip_prefix(PUBLISHED)?).map(Self::Published),
            |text| text.parse().ok().map(Self::Difference),
            |text| text.parse().ok().map(Self::Rewound),
            |text| text.parse().ok().map(Self::Inputs),
            |text| text.parse().ok().map(Self::WeightScale),
            |text| number(text, FRACTION).map(Self::PermutedFraction),
            |text| {
                text.strip_prefix(RESET)
                    .map(|layer| Self::Reset(layer.to_owned()))
            },
            |text| number(text, ZEROED).map(Self::Zeroed),
            |text| number(text, QUANTILE).map(Self::Quantile),
            |text| {
                let name = text.strip_prefix(TRAINED)?;
                let mut all = Control::ALL.into_iter();
                all.find(|control| control.name() == name)
                    .map(Self::Control)
            },
            |text| {
                let (symbol, value) = text.split_once(' ')?;
                let known = |setting: &AnalysisSetting| setting.symbol() == symbol;
                let setting = AnalysisSetting::ALL.into_iter().find(known)?;
                Some(Self::Setting(setting, value.parse().ok()?))
            },
            |text| {
                let (first, other) = text.split_once(WITH)?;
                Some(Self::Epochs(number(first, EPOCH)?, number(other, EPOCH)?))
            },
            |text| number(text, MODE).map(Self::Mode),
            |text| {
                let (learner, time) = match text.split_once(TIME) {
                    Some((learner, time)) => (learner, Some(time.parse().ok()?)),
                    None => (text, None),
                };
                let known = |known: &Learner| known.name() == learner;
                let learner = Learner::ALL.into_iter().find(known)?;
                Some(Self::Learning { learner, time })
            },
            |text| {
                let (epochs, tolerance) = text.split_once(TOLERANCE)?;
                let (first, other) = epochs.split_once(WITH)?;
                Some(Self::Matched {
                    epochs: (number(first, EPOCH)?, number(other, EPOCH)?),
                    tolerance: tolerance.parse().ok()?,
                })
            },
            |text| {
                let (first, other) = text.split_once(WITH)?;
                Some(Self::Layers(first.to_owned(), other.to_owned()))
            },
        ];
        let found = readings.into_iter().find_map(|reading| reading(text));
        found.ok_or_else(|| format!("no condition of a table is {text:?}"))
    }
}

/// The number after `prefix`.
fn number<T: FromStr>(text: &str, prefix: &str) -> Option<T> {
    text.strip_prefix(prefix)?.parse().ok()
}

/// `best epoch` or `last epoch`.
fn row_of_figure3(text: &str) -> Option<Epoch> {
    let name = text.strip_suffix(ROW)?;
    Epoch::ALL.into_iter().find(|epoch| epoch.name() == name)
}

impl fmt::Display for Curve {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (measure, epoch) = (self.measure.name(), self.epoch.name());
        write!(f, "{DIFFERENCE}{measure}{AT}{epoch}{ROW}")?;
        if self.without_offset {
            f.write_str(WITHOUT_OFFSET)?;
        }
        Ok(())
    }
}

impl FromStr for Curve {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let read = || {
            let curve = text.strip_suffix(WITHOUT_OFFSET).unwrap_or(text);
            let (measure, row) = curve.strip_prefix(DIFFERENCE)?.split_once(AT)?;
            let known = |known: &Published| known.name() == measure;
            Some(Self {
                epoch: row_of_figure3(row)?,
                measure: Published::ALL.into_iter().find(known)?,
                without_offset: curve.len() < text.len(),
            })
        };
        read().ok_or_else(|| format!("{text:?} is no curve of figure 3"))
    }
}

impl fmt::Display for RewoundLayers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str(NOTHING_REWOUND),
            Self::One(layer) => write!(f, "{REWOUND}{layer}"),
            Self::Last(count) => write!(f, "{LAST}{count}"),
        }
    }
}

impl FromStr for RewoundLayers {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == NOTHING_REWOUND {
            return Ok(Self::None);
        }
        let one = || Some(Self::One(text.strip_prefix(REWOUND)?.to_owned()));
        let found = number(text, LAST).map(Self::Last).or_else(one);
        found.ok_or_else(|| format!("{text:?} names no layers that were put back"))
    }
}

impl fmt::Display for GradientInputs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.ablation, self.normalisation.suffix())?;
        if self.uniform_softmax {
            f.write_str(UNIFORM_SOFTMAX)?;
        }
        match self.part {
            GradientPart::Whole => Ok(()),
            part => write!(f, ", {part}"),
        }
    }
}

impl FromStr for GradientInputs {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::all().find(|inputs| inputs.to_string() == text);
        found.ok_or_else(|| format!("no gradients are taken on {text:?}"))
    }
}

impl fmt::Display for WeightScale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{WEIGHT_SCALE}{}", self.0)
    }
}

impl FromStr for WeightScale {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let scale = number(text, WEIGHT_SCALE).map(Self);
        scale.ok_or_else(|| format!("{text:?} is no weight scale"))
    }
}

impl fmt::Display for Ball {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(BALL)?;
        for (property, value) in &self.fixed {
            write!(f, "{} {value}, ", property.symbol())?;
        }
        let value = self.thousandths as f64 / 1000.0;
        write!(f, "{} {value:.3}", self.varied.symbol())
    }
}

impl FromStr for Ball {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let read = || {
            let mut values = Vec::new();
            for part in text.strip_prefix(BALL)?.split(", ") {
                let (symbol, value) = part.split_once(' ')?;
                let known = |property: &BallProperty| property.symbol() == symbol;
                let property = BallProperty::ALL.into_iter().find(known)?;
                let value: f64 = value.parse().ok()?;
                values.push((property, Some(value).filter(|value| value.is_finite())?));
            }
            let (varied, value) = values.pop()?;
            Some(Self::new(values, varied, value))
        };
        read().ok_or_else(|| format!("{text:?} is no ball"))
    }
}

as_text!(Condition);
as_text!(GradientInputs);
as_text!(WeightScale);
