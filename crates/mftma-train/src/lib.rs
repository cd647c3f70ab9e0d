//! Typed dfdx networks: training, checkpoints, rewinding, activations.
