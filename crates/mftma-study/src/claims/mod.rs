//! The paper's seven claims, checked on every run: one file per claim.
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
mod inputs;
mod statistics;
#[cfg(test)]
mod synthetic;

use serde::{Deserialize, Serialize};

pub use inputs::Inputs;
use statistics::Estimate;

/// The rule, for readers of the results.
pub const RULE: &str = "A part holds where its 95 % interval lies wholly on the wanted side of its threshold, and fails where an \
interval widened for the number of parts (Bonferroni) lies wholly on the other side. A claim holds where all its parts hold, does \
not hold where any part fails, and is undecided otherwise, or where what it needs was not computed.";

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
        };
        part.verdict = part.judge();
        part
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
    fn of(number: usize, title: &str, statement: &str, parts: Result<Vec<Part>, String>) -> Self {
        let (parts, reason) = match parts {
            Ok(parts) => (parts, None),
            Err(reason) => (Vec::new(), Some(reason)),
        };
        let mut finding = Self {
            number,
            title: title.into(),
            statement: statement.into(),
            verdict: Verdict::Undecided,
            reason,
            parts,
        };
        finding.verdict = finding.judge();
        finding
    }

    /// The verdict that follows from the parts.
    ///
    /// All parts must hold for the claim to hold, so the chance of a false `holds` is at most that of one part. One
    /// failing part is enough for `does not hold`, so there each part's interval is widened for their number.
    pub fn judge(&self) -> Verdict {
        let all = |verdict| self.parts.iter().all(|part| part.verdict == verdict);
        let any = |verdict| self.parts.iter().any(|part| part.verdict == verdict);
        if any(Verdict::DoesNotHold) {
            Verdict::DoesNotHold
        } else if !self.parts.is_empty() && all(Verdict::Holds) {
            Verdict::Holds
        } else {
            Verdict::Undecided
        }
    }
}

/// Checks all claims.
pub fn check(inputs: &Inputs) -> Vec<Finding> {
    let geometry = || {
        let accuracy = inputs.accuracy.as_deref().map_err(Clone::clone)?;
        Ok((accuracy, inputs.classes.as_deref().map_err(Clone::clone)?))
    };
    let rewinding = || {
        let accuracy = inputs.accuracy.as_deref().map_err(Clone::clone)?;
        Ok((accuracy, inputs.rewinding.as_deref().map_err(Clone::clone)?))
    };
    let widths = || inputs.widths.as_deref().map_err(Clone::clone);
    let gradients = || inputs.gradients.as_deref().map_err(Clone::clone);
    vec![
        Finding::of(
            1,
            "Shared features first",
            "In every layer and early epochs, the capacity of unpermuted and restored manifolds rises; that of permuted manifolds \
             does not.",
            geometry().and_then(|(accuracy, classes)| claim1::parts(accuracy, classes)),
        ),
        Finding::of(
            2,
            "Memorization is late in depth",
            "The capacity of permuted manifolds rises in the final layers only.",
            geometry().and_then(|(accuracy, classes)| claim2::parts(accuracy, classes)),
        ),
        Finding::of(
            3,
            "Memorization works through radius and dimension",
            "In the final layers the radius and the dimension of permuted manifolds fall over epochs; early layers change little.",
            geometry().and_then(|(accuracy, classes)| claim3::parts(accuracy, classes)),
        ),
        Finding::of(
            4,
            "Not vanishing gradients",
            "The gradients of early layers are not small against those of late layers while this structure forms.",
            gradients().and_then(claim4::parts),
        ),
        Finding::of(
            5,
            "Rewinding restores generalization",
            "Rewinding the last layers to an epoch before memorization raises test accuracy; rewinding early layers does not.",
            rewinding().and_then(|(accuracy, rewound)| claim5::parts(accuracy, rewound)),
        ),
        Finding::of(
            6,
            "Double descent",
            "Over width, test error falls, rises and falls again; dimension peaks with it; radius and centre correlation are monotonic.",
            widths().and_then(claim6::parts),
        ),
        Finding::of(
            7,
            "Gradients of permuted examples start small",
            "Near initialization the gradient of permuted examples is much smaller per example than that of unpermuted ones, because \
             the class means of permuted examples coincide.",
            gradients().and_then(claim7::parts),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn one_failing_part_fails_the_claim_and_an_open_one_leaves_it_open() {
        let holds = part([1.1, 1.2], [1.1, 1.2], Side::Above);
        let open = part([0.9, 1.2], [0.9, 1.2], Side::Above);
        let fails = part([0.1, 0.2], [0.1, 0.2], Side::Above);
        let of = |parts: &[&Part]| {
            let parts = parts.iter().map(|&part| part.clone()).collect();
            Finding::of(1, "", "", Ok(parts)).verdict
        };
        assert_eq!(of(&[&holds, &holds]), Verdict::Holds);
        assert_eq!(of(&[&holds, &open]), Verdict::Undecided);
        assert_eq!(of(&[&holds, &open, &fails]), Verdict::DoesNotHold);
        assert_eq!(of(&[]), Verdict::Undecided);
    }

    #[test]
    fn what_was_not_computed_is_undecided_with_the_reason() {
        fn missing<T>() -> Result<T, String> {
            Err("figure 9 was not made".to_owned())
        }
        let inputs = Inputs {
            accuracy: missing(),
            classes: Err("no geometry".into()),
            rewinding: missing(),
            widths: missing(),
            gradients: missing(),
        };
        let findings = check(&inputs);
        assert_eq!(findings.len(), 7);
        for (index, finding) in findings.iter().enumerate() {
            assert_eq!(finding.number, index + 1);
            assert_eq!(finding.verdict, Verdict::Undecided);
            assert_eq!(finding.reason.as_deref(), Some("figure 9 was not made"));
        }
    }
}
