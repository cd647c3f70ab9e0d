//! Claim 2, memorization is late in depth: the capacity of permuted manifolds rises in the final layers only.
//!
//! The rise is the ratio of a class's capacity at the end of training to that at initialization (geometric mean over
//! classes). The final layers are the last quarter, the early ones the first half. *Rises* is a statement about the
//! final layers' mean; *only* compares every early layer with a share of it.

use mftma_data::ExampleGroup;

use super::inputs::{
    self, Accuracy, Beside, ClassValue, Stages, capacity, contrasts, last_epochs, log_changes,
    mean_of_final,
};
use super::statistics::{End, over_classes};
use super::{Claim, Gap, Part, Side, beside_late_change, run_by_run};
use crate::published::Measure;
use crate::study::Study;

/// A ratio above this is a rise \[D\].
const RISE: f64 = 1.1;
/// An early layer that rises by less than this share of the final layers' rise counts as left out \[D\].
pub const SHARE: f64 = 0.25;
const PARTS: usize = 2;

/// The groups whose geometry is needed.
const GROUPS: [ExampleGroup; 1] = [ExampleGroup::Permuted];

/// The claim.
pub struct LateMemorization;

impl Claim for LateMemorization {
    fn number(&self) -> usize {
        2
    }

    fn title(&self) -> &'static str {
        "Memorization is late in depth"
    }

    fn statement(&self) -> &'static str {
        "The capacity of permuted manifolds rises in the final layers only."
    }

    fn stages(&self, study: &Study<'_>) -> anyhow::Result<Stages> {
        inputs::trained_and_measured(study, &GROUPS)
    }

    fn parts(&self, study: &Study<'_>) -> Result<Vec<Part>, Gap> {
        let accuracy = inputs::accuracy(study)?;
        let beside = Beside::of(study, &GROUPS)?;
        run_by_run(&inputs::classes(study, &GROUPS)?, |classes| {
            parts(&accuracy, classes, &beside)
        })
    }
}

/// The parts of the claim; beside the first how much the capacity rises from the best to the last epoch, where the network is the figure's.
fn parts(accuracy: &[Accuracy], classes: &[ClassValue], beside: &Beside) -> Result<Vec<Part>, Gap> {
    let epochs = last_epochs(accuracy, classes)?;
    let rises = log_changes(classes, ExampleGroup::Permuted, capacity, &epochs)?;
    let last = mean_of_final(&rises);
    let until = epochs.describe();
    let rise = Part::new(
        format!("Rise of capacity in the final layers, permuted ({until}; ratio)"),
        over_classes(std::slice::from_ref(&last), End::Least, PARTS)?.map(f64::exp),
        Side::Above,
        RISE,
        "a tenth: less would not be called a rise in the figure",
    );
    epochs.granted(vec![
        beside_late_change(rise, beside.late_change(Measure::Capacity, capacity)?, 1.0)?,
        Part::new(
            format!(
                "Greatest rise in any early layer less a quarter of the final layers' rise, permuted ({until}; difference of logarithms)"
            ),
            over_classes(&contrasts(&rises, &last, SHARE), End::Greatest, PARTS)?,
            Side::Below,
            0.0,
            "`only` is read as: no early layer shows a quarter of what the final layers show; a fixed size would call any large \
             memorization a failure for its faint trace in early layers",
        ),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claims::Verdict;
    use crate::claims::synthetic::{Law, accuracy, classes, verdict, without_memorization};

    /// Capacity of permuted manifolds grows by `early` in the first half of the eight layers and by `last` beyond.
    fn law(early: f64, last: f64, noise: f64) -> Law {
        Law::new(noise, move |_, epoch, layer| {
            let rise = if layer <= 4 { early } else { last };
            [0.1 * if epoch == 60 { rise } else { 1.0 }, 1.0, 20.0]
        })
    }

    #[test]
    fn it_holds_where_only_final_layers_memorize() {
        let found = parts(
            &accuracy(),
            &classes(&law(1.02, 3.0, 0.1)),
            &Beside::default(),
        );
        assert_eq!(verdict(found), Verdict::Holds);
    }

    #[test]
    fn it_fails_where_memorization_is_everywhere_or_nowhere() {
        let found = parts(
            &accuracy(),
            &classes(&law(2.5, 3.0, 0.1)),
            &Beside::default(),
        );
        assert_eq!(verdict(found), Verdict::DoesNotHold);
        let found = parts(
            &accuracy(),
            &classes(&law(1.0, 1.0, 0.05)),
            &Beside::default(),
        );
        assert_eq!(verdict(found), Verdict::DoesNotHold);
    }

    #[test]
    fn it_is_open_where_classes_differ_too_much_or_nothing_was_memorized() {
        let found = parts(
            &accuracy(),
            &classes(&law(1.02, 1.3, 1.5)),
            &Beside::default(),
        );
        assert_eq!(verdict(found), Verdict::Undecided);
        let error = parts(
            &without_memorization(),
            &classes(&law(1.0, 3.0, 0.1)),
            &Beside::default(),
        )
        .unwrap_err()
        .to_string();
        assert!(error.contains("permuted labels"), "{error}");
    }

    #[test]
    fn the_published_rise_stands_beside_it() {
        for (rise, agrees) in [(1.6, true), (1.3, false)] {
            let beside = Beside::published_with([rise, 1.0, 1.0]);
            let classes = classes(&law(1.02, 3.0, 0.1));
            let found = parts(&accuracy(), &classes, &beside).unwrap();
            let published = found[0].published.clone().unwrap();
            // Of the final five layers the figure gives .057 over .038 and the like.
            assert!((1.4..1.8).contains(&published.value), "{published:?}");
            assert!((published.ours - rise).abs() < 1e-9);
            assert_eq!(published.agrees, agrees, "{published:?}");
            assert!(found[1].published.is_none());
        }
    }
}
