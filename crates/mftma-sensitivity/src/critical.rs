//! Critical samples: is there another answer close by?

use mftma_train::{Network, StatisticsMode, predicted, softmax};
use ndarray::{Array1, ArrayView4, Axis};
use rand_distr::{Distribution, StandardNormal};
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::error::setting;
use crate::scores::{BATCH, scores};

/// The search for a changed prediction within a box (Langevin adversarial sample search; Arpit et al. 2017, arXiv 1706.05394, algorithm 1).
/// Lengths are in a unit of the caller's, see [`critical_samples`]. Defaults are decided by us \[D\], in grey levels of 255.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CriticalSettings {
    /// r: how far any pixel may move.
    pub radius: f64,
    /// α: the step along the sign of the gradient.
    pub step: f64,
    /// β: standard deviation of the Gaussian noise added to each step.
    pub noise: f64,
    /// Steps at most.
    pub iterations: usize,
    /// Seed of the noise.
    pub seed: u64,
}

impl Default for CriticalSettings {
    fn default() -> Self {
        Self {
            radius: 0.5,
            step: 0.125,
            noise: 0.05,
            iterations: 8,
            seed: 0,
        }
    }
}

impl CriticalSettings {
    fn check(&self) -> Result<(), Error> {
        let positive = "give a finite number above 0";
        let is_positive = |x: f64| x.is_finite() && x > 0.0;
        setting("radius", self.radius, is_positive(self.radius), positive)?;
        setting("step", self.step, is_positive(self.step), positive)?;
        let noise = self.noise.is_finite() && self.noise >= 0.0;
        setting("noise", self.noise, noise, "give a finite number from 0")?;
        let enough = self.iterations > 0;
        setting("iterations", 0.0, enough, "give at least 1")
    }
}

/// Whether the search finds, for each of `images` (n × channels × height × width), an image within the radius to which the network gives
/// another class. The share of true values is the critical sample ratio. A search that fails proves nothing: the ratio is a lower bound.
///
/// `unit[c]` is what one unit of the settings' lengths is in channel c of the network's input: 1 / (255 σ_c) for grey levels of 255 under a
/// normalisation by σ_c. Nothing keeps pixels within their range, as in the source. Labels play no part. The noise of an image depends on
/// the seed and its place among `images` alone.
///
/// # Errors
/// [`Error::Setting`], [`Error::Length`] where there is not one unit for each channel, [`Error::Network`] where the images do not fit.
pub fn critical_samples(
    network: &dyn Network,
    images: ArrayView4<'_, f32>,
    unit: &[f64],
    settings: &CriticalSettings,
) -> Result<Vec<bool>, Error> {
    settings.check()?;
    if unit.len() != images.len_of(Axis(1)) {
        return Err(Error::Length {
            what: "units",
            got: unit.len(),
            expected: images.len_of(Axis(1)),
            remedy: "give one unit for each channel",
        });
    }
    let n = images.len_of(Axis(0));
    let mut critical = vec![false; n];
    let before: Vec<usize> = scores(network, images)?
        .rows()
        .into_iter()
        .map(predicted)
        .collect();
    let mut noise: Vec<_> = (0..n)
        .map(|i| mftma_data::stream(settings.seed, &format!("mftma-sensitivity/critical/{i}")))
        .collect();
    for first in (0..n).step_by(BATCH) {
        // Those whose prediction still stands.
        let mut open: Vec<usize> = (first..n.min(first + BATCH)).collect();
        let mut moved = images.select(Axis(0), &open);
        for _ in 0..settings.iterations {
            if open.is_empty() {
                break;
            }
            let pulled = network.pull_back_to_images(
                moved.view(),
                StatisticsMode::Running,
                &mut |scores| {
                    // Of the log-odds of p_k, whose gradient has the sign of that of p_k and does not vanish where p_k rounds to 1.
                    let mut rivals = scores.to_owned();
                    for (mut row, &i) in rivals.rows_mut().into_iter().zip(&open) {
                        row[before[i]] = f32::NEG_INFINITY;
                    }
                    let mut pull = softmax(rivals.view()).mapv(|q| -q as f32);
                    for (mut row, &i) in pull.rows_mut().into_iter().zip(&open) {
                        row[before[i]] = 1.0;
                    }
                    pull
                },
            )?;
            for ((row, &i), gradient) in open
                .iter()
                .enumerate()
                .zip(pulled.images.axis_iter(Axis(0)))
            {
                let origin = images.index_axis(Axis(0), i);
                for (channel, &unit) in unit.iter().enumerate() {
                    let mut moved = moved.index_axis_mut(Axis(0), row);
                    let mut moved = moved.index_axis_mut(Axis(0), channel);
                    let (origin, gradient) = (
                        origin.index_axis(Axis(0), channel),
                        gradient.index_axis(Axis(0), channel),
                    );
                    let radius = (settings.radius * unit) as f32;
                    for ((moved, origin), gradient) in moved.iter_mut().zip(origin).zip(gradient) {
                        let eta: f64 = StandardNormal.sample(&mut noise[i]);
                        let sign = f64::from(u8::from(*gradient > 0.0))
                            - f64::from(u8::from(*gradient < 0.0));
                        // Away from what the network says now.
                        let step = (settings.noise * eta - settings.step * sign) * unit;
                        *moved = (*moved + step as f32).clamp(origin - radius, origin + radius);
                    }
                }
            }
            let after = network.logits(moved.view())?;
            let stands: Array1<bool> = after
                .rows()
                .into_iter()
                .zip(&open)
                .map(|(row, &i)| predicted(row) == before[i])
                .collect();
            for (&i, &stands) in open.iter().zip(&stands) {
                critical[i] = !stands;
            }
            let kept: Vec<usize> = (0..open.len()).filter(|&row| stands[row]).collect();
            moved = moved.select(Axis(0), &kept);
            open = kept.into_iter().map(|row| open[row]).collect();
        }
    }
    Ok(critical)
}
