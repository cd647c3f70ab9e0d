//! Claim 1, shared features first: early in training the capacity of unpermuted and restored manifolds rises in every
//! layer; that of permuted manifolds does not.
//!
//! *Early* is from initialization to the measured epoch at which test accuracy is highest. The statistic is the ratio of a
//! class's capacity then to its capacity at initialization (geometric mean over classes): the least over layers and both
//! groups must show a rise, the greatest over layers of permuted manifolds must not.

use mftma_data::ExampleGroup;

use super::inputs::{self, Accuracy, ClassValue, Stages, capacity, early_epochs, log_changes};
use super::statistics::{End, over_classes};
use super::{Claim, Gap, Part, Side};
use crate::study::Study;

/// A ratio above this is a rise, one below it is none \[D\].
const RISE: f64 = 1.1;
/// Why.
const REASON: &str = "a tenth: less would not be called a rise in the figure, and one number for both sides leaves no gap between \
rising and not rising";
const PARTS: usize = 2;

/// The groups whose geometry is needed.
const GROUPS: [ExampleGroup; 3] = [
    ExampleGroup::Unpermuted,
    ExampleGroup::Permuted,
    ExampleGroup::Restored,
];

/// The claim.
pub struct SharedFeaturesFirst;

impl Claim for SharedFeaturesFirst {
    fn number(&self) -> usize {
        1
    }

    fn title(&self) -> &'static str {
        "Shared features first"
    }

    fn statement(&self) -> &'static str {
        "In every layer and early epochs, the capacity of unpermuted and restored manifolds rises; that of permuted manifolds \
         does not."
    }

    fn stages(&self, study: &Study<'_>) -> anyhow::Result<Stages> {
        inputs::trained_and_measured(study, &GROUPS)
    }

    fn parts(&self, study: &Study<'_>) -> Result<Vec<Part>, Gap> {
        parts(&inputs::accuracy(study)?, &inputs::classes(study, &GROUPS)?)
    }
}

/// The parts of the claim.
fn parts(accuracy: &[Accuracy], classes: &[ClassValue]) -> Result<Vec<Part>, Gap> {
    let epochs = early_epochs(accuracy, classes)?;
    let changes = |group| log_changes(classes, group, capacity, &epochs);
    let mut learned = changes(ExampleGroup::Unpermuted)?;
    learned.extend(changes(ExampleGroup::Restored)?);
    let permuted = changes(ExampleGroup::Permuted)?;
    let until = epochs.describe();
    epochs.granted(vec![
        Part::new(
            format!("Least rise of capacity over layers, unpermuted and restored ({until}; ratio)"),
            over_classes(&learned, End::Least, PARTS)?.map(f64::exp),
            Side::Above,
            RISE,
            REASON,
        ),
        Part::new(
            format!("Greatest rise of capacity over layers, permuted ({until}; ratio)"),
            over_classes(&permuted, End::Greatest, PARTS)?.map(f64::exp),
            Side::Below,
            RISE,
            REASON,
        ),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claims::Verdict;
    use crate::claims::synthetic::{Law, accuracy, classes, verdict};

    /// Capacity doubles by epoch 5 except where the law says otherwise.
    fn law(permuted: f64, layer_without: Option<usize>, noise: f64) -> Law {
        Law::new(noise, move |group, epoch, layer| {
            let rise = match group {
                ExampleGroup::Permuted => permuted,
                _ if Some(layer) == layer_without => 1.0,
                _ => 2.0,
            };
            let factor = if epoch == 0 { 1.0 } else { rise };
            [0.1 * factor, 1.0, 20.0]
        })
    }

    #[test]
    fn it_holds_where_only_true_labels_gain() {
        let found = parts(&accuracy(), &classes(&law(1.0, None, 0.05)));
        assert_eq!(verdict(found), Verdict::Holds);
    }

    #[test]
    fn it_fails_where_permuted_manifolds_gain_or_one_layer_does_not() {
        let found = parts(&accuracy(), &classes(&law(1.5, None, 0.1)));
        assert_eq!(verdict(found), Verdict::DoesNotHold);
        let found = parts(&accuracy(), &classes(&law(1.0, Some(6), 0.1)));
        assert_eq!(verdict(found), Verdict::DoesNotHold);
    }

    #[test]
    fn it_is_open_where_classes_differ_more_than_epochs() {
        let found = parts(&accuracy(), &classes(&law(1.0, None, 2.0)));
        assert_eq!(verdict(found), Verdict::Undecided);
    }

    #[test]
    fn it_is_open_where_test_accuracy_never_fell() {
        let mut rising = accuracy();
        for row in &mut rising {
            row.value = row.epoch as f64 / 100.0;
        }
        let error = parts(&rising, &classes(&law(1.0, None, 0.1)))
            .unwrap_err()
            .to_string();
        assert!(error.contains("last measured epoch"), "{error}");
    }
}
