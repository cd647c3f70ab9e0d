//! The memory of finished work.
//!
//! A *stage* is an expensive piece of work with one output. Its *key* is the BLAKE3 hash of the canonical JSON of
//! everything that determines the output, its [`Identity`]: kind, version of the code, version of the engine's algorithms where
//! the engine runs, settings, and the keys or checksums of its inputs. A stage states these as types and values
//! ([`TypedStage`]); the key follows.
//! Nobody names a run by hand: the same settings find the same entry, other settings another one.
//!
//! An entry is the folder `<cache>/<kind>-<first 16 digits of the key>/`:
//!
//! | file | holds |
//! |---|---|
//! | `.lock` | held by the process that works on the entry; the system releases it when the process dies |
//! | `.claim-0001` | who works on the entry, for other machines ([`claim`]) |
//! | `output.json` | the output |
//! | `stage.json` | key, label, settings and the checksum of each file; written last, so where it is, the stage is finished |
//! | anything else | what the stage keeps to go on after an interruption, for instance checkpoints |

use std::cell::Cell;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, bail};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::claim::{self, LOCK, Right};
use crate::progress::Progress;

const RECORD: &str = "stage.json";
const OUTPUT: &str = "output.json";

/// An expensive piece of work with one output, as its author writes it.
///
/// The key follows from the constants, [`Self::settings`] and [`Self::inputs`]; nobody writes it down by hand. Lists of stages of
/// several kinds hold them as [`Stage`]s, which every `TypedStage` is.
pub trait TypedStage {
    /// What sort of work it is: `train`, `geometry`, …
    const KIND: &'static str;

    /// Version of the code behind it: raise it where a change alters the output.
    const VERSION: u32;

    /// Whether the engine computes the output: then [`mftma::ALGORITHM_VERSION`] is part of the key.
    const RUNS_ENGINE: bool;

    /// Everything that determines the output, but for the inputs.
    type Settings: Serialize;

    /// What it makes.
    type Output: Serialize + DeserializeOwned;

    /// Which one it is among its kind, for people: `vgg16 on glyphs, seed 1, epoch 8, test`.
    fn label(&self) -> String;

    /// Everything that determines the output, but for the inputs.
    fn settings(&self) -> Self::Settings;

    /// What it builds on: other stages and data.
    fn inputs(&self) -> StageInputs;

    /// Does the work and returns the output.
    ///
    /// Where `work.folder` already holds files, an earlier attempt was interrupted: go on from there if possible.
    fn compute(&self, work: &Work<'_>) -> Result<Self::Output>;

    /// How much work it is, in a unit of its kind's own; for estimates only.
    fn amount(&self) -> f64 {
        1.0
    }

    /// Seconds for one unit on two quiet cores, where somebody measured them.
    fn seconds_per_unit(&self) -> Option<f64> {
        None
    }

    /// What it needs of memory and disk.
    fn space(&self) -> Space {
        Space::default()
    }

    /// How far an interrupted attempt came, for the dry run.
    fn interrupted_at(&self, _folder: &Path) -> Option<String> {
        None
    }
}

/// Bytes that a stage needs, estimated; for estimates only.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Space {
    /// At its peak, beside the program itself.
    pub memory: f64,
    /// What it leaves on the disk.
    pub disk: f64,
}

impl Default for Space {
    /// A table of some measures.
    fn default() -> Self {
        Self {
            memory: 0.0,
            disk: 1e6,
        }
    }
}

/// What a stage builds on: names, and the keys of stages or the checksums of data.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StageInputs(BTreeMap<String, String>);

impl StageInputs {
    /// The keys and checksums.
    pub fn values(&self) -> impl Iterator<Item = &str> {
        self.0.values().map(String::as_str)
    }

    /// Nothing but settings.
    pub fn none() -> Self {
        Self::default()
    }

    /// And the output, or the files, of this stage.
    #[must_use]
    pub fn stage(self, stage: &dyn Stage) -> Self {
        self.checksum(stage.kind(), &key(stage))
    }

    /// And data of this checksum.
    #[must_use]
    pub fn checksum(mut self, name: &str, checksum: &str) -> Self {
        let before = self.0.insert(name.to_owned(), checksum.to_owned());
        // One would take the other's place in the key.
        assert_eq!(before, None, "two inputs are called {name}");
        self
    }
}

/// All that tells one stage from another: its key is the hash of this.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Identity {
    kind: String,
    version: u32,
    /// [`mftma::ALGORITHM_VERSION`], where the engine computes the output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    algorithm: Option<u32>,
    settings: Value,
    #[serde(default)]
    inputs: StageInputs,
}

impl Identity {
    /// What the stage builds on.
    pub fn inputs(&self) -> &StageInputs {
        &self.inputs
    }

    fn key(&self) -> String {
        // Strings, numbers and what was JSON before: nothing that JSON cannot hold.
        let description = serde_json::to_value(self).expect("an identity is plain data");
        blake3::hash(canonical(&description).as_bytes())
            .to_hex()
            .to_string()
    }
}

/// A [`TypedStage`] among others of any kind: what the cache, plans and lists need to know of it.
pub trait Stage {
    /// [`TypedStage::KIND`].
    fn kind(&self) -> &'static str;

    /// [`TypedStage::label`].
    fn label(&self) -> String;

    /// All that tells it from another stage.
    fn identity(&self) -> Identity;

    /// [`TypedStage::compute`], its output as JSON.
    fn compute_json(&self, work: &Work<'_>) -> Result<Vec<u8>>;

    /// [`TypedStage::amount`].
    fn amount(&self) -> f64;

    /// [`TypedStage::seconds_per_unit`].
    fn seconds_per_unit(&self) -> Option<f64>;

    /// [`TypedStage::space`].
    fn space(&self) -> Space;

    /// [`TypedStage::interrupted_at`].
    fn interrupted_at(&self, folder: &Path) -> Option<String>;
}

impl<T: TypedStage> Stage for T {
    fn kind(&self) -> &'static str {
        T::KIND
    }

    fn label(&self) -> String {
        TypedStage::label(self)
    }

    fn identity(&self) -> Identity {
        Identity {
            kind: T::KIND.to_owned(),
            version: T::VERSION,
            algorithm: T::RUNS_ENGINE.then_some(mftma::ALGORITHM_VERSION),
            // Settings are plain data: numbers, strings, lists and maps with string keys.
            settings: serde_json::to_value(self.settings()).expect("settings are plain data"),
            inputs: self.inputs(),
        }
    }

    fn compute_json(&self, work: &Work<'_>) -> Result<Vec<u8>> {
        let bytes = serde_json::to_vec(&self.compute(work)?)?;
        // JSON has no NaN: it would be found out when the figure is drawn, after the stage counts as finished.
        let read: Result<T::Output, _> = serde_json::from_slice(&bytes);
        read.with_context(|| {
            format!(
                "{} {}: a number that was computed is not finite, so there is nothing to keep",
                T::KIND,
                TypedStage::label(self)
            )
        })?;
        Ok(bytes)
    }

    fn amount(&self) -> f64 {
        TypedStage::amount(self)
    }

    fn seconds_per_unit(&self) -> Option<f64> {
        TypedStage::seconds_per_unit(self)
    }

    fn space(&self) -> Space {
        TypedStage::space(self)
    }

    fn interrupted_at(&self, folder: &Path) -> Option<String> {
        TypedStage::interrupted_at(self, folder)
    }
}

/// What a stage gets to work with.
pub struct Work<'a> {
    /// The stage's own folder; what is written there survives an interruption.
    pub folder: &'a Path,
    /// The finished stages it builds on.
    pub cache: &'a Cache,
    /// Where to report progress.
    pub progress: Progress,
    /// Share of the work that was already done when this attempt began; it is left out of the recorded amount.
    done_before: Cell<f64>,
}

impl<'a> Work<'a> {
    /// Work in `folder`.
    pub(crate) fn new(folder: &'a Path, cache: &'a Cache) -> Self {
        Self {
            folder,
            cache,
            progress: cache.progress.clone(),
            done_before: Cell::new(0.0),
        }
    }

    /// Says that `done` of `all` the work was there when this attempt began.
    pub(crate) fn resumed_from(&self, done: usize, all: usize) {
        self.done_before.set(done as f64 / all.max(1) as f64);
    }
}

/// Why a stage would run, or that it need not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    /// There is a valid output.
    Finished,
    /// Nothing of the kind was ever computed.
    Missing,
    /// Computed before under other settings; the text lists some that differ.
    Changed(String),
    /// An attempt was interrupted; the text says where.
    Interrupted(String),
    /// A process works on it now.
    InProgress,
    /// The entry does not match its own checksums; the text says how.
    Damaged(String),
    /// Finished, but `--force` asks for it again.
    Forced,
}

impl Status {
    /// Whether the stage has to run.
    pub fn must_run(&self) -> bool {
        *self != Self::Finished
    }
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Finished => f.write_str("finished"),
            Self::Missing => f.write_str("run: missing"),
            Self::Changed(what) => write!(f, "run: settings changed ({what})"),
            Self::Interrupted(at) => write!(f, "run: interrupted ({at})"),
            Self::InProgress => f.write_str("run: in progress (another process works on it)"),
            Self::Damaged(how) => write!(f, "run: damaged ({how})"),
            Self::Forced => f.write_str("run: forced"),
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Record {
    label: String,
    key: String,
    #[serde(flatten)]
    identity: Identity,
    /// BLAKE3 of each file of the entry.
    files: BTreeMap<String, String>,
    /// Seconds spent by the process that finished the stage (not by interrupted attempts).
    wall_seconds: f64,
    /// How much work those seconds did, in a unit of its kind's own.
    #[serde(default = "one")]
    amount: f64,
}

/// The amount of work where an older program did not record it.
fn one() -> f64 {
    1.0
}

/// Checksums by path, with the length and time of change of the file.
type Sums = BTreeMap<PathBuf, (u64, SystemTime, String)>;

/// A folder of finished and interrupted stages.
pub struct Cache {
    root: PathBuf,
    progress: Progress,
    /// What was summed before: a training run is asked for by every stage that builds on it.
    sums: Mutex<Sums>,
}

/// A file that changed this short a time ago may change again at the same time stamp.
const SETTLED: Duration = Duration::from_secs(2);

impl Cache {
    /// The cache below `root`; the folder is made when the first stage runs.
    pub fn new(root: PathBuf, progress: Progress) -> Self {
        Self {
            root,
            progress,
            sums: Mutex::default(),
        }
    }

    /// The folder of one stage's entry.
    pub fn folder(&self, stage: &dyn Stage) -> PathBuf {
        self.root
            .join(format!("{}-{}", stage.kind(), &key(stage)[..16]))
    }

    /// The folder of all entries.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Whether a stage is finished, and if not why it must run. Reads only.
    pub fn status(&self, stage: &dyn Stage) -> Status {
        match self.examine(stage) {
            Status::Finished => Status::Finished,
            _ if claim::is_at_work(&self.folder(stage)) => Status::InProgress,
            other => other,
        }
    }

    /// Whether a stage's record says that it is finished. Its files are not read: who builds on it asks for its status.
    pub fn is_finished(&self, stage: &dyn Stage) -> bool {
        self.own_record(stage).is_some()
    }

    fn own_record(&self, stage: &dyn Stage) -> Option<Record> {
        let record = read_record(&self.folder(stage)).ok()??;
        (record.key == key(stage) && record.files.contains_key(OUTPUT)).then_some(record)
    }

    /// The output of a stage whose record says that it is finished, where it has its checksum. Other files are not read.
    pub fn known_output<T: TypedStage>(&self, stage: &T) -> Result<Option<T::Output>> {
        let Some(record) = self.own_record(stage) else {
            return Ok(None);
        };
        let sum = self.checksum(&self.folder(stage).join(OUTPUT)).ok();
        if sum.as_ref() != record.files.get(OUTPUT) {
            return Ok(None);
        }
        self.output(stage).map(Some)
    }

    /// [`Self::status`] for those to whom it is all one whether somebody works on it.
    pub fn examine(&self, stage: &dyn Stage) -> Status {
        let folder = self.folder(stage);
        match read_record(&folder) {
            Ok(Some(record)) => match self.verify(&folder, &record, &key(stage)) {
                Ok(()) => Status::Finished,
                Err(error) => Status::Damaged(format!("{error:#}")),
            },
            Err(error) => Status::Damaged(format!("{error:#}")),
            Ok(None) if has_work(&folder) => Status::Interrupted(
                stage
                    .interrupted_at(&folder)
                    .unwrap_or_else(|| "goes on where it can".into()),
            ),
            Ok(None) => match self.sibling(stage) {
                Some(other) => Status::Changed(differences(&other, &stage.identity())),
                None => Status::Missing,
            },
        }
    }

    /// Makes sure that a stage is finished, and returns its output; otherwise as [`Self::finish`].
    pub fn ensure<T: TypedStage>(&self, stage: &T, force: bool) -> Result<T::Output> {
        self.finish(stage, force)?;
        self.output(stage)
    }

    /// Makes sure that a stage of any kind is finished.
    ///
    /// One process at a time works on an entry; a second one waits, then finds the work done.
    pub fn finish(&self, stage: &dyn Stage, force: bool) -> Result<()> {
        let folder = self.folder(stage);
        fs::create_dir_all(&folder).with_context(|| {
            format!(
                "cannot make the cache folder {}; name another results folder with --out",
                folder.display()
            )
        })?;
        // The files are summed only where there is a record that could be true.
        let finished =
            || !force && self.is_finished(stage) && self.examine(stage) == Status::Finished;
        let Some(right) = self.right(&folder, stage, &finished)? else {
            return Ok(());
        };
        right.use_for(|| self.make(&folder, stage))
    }

    /// Makes a stage's output, whatever its entry holds. For who has the right to it.
    fn make(&self, folder: &Path, stage: &dyn Stage) -> Result<()> {
        mftma_atomic::remove_leftovers(folder)?;
        match self.examine(stage) {
            Status::Finished => clear(folder)?,
            Status::Damaged(how) => {
                self.progress.note(&format!(
                    "{} {}: the stored result is damaged ({how}) and is made again",
                    stage.kind(),
                    stage.label()
                ));
                clear(folder)?;
            }
            _ => {}
        }
        let start = Instant::now();
        let work = Work::new(folder, self);
        let output = stage
            .compute_json(&work)
            .with_context(|| format!("{} {}", stage.kind(), stage.label()))?;
        mftma_atomic::write(&folder.join(OUTPUT), &output)?;
        let mut files = BTreeMap::new();
        for name in work_files(folder)? {
            let hash = hash_file(&folder.join(&name))?;
            files.insert(name, hash);
        }
        let record = Record {
            label: stage.label(),
            key: key(stage),
            identity: stage.identity(),
            files,
            wall_seconds: start.elapsed().as_secs_f64(),
            amount: stage.amount() * (1.0 - work.done_before.get()),
        };
        Ok(mftma_atomic::write(
            &folder.join(RECORD),
            &serde_json::to_vec_pretty(&record)?,
        )?)
    }

    /// Lets `add` make further files in the entry of a finished stage, under its lock, and records them.
    ///
    /// For work whose extent is no part of what it is: a training keeps one more epoch.
    pub fn extend<T>(
        &self,
        stage: &dyn Stage,
        add: impl FnOnce(&Work<'_>) -> Result<T>,
    ) -> Result<T> {
        let folder = self.folder(stage);
        let right = self.right(&folder, stage, &|| false)?;
        let right = right.context("nobody gave the right to it")?;
        right.use_for(|| self.add(&folder, stage, add))
    }

    /// What [`Self::extend`] does, for who has the right to the entry.
    fn add<T>(
        &self,
        folder: &Path,
        stage: &dyn Stage,
        add: impl FnOnce(&Work<'_>) -> Result<T>,
    ) -> Result<T> {
        let mut record = read_record(folder)?
            .with_context(|| format!("{} {} is not finished", stage.kind(), stage.label()))?;
        let added = add(&Work::new(folder, self))
            .with_context(|| format!("{} {}", stage.kind(), stage.label()))?;
        for name in work_files(folder)? {
            let path = folder.join(&name);
            if let Entry::Vacant(entry) = record.files.entry(name) {
                entry.insert(hash_file(&path)?);
            }
        }
        mftma_atomic::write(&folder.join(RECORD), &serde_json::to_vec_pretty(&record)?)?;
        Ok(added)
    }

    fn verify(&self, folder: &Path, record: &Record, key: &str) -> Result<()> {
        if record.key != key {
            bail!("{RECORD} belongs to another stage");
        }
        if !record.files.contains_key(OUTPUT) {
            bail!("{RECORD} lists no {OUTPUT}");
        }
        for (name, expected) in &record.files {
            if self.checksum(&folder.join(name)).ok().as_ref() != Some(expected) {
                bail!("{name} is missing or does not match its checksum");
            }
        }
        Ok(())
    }

    fn sums(&self) -> MutexGuard<'_, Sums> {
        self.sums.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The checksum of a file, taken again only if the file changed since.
    fn checksum(&self, path: &Path) -> Result<String> {
        let metadata = fs::metadata(path)?;
        let (len, changed) = (metadata.len(), metadata.modified()?);
        if let Some((known_len, known_changed, sum)) = self.sums().get(path)
            && (*known_len, *known_changed) == (len, changed)
        {
            return Ok(sum.clone());
        }
        let sum = hash_file(path)?;
        if changed.elapsed().is_ok_and(|age| age > SETTLED) {
            let entry = (len, changed, sum.clone());
            self.sums().insert(path.to_owned(), entry);
        }
        Ok(sum)
    }

    /// The output of a finished stage.
    pub fn output<T: TypedStage>(&self, stage: &T) -> Result<T::Output> {
        let path = self.folder(stage).join(OUTPUT);
        let bytes = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        serde_json::from_slice(&bytes).with_context(|| {
            format!(
                "{} does not hold the output of {}; run again with --force",
                path.display(),
                T::KIND
            )
        })
    }

    /// Seconds that the process which finished the stage spent on it.
    pub fn wall_seconds(&self, stage: &dyn Stage) -> Option<f64> {
        read_record(&self.folder(stage))
            .ok()
            .flatten()
            .map(|record| record.wall_seconds)
    }

    /// Kind, amount of work and seconds of every finished stage of a cache.
    pub fn measured(root: &Path) -> Vec<(String, f64, f64)> {
        let Ok(entries) = fs::read_dir(root) else {
            return Vec::new();
        };
        entries
            .filter_map(|entry| read_record(&entry.ok()?.path()).ok()?)
            .map(|record| (record.identity.kind, record.amount, record.wall_seconds))
            .collect()
    }

    /// Waits for the right to work on an entry; none where meanwhile it is `finished`.
    fn right(
        &self,
        folder: &Path,
        stage: &dyn Stage,
        finished: &dyn Fn() -> bool,
    ) -> Result<Option<Right>> {
        let what = format!("{} {}", stage.kind(), stage.label());
        let note = |text: &str| self.progress.note(text);
        Right::take(folder, &what, &note, finished)
    }

    /// A finished entry of the same kind and label.
    fn sibling(&self, stage: &dyn Stage) -> Option<Identity> {
        let prefix = format!("{}-", stage.kind());
        let mut folders: Vec<PathBuf> = fs::read_dir(&self.root)
            .ok()?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| {
                path.file_name()
                    .is_some_and(|name| name.to_string_lossy().starts_with(&prefix))
            })
            .collect();
        folders.sort();
        folders
            .iter()
            .filter_map(|folder| read_record(folder).ok().flatten())
            .find(|record| record.label == stage.label())
            .map(|record| record.identity)
    }
}

/// The key of a stage: 64 hexadecimal digits.
pub fn key(stage: &dyn Stage) -> String {
    stage.identity().key()
}

/// JSON with sorted object keys and no white space, so that equal values have equal bytes.
pub fn canonical(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let sorted: BTreeMap<_, _> = map.iter().collect();
            let members: Vec<String> = sorted
                .into_iter()
                .map(|(name, value)| {
                    format!("{}:{}", Value::String(name.clone()), canonical(value))
                })
                .collect();
            format!("{{{}}}", members.join(","))
        }
        Value::Array(values) => {
            let values: Vec<String> = values.iter().map(canonical).collect();
            format!("[{}]", values.join(","))
        }
        other => other.to_string(),
    }
}

fn read_record(folder: &Path) -> Result<Option<Record>> {
    let path = folder.join(RECORD);
    match fs::read(&path) {
        Ok(bytes) => Ok(Some(
            serde_json::from_slice(&bytes).with_context(|| format!("{RECORD} is not readable"))?,
        )),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        // The folder itself may be a file, or unreadable: leave that to the writer, who must name a remedy.
        Err(_) if !folder.is_dir() => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

fn hash_file(path: &Path) -> Result<String> {
    let mut hasher = blake3::Hasher::new();
    File::open(path)
        .and_then(|file| hasher.update_reader(file).map(drop))
        .with_context(|| format!("cannot read {}", path.display()))?;
    Ok(hasher.finalize().to_hex().to_string())
}

/// Names of the files that belong to the stage's work, sorted. Leftovers of interrupted writes do not.
fn work_files(folder: &Path) -> Result<Vec<String>> {
    fn walk(folder: &Path, prefix: &str, names: &mut Vec<String>) -> std::io::Result<()> {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = format!("{prefix}{name}");
            if entry.file_type()?.is_dir() {
                walk(&entry.path(), &format!("{path}/"), names)?;
            } else if path != RECORD && !name.starts_with('.') {
                names.push(path);
            }
        }
        Ok(())
    }
    let mut names = Vec::new();
    walk(folder, "", &mut names).with_context(|| format!("cannot read {}", folder.display()))?;
    names.sort();
    Ok(names)
}

fn has_work(folder: &Path) -> bool {
    work_files(folder).is_ok_and(|names| !names.is_empty())
}

/// Empties an entry, the record first: an interruption in between leaves unfinished work, not a false claim.
fn clear(folder: &Path) -> Result<()> {
    let mut names = vec![RECORD.to_owned()];
    for entry in
        fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?
    {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    let others = |name: &&String| *name != LOCK && !name.starts_with(claim::PREFIX);
    for name in names.iter().filter(others) {
        let path = folder.join(name);
        let removed = if path.is_dir() {
            fs::remove_dir_all(&path)
        } else {
            fs::remove_file(&path)
        };
        match removed {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(|| {
                    format!("cannot remove {}; remove it by hand", path.display())
                });
            }
            _ => {}
        }
    }
    Ok(())
}

/// The settings and inputs that differ, up to three of them, as `path: old -> new`.
fn differences(old: &Identity, new: &Identity) -> String {
    let mut found = Vec::new();
    collect_differences("", &old.settings, &new.settings, &mut found);
    let rest = |identity: &Identity| serde_json::json!({ "algorithm": identity.algorithm, "inputs": identity.inputs });
    collect_differences("", &rest(old), &rest(new), &mut found);
    let more = found.len().saturating_sub(3);
    found.truncate(3);
    let mut text = found.join(", ");
    if text.is_empty() {
        text = "code version".into();
    }
    if more > 0 {
        text += &format!(", and {more} more");
    }
    text
}

fn collect_differences(path: &str, old: &Value, new: &Value, found: &mut Vec<String>) {
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => {
            let names: std::collections::BTreeSet<_> = old.keys().chain(new.keys()).collect();
            for name in names {
                let path = if path.is_empty() {
                    name.clone()
                } else {
                    format!("{path}.{name}")
                };
                let (old, new) = (old.get(name), new.get(name));
                collect_differences(
                    &path,
                    old.unwrap_or(&Value::Null),
                    new.unwrap_or(&Value::Null),
                    found,
                );
            }
        }
        _ if old != new => found.push(format!("{path}: {} -> {}", brief(old), brief(new))),
        _ => {}
    }
}

fn brief(value: &Value) -> String {
    let text = canonical(value);
    if text.chars().count() > 24 {
        text.chars().take(20).chain("...".chars()).collect()
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Double<'a> {
        input: i64,
        runs: &'a Cell<u32>,
    }

    #[derive(Serialize)]
    struct DoubleSettings {
        input: i64,
    }

    impl TypedStage for Double<'_> {
        const KIND: &'static str = "double";
        const VERSION: u32 = 1;
        const RUNS_ENGINE: bool = false;
        type Settings = DoubleSettings;
        type Output = i64;

        fn label(&self) -> String {
            "of one number".into()
        }
        fn settings(&self) -> DoubleSettings {
            DoubleSettings { input: self.input }
        }
        fn inputs(&self) -> StageInputs {
            StageInputs::none()
        }
        fn compute(&self, work: &Work<'_>) -> Result<i64> {
            self.runs.set(self.runs.get() + 1);
            fs::write(work.folder.join("scratch"), b"on the way")?;
            Ok(2 * self.input)
        }
    }

    #[test]
    fn a_key_follows_from_every_part_of_the_identity() {
        let runs = Cell::new(0);
        let stage = |input| Double { input, runs: &runs };
        let identity = stage(1).identity();
        let mut keys = std::collections::BTreeSet::from([identity.key(), key(&stage(2))]);
        let mut version = identity.clone();
        version.version += 1;
        keys.insert(version.key());
        for algorithm in 1..4 {
            let mut other = identity.clone();
            other.algorithm = Some(algorithm);
            keys.insert(other.key());
        }
        for inputs in [
            StageInputs::none().checksum("data", "1"),
            StageInputs::none().checksum("data", "2"),
            StageInputs::none().stage(&stage(1)),
            StageInputs::none().stage(&stage(2)),
        ] {
            let mut other = identity.clone();
            other.inputs = inputs;
            keys.insert(other.key());
        }
        assert_eq!(keys.len(), 10);
        assert_eq!(key(&stage(1)), identity.key());
    }

    fn cache() -> (tempfile::TempDir, Cache) {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path().join("cache"), Progress::silent());
        (folder, cache)
    }

    #[test]
    fn finished_work_is_not_redone_unless_forced() {
        let (_folder, cache) = cache();
        let runs = Cell::new(0);
        let stage = Double {
            input: 21,
            runs: &runs,
        };
        assert_eq!(cache.status(&stage), Status::Missing);
        assert_eq!(cache.ensure(&stage, false).unwrap(), 42);
        assert_eq!(cache.status(&stage), Status::Finished);
        assert_eq!(cache.ensure(&stage, false).unwrap(), 42);
        assert_eq!(runs.get(), 1);
        assert_eq!(cache.ensure(&stage, true).unwrap(), 42);
        assert_eq!(runs.get(), 2);
    }

    #[test]
    fn changed_settings_are_named() {
        let (_folder, cache) = cache();
        let runs = Cell::new(0);
        let first = Double {
            input: 1,
            runs: &runs,
        };
        cache.ensure(&first, false).unwrap();
        let second = Double {
            input: 2,
            runs: &runs,
        };
        assert_eq!(
            cache.status(&second),
            Status::Changed("input: 1 -> 2".into())
        );
    }

    #[test]
    fn any_damaged_file_is_found_and_the_stage_redone() {
        let (_folder, cache) = cache();
        let runs = Cell::new(0);
        let stage = Double {
            input: 5,
            runs: &runs,
        };
        for (round, name) in [OUTPUT, "scratch", RECORD].into_iter().enumerate() {
            cache.ensure(&stage, false).unwrap();
            fs::write(cache.folder(&stage).join(name), b"7").unwrap();
            assert!(
                matches!(cache.status(&stage), Status::Damaged(_)),
                "{name}: {:?}",
                cache.status(&stage)
            );
            assert_eq!(cache.ensure(&stage, false).unwrap(), 10);
            assert_eq!(runs.get() as usize, round + 2);
        }
    }

    #[test]
    fn work_without_a_record_counts_as_interrupted() {
        let (_folder, cache) = cache();
        let runs = Cell::new(0);
        let stage = Double {
            input: 5,
            runs: &runs,
        };
        fs::create_dir_all(cache.folder(&stage)).unwrap();
        fs::write(cache.folder(&stage).join(LOCK), b"").unwrap();
        fs::write(cache.folder(&stage).join(".partial-x"), b"").unwrap();
        assert_eq!(cache.status(&stage), Status::Missing);
        fs::write(cache.folder(&stage).join("scratch"), b"").unwrap();
        assert!(matches!(cache.status(&stage), Status::Interrupted(_)));
    }

    #[test]
    fn work_in_progress_is_told_from_interrupted_work() {
        let (_folder, cache) = cache();
        let runs = Cell::new(0);
        let stage = Double {
            input: 5,
            runs: &runs,
        };
        let folder = cache.folder(&stage);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("scratch"), b"").unwrap();
        let lock = File::create(folder.join(LOCK)).unwrap();
        lock.lock().unwrap();
        assert_eq!(cache.status(&stage), Status::InProgress);
        drop(lock);
        assert!(matches!(cache.status(&stage), Status::Interrupted(_)));
        // Where locks are not seen, by the claim alone: of a process elsewhere, nobody can say that it has ended.
        let claim = r#"{"host":"elsewhere","process":1,"nonce":"0"}"#;
        fs::write(folder.join(".claim-0001"), claim).unwrap();
        assert_eq!(cache.status(&stage), Status::InProgress);
    }

    #[test]
    fn canonical_json_sorts_keys_at_every_depth() {
        let value: Value = serde_json::from_str(r#"{"b":[{"z":1,"a":"\"x"}],"a":0.1}"#).unwrap();
        assert_eq!(canonical(&value), r#"{"a":0.1,"b":[{"a":"\"x","z":1}]}"#);
    }

    #[test]
    fn two_processes_at_once_do_the_work_once() {
        use std::sync::atomic::{AtomicU32, Ordering};
        struct Slow<'a>(&'a AtomicU32);
        impl TypedStage for Slow<'_> {
            const KIND: &'static str = "slow";
            const VERSION: u32 = 1;
            const RUNS_ENGINE: bool = false;
            type Settings = ();
            type Output = i64;
            fn label(&self) -> String {
                String::new()
            }
            fn settings(&self) {}
            fn inputs(&self) -> StageInputs {
                StageInputs::none()
            }
            fn compute(&self, _work: &Work<'_>) -> Result<i64> {
                self.0.fetch_add(1, Ordering::SeqCst);
                std::thread::sleep(std::time::Duration::from_millis(50));
                Ok(1)
            }
        }
        let (_folder, cache) = cache();
        let runs = AtomicU32::new(0);
        // File locks belong to the open file, so threads stand for processes here.
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| cache.ensure(&Slow(&runs), false).unwrap());
            }
        });
        assert_eq!(runs.load(Ordering::SeqCst), 1);
    }
}
