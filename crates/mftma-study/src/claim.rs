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
//! | any other process of this machine | this process holds the entry's lock; without locks, where the system does not know it |
//! | any other process elsewhere | nobody can tell: a lock that is free here may be held there. The error names the file to remove |
//!
//! So a lock helps to tell, on one machine, and neither stops anybody for ever nor gives a right.

use std::fmt;
use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

/// How names of claims begin.
pub(crate) const PREFIX: &str = ".claim-";

/// The lock of a folder that is worked on; the system lets it go when the process dies.
pub(crate) const LOCK: &str = ".lock";

/// Longest pause before somebody else's claim is looked at again: where it is a job's, a scheduler is asked each time.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The same where nobody is asked.
const LONGEST_PAUSE_HERE: Duration = Duration::from_secs(1);

/// How often a claim is tried whose temporary file somebody swept away.
const SWEPT: usize = 1000;

/// Somebody who works on an entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Name of the machine.
    pub host: String,
    /// Process on it.
    pub process: u32,
    /// What no other holder has.
    pub nonce: String,
    /// The machine's start, which its containers share, whatever they are called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot: Option<String>,
    /// The scheduler's name of the job, where it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<String>,
    /// The scheduler: numbers of jobs are its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// Whether the claim was made without the lock: then a free lock does not say that its holder has ended.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unlocked: bool,
}

impl Holder {
    /// This process, by its environment.
    pub fn this() -> Self {
        Self {
            host: host(),
            process: std::process::id(),
            nonce: nonce(),
            boot: fs::read_to_string("/proc/sys/kernel/random/boot_id")
                .ok()
                .map(|id| id.trim().to_owned()),
            job: job(),
            cluster: variable("SLURM_CLUSTER_NAME"),
            unlocked: false,
        }
    }

    /// Whether this is the same job, started again or twice.
    fn same_job(&self, other: &Self) -> bool {
        self.job.is_some() && self.job == other.job && !self.elsewhere(other)
    }

    /// Whether the two are known to be jobs of different schedulers.
    fn elsewhere(&self, other: &Self) -> bool {
        let (Some(one), Some(two)) = (&self.cluster, &other.cluster) else {
            return false;
        };
        one != two
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Slurm's name of the job that this process is of. A task of an array has the array's number and its own: one task of each array has a job
/// number that stands for the whole array.
fn job() -> Option<String> {
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
    /// The scheduler does not answer now.
    Unknown,
    /// There is no scheduler here that could be asked.
    Absent,
}

/// What Slurm says of a job.
pub fn slurm_word(job: &str) -> Word {
    let asked = Command::new("squeue")
        .args(["--noheader", "--jobs", job, "--format=%T"])
        .output();
    let output = match asked {
        Ok(output) => output,
        Err(error) if error.kind() == ErrorKind::NotFound => return Word::Absent,
        Err(_) => return Word::Unknown,
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

/// Whether a holder works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// It works, or may for a moment yet: who waits will know.
    Lives,
    /// It has ended.
    Ended,
    /// Nobody here will ever know.
    Untold,
}

impl Life {
    fn ended(ended: bool) -> Self {
        if ended { Self::Ended } else { Self::Lives }
    }
}

impl Judge<'_> {
    /// Whether a holder works.
    fn life(&self, holder: &Holder) -> Life {
        let me = self.me;
        let same_host = holder.host == me.host;
        if holder.same_job(me) {
            // An earlier start of the same job; or another process of it, which works beside this one.
            return Life::ended(
                !same_host || self.locked == Some(true) || !process_runs(holder.process),
            );
        }
        if let Some(job) = &holder.job {
            if holder.elsewhere(me) {
                return Life::Untold;
            }
            return match (self.ask)(job) {
                Word::Gone => Life::Ended,
                Word::Runs | Word::Unknown => Life::Lives,
                Word::Absent => Life::Untold,
            };
        }
        let here = same_host || (holder.boot.is_some() && holder.boot == me.boot);
        match self.locked {
            Some(locked) if here && !holder.unlocked => Life::ended(locked),
            _ if same_host => Life::ended(!process_runs(holder.process)),
            // Somebody holds the lock, which is seen from here: this holder, or who takes over from it.
            Some(false) if me.job.is_none() => Life::Lives,
            _ => Life::Untold,
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
    Held(Holder, PathBuf, Life),
}

/// Tries to claim the entry in `folder`.
pub fn attempt(folder: &Path, judge: &Judge<'_>) -> Result<Attempt> {
    // The claim of the highest number counts: those below are of holders that had ended when the next was made.
    let mut number = highest(folder)?.unwrap_or(1);
    let mut swept = 0;
    loop {
        let path = path(folder, number);
        // Most who ask find somebody's claim: they only read it.
        if !path.exists() {
            let text = serde_json::to_vec(judge.me)?;
            // In one breath with the list of claims: a process that is told to end meanwhile gives this one back too.
            let written = {
                let mut held = held();
                let written = mftma_atomic::write_new(&path, &text);
                if written.is_ok() {
                    held.push(path.clone());
                }
                written
            };
            match written {
                // A reply of a file server may be lost and the request sent again: what counts is whose name stands there.
                Ok(()) if read(&path)?.is_some_and(|there| there.nonce == judge.me.nonce) => {
                    return Ok(Attempt::Claimed(Claim::of(folder, number)));
                }
                Ok(()) => {
                    held().retain(|other| *other != path);
                    continue;
                }
                Err(error) if error.source.kind() == ErrorKind::AlreadyExists => {}
                // Who has the right sweeps away what killed writers left, and took this one's temporary file for such.
                Err(error)
                    if error.source.kind() == ErrorKind::NotFound
                        && swept < SWEPT
                        && folder.is_dir() =>
                {
                    swept += 1;
                    number = highest(folder)?.unwrap_or(number);
                    continue;
                }
                Err(error) => return Err(error.into()),
            }
        }
        match read(&path)? {
            // It was given back in this moment.
            None => continue,
            Some(holder) if holder.nonce == judge.me.nonce => {
                held().push(path);
                return Ok(Attempt::Claimed(Claim::of(folder, number)));
            }
            Some(_) if self::path(folder, number + 1).exists() => number += 1,
            Some(holder) => match judge.life(&holder) {
                Life::Ended => number += 1,
                life => return Ok(Attempt::Held(holder, path, life)),
            },
        }
    }
}

/// Whether somebody works on an entry, as far as can be told without a claim of one's own.
pub fn is_at_work(folder: &Path) -> bool {
    let locked = File::open(folder.join(LOCK)).is_ok_and(|file| file.try_lock_shared().is_err());
    let judge = Judge {
        me: &Holder::this(),
        locked: Some(!locked),
        ask: &slurm_word,
    };
    locked || last(folder).is_some_and(|holder| judge.life(&holder) != Life::Ended)
}

/// Who holds the last claim of an entry, if any.
pub fn last(folder: &Path) -> Option<Holder> {
    numbered(folder).map(|(_, holder)| holder)
}

/// The same with the claim's number.
pub fn numbered(folder: &Path) -> Option<(u32, Holder)> {
    let number = highest(folder).ok()??;
    Some((number, read(&path(folder, number)).ok()??))
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

/// The claims of this process.
static HELD: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

fn held() -> MutexGuard<'static, Vec<PathBuf>> {
    HELD.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Claim {
    fn of(folder: &Path, number: u32) -> Self {
        Self {
            folder: folder.to_owned(),
            number,
        }
    }

    /// Gives the right back: the work is not done.
    pub fn give_back(self) {
        // Where that fails, whoever comes next asks whether this process has ended.
        let _ = fs::remove_file(path(&self.folder, self.number));
    }

    /// Removes all claims: the work is done, and nobody needs one any more.
    pub fn fulfil(self) {
        let _ = remove_up_to(&self.folder, self.number);
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let path = path(&self.folder, self.number);
        held().retain(|other| *other != path);
    }
}

/// Gives back what this process claimed: it ends now, and claims nothing more.
pub fn give_back_all() {
    let held = held();
    for path in held.iter() {
        let _ = fs::remove_file(path);
    }
    // Whoever would claim waits for the end.
    std::mem::forget(held);
}

/// Removes the claims of an entry up to a number: those above are of somebody who came later.
pub fn remove_up_to(folder: &Path, last: u32) -> Result<()> {
    let mut numbers = numbers(folder)?;
    // The last one last: while it stands, it counts.
    numbers.sort_unstable();
    for number in numbers.into_iter().filter(|&number| number <= last) {
        let path = path(folder, number);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("cannot remove {}", path.display()));
            }
            _ => {}
        }
    }
    Ok(())
}

/// A claim, and the folder's lock where it could be had.
#[derive(Debug)]
pub struct Right {
    claim: Claim,
    _lock: Option<File>,
}

impl Right {
    /// Waits for the right to work in a folder on `what`; none where meanwhile it is `done`.
    ///
    /// # Errors
    /// Where nobody can tell whether its holder has ended; and of the file system.
    pub fn take(
        folder: &Path,
        what: &str,
        note: &dyn Fn(&str),
        done: &dyn Fn() -> bool,
    ) -> Result<Option<Self>> {
        Self::take_as(Holder::this(), &slurm_word, folder, what, note, done)
    }

    fn take_as(
        mut me: Holder,
        ask: &dyn Fn(&str) -> Word,
        folder: &Path,
        what: &str,
        note: &dyn Fn(&str),
        done: &dyn Fn() -> bool,
    ) -> Result<Option<Self>> {
        let mut pause = Duration::from_millis(20);
        let mut told = false;
        loop {
            let (lock, locked) = try_lock(folder)?;
            if done() {
                return Ok(None);
            }
            me.unlocked = locked != Some(true);
            let mut longest = LONGEST_PAUSE_HERE;
            // Somebody began in this moment and has not claimed it yet; or a program does that knows no claims.
            let holder = if locked == Some(false) && highest(folder)?.is_none() {
                let remedy = format!("if nobody does, remove {}", folder.join(LOCK).display());
                ("another process".to_owned(), remedy)
            } else {
                let judge = Judge {
                    me: &me,
                    locked,
                    ask,
                };
                match attempt(folder, &judge)? {
                    // Whoever had it may have finished since it was looked at.
                    Attempt::Claimed(claim) if done() => {
                        claim.fulfil();
                        return Ok(None);
                    }
                    Attempt::Claimed(claim) => return Ok(Some(Self { claim, _lock: lock })),
                    Attempt::Held(holder, path, Life::Untold) => bail!(
                        "{holder} works on {what}, or was stopped at it: that cannot be told from here ({} on {}); if it has ended, \
                         remove {}",
                        match &holder.job {
                            Some(_) => "its scheduler cannot be asked",
                            None => "no scheduler knows it",
                        },
                        me.host,
                        path.display()
                    ),
                    Attempt::Held(holder, path, _) => {
                        if holder.job.is_some() {
                            longest = LONGEST_PAUSE;
                        }
                        let remedy = format!("if it has ended, remove {}", path.display());
                        (holder.to_string(), remedy)
                    }
                }
            };
            drop(lock);
            // A start and an end are told from work by their taking no time.
            if !told && pause > Duration::from_millis(200) {
                let (who, remedy) = holder;
                note(&format!("{who} works on {what}; waiting for it ({remedy})"));
                told = true;
            }
            std::thread::sleep(pause);
            pause = (2 * pause).min(longest);
        }
    }

    /// Does the work. Where it fails, somebody else may try.
    pub fn use_for<T>(self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let done = work();
        match done {
            Ok(_) => self.claim.fulfil(),
            Err(_) => self.claim.give_back(),
        }
        done
    }
}

/// The lock of a folder where nobody holds it, and whether it is held here; none where the file system has no locks.
fn try_lock(folder: &Path) -> Result<(Option<File>, Option<bool>)> {
    let path = folder.join(LOCK);
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .with_context(|| {
            format!(
                "cannot write {}; check the free space and the permissions of its folder",
                path.display()
            )
        })?;
    Ok(match file.try_lock() {
        Ok(()) => (Some(file), Some(true)),
        Err(TryLockError::WouldBlock) => (None, Some(false)),
        Err(TryLockError::Error(_)) => (None, None),
    })
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
            boot: None,
            job: job.map(Into::into),
            cluster: None,
            unlocked: false,
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
        remove_up_to(at, 2).unwrap();
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
    fn a_claim_of_a_process_ends_with_its_lock_on_its_machine() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        let mut process = holder("login", None);
        process.boot = Some("today".into());
        let claim = taken(try_as(at, &process, Some(true), Word::Unknown)).unwrap();
        let mut container = holder("container", None);
        container.boot = Some("today".into());
        for (other, locked, life) in [
            (holder("login", None), Some(false), Some(Life::Lives)),
            (holder("login", None), Some(true), None),
            (holder("login", Some("7")), Some(true), None),
            (container, Some(true), None),
            // A lock that is free there may be held here.
            (holder("other", None), Some(true), Some(Life::Untold)),
            (holder("other", None), None, Some(Life::Untold)),
            (holder("other", None), Some(false), Some(Life::Lives)),
            (holder("node", Some("7")), Some(true), Some(Life::Untold)),
            (holder("node", Some("7")), Some(false), Some(Life::Untold)),
        ] {
            match try_as(at, &other, locked, Word::Gone) {
                Attempt::Claimed(next) => {
                    assert_eq!(life, None, "{other} {locked:?}");
                    next.give_back();
                }
                Attempt::Held(_, _, found) => assert_eq!(Some(found), life, "{other} {locked:?}"),
            }
        }
        claim.give_back();
        assert!(taken(try_as(at, &holder("node", Some("7")), None, Word::Gone)).is_some());
    }

    /// Who took over without a lock that nobody let go is not judged by the lock once it is free.
    #[test]
    fn a_claim_without_the_lock_is_not_ended_by_it() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        let mut process = holder("login", None);
        process.unlocked = true;
        process.process = std::process::id();
        taken(try_as(at, &process, Some(false), Word::Unknown)).unwrap();
        assert!(taken(try_as(at, &holder("login", None), Some(true), Word::Gone)).is_none());
    }

    #[test]
    fn a_job_of_another_cluster_is_not_asked_of_this_one() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        let of = |cluster: &str, job| {
            let mut holder = holder(cluster, Some(job));
            holder.cluster = Some(cluster.into());
            holder
        };
        taken(try_as(at, &of("a", "7"), None, Word::Unknown)).unwrap();
        for job in ["7", "8"] {
            let Attempt::Held(_, _, life) = try_as(at, &of("b", job), Some(true), Word::Gone)
            else {
                panic!("a job of another cluster was taken for gone");
            };
            assert_eq!(life, Life::Untold);
        }
        assert!(taken(try_as(at, &of("a", "8"), None, Word::Gone)).is_some());
    }

    /// A lock that a dead machine left on a file server stops nobody whom the scheduler tells that its job is gone; and where it runs, its
    /// claim counts although no lock is seen.
    #[test]
    fn the_schedulers_word_decides_and_no_lock() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        let owner = holder("node1", Some("7"));
        let claim = taken(try_as(at, &owner, Some(true), Word::Unknown)).unwrap();
        let left = File::create(at.join(LOCK)).unwrap();
        left.lock().unwrap();
        let said = Mutex::new(Vec::new());
        let note = |text: &str| said.lock().unwrap().push(text.to_owned());
        let take = |me: &Holder, ask: &dyn Fn(&str) -> Word| {
            Right::take_as(me.clone(), ask, at, "a stage", &note, &|| false)
        };
        for me in [holder("node2", Some("8")), holder("login", None)] {
            let right = take(&me, &|_| Word::Gone).unwrap().unwrap();
            assert!(right._lock.is_none());
            assert_eq!(last(at).unwrap().nonce, me.nonce);
            right.claim.give_back();
            let error = take(&me, &|_| Word::Absent).unwrap_err().to_string();
            assert!(
                error.contains("job 7 on node1") && error.contains(".claim-0001"),
                "{error}"
            );
        }
        // No lock is held any more; the job runs, then ends.
        drop(left);
        let asked = std::cell::Cell::new(0);
        let ask = |_: &str| {
            asked.set(asked.get() + 1);
            match asked.get() {
                1..6 => Word::Runs,
                _ => Word::Gone,
            }
        };
        let right = take(&holder("node2", Some("9")), &ask).unwrap().unwrap();
        assert_eq!(asked.get(), 6, "a claim of a job that runs was ignored");
        assert!(
            said.lock()
                .unwrap()
                .iter()
                .any(|text| text.contains("job 7 on node1 works on a stage"))
        );
        right.claim.fulfil();
        drop(claim);
        assert!(last(at).is_none());
    }

    /// Who has the right sweeps away what killed writers left, while others try to claim the entry.
    #[test]
    fn a_sweep_does_not_fail_those_who_try() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        let winner = holder("a", Some("1"));
        taken(try_as(at, &winner, None, Word::Unknown)).unwrap();
        let ends = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !ends.load(std::sync::atomic::Ordering::SeqCst) {
                    mftma_atomic::remove_leftovers(at).unwrap();
                }
            });
            let tries = (2..4).map(|job| {
                scope.spawn(move || {
                    let me = holder("b", Some(&job.to_string()));
                    let judge = Judge {
                        me: &me,
                        locked: None,
                        ask: &|_| Word::Runs,
                    };
                    let tried = (0..200).map(|_| attempt(at, &judge));
                    tried.filter_map(Result::err).collect::<Vec<_>>()
                })
            });
            let tries: Vec<_> = tries.collect();
            let errors: Vec<_> = tries.into_iter().flat_map(|t| t.join().unwrap()).collect();
            ends.store(true, std::sync::atomic::Ordering::SeqCst);
            assert!(
                errors.is_empty(),
                "{} failed: {:?}",
                errors.len(),
                errors[0]
            );
        });
        assert_eq!(last(at).unwrap(), winner);
    }

    #[test]
    fn a_process_that_is_told_to_end_gives_back_what_it_has() {
        let folder = tempfile::tempdir().unwrap();
        let claim = taken(try_as(folder.path(), &holder("a", None), None, Word::Gone)).unwrap();
        assert!(HELD.lock().unwrap().contains(&path(folder.path(), 1)));
        claim.give_back();
        assert!(!HELD.lock().unwrap().contains(&path(folder.path(), 1)));
        assert!(last(folder.path()).is_none());
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
