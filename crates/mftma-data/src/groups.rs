//! Example groups and the manifolds drawn from them.

use std::collections::VecDeque;
use std::fmt;

use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

use crate::{Error, LabelPermutation, Result, stream};

/// The four groups of examples whose geometry is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ExampleGroup {
    /// Training examples whose labels were left alone, grouped by label.
    Unpermuted,
    /// Training examples chosen for permutation, grouped by the label assigned to them (the one trained on).
    Permuted,
    /// The same images as [`Permuted`](Self::Permuted), grouped by their true label.
    Restored,
    /// Held-out examples, grouped by their true label.
    Test,
}

impl ExampleGroup {
    /// All groups, in the order of tables and plots.
    pub const ALL: [Self; 4] = [Self::Unpermuted, Self::Permuted, Self::Restored, Self::Test];

    /// The group's name in tables, plots and files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unpermuted => "unpermuted",
            Self::Permuted => "permuted",
            Self::Restored => "restored",
            Self::Test => "test",
        }
    }

    /// Whether the group's examples come from the training split (otherwise: from the test split).
    pub fn is_training(self) -> bool {
        self != Self::Test
    }
}

impl fmt::Display for ExampleGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What to do where a class has fewer examples than asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Shortage {
    /// Refuse, naming the class, the group, and the numbers wanted and had.
    #[default]
    Refuse,
    /// Take what there is; a class without any example is still refused.
    Take,
}

/// How many manifolds to draw, and of how many points.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifoldSettings {
    /// Number P of manifolds (classes).
    pub manifolds: usize,
    /// Number M of examples in each.
    pub examples: usize,
    /// Seed of the choice of classes and examples.
    pub seed: u64,
    /// What to do where a class has fewer than M examples.
    pub shortage: Shortage,
}

/// The examples that make up the manifolds of one group, as indices into the group's split.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifoldIndices {
    group: ExampleGroup,
    classes: Vec<u16>,
    indices: Vec<Vec<usize>>,
}

impl ManifoldIndices {
    /// The group.
    pub fn group(&self) -> ExampleGroup {
        self.group
    }

    /// The class of each manifold, ascending; the same classes for every group of one draw.
    pub fn classes(&self) -> &[u16] {
        &self.classes
    }

    /// For each manifold, its examples in ascending order: indices into the training split, or for
    /// [`ExampleGroup::Test`] into the test split.
    pub fn indices(&self) -> &[Vec<usize>] {
        &self.indices
    }

    /// Number of examples of each manifold.
    pub fn points_per_manifold(&self) -> Vec<usize> {
        self.indices.iter().map(Vec::len).collect()
    }

    /// All examples, manifold by manifold.
    pub fn flat(&self) -> Vec<usize> {
        self.indices.concat()
    }
}

/// Draws P × M example indices for the manifolds of one group.
///
/// The P classes are drawn from all classes by the seed alone, so all groups of one seed share them. *Unpermuted* and
/// *test* then take M examples of each class, every set of M equally likely.
///
/// *Permuted* and *restored* are one draw looked at twice: **the same images**, grouped by assigned and by true
/// label. So the images must have both labels among the P classes, and M of them must be assigned to, and M truly
/// belong to, each class. They are found in two steps. Examples are gone through in random order and taken while both
/// of their classes have room. What is then still short is closed by exchanges along augmenting paths (a maximum
/// flow), so that if P × M such images exist they are found. Where they do not, [`Shortage::Refuse`] reports
/// the class that falls short, and [`Shortage::Take`] gives the largest set of images in which no class has more
/// than M by either label; the two groups still hold the same images, but manifolds differ in size.
///
/// `test_labels` are the labels of the test split; they are read for [`ExampleGroup::Test`] only.
///
/// # Errors
/// [`Error::Argument`] where P or M is 0 or P exceeds the number of classes; [`Error::Shortage`] where a class has too
/// few examples; [`Error::Inconsistent`] where a test label is not below the number of classes.
pub fn draw_manifolds(
    group: ExampleGroup,
    permutation: &LabelPermutation,
    test_labels: &[u16],
    settings: &ManifoldSettings,
) -> Result<ManifoldIndices> {
    let ManifoldSettings {
        manifolds,
        examples,
        seed,
        shortage,
    } = *settings;
    let all = permutation.classes();
    if manifolds == 0 || manifolds > all {
        return Err(Error::argument(
            "number of manifolds",
            manifolds,
            format!("between 1 and the number of classes, {all}"),
        ));
    }
    if examples == 0 {
        return Err(Error::argument(
            "number of examples per manifold",
            examples,
            "at least 1",
        ));
    }
    let mut classes: Vec<u16> = (0..all).map(|class| class as u16).collect();
    classes.shuffle(&mut stream(seed, "manifold classes"));
    classes.truncate(manifolds);
    classes.sort_unstable();
    let mut manifold_of = vec![None; all];
    for (manifold, &class) in classes.iter().enumerate() {
        manifold_of[usize::from(class)] = Some(manifold);
    }
    let place = |label: u16| manifold_of.get(usize::from(label)).copied().flatten();

    let mut indices = match group {
        ExampleGroup::Unpermuted => {
            let labels = permutation.true_labels();
            let pool = (0..labels.len())
                .filter(|&i| !permutation.mask()[i])
                .collect();
            draw_by_label(
                pool,
                |i| place(labels[i]),
                settings,
                "manifolds: unpermuted",
            )
        }
        ExampleGroup::Test => {
            if let Some(at) = test_labels
                .iter()
                .position(|&label| usize::from(label) >= all)
            {
                return Err(Error::Inconsistent(format!(
                    "test example {at} has label {}, but there are {all} classes",
                    test_labels[at]
                )));
            }
            let pool = (0..test_labels.len()).collect();
            draw_by_label(pool, |i| place(test_labels[i]), settings, "manifolds: test")
        }
        ExampleGroup::Permuted | ExampleGroup::Restored => {
            let (assigned, truth) = (permutation.assigned_labels(), permutation.true_labels());
            let mut pool: Vec<Paired> = (0..truth.len())
                .filter(|&i| permutation.mask()[i])
                .filter_map(|example| {
                    Some(Paired {
                        example,
                        row: place(assigned[example])?,
                        column: place(truth[example])?,
                    })
                })
                .collect();
            pool.shuffle(&mut stream(seed, "manifolds: permuted and restored"));
            let mut indices = vec![Vec::new(); manifolds];
            for paired in draw_paired(&pool, manifolds, examples) {
                let manifold = if group == ExampleGroup::Permuted {
                    paired.row
                } else {
                    paired.column
                };
                indices[manifold].push(paired.example);
            }
            indices
        }
    };
    for (list, &class) in indices.iter_mut().zip(&classes) {
        list.sort_unstable();
        let enough = match shortage {
            Shortage::Refuse => list.len() == examples,
            Shortage::Take => !list.is_empty(),
        };
        if !enough {
            return Err(Error::shortage_in_group(class, group, examples, list.len()));
        }
    }
    Ok(ManifoldIndices {
        group,
        classes,
        indices,
    })
}

/// Up to `settings.examples` random examples of `pool` for each manifold.
fn draw_by_label(
    mut pool: Vec<usize>,
    manifold: impl Fn(usize) -> Option<usize>,
    settings: &ManifoldSettings,
    purpose: &str,
) -> Vec<Vec<usize>> {
    pool.shuffle(&mut stream(settings.seed, purpose));
    let mut indices = vec![Vec::new(); settings.manifolds];
    for example in pool {
        if let Some(m) = manifold(example)
            && indices[m].len() < settings.examples
        {
            indices[m].push(example);
        }
    }
    indices
}

/// A permuted example with the manifolds of its assigned (row) and its true (column) label.
#[derive(Clone, Copy)]
struct Paired {
    example: usize,
    row: usize,
    column: usize,
}

/// The largest subset of `pool` with at most `limit` examples in each of the `p` rows and columns, taking the
/// pool's order as preference.
///
/// Only the numbers x(row, column) of examples taken matter for the limits; the examples themselves are the first
/// x(row, column) of their cell.
fn draw_paired(pool: &[Paired], p: usize, limit: usize) -> Vec<Paired> {
    let mut cells: Vec<Vec<Paired>> = vec![Vec::new(); p * p];
    let mut taken = vec![0usize; p * p];
    let (mut rows, mut columns) = (vec![0usize; p], vec![0usize; p]);
    for &paired in pool {
        let cell = paired.row * p + paired.column;
        cells[cell].push(paired);
        // Counts only grow in this pass: once an example of a cell was passed over, so are all after it.
        if rows[paired.row] < limit && columns[paired.column] < limit {
            taken[cell] += 1;
            rows[paired.row] += 1;
            columns[paired.column] += 1;
        }
    }
    for (row, count) in rows.iter_mut().enumerate() {
        // Where no path starts at a row, none will after further exchanges either.
        while *count < limit && augment(row, p, limit, &cells, &mut taken, &mut columns) {
            *count += 1;
        }
    }
    cells
        .iter()
        .zip(&taken)
        .flat_map(|(cell, &count)| cell[..count].iter().copied())
        .collect()
}

/// Takes one more example in `start` by a shortest chain of exchanges ending in a column with room.
fn augment(
    start: usize,
    p: usize,
    limit: usize,
    cells: &[Vec<Paired>],
    taken: &mut [usize],
    columns: &mut [usize],
) -> bool {
    let mut row_from = vec![None; p]; // the column whose example this row would give up
    let mut column_from = vec![None; p]; // the row that would take an example of this column
    let mut queue = VecDeque::from([start]);
    while let Some(row) = queue.pop_front() {
        for column in 0..p {
            let cell = row * p + column;
            if column_from[column].is_some() || taken[cell] == cells[cell].len() {
                continue;
            }
            column_from[column] = Some(row);
            if columns[column] < limit {
                columns[column] += 1;
                let mut end = column;
                while let Some(taker) = column_from[end] {
                    taken[taker * p + end] += 1;
                    match row_from[taker] {
                        Some(given) => {
                            taken[taker * p + given] -= 1;
                            end = given;
                        }
                        None => return true,
                    }
                }
            }
            for other in 0..p {
                if other != start && row_from[other].is_none() && taken[other * p + column] > 0 {
                    row_from[other] = Some(column);
                    queue.push_back(other);
                }
            }
        }
    }
    false
}
