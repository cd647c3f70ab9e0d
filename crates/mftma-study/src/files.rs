//! The folder that results are written to.

use std::fs::{self, File};
use std::path::Path;

use anyhow::{Context, Result};

/// Makes the folder for results, and proves that it can be written to before any work begins.
pub fn prepare_folder(path: &Path) -> Result<()> {
    fs::create_dir_all(path)
        .and_then(|()| mftma_atomic::try_folder(path))
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
        mftma_atomic::remove_leftovers(folder)?;
        Ok(Self(file))
    }
}

fn cannot_write(path: &Path) -> String {
    format!(
        "cannot write {}; check the free space and the permissions of its folder",
        path.display()
    )
}
