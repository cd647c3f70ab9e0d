//! Figure S7: geometry over the whole training, of which figure 3 shows two epochs.

use super::geometry::{GeometryFigure, Runs};

/// Geometry by layer and epoch.
pub const FIGURE: GeometryFigure = GeometryFigure {
    name: "s7",
    title: "Manifold geometry by layer and epoch for the four example groups",
    table: "geometry",
    runs: |study| Ok(Runs::Chosen(study.runs.clone())),
};
