//! Submits what is missing to Slurm: job arrays, one for each kind and size of stages, with Slurm's own dependencies between them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use super::command::{Commands, quoted};
use super::jobs::{Alive, Job, Ledger, Task, queue_name};
use super::plan::{BASE_BYTES, CORES, LEAST_SECONDS, Node, Plan, State};
use super::slurm::Slurm;
use super::stage::TRY_AGAIN;
use super::store;
use crate::claim;
use crate::record::{duration, size};

/// Most tasks of an array: Slurm's `MaxArraySize` is 1001 where nobody changed it.
const ARRAY: usize = 1000;

/// Seconds between Slurm's warning and the end of a job \[D\]. What is on the disk is always enough to go on from: a stage needs none.
const WARNING: u32 = 60;

/// What the user wants of Slurm; estimates decide the rest.
#[derive(Debug, Clone, Default)]
pub struct Wishes {
    /// `--partition`.
    pub partition: Option<String>,
    /// `--account`.
    pub account: Option<String>,
    /// The longest time limit of a job, in seconds.
    pub longest: Option<f64>,
    /// `--mem` of every job.
    pub memory: Option<String>,
    /// `--cpus-per-task` of every job.
    pub cores: Option<u64>,
    /// How many tasks of an array run at once.
    pub array_limit: Option<u64>,
    /// Further arguments of `sbatch`.
    pub arguments: Vec<String>,
}

/// Seconds of a time limit in Slurm's forms: `90`, `1:30:00`, `2-12`, `2-12:30`.
pub fn seconds(limit: &str) -> Option<f64> {
    let (days, rest) = match limit.split_once('-') {
        Some((days, rest)) => (Some(days.parse::<u32>().ok()?), rest),
        None => (None, limit),
    };
    let parts: Vec<f64> = rest
        .split(':')
        .map(|part| part.parse::<u32>().ok().map(f64::from))
        .collect::<Option<_>>()?;
    let seconds = match (days, parts.as_slice()) {
        (None, [minutes]) => 60.0 * minutes,
        (None, [minutes, seconds]) => 60.0 * minutes + seconds,
        (_, [hours, minutes, seconds]) => 3600.0 * hours + 60.0 * minutes + seconds,
        (Some(_), [hours]) => 3600.0 * hours,
        (Some(_), [hours, minutes]) => 3600.0 * hours + 60.0 * minutes,
        _ => return None,
    };
    Some(seconds + 86400.0 * f64::from(days.unwrap_or(0))).filter(|&seconds| seconds > 0.0)
}

/// A job that is to be submitted: tasks by index, and what they wait for.
struct Array<'a> {
    kind: &'a str,
    tasks: Vec<(usize, usize)>,
    dependency: Option<String>,
}

/// Sizes of stages that share an array: time by factors of four, memory by factors of two.
type Size = (i32, i32);

fn size_class(node: &Node) -> Size {
    let log = |value: f64, base: f64| value.max(1.0).log(base).floor() as i32;
    (
        log(node.seconds(), 4.0),
        log(node.limit_bytes() / BASE_BYTES, 2.0),
    )
}

/// Where a node's output will come from: a task of an array.
type Source = (String, usize);

/// Submits what is missing.
pub struct Submission<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// The folder of finished work.
    pub store: &'a Path,
    /// Its name.
    pub id: &'a str,
    /// The program that jobs run, by its hash.
    pub program: &'a str,
    /// Commands of jobs.
    pub commands: &'a Commands,
    /// What the user wants.
    pub wishes: &'a Wishes,
    /// The scheduler.
    pub slurm: &'a Slurm,
    /// What it knew before the plan was made: what has left the queue by then has left its output in the store, or never will.
    pub alive: &'a Alive,
    /// Whether everything is drawn already.
    pub drawn: bool,
}

impl Submission<'_> {
    /// Submits, and says what.
    pub fn run(&self, to: &mut dyn Write) -> Result<()> {
        check_arguments(&self.wishes.arguments)?;
        let alive = self.alive;
        let mut ledger = Ledger::read(self.store)?;
        self.refuse_other_program(&ledger, alive)?;
        let finished = self.plan.count(State::Finished);
        if ledger.jobs.is_empty() {
            ledger.reused = finished;
        }
        let mut sources: HashMap<usize, Source> = HashMap::new();
        let mut missing = BTreeSet::new();
        for (at, node) in self.plan.nodes.iter().enumerate() {
            if !node.state.is_open() {
                continue;
            }
            let active = ledger
                .task(node)
                .filter(|(job, index)| alive.task(job, *index).is_some());
            match active {
                Some((job, index)) => {
                    sources.insert(at, (job.job.clone(), index));
                }
                None => {
                    missing.insert(at);
                }
            }
        }
        let needed: f64 = missing
            .iter()
            .map(|&at| self.plan.nodes[at].space.disk)
            .sum();
        store::check_room(self.store, needed)?;
        self.clear_claims_of_processes(&missing, to)?;
        ledger.forget(self.plan, alive);
        let underway = sources.len();
        say!(
            to,
            "{finished} stages finished, {underway} queued or running, {} to submit; they will take about {} of disk",
            missing.len(),
            size(needed as u64)
        );
        // Old jobs that draw wait for what failed, or draw too soon.
        let old: Vec<String> = ledger
            .jobs
            .iter()
            .filter(|job| job.tasks.is_empty() && alive.whole(job).is_some())
            .map(|job| job.job.clone())
            .collect();
        let (mut arrays, mut tasks) = (0, 0);
        while !missing.is_empty() {
            let ready: Vec<usize> = missing
                .iter()
                .copied()
                .filter(|&at| {
                    self.inputs(at)
                        .iter()
                        .all(|input| sources.contains_key(input))
                })
                .collect();
            if ready.is_empty() {
                bail!("the plan has a circle; this is an error of the program");
            }
            for array in self.arrays(&ready, &sources) {
                let job = self.submit_array(&array)?;
                let mut entry = Job {
                    job: job.clone(),
                    kind: array.kind.to_owned(),
                    program: self.program.to_owned(),
                    tasks: Vec::new(),
                    cancelled: false,
                };
                for &(index, at) in &array.tasks {
                    let ids = self.plan.nodes[at].ids.clone();
                    entry.tasks.push(Task { index, ids });
                    sources.insert(at, (job.clone(), index));
                }
                tasks += array.tasks.len();
                arrays += 1;
                ledger.jobs.push(entry);
                ledger.write(self.store)?;
            }
            for at in ready {
                missing.remove(&at);
            }
        }
        if arrays == 0 && (!old.is_empty() || (self.drawn && underway == 0)) {
            say!(to, "nothing was missing: nothing was submitted");
            return Ok(());
        }
        self.slurm.cancel(&old)?;
        let job = self.submit_draw(&ledger, &sources)?;
        ledger.jobs.retain(|job| !old.contains(&job.job));
        ledger.jobs.push(Job {
            job: job.clone(),
            kind: "draw".to_owned(),
            program: self.program.to_owned(),
            tasks: Vec::new(),
            cancelled: false,
        });
        ledger.write(self.store)?;
        say!(
            to,
            "submitted {tasks} stages in {arrays} job arrays, and job {job}, which draws to {} when they are finished",
            self.commands.out.display()
        );
        say!(
            to,
            "`reproduce status` tells how they fare, `reproduce cancel` takes them back; logs are in {}",
            store::logs_folder(self.store).display()
        );
        Ok(())
    }

    /// The inputs of a node that are not finished.
    fn inputs(&self, at: usize) -> Vec<usize> {
        let open = |&input: &usize| self.plan.nodes[input].state.is_open();
        let inputs = self.plan.nodes[at].inputs.iter().copied();
        inputs.filter(open).collect()
    }

    fn refuse_other_program(&self, ledger: &Ledger, alive: &Alive) -> Result<()> {
        let other = ledger.jobs.iter().find(|job| {
            let mut tasks = job.tasks.iter();
            job.program != self.program
                && (tasks.any(|task| alive.task(job, task.index).is_some())
                    || alive.whole(job).is_some())
        });
        if let Some(job) = other {
            bail!(
                "job {} of this store runs another version of the program ({}, this is {}); wait for it, or `reproduce cancel`, then \
                 submit again: finished work stays",
                job.job,
                job.program.get(..12).unwrap_or(&job.program),
                self.program.get(..12).unwrap_or(self.program)
            );
        }
        Ok(())
    }

    /// A claim of a process that is no job can be judged where it ran only: here, if it was here. Jobs would refuse to work beside it.
    fn clear_claims_of_processes(
        &self,
        missing: &BTreeSet<usize>,
        to: &mut dyn Write,
    ) -> Result<()> {
        let here = claim::host();
        for stage in missing.iter().flat_map(|&at| &self.plan.nodes[at].stages) {
            let name = crate::cache::key(stage.as_ref());
            let folder = self.store.join(format!("{}-{}", stage.kind(), &name[..16]));
            let Some((number, holder)) = claim::numbered(&folder) else {
                continue;
            };
            if holder.job.is_some() {
                continue;
            }
            if holder.host == here && !claim::process_runs(holder.process) {
                claim::remove_up_to(&folder, number)?;
            } else {
                say!(
                    to,
                    "note: {holder} works on {} {}; its job will leave it alone. If it has ended, remove .claim-* in {}",
                    stage.kind(),
                    stage.label(),
                    folder.display()
                );
            }
        }
        Ok(())
    }

    /// The arrays of nodes whose inputs are finished or come from tasks.
    fn arrays<'b>(&'b self, ready: &[usize], sources: &HashMap<usize, Source>) -> Vec<Array<'b>> {
        // By kind, size and the array that the input comes from.
        let mut groups: BTreeMap<(&str, Size, Vec<String>), Vec<usize>> = BTreeMap::new();
        for &at in ready {
            let node = &self.plan.nodes[at];
            let from = |input: &usize| sources.get(input).cloned();
            let from: Vec<Source> = self.inputs(at).iter().filter_map(from).collect();
            let from = match from.as_slice() {
                [] => Vec::new(),
                [(job, _)] => vec![job.clone()],
                // Several: each task is named.
                several => several
                    .iter()
                    .map(|(job, i)| format!("{job}_{i}"))
                    .collect(),
            };
            groups
                .entry((node.kind, size_class(node), from))
                .or_default()
                .push(at);
        }
        let mut arrays = Vec::new();
        for ((kind, _, from), nodes) in groups {
            match from.as_slice() {
                [] => arrays.extend(in_a_row(kind, &nodes, None)),
                [job] => arrays.extend(self.after(kind, job, &nodes, sources)),
                several => {
                    let dependency = format!("afterok:{}", several.join(":"));
                    arrays.extend(in_a_row(kind, &nodes, Some(dependency)));
                }
            }
        }
        arrays
    }

    /// Nodes that each build on one task of an array. Where that array has no fewer tasks than a task has dependants, arrays in
    /// step with it (aftercorr); else an array for each task (afterok). No task waits for more than its own input.
    fn after<'b>(
        &self,
        kind: &'b str,
        job: &str,
        nodes: &[usize],
        sources: &HashMap<usize, Source>,
    ) -> Vec<Array<'b>> {
        let mut of_task: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for &at in nodes {
            for input in self.inputs(at) {
                if let Some((_, index)) = sources.get(&input) {
                    of_task.entry(*index).or_default().push(at);
                }
            }
        }
        let most = of_task.values().map(Vec::len).max().unwrap_or(0);
        if of_task.len() < most {
            let array = |(index, nodes): (&usize, &Vec<usize>)| {
                in_a_row(kind, nodes, Some(format!("afterok:{job}_{index}")))
            };
            return of_task.iter().flat_map(array).collect();
        }
        (0..most)
            .map(|place| Array {
                kind,
                tasks: of_task
                    .iter()
                    .filter_map(|(&index, nodes)| Some((index, *nodes.get(place)?)))
                    .collect(),
                dependency: Some(format!("aftercorr:{job}")),
            })
            .collect()
    }

    fn submit_array(&self, array: &Array<'_>) -> Result<String> {
        let nodes = array.tasks.iter().map(|&(_, at)| &self.plan.nodes[at]);
        let longest = nodes.clone().map(Node::seconds).fold(0.0, f64::max);
        let limit = nodes.clone().map(Node::limit_seconds).fold(0.0, f64::max);
        let bytes = nodes.clone().map(Node::limit_bytes).fold(0.0, f64::max);
        let mut cases = String::new();
        for (index, at) in &array.tasks {
            let command = quoted(&self.commands.stage(&self.plan.nodes[*at]));
            let _ = writeln!(cases, "{index}) set -- {command} ;;");
        }
        let what = format!(
            "{} stages of kind {}, the longest by estimate {}",
            array.tasks.len(),
            array.kind,
            duration(longest)
        );
        let body = format!(
            "case \"$SLURM_ARRAY_TASK_ID\" in\n{cases}*) echo \"no stage has the index $SLURM_ARRAY_TASK_ID\" >&2; exit 1 ;;\nesac\n"
        );
        let indices: Vec<String> = array.tasks.iter().map(|(i, _)| i.to_string()).collect();
        let mut list = indices.join(",");
        if array.tasks.iter().enumerate().all(|(n, (i, _))| n == *i) {
            list = format!("0-{}", array.tasks.len() - 1);
        }
        if let Some(limit) = self.wishes.array_limit {
            let _ = write!(list, "%{limit}");
        }
        let mut arguments = self.arguments(array.kind, "%A_%a", limit, bytes);
        arguments.push(format!("--array={list}"));
        if let Some(dependency) = &array.dependency {
            arguments.push(format!("--dependency={dependency}"));
        }
        self.sbatch(array.kind, &what, &body, arguments)
    }

    fn submit_draw(&self, ledger: &Ledger, sources: &HashMap<usize, Source>) -> Result<String> {
        let mut waits = BTreeSet::new();
        for (job, index) in sources.values() {
            let known = ledger.jobs.iter().find(|known| known.job == *job);
            let whole = known.is_some_and(|known| {
                let task =
                    |task: &Task| sources.values().any(|(j, i)| j == job && *i == task.index);
                known.tasks.iter().all(task)
            });
            waits.insert(match whole {
                true => job.clone(),
                false => format!("{job}_{index}"),
            });
        }
        let (seconds, bytes) = (LEAST_SECONDS.max(3600.0), self.plan.draw_bytes());
        let mut arguments = self.arguments("draw", "%j", seconds, bytes);
        if !waits.is_empty() {
            let waits: Vec<String> = waits.into_iter().collect();
            arguments.push(format!("--dependency=afterok:{}", waits.join(":")));
        }
        let body = format!("set -- {}\n", quoted(&self.commands.draw()));
        self.sbatch("draw", "figures, claims and report", &body, arguments)
    }

    /// What every job is submitted with.
    fn arguments(&self, kind: &str, job: &str, seconds: f64, bytes: f64) -> Vec<String> {
        let wishes = self.wishes;
        let seconds = wishes
            .longest
            .map_or(seconds, |longest| seconds.min(longest));
        let minutes = (seconds / 60.0).ceil().max(1.0);
        let memory = wishes
            .memory
            .clone()
            .unwrap_or_else(|| format!("{}M", (bytes / 1e6).ceil()));
        let log = store::logs_folder(self.store).join(format!("{kind}-{job}.log"));
        let mut arguments = vec![
            "--parsable".to_owned(),
            "--requeue".to_owned(),
            "--kill-on-invalid-dep=yes".to_owned(),
            "--open-mode=append".to_owned(),
            format!("--job-name={}", queue_name(self.id)),
            format!("--comment={kind}"),
            format!("--time={minutes}"),
            format!("--mem={memory}"),
            format!("--cpus-per-task={}", wishes.cores.unwrap_or(CORES)),
            format!("--signal=B:TERM@{WARNING}"),
            format!("--output={}", log.display()),
            format!("--chdir={}", self.store.display()),
        ];
        let flag = |name: &str, value: &Option<String>| {
            value.as_ref().map(|value| format!("--{name}={value}"))
        };
        arguments.extend(flag("partition", &wishes.partition));
        arguments.extend(flag("account", &wishes.account));
        arguments.extend(wishes.arguments.iter().cloned());
        arguments
    }

    fn sbatch(
        &self,
        kind: &str,
        what: &str,
        body: &str,
        mut arguments: Vec<String>,
    ) -> Result<String> {
        let script = script(kind, what, body);
        let digits = blake3::hash(script.as_bytes()).to_hex();
        let path: PathBuf =
            store::jobs_folder(self.store).join(format!("{kind}-{}.sh", &digits[..12]));
        mftma_atomic::write(&path, script.as_bytes())?;
        arguments.push(path.display().to_string());
        self.slurm.submit(&arguments)
    }
}

/// Nodes as arrays of their own indices, as many as it takes.
fn in_a_row<'a>(kind: &'a str, nodes: &[usize], dependency: Option<String>) -> Vec<Array<'a>> {
    nodes
        .chunks(ARRAY)
        .map(|nodes| Array {
            kind,
            tasks: nodes.iter().copied().enumerate().collect(),
            dependency: dependency.clone(),
        })
        .collect()
}

/// Refuses arguments of `sbatch` by which jobs are found again.
fn check_arguments(arguments: &[String]) -> Result<()> {
    const LONG: [&str; 5] = [
        "--job-name",
        "--array",
        "--clusters",
        "--output",
        "--dependency",
    ];
    const SHORT: [&str; 5] = ["-J", "-a", "-M", "-o", "-d"];
    let own = |argument: &&String| {
        let name = argument.split('=').next().unwrap_or_default();
        LONG.contains(&name) || SHORT.iter().any(|short| argument.starts_with(short))
    };
    match arguments.iter().find(own) {
        Some(argument) => bail!(
            "--sbatch-arg={argument}: jobs are found again by their names, arrays and logs, which are set here; leave it out"
        ),
        None => Ok(()),
    }
}

/// How often a job of a kind is given another turn. What goes on where it stopped may take many; what begins anew each time would not end with
/// more of the same.
fn turns(kind: &str) -> usize {
    match kind {
        "train" | "gradients" => 200,
        _ => 3,
    }
}

/// A job script: `body` sets the command, the rest runs it, hands on Slurm's warning, and asks for another turn where the command does.
fn script(kind: &str, what: &str, body: &str) -> String {
    let turns = turns(kind);
    format!(
        r#"#!/bin/bash
# {what}. Written by `cargo xtask reproduce --executor slurm`.
set -u
{body}me=${{SLURM_JOB_ID:-none}}
# The job number of one task of an array stands for the whole array.
[ -n "${{SLURM_ARRAY_JOB_ID-}}" ] && me="${{SLURM_ARRAY_JOB_ID}}_$SLURM_ARRAY_TASK_ID"
echo "job $me on $(uname -n), start ${{SLURM_RESTART_COUNT:-0}}: $*"
"$@" --jobs "${{SLURM_CPUS_PER_TASK:-{CORES}}}" &
child=$!
trap 'kill -TERM "$child" 2>/dev/null' TERM
wait "$child"; code=$?
while kill -0 "$child" 2>/dev/null; do wait "$child"; code=$?; done
if [ "$code" -eq {TRY_AGAIN} ]; then
  # A job that was cancelled, or that Slurm puts back itself, does not run any more and asks for nothing.
  if [ "${{SLURM_RESTART_COUNT:-0}}" -ge {turns} ]; then
    echo "told to end after {turns} further turns: submit again with a longer --time" >&2
  elif [ "$(squeue --noheader --jobs "$me" --format=%T)" = RUNNING ]; then
    echo "told to end: asks Slurm for another turn"
    # It ends this script.
    scontrol requeue "$me" && sleep 120
  fi
fi
exit "$code"
"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_limits_in_slurms_forms() {
        for (text, wanted) in [
            ("90", Some(5400.0)),
            ("1:30", Some(90.0)),
            ("2:00:00", Some(7200.0)),
            ("2-12", Some(216_000.0)),
            ("1-01:30", Some(91_800.0)),
            ("1-00:00:01", Some(86_401.0)),
            ("0", None),
            ("soon", None),
            ("1-", None),
            ("-5", None),
            ("1:2:3:4", None),
        ] {
            assert_eq!(seconds(text), wanted, "{text}");
        }
    }

    #[test]
    fn arguments_by_which_jobs_are_found_are_refused() {
        let check = |argument: &str| check_arguments(&[argument.to_owned()]);
        for refused in [
            "--job-name=x",
            "-Jx",
            "--array=1",
            "-M",
            "--dependency=afterok:1",
        ] {
            let error = check(refused).unwrap_err().to_string();
            assert!(error.contains(refused), "{error}");
        }
        for taken in [
            "--qos=long",
            "--exclude=node17",
            "--mem-bind=local",
            "-C gpu",
        ] {
            check(taken).unwrap();
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_job_script_ends_with_the_code_of_its_command() {
        for code in [0, 3, 75] {
            let body = format!("set -- sh -c 'exit {code}'\n");
            // Nobody gives another turn here: the code says that one was wanted.
            let output = std::process::Command::new("bash")
                .args(["-c", &script("train", "a test", &body)])
                .env("SLURM_JOB_ID", "none")
                .env("PATH", "/usr/bin:/bin")
                .env("SLURM_CONF", "/nonexistent")
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(code), "{said}");
        }
    }
}
