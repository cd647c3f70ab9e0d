//! What the supplementary figures share: experiments smaller than the main one.

use std::rc::Rc;

use anyhow::Result;
use mftma_train::Architecture;

use super::Study;
use super::geometry::Runs;
use crate::experiment::Experiment;
use crate::profile::ExperimentSettings;

/// The runs of a supplementary experiment.
pub fn runs(study: &Study<'_>, settings: &ExperimentSettings) -> Result<Vec<Rc<Experiment>>> {
    (0..study.profile.supplement.runs)
        .map(|run| study.experiment(settings.clone(), run))
        .collect()
}

/// The runs of another architecture.
pub fn other_architecture(study: &Study<'_>, architecture: Architecture) -> Result<Runs> {
    let mut settings = study.profile.supplement.experiment.clone();
    settings.network.architecture = architecture;
    Ok(Runs::Chosen(runs(study, &settings)?))
}
