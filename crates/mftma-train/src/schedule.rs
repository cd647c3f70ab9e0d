//! Learning-rate schedules.

use serde::{Deserialize, Serialize};

/// How the learning rate goes on after the warm-up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Decay {
    /// The base rate throughout. The default: the nearest known settings of the paper's authors use one rate \[S\].
    Constant,
    /// Multiplied by `factor` at the start of each of the `epochs` (the first epoch of training is 1).
    Step {
        /// Epochs at whose start the rate drops, ascending.
        epochs: Vec<usize>,
        /// What the rate is multiplied by each time, in (0, 1].
        factor: f64,
    },
    /// Half a cosine from the base rate at the first step down to `floor` times it at the end of `epochs`, without
    /// restarts (Loshchilov & Hutter 2017, arXiv 1608.03983); it stays at the floor afterwards.
    Cosine {
        /// Epochs that the half-period lasts, counted from the start of training (warm-up included).
        epochs: usize,
        /// The rate at the end as a fraction of the base rate, in [0, 1].
        #[serde(default)]
        floor: f64,
    },
}

/// A learning-rate schedule: linear warm-up, then a [`Decay`]. Multiplies the base rate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// Epochs over which the rate rises linearly from 0 to the schedule's value; 0 (the default \[D\]) for none.
    #[serde(default)]
    pub warm_up_epochs: f64,
    /// What follows.
    pub decay: Decay,
}

impl Default for Schedule {
    fn default() -> Self {
        Schedule {
            warm_up_epochs: 0.0,
            decay: Decay::Constant,
        }
    }
}

impl Schedule {
    /// The factor on the base rate for one step.
    ///
    /// `epoch` counts from 1, `step` from 0 within the epoch, of `steps` steps an epoch. During warm-up the `k`-th step
    /// of training (from 0) takes `(k + 1) / warm-up steps`, so that no step has rate 0.
    pub fn factor(&self, epoch: usize, step: usize, steps: usize) -> f64 {
        let steps = steps.max(1) as f64;
        let begun = (epoch.max(1) - 1) as f64 + step as f64 / steps; // epochs of training behind this step
        let decay = match &self.decay {
            Decay::Constant => 1.0,
            Decay::Step { epochs, factor } => {
                factor.powi(epochs.iter().filter(|&&e| epoch >= e).count() as i32)
            }
            Decay::Cosine { epochs, floor } => {
                let t = (begun / *epochs as f64).min(1.0);
                floor + (1.0 - floor) * 0.5 * (1.0 + (std::f64::consts::PI * t).cos())
            }
        };
        let warm_up = if begun < self.warm_up_epochs {
            ((begun + 1.0 / steps) / self.warm_up_epochs).min(1.0)
        } else {
            1.0
        };
        decay * warm_up
    }

    /// What is wrong with the schedule, if anything: `(field, value, remedy)`.
    pub(crate) fn fault(&self) -> Option<(&'static str, String, &'static str)> {
        if !(self.warm_up_epochs.is_finite() && self.warm_up_epochs >= 0.0) {
            return Some((
                "schedule.warm_up_epochs",
                self.warm_up_epochs.to_string(),
                "give a number of epochs, 0 for no warm-up",
            ));
        }
        match &self.decay {
            Decay::Constant => None,
            Decay::Step { epochs, factor } => {
                if !(*factor > 0.0 && *factor <= 1.0) {
                    return Some((
                        "schedule.decay.factor",
                        factor.to_string(),
                        "give a factor in (0, 1]",
                    ));
                }
                if epochs.windows(2).any(|w| w[0] >= w[1]) {
                    return Some((
                        "schedule.decay.epochs",
                        format!("{epochs:?}"),
                        "list epochs in ascending order",
                    ));
                }
                None
            }
            Decay::Cosine { epochs, floor } => {
                if *epochs == 0 {
                    return Some((
                        "schedule.decay.epochs",
                        "0".into(),
                        "give at least one epoch",
                    ));
                }
                if !(0.0..=1.0).contains(floor) {
                    return Some((
                        "schedule.decay.floor",
                        floor.to_string(),
                        "give a fraction in [0, 1]",
                    ));
                }
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(schedule: &Schedule, expected: &[(usize, usize, f64)]) {
        for &(epoch, step, factor) in expected {
            let got = schedule.factor(epoch, step, 10);
            assert!(
                (got - factor).abs() < 1e-12,
                "{schedule:?} at epoch {epoch} step {step}: {got}, not {factor}"
            );
        }
    }

    #[test]
    fn factors_by_hand() {
        check(&Schedule::default(), &[(1, 0, 1.0), (900, 9, 1.0)]);
        let step = Decay::Step {
            epochs: vec![3, 5],
            factor: 0.1,
        };
        check(
            &Schedule {
                warm_up_epochs: 0.0,
                decay: step,
            },
            &[
                (1, 0, 1.0),
                (2, 9, 1.0),
                (3, 0, 0.1),
                (4, 9, 0.1),
                (5, 0, 0.01),
                (50, 0, 0.01),
            ],
        );
        let cosine = Decay::Cosine {
            epochs: 4,
            floor: 0.2,
        };
        check(
            &Schedule {
                warm_up_epochs: 0.0,
                decay: cosine,
            },
            &[(1, 0, 1.0), (3, 0, 0.6), (5, 0, 0.2), (70, 3, 0.2)],
        );
        check(
            &Schedule {
                warm_up_epochs: 2.0,
                decay: Decay::Constant,
            },
            &[(1, 0, 0.05), (1, 9, 0.5), (2, 9, 1.0), (3, 0, 1.0)],
        );
    }

    #[test]
    fn faults_are_named() {
        let with = |decay| Schedule {
            warm_up_epochs: 0.0,
            decay,
        };
        assert!(
            with(Decay::Step {
                epochs: vec![5, 3],
                factor: 0.1
            })
            .fault()
            .is_some()
        );
        assert!(
            with(Decay::Step {
                epochs: vec![3, 5],
                factor: 0.0
            })
            .fault()
            .is_some()
        );
        assert!(
            with(Decay::Cosine {
                epochs: 0,
                floor: 0.0
            })
            .fault()
            .is_some()
        );
        assert!(
            with(Decay::Cosine {
                epochs: 1,
                floor: 1.5
            })
            .fault()
            .is_some()
        );
        assert!(
            Schedule {
                warm_up_epochs: f64::NAN,
                decay: Decay::Constant
            }
            .fault()
            .is_some()
        );
        assert!(Schedule::default().fault().is_none());
    }
}
