//! Claim 3, memorization works through radius and dimension: in the final layers R_M and D_M of permuted manifolds fall
//! over epochs; early layers change little.
//!
//! A fall is the ratio of a class's value at initialization to that at the end (geometric mean over classes). *Little*
//! compares the change of every early layer, in either direction, with a share of the final layers' fall.

use mftma_data::ExampleGroup;

use super::claim2::SHARE;
use super::inputs::{
    self, Accuracy, Beside, ClassValue, Stages, contrasts, dimension, last_epochs, log_changes,
    mean_of_final, radius,
};
use super::statistics::{End, over_classes};
use super::{Claim, Gap, Part, Side, beside_late_change, run_by_run};
use crate::published::Measure;
use crate::study::Study;

/// A ratio above this is a fall \[D\].
const FALL: f64 = 1.05;
const PARTS: usize = 4;

/// The groups whose geometry is needed.
const GROUPS: [ExampleGroup; 1] = [ExampleGroup::Permuted];

/// The claim.
pub struct RadiusAndDimension;

impl Claim for RadiusAndDimension {
    fn number(&self) -> usize {
        3
    }

    fn title(&self) -> &'static str {
        "Memorization works through radius and dimension"
    }

    fn statement(&self) -> &'static str {
        "In the final layers the radius and the dimension of permuted manifolds fall over epochs; early layers change little."
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

/// The parts of the claim; beside the falls those from the best to the last epoch, where the network is the figure's.
fn parts(accuracy: &[Accuracy], classes: &[ClassValue], beside: &Beside) -> Result<Vec<Part>, Gap> {
    let epochs = last_epochs(accuracy, classes)?;
    let until = epochs.describe();
    let mut parts = Vec::with_capacity(PARTS);
    for (in_figure, measure) in [
        (Measure::Radius, radius as fn(&ClassValue) -> f64),
        (Measure::Dimension, dimension),
    ] {
        let name = in_figure.name();
        let rises = log_changes(classes, ExampleGroup::Permuted, measure, &epochs)?;
        let negated = |columns: &[Vec<f64>]| -> Vec<Vec<f64>> {
            let negate = |column: &Vec<f64>| column.iter().map(|value| -value).collect();
            columns.iter().map(negate).collect()
        };
        let falls = negated(&rises);
        let last = mean_of_final(&falls);
        let fall = Part::new(
            format!(
                "Fall of {name} in the final layers, permuted ({until}; ratio of first to last)"
            ),
            over_classes(std::slice::from_ref(&last), End::Least, PARTS)?.map(f64::exp),
            Side::Above,
            FALL,
            "a twentieth: half of what counts as a rise of capacity, which two measures bring about together",
        );
        let change = beside.late_change(in_figure, measure)?;
        parts.push(beside_late_change(fall, change, -1.0)?);
        let mut either = contrasts(&rises, &last, SHARE);
        either.extend(contrasts(&falls, &last, SHARE));
        parts.push(Part::new(
            format!(
                "Greatest change of {name} in any early layer, either way, less a quarter of the final layers' fall, permuted ({until}; \
                 difference of logarithms)"
            ),
            over_classes(&either, End::Greatest, PARTS)?,
            Side::Below,
            0.0,
            "`little` is read as: less than a quarter of the final layers' fall, as in claim 2",
        ));
    }
    epochs.granted(parts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claims::Verdict;
    use crate::claims::synthetic::{Law, accuracy, classes, verdict};

    /// Radius and dimension at the end, relative to the start, in early layers and beyond.
    fn law(early: [f64; 2], last: [f64; 2], noise: f64) -> Law {
        Law::new(noise, move |_, epoch, layer| {
            let [radius, dimension] = match (epoch, layer) {
                (60, 0..=4) => early,
                (60, _) => last,
                _ => [1.0, 1.0],
            };
            [0.1, radius, 20.0 * dimension]
        })
    }

    #[test]
    fn it_holds_where_both_fall_late_in_depth() {
        let found = parts(
            &accuracy(),
            &classes(&law([0.99, 1.01], [0.5, 0.6], 0.03)),
            &Beside::default(),
        );
        assert_eq!(verdict(found), Verdict::Holds);
    }

    #[test]
    fn it_fails_where_one_does_not_fall_or_early_layers_change_as_much() {
        let found = parts(
            &accuracy(),
            &classes(&law([1.0, 1.0], [0.5, 1.0], 0.03)),
            &Beside::default(),
        );
        assert_eq!(verdict(found), Verdict::DoesNotHold);
        // A rise in early layers is a change too.
        let found = parts(
            &accuracy(),
            &classes(&law([1.6, 1.0], [0.5, 0.6], 0.03)),
            &Beside::default(),
        );
        assert_eq!(verdict(found), Verdict::DoesNotHold);
    }

    #[test]
    fn it_is_open_where_classes_differ_too_much() {
        let found = parts(
            &accuracy(),
            &classes(&law([1.0, 1.0], [0.8, 0.8], 1.0)),
            &Beside::default(),
        );
        assert_eq!(verdict(found), Verdict::Undecided);
    }

    #[test]
    fn the_published_falls_stand_beside_them() {
        let beside = Beside::published_with([1.0, 0.766, 0.5]);
        let classes = classes(&law([0.99, 1.01], [0.5, 0.6], 0.03));
        let found = parts(&accuracy(), &classes, &beside).unwrap();
        let published = |part: usize| found[part].published.clone().unwrap();
        // In the figure both fall by a quarter in the final layers.
        assert!((1.2..1.4).contains(&published(0).value), "{found:?}");
        assert!((published(0).ours - 1.0 / 0.766).abs() < 1e-9 && published(0).agrees);
        assert!((published(2).ours - 2.0).abs() < 1e-9 && !published(2).agrees);
        assert!(found[1].published.is_none() && found[3].published.is_none());
    }
}
