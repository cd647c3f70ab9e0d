//! The paper's claims, eight of them, checked on every run: one file per claim, and one line in [`all`].
//!
//! A claim names the stages that it is judged on, reads their outputs ([`inputs`]), and needs nothing else: where they are
//! finished it is judged, whichever figures were asked for.
//!
//! A claim is split into *parts*, each a statistic with an interval, a side on which it should lie, and a threshold that
//! stands in the code with its reason, fixed before any run of record was looked at. The rule that turns parts into a
//! verdict is the same for all (`Finding::of`): a claim may fail as well as hold, and says so.

mod claim1;
mod claim2;
mod claim3;
mod claim4;
mod claim5;
mod claim6;
mod claim7;
mod claim8;
pub mod inputs;
pub(crate) mod statistics;
#[cfg(test)]
mod synthetic;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::study::Study;
use inputs::{ClassValue, Stages};
use statistics::{End, Estimate, over_classes, over_runs};

/// A claim of the paper.
pub trait Claim {
    /// Its number, from 1.
    fn number(&self) -> usize;

    /// Its name.
    fn title(&self) -> &'static str;

    /// What it states.
    fn statement(&self) -> &'static str;

    /// The stages whose outputs it is judged on, each after those it builds on.
    ///
    /// # Errors
    /// Settings that the profile does not allow.
    fn stages(&self, study: &Study<'_>) -> anyhow::Result<Stages>;

    /// Its parts, from the outputs of these stages, which are all finished.
    ///
    /// # Errors
    /// [`Gap`] where nothing can be said.
    fn parts(&self, study: &Study<'_>) -> Result<Vec<Part>, Gap>;
}

/// Why nothing can be said of a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gap {
    /// Values that it needs are not there, or too few.
    Missing(String),
    /// Every part has its values, but what the claim presupposes did not happen: nothing was memorized, say.
    ///
    /// Said only once all parts could be computed, so that it never hides a missing value.
    Premise(String),
}

impl std::fmt::Display for Gap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Missing(why) | Self::Premise(why) => f.write_str(why),
        }
    }
}

impl From<String> for Gap {
    fn from(why: String) -> Self {
        Self::Missing(why)
    }
}

impl From<anyhow::Error> for Gap {
    fn from(error: anyhow::Error) -> Self {
        Self::Missing(format!("{error:#}"))
    }
}

/// The claims, in the order of their numbers.
pub fn all() -> Vec<Box<dyn Claim>> {
    vec![
        Box::new(claim1::SharedFeaturesFirst),
        Box::new(claim2::LateMemorization),
        Box::new(claim3::RadiusAndDimension),
        Box::new(claim4::NoVanishingGradients),
        Box::new(claim5::RewindingRestores),
        Box::new(claim6::DoubleDescent),
        Box::new(claim7::SmallPermutedGradients),
        Box::new(claim8::TheoryMatchesSimulation),
    ]
}

/// The rule, for readers of the results.
pub const RULE: &str = "A part holds where its 95 % interval lies wholly on the wanted side of its threshold, and fails where an \
interval widened for the number of parts (Bonferroni) lies wholly on the other side. A claim holds where all its parts hold, does \
not hold where any part fails, and is undecided otherwise, or where what it needs was not computed. An interval over classes speaks of \
these networks and of other classes; what each run gives by itself, and an interval over runs, stand beside it and enter no verdict.";

/// What the results say of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// They support it.
    Holds,
    /// They contradict it.
    DoesNotHold,
    /// They can do neither.
    Undecided,
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Holds => "holds",
            Self::DoesNotHold => "does not hold",
            Self::Undecided => "undecided",
        })
    }
}

/// Where a statistic lies if the claim is right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Side {
    /// Above the threshold.
    Above,
    /// Below it.
    Below,
}

/// Relative difference up to which a value agrees with the published one \[D\]: between the figure's reading errors (1 to 2 % of a ratio)
/// and what a reader would call another size.
const AGREES: f64 = 0.1;

/// How a value was measured that stands beside a published one.
pub(crate) const BY_REFERENCE: &str = "by the conventions of the reference";

/// A part's statistic as the paper's figure has it, beside the verdict and no part of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Published {
    /// The statistic, where it is not the part's own: the figure may give fewer points.
    pub statistic: Option<String>,
    /// Its value in the figure.
    pub value: f64,
    /// Ours.
    pub ours: f64,
    /// Our 95 % interval.
    pub interval: [f64; 2],
    /// Ours over the published value, less 1.
    pub relative_difference: f64,
    /// Whether our interval contains the published value, or ours differs from it by a tenth at most.
    pub agrees: bool,
}

impl Published {
    fn new(statistic: Option<String>, value: f64, ours: f64, interval: [f64; 2]) -> Self {
        let relative_difference = ours / value - 1.0;
        let within = interval[0] <= value && value <= interval[1];
        Self {
            statistic,
            value,
            ours,
            interval,
            relative_difference,
            agrees: within || relative_difference.abs() <= AGREES,
        }
    }
}

/// One part of a claim: a statistic and what it should be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// The statistic, in words, with its unit.
    pub statistic: String,
    /// Its value.
    pub value: f64,
    /// Its 95 % interval.
    pub interval: [f64; 2],
    /// Its interval at the coverage at which all parts of the claim hold at once.
    pub wide_interval: [f64; 2],
    /// What the intervals cover.
    pub over: String,
    /// Where it should lie.
    pub wanted: Side,
    /// Of what.
    pub threshold: f64,
    /// Why this threshold.
    pub reason: String,
    /// What follows.
    pub verdict: Verdict,
    /// The same run by run, where there are several and the intervals cover something else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runs: Option<Runs>,
    /// The paper's value, where one of its figures has it for the same setting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub published: Option<Published>,
}

/// A part's statistic in each run by itself, beside the verdict and no part of it: an interval over classes says nothing of another network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Runs {
    /// Its values, in the order of seeds.
    pub values: Vec<f64>,
    /// Student's 95 % interval of their mean.
    pub interval: [f64; 2],
}

impl Part {
    fn new(
        statistic: impl Into<String>,
        estimate: Estimate,
        wanted: Side,
        threshold: f64,
        reason: &str,
    ) -> Self {
        let mut part = Self {
            statistic: statistic.into(),
            value: estimate.value,
            interval: estimate.interval,
            wide_interval: estimate.wide,
            over: estimate.over,
            wanted,
            threshold,
            reason: reason.into(),
            verdict: Verdict::Undecided,
            runs: None,
            published: None,
        };
        part.verdict = part.judge();
        part
    }

    /// Beside it the value of the same statistic in the paper's figure, where there is one.
    fn beside(mut self, published: Option<f64>) -> Self {
        self.published =
            published.map(|value| Published::new(None, value, self.value, self.interval));
        self
    }

    /// Beside it another statistic, of the points that the paper's figure has: its value there, and ours.
    fn beside_another(mut self, statistic: impl Into<String>, value: f64, ours: &Estimate) -> Self {
        let statistic = Some(statistic.into());
        self.published = Some(Published::new(statistic, value, ours.value, ours.interval));
        self
    }

    /// The verdict that follows from the numbers.
    pub fn judge(&self) -> Verdict {
        let (holds, fails) = match self.wanted {
            Side::Above => (
                self.interval[0] > self.threshold,
                self.wide_interval[1] < self.threshold,
            ),
            Side::Below => (
                self.interval[1] < self.threshold,
                self.wide_interval[0] > self.threshold,
            ),
        };
        match (holds, fails) {
            (true, _) => Verdict::Holds,
            (_, true) => Verdict::DoesNotHold,
            _ => Verdict::Undecided,
        }
    }
}

/// The parts on the classes of all runs, and beside each what it is on those of one run alone.
fn run_by_run(
    classes: &[ClassValue],
    parts: impl Fn(&[ClassValue]) -> Result<Vec<Part>, Gap>,
) -> Result<Vec<Part>, Gap> {
    let mut found = parts(classes)?;
    let seeds: BTreeSet<u64> = classes.iter().map(|value| value.seed).collect();
    if seeds.len() < 2 {
        return Ok(found);
    }
    let mut of_runs = Vec::new();
    for seed in seeds {
        let of_run = classes.iter().filter(|value| value.seed == seed);
        of_runs.push(parts(&of_run.cloned().collect::<Vec<_>>())?);
    }
    for (index, part) in found.iter_mut().enumerate() {
        let values: Vec<f64> = of_runs.iter().map(|parts| parts[index].value).collect();
        let interval = over_runs(std::slice::from_ref(&values), End::Least, 1)?.interval;
        part.runs = Some(Runs { values, interval });
    }
    Ok(found)
}

/// Beside a part about the final layers how the figure's values change there from the best to the last epoch: `change` as
/// [`inputs::Beside::late_change`] gives it, upwards by a `sign` of 1.
fn beside_late_change(
    part: Part,
    change: Option<(f64, Vec<f64>)>,
    sign: f64,
) -> Result<Part, String> {
    let Some((published, ours)) = change else {
        return Ok(part);
    };
    let ours: Vec<f64> = ours.iter().map(|change| sign * change).collect();
    let ours = over_classes(&[ours], End::Least, 1)?.map(f64::exp);
    let statistic = format!("the same from the best to the last epoch, {BY_REFERENCE}");
    Ok(part.beside_another(statistic, (sign * published).exp(), &ours))
}

/// What was found of one claim.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Finding {
    /// Number of the claim, from 1.
    pub number: usize,
    /// Its name.
    pub title: String,
    /// What it states.
    pub statement: String,
    /// The verdict.
    pub verdict: Verdict,
    /// Why nothing could be said, where that is so.
    pub reason: Option<String>,
    /// Its parts; none where nothing could be said.
    pub parts: Vec<Part>,
}

impl Finding {
    fn of(claim: &dyn Claim, parts: Result<Vec<Part>, Gap>) -> Self {
        let (parts, reason) = match parts {
            Ok(parts) => (parts, None),
            Err(gap) => (Vec::new(), Some(gap.to_string())),
        };
        Self {
            number: claim.number(),
            title: claim.title().into(),
            statement: claim.statement().into(),
            verdict: verdict_of(&parts),
            reason,
            parts,
        }
    }

    /// The verdict that follows from the parts.
    pub fn judge(&self) -> Verdict {
        verdict_of(&self.parts)
    }
}

/// The verdict that follows from parts.
///
/// All parts must hold for the claim to hold, so the chance of a false `holds` is at most that of one part. One
/// failing part is enough for `does not hold`, so there each part's interval is widened for their number.
fn verdict_of(parts: &[Part]) -> Verdict {
    let all = |verdict| parts.iter().all(|part| part.verdict == verdict);
    let any = |verdict| parts.iter().any(|part| part.verdict == verdict);
    if any(Verdict::DoesNotHold) {
        Verdict::DoesNotHold
    } else if !parts.is_empty() && all(Verdict::Holds) {
        Verdict::Holds
    } else {
        Verdict::Undecided
    }
}

/// Checks all claims on what is finished.
pub fn check(study: &Study<'_>) -> Vec<Finding> {
    let claims = all();
    let judged = claims.iter().map(|claim| {
        let parts = judge(claim.as_ref(), study);
        Finding::of(claim.as_ref(), parts)
    });
    judged.collect()
}

/// The parts of a claim, if the stages that it needs are finished.
///
/// # Errors
/// [`Gap`] where they are not, or nothing can be said.
pub fn judge(claim: &dyn Claim, study: &Study<'_>) -> Result<Vec<Part>, Gap> {
    let stages = claim.stages(study)?;
    let mut unfinished = stages.iter().filter_map(|stage| {
        let status = study.cache.status(stage.as_ref());
        status.must_run().then_some((stage, status))
    });
    if let Some((stage, status)) = unfinished.next() {
        return Err(Gap::Missing(format!(
            "{} of its {} stages are not finished, the first {} {} ({status}): `cargo xtask reproduce` without the name of a figure \
             computes them",
            1 + unfinished.count(),
            stages.len(),
            stage.kind(),
            stage.label(),
        )));
    }
    claim.parts(study)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::cache::Cache;
    use crate::experiment::Experiments;
    use crate::profile::Profile;
    use crate::progress::Progress;

    fn part(interval: [f64; 2], wide: [f64; 2], wanted: Side) -> Part {
        let estimate = Estimate {
            value: (interval[0] + interval[1]) / 2.0,
            interval,
            wide,
            over: "9 runs".into(),
        };
        Part::new("x", estimate, wanted, 1.0, "for the test")
    }

    #[test]
    fn parts_hold_fail_or_stay_open() {
        use Side::{Above, Below};
        use Verdict::{DoesNotHold, Holds, Undecided};
        for (interval, wide, wanted, verdict) in [
            ([1.1, 1.2], [0.9, 1.4], Above, Holds),
            ([0.8, 1.2], [0.7, 1.4], Above, Undecided),
            ([0.8, 0.9], [0.7, 1.1], Above, Undecided),
            ([0.8, 0.9], [0.7, 0.95], Above, DoesNotHold),
            ([0.8, 0.9], [0.7, 1.1], Below, Holds),
            ([1.1, 1.2], [0.9, 1.4], Below, Undecided),
            ([1.1, 1.2], [1.05, 1.4], Below, DoesNotHold),
            // Exactly on the threshold is neither.
            ([1.0, 1.0], [1.0, 1.0], Above, Undecided),
        ] {
            assert_eq!(
                part(interval, wide, wanted).verdict,
                verdict,
                "{interval:?}"
            );
        }
    }

    #[test]
    fn the_published_value_stands_beside_the_verdict() {
        let part = part([0.9, 1.3], [0.9, 1.3], Side::Above);
        for (value, agrees) in [(1.25, true), (1.05, true), (1.35, false), (0.8, false)] {
            let beside = part.clone().beside(Some(value)).published.unwrap();
            assert_eq!(beside.agrees, agrees, "{value}");
            assert!((beside.relative_difference - (1.1 / value - 1.0)).abs() < 1e-12);
            assert_eq!(part.clone().beside(Some(value)).judge(), part.verdict);
        }
        // Outside the interval, but within a tenth.
        assert!(Published::new(None, 1.0, 1.08, [1.07, 1.09]).agrees);
        assert!(part.clone().beside(None).published.is_none());
        let text = serde_json::to_string(&part).unwrap();
        assert!(!text.contains("published"), "{text}");
        assert_eq!(serde_json::from_str::<Part>(&text).unwrap(), part);
    }

    #[test]
    fn runs_stand_beside_the_verdict_by_themselves() {
        use inputs::Beside;
        let one = Beside::published_with([1.0; 3]).classes;
        let mean = |classes: &[ClassValue]| {
            let values: Vec<f64> = classes.iter().map(|value| value.capacity).collect();
            let mut found = part([0.9, 1.3], [0.9, 1.3], Side::Above);
            found.value = statistics::mean(&values);
            Ok(vec![found])
        };
        assert_eq!(run_by_run(&one, mean).unwrap()[0].runs, None);
        let mut three = Vec::new();
        for (seed, factor) in [(4, 1.0), (2, 2.0), (9, 3.0)] {
            three.extend(one.iter().map(|value| ClassValue {
                seed,
                capacity: factor * value.capacity,
                ..value.clone()
            }));
        }
        let found = run_by_run(&three, mean).unwrap().remove(0);
        let runs = found.runs.unwrap();
        for (value, wanted) in runs.values.iter().zip([0.08, 0.04, 0.12]) {
            assert!((value - wanted).abs() < 1e-12, "{runs:?}");
        }
        let half = 4.302_653 * 0.04 / 3f64.sqrt();
        assert!((runs.interval[0] - (0.08 - half)).abs() < 1e-6);
        assert!((found.value - 0.08).abs() < 1e-12);
        assert_eq!(
            found.verdict,
            part([0.9, 1.3], [0.9, 1.3], Side::Above).verdict
        );
    }

    #[test]
    fn one_failing_part_fails_the_claim_and_an_open_one_leaves_it_open() {
        let holds = part([1.1, 1.2], [1.1, 1.2], Side::Above);
        let open = part([0.9, 1.2], [0.9, 1.2], Side::Above);
        let fails = part([0.1, 0.2], [0.1, 0.2], Side::Above);
        let of = |parts: &[&Part]| {
            let parts: Vec<Part> = parts.iter().map(|&part| part.clone()).collect();
            verdict_of(&parts)
        };
        assert_eq!(of(&[&holds, &holds]), Verdict::Holds);
        assert_eq!(of(&[&holds, &open]), Verdict::Undecided);
        assert_eq!(of(&[&holds, &open, &fails]), Verdict::DoesNotHold);
        assert_eq!(of(&[]), Verdict::Undecided);
    }

    #[test]
    fn claims_are_numbered_and_what_was_not_computed_is_undecided_with_the_reason() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path().join("cache"), Progress::silent());
        let (name, profile) = Profile::load("smoke").unwrap();
        let study = Study::new(&name, &profile, Experiments::new(None), &cache).unwrap();
        let findings = check(&study);
        assert_eq!(findings.len(), 8);
        for (index, finding) in findings.iter().enumerate() {
            assert_eq!(finding.number, index + 1);
            assert_eq!(finding.verdict, Verdict::Undecided);
            let reason = finding.reason.as_deref().unwrap();
            assert!(reason.contains("stages are not finished"), "{reason}");
        }
    }

    /// Each claim with a cache of its own: what it does not name is not there.
    #[test]
    fn every_part_of_every_claim_has_its_values_in_the_stages_it_names() {
        let changes = [
            ("data.classes", 6.into()),
            ("data.train_per_class", 24.into()),
            ("data.test_per_class", 8.into()),
            ("network.width", 2.into()),
            ("training.stop.max_epochs", 3.into()),
            ("training.batch_size", 16.into()),
            ("geometry.epochs", vec![0, 2, 3].into()),
            ("geometry.points", 6.into()),
            ("simulation.manifolds", 6.into()),
            ("simulation.points", 6.into()),
            ("geometry.gaussian_vectors", 20.into()),
        ];
        let (name, mut profile) = Profile::load_with("smoke", &changes).unwrap();
        profile.double_descent.widths = vec![1, 2, 3, 4];
        profile.double_descent.runs = 3;
        let mut judged = 0;
        for claim in all() {
            let folder = tempfile::tempdir().unwrap();
            let cache = Cache::new(folder.path().join("cache"), Progress::silent());
            let study = Study::new(&name, &profile, Experiments::new(None), &cache).unwrap();
            study
                .finish(|| claim.stages(&study), false, &mut HashSet::new())
                .unwrap();
            match judge(claim.as_ref(), &study) {
                Ok(parts) => {
                    assert!(!parts.is_empty(), "claim {} has no parts", claim.number());
                    judged += 1;
                }
                // So small a network may memorize nothing: claims say so only when all that their parts may need was there.
                Err(Gap::Premise(_)) => {}
                Err(Gap::Missing(why)) => panic!("claim {}: {why}", claim.number()),
            }
        }
        assert!(judged >= 3, "only {judged} claims got parts");
    }
}
