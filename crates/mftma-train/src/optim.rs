//! Optimisers on named flat buffers.
//!
//! An optimiser knows nothing of networks: it holds, for each parameter buffer, as many state buffers of the same
//! length as its rule needs, under stable names, and applies one update at a time. Every update is element by element,
//! so its bytes do not depend on the number of threads.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::TrainError;

/// Elements updated by one task: large enough that small networks stay on one thread.
const BLOCK: usize = 1 << 16;

/// Which update rule, with its constants.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum OptimizerSettings {
    /// Stochastic gradient descent with (heavy-ball) momentum: `v ← μ v + g`, `w ← w − η v`, where
    /// `g` is the gradient plus `weight_decay · w` (Sutskever et al. 2013, PMLR 28:1139, in the form that keeps the rate out of `v`).
    Sgd {
        /// Momentum μ in [0, 1); 0.9 by default \[S\].
        #[serde(default = "defaults::momentum")]
        momentum: f32,
        /// Coefficient of `½‖w‖²`; 0 by default: the paper trains without regularisation \[P\].
        #[serde(default)]
        weight_decay: f32,
    },
    /// Adam (Kingma & Ba 2015, arXiv 1412.6980, algorithm 1) with bias-corrected moments. `weight_decay · w` is added to the
    /// gradient (the original coupling, not AdamW).
    Adam {
        /// Decay of the first moment, in [0, 1); 0.9 by default (the authors' value).
        #[serde(default = "defaults::beta1")]
        beta1: f32,
        /// Decay of the second moment, in [0, 1); 0.999 by default (the authors' value).
        #[serde(default = "defaults::beta2")]
        beta2: f32,
        /// Added to the root of the second moment; 1e-8 by default (the authors' value).
        #[serde(default = "defaults::epsilon")]
        epsilon: f32,
        /// Coefficient of `½‖w‖²`; 0 by default \[P\].
        #[serde(default)]
        weight_decay: f32,
    },
}

mod defaults {
    pub(super) fn momentum() -> f32 {
        0.9
    }
    pub(super) fn beta1() -> f32 {
        0.9
    }
    pub(super) fn beta2() -> f32 {
        0.999
    }
    pub(super) fn epsilon() -> f32 {
        1e-8
    }
}

impl Default for OptimizerSettings {
    /// SGD with momentum 0.9 \[S\] and no weight decay \[P\].
    fn default() -> Self {
        OptimizerSettings::Sgd {
            momentum: defaults::momentum(),
            weight_decay: 0.0,
        }
    }
}

impl OptimizerSettings {
    /// Coefficient of `½‖w‖²`.
    pub fn weight_decay(&self) -> f32 {
        match self {
            OptimizerSettings::Sgd { weight_decay, .. }
            | OptimizerSettings::Adam { weight_decay, .. } => *weight_decay,
        }
    }

    /// Sets the coefficient of `½‖w‖²`.
    pub fn set_weight_decay(&mut self, to: f32) {
        match self {
            OptimizerSettings::Sgd { weight_decay, .. }
            | OptimizerSettings::Adam { weight_decay, .. } => *weight_decay = to,
        }
    }

    /// Names of the state buffers that the rule keeps for every parameter.
    pub fn slots(&self) -> &'static [&'static str] {
        match self {
            OptimizerSettings::Sgd { .. } => &["momentum"],
            OptimizerSettings::Adam { .. } => &["first_moment", "second_moment"],
        }
    }

    /// What is wrong with the constants, if anything: `(field, value, remedy)`.
    pub(crate) fn fault(&self) -> Option<(&'static str, String, &'static str)> {
        let fraction = |x: f32| (0.0..1.0).contains(&x);
        let decay = match *self {
            OptimizerSettings::Sgd {
                momentum,
                weight_decay,
            } => {
                if !fraction(momentum) {
                    return Some((
                        "optimizer.momentum",
                        momentum.to_string(),
                        "give a number in [0, 1)",
                    ));
                }
                weight_decay
            }
            OptimizerSettings::Adam {
                beta1,
                beta2,
                epsilon,
                weight_decay,
            } => {
                if !fraction(beta1) {
                    return Some((
                        "optimizer.beta1",
                        beta1.to_string(),
                        "give a number in [0, 1)",
                    ));
                }
                if !fraction(beta2) {
                    return Some((
                        "optimizer.beta2",
                        beta2.to_string(),
                        "give a number in [0, 1)",
                    ));
                }
                if !(epsilon.is_finite() && epsilon > 0.0) {
                    return Some((
                        "optimizer.epsilon",
                        epsilon.to_string(),
                        "give a small positive number",
                    ));
                }
                weight_decay
            }
        };
        (!(decay.is_finite() && decay >= 0.0)).then(|| {
            (
                "optimizer.weight_decay",
                decay.to_string(),
                "give a number ≥ 0; 0 for no regularisation",
            )
        })
    }
}

/// One state buffer of an optimiser: `slot` of the parameter `parameter`.
#[derive(Clone, Debug, PartialEq)]
struct Slots {
    parameter: String,
    len: usize,
    /// One buffer for each name in [`OptimizerSettings::slots`], each as long as the parameter.
    buffers: Vec<Vec<f32>>,
}

/// An optimiser's rule and state.
#[derive(Clone, Debug, PartialEq)]
pub struct Optimizer {
    settings: OptimizerSettings,
    steps: u64,
    parameters: Vec<Slots>,
}

impl Optimizer {
    /// An optimiser at rest (all state 0) for parameters of the given names and lengths, in the order in which
    /// [`Optimizer::update`] will be told them.
    pub fn new<'a>(
        settings: OptimizerSettings,
        parameters: impl IntoIterator<Item = (&'a str, usize)>,
    ) -> Self {
        let n = settings.slots().len();
        let parameters = parameters
            .into_iter()
            .map(|(name, len)| Slots {
                parameter: name.to_string(),
                len,
                buffers: vec![vec![0.0; len]; n],
            })
            .collect();
        Optimizer {
            settings,
            steps: 0,
            parameters,
        }
    }

    /// Steps begun so far.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Begins a step; call once before the updates of all parameters.
    pub fn begin_step(&mut self) {
        self.steps += 1;
    }

    /// Updates parameter `index` in place by its gradient at rate `rate`.
    ///
    /// # Panics
    /// If no step was begun, or if `weights` or `gradient` differ in length from what [`Optimizer::new`] was told: a
    /// mistake of the caller, not of any input.
    pub fn update(&mut self, index: usize, rate: f32, weights: &mut [f32], gradient: &[f32]) {
        let Slots {
            parameter,
            len,
            buffers,
        } = &mut self.parameters[index];
        assert!(self.steps > 0, "begin_step before update");
        assert!(
            weights.len() == *len && gradient.len() == *len,
            "{parameter} has {len} elements"
        );
        match self.settings {
            OptimizerSettings::Sgd {
                momentum,
                weight_decay,
            } => {
                let velocity = &mut buffers[0];
                (
                    weights.par_chunks_mut(BLOCK),
                    gradient.par_chunks(BLOCK),
                    velocity.par_chunks_mut(BLOCK),
                )
                    .into_par_iter()
                    .for_each(|(weights, gradient, velocity)| {
                        for ((w, &g), v) in weights.iter_mut().zip(gradient).zip(velocity) {
                            *v = momentum * *v + (g + weight_decay * *w);
                            *w -= rate * *v;
                        }
                    });
            }
            OptimizerSettings::Adam {
                beta1,
                beta2,
                epsilon,
                weight_decay,
            } => {
                let (first, second) = buffers.split_at_mut(1);
                let steps = self.steps as f64;
                let first_bias = (1.0 - f64::from(beta1).powf(steps)) as f32;
                let second_bias = (1.0 - f64::from(beta2).powf(steps)) as f32;
                (
                    weights.par_chunks_mut(BLOCK),
                    gradient.par_chunks(BLOCK),
                    first[0].par_chunks_mut(BLOCK),
                    second[0].par_chunks_mut(BLOCK),
                )
                    .into_par_iter()
                    .for_each(|(weights, gradient, first, second)| {
                        for (((w, &g), m), v) in
                            weights.iter_mut().zip(gradient).zip(first).zip(second)
                        {
                            let g = g + weight_decay * *w;
                            *m = beta1 * *m + (1.0 - beta1) * g;
                            *v = beta2 * *v + (1.0 - beta2) * g * g;
                            *w -= rate * (*m / first_bias) / ((*v / second_bias).sqrt() + epsilon);
                        }
                    });
            }
        }
    }

    /// The state as `(slot, parameter, buffer)`, in a fixed order.
    pub fn state(&self) -> impl Iterator<Item = (&'static str, &str, &[f32])> {
        self.parameters.iter().flat_map(|p| {
            let slots = self.settings.slots().iter();
            slots
                .zip(&p.buffers)
                .map(|(&slot, buffer)| (slot, p.parameter.as_str(), buffer.as_slice()))
        })
    }

    /// Puts a stored state back: `steps` begun, and for each slot and parameter the buffer that `find` gives.
    ///
    /// # Errors
    /// Whatever `find` gives for a buffer that it does not have.
    pub fn restore(
        &mut self,
        steps: u64,
        mut find: impl FnMut(&str, &str, &mut [f32]) -> Result<(), TrainError>,
    ) -> Result<(), TrainError> {
        for p in &mut self.parameters {
            for (slot, buffer) in self.settings.slots().iter().zip(&mut p.buffers) {
                find(slot, &p.parameter, buffer)?;
            }
        }
        self.steps = steps;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs `steps` steps on the quadratic ½ Σ aᵢ wᵢ² and returns the weights.
    fn descend(settings: OptimizerSettings, rate: f32, steps: usize) -> Vec<f32> {
        let a = [1.0f32, 10.0, 0.1];
        let mut w = vec![1.0f32, -2.0, 3.0];
        let mut optimizer = Optimizer::new(settings, [("w", 3)]);
        for _ in 0..steps {
            let g: Vec<f32> = w.iter().zip(a).map(|(w, a)| a * w).collect();
            optimizer.begin_step();
            optimizer.update(0, rate, &mut w, &g);
        }
        w
    }

    #[test]
    fn sgd_follows_its_recurrence() {
        // The same recurrence for each coordinate in f64, written out.
        let got = descend(
            OptimizerSettings::Sgd {
                momentum: 0.9,
                weight_decay: 0.01,
            },
            0.05,
            20,
        );
        for ((a, mut w), got) in [(1.0f64, 1.0f64), (10.0, -2.0), (0.1, 3.0)]
            .into_iter()
            .zip(got)
        {
            let mut v = 0.0;
            for _ in 0..20 {
                v = 0.9 * v + a * w + 0.01 * w;
                w -= 0.05 * v;
            }
            assert!((w - f64::from(got)).abs() < 1e-5, "{w} {got}");
        }
    }

    #[test]
    fn adam_follows_its_recurrence_and_starts_at_full_rate() {
        let adam = OptimizerSettings::Adam {
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            weight_decay: 0.0,
        };
        // With bias correction the first step is the rate times the sign of the gradient.
        for (got, expected) in descend(adam.clone(), 0.1, 1)
            .into_iter()
            .zip([0.9f32, -1.9, 2.9])
        {
            assert!((got - expected).abs() < 1e-6, "{got} {expected}");
        }
        let got = descend(adam, 0.1, 15);
        for ((a, mut w), got) in [(1.0f64, 1.0f64), (10.0, -2.0), (0.1, 3.0)]
            .into_iter()
            .zip(got)
        {
            let (mut m, mut v) = (0.0f64, 0.0f64);
            for t in 1..=15 {
                let g = a * w;
                m = 0.9 * m + 0.1 * g;
                v = 0.999 * v + 0.001 * g * g;
                w -= 0.1 * (m / (1.0 - 0.9f64.powi(t)))
                    / ((v / (1.0 - 0.999f64.powi(t))).sqrt() + 1e-8);
            }
            assert!((w - f64::from(got)).abs() < 1e-4, "{w} {got}");
        }
    }

    #[test]
    fn restored_state_continues_with_the_same_bytes() {
        let settings = OptimizerSettings::default();
        let mut a = Optimizer::new(settings.clone(), [("x", 4), ("y", 1)]);
        let mut w = [1.0f32, 2.0, 3.0, 4.0];
        a.begin_step();
        a.update(0, 0.1, &mut w, &[0.5, 0.25, -1.0, 2.0]);
        let stored: Vec<(String, String, Vec<f32>)> = a
            .state()
            .map(|(s, p, b)| (s.into(), p.into(), b.to_vec()))
            .collect();
        let mut b = Optimizer::new(settings, [("x", 4), ("y", 1)]);
        b.restore(a.steps(), |slot, name, buffer| {
            let (_, _, stored) = stored
                .iter()
                .find(|(s, p, _)| s == slot && p == name)
                .expect("stored");
            buffer.copy_from_slice(stored);
            Ok(())
        })
        .expect("restores");
        assert_eq!(a, b);
    }

    #[test]
    fn faults_are_named() {
        let bad = [
            OptimizerSettings::Sgd {
                momentum: 1.0,
                weight_decay: 0.0,
            },
            OptimizerSettings::Sgd {
                momentum: 0.9,
                weight_decay: -1.0,
            },
            OptimizerSettings::Adam {
                beta1: f32::NAN,
                beta2: 0.999,
                epsilon: 1e-8,
                weight_decay: 0.0,
            },
            OptimizerSettings::Adam {
                beta1: 0.9,
                beta2: 1.0,
                epsilon: 1e-8,
                weight_decay: 0.0,
            },
            OptimizerSettings::Adam {
                beta1: 0.9,
                beta2: 0.999,
                epsilon: 0.0,
                weight_decay: 0.0,
            },
        ];
        for settings in bad {
            assert!(settings.fault().is_some(), "{settings:?}");
        }
        assert!(OptimizerSettings::default().fault().is_none());
    }
}
