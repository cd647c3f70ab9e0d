//! A deep linear network of [`mftma_train`], trained as its exact theory ([`mftma_linear`]) has it: all examples in every step, the squared
//! error ½⟨‖y − ŷ‖²⟩, gradient descent and nothing else.

use anyhow::{Context, Result, ensure};
use mftma_train::assembly::{Body, assemble};
use mftma_train::layers::{Halt, Linear, Pass, visit_fields};
use mftma_train::ops::{Const, Features, Maps, Recording, Rectifier, Value, flatten};
use mftma_train::{
    Architecture, ImageShape, Network, NetworkSpec, Parameter, ParameterRole, StatisticsMode,
};
use ndarray::{Array2, ArrayView2, ArrayView4};

/// Linear layers with nothing between them.
#[derive(Clone)]
struct Layers {
    hidden: Vec<Linear>,
    last: Linear,
}

visit_fields!([] Layers: one() many(hidden) then(last));

impl Body for Layers {
    type Side = Const<1>;

    fn forward<T: Recording>(
        &self,
        x: Value<Maps<Const<1>, Const<1>>, T>,
        pass: &mut Pass<'_>,
    ) -> Result<Value<Features, T>, Halt> {
        let mut x = flatten(x)?;
        for layer in &self.hidden {
            x = layer.forward(x, Rectifier::None, pass)?;
        }
        self.last.forward(x, Rectifier::None, pass)
    }
}

/// ŷ = W_D ⋯ W_1 x. The layers' biases stay at 0: the theory has none, and the last one's curvature, 1, is far above that of the weights
/// where singular values are small, so that a rate that suits these would amplify its rounding.
pub struct LinearNetwork {
    network: Box<dyn Network>,
}

impl LinearNetwork {
    /// A network with the weights W_1 … W_D, each (outputs, inputs), the inputs of one the outputs of that before.
    ///
    /// # Errors
    /// No weights, or sizes that do not meet.
    pub fn new(weights: &[Array2<f64>]) -> Result<Self> {
        let (first, last) = weights
            .first()
            .zip(weights.last())
            .context("a linear network needs at least one layer of weights")?;
        for pair in weights.windows(2) {
            ensure!(
                pair[0].nrows() == pair[1].ncols(),
                "a layer of {} outputs cannot feed one of {} inputs",
                pair[0].nrows(),
                pair[1].ncols()
            );
        }
        let spec = NetworkSpec {
            architecture: Architecture::Own,
            width: weights.iter().map(Array2::nrows).max().unwrap_or(1),
            batch_norm: false,
            classes: last.nrows(),
            input: ImageShape {
                channels: first.ncols(),
                height: 1,
                width: 1,
            },
        };
        let (end, before) = weights.split_last().context("no layer")?;
        let mut network = assemble(&spec, |plan, _| Layers {
            hidden: before
                .iter()
                .enumerate()
                .map(|(index, w)| {
                    Linear::hidden(plan, &format!("fc{}", index + 1), w.ncols(), w.nrows())
                })
                .collect(),
            last: Linear::last(
                plan,
                &format!("fc{}", weights.len()),
                end.ncols(),
                end.nrows(),
            ),
        });
        let matrices = network.parameters_mut().into_iter().filter(is_matrix);
        for (parameter, weights) in matrices.zip(weights) {
            let values = parameter.values_mut().iter_mut();
            values
                .zip(weights)
                .for_each(|(to, &from)| *to = from as f32);
        }
        Ok(Self { network })
    }

    /// One step of `rate` down the gradient on all of `inputs` (P, n) and `targets` (P, m). Gives back ½⟨‖y − ŷ‖²⟩ before it.
    ///
    /// # Errors
    /// Shapes that do not fit the network.
    pub fn step(
        &mut self,
        inputs: ArrayView2<'_, f32>,
        targets: ArrayView2<'_, f32>,
        rate: f32,
    ) -> Result<f64> {
        let examples = inputs.nrows() as f32;
        let mut loss = 0.0;
        let pulled =
            self.network
                .pull_back(images(&inputs)?, StatisticsMode::Running, &mut |scores| {
                    let rest = &scores - &targets;
                    loss = rest.iter().map(|&r| f64::from(r).powi(2)).sum::<f64>();
                    rest / examples
                })?;
        let parameters = self.network.parameters_mut().into_iter();
        let all = parameters.zip(&pulled.gradients);
        for (parameter, gradient) in all.filter(|(parameter, _)| is_matrix(parameter)) {
            let values = parameter.values_mut().iter_mut();
            values.zip(gradient).for_each(|(w, g)| *w -= rate * g);
        }
        Ok(0.5 * loss / f64::from(examples))
    }

    /// W_D ⋯ W_1 (m, n).
    pub fn product(&self) -> Array2<f64> {
        let matrices = self.network.parameters().into_iter();
        let matrices = matrices.filter(is_matrix);
        let matrix = |parameter: &Parameter| {
            let columns = parameter.shape()[1];
            let values = parameter.values();
            Array2::from_shape_fn((parameter.shape()[0], columns), |(i, j)| {
                f64::from(values[i * columns + j])
            })
        };
        let product = matrices
            .map(matrix)
            .reduce(|before, layer| layer.dot(&before));
        product.expect("a network has a layer")
    }
}

fn is_matrix<P: std::ops::Deref<Target = Parameter>>(parameter: &P) -> bool {
    parameter.role() == ParameterRole::LinearWeight
}

/// Inputs as images of one pixel.
fn images<'a>(inputs: &'a ArrayView2<'_, f32>) -> Result<ArrayView4<'a, f32>> {
    let shape = (inputs.nrows(), inputs.ncols(), 1, 1);
    let values = inputs.as_slice().context("inputs lie row by row")?;
    Ok(ArrayView4::from_shape(shape, values)?)
}

#[cfg(test)]
mod tests {
    use mftma_data::stream;
    use mftma_linear::{Dynamics, Svd, aligned_weights, correlation};
    use rand::RngExt;

    use super::*;

    const INPUTS: usize = 6;
    const EXAMPLES: usize = 32;

    /// White inputs with mean 0 to the last bit: columns of a Hadamard matrix. Targets of mean 0 beside them.
    fn problem(seed: u64) -> (Array2<f64>, Array2<f64>) {
        let sign = |i: usize, j: usize| 1.0 - 2.0 * ((i & j).count_ones() % 2) as f64;
        let inputs = Array2::from_shape_fn((EXAMPLES, INPUTS), |(i, j)| sign(i, j + 1));
        let mut random = stream(seed, "teacher");
        let mut draw = |rows, columns| {
            Array2::from_shape_fn((rows, columns), |_| random.random_range(-1.0..1.0f64))
        };
        let teacher = draw(4, INPUTS);
        let noise = mftma_linear::centred(draw(EXAMPLES, 4).view()).unwrap();
        let targets = inputs.dot(&teacher.t()) + noise;
        (inputs, targets)
    }

    /// The largest distance of the trained product from the theory's over times up to 2, and of the losses.
    fn distance(hidden: &[usize], rate: f64, seed: u64) -> f64 {
        let (inputs, targets) = problem(seed);
        let modes = Svd::new(correlation(inputs.view(), targets.view()).unwrap().view()).unwrap();
        let theory = Dynamics::new(hidden.len() + 1, 0.05, 1.0).unwrap();
        let start = aligned_weights(&modes, hidden, 0.05).unwrap();
        let mut network = LinearNetwork::new(&start).unwrap();
        let (x, y) = (inputs.mapv(|v| v as f32), targets.mapv(|v| v as f32));
        let power = targets.iter().map(|y| y * y).sum::<f64>() / EXAMPLES as f64;
        let mut largest: f64 = 0.0;
        for step in 0..(2.0 / rate).round() as usize {
            let time = step as f64 * rate;
            let strengths = modes.values.iter().map(|&s| theory.strength(s, time));
            let strengths: Vec<f64> = strengths.collect();
            let learned = ndarray::arr1(&strengths);
            let expected = (&modes.left * &learned).dot(&modes.right.t());
            let product = network.product();
            let off = (&product - &expected).mapv(f64::abs);
            largest = off.into_iter().fold(largest, f64::max);
            // ½⟨‖y − ŷ‖²⟩ = ½⟨‖y‖²⟩ − Σ (s u − u²/2).
            let learned: f64 = modes
                .values
                .iter()
                .zip(&strengths)
                .map(|(s, u)| s * u - 0.5 * u * u)
                .sum();
            let loss = network.step(x.view(), y.view(), rate as f32).unwrap();
            largest = largest.max((loss - (0.5 * power - learned)).abs());
        }
        largest
    }

    /// Gradient descent is Euler's method for the theory's equation: its distance from it is of first order in the rate.
    #[test]
    fn trained_networks_come_to_the_theory_as_the_rate_falls() {
        for (hidden, seed) in [(&[][..], 1), (&[5][..], 2), (&[4, 7][..], 3)] {
            let distances = [0.04, 0.02, 0.01, 0.005].map(|rate| distance(hidden, rate, seed));
            assert!(distances[0] < 0.3, "{hidden:?}: {distances:?}");
            for pair in distances.windows(2) {
                let order = (pair[0] / pair[1]).log2();
                assert!((0.85..1.2).contains(&order), "{hidden:?}: {distances:?}");
            }
        }
    }

    #[test]
    fn weights_that_do_not_meet_are_refused() {
        let error =
            |weights: &[Array2<f64>]| LinearNetwork::new(weights).err().unwrap().to_string();
        assert!(error(&[]).contains("at least one"));
        let weights = [Array2::zeros((3, 2)), Array2::zeros((2, 4))];
        assert!(error(&weights).contains("3 outputs cannot feed one of 4"));
    }
}
