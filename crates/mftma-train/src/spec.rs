//! What fixes a network's shape, as it stands in settings and checkpoints.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A named architecture. Every width is scaled by [`NetworkSpec::width`]; 64 is the published width.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Architecture {
    /// Two hidden layers of `8 × width` units each.
    Mlp,
    /// VGG configuration A: eight convolutions ([arXiv:1409.1556](https://doi.org/10.48550/arXiv.1409.1556)).
    Vgg11,
    /// VGG configuration B: ten convolutions.
    Vgg13,
    /// VGG configuration D: thirteen convolutions.
    Vgg16,
    /// AlexNet, one-column form ([arXiv:1404.5997](https://doi.org/10.48550/arXiv.1404.5997)).
    AlexNet,
    /// ResNet-18 with the 3×3 stem for small images ([DOI 10.1109/CVPR.2016.90](https://doi.org/10.1109/CVPR.2016.90)).
    ResNet18,
    /// One residual block per stage, three stages: small enough for a sweep over widths.
    ResNetShallow,
    /// None of these: a network that the program assembles itself ([`crate::assembly`]).
    Own,
}

impl Architecture {
    /// All architectures of the zoo, in the order of declaration.
    pub const ALL: [Self; 7] = [
        Self::Mlp,
        Self::Vgg11,
        Self::Vgg13,
        Self::Vgg16,
        Self::AlexNet,
        Self::ResNet18,
        Self::ResNetShallow,
    ];

    /// The name used in settings and on the command line, for example `vgg16`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mlp => "mlp",
            Self::Vgg11 => "vgg11",
            Self::Vgg13 => "vgg13",
            Self::Vgg16 => "vgg16",
            Self::AlexNet => "alex-net",
            Self::ResNet18 => "res-net18",
            Self::ResNetShallow => "res-net-shallow",
            Self::Own => "own",
        }
    }

    /// The name for readers, for example `VGG-16`.
    pub fn title(self) -> &'static str {
        match self {
            Self::Mlp => "multilayer perceptron",
            Self::Vgg11 => "VGG-11",
            Self::Vgg13 => "VGG-13",
            Self::Vgg16 => "VGG-16",
            Self::AlexNet => "AlexNet",
            Self::ResNet18 => "ResNet-18",
            Self::ResNetShallow => "shallow ResNet",
            Self::Own => "own network",
        }
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Shape of one input image: `channels × height × width`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ImageShape {
    /// Colour channels.
    pub channels: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

impl ImageShape {
    /// Values per image.
    pub fn len(&self) -> usize {
        self.channels * self.height * self.width
    }

    /// Whether an image holds no value at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl fmt::Display for ImageShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}×{}×{}", self.channels, self.height, self.width)
    }
}

/// Everything that fixes a network's shape (and nothing about its values).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct NetworkSpec {
    /// The architecture.
    pub architecture: Architecture,
    /// Base channel count; 64 is the published network.
    pub width: usize,
    /// Whether each layer but the last is followed by batch normalisation. Then it has no bias of its own, which the
    /// normalisation would cancel.
    pub batch_norm: bool,
    /// Number of classes, at least 2.
    pub classes: usize,
    /// Shape of the images.
    pub input: ImageShape,
}
