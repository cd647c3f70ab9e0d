//! A layer as the engine's input: chosen points of a matrix in a file, ordered class by class, handed out in blocks.

use std::ops::{ControlFlow, Range};

use mftma::{Activations, Block, SourceError};
use ndarray::{ArrayView2, Axis, CowArray, Ix2, s};
use rand::{SeedableRng, seq::index};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use crate::array::{Matrix, Value};
use crate::error::InputError;
use crate::read::labels::Labels;

/// Bytes of one block of features. Wide enough that a row's part of it is read from disk in one go, small against memory.
const BLOCK_BYTES: usize = 128 << 20;

/// ChaCha streams, so that no two purposes share random numbers. A program that draws for purposes of its own takes others.
/// The engine's own are others (`mftma::streams`).
const STREAM_CLASSES: u64 = 1;
const STREAM_POINTS: u64 = 2;

/// The random numbers of one purpose.
fn stream(seed: u64, stream: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(stream);
    rng
}

/// A list of names that was cut at its commas, where names hold commas themselves: what is not `known` is put together with what
/// follows to the longest name that is. Each name comes with the number of items it takes.
pub fn whole_names(given: &[String], known: impl Fn(&str) -> bool) -> Vec<(String, usize)> {
    let mut whole = Vec::new();
    let mut rest = given;
    while let [first, ..] = rest {
        let longest = match known(first) {
            true => None,
            false => (2..=rest.len())
                .rev()
                .map(|items| (rest[..items].join(","), items))
                .find(|(name, _)| known(name)),
        };
        let (name, items) = longest.unwrap_or_else(|| (first.clone(), 1));
        rest = &rest[items..];
        whole.push((name, items));
    }
    whole
}

/// What to choose.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// Most points of a class.
    pub points: Option<usize>,
    /// Number of classes.
    pub classes: Option<usize>,
    /// Classes by name; empty for all. Names that hold commas may have been [cut at them](whole_names).
    pub only_classes: &'a [String],
    /// Classes that are left out, by name.
    pub leave_out: &'a [String],
    /// Seed of the draws.
    pub seed: u64,
}

/// Which points are analysed, class by class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    /// Names of the classes used.
    pub classes: Vec<String>,
    /// Points of each.
    pub points_per_class: Vec<usize>,
    /// Indices into the file, class by class, rising within a class.
    pub points: Vec<usize>,
}

impl Selection {
    /// Chooses classes and points as asked for.
    pub fn new(labels: &Labels, wanted: &Wanted<'_>) -> Result<Self, InputError> {
        let place = &labels.place;
        let mut members = vec![Vec::new(); labels.names.len()];
        for (point, &class) in labels.classes.iter().enumerate() {
            members[class].push(point);
        }
        let mut chosen: Vec<usize> = (0..labels.names.len()).collect();
        let whole = |names| whole_names(names, |name| labels.names.iter().any(|n| n == name));
        if !wanted.only_classes.is_empty() {
            chosen.clear();
            for (name, _) in &whole(wanted.only_classes) {
                let class = class_named(labels, name, "--only-classes")?;
                if !chosen.contains(&class) {
                    chosen.push(class);
                }
            }
        }
        for (name, _) in &whole(wanted.leave_out) {
            let class = class_named(labels, name, "--leave-out")?;
            chosen.retain(|&c| c != class);
        }
        if let Some(count) = wanted.classes {
            if count > chosen.len() {
                return Err(InputError::content(
                    place,
                    format!("--classes {count}, but there are {}", chosen.len()),
                    format!("--classes {}, or leave the flag out", chosen.len()),
                ));
            }
            let mut drawn = index::sample(
                &mut stream(wanted.seed, STREAM_CLASSES),
                chosen.len(),
                count,
            )
            .into_vec();
            drawn.sort_unstable();
            chosen = drawn.into_iter().map(|i| chosen[i]).collect();
        }
        if chosen.len() < 2 {
            let names: Vec<String> = chosen.iter().map(|&c| labels.names[c].clone()).collect();
            return Err(InputError::content(
                place,
                format!(
                    "only one class ({}); capacity is about telling classes apart, so two or more are needed",
                    some(&names)
                ),
                if !wanted.only_classes.is_empty() {
                    "--only-classes with two names or more"
                } else if !wanted.leave_out.is_empty() {
                    "--leave-out with fewer names"
                } else {
                    "check that the labels are class indices, one per point"
                },
            ));
        }
        let mut rng = stream(wanted.seed, STREAM_POINTS);
        let mut selection = Self {
            classes: Vec::new(),
            points_per_class: Vec::new(),
            points: Vec::new(),
        };
        // Every class draws, chosen or not, so that the points of a class do not depend on which others are taken.
        for (class, members) in members.iter().enumerate() {
            let most = wanted.points.unwrap_or(members.len()).min(members.len());
            let mut drawn = if most < members.len() {
                index::sample(&mut rng, members.len(), most).into_vec()
            } else {
                (0..most).collect()
            };
            if !chosen.contains(&class) {
                continue;
            }
            drawn.sort_unstable();
            selection.classes.push(labels.names[class].clone());
            selection.points_per_class.push(most);
            selection
                .points
                .extend(drawn.into_iter().map(|i| members[i]));
        }
        Ok(selection)
    }
}

fn class_named(labels: &Labels, name: &str, flag: &str) -> Result<usize, InputError> {
    labels.names.iter().position(|n| n == name).ok_or_else(|| {
        InputError::content(
            &labels.place,
            format!("no class {name:?}; there are {}", some(&labels.names)),
            format!("{flag} with names from the labels"),
        )
    })
}

fn some(names: &[String]) -> String {
    let mut text = names
        .iter()
        .take(8)
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join(", ");
    if names.len() > 8 {
        text.push_str(", ...");
    }
    text
}

/// Chosen points of one layer.
pub struct LayerSource<'a> {
    matrix: Matrix,
    points: &'a [usize],
    points_per_class: &'a [usize],
    interrupted: &'a (dyn Fn() -> bool + Sync),
}

impl<'a> LayerSource<'a> {
    /// A source of `points` of `matrix`, all within range.
    pub fn new(
        matrix: Matrix,
        points: &'a [usize],
        points_per_class: &'a [usize],
        interrupted: &'a (dyn Fn() -> bool + Sync),
    ) -> Self {
        Self {
            matrix,
            points,
            points_per_class,
            interrupted,
        }
    }

    /// Ranges of features that make blocks of about [`BLOCK_BYTES`].
    fn ranges(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let size = if self.matrix.element().fits_f32() {
            4
        } else {
            8
        };
        block_ranges(self.points.len(), self.matrix.n_features(), size)
    }

    /// The block of `range`: where it lies if it can be used so, else a copy.
    fn block<T: Value>(&self, range: Range<usize>) -> Result<CowArray<'_, T, Ix2>, InputError> {
        if (self.interrupted)() {
            return Err(InputError::Interrupted {
                place: self.matrix.place().clone(),
            });
        }
        let from = range.start;
        let block = match (self.matrix.view::<T>(), consecutive(self.points)) {
            (Some(all), Some(points)) => CowArray::from(all.slice_move(s![points, range])),
            _ => CowArray::from(self.matrix.gather::<T>(self.points, range)),
        };
        if self.matrix.element().is_float() && !all_finite(block.view()) {
            return Err(self.not_finite(from));
        }
        Ok(block)
    }

    /// Counts what is not finite from a feature on (nothing before it is), and says where the first lies.
    fn not_finite(&self, from: usize) -> InputError {
        let (mut nan, mut infinite) = (0usize, 0usize);
        let mut first: Option<(usize, usize, f64)> = None;
        for range in self.ranges().filter(|r| r.start >= from) {
            if (self.interrupted)() {
                break;
            }
            let block = self.matrix.gather::<f64>(self.points, range.clone());
            for ((row, column), &value) in block.indexed_iter() {
                if value.is_nan() {
                    nan += 1;
                } else if value.is_infinite() {
                    infinite += 1;
                } else {
                    continue;
                }
                let here = (self.points[row], range.start + column, value);
                // First by point, as a reader of the array would look for it.
                if first.is_none_or(|f| (here.0, here.1) < (f.0, f.1)) {
                    first = Some(here);
                }
            }
        }
        let total = self.points.len() * self.matrix.n_features();
        // Of several files that were joined, the one that is to be mended.
        let piece = first.and_then(|(point, ..)| self.matrix.piece_of(point));
        let at = first.map_or(String::new(), |(point, feature, value)| {
            let mut index = self.matrix.index_of(point, feature);
            if let (Some((_, own)), Some(first)) = (piece, index.first_mut()) {
                *first = own;
            }
            let index: Vec<String> = index.iter().map(ToString::to_string).collect();
            format!(
                "; the first is {value} at index [{}] (point {point})",
                index.join(", ")
            )
        });
        InputError::content(
            piece.map_or(self.matrix.place(), |(place, _)| place),
            format!("{nan} NaN and {infinite} infinite values among the {total} used{at}"),
            "find the layer that overflows (often float16: collect in float32), or drop such points before saving",
        )
    }
}

/// Ranges of features that make blocks of about 128 MiB of `points` points whose values take `size` bytes.
///
/// The engine sums block by block, so results agree to the bit only where blocks do: other sources that want the results of
/// [`LayerSource`] take these.
pub fn block_ranges(
    points: usize,
    features: usize,
    size: usize,
) -> impl Iterator<Item = Range<usize>> + use<> {
    let width = (BLOCK_BYTES / (size * points.max(1))).max(16);
    (0..features)
        .step_by(width)
        .map(move |start| start..features.min(start + width))
}

/// The range that rising points without a gap make.
fn consecutive(points: &[usize]) -> Option<Range<usize>> {
    let (&first, &last) = (points.first()?, points.last()?);
    let whole = last.checked_sub(first)? + 1 == points.len()
        && points.windows(2).all(|pair| pair[0] + 1 == pair[1]);
    whole.then_some(first..last + 1)
}

fn all_finite<T: Value>(block: ArrayView2<'_, T>) -> bool {
    // Without early exit from a run, so that it goes at the speed of memory.
    let finite = |run: &[T]| run.iter().fold(true, |all, x| all & x.is_finite());
    let axis = Axis(usize::from(block.strides()[1] != 1));
    block
        .axis_iter(axis)
        .into_par_iter()
        .all(|run| match run.as_slice() {
            Some(run) => finite(run),
            None => run.iter().all(|x| x.is_finite()),
        })
}

impl Activations for LayerSource<'_> {
    fn points_per_manifold(&self) -> &[usize] {
        self.points_per_class
    }

    fn n_features(&self) -> usize {
        self.matrix.n_features()
    }

    fn for_each_block(
        &self,
        visit: &mut dyn FnMut(Block<'_>) -> ControlFlow<()>,
    ) -> Result<(), SourceError> {
        let single = self.matrix.element().fits_f32();
        for range in self.ranges() {
            let flow = if single {
                visit(Block::F32(self.block::<f32>(range)?.view()))
            } else {
                visit(Block::F64(self.block::<f64>(range)?.view()))
            };
            if flow.is_break() {
                break;
            }
        }
        Ok(())
    }
}

/// Where a [`SourceError`] that began here came from.
pub fn input_error(error: SourceError) -> Result<InputError, SourceError> {
    error.downcast::<InputError>().map(|e| *e)
}
