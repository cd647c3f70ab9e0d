//! Exact gradients of groups of examples, layer by layer.

use std::ops::ControlFlow;

use mftma_train::{Network, StatisticsMode, softmax};
use ndarray::{Array2, ArrayView2, ArrayView4, Axis};
use rand::seq::SliceRandom;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::theory::check_labels;

/// A group of training examples whose gradient is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GradientGroup {
    /// Unpermuted and permuted together, with the labels that are trained on: the gradient training follows.
    All,
    /// Examples that kept their label.
    Unpermuted,
    /// Examples whose label was permuted, with the permuted label.
    Permuted,
    /// The permuted group's images with their true labels. Not part of the total.
    Restored,
}

impl GradientGroup {
    /// All four, in the order of the tables.
    pub const ALL: [Self; 4] = [Self::All, Self::Unpermuted, Self::Permuted, Self::Restored];

    /// Name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Unpermuted => "unpermuted",
            Self::Permuted => "permuted",
            Self::Restored => "restored",
        }
    }
}

/// A part of an example's pull on its class scores z (equation 14 of the note), and of the gradient, which is linear in it:
///
/// ∂ℓ/∂z = p − e_y = (p − 1/C) + (1/C − e_y), with p = softmax(z) and C classes.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum GradientPart {
    /// p − e_y: the gradient that training follows.
    #[default]
    Whole,
    /// 1/C − e_y: what the labels pull, whatever the network says.
    Label,
    /// p − 1/C: what is there without any label; the same for permuted examples with either of their labels.
    LabelFree,
}

impl GradientPart {
    /// All three.
    pub const ALL: [Self; 3] = [Self::Whole, Self::Label, Self::LabelFree];

    /// Name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::Label => "label part",
            Self::LabelFree => "label-free part",
        }
    }

    /// The derivatives by `scores` (n × classes) for examples with `labels`.
    fn derivatives(self, scores: ArrayView2<'_, f32>, labels: &[u16]) -> Array2<f32> {
        let uniform = 1.0 / scores.ncols() as f64;
        let mut pull = match self {
            Self::Whole => softmax(scores),
            Self::Label => Array2::from_elem(scores.dim(), uniform),
            Self::LabelFree => softmax(scores) - uniform,
        };
        if self != Self::LabelFree {
            for (mut row, &label) in pull.rows_mut().into_iter().zip(labels) {
                row[usize::from(label)] -= 1.0;
            }
        }
        pull.mapv(|value| value as f32)
    }
}

impl std::fmt::Display for GradientPart {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// The training examples, as the network sees them.
#[derive(Debug, Clone, Copy)]
pub struct Examples<'a> {
    images: ArrayView4<'a, f32>,
    assigned: &'a [u16],
    truth: &'a [u16],
    permuted: &'a [bool],
}

impl<'a> Examples<'a> {
    /// `images` (n, channels, height, width), normalised as for training; `assigned` the labels trained on, `truth` the
    /// true ones, `permuted` the mask of the label permutation; n of each.
    ///
    /// # Errors
    /// [`Error::Length`] where the counts differ; [`Error::TooFew`] where a group is empty.
    pub fn new(
        images: ArrayView4<'a, f32>,
        assigned: &'a [u16],
        truth: &'a [u16],
        permuted: &'a [bool],
    ) -> Result<Self, Error> {
        let expected = images.len_of(Axis(0));
        for (what, got) in [
            ("assigned labels", assigned.len()),
            ("true labels", truth.len()),
            ("mask entries", permuted.len()),
        ] {
            if got != expected {
                return Err(Error::Length {
                    what,
                    got,
                    expected,
                });
            }
        }
        Ok(Self {
            images,
            assigned,
            truth,
            permuted,
        })
    }

    /// Indices of a group's examples, ascending.
    pub fn indices(&self, group: GradientGroup) -> Vec<usize> {
        let member = |&i: &usize| match group {
            GradientGroup::All => true,
            GradientGroup::Unpermuted => !self.permuted[i],
            GradientGroup::Permuted | GradientGroup::Restored => self.permuted[i],
        };
        (0..self.permuted.len()).filter(member).collect()
    }

    /// The labels a group's gradient is taken with; one per example of the whole set.
    pub fn labels(&self, group: GradientGroup) -> &'a [u16] {
        match group {
            GradientGroup::Restored => self.truth,
            _ => self.assigned,
        }
    }

    /// The images.
    pub fn images(&self) -> ArrayView4<'a, f32> {
        self.images
    }

    /// The same labels and groups over other images (n, channels, height, width), see
    /// [`InputAblation`](crate::InputAblation).
    ///
    /// # Errors
    /// [`Error::Length`] where the number of images differs.
    pub fn with_images(&self, images: ArrayView4<'a, f32>) -> Result<Self, Error> {
        Self::new(images, self.assigned, self.truth, self.permuted)
    }
}

/// How gradients are measured. All defaults are decided by us \[D\].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MeasureSettings {
    /// Examples per pass. Changes rounding only: every example counts exactly once.
    pub batch_size: usize,
    /// Random blocks each group is cut into, an even number; halves for the signal-to-noise ratio are unions of blocks.
    /// Memory: three groups × blocks × parameters × 8 bytes.
    pub blocks: usize,
    /// Examples of each group, drawn at random, whose own gradient norm is measured (one pass each). 0 for none.
    pub per_example: usize,
    /// Seed of the blocks and of the drawn examples.
    pub seed: u64,
}

impl Default for MeasureSettings {
    fn default() -> Self {
        Self {
            batch_size: 128,
            blocks: 8,
            per_example: 128,
            seed: 0,
        }
    }
}

impl MeasureSettings {
    /// Checks the ranges.
    ///
    /// # Errors
    /// [`Error::Setting`] naming the value that is out of range.
    pub fn check(&self) -> Result<(), Error> {
        if self.batch_size == 0 {
            return Err(Error::Setting {
                name: "batch_size",
                value: 0.0,
                remedy: "give at least 1",
            });
        }
        if self.blocks < 2 || !self.blocks.is_multiple_of(2) || self.blocks > 16 {
            let remedy = "give an even number from 2 to 16";
            return Err(Error::Setting {
                name: "blocks",
                value: self.blocks as f64,
                remedy,
            });
        }
        Ok(())
    }
}

/// What one group of examples contributes to one layer's gradient. Norms are Euclidean, over all of the layer's trainable
/// parameters (weights, biases, normalisation scales and shifts).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Contribution {
    /// Layer name, as everywhere (`conv3_2`, `fc1`).
    pub layer: String,
    /// Position of the layer among the layers with parameters, from 0.
    pub layer_index: usize,
    /// Number of trainable parameters of the layer.
    pub parameters: usize,
    /// The group.
    pub group: GradientGroup,
    /// Number of examples in the group.
    pub examples: usize,
    /// ‖Σ_x g_x‖: norm of the summed gradient.
    pub sum_norm: f64,
    /// ‖Σ_x g_x‖ / n: norm of the mean gradient.
    pub mean_norm: f64,
    /// Mean of ‖g_x‖ over the drawn examples, with its standard error; none when no example was drawn.
    pub example_norm: Option<(f64, f64)>,
    /// Mean of ‖g_x‖² over the drawn examples.
    pub example_squared_norm: Option<f64>,
    /// ⟨g_group, g_all⟩ / ‖g_all‖²: share of the total gradient. Unpermuted and permuted shares add up to 1.
    pub share: f64,
    /// Cosine with the total gradient.
    pub cosine_with_total: f64,
    /// Cosine with the other of the pair unpermuted and permuted (for restored: with unpermuted; for all: 1).
    pub cosine_with_other: f64,
    /// ‖g_A + g_B‖ / ‖g_A − g_B‖ over random halves A, B of the group, root mean square over the halvings: 1 for a
    /// gradient that is nothing but noise.
    pub signal_to_noise: f64,
}

impl Contribution {
    /// Noise floor of [`mean_norm`](Self::mean_norm) if every example pulled on its own: root mean square of ‖g_x‖ over √n
    /// (equation 12 of the note). None when no example was drawn.
    pub fn noise_floor(&self) -> Option<f64> {
        self.example_squared_norm
            .map(|square| (square / self.examples as f64).sqrt())
    }
}

/// One layer's ‖g_permuted‖ / ‖g_unpermuted‖ per example.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LayerRatio {
    /// Layer name.
    pub layer: String,
    /// Norm of the permuted group's mean gradient over the unpermuted group's.
    pub ratio: f64,
    /// Sizes of the unpermuted and of the permuted group.
    pub examples: (usize, usize),
}

/// Gradients of all groups at one state of a network.
#[derive(Debug, Clone)]
pub struct Contributions {
    /// Layer by layer, and within a layer in the order of [`GradientGroup::ALL`].
    pub rows: Vec<Contribution>,
    /// Summed gradient of each parameter array, by group (see [`gradient`](Self::gradient)).
    sums: Vec<(GradientGroup, Vec<Vec<f64>>)>,
    names: Vec<String>,
}

impl Contributions {
    /// The row of a layer and group.
    pub fn get(&self, layer: &str, group: GradientGroup) -> Option<&Contribution> {
        self.rows
            .iter()
            .find(|row| row.layer == layer && row.group == group)
    }

    /// ‖g_permuted‖ / ‖g_unpermuted‖ per example, layer by layer.
    pub fn ratios(&self) -> Vec<LayerRatio> {
        let layers = self
            .rows
            .iter()
            .filter(|row| row.group == GradientGroup::Unpermuted);
        layers
            .filter_map(|unpermuted| {
                let permuted = self.get(&unpermuted.layer, GradientGroup::Permuted)?;
                Some(LayerRatio {
                    layer: unpermuted.layer.clone(),
                    ratio: permuted.mean_norm / unpermuted.mean_norm,
                    examples: (unpermuted.examples, permuted.examples),
                })
            })
            .collect()
    }

    /// Summed gradient over a group of one parameter array (`conv1_1.weight`), in that array's order of elements.
    pub fn gradient(&self, parameter: &str, group: GradientGroup) -> Option<Vec<f64>> {
        let index = self.names.iter().position(|name| name == parameter)?;
        let of = |wanted| {
            self.sums
                .iter()
                .find(|(group, _)| *group == wanted)
                .map(|(_, sums)| &sums[index])
        };
        match group {
            GradientGroup::All => {
                let (a, b) = (of(GradientGroup::Unpermuted)?, of(GradientGroup::Permuted)?);
                Some(a.iter().zip(b).map(|(a, b)| a + b).collect())
            }
            _ => of(group).cloned(),
        }
    }
}

/// One contiguous run of parameter arrays that belong to one layer.
struct Layer {
    name: String,
    arrays: std::ops::Range<usize>,
    parameters: usize,
}

fn layers(network: &dyn Network) -> Vec<Layer> {
    let mut layers: Vec<Layer> = Vec::new();
    for (i, parameter) in network.parameters().iter().enumerate() {
        match layers.last_mut() {
            Some(layer) if layer.name == parameter.layer() => {
                layer.arrays.end = i + 1;
                layer.parameters += parameter.len();
            }
            _ => layers.push(Layer {
                name: parameter.layer().to_owned(),
                arrays: i..i + 1,
                parameters: parameter.len(),
            }),
        }
    }
    layers
}

/// The gradient of every group and each of its parts.
#[derive(Debug, Clone)]
pub struct Parts {
    /// The sum of the other two.
    pub whole: Contributions,
    /// [`GradientPart::Label`], without norms of single examples.
    pub label: Contributions,
    /// [`GradientPart::LabelFree`], without norms of single examples.
    pub label_free: Contributions,
}

impl Parts {
    /// One of them.
    pub fn get(&self, part: GradientPart) -> &Contributions {
        match part {
            GradientPart::Whole => &self.whole,
            GradientPart::Label => &self.label,
            GradientPart::LabelFree => &self.label_free,
        }
    }
}

/// Measures the gradient of every group at the network's present parameters, exactly: every example of a group passes
/// through once, in evaluation mode (normalisation statistics held constant, so that examples do not influence each
/// other and gradients of groups add up; set the running statistics first if they are stale).
///
/// `progress` is told (passes done, passes in all) and may stop the measurement, which then gives `Ok(None)`.
/// The network comes back unchanged. Same bytes at any number of threads.
///
/// # Errors
/// Settings out of range, labels that are no class, an empty group, or a gradient that is not finite.
pub fn measure(
    network: &dyn Network,
    examples: &Examples<'_>,
    settings: &MeasureSettings,
    progress: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
) -> Result<Option<Contributions>, Error> {
    let run = Measurement::new(network, examples, settings)?;
    let mut tally = Tally::new(run.passes(&GROUPS), progress);
    let Some(blocks) = run.blocks(GradientPart::Whole, &mut tally)? else {
        return Ok(None);
    };
    let norms = run.example_norms()?;
    tally.finish();
    run.contributions(blocks, &norms).map(Some)
}

/// The same with the gradient taken apart ([`GradientPart`]): two backward passes for each example, one for each part. The part without labels
/// is taken once for permuted and restored examples.
///
/// # Errors
/// As [`measure`].
pub fn measure_parts(
    network: &dyn Network,
    examples: &Examples<'_>,
    settings: &MeasureSettings,
    progress: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
) -> Result<Option<Parts>, Error> {
    let run = Measurement::new(network, examples, settings)?;
    let passes = run.passes(&GROUPS) + run.passes(&GROUPS[..2]);
    let mut tally = Tally::new(passes, progress);
    let Some(label) = run.blocks(GradientPart::Label, &mut tally)? else {
        return Ok(None);
    };
    let Some(label_free) = run.blocks(GradientPart::LabelFree, &mut tally)? else {
        return Ok(None);
    };
    let mut whole = label.clone();
    let sums = whole.iter_mut().flatten().flatten().flatten();
    for (sum, &other) in sums.zip(label_free.iter().flatten().flatten().flatten()) {
        *sum += other;
    }
    let norms = run.example_norms()?;
    tally.finish();
    let none = vec![vec![Vec::new(); run.layers.len()]; GROUPS.len()];
    Ok(Some(Parts {
        whole: run.contributions(whole, &norms)?,
        label: run.contributions(label, &none)?,
        label_free: run.contributions(label_free, &none)?,
    }))
}

/// Groups with a sum of their own.
const GROUPS: [GradientGroup; 3] = [
    GradientGroup::Unpermuted,
    GradientGroup::Permuted,
    GradientGroup::Restored,
];

/// Summed gradients: group, block, parameter array, element.
type Blocks = Vec<Vec<Vec<Vec<f64>>>>;

/// Counts passes.
struct Tally<'a> {
    done: usize,
    total: usize,
    progress: &'a mut dyn FnMut(usize, usize) -> ControlFlow<()>,
}

impl<'a> Tally<'a> {
    fn new(total: usize, progress: &'a mut dyn FnMut(usize, usize) -> ControlFlow<()>) -> Self {
        Self {
            done: 0,
            total,
            progress,
        }
    }

    fn pass(&mut self) -> ControlFlow<()> {
        self.done += 1;
        (self.progress)(self.done.min(self.total), self.total)
    }

    fn finish(&mut self) {
        let _ = (self.progress)(self.total, self.total);
    }
}

/// One state of a network and the blocks of examples it is measured on.
struct Measurement<'a> {
    network: Box<dyn Network>,
    examples: Examples<'a>,
    settings: MeasureSettings,
    /// Of each of [`GROUPS`], shuffled.
    indices: Vec<Vec<usize>>,
    layers: Vec<Layer>,
}

impl<'a> Measurement<'a> {
    fn new(
        network: &dyn Network,
        examples: &Examples<'a>,
        settings: &MeasureSettings,
    ) -> Result<Self, Error> {
        settings.check()?;
        let classes = network.spec().classes;
        check_labels(examples.permuted.len(), examples.assigned, classes)?;
        check_labels(examples.permuted.len(), examples.truth, classes)?;
        let mut indices = Vec::new();
        for group in GROUPS {
            let mut of_group = examples.indices(group);
            if of_group.len() < settings.blocks {
                let (wanted, had) = (settings.blocks, of_group.len());
                return Err(Error::TooFew {
                    group: group.name(),
                    what: "the blocks of its gradient",
                    wanted,
                    had,
                });
            }
            // The same stream for permuted and restored, so that both are cut into the same blocks.
            let purpose = if group == GradientGroup::Unpermuted {
                "unpermuted"
            } else {
                "permuted"
            };
            of_group.shuffle(&mut mftma_data::stream(
                settings.seed,
                &format!("gradient blocks {purpose}"),
            ));
            indices.push(of_group);
        }
        Ok(Self {
            network: network.duplicate(),
            examples: *examples,
            settings: settings.clone(),
            indices,
            layers: layers(network),
        })
    }

    /// Batches that some groups take.
    fn passes(&self, groups: &[GradientGroup]) -> usize {
        let passes = |of_group: &Vec<usize>| {
            of_group.len().div_ceil(self.settings.batch_size) + self.settings.blocks
        };
        self.indices.iter().take(groups.len()).map(passes).sum()
    }

    /// The summed gradient of every block; none where the measurement was stopped.
    fn blocks(&self, part: GradientPart, tally: &mut Tally<'_>) -> Result<Option<Blocks>, Error> {
        let mut blocks: Blocks = Vec::with_capacity(GROUPS.len());
        for (group, of_group) in GROUPS.iter().zip(&self.indices) {
            if part == GradientPart::LabelFree && *group == GradientGroup::Restored {
                blocks.extend(blocks.last().cloned());
                continue;
            }
            let labels = self.examples.labels(*group);
            let mut of_blocks = Vec::with_capacity(self.settings.blocks);
            for block in 0..self.settings.blocks {
                let from = of_group.len() * block / self.settings.blocks;
                let to = of_group.len() * (block + 1) / self.settings.blocks;
                let parameters = self.network.parameters().into_iter();
                let mut sum: Vec<Vec<f64>> = parameters.map(|p| vec![0.0; p.len()]).collect();
                for batch in of_group[from..to].chunks(self.settings.batch_size) {
                    let images = self.examples.images.select(Axis(0), batch);
                    let of_batch: Vec<u16> = batch.iter().map(|&i| labels[i]).collect();
                    let pulled = self.network.pull_back(
                        images.view(),
                        StatisticsMode::Running,
                        &mut |scores| part.derivatives(scores, &of_batch),
                    )?;
                    for (sum, gradient) in sum.iter_mut().zip(&pulled.gradients) {
                        for (s, &g) in sum.iter_mut().zip(gradient) {
                            *s += f64::from(g);
                        }
                    }
                    if tally.pass().is_break() {
                        return Ok(None);
                    }
                }
                of_blocks.push(sum);
            }
            blocks.push(of_blocks);
        }
        Ok(Some(blocks))
    }

    /// ‖g_x‖² of the drawn examples: group, layer, example.
    fn example_norms(&self) -> Result<Vec<Vec<Vec<f64>>>, Error> {
        let drawn = GROUPS.iter().zip(&self.indices);
        drawn
            .map(|(group, of_group)| {
                let chosen = &of_group[..self.settings.per_example.min(of_group.len())];
                squared_norms(
                    &*self.network,
                    &self.examples,
                    self.examples.labels(*group),
                    chosen,
                    &self.layers,
                )
            })
            .collect()
    }

    /// What follows from the summed gradients and the squared norms of single examples.
    fn contributions(
        &self,
        blocks: Blocks,
        example_norms: &[Vec<Vec<f64>>],
    ) -> Result<Contributions, Error> {
        let mut rows = Vec::with_capacity(self.layers.len() * 4);
        for (layer_index, layer) in self.layers.iter().enumerate() {
            let view: Vec<Vec<&[Vec<f64>]>> = blocks
                .iter()
                .map(|of_group| {
                    let of_blocks = of_group.iter();
                    of_blocks
                        .map(|block| &block[layer.arrays.clone()])
                        .collect()
                })
                .collect();
            let gram = Gram::new(&view);
            for group in GradientGroup::ALL {
                let members: &[usize] = match group {
                    GradientGroup::All => &[0, 1],
                    GradientGroup::Unpermuted => &[0],
                    GradientGroup::Permuted => &[1],
                    GradientGroup::Restored => &[2],
                };
                let other: &[usize] = match group {
                    GradientGroup::All => &[0, 1],
                    GradientGroup::Unpermuted => &[1],
                    GradientGroup::Permuted | GradientGroup::Restored => &[0],
                };
                let n: usize = members.iter().map(|&m| self.indices[m].len()).sum();
                let squared = gram.inner(members, members);
                if !squared.is_finite() {
                    return Err(Error::NotFinite {
                        layer: layer.name.clone(),
                        group: group.name(),
                    });
                }
                let all = gram.inner(&[0, 1], &[0, 1]);
                let with_all = gram.inner(members, &[0, 1]);
                let norms: Vec<f64> = members
                    .iter()
                    .flat_map(|&m| &example_norms[m][layer_index])
                    .copied()
                    .collect();
                rows.push(Contribution {
                    layer: layer.name.clone(),
                    layer_index,
                    parameters: layer.parameters,
                    group,
                    examples: n,
                    sum_norm: squared.sqrt(),
                    mean_norm: squared.sqrt() / n as f64,
                    example_norm: mean_and_error(norms.iter().map(|square| square.sqrt())),
                    example_squared_norm: mean_and_error(norms.iter().copied())
                        .map(|(mean, _)| mean),
                    share: ratio(with_all, all),
                    cosine_with_total: ratio(with_all, (squared * all).sqrt()),
                    cosine_with_other: ratio(
                        gram.inner(members, other),
                        (squared * gram.inner(other, other)).sqrt(),
                    ),
                    signal_to_noise: gram.signal_to_noise(members),
                });
            }
        }
        let sums = GROUPS
            .into_iter()
            .zip(blocks.into_iter().map(sum_blocks))
            .collect();
        let parameters = self.network.parameters().into_iter();
        Ok(Contributions {
            rows,
            sums,
            names: parameters.map(|p| p.name().to_owned()).collect(),
        })
    }
}

/// A quotient that is 0 where there is nothing to divide: a zero gradient has no share and no direction.
fn ratio(a: f64, b: f64) -> f64 {
    if b > 0.0 { a / b } else { 0.0 }
}

fn sum_blocks(blocks: Vec<Vec<Vec<f64>>>) -> Vec<Vec<f64>> {
    let mut blocks = blocks.into_iter();
    let mut total = blocks.next().unwrap_or_default();
    for block in blocks {
        for (total, array) in total.iter_mut().zip(&block) {
            for (t, b) in total.iter_mut().zip(array) {
                *t += b;
            }
        }
    }
    total
}

/// ‖g_x‖² of single examples: one vector per layer, in the order of `chosen`.
fn squared_norms(
    network: &dyn Network,
    examples: &Examples<'_>,
    labels: &[u16],
    chosen: &[usize],
    layers: &[Layer],
) -> Result<Vec<Vec<f64>>, Error> {
    // A copy of the network serves a fixed run of examples, whichever thread takes it.
    const RUN: usize = 16;
    let runs: Vec<Vec<Vec<f64>>> = chosen
        .par_chunks(RUN)
        .map(|run| {
            let mut network = network.duplicate();
            run.iter()
                .map(|&i| {
                    let image = examples.images.select(Axis(0), &[i]);
                    let step = network.loss_and_gradients(
                        image.view(),
                        &[labels[i]],
                        StatisticsMode::Running,
                    )?;
                    Ok(layers
                        .iter()
                        .map(|layer| {
                            let arrays = &step.gradients[layer.arrays.clone()];
                            arrays
                                .iter()
                                .flatten()
                                .map(|&g| f64::from(g) * f64::from(g))
                                .sum()
                        })
                        .collect())
                })
                .collect::<Result<Vec<Vec<f64>>, Error>>()
        })
        .collect::<Result<_, _>>()?;
    let by_example: Vec<Vec<f64>> = runs.into_iter().flatten().collect();
    Ok((0..layers.len())
        .map(|layer| by_example.iter().map(|norms| norms[layer]).collect())
        .collect())
}

fn mean_and_error(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    let values: Vec<f64> = values.collect();
    if values.is_empty() {
        return None;
    }
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let square: f64 = values.iter().map(|v| (v - mean) * (v - mean)).sum();
    Some((mean, (square / (n - 1.0).max(1.0) / n).sqrt()))
}

/// Inner products of one layer's block gradients: everything a [`Contribution`] tells follows from them.
struct Gram {
    /// Blocks per group.
    blocks: usize,
    /// (groups × blocks)², row-major.
    products: Vec<f64>,
}

impl Gram {
    /// `gradients`: group, block, parameter arrays of the layer.
    fn new(gradients: &[Vec<&[Vec<f64>]>]) -> Self {
        let blocks = gradients[0].len();
        let flat: Vec<&[Vec<f64>]> = gradients.iter().flatten().copied().collect();
        let n = flat.len();
        let mut products: Vec<f64> = (0..n * n)
            .into_par_iter()
            .map(|k| {
                let (i, j) = (k / n, k % n);
                if j > i {
                    return 0.0;
                }
                flat[i]
                    .iter()
                    .zip(flat[j])
                    .map(|(a, b)| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>())
                    .sum()
            })
            .collect();
        for i in 0..n {
            for j in i + 1..n {
                products[i * n + j] = products[j * n + i];
            }
        }
        Self { blocks, products }
    }

    /// Sum of products weighted by signs per block: `weight(block)` for each of the groups in `a` and `b`.
    fn weighted(&self, a: &[usize], b: &[usize], weight: impl Fn(usize) -> f64) -> f64 {
        let n = self.products.len().isqrt();
        let mut sum = 0.0;
        for &p in a {
            for &q in b {
                for i in 0..self.blocks {
                    for j in 0..self.blocks {
                        let product =
                            self.products[(p * self.blocks + i) * n + q * self.blocks + j];
                        sum += weight(i) * weight(j) * product;
                    }
                }
            }
        }
        sum
    }

    /// ⟨Σ over groups `a`, Σ over groups `b`⟩.
    fn inner(&self, a: &[usize], b: &[usize]) -> f64 {
        self.weighted(a, b, |_| 1.0)
    }

    /// Over all ways to halve the blocks: ‖A + B‖ over the root mean square of ‖A − B‖.
    fn signal_to_noise(&self, groups: &[usize]) -> f64 {
        let (mut noise, mut halvings) = (0.0, 0.0);
        // Fixing the last block in one half counts each halving once.
        for mask in 0u32..1 << (self.blocks - 1) {
            if mask.count_ones() as usize == self.blocks / 2 {
                let sign = |block: usize| if mask >> block & 1 == 1 { 1.0 } else { -1.0 };
                noise += self.weighted(groups, groups, sign);
                halvings += 1.0;
            }
        }
        ratio(self.inner(groups, groups), noise / halvings).sqrt()
    }
}
