//! Figure S3: geometry on other images, Tiny ImageNet at its 64 x 64 pixels.

use super::geometry::{GeometryFigure, Runs};
use super::supplement::runs;

/// Tiny ImageNet. A profile that needs no download leaves it out, and the figure says so.
pub const FIGURE: GeometryFigure = GeometryFigure {
    name: "s3",
    title: "Manifold geometry on Tiny ImageNet",
    table: "supplement.tiny_imagenet.geometry",
    runs: |study| {
        let tiny = &study.profile.supplement.tiny_imagenet.experiment;
        if tiny.data.classes == 0 {
            return Ok(Runs::LeftOut(format!(
                "the profile {} works without a download, and nothing embedded stands in for images of 64 x 64 pixels. \
                 `cargo xtask fetch` with `tiny-imagenet` and `cifar100`, then `cargo xtask reproduce s3 --profile laptop`, draws it.",
                study.profile_name
            )));
        }
        Ok(Runs::Chosen(runs(study, tiny)?))
    },
};
