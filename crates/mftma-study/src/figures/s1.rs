//! Figure S1: geometry in another architecture, AlexNet.

use mftma_train::Architecture;

use super::geometry::GeometryFigure;
use super::supplement::other_architecture;

/// AlexNet.
pub const FIGURE: GeometryFigure = GeometryFigure {
    name: "s1",
    title: "Manifold geometry in AlexNet",
    table: "supplement.geometry",
    runs: |study| other_architecture(study, Architecture::AlexNet),
};
