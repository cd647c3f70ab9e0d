//! What the supplementary figures share: experiments smaller than the main one.

use std::rc::Rc;

use anyhow::Result;
use mftma_train::Architecture;

use super::Study;
use super::geometry::Runs;
use crate::experiment::Experiment;
use crate::profile::Profile;

/// The runs of a supplementary experiment: the main experiment at the sizes of `[supplement]`, then changed.
pub fn runs(study: &Study<'_>, change: impl Fn(&mut Profile)) -> Result<Vec<Rc<Experiment>>> {
    let sizes = &study.profile.supplement;
    (0..sizes.runs)
        .map(|run| {
            study.variant(
                |profile| {
                    profile.network.width = sizes.width;
                    profile.data.classes = sizes.classes;
                    profile.data.train_per_class = sizes.train_per_class;
                    profile.data.test_per_class = sizes.test_per_class;
                    profile.training.max_epochs = sizes.max_epochs;
                    profile.geometry.epochs.clone_from(&sizes.epochs);
                    profile.geometry.manifolds = sizes.manifolds;
                    profile.geometry.points = sizes.points;
                    profile.geometry.keys = "supplement.points or supplement.manifolds";
                    profile.geometry.gaussian_vectors = sizes.gaussian_vectors;
                    change(profile);
                },
                study.profile.seed.wrapping_add(run),
            )
        })
        .collect()
}

/// The runs of another architecture.
pub fn other_architecture(study: &Study<'_>, architecture: Architecture) -> Result<Runs> {
    Ok(Runs::Chosen(runs(study, |profile| {
        profile.network.architecture = architecture;
    })?))
}
