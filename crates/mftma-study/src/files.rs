//! Files that are either whole or not there.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};

/// How the names of temporary files begin.
const PARTIAL: &str = ".partial-";

/// Writes `bytes` to a temporary name in the same folder, then renames it to `path`.
///
/// A reader sees the old file or the new one, never a part. The temporary file is removed where anything fails.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty());
    let mut file = tempfile::Builder::new()
        .prefix(PARTIAL)
        .tempfile_in(folder.unwrap_or(Path::new(".")))
        .with_context(|| cannot_write(path))?;
    file.write_all(bytes)
        .and_then(|()| file.as_file().sync_all())
        .with_context(|| cannot_write(path))?;
    make_readable(file.path()).with_context(|| cannot_write(path))?;
    file.persist(path).with_context(|| cannot_write(path))?;
    Ok(())
}

/// Makes the folder for results, and proves that it can be written to before any work begins.
pub fn prepare_folder(path: &Path) -> Result<()> {
    fs::create_dir_all(path)
        .and_then(|()| tempfile::tempfile_in(path).map(drop))
        .with_context(|| {
            format!(
                "cannot write to the results folder {}; make it writable, or name another with --out",
                path.display()
            )
        })
}

/// The right to write the results folder, so that two processes do not mix their files. Ends with the value.
pub struct ResultsLock(#[allow(dead_code)] File);

impl ResultsLock {
    /// Waits for the right, then removes what an interrupted write left behind.
    pub fn take(folder: &Path) -> Result<Self> {
        let path = folder.join(".lock");
        let file = File::create(&path).with_context(|| cannot_write(&path))?;
        file.lock()
            .with_context(|| format!("cannot lock {}", path.display()))?;
        remove_leftovers(folder)?;
        Ok(Self(file))
    }
}

/// Removes temporary files of interrupted writes. Only for who holds the folder's lock.
pub fn remove_leftovers(folder: &Path) -> Result<()> {
    let entries =
        fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    for entry in entries {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(PARTIAL) {
            fs::remove_file(entry.path())
                .with_context(|| format!("cannot remove {}", entry.path().display()))?;
        }
    }
    Ok(())
}

fn cannot_write(path: &Path) -> String {
    format!(
        "cannot write {}; check the free space and the permissions of its folder",
        path.display()
    )
}

/// Temporary files are private to their owner; results are for everyone who may read the folder.
#[cfg(unix)]
fn make_readable(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn make_readable(_path: &Path) -> std::io::Result<()> {
    Ok(())
}
