//! What can be wrong with the input of this crate.

/// Input that cannot be used, and what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Two arrays that describe the same examples differ in length.
    #[error("{what}: {got} given where {expected} were expected; give one per example")]
    Length {
        /// What was counted.
        what: &'static str,
        /// How many came.
        got: usize,
        /// How many should have come.
        expected: usize,
    },
    /// A label lies outside the classes.
    #[error(
        "label {label} of example {example} is not below the number of classes, {classes}; raise `classes` or mend the label"
    )]
    Label {
        /// The offending label.
        label: u16,
        /// Its example.
        example: usize,
        /// The number of classes.
        classes: usize,
    },
    /// A group of examples is too small for what is asked of it.
    #[error(
        "the {group} group holds {had} examples, {wanted} are needed for {what}; choose another permuted fraction or more examples"
    )]
    TooFew {
        /// The group's name.
        group: &'static str,
        /// What was to be computed.
        what: &'static str,
        /// How many it needs.
        wanted: usize,
        /// How many there are.
        had: usize,
    },
    /// A setting lies outside its range.
    #[error("{name} = {value}: {remedy}")]
    Setting {
        /// The setting's name.
        name: &'static str,
        /// Its value.
        value: f64,
        /// What it may be.
        remedy: &'static str,
    },
    /// Weight matrices that cannot follow one another.
    #[error(
        "weight matrix {layer} takes {takes} inputs, but gets {gets}; weights run from the input to the logits, each outputs × inputs"
    )]
    Shape {
        /// Index of the matrix, 0 next to the input.
        layer: usize,
        /// Its number of columns.
        takes: usize,
        /// The width that reaches it.
        gets: usize,
    },
    /// A gradient came out infinite or not a number.
    #[error(
        "the gradient of {layer} over the {group} examples is not finite; lower the weight scale or the learning rate"
    )]
    NotFinite {
        /// The layer.
        layer: String,
        /// The group.
        group: &'static str,
    },
    /// The prediction for the last layer needs a linear one.
    #[error(
        "the network does not end in a linear layer, so the last-layer prediction does not apply to it"
    )]
    NoLinearHead,
    /// The expansion in the weight scale does not hold for the network.
    #[error(
        "the expansion does not apply to the network: {0}; give a multilayer perceptron without batch normalisation at its initialization"
    )]
    NoExpansion(&'static str),
    /// The network refused.
    #[error(transparent)]
    Network(#[from] mftma_train::NetworkError),
}
