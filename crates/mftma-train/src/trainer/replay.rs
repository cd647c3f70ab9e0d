//! Kept epochs that a policy asks for after the fact: trained again from the nearest epoch that left everything needed.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;

use crate::TrainError;
use crate::checkpoint::{Checkpoint, CheckpointKind, Header};
use crate::run::{BEST_FILE, RESUME_FILE, kept_file, optimizer_file};

use super::{Learner, PassedEpoch, Progress, Trainer};

/// Whether nothing (or another epoch's state) lies where the file of an epoch should be.
fn is_absent(folder: &Path, name: &str, epoch: usize) -> bool {
    let path = folder.join(name);
    // The best epoch's file is replaced; the others carry their epoch in their name.
    !path.exists() || (name == BEST_FILE && !Header::read(&path).is_ok_and(|h| h.epoch == epoch))
}

/// The last epoch up to `epoch` from which training can go on: one with its network and its optimiser's state, else the
/// initialization.
fn restart(folder: &Path, epoch: usize) -> usize {
    let whole =
        |e: &usize| folder.join(kept_file(*e)).exists() && folder.join(optimizer_file(*e)).exists();
    (1..=epoch).rev().find(whole).unwrap_or(0)
}

impl Learner {
    /// The state after `epoch`, which left its files in `folder`; epoch 0 is the initialization.
    fn restore(trainer: &Trainer<'_>, folder: &Path, epoch: usize) -> Result<Self, TrainError> {
        let mut learner = Self::initial(&*trainer.blank, trainer.settings());
        if epoch == 0 {
            return Ok(learner);
        }
        let open = |name: String, kind: CheckpointKind| -> Result<Checkpoint, TrainError> {
            let path = folder.join(name);
            let checkpoint = Checkpoint::open(&path)?;
            checkpoint.check_run(trainer.settings(), &trainer.identity)?;
            let header = checkpoint.header();
            if header.kind != kind || header.epoch != epoch {
                return Err(TrainError::Format {
                    path,
                    problem: format!(
                        "it holds another kind of state, or that of epoch {}",
                        header.epoch
                    ),
                    remedy: "delete it; the epoch is then trained again",
                });
            }
            Ok(checkpoint)
        };
        open(kept_file(epoch), CheckpointKind::Kept)?.load_into(&mut *learner.network)?;
        open(optimizer_file(epoch), CheckpointKind::Optimizer)?
            .load_optimizer(&mut learner.optimizer)?;
        Ok(learner)
    }
}

impl Trainer<'_> {
    /// Writes the files that the policy asks for of past epochs and that are not there, as they would be had it asked at first.
    pub(super) fn make_missing(
        &mut self,
        progress: &mut dyn FnMut(Progress<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, TrainError> {
        let Some(folder) = self.folder.as_ref().map(|f| f.path.clone()) else {
            return Ok(ControlFlow::Continue(()));
        };
        let missing: BTreeMap<usize, Vec<(String, CheckpointKind)>> = (0..self.history().len())
            .map(|epoch| {
                let mut files = self.files_of(epoch);
                files.retain(|(name, _)| is_absent(&folder, name, epoch));
                (epoch, files)
            })
            .collect();
        // An optimiser's state alone is no reason to train again; it is written where an epoch is passed anyway.
        let wanted: Vec<usize> = missing
            .iter()
            .filter(|(_, files)| files.iter().any(|(_, kind)| *kind == CheckpointKind::Kept))
            .map(|(epoch, _)| *epoch)
            .collect();
        if wanted.is_empty() {
            return Ok(ControlFlow::Continue(()));
        }
        let end = self.exchange(Learner::initial(&*self.blank, self.settings()));
        let made = self.replay(&folder, &wanted, &missing, &end, progress);
        self.exchange(end);
        made
    }

    /// Trains again to each of the epochs `wanted`, ascending, and writes what is missing of the epochs passed. `end` is the state
    /// after the last epoch of the history.
    fn replay(
        &mut self,
        folder: &Path,
        wanted: &[usize],
        missing: &BTreeMap<usize, Vec<(String, CheckpointKind)>>,
        end: &Learner,
        progress: &mut dyn FnMut(Progress<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, TrainError> {
        let last = self.history().len() - 1;
        let mut at = None;
        for &target in wanted {
            let mut epoch = if target == last {
                self.exchange(end.again());
                target
            } else {
                match (at, restart(folder, target)) {
                    (Some(at), nearest) if nearest <= at => at,
                    (_, nearest) => {
                        let learner = Learner::restore(self, folder, nearest)?;
                        self.exchange(learner);
                        nearest
                    }
                }
            };
            loop {
                let files = missing.get(&epoch).map_or(&[][..], Vec::as_slice);
                if self.write_files(epoch, files, progress)?.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
                if epoch == target {
                    break;
                }
                epoch += 1;
                match self.train_epoch(epoch, progress)? {
                    ControlFlow::Break(()) => return Ok(ControlFlow::Break(())),
                    ControlFlow::Continue(passed) => self.check_passed(folder, epoch, &passed)?,
                }
            }
            at = Some(target);
        }
        Ok(ControlFlow::Continue(()))
    }

    /// An epoch trained again gives the number that stands in the history, or is another one.
    fn check_passed(
        &self,
        folder: &Path,
        epoch: usize,
        passed: &PassedEpoch,
    ) -> Result<(), TrainError> {
        let known = self.history()[epoch].batch_loss;
        if known == Some(passed.batch_loss) {
            return Ok(());
        }
        Err(TrainError::Mismatch {
            path: folder.join(RESUME_FILE),
            what: format!("the loss of epoch {epoch}, trained again"),
            expected: known.map_or("none".to_owned(), |loss| loss.to_string()),
            found: passed.batch_loss.to_string(),
            remedy: "keep further epochs on the kind of machine and the version that made the run, or train in another folder",
        })
    }
}
