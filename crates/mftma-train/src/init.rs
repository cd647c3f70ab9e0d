//! How parameters start.

use mftma_data::stream;
use rand_distr::{Distribution, Normal, Uniform};
use serde::{Deserialize, Serialize};

use crate::{Parameter, ParameterRole};

/// A named distribution of initial weights. Biases and shifts of normalisations start at 0, their scales at 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InitializationScheme {
    /// Normal, variance 2 / fan-in (He et al. 2015, DOI 10.1109/ICCV.2015.123, eq. 10). The default \[D\].
    #[default]
    HeNormal,
    /// Normal, variance 2 / fan-out (ibid., eq. 14).
    HeNormalFanOut,
    /// Uniform of variance 2 / fan-in.
    HeUniform,
    /// Normal, variance 2 / (fan-in + fan-out) (Glorot & Bengio 2010, PMLR 9:249).
    GlorotNormal,
    /// Uniform of variance 2 / (fan-in + fan-out) (ibid., eq. 16).
    GlorotUniform,
    /// Normal, variance 1 / fan-in (LeCun et al. 1998, DOI 10.1007/3-540-49430-8_2).
    LecunNormal,
    /// Uniform on ±1/√fan-in, that is variance 1 / (3 fan-in): what PyTorch starts convolutions and linear layers with.
    FanInUniform,
}

/// Initial weights: a scheme, times a scale.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Initialization {
    /// The distribution of the weights of convolutions and linear layers.
    #[serde(default)]
    pub scheme: InitializationScheme,
    /// Multiplies every weight of convolutions and linear layers; 1 by default. The study of gradients near
    /// initialization expands in this scale.
    #[serde(default = "one")]
    pub scale: f32,
}

fn one() -> f32 {
    1.0
}

impl Default for Initialization {
    fn default() -> Self {
        Initialization {
            scheme: InitializationScheme::default(),
            scale: one(),
        }
    }
}

impl Initialization {
    /// Fills one parameter. The draw depends on the seed and the parameter's name only; biases, shifts and scales are left
    /// as they are.
    ///
    /// Pass it to [`crate::NetworkSpec::build`].
    pub fn fill(&self, seed: u64, parameter: &mut Parameter) {
        if !matches!(
            parameter.role(),
            ParameterRole::ConvolutionWeight | ParameterRole::LinearWeight
        ) {
            return;
        }
        let (fan_in, fan_out) = (
            parameter.fan_in().max(1) as f64,
            parameter.fan_out().max(1) as f64,
        );
        use InitializationScheme::*;
        let variance = match self.scheme {
            HeNormal | HeUniform => 2.0 / fan_in,
            HeNormalFanOut => 2.0 / fan_out,
            GlorotNormal | GlorotUniform => 2.0 / (fan_in + fan_out),
            LecunNormal => 1.0 / fan_in,
            FanInUniform => 1.0 / (3.0 * fan_in),
        };
        let deviation = variance.sqrt() as f32;
        let mut rng = stream(
            seed,
            &format!("mftma-train/initialization/{}", parameter.name()),
        );
        let weights = parameter.values_mut();
        match self.scheme {
            HeUniform | GlorotUniform | FanInUniform => {
                let bound = 3f32.sqrt() * deviation;
                let uniform =
                    Uniform::new_inclusive(-bound, bound).expect("a finite bound above 0");
                weights
                    .iter_mut()
                    .for_each(|w| *w = self.scale * uniform.sample(&mut rng));
            }
            HeNormal | HeNormalFanOut | GlorotNormal | LecunNormal => {
                let normal = Normal::new(0.0f32, deviation).expect("a finite deviation above 0");
                weights
                    .iter_mut()
                    .for_each(|w| *w = self.scale * normal.sample(&mut rng));
            }
        }
    }

    /// What is wrong with the scale, if anything: `(field, value, remedy)`.
    pub(crate) fn fault(&self) -> Option<(&'static str, String, &'static str)> {
        (!(self.scale.is_finite() && self.scale >= 0.0)).then(|| {
            (
                "initialization.scale",
                self.scale.to_string(),
                "give a number ≥ 0; 1 for the scheme as published",
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(scheme: InitializationScheme, scale: f32, seed: u64) -> Vec<f32> {
        let mut parameter = Parameter::new(
            "conv1",
            "weight",
            ParameterRole::ConvolutionWeight,
            vec![64, 32, 3, 3],
        );
        Initialization { scheme, scale }.fill(seed, &mut parameter);
        parameter.values().to_vec()
    }

    #[test]
    fn schemes_have_their_variance() {
        use InitializationScheme::*;
        let (fan_in, fan_out) = (32.0 * 9.0, 64.0 * 9.0);
        for (scheme, variance, bound) in [
            (HeNormal, 2.0 / fan_in, f64::INFINITY),
            (HeNormalFanOut, 2.0 / fan_out, f64::INFINITY),
            (HeUniform, 2.0 / fan_in, (6.0f64 / fan_in).sqrt()),
            (GlorotNormal, 2.0 / (fan_in + fan_out), f64::INFINITY),
            (
                GlorotUniform,
                2.0 / (fan_in + fan_out),
                (6.0f64 / (fan_in + fan_out)).sqrt(),
            ),
            (LecunNormal, 1.0 / fan_in, f64::INFINITY),
            (FanInUniform, 1.0 / (3.0 * fan_in), fan_in.sqrt().recip()),
        ] {
            for scale in [1.0f32, 0.1] {
                let w = filled(scheme, scale, 5);
                let scale = f64::from(scale);
                let mean = w.iter().map(|&w| f64::from(w)).sum::<f64>() / w.len() as f64;
                let second = w.iter().map(|&w| f64::from(w).powi(2)).sum::<f64>() / w.len() as f64;
                // 18,432 draws: the relative standard error of a normal's second moment is 1 %.
                assert!(
                    (second / (variance * scale * scale) - 1.0).abs() < 0.05,
                    "{scheme:?}: {second}"
                );
                assert!(
                    mean.abs() < 4.0 * (second / w.len() as f64).sqrt(),
                    "{scheme:?}: mean {mean}"
                );
                assert!(
                    w.iter()
                        .all(|&w| f64::from(w).abs() <= bound * scale * 1.0001),
                    "{scheme:?}"
                );
            }
        }
    }

    #[test]
    fn draws_depend_on_seed_and_name_only() {
        let scheme = InitializationScheme::HeNormal;
        assert_eq!(filled(scheme, 1.0, 5), filled(scheme, 1.0, 5));
        assert_ne!(filled(scheme, 1.0, 5), filled(scheme, 1.0, 6));
        let mut other = Parameter::new(
            "conv2",
            "weight",
            ParameterRole::ConvolutionWeight,
            vec![64, 32, 3, 3],
        );
        Initialization::default().fill(5, &mut other);
        assert_ne!(filled(scheme, 1.0, 5), other.values());
        let mut gamma = Parameter::new("conv2", "bn.gamma", ParameterRole::Scale, vec![64]);
        Initialization { scheme, scale: 0.1 }.fill(5, &mut gamma);
        assert_eq!(gamma.values(), [1.0; 64]);
    }
}
