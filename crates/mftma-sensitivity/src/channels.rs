//! The channels that hold an example: which few must be zeroed until it is no longer classified by its label.

use mftma_train::{Network, ParameterRole, StatisticsMode, predicted, softmax};
use ndarray::{Array2, Array4, ArrayView3, ArrayView4, Axis, s};
use rand_distr::{Distribution, StandardNormal};
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::error::{check_labels, setting};

/// One channel of a convolution, or one unit of a linear layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Channel {
    /// Place of the layer in the network.
    pub layer: usize,
    /// The channel, from 0.
    pub channel: usize,
}

/// Every channel that can be zeroed: those of all convolutions and linear layers but the last, whose units are the classes.
pub fn channels(network: &dyn Network) -> Vec<Channel> {
    let last = network.layers().len() - 1;
    let parameters = network.parameters();
    let counted = network.layers()[..last].iter().enumerate();
    counted
        .flat_map(|(layer, info)| {
            let weight = parameters
                .iter()
                .find(|p| p.layer() == info.name && is_weight(p.role()));
            let count = weight.map_or(0, |weight| weight.shape()[0]);
            (0..count).map(move |channel| Channel { layer, channel })
        })
        .collect()
}

fn is_weight(role: ParameterRole) -> bool {
    matches!(
        role,
        ParameterRole::ConvolutionWeight | ParameterRole::LinearWeight
    )
}

/// Makes what leaves a channel zero for every input: its normalisation's scale and shift, or where it has none its weights and bias.
///
/// # Errors
/// [`Error::Channel`] where it is none of [`channels`].
pub fn zero(network: &mut dyn Network, channel: Channel) -> Result<(), Error> {
    let unknown = Error::Channel {
        layer: channel.layer,
        channel: channel.channel,
    };
    if channel.layer + 1 >= network.layers().len() {
        return Err(unknown);
    }
    let name = network.layers()[channel.layer].name.clone();
    let mut found = false;
    let normalised = has_scale(network, &name);
    for parameter in network.parameters_mut() {
        if parameter.layer() != name || !counts(parameter.role(), normalised) {
            continue;
        }
        let outputs = parameter.shape()[0];
        if channel.channel >= outputs {
            return Err(unknown);
        }
        let each = parameter.len() / outputs;
        parameter.values_mut()[channel.channel * each..(channel.channel + 1) * each].fill(0.0);
        found = true;
    }
    if found { Ok(()) } else { Err(unknown) }
}

fn has_scale(network: &dyn Network, layer: &str) -> bool {
    let mut parameters = network.parameters().into_iter();
    parameters.any(|p| p.layer() == layer && p.role() == ParameterRole::Scale)
}

/// Whether an array multiplies what leaves a channel: together they are its scale.
fn counts(role: ParameterRole, normalised: bool) -> bool {
    match role {
        ParameterRole::Scale | ParameterRole::Shift => normalised,
        ParameterRole::ConvolutionWeight | ParameterRole::LinearWeight | ParameterRole::Bias => {
            !normalised
        }
        _ => false,
    }
}

/// ∂L/∂s for each channel, where all that leaves it is multiplied by s (at s = 1): Σ θ ∂L/∂θ over the parameters that scale it, since a
/// rectifier passes positive factors on (equation 10 of the note). Zeroing the channel changes L by −∂L/∂s to first order.
///
/// `gradients`: of L, in the order and shape of [`Network::parameters`], as [`Network::pull_back`] gives them.
pub fn channel_effects(network: &dyn Network, gradients: &[Vec<f32>]) -> Vec<(Channel, f64)> {
    let parameters = network.parameters();
    let mut effects: Vec<(Channel, f64)> = Vec::new();
    let last = network.layers().len() - 1;
    for (layer, info) in network.layers()[..last].iter().enumerate() {
        let normalised = has_scale(network, &info.name);
        let first = effects.len();
        for (parameter, gradient) in parameters.iter().zip(gradients) {
            if parameter.layer() != info.name || !counts(parameter.role(), normalised) {
                continue;
            }
            let outputs = parameter.shape()[0];
            if effects.len() == first {
                effects.extend((0..outputs).map(|channel| (Channel { layer, channel }, 0.0)));
            }
            let each = parameter.len() / outputs;
            let products = parameter.values().iter().zip(gradient);
            for (i, (value, gradient)) in products.enumerate() {
                effects[first + i / each].1 += f64::from(*value) * f64::from(*gradient);
            }
        }
    }
    effects
}

/// How channels are searched for. Defaults are decided by us \[D\] where no source is named.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UndoSettings {
    /// Channels zeroed at most.
    pub limit: usize,
    /// Copies of the example with Gaussian noise that must be undone with it: so that no channel is found which but moves the example
    /// across a boundary that was close by.
    pub copies: usize,
    /// Norm of that noise over the norm of the image; 0.01 by default, as Maini et al. 2023.
    pub noise: f64,
    /// Seed of the noise.
    pub seed: u64,
}

impl Default for UndoSettings {
    fn default() -> Self {
        Self {
            limit: 60,
            copies: 7,
            noise: 0.01,
            seed: 0,
        }
    }
}

/// What undoing one example took.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Undoing {
    /// The channels zeroed, first ones first.
    pub zeroed: Vec<Channel>,
    /// Whether the example is no longer classified by its label: else the limit was reached, or no channel was left that would help.
    pub undone: bool,
    /// Share of the other examples that were classified by their label before and still are. They steered the search; take examples of
    /// their own to judge it. None where none was classified so before.
    pub kept: Option<f64>,
}

/// Zeroes channels one by one until `network` no longer classifies `image` (channels × height × width) by `label`, each time the one that
/// most raises the example's loss over that of the `others` (n × channels × height × width, with their labels) to first order: the greedy
/// search of Maini et al. 2023 (arXiv 2307.09542), equation 11 of the note. The network given back has them zeroed.
///
/// # Errors
/// [`Error::Setting`], [`Error::Length`] or [`Error::Label`] where labels do not fit, [`Error::Network`] where images do not.
pub fn undo(
    network: &dyn Network,
    (image, label): (ArrayView3<'_, f32>, u16),
    (others, labels): (ArrayView4<'_, f32>, &[u16]),
    settings: &UndoSettings,
) -> Result<(Undoing, Box<dyn Network>), Error> {
    let classes = network.spec().classes;
    check_labels(1, &[label], classes)?;
    check_labels(others.len_of(Axis(0)), labels, classes)?;
    let small = settings.noise.is_finite() && settings.noise >= 0.0;
    setting(
        "noise",
        settings.noise,
        small,
        "give a finite number from 0",
    )?;
    let steered = !labels.is_empty();
    setting(
        "others",
        0.0,
        steered,
        "give at least one other example to keep",
    )?;
    let images = with_copies(image, others, settings)?;
    let own = 1 + settings.copies;
    let truth = |row: usize| usize::from(if row < own { label } else { labels[row - own] });
    let weight = |row: usize| {
        if row < own {
            -1.0 / own as f64
        } else {
            1.0 / labels.len() as f64
        }
    };
    let mut network = network.duplicate();
    let mut found = Undoing {
        zeroed: Vec::new(),
        undone: false,
        kept: None,
    };
    let mut before: Option<Vec<bool>> = None;
    loop {
        let pulled = network.pull_back(images.view(), StatisticsMode::Running, &mut |scores| {
            let mut pull = softmax(scores);
            for (row, mut pull) in pull.rows_mut().into_iter().enumerate() {
                pull[truth(row)] -= 1.0;
                pull *= weight(row);
            }
            pull.mapv(|x| x as f32)
        })?;
        let right: Vec<bool> = pulled
            .logits
            .rows()
            .into_iter()
            .enumerate()
            .map(|(row, scores)| predicted(scores) == truth(row))
            .collect();
        let before = before.get_or_insert_with(|| right.clone());
        let were = before[own..].iter().filter(|right| **right).count();
        let still = before[own..].iter().zip(&right[own..]);
        let still = still.filter(|(before, now)| **before && **now).count();
        found.kept = (were > 0).then(|| still as f64 / were as f64);
        found.undone = !right[0];
        if found.undone || found.zeroed.len() >= settings.limit {
            break;
        }
        let effects = channel_effects(&*network, &pulled.gradients);
        let mut best: Option<(Channel, f64)> = None;
        for (channel, effect) in effects {
            // A channel that is zero already has no effect.
            if effect > best.map_or(0.0, |(_, top)| top) {
                best = Some((channel, effect));
            }
        }
        let Some((channel, _)) = best else {
            break;
        };
        zero(&mut *network, channel)?;
        found.zeroed.push(channel);
    }
    Ok((found, network))
}

/// The image, its noisy copies, and the others, as one batch.
fn with_copies(
    image: ArrayView3<'_, f32>,
    others: ArrayView4<'_, f32>,
    settings: &UndoSettings,
) -> Result<Array4<f32>, Error> {
    let (channels, height, width) = image.dim();
    let (n, c, h, w) = others.dim();
    if (c, h, w) != (channels, height, width) {
        return Err(Error::Length {
            what: "pixels of the example",
            got: image.len(),
            expected: c * h * w,
            remedy: "give an example of the others' shape",
        });
    }
    let own = 1 + settings.copies;
    let mut images = Array4::zeros((own + n, c, h, w));
    images.slice_mut(s![own.., .., .., ..]).assign(&others);
    let norm = |values: &[f64]| values.iter().map(|x| x * x).sum::<f64>().sqrt();
    let pixels: Vec<f64> = image.iter().map(|x| f64::from(*x)).collect();
    let mut rng = mftma_data::stream(settings.seed, "mftma-sensitivity/copies");
    for copy in 0..own {
        let mut to = images.index_axis_mut(Axis(0), copy);
        to.assign(&image);
        if copy > 0 {
            let noise =
                Array2::from_shape_simple_fn((1, pixels.len()), || StandardNormal.sample(&mut rng));
            let (noise, _) = noise.into_raw_vec_and_offset();
            let length = norm(&noise);
            let scale = settings.noise * norm(&pixels) / if length > 0.0 { length } else { 1.0 };
            for (to, noise) in to.iter_mut().zip(&noise) {
                *to += (scale * noise) as f32;
            }
        }
    }
    Ok(images)
}
