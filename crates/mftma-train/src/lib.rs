//! Typed dfdx networks: training, checkpoints, rewinding, activations.

pub mod network;
pub mod ops;
pub mod zoo;

pub use network::{
    Architecture, ImageShape, LayerInfo, LayerKind, Network, NetworkError, NetworkSpec,
    StatisticsMode, Step,
};
pub use ops::{Parameter, ParameterRole};
