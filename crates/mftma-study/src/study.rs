//! The study of a profile: its experiments, and the stages made of them, which figures draw and claims judge.

use std::cell::Cell;
use std::collections::{BTreeSet, HashSet};
use std::rc::Rc;

use anyhow::Result;
use mftma_data::{Augmentation, ExampleGroup};

use crate::cache::{Cache, Stage, key};
use crate::claims::inputs::as_in_figure4;
use crate::experiment::{Experiment, Experiments, Images};
use crate::profile::{ExperimentSettings, Profile};
use crate::stages::{
    ChannelStage, ComplexityStage, GeometryStage, JointStage, LearningStage, ResetStage,
    RewindStage, SIMULATED_GROUPS, SensitivityStage, SimulateStage, TrainStage, TrainingRecord,
};
use crate::table::Control;

/// What figures and claims work with.
pub struct Study<'a> {
    /// Name of the profile.
    pub profile_name: &'a str,
    /// The settings.
    pub profile: &'a Profile,
    /// The runs of the main experiment; at least one.
    pub runs: Vec<Rc<Experiment>>,
    /// The finished work.
    pub cache: &'a Cache,
    experiments: Experiments,
    /// [`Self::profile`], as the experiments hold it.
    shared: Rc<Profile>,
    /// Whether trainings are taken for what would make the most work of them.
    widest: Cell<bool>,
}

impl<'a> Study<'a> {
    /// The study of a profile: its main runs, seeds counting up from the profile's.
    pub fn new(
        profile_name: &'a str,
        profile: &'a Profile,
        experiments: Experiments,
        cache: &'a Cache,
    ) -> Result<Self> {
        let mut study = Self {
            profile_name,
            profile,
            runs: Vec::new(),
            cache,
            experiments,
            shared: Rc::new(profile.clone()),
            widest: Cell::new(false),
        };
        study.runs = (0..profile.runs)
            .map(|run| study.experiment(profile.experiment.clone(), run))
            .collect::<Result<_>>()?;
        Ok(study)
    }

    /// Run number `run`, from 0, of an experiment. The same one for equal settings and run; images and labels are shared with every
    /// experiment of equal data settings and run.
    pub fn experiment(&self, settings: ExperimentSettings, run: u64) -> Result<Rc<Experiment>> {
        let seed = self.profile.seed.wrapping_add(run);
        let experiment = self.experiments.get(&self.shared, settings, seed)?;
        TrainStage::new(Rc::clone(&experiment)).check()?;
        Ok(experiment)
    }

    /// Brings to an end what `stages` lists, in its order, and adds the keys to `done`, whose stages are passed over.
    ///
    /// The list is asked for anew after each stage: what is needed may depend on what is finished.
    pub fn finish(
        &self,
        stages: impl Fn() -> Result<Vec<Box<dyn Stage>>>,
        force: bool,
        done: &mut HashSet<String>,
    ) -> Result<()> {
        while let Some(stage) = stages()?
            .into_iter()
            .find(|stage| !done.contains(&key(stage.as_ref())))
        {
            self.cache.finish(stage.as_ref(), force)?;
            done.insert(key(stage.as_ref()));
        }
        Ok(())
    }

    /// What `list` gives where every training, finished or not, is taken for one that ran to its last epoch and was best at an epoch that
    /// is not measured otherwise: no list of stages is longer.
    pub fn widest<T>(&self, list: impl FnOnce() -> T) -> T {
        let before = self.widest.replace(true);
        let listed = list();
        self.widest.set(before);
        listed
    }

    /// The images of what `list` asks for and of the main runs, and what it gives.
    pub fn images_of<T>(&self, list: impl FnOnce() -> T) -> (Images, T) {
        self.experiments.images_of(|| {
            // They are always there.
            for (number, run) in (0..).zip(&self.runs) {
                let _ = self.experiment(run.settings.clone(), number);
            }
            list()
        })
    }

    /// What a run's training left, once it is finished: by its record, and the checksum of what is read here.
    pub fn record(&self, run: &Rc<Experiment>) -> Result<Option<TrainingRecord>> {
        if self.widest.get() {
            let last = run.settings.training.stop.max_epochs;
            let measured = &run.settings.geometry.epochs;
            let best = (0..=last).rev().find(|epoch| !measured.contains(epoch));
            return Ok(Some(TrainingRecord::imagined(best.unwrap_or(last), last)));
        }
        self.cache.known_output(&TrainStage::new(Rc::clone(run)))
    }

    /// The last epoch of a run's training, once it is finished.
    pub fn last_epoch(&self, run: &Rc<Experiment>) -> Result<Option<usize>> {
        Ok(self.record(run)?.map(|record| record.last_epoch()))
    }

    /// The epochs measured in one run: those of the profile that training reached, its best and its last.
    ///
    /// Before training is finished the profile's epochs are all that is known.
    pub fn epochs(&self, run: &Rc<Experiment>) -> Result<Vec<usize>> {
        let mut epochs: BTreeSet<usize> = run.settings.geometry.epochs.iter().copied().collect();
        if let Some(record) = self.record(run)? {
            let last = record.last_epoch();
            epochs.retain(|&epoch| epoch <= last);
            epochs.insert(record.best_epoch());
            epochs.insert(last);
        }
        Ok(epochs.into_iter().collect())
    }

    /// The geometry of some groups at all measured epochs of a run.
    pub fn geometry(
        &self,
        run: &Rc<Experiment>,
        groups: &[ExampleGroup],
    ) -> Result<Vec<GeometryStage>> {
        let mut stages = Vec::new();
        for epoch in self.epochs(run)? {
            for &group in groups {
                stages.push(GeometryStage::new(Rc::clone(run), epoch, group));
            }
        }
        Ok(stages)
    }

    /// The rewindings of one run, to every measured epoch before its last; before training is finished to those of the profile.
    pub fn rewindings(&self, run: &Rc<Experiment>) -> Result<Vec<RewindStage>> {
        let last = self
            .last_epoch(run)?
            .unwrap_or(run.settings.training.stop.max_epochs);
        Ok(self
            .epochs(run)?
            .into_iter()
            .filter(|&epoch| epoch < last)
            .map(|epoch| RewindStage::new(Rc::clone(run), epoch, last))
            .collect())
    }

    /// Single layers of a run put back: to the initialization and to the epoch of the highest test accuracy; before training is finished
    /// only the former is known.
    pub fn resets(&self, run: &Rc<Experiment>) -> Result<Vec<ResetStage>> {
        let record = self.record(run)?;
        let planned = run.settings.training.stop.max_epochs;
        let last = record
            .as_ref()
            .map_or(planned, |record| record.last_epoch());
        let mut epochs = BTreeSet::from([0]);
        epochs.extend(record.map(|record| record.best_epoch()));
        Ok(epochs
            .into_iter()
            .filter(|&epoch| epoch < last)
            .map(|epoch| ResetStage::new(Rc::clone(run), epoch, last))
            .collect())
    }

    /// Channels of a run zeroed at the end of its training; before it is finished, at the last planned epoch.
    pub fn channels(&self, run: &Rc<Experiment>) -> Result<ChannelStage> {
        let planned = run.settings.training.stop.max_epochs;
        let last = self.last_epoch(run)?.unwrap_or(planned);
        Ok(ChannelStage::new(Rc::clone(run), last))
    }

    /// How a run holds its examples at every measured epoch: sensitivity, norms and margins, and times of learning over them all.
    pub fn holding(
        &self,
        run: &Rc<Experiment>,
    ) -> Result<(Vec<SensitivityStage>, Vec<ComplexityStage>, LearningStage)> {
        let epochs = self.epochs(run)?;
        let sensitivity = |&epoch: &usize| SensitivityStage::new(Rc::clone(run), epoch);
        let complexity = |&epoch: &usize| ComplexityStage::new(Rc::clone(run), epoch);
        Ok((
            epochs.iter().map(sensitivity).collect(),
            epochs.iter().map(complexity).collect(),
            LearningStage::new(Rc::clone(run), epochs),
        ))
    }

    /// The supplement's network with the main run's permuted fraction, without and with explicit regularisation, and its norms and margins
    /// at the end of training; before it is finished, at the last planned epoch.
    pub fn controls(&self) -> Result<Vec<(Control, Rc<Experiment>, ComplexityStage)>> {
        let supplement = &self.profile.supplement;
        let controls = &supplement.memorization.controls;
        let mut found = Vec::new();
        for control in Control::ALL {
            let mut settings = supplement.experiment.clone();
            let training = &mut settings.training;
            match control {
                Control::Plain => {}
                Control::WeightDecay => training.optimizer.set_weight_decay(controls.weight_decay),
                Control::Augmentation => {
                    training.augmentation = Augmentation {
                        crop_padding: controls.shift,
                        flip: true,
                        ..Augmentation::default()
                    };
                }
            }
            for run in 0..supplement.runs {
                let experiment = self.experiment(settings.clone(), run)?;
                let planned = experiment.settings.training.stop.max_epochs;
                let last = self.last_epoch(&experiment)?.unwrap_or(planned);
                let stage = ComplexityStage::new(Rc::clone(&experiment), last);
                found.push((control, experiment, stage));
            }
        }
        Ok(found)
    }

    /// The capacities by simulation and the joint ones of the first run, at the end of its training; before it is finished, at the last
    /// planned epoch.
    pub fn simulations(&self) -> Result<Vec<(SimulateStage, JointStage)>> {
        let run = &self.runs[0];
        let last = self.last_epoch(run)?;
        let last = last.unwrap_or(run.settings.training.stop.max_epochs);
        let of_group = |group| {
            let simulated = SimulateStage::new(Rc::clone(run), last, group);
            (simulated, JointStage::new(Rc::clone(run), last, group))
        };
        Ok(SIMULATED_GROUPS.into_iter().map(of_group).collect())
    }

    /// The networks of double descent: every width with every seed.
    pub fn networks_of_widths(&self) -> Result<Vec<Rc<Experiment>>> {
        let sweep = &self.profile.double_descent;
        let mut experiments = Vec::new();
        for &width in &sweep.widths {
            let mut settings = sweep.experiment.clone();
            settings.network.width = width;
            for run in 0..sweep.runs {
                experiments.push(self.experiment(settings.clone(), run)?);
            }
        }
        Ok(experiments)
    }

    /// The manifolds of the test examples of one of [`Self::networks_of_widths`] at the best and at the final epoch of its training, in the
    /// layer of the profile; once where these are the same. Before training is finished, only the final one is known.
    pub fn geometries_of_width(&self, experiment: &Rc<Experiment>) -> Result<Vec<GeometryStage>> {
        let epochs: BTreeSet<usize> = match self.record(experiment)? {
            Some(record) => [record.best_epoch(), record.last_epoch()].into(),
            None => [experiment.settings.training.stop.max_epochs].into(),
        };
        let at = |epoch| Self::geometry_of_width(experiment, epoch);
        Ok(epochs.into_iter().map(at).collect())
    }

    /// One of them; by the conventions of the reference where the published values stand beside it.
    pub fn geometry_of_width(experiment: &Rc<Experiment>, epoch: usize) -> GeometryStage {
        let profile = &experiment.profile;
        let stage = GeometryStage::new(Rc::clone(experiment), epoch, ExampleGroup::Test)
            .in_layer(profile.double_descent.layer.clone());
        match as_in_figure4(profile) {
            true => stage.by_reference(),
            false => stage,
        }
    }

    /// The runs whose gradients are measured, in a short training of their own.
    pub fn gradient_runs(&self) -> Result<Vec<Rc<Experiment>>> {
        self.short_runs(self.profile.gradients.experiment.network.batch_norm)
    }

    /// The same with normalisation where they are without, or without where they are with.
    pub fn otherwise_normalised_runs(&self) -> Result<Vec<Rc<Experiment>>> {
        self.short_runs(!self.profile.gradients.experiment.network.batch_norm)
    }

    fn short_runs(&self, batch_norm: bool) -> Result<Vec<Rc<Experiment>>> {
        let gradients = &self.profile.gradients;
        let mut settings = gradients.experiment.clone();
        settings.network.batch_norm = batch_norm;
        settings.training.stop.max_epochs = gradients.epochs.iter().max().copied().unwrap_or(0);
        settings.geometry.epochs = Vec::new();
        (0..gradients.runs)
            .map(|run| self.experiment(settings.clone(), run))
            .collect()
    }
}
