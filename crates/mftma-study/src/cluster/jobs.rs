//! What was submitted, how it fares, and how it is taken back.

use std::collections::HashMap;
use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::plan::{Node, Plan, State};
use super::slurm::{Known, Slurm};
use super::store::{alone, jobs_folder};

/// Jobs that were submitted for a store.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Ledger {
    /// In the order of submission.
    pub jobs: Vec<Job>,
    /// Stages that were finished before anything was submitted.
    pub reused: usize,
}

/// One job array, or the job that draws.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Job {
    /// Slurm's number.
    pub job: String,
    /// `train`, `geometry`, …, `draw`.
    pub kind: String,
    /// BLAKE3 of the program.
    pub program: String,
    /// Its tasks, by their index in the array; none of the job that draws.
    pub tasks: Vec<Task>,
    /// Whether it was taken back.
    #[serde(default)]
    pub cancelled: bool,
}

/// One task of an array.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Task {
    /// Its index.
    pub index: usize,
    /// Names of the node that it does.
    pub ids: Vec<String>,
}

fn path(store: &Path) -> PathBuf {
    jobs_folder(store).join("ledger.json")
}

impl Ledger {
    /// What was submitted for a store; nothing, where nothing was.
    pub fn read(store: &Path) -> Result<Self> {
        let path = path(store);
        match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).with_context(|| {
                format!(
                    "{} is not readable; remove it: jobs are then no longer known here, finished work stays",
                    path.display()
                )
            }),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    /// Keeps it.
    pub fn write(&self, store: &Path) -> Result<()> {
        Ok(mftma_atomic::write(
            &path(store),
            &serde_json::to_vec_pretty(self)?,
        )?)
    }

    /// Forgets jobs that the scheduler neither runs nor will run, and whose outcome nobody asks for: those that only did what `plan`
    /// finished.
    pub fn forget(&mut self, plan: &Plan, alive: &Alive) {
        let done: std::collections::HashSet<&str> = plan
            .nodes
            .iter()
            .filter(|node| !node.state.is_open())
            .flat_map(|node| node.ids.iter().map(String::as_str))
            .collect();
        self.jobs.retain(|job| {
            let open = |task: &Task| {
                let waits = |id: &String| !done.contains(id.as_str());
                task.ids.iter().any(waits) || alive.task(job, task.index).is_some()
            };
            match job.tasks.is_empty() {
                true => alive.whole(job).is_some(),
                false => job.tasks.iter().any(open),
            }
        });
    }

    /// The last task that was submitted for a node.
    pub fn task(&self, node: &Node) -> Option<(&Job, usize)> {
        self.jobs.iter().rev().find_map(|job| {
            let task = job
                .tasks
                .iter()
                .find(|task| task.ids.iter().any(|id| node.ids.contains(id)))?;
            Some((job, task.index))
        })
    }
}

impl Job {
    /// The scheduler's name of a task.
    pub fn task_name(&self, index: usize) -> String {
        format!("{}_{index}", self.job)
    }

    /// Where a task's log is.
    pub fn log(&self, store: &Path, index: Option<usize>) -> PathBuf {
        let name = match index {
            Some(index) => format!("{}-{}.log", self.kind, self.task_name(index)),
            None => format!("{}-{}.log", self.kind, self.job),
        };
        super::store::logs_folder(store).join(name)
    }
}

/// The name of this store's jobs in the queue.
pub fn queue_name(store: &str) -> String {
    format!("mftma-{store}")
}

/// What the scheduler knows.
#[derive(Debug, Default)]
pub struct Alive {
    known: HashMap<String, Known>,
}

impl Alive {
    /// Asks for the jobs of a store.
    pub fn ask(slurm: &Slurm, store: &str) -> Result<Self> {
        let jobs = slurm.jobs(&queue_name(store))?;
        Ok(Self {
            known: jobs.into_iter().map(|job| (job.id.clone(), job)).collect(),
        })
    }

    fn active(&self, id: &str) -> Option<&Known> {
        self.known.get(id).filter(|job| job.runs() || job.waits())
    }

    /// A task that runs, or waits and may get its turn.
    pub fn task(&self, job: &Job, index: usize) -> Option<&Known> {
        self.active(&job.task_name(index))
    }

    /// The same for a job that is no array.
    pub fn whole(&self, job: &Job) -> Option<&Known> {
        self.active(&job.job)
    }

    /// What the scheduler still knows of a task, whatever became of it.
    pub fn told(&self, job: &Job, index: usize) -> Option<&Known> {
        self.known.get(&job.task_name(index))
    }

    /// Every job and task that runs or waits; also what will never run, which only stands in the way.
    pub fn to_cancel(&self) -> Vec<String> {
        let mut ids: Vec<String> = self
            .known
            .values()
            .filter(|job| job.runs() || job.waits() || job.state == "PENDING")
            .map(|job| job.id.clone())
            .collect();
        ids.sort();
        ids
    }
}

/// How the jobs of a plan fare.
#[derive(Debug, Default)]
pub struct Fares {
    /// Labels of those that run, each with its job.
    pub running: Vec<String>,
    /// How many wait for their turn.
    pub queued: usize,
    /// Those that ended without their output, each with its job and log.
    pub failed: Vec<String>,
    /// How many were not begun because what they build on failed.
    pub held_up: usize,
}

/// Compares the plan with the ledger and the queue.
pub fn fares(plan: &Plan, ledger: &Ledger, alive: &Alive, store: &Path) -> Fares {
    let mut fares = Fares::default();
    for node in plan.open() {
        let Some((job, index)) = ledger.task(node) else {
            continue;
        };
        let what = format!("{} {}", node.kind, node.label);
        match alive.task(job, index) {
            Some(known) if known.runs() => {
                fares
                    .running
                    .push(format!("{what}: job {}", job.task_name(index)));
                continue;
            }
            Some(_) => {
                fares.queued += 1;
                continue;
            }
            None if job.cancelled => continue,
            None if node.state == State::Waits => {
                fares.held_up += 1;
                continue;
            }
            None => {}
        }
        let log = job.log(store, Some(index));
        let state = alive.told(job, index);
        // An array's task whose input failed is cancelled before it begins; that is over once the input is finished by another job.
        let state = state.map_or(String::new(), |known| format!(", {}", known.state));
        let log = match log.exists() {
            true => format!("log {}", log.display()),
            false => format!(
                "no log {}: it did not begin, or its node does not see the store",
                log.display()
            ),
        };
        fares.failed.push(format!(
            "{what}: job {}{state}; {log}",
            job.task_name(index)
        ));
    }
    fares
}

/// Prints how the jobs of a store fare, where any were submitted.
pub fn print(
    plan: impl FnOnce() -> Result<Plan>,
    store: &Path,
    slurm: &Slurm,
    to: &mut dyn Write,
) -> Result<()> {
    let ledger = Ledger::read(store)?;
    let Some(id) = super::store::known(store)?.filter(|_| !ledger.jobs.is_empty()) else {
        return Ok(());
    };
    // Before the store is looked at: what has left the queue has left its output, or never will.
    let alive = match Alive::ask(slurm, &id) {
        Ok(alive) => alive,
        Err(error) => {
            say!(to, "jobs: {error:#}");
            return Ok(());
        }
    };
    let plan = &plan()?;
    let fares = fares(plan, &ledger, &alive, store);
    say!(
        to,
        "jobs: {} finished, {} of them reused, {} running, {} queued, {} failed, {} held up by what failed",
        plan.count(State::Finished),
        ledger.reused,
        fares.running.len(),
        fares.queued,
        fares.failed.len(),
        fares.held_up
    );
    for line in &fares.running {
        say!(to, "  running: {line}");
    }
    for line in &fares.failed {
        say!(to, "  failed: {line}");
    }
    if let Some(draw) = ledger.jobs.iter().rev().find(|job| job.tasks.is_empty()) {
        let log = draw.log(store, None);
        let state = match alive.known.get(&draw.job) {
            Some(known) => known.state.to_lowercase(),
            None => "ended".to_owned(),
        };
        say!(
            to,
            "  drawing: job {}, {state}; log {}",
            draw.job,
            log.display()
        );
    }
    if !fares.failed.is_empty() {
        say!(
            to,
            "submit again: only what is missing and neither runs nor waits is submitted"
        );
    }
    Ok(())
}

/// Takes back what was submitted for a store.
pub fn cancel(store: &Path, slurm: &Slurm, to: &mut dyn Write) -> Result<()> {
    let Some(id) = super::store::known(store)? else {
        bail!(
            "nothing was submitted for {}; name the store of the submission with --store",
            store.display()
        );
    };
    let jobs = alone(store, || {
        let mut ledger = Ledger::read(store)?;
        let jobs = Alive::ask(slurm, &id)?.to_cancel();
        slurm.cancel(&jobs)?;
        for job in &mut ledger.jobs {
            job.cancelled = true;
        }
        ledger.write(store)?;
        Ok(jobs)
    })?;
    say!(
        to,
        "cancelled {} jobs; finished work stays, and so does that of interrupted trainings up to their last epoch",
        jobs.len()
    );
    Ok(())
}
