//! The shared folder of finished work, as jobs see it: that it is the same folder everywhere, and the same program.

use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use crate::claim::{self, Attempt, Holder, Judge, host, nonce};

/// What jobs need besides finished work, in the store.
pub fn jobs_folder(store: &Path) -> PathBuf {
    store.join("jobs")
}

/// Where logs of jobs go.
pub fn logs_folder(store: &Path) -> PathBuf {
    jobs_folder(store).join("logs")
}

/// Does `work` while nobody else submits to the store.
pub fn alone<T>(store: &Path, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let me = Holder::this();
    let judge = Judge {
        me: &me,
        locked: None,
        ask: &claim::slurm_word,
    };
    match claim::attempt(&jobs_folder(store), &judge)? {
        Attempt::Claimed(claim) => {
            let done = work();
            claim.fulfil();
            done
        }
        Attempt::Held(holder, path, _) => bail!(
            "{holder} submits to this store now; wait for it (if it has ended, remove {})",
            path.display()
        ),
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Mark {
    id: String,
}

fn mark(store: &Path) -> PathBuf {
    jobs_folder(store).join("store.json")
}

/// The name of a store that no other has; made where it has none yet.
pub fn identify(store: &Path) -> Result<String> {
    let folder = logs_folder(store);
    fs::create_dir_all(&folder)
        .and_then(|()| mftma_atomic::try_folder(&folder))
        .with_context(|| {
            format!(
                "cannot write to the store {}; name another with --store, on a file system that all nodes share",
                store.display()
            )
        })?;
    if let Some(id) = known(store)? {
        return Ok(id);
    }
    let text = serde_json::to_vec(&Mark { id: nonce() })?;
    match mftma_atomic::write_new(&mark(store), &text) {
        Ok(()) => {}
        Err(error) if error.source.kind() == ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error.into()),
    }
    known(store)?.context("the store's mark vanished")
}

/// The name of a store, where it has one.
pub fn known(store: &Path) -> Result<Option<String>> {
    let path = mark(store);
    match fs::read(&path) {
        Ok(bytes) => {
            let mark: Mark = serde_json::from_slice(&bytes).with_context(|| {
                format!(
                    "{} is not readable; remove it and submit again",
                    path.display()
                )
            })?;
            Ok(Some(mark.id))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

/// What a job was told when it was submitted, checked where it runs.
#[derive(Debug, Clone, Default)]
pub struct Expected {
    /// The name of the store.
    pub store: Option<String>,
    /// BLAKE3 of the program.
    pub program: Option<String>,
}

impl Expected {
    /// Checks that the folder `store` here is the one that was meant, and that this program is.
    pub fn check(&self, store: &Path) -> Result<()> {
        if let Some(expected) = &self.store {
            let here = known(store)?;
            ensure!(
                here.as_ref() == Some(expected),
                "{} on {} is not the store that this job was submitted with ({}): --store must be a folder that all nodes share; \
                 submit again with one that they do",
                store.display(),
                host(),
                match &here {
                    Some(_) => "it is another one",
                    None => "there is none",
                }
            );
        }
        if let Some(expected) = &self.program {
            let program = std::env::current_exe().context("cannot find this program's file")?;
            let here = hash(&program)?;
            ensure!(
                here == *expected,
                "{} is another program ({}) than the one that this was planned with ({}): two versions would be mixed in one store; \
                 plan or submit again, finished work stays",
                program.display(),
                &here[..12],
                expected.get(..12).unwrap_or(expected)
            );
        }
        Ok(())
    }
}

/// BLAKE3 of a file.
pub fn hash(path: &Path) -> Result<String> {
    let mut hasher = blake3::Hasher::new();
    File::open(path)
        .and_then(|file| hasher.update_reader(file).map(drop))
        .with_context(|| format!("cannot read {}", path.display()))?;
    Ok(hasher.finalize().to_hex().to_string())
}

/// Puts this program into the store, so that jobs run it whatever is built meanwhile. Returns the copy and its hash.
pub fn keep_program(store: &Path) -> Result<(PathBuf, String)> {
    let program = std::env::current_exe().context("cannot find this program's file")?;
    let hash = hash(&program)?;
    let copy = jobs_folder(store).join(format!("program-{}", &hash[..16]));
    if !(copy.exists() && self::hash(&copy)? == hash) {
        let mut bytes = Vec::new();
        File::open(&program)
            .and_then(|mut file| file.read_to_end(&mut bytes))
            .with_context(|| format!("cannot read {}", program.display()))?;
        mftma_atomic::write(&copy, &bytes)?;
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(&copy, fs::Permissions::from_mode(0o755))
            .with_context(|| format!("cannot make {} executable", copy.display()))?;
    }
    Ok((copy, hash))
}

/// Free bytes where a folder lies, by `df`; none where that cannot be told. A quota is not seen.
pub fn free_bytes(folder: &Path) -> Option<f64> {
    let output = Command::new("df").arg("-Pk").arg(folder).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    // Names of devices may hold spaces: the numbers are counted from the end, before the mount point.
    let numbers: Vec<&str> = text.lines().nth(1)?.split_whitespace().collect();
    let percent = numbers.iter().position(|word| word.ends_with('%'))?;
    let kilobytes: f64 = numbers.get(percent.checked_sub(1)?)?.parse().ok()?;
    Some(1024.0 * kilobytes)
}

/// Refuses to begin work that will not fit.
pub fn check_room(store: &Path, needed: f64) -> Result<()> {
    let Some(free) = free_bytes(store) else {
        return Ok(());
    };
    if needed > free {
        let size = |bytes: f64| crate::record::size(bytes as u64);
        bail!(
            "what is missing will take about {} in {}, where {} are free; make room, or name a --store on a larger file system",
            size(needed),
            store.display(),
            size(free)
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_keeps_its_name_and_others_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (folder.path().join("one"), folder.path().join("other"));
        let id = identify(&one).unwrap();
        assert_eq!(identify(&one).unwrap(), id);
        assert_ne!(identify(&other).unwrap(), id);
        let expected = Expected {
            store: Some(id),
            program: None,
        };
        expected.check(&one).unwrap();
        for (store, word) in [(other, "another one"), (folder.path().join("no"), "none")] {
            let error = expected.check(&store).unwrap_err().to_string();
            assert!(
                error.contains(word) && error.contains("all nodes share"),
                "{error}"
            );
        }
    }

    #[test]
    fn another_program_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (copy, hash) = {
            identify(folder.path()).unwrap();
            keep_program(folder.path()).unwrap()
        };
        assert_eq!(self::hash(&copy).unwrap(), hash);
        let expected = |program: &str| Expected {
            store: None,
            program: Some(program.into()),
        };
        expected(&hash).check(folder.path()).unwrap();
        let error = expected("0123456789abcdef").check(folder.path());
        let error = error.unwrap_err().to_string();
        assert!(error.contains("two versions"), "{error}");
    }

    #[test]
    fn work_that_cannot_fit_is_refused_with_both_sizes() {
        let folder = tempfile::tempdir().unwrap();
        check_room(folder.path(), 1.0).unwrap();
        let error = check_room(folder.path(), 1e18).unwrap_err().to_string();
        assert!(error.contains("--store") && error.contains("GB"), "{error}");
    }
}
