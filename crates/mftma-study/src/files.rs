//! The folder that results are written to.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::claim::Right;
use crate::progress::Progress;

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

/// Does `work` while nobody else writes the results folder, so that two processes do not mix their files. What an interrupted write left
/// behind is gone by then.
pub fn alone<T>(folder: &Path, progress: &Progress, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let what = format!("the results folder {}", folder.display());
    let right = Right::take(folder, &what, &|text| progress.note(text), &|| false)?;
    let right = right.context("nobody gave the right to it")?;
    right.use_for(|| {
        mftma_atomic::remove_leftovers(folder)?;
        work()
    })
}
