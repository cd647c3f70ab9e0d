//! Linear regions that a path through the space of images crosses.

use std::f64::consts::TAU;
use std::ops::ControlFlow;

use mftma_train::{LayerKind, Network, Recorder, StatisticsMode};
use ndarray::{Array1, Array2, Array4, ArrayView1, ArrayView3, ArrayView4, Axis};
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::error::setting;

/// Points of a path in one forward pass.
const BATCH: usize = 64;
/// Three points count as lying on one line where the sine of the angle between two sides is below this.
const FLAT: f64 = 1e-6;

/// `points` images at equal angles on the circle through three images, and the first again at the end, so that the path is closed
/// (equation 4 of the note). The three lie on the circle, not necessarily among the points.
///
/// # Errors
/// [`Error::Setting`] for fewer than 3 points, [`Error::Length`] where the shapes differ, [`Error::Collinear`].
pub fn circle(through: [ArrayView3<'_, f32>; 3], points: usize) -> Result<Array4<f32>, Error> {
    setting("points", points as f64, points >= 3, "give at least 3")?;
    let shape = through[0].dim();
    for image in &through[1..] {
        same_shape(through[0], *image)?;
    }
    let flat = through.map(|image| image.iter().map(|x| f64::from(*x)).collect::<Array1<f64>>());
    let (a, b) = (&flat[1] - &flat[0], &flat[2] - &flat[0]);
    let (aa, bb, ab) = (a.dot(&a), b.dot(&b), a.dot(&b));
    let area = aa * bb - ab * ab;
    if area.is_nan() || area <= FLAT * FLAT * aa * bb {
        return Err(Error::Collinear);
    }
    // The centre c₀ + s a + t b is as far from all three.
    let (s, t) = (bb * (aa - ab) / (2.0 * area), aa * (bb - ab) / (2.0 * area));
    let centre = &flat[0] + &(s * &a) + &(t * &b);
    let first = &flat[0] - &centre;
    let radius = first.dot(&first).sqrt();
    let u = first / radius;
    // The other axis of the plane: what a side has beside the first.
    let v = &a - &(a.dot(&u) * &u);
    let v = &v / v.dot(&v).sqrt();
    let mut out = Array4::zeros((points + 1, shape.0, shape.1, shape.2));
    for (k, mut image) in out.axis_iter_mut(Axis(0)).enumerate() {
        let angle = TAU * (k % points) as f64 / points as f64;
        let (x, y) = (radius * angle.cos(), radius * angle.sin());
        for (i, pixel) in image.iter_mut().enumerate() {
            *pixel = (centre[i] + x * u[i] + y * v[i]) as f32;
        }
    }
    Ok(out)
}

/// `points` images at equal distances on the straight way from one image to another, both ends included.
///
/// # Errors
/// [`Error::Setting`] for fewer than 2 points, [`Error::Length`] where the shapes differ.
pub fn segment(
    from: ArrayView3<'_, f32>,
    to: ArrayView3<'_, f32>,
    points: usize,
) -> Result<Array4<f32>, Error> {
    setting("points", points as f64, points >= 2, "give at least 2")?;
    same_shape(from, to)?;
    let (c, h, w) = from.dim();
    let mut out = Array4::zeros((points, c, h, w));
    for (k, mut image) in out.axis_iter_mut(Axis(0)).enumerate() {
        let t = k as f64 / (points - 1) as f64;
        ndarray::Zip::from(&mut image)
            .and(from)
            .and(to)
            .for_each(|out, &a, &b| *out = ((1.0 - t) * f64::from(a) + t * f64::from(b)) as f32);
    }
    Ok(out)
}

fn same_shape(a: ArrayView3<'_, f32>, b: ArrayView3<'_, f32>) -> Result<(), Error> {
    if a.dim() == b.dim() {
        return Ok(());
    }
    Err(Error::Length {
        what: "pixels",
        got: b.len(),
        expected: a.len(),
        remedy: "give images of one shape",
    })
}

/// What one layer's rectifiers do along a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerCrossings {
    /// Place of the layer in the network.
    pub layer_index: usize,
    /// Its name.
    pub layer: String,
    /// Rectified units: features of its output.
    pub units: usize,
    /// How often a unit went on or off from one point to the next, summed over units and points.
    pub switches: u64,
}

/// What a path crosses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Crossings {
    /// Every convolution and linear layer but the last.
    pub layers: Vec<LayerCrossings>,
    /// Steps between neighbouring points over which some unit switched.
    pub changed_steps: u64,
    /// Steps in all.
    pub steps: u64,
}

impl Crossings {
    /// Switches of all layers together: the transitions that Novak et al. 2018 count.
    pub fn switches(&self) -> u64 {
        self.layers.iter().map(|layer| layer.switches).sum()
    }
}

/// The pattern of each layer at the points of one batch, compared with the points before.
struct Patterns {
    /// Places in the network.
    layers: Vec<usize>,
    last: Vec<Option<Vec<bool>>>,
    switches: Vec<u64>,
    changed: Vec<bool>,
}

impl Patterns {
    fn take(&mut self, slot: usize, values: &Array2<f32>) {
        let on = |row: ArrayView1<'_, f32>| row.iter().map(|x| *x > 0.0).collect::<Vec<bool>>();
        for (point, row) in values.rows().into_iter().enumerate() {
            let pattern = on(row);
            if let Some(before) = &self.last[slot] {
                let switched = before.iter().zip(&pattern).filter(|(a, b)| a != b).count();
                self.switches[slot] += switched as u64;
                self.changed[point] |= switched > 0;
            }
            self.last[slot] = Some(pattern);
        }
    }
}

impl Recorder for Patterns {
    fn activation(&mut self, layer: usize, values: &dyn Fn() -> Array2<f32>) -> ControlFlow<()> {
        if let Some(slot) = self.layers.iter().position(|known| *known == layer) {
            self.take(slot, &values());
        }
        ControlFlow::Continue(())
    }
}

/// Counts, along a path of images (points × channels × height × width, neighbours next to each other), how often a rectifier goes on or
/// off, with running statistics (equation 5 of the note).
///
/// Between two points where the same unit switches twice nothing is seen, so the counts are lower bounds that rise with the number of
/// points. A rectifier is read off what leaves a convolution or linear layer after its own non-linearity; the last layer has none. The
/// rectifiers of residual sums are not shown to a [`Recorder`], so those of residual networks are left out; and maxima of poolings, whose
/// winner may change too, are not counted.
///
/// # Errors
/// [`Error::Setting`] for fewer than 2 points; [`Error::Network`] where the images do not fit.
pub fn crossings(network: &dyn Network, path: ArrayView4<'_, f32>) -> Result<Crossings, Error> {
    let points = path.len_of(Axis(0));
    setting("points", points as f64, points >= 2, "give at least 2")?;
    let infos = network.layers();
    let is_rectified = |index: &usize| {
        let kind = infos[*index].kind;
        matches!(kind, LayerKind::Convolution | LayerKind::Linear) && *index + 1 < infos.len()
    };
    let layers: Vec<usize> = (0..infos.len()).filter(is_rectified).collect();
    let mut patterns = Patterns {
        last: vec![None; layers.len()],
        switches: vec![0; layers.len()],
        layers,
        changed: vec![false; BATCH],
    };
    let mut changed_steps = 0;
    for batch in path.axis_chunks_iter(Axis(0), BATCH) {
        patterns.changed.fill(false);
        network.forward(batch, StatisticsMode::Running, &mut patterns)?;
        changed_steps += patterns.changed.iter().filter(|changed| **changed).count() as u64;
    }
    let layers = patterns.layers.iter().zip(&patterns.switches);
    Ok(Crossings {
        layers: layers
            .map(|(&index, &switches)| LayerCrossings {
                layer_index: index,
                layer: infos[index].name.clone(),
                units: infos[index].features(),
                switches,
            })
            .collect(),
        changed_steps,
        steps: points as u64 - 1,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_circle_goes_through_its_three_images() {
        let image = |values: [f32; 4]| {
            Array1::from(values.to_vec())
                .into_shape_with_order((1, 2, 2))
                .unwrap()
        };
        let three = [
            image([0.0, 1.0, 2.0, -1.0]),
            image([3.0, 0.5, 0.0, 1.0]),
            image([-1.0, 0.0, 4.0, 2.0]),
        ];
        let views = [three[0].view(), three[1].view(), three[2].view()];
        let path = circle(views, 20_000).unwrap();
        let nearest = |image: &ndarray::Array3<f32>| {
            let points = path.axis_iter(Axis(0));
            let distances = points.map(|point| (&point - image).mapv(|x| x * x).sum());
            distances.fold(f32::INFINITY, f32::min).sqrt()
        };
        // Neighbouring points are about 1e-3 apart.
        for image in &three {
            assert!(nearest(image) < 1e-3, "{}", nearest(image));
        }
        assert!(nearest(&image([1.0, 1.0, 1.0, 1.0])) > 0.1);
        assert_eq!(
            path.index_axis(Axis(0), 0),
            path.index_axis(Axis(0), 20_000)
        );
        let between = (&three[0] + &three[1]).mapv(|x| x / 2.0);
        let flat = circle([views[0], views[1], between.view()], 10);
        assert!(matches!(flat, Err(Error::Collinear)));
        assert!(matches!(circle([views[0]; 3], 10), Err(Error::Collinear)));
    }
}
