//! Prediction beside measurement, for the networks of `mftma-train`.

use mftma_train::{Architecture, Network, ParameterRole, softmax};
use ndarray::{Array1, Array2, ArrayView4, Axis};
use serde::{Deserialize, Serialize};

use crate::measure::{Contributions, Examples, GradientGroup};
use crate::theory::{Activation, ClassMoments, Expansion};
use crate::{Error, last_layer_inputs};

/// What theory says of one weight array and one group of examples, and what was measured. Norms are Euclidean and of the
/// *mean* gradient of the weights alone, without biases.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Prediction {
    /// Layer name.
    pub layer: String,
    /// Position of the layer among the layers with parameters, from 0.
    pub layer_index: usize,
    /// The group: unpermuted, permuted or restored.
    pub group: GradientGroup,
    /// Number of examples in the group.
    pub examples: usize,
    /// Norm of the measured gradient.
    pub measured_norm: f64,
    /// Norm of the class-mean term: equation 6, or 2 for the last layer's own inputs.
    pub predicted_norm: f64,
    /// Cosine between the measured gradient and the class-mean term.
    pub predicted_cosine: f64,
    /// Root mean square norm of the class-mean term if the group's labels were a random permutation of themselves: the
    /// O(1/√n) floor of equation 8, or 4.
    pub noise_floor: f64,
    /// Norm of the term that an offset shared by all examples' logits adds to every group (equation 13); last layers only.
    pub offset_norm: Option<f64>,
    /// ‖measured − leading order‖ / ‖leading order‖: equation 7 for a perceptron, its gates kept; equation 13 for a last
    /// layer's own inputs.
    pub leading_error: f64,
}

impl Expansion {
    /// The expansion of a network's present weights: a multilayer perceptron of `mftma-train` without batch
    /// normalisation, its biases at zero, as initialization leaves them.
    ///
    /// # Errors
    /// [`Error::NoExpansion`] for any other network.
    pub fn of_network(network: &dyn Network) -> Result<Self, Error> {
        let spec = network.spec();
        if spec.architecture != Architecture::Mlp {
            return Err(Error::NoExpansion("it is no multilayer perceptron"));
        }
        if spec.batch_norm {
            return Err(Error::NoExpansion("it has batch normalisation"));
        }
        let mut weights = Vec::new();
        for parameter in network.parameters() {
            let values = parameter.values();
            if parameter.role() == ParameterRole::LinearWeight {
                let (rows, columns) = (parameter.shape()[0], parameter.shape()[1]);
                weights.push(Array2::from_shape_fn((rows, columns), |(i, j)| {
                    f64::from(values[i * columns + j])
                }));
            } else if values.iter().any(|&value| value != 0.0) {
                return Err(Error::NoExpansion("its biases are not zero"));
            }
        }
        Self::new(weights, Activation::Rectified)
    }
}

/// Predictions for every layer of a multilayer perceptron near initialization, beside what `measured` holds of it.
///
/// # Errors
/// [`Error::NoExpansion`] where the expansion does not apply; otherwise labels or shapes that do not fit.
pub fn predict_perceptron(
    network: &dyn Network,
    examples: &Examples<'_>,
    measured: &Contributions,
) -> Result<Vec<Prediction>, Error> {
    let theory = Expansion::of_network(network)?;
    let inputs = flat(examples.images());
    let mut out = Vec::new();
    for group in PREDICTED {
        let (x, labels) = members(examples, group, &inputs);
        let linear = theory.linear_gradients(x.view(), &labels)?;
        let leading = theory.leading_gradients(x.view(), &labels)?;
        for (index, (name, layer)) in weight_arrays(network).into_iter().enumerate() {
            let features = x.dot(&theory.linear_features(index).t());
            let floor = ClassMoments::new(features.view(), &labels, theory.classes())?
                .squared_norm_under_permutation_through(theory.linear_outer(index).view());
            out.push(Prediction::new(
                (layer, index, group, labels.len()),
                &of(measured, &name, group)?,
                &linear[index],
                &leading[index],
                floor,
            ));
        }
    }
    Ok(out)
}

/// Prediction for the last layer of any network that ends in a linear one, from its inputs at uniform softmax, and with the
/// offset that the logits of all examples share.
///
/// # Errors
/// [`Error::NoLinearHead`] where the last layer is not linear; otherwise labels or shapes that do not fit.
pub fn predict_last_layer(
    network: &dyn Network,
    examples: &Examples<'_>,
    measured: &Contributions,
) -> Result<Vec<Prediction>, Error> {
    let features = last_layer_inputs(network, examples.images())?;
    let classes = network.spec().classes;
    let mean_softmax = mean_softmax(network, examples.images())?;
    let arrays = weight_arrays(network);
    let (name, layer) = arrays.last().ok_or(Error::NoLinearHead)?;
    let index = measured.rows.last().map_or(0, |row| row.layer_index);
    PREDICTED
        .into_iter()
        .map(|group| {
            let (h, labels) = members(examples, group, &features);
            let moments = ClassMoments::new(h.view(), &labels, classes)?;
            let class_means = moments.gradient();
            let leading = moments.gradient_at(mean_softmax.view());
            let offset = &leading - &class_means;
            let offset = offset.iter().map(|&v| v * v).sum::<f64>().sqrt();
            let mut prediction = Prediction::new(
                (layer.clone(), index, group, labels.len()),
                &of(measured, name, group)?,
                &class_means,
                &leading,
                moments.squared_norm_under_permutation(),
            );
            prediction.offset_norm = Some(offset / labels.len() as f64);
            Ok(prediction)
        })
        .collect()
}

/// The softmax averaged over all images.
fn mean_softmax(network: &dyn Network, images: ArrayView4<'_, f32>) -> Result<Array1<f64>, Error> {
    const BATCH: usize = 250;
    let mut sum = Array1::zeros(network.spec().classes);
    for batch in images.axis_chunks_iter(Axis(0), BATCH) {
        sum += &softmax(network.logits(batch)?.view()).sum_axis(Axis(0));
    }
    Ok(sum / images.len_of(Axis(0)) as f64)
}

/// Groups with a prediction of their own.
const PREDICTED: [GradientGroup; 3] = [
    GradientGroup::Unpermuted,
    GradientGroup::Permuted,
    GradientGroup::Restored,
];

impl Prediction {
    fn new(
        (layer, layer_index, group, examples): (String, usize, GradientGroup, usize),
        measured: &[f64],
        class_mean_term: &Array2<f64>,
        leading: &Array2<f64>,
        squared_floor: f64,
    ) -> Self {
        let n = examples as f64;
        let norm = |squares: f64| squares.sqrt() / n;
        let square = |v: f64| v * v;
        let measured_square: f64 = measured.iter().map(|&g| square(g)).sum();
        let predicted_square: f64 = class_mean_term.iter().map(|&p| square(p)).sum();
        let inner: f64 = measured
            .iter()
            .zip(class_mean_term)
            .map(|(g, p)| g * p)
            .sum();
        let gap: f64 = measured
            .iter()
            .zip(leading)
            .map(|(g, p)| square(g - p))
            .sum();
        let leading_square: f64 = leading.iter().map(|&p| square(p)).sum();
        Self {
            layer,
            layer_index,
            group,
            examples,
            measured_norm: norm(measured_square),
            predicted_norm: norm(predicted_square),
            predicted_cosine: inner / (measured_square * predicted_square).sqrt(),
            noise_floor: norm(squared_floor),
            offset_norm: None,
            leading_error: (gap / leading_square).sqrt(),
        }
    }
}

/// Name and layer of every weight array of a linear layer, in order.
fn weight_arrays(network: &dyn Network) -> Vec<(String, String)> {
    network
        .parameters()
        .iter()
        .filter(|p| p.role() == ParameterRole::LinearWeight)
        .map(|p| (p.name().to_owned(), p.layer().to_owned()))
        .collect()
}

/// The rows of `features` that belong to a group's examples, and their labels.
fn members(
    examples: &Examples<'_>,
    group: GradientGroup,
    features: &Array2<f64>,
) -> (Array2<f64>, Vec<u16>) {
    let members = examples.indices(group);
    let labels = examples.labels(group);
    (
        features.select(Axis(0), &members),
        members.iter().map(|&i| labels[i]).collect(),
    )
}

fn of(measured: &Contributions, array: &str, group: GradientGroup) -> Result<Vec<f64>, Error> {
    measured
        .gradient(array, group)
        .ok_or(Error::NoExpansion("the measurement is of another network"))
}

/// Images (n, channels, height, width) as rows of pixels (n, d), for the theory's functions.
pub fn flat(images: ArrayView4<'_, f32>) -> Array2<f64> {
    let (n, c, h, w) = images.dim();
    let mut rows = Array2::zeros((n, c * h * w));
    for (mut row, image) in rows.rows_mut().into_iter().zip(images.axis_iter(Axis(0))) {
        row.iter_mut()
            .zip(image.iter())
            .for_each(|(row, &pixel)| *row = f64::from(pixel));
    }
    rows
}
