//! What can be wrong with the input of this crate.

/// Input that cannot be used, and what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
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
    /// Two sizes contradict each other.
    #[error("{what}: {got} given where {expected} were expected; {remedy}")]
    Length {
        /// What was counted.
        what: &'static str,
        /// How many came.
        got: usize,
        /// How many should have come.
        expected: usize,
        /// What to do.
        remedy: &'static str,
    },
    /// A label lies outside the classes of the network.
    #[error(
        "label {label} of example {example} is not below the network's {classes} classes; give a network with more classes or mend the label"
    )]
    Label {
        /// The offending label.
        label: u16,
        /// Its example.
        example: usize,
        /// The number of classes.
        classes: usize,
    },
    /// Three points on one line, through which no circle goes.
    #[error(
        "the three points lie on one line, so no circle goes through them; choose three different images"
    )]
    Collinear,
    /// The network has no such channel.
    #[error(
        "layer {layer} has no channel {channel} that can be zeroed; take channels from `channels`"
    )]
    Channel {
        /// Place of the layer in the network.
        layer: usize,
        /// The channel.
        channel: usize,
    },
    /// A layer is not what the formula is for.
    #[error("{layer}: {reason}")]
    Layer {
        /// The layer.
        layer: String,
        /// What is wrong and the remedy.
        reason: &'static str,
    },
    /// A number came out infinite or not a number.
    #[error(
        "{what} is not finite; look for weights that are not finite, or for a training that diverged"
    )]
    NotFinite {
        /// What was computed.
        what: &'static str,
    },
    /// The network refused.
    #[error(transparent)]
    Network(#[from] mftma_train::NetworkError),
}

pub(crate) fn setting(
    name: &'static str,
    value: f64,
    holds: bool,
    remedy: &'static str,
) -> Result<(), Error> {
    if holds {
        Ok(())
    } else {
        Err(Error::Setting {
            name,
            value,
            remedy,
        })
    }
}

/// As many labels as images, each below the number of classes.
pub(crate) fn check_labels(images: usize, labels: &[u16], classes: usize) -> Result<(), Error> {
    if labels.len() != images {
        return Err(Error::Length {
            what: "labels",
            got: labels.len(),
            expected: images,
            remedy: "give one label for each image",
        });
    }
    let beyond = |label: &&u16| usize::from(**label) >= classes;
    match labels.iter().find(beyond) {
        None => Ok(()),
        Some(&label) => Err(Error::Label {
            label,
            example: labels.iter().position(|l| *l == label).unwrap_or(0),
            classes,
        }),
    }
}
