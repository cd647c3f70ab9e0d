//! Figure S2: geometry in another architecture, ResNet-18.

use mftma_train::Architecture;

use super::geometry::GeometryFigure;
use super::supplement::other_architecture;

/// ResNet-18.
pub const FIGURE: GeometryFigure = GeometryFigure {
    name: "s2",
    title: "Manifold geometry in ResNet-18",
    table: "supplement.geometry",
    runs: |study| other_architecture(study, Architecture::ResNet18),
};
