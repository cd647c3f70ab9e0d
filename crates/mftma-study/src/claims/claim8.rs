//! Claim 8, theory matches simulation: mean-field capacity is the capacity found by simulation, layer by layer, at the end of training
//! (the paper's figure 1 B). Beside it the joint capacity, which takes all classes at once.
//!
//! All three are of the same points of the same classes. The statistic is the greatest ratio, either way, of a layer's capacity by
//! theory to that by simulation. Its interval holds the error of the simulation over dichotomies and projections and that of the theory over
//! Gaussian vectors, for all layers and both ways at once; classes are no source of error, for they are the same.

use mftma_data::ExampleGroup;

use super::inputs::{self, Capacities, Stages};
use super::statistics::{End, with_errors};
use super::{Claim, Gap, Part, Side};
use crate::stages::SIMULATED_GROUPS;
use crate::study::Study;

/// A ratio below this is a match \[D\].
const MATCH: f64 = 1.1;
/// Why.
const REASON: &str = "a tenth: the theory is exact for many classes only, and corrections of the order 1/√P are of this size at the \
paper's P = 100";
/// Two theories in each group.
const PARTS: usize = 2 * SIMULATED_GROUPS.len();

/// The claim.
pub struct TheoryMatchesSimulation;

impl Claim for TheoryMatchesSimulation {
    fn number(&self) -> usize {
        8
    }

    fn title(&self) -> &'static str {
        "Theory matches simulation"
    }

    fn statement(&self) -> &'static str {
        "At the end of training, capacity by theory, mean-field and joint, is capacity by simulation in every layer."
    }

    fn stages(&self, study: &Study<'_>) -> anyhow::Result<Stages> {
        inputs::simulated(study)
    }

    fn parts(&self, study: &Study<'_>) -> Result<Vec<Part>, Gap> {
        parts(&inputs::capacities(study)?)
    }
}

/// The parts of the claim.
fn parts(capacities: &[Capacities]) -> Result<Vec<Part>, Gap> {
    for group in SIMULATED_GROUPS {
        if !capacities.iter().any(|layer| layer.group == group) {
            return Err(format!("no layer of {group} manifolds was simulated").into());
        }
    }
    if let Some(open) = capacities.iter().find(|layer| layer.simulated.is_none()) {
        return Err(Gap::Premise(format!(
            "simulation does not bound the capacity of {} manifolds in {}: too few of the labellings can be separated in all its features \
             (lower the profile's simulation.manifolds), or too few were drawn (raise simulation.repetitions)",
            open.group, open.layer
        )));
    }
    if let Some(open) = capacities.iter().find(|layer| layer.joint.is_none()) {
        return Err(Gap::Premise(format!(
            "{} manifolds have no joint capacity in {}: fewer than half of the labellings can be separated there",
            open.group, open.layer
        )));
    }
    let mut parts = Vec::with_capacity(PARTS);
    for (theory, of) in [
        (
            "mean-field",
            (|c| Some(c.mean_field)) as fn(&Capacities) -> Option<Logarithm>,
        ),
        ("joint", |c| c.joint),
    ] {
        for group in SIMULATED_GROUPS {
            parts.push(part(theory, of, group, capacities)?);
        }
    }
    Ok(parts)
}

/// Logarithm of a capacity and its standard error.
type Logarithm = (f64, f64);

fn part(
    theory: &str,
    of: fn(&Capacities) -> Option<Logarithm>,
    group: ExampleGroup,
    capacities: &[Capacities],
) -> Result<Part, String> {
    let mut departures = Vec::new();
    for layer in capacities.iter().filter(|layer| layer.group == group) {
        let (Some((value, error)), Some((simulated, of_simulation))) = (of(layer), layer.simulated)
        else {
            continue;
        };
        let error = error.hypot(of_simulation);
        departures.extend([(value - simulated, error), (simulated - value, error)]);
    }
    let layers = departures.len() / 2;
    let over = "dichotomies, projections and Gaussian vectors";
    Ok(Part::new(
        format!(
            "Greatest ratio, either way, of {theory} to simulated capacity, {group}, over {layers} layers"
        ),
        with_errors(&departures, End::Greatest, PARTS, over)?.map(f64::exp),
        Side::Below,
        MATCH,
        REASON,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claims::Verdict;
    use crate::claims::synthetic::verdict;

    /// Five layers whose capacity by theory is `ratio` times that by simulation, the last one by `last`; error of the simulation.
    fn table(ratio: f64, last: f64, joint: f64, error: f64) -> Vec<Capacities> {
        let mut table = Vec::new();
        for group in SIMULATED_GROUPS {
            for index in 0..5 {
                let simulated = (0.04 * (1.0 + index as f64)).ln();
                let ratio = if index == 4 { last } else { ratio };
                table.push(Capacities {
                    group,
                    layer: format!("conv{index}"),
                    simulated: Some((simulated, error)),
                    mean_field: (simulated + f64::ln(ratio), 0.01),
                    joint: Some((simulated + f64::ln(joint), 0.01)),
                });
            }
        }
        table
    }

    #[test]
    fn it_holds_where_theory_is_near_in_every_layer() {
        assert_eq!(
            verdict(parts(&table(1.02, 0.98, 1.01, 0.01))),
            Verdict::Holds
        );
    }

    #[test]
    fn it_fails_where_a_theory_is_off_in_one_layer_either_way() {
        for (last, joint, part) in [(1.3, 1.0, 0), (0.75, 1.0, 1), (1.0, 1.3, 2)] {
            let found = parts(&table(1.0, last, joint, 0.01)).unwrap();
            assert_eq!(found[part].verdict, Verdict::DoesNotHold, "{last} {joint}");
            assert_eq!(verdict(Ok(found)), Verdict::DoesNotHold);
        }
    }

    #[test]
    fn it_is_open_where_the_simulation_is_coarse() {
        assert_eq!(
            verdict(parts(&table(1.0, 1.0, 1.0, 0.1))),
            Verdict::Undecided
        );
        let mut unbounded = table(1.0, 1.0, 1.0, 0.01);
        unbounded[7].simulated = None;
        let error = parts(&unbounded).unwrap_err();
        assert!(matches!(error, Gap::Premise(_)), "{error}");
        assert!(error.to_string().contains("in conv2"), "{error}");
        let mut inseparable = table(1.0, 1.0, 1.0, 0.01);
        inseparable[3].joint = None;
        let error = parts(&inseparable).unwrap_err();
        assert!(matches!(error, Gap::Premise(_)), "{error}");
        assert!(error.to_string().contains("in conv3"), "{error}");
        assert!(parts(&[]).is_err());
    }

    #[test]
    fn the_statistic_is_the_ratio() {
        let found = parts(&table(1.0, 0.8, 1.05, 0.02)).unwrap();
        assert!((found[0].value - 1.25).abs() < 1e-9);
        assert!((found[2].value - 1.05).abs() < 1e-9);
    }
}
