//! Label permutation: which training examples get a label that is not theirs.

use std::fmt;

use rand::RngExt;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::checksum::hash_labels;
use crate::{Checksum, Error, Result, stream};

/// Labels are 16-bit.
const MAX_CLASSES: usize = 1 << 16;

/// How the chosen examples get their labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PermutationScheme {
    /// The chosen examples' labels are permuted among themselves: every permutation is equally likely, the number of
    /// examples of each class stays as it was, and an example may draw its own label back. The paper's scheme \[P\].
    #[default]
    Permute,
    /// Each chosen example draws a label uniformly from all classes, its own included.
    Uniform,
    /// The labels are permuted among the chosen examples so that none keeps its true label; the number of examples
    /// of each class stays as it was. A random permutation in which every example that kept its label is then
    /// exchanged with a random partner for which the exchange leaves both with a wrong label. (Close to, but not
    /// exactly, uniform over all derangements.)
    Derange,
}

impl PermutationScheme {
    /// The scheme's name in files and on command lines.
    pub fn name(self) -> &'static str {
        match self {
            Self::Permute => "permute",
            Self::Uniform => "uniform",
            Self::Derange => "derange",
        }
    }
}

impl fmt::Display for PermutationScheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Training labels of which a fraction was made noise, with everything needed to tell which and to undo it.
///
/// Deserialising checks the content against the stored checksum.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "StoredPermutation")]
pub struct LabelPermutation {
    scheme: PermutationScheme,
    fraction: f64,
    seed: u64,
    classes: usize,
    mask: Vec<bool>,
    true_labels: Vec<u16>,
    assigned_labels: Vec<u16>,
    effective_noise_rate: f64,
    checksum: Checksum,
}

/// The fields of a [`LabelPermutation`] as read, not yet checked.
#[derive(Deserialize)]
struct StoredPermutation {
    scheme: PermutationScheme,
    fraction: f64,
    seed: u64,
    classes: usize,
    mask: Vec<bool>,
    true_labels: Vec<u16>,
    assigned_labels: Vec<u16>,
    checksum: Checksum,
}

impl TryFrom<StoredPermutation> for LabelPermutation {
    type Error = Error;

    fn try_from(stored: StoredPermutation) -> Result<Self> {
        let n = stored.true_labels.len();
        if stored.mask.len() != n || stored.assigned_labels.len() != n {
            return Err(Error::Inconsistent(format!(
                "stored permutation: {} mask entries, {n} true and {} assigned labels",
                stored.mask.len(),
                stored.assigned_labels.len()
            )));
        }
        check_labels(&stored.true_labels, stored.classes)?;
        check_labels(&stored.assigned_labels, stored.classes)?;
        let permutation = Self::assemble(
            stored.scheme,
            stored.fraction,
            stored.seed,
            stored.classes,
            stored.mask,
            stored.true_labels,
            stored.assigned_labels,
        );
        if permutation.checksum != stored.checksum {
            return Err(Error::ChecksumMismatch {
                what: "the stored label permutation",
                stored: stored.checksum,
                actual: permutation.checksum,
            });
        }
        Ok(permutation)
    }
}

impl LabelPermutation {
    /// Draws a permutation of `labels` (true labels, each below `classes`).
    ///
    /// Exactly ⌊`fraction` · n + ½⌋ of the n examples are chosen, every set of that size being equally likely, and
    /// get new labels by `scheme`. The choice depends on the seed, n and the fraction only, so the schemes can be
    /// compared on the same examples. A pure function of its arguments on one thread.
    ///
    /// # Errors
    /// [`Error::Argument`] where `fraction` is not in 0…1, [`Error::Inconsistent`] where a label is not below
    /// `classes`, [`Error::NoDerangement`] where [`PermutationScheme::Derange`] is impossible.
    pub fn draw(
        labels: &[u16],
        classes: usize,
        fraction: f64,
        scheme: PermutationScheme,
        seed: u64,
    ) -> Result<Self> {
        if !(0.0..=1.0).contains(&fraction) {
            return Err(Error::argument(
                "permuted fraction",
                fraction,
                "between 0 and 1",
            ));
        }
        check_labels(labels, classes)?;
        let n = labels.len();
        let wanted = (fraction * n as f64).round() as usize;
        let mut order: Vec<usize> = (0..n).collect();
        let (chosen, _) = order.partial_shuffle(&mut stream(seed, "permutation mask"), wanted);
        chosen.sort_unstable();
        let mut mask = vec![false; n];
        chosen.iter().for_each(|&i| mask[i] = true);

        let truth: Vec<u16> = chosen.iter().map(|&i| labels[i]).collect();
        let mut rng = stream(seed, &format!("permutation labels: {scheme}"));
        let drawn = match scheme {
            PermutationScheme::Permute => {
                let mut drawn = truth.clone();
                drawn.shuffle(&mut rng);
                drawn
            }
            // Reaching here with a label means classes > 0; with none, the range is never sampled.
            PermutationScheme::Uniform => truth
                .iter()
                .map(|_| rng.random_range(0..classes) as u16)
                .collect(),
            PermutationScheme::Derange => derange(&truth, classes, &mut rng)?,
        };
        let mut assigned = labels.to_vec();
        for (&i, label) in chosen.iter().zip(drawn) {
            assigned[i] = label;
        }
        Ok(Self::assemble(
            scheme,
            fraction,
            seed,
            classes,
            mask,
            labels.to_vec(),
            assigned,
        ))
    }

    fn assemble(
        scheme: PermutationScheme,
        fraction: f64,
        seed: u64,
        classes: usize,
        mask: Vec<bool>,
        true_labels: Vec<u16>,
        assigned_labels: Vec<u16>,
    ) -> Self {
        let changed = true_labels
            .iter()
            .zip(&assigned_labels)
            .filter(|(t, a)| t != a)
            .count();
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"mftma-data/permutation/1");
        hasher.update(scheme.name().as_bytes());
        for word in [fraction.to_bits(), seed, classes as u64, mask.len() as u64] {
            hasher.update(&word.to_le_bytes());
        }
        hasher.update(
            &mask
                .iter()
                .map(|&chosen| u8::from(chosen))
                .collect::<Vec<u8>>(),
        );
        hash_labels(&mut hasher, &true_labels);
        hash_labels(&mut hasher, &assigned_labels);
        Self {
            scheme,
            fraction,
            seed,
            classes,
            effective_noise_rate: changed as f64 / mask.len().max(1) as f64,
            mask,
            true_labels,
            assigned_labels,
            checksum: Checksum::finish(&hasher),
        }
    }

    /// Number of examples.
    pub fn len(&self) -> usize {
        self.mask.len()
    }

    /// Whether there is no example.
    pub fn is_empty(&self) -> bool {
        self.mask.is_empty()
    }

    /// How the labels were drawn.
    pub fn scheme(&self) -> PermutationScheme {
        self.scheme
    }

    /// The fraction ε asked for.
    pub fn fraction(&self) -> f64 {
        self.fraction
    }

    /// The seed of the draw.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// For each example, whether it was chosen (is a permuted example), even if it drew its own label back.
    pub fn mask(&self) -> &[bool] {
        &self.mask
    }

    /// Number of chosen examples.
    pub fn permuted(&self) -> usize {
        self.mask.iter().filter(|&&chosen| chosen).count()
    }

    /// The labels that belong to the images: they undo the permutation.
    pub fn true_labels(&self) -> &[u16] {
        &self.true_labels
    }

    /// The labels to train on.
    pub fn assigned_labels(&self) -> &[u16] {
        &self.assigned_labels
    }

    /// Share of *all* examples whose assigned label is wrong; below ε where chosen examples drew their own back.
    pub fn effective_noise_rate(&self) -> f64 {
        self.effective_noise_rate
    }

    /// BLAKE3 over the bytes `mftma-data/permutation/1`, the scheme's name, the bits of the fraction, the seed, the
    /// numbers of classes and examples (64-bit), the mask (a byte each), and the true and the assigned labels
    /// (16-bit). Numbers are little-endian.
    pub fn checksum(&self) -> Checksum {
        self.checksum
    }
}

fn check_labels(labels: &[u16], classes: usize) -> Result<()> {
    if classes > MAX_CLASSES {
        return Err(Error::argument(
            "number of classes",
            classes,
            format!("at most {MAX_CLASSES}"),
        ));
    }
    match labels
        .iter()
        .position(|&label| usize::from(label) >= classes)
    {
        None => Ok(()),
        Some(at) => Err(Error::Inconsistent(format!(
            "example {at} has label {}, but there are {classes} classes",
            labels[at]
        ))),
    }
}

/// `truth` permuted so that no entry stays equal.
///
/// Why the repair ends: let entry i hold its own label c, and let c occur at most n/2 times. Entries that could not
/// take c are those whose truth is c, entries that could not help i are those that now hold c; i is one of both, so
/// together they are at most 2·n/2 − 1 < n, and a partner exists. The exchange makes i wrong and leaves the partner
/// wrong, so each one lowers the number of kept labels.
fn derange(truth: &[u16], classes: usize, rng: &mut ChaCha8Rng) -> Result<Vec<u16>> {
    let n = truth.len();
    let mut counts = vec![0usize; classes];
    truth
        .iter()
        .for_each(|&label| counts[usize::from(label)] += 1);
    if let Some(class) = counts.iter().position(|&count| count > n / 2) {
        return Err(Error::NoDerangement {
            class: class as u16,
            count: counts[class],
            chosen: n,
        });
    }
    let mut drawn = truth.to_vec();
    drawn.shuffle(rng);
    let mut kept: Vec<usize> = (0..n).filter(|&i| drawn[i] == truth[i]).collect();
    kept.shuffle(rng);
    for i in kept {
        // An earlier exchange may have settled this entry as a partner.
        while drawn[i] == truth[i] {
            let j = rng.random_range(0..n);
            if drawn[j] != truth[i] && truth[j] != truth[i] {
                drawn.swap(i, j);
            }
        }
    }
    Ok(drawn)
}
