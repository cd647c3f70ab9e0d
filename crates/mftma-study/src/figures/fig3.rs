//! Figure 3: geometry. Capacity, radius, dimension and centre correlation by layer and epoch, for each example group.

use super::geometry::{GeometryFigure, Runs};

/// Geometry by layer and epoch.
pub const FIGURE: GeometryFigure = GeometryFigure {
    name: "fig3",
    title: "Manifold geometry by layer and epoch for the four example groups",
    table: "geometry",
    runs: |study| Ok(Runs::Chosen(study.runs.clone())),
};
