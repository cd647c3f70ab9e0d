//! Files that are whole or absent.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::TrainError;

/// Ending of a file that is being written. A killed process leaves at most one such file for each name; the next
/// writer of the same name takes it over, and [`remove_partial`] takes the rest away.
const PARTIAL: &str = "partial";

fn partial(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(PARTIAL);
    PathBuf::from(name)
}

/// A file under a temporary name in its final folder, put in place by [`AtomicFile::finish`]. Where that is never reached,
/// because a write failed, the temporary file goes away: a full disk must not stay full for it.
pub(crate) struct AtomicFile {
    path: PathBuf,
    partial: PathBuf,
    pub(crate) file: File,
    in_place: bool,
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        if !self.in_place {
            // The error that led here is the one to report.
            let _ = fs::remove_file(&self.partial);
        }
    }
}

impl AtomicFile {
    pub(crate) fn create(path: &Path) -> Result<Self, TrainError> {
        let partial = partial(path);
        let file = File::create(&partial).map_err(TrainError::io("write", &partial))?;
        Ok(AtomicFile {
            path: path.to_owned(),
            partial,
            file,
            in_place: false,
        })
    }

    /// Brings the content to the disk, then renames, then brings the folder to the disk: whenever the machine stops, the
    /// name holds either the old content or all of the new.
    pub(crate) fn finish(mut self) -> Result<(), TrainError> {
        self.file
            .sync_all()
            .map_err(TrainError::io("write", &self.partial))?;
        fs::rename(&self.partial, &self.path)
            .map_err(TrainError::io("rename a temporary file to", &self.path))?;
        self.in_place = true;
        sync_folder(&self.path)
    }
}

/// Replaces the content of `path` in one step.
pub(crate) fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), TrainError> {
    let mut target = AtomicFile::create(path)?;
    target
        .file
        .write_all(bytes)
        .map_err(TrainError::io("write", path))?;
    target.finish()
}

/// Takes away what killed writers left in `folder`.
pub(crate) fn remove_partial(folder: &Path) -> Result<(), TrainError> {
    for entry in fs::read_dir(folder).map_err(TrainError::io("list", folder))? {
        let path = entry.map_err(TrainError::io("list", folder))?.path();
        if path.extension().is_some_and(|e| e == PARTIAL) {
            fs::remove_file(&path).map_err(TrainError::io("remove", &path))?;
        }
    }
    Ok(())
}

#[cfg(unix)]
fn sync_folder(path: &Path) -> Result<(), TrainError> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let handle = File::open(folder).map_err(TrainError::io("open", folder))?;
    handle.sync_all().map_err(TrainError::io("sync", folder))
}

/// Elsewhere a folder cannot be opened as a file; the rename itself is still atomic.
#[cfg(not(unix))]
fn sync_folder(_: &Path) -> Result<(), TrainError> {
    Ok(())
}
