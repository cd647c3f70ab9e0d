//! Who works on an entry of the store, where several machines share it.
//!
//! A lock of the system ends with its process, but not every shared file system keeps locks between machines, and clocks of machines
//! differ. So the right to work is a *claim*: a file `.claim-0001` made by exclusive creation, which says who made it. Nobody takes a
//! claim away. Who finds one whose holder has ended makes the next, `.claim-0002`; of several who try, one succeeds. The claim of the
//! highest number counts.
//!
//! Whether a holder has ended is never told by a clock:
//!
//! | holder | it has ended where |
//! |---|---|
//! | a job of a scheduler | the scheduler does not know it, or knows it as waiting or ended; or it is this very job, started again |
//! | any other process | this process holds the entry's lock, and is on the same machine or no job either |
//!
//! Where nobody can say, the holder counts as alive, and the error names the file to remove.

use std::fmt;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// How names of claims begin.
pub(crate) const PREFIX: &str = ".claim-";

/// Somebody who works on an entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Name of the machine.
    pub host: String,
    /// Process on it.
    pub process: u32,
    /// What no other holder has.
    pub nonce: String,
    /// The scheduler's name of the job, where it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<String>,
}

impl Holder {
    /// This process, by its environment.
    pub fn this() -> Self {
        Self {
            host: host(),
            process: std::process::id(),
            nonce: nonce(),
            job: job(),
        }
    }
}

/// Slurm's name of the job that this process is of. A task of an array has the array's number and its own: one task of each array has a job
/// number that stands for the whole array.
fn job() -> Option<String> {
    let variable = |name| {
        std::env::var(name)
            .ok()
            .filter(|value: &String| !value.is_empty())
    };
    match (
        variable("SLURM_ARRAY_JOB_ID"),
        variable("SLURM_ARRAY_TASK_ID"),
    ) {
        (Some(array), Some(task)) => Some(format!("{array}_{task}")),
        _ => variable("SLURM_JOB_ID"),
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.job {
            Some(job) => write!(f, "job {job} on {}", self.host),
            None => write!(f, "process {} on {}", self.process, self.host),
        }
    }
}

/// Name of this machine.
pub fn host() -> String {
    let kernel = fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let asked = || {
        let output = Command::new("hostname").output().ok()?;
        String::from_utf8(output.stdout).ok()
    };
    let name = kernel.or_else(asked).unwrap_or_default();
    match name.trim() {
        "" => "an unnamed machine".to_owned(),
        name => name.to_owned(),
    }
}

/// Sixteen digits that nobody else has: the system's entropy, by the keys that every process of the standard library draws.
pub fn nonce() -> String {
    use std::hash::{BuildHasher, Hasher};
    let mut hasher = std::collections::hash_map::RandomState::new().build_hasher();
    hasher.write_u32(std::process::id());
    format!("{:016x}", hasher.finish())
}

/// What a scheduler says of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// It runs, or ends just now.
    Runs,
    /// It does not run: it waits, has ended, or is not known.
    Gone,
    /// The scheduler could not be asked.
    Unknown,
}

/// What Slurm says of a job.
pub fn slurm_word(job: &str) -> Word {
    let asked = Command::new("squeue")
        .args(["--noheader", "--jobs", job, "--format=%T"])
        .output();
    let Ok(output) = asked else {
        return Word::Unknown;
    };
    let states = String::from_utf8_lossy(&output.stdout);
    let refused = String::from_utf8_lossy(&output.stderr);
    said(output.status.success(), &states, &refused)
}

/// States of jobs whose processes run, or may run for a moment yet.
const RUNNING: [&str; 8] = [
    "RUNNING",
    "SUSPENDED",
    "COMPLETING",
    "CONFIGURING",
    "STOPPED",
    "SIGNALING",
    "STAGE_OUT",
    "RESIZING",
];

fn said(succeeded: bool, states: &str, refused: &str) -> Word {
    if !succeeded {
        // A job that ended some minutes ago is forgotten.
        return match refused.contains("Invalid job id") {
            true => Word::Gone,
            false => Word::Unknown,
        };
    }
    let runs = states.lines().any(|state| RUNNING.contains(&state.trim()));
    if runs { Word::Runs } else { Word::Gone }
}

/// What is known beside a claim when it is judged.
pub struct Judge<'a> {
    /// Who asks.
    pub me: &'a Holder,
    /// Whether who asks holds the entry's lock; none where the file system has none.
    pub locked: Option<bool>,
    /// Asks the scheduler.
    pub ask: &'a dyn Fn(&str) -> Word,
}

impl Judge<'_> {
    /// Whether a holder has ended.
    fn has_ended(&self, holder: &Holder) -> bool {
        match &holder.job {
            // An earlier start of the same job; or another process of it, which works beside this one.
            Some(job) if self.me.job.as_ref() == Some(job) => {
                holder.host != self.me.host
                    || self.locked == Some(true)
                    || !process_runs(holder.process)
            }
            Some(job) => (self.ask)(job) == Word::Gone,
            None => {
                let here = holder.host == self.me.host;
                let judged_by_lock = here || self.me.job.is_none();
                match self.locked {
                    Some(locked) => judged_by_lock && locked,
                    None => here && !process_runs(holder.process),
                }
            }
        }
    }
}

/// Whether a process of this machine runs; where that cannot be told, it does.
pub fn process_runs(process: u32) -> bool {
    let known = Path::new("/proc/self").exists();
    !known || Path::new("/proc").join(process.to_string()).exists()
}

/// The right to work on an entry.
#[derive(Debug)]
pub struct Claim {
    folder: PathBuf,
    number: u32,
}

/// What an attempt to claim found.
#[derive(Debug)]
pub enum Attempt {
    /// The right is here.
    Claimed(Claim),
    /// Somebody else has it, by this file.
    Held(Holder, PathBuf),
}

/// Tries to claim the entry in `folder`.
pub fn attempt(folder: &Path, judge: &Judge<'_>) -> Result<Attempt> {
    // The claim of the highest number counts: those below are of holders that had ended when the next was made.
    let mut number = highest(folder)?.unwrap_or(1);
    loop {
        let path = path(folder, number);
        let text = serde_json::to_vec(judge.me)?;
        match mftma_atomic::write_new(&path, &text) {
            // A reply of a file server may be lost and the request sent again: what counts is whose name stands there.
            Ok(()) if read(&path)?.as_ref() == Some(judge.me) => {
                return Ok(Attempt::Claimed(Claim {
                    folder: folder.to_owned(),
                    number,
                }));
            }
            Ok(()) => continue,
            Err(error) if error.source.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error.into()),
        }
        match read(&path)? {
            // It was given back in this moment.
            None => continue,
            Some(holder) if holder == *judge.me => {
                return Ok(Attempt::Claimed(Claim {
                    folder: folder.to_owned(),
                    number,
                }));
            }
            Some(_) if self::path(folder, number + 1).exists() => number += 1,
            Some(holder) if judge.has_ended(&holder) => number += 1,
            Some(holder) => return Ok(Attempt::Held(holder, path)),
        }
    }
}

/// Who holds the last claim of an entry, if any.
pub fn last(folder: &Path) -> Option<Holder> {
    let number = highest(folder).ok()??;
    read(&path(folder, number)).ok()?
}

/// The numbers of the claims in a folder; none where there is no folder.
fn numbers(folder: &Path) -> Result<Vec<u32>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => {
            return Err(error).with_context(|| format!("cannot read {}", folder.display()));
        }
    };
    let number = |entry: std::io::Result<fs::DirEntry>| {
        let name = entry.ok()?.file_name();
        name.to_str()?.strip_prefix(PREFIX)?.parse().ok()
    };
    Ok(entries.filter_map(number).collect())
}

fn highest(folder: &Path) -> Result<Option<u32>> {
    Ok(numbers(folder)?.into_iter().max())
}

impl Claim {
    /// Gives the right back: the work is not done.
    pub fn give_back(self) {
        // Where that fails, whoever comes next asks whether this process has ended.
        let _ = fs::remove_file(path(&self.folder, self.number));
    }

    /// Removes all claims: the work is done, and nobody needs one any more.
    pub fn fulfil(self) {
        for number in (1..=self.number).rev() {
            let _ = fs::remove_file(path(&self.folder, number));
        }
    }
}

/// Removes the claims of an entry that nobody works on.
pub fn remove_all(folder: &Path) -> Result<()> {
    for number in numbers(folder)? {
        let path = path(folder, number);
        fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
    }
    Ok(())
}

fn path(folder: &Path, number: u32) -> PathBuf {
    folder.join(format!("{PREFIX}{number:04}"))
}

/// Who wrote a claim; none where there is no such file.
fn read(path: &Path) -> Result<Option<Holder>> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    let holder = serde_json::from_slice(&bytes).with_context(|| {
        format!(
            "{} is no claim; remove it if nobody works on its folder",
            path.display()
        )
    })?;
    Ok(Some(holder))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holder(host: &str, job: Option<&str>) -> Holder {
        Holder {
            host: host.into(),
            process: 1,
            nonce: nonce(),
            job: job.map(Into::into),
        }
    }

    fn try_as(folder: &Path, me: &Holder, locked: Option<bool>, word: Word) -> Attempt {
        let ask = |_: &str| word;
        let judge = Judge {
            me,
            locked,
            ask: &ask,
        };
        attempt(folder, &judge).unwrap()
    }

    fn taken(attempt: Attempt) -> Option<Claim> {
        match attempt {
            Attempt::Claimed(claim) => Some(claim),
            Attempt::Held(..) => None,
        }
    }

    #[test]
    fn a_claim_of_a_job_ends_by_the_schedulers_word_alone() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        let (first, second) = (holder("a", Some("7")), holder("b", Some("8")));
        let claim = taken(try_as(at, &first, None, Word::Unknown)).unwrap();
        for word in [Word::Runs, Word::Unknown] {
            assert!(taken(try_as(at, &second, Some(true), word)).is_none());
        }
        assert_eq!(last(at).unwrap(), first);
        let next = taken(try_as(at, &second, None, Word::Gone)).unwrap();
        assert_eq!((claim.number, next.number), (1, 2));
        assert_eq!(last(at).unwrap(), second);
        // The same job, started again by the scheduler, needs no word.
        let again = holder("c", Some("8"));
        let next = taken(try_as(at, &again, None, Word::Unknown)).unwrap();
        assert_eq!(next.number, 3);
        next.fulfil();
        assert!(last(at).is_none());
    }

    /// A claim below the last that was given back leaves no room for a second owner.
    #[test]
    fn the_claim_of_the_highest_number_counts() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        let first = taken(try_as(at, &holder("a", Some("7")), None, Word::Unknown)).unwrap();
        let second = holder("b", Some("8"));
        taken(try_as(at, &second, None, Word::Gone)).unwrap();
        first.give_back();
        let third = holder("c", Some("9"));
        assert!(taken(try_as(at, &third, None, Word::Runs)).is_none());
        assert_eq!(last(at).unwrap(), second);
        remove_all(at).unwrap();
        assert!(last(at).is_none());
    }

    /// Two processes of one job work beside each other: the second waits while the first runs.
    #[test]
    fn a_job_does_not_take_from_itself() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        let mut first = holder("a", Some("7"));
        first.process = std::process::id();
        taken(try_as(at, &first, Some(true), Word::Runs)).unwrap();
        let second = holder("a", Some("7"));
        for locked in [Some(false), None] {
            assert!(taken(try_as(at, &second, locked, Word::Runs)).is_none());
        }
        assert!(taken(try_as(at, &second, Some(true), Word::Runs)).is_some());
    }

    #[test]
    fn a_claim_of_a_process_ends_with_its_lock_but_not_for_a_job_elsewhere() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        let process = holder("login", None);
        let claim = taken(try_as(at, &process, Some(true), Word::Unknown)).unwrap();
        for (other, locked, ended) in [
            (holder("login", None), false, false),
            (holder("node", Some("7")), true, false),
            (holder("other", None), true, true),
            (holder("login", Some("7")), true, true),
        ] {
            let next = taken(try_as(at, &other, Some(locked), Word::Gone));
            assert_eq!(next.is_some(), ended, "{other}");
            if let Some(next) = next {
                next.give_back();
            }
        }
        claim.give_back();
        assert!(taken(try_as(at, &holder("node", Some("7")), None, Word::Gone)).is_some());
    }

    #[test]
    fn of_many_who_take_over_one_succeeds() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        taken(try_as(at, &holder("a", Some("1")), None, Word::Unknown)).unwrap();
        let won = std::sync::atomic::AtomicU32::new(0);
        std::thread::scope(|scope| {
            for job in 2..10 {
                let won = &won;
                scope.spawn(move || {
                    let me = holder("b", Some(&job.to_string()));
                    let ask = |job: &str| match job {
                        "1" => Word::Gone,
                        _ => Word::Runs,
                    };
                    let judge = Judge {
                        me: &me,
                        locked: None,
                        ask: &ask,
                    };
                    if let Attempt::Claimed(_) = attempt(at, &judge).unwrap() {
                        won.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                    }
                });
            }
        });
        assert_eq!(won.into_inner(), 1);
    }

    #[test]
    fn a_damaged_claim_is_named() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(".claim-0001"), b"{").unwrap();
        let me = holder("a", None);
        let judge = Judge {
            me: &me,
            locked: Some(true),
            ask: &|_| Word::Gone,
        };
        let error = format!("{:#}", attempt(folder.path(), &judge).unwrap_err());
        assert!(
            error.contains("claim-0001 is no claim; remove it"),
            "{error}"
        );
    }

    #[test]
    fn what_slurm_says() {
        assert_eq!(said(true, "RUNNING\n", ""), Word::Runs);
        assert_eq!(said(true, "COMPLETING\n", ""), Word::Runs);
        assert_eq!(said(true, "PENDING\n", ""), Word::Gone);
        assert_eq!(said(true, "", ""), Word::Gone);
        let unknown = "slurm_load_jobs error: Invalid job id specified";
        assert_eq!(said(false, "", unknown), Word::Gone);
        assert_eq!(
            said(false, "", "Unable to contact slurm controller"),
            Word::Unknown
        );
    }
}
