//! Where data sets lie.

use std::path::{Path, PathBuf};

/// The environment variable that names the data folder.
pub const DATA_DIR_VARIABLE: &str = "MFTMA_DATA_DIR";

/// The data folder: `explicit` where given, else the folder that the environment variable `MFTMA_DATA_DIR` names
/// (unless empty), else `datasets` below the current folder.
///
/// This is the only function of the crate that reads the environment. It does not check that the folder exists.
pub fn data_dir(explicit: Option<&Path>) -> PathBuf {
    match explicit {
        Some(dir) => dir.to_owned(),
        None => std::env::var_os(DATA_DIR_VARIABLE)
            .filter(|value| !value.is_empty())
            .map_or_else(|| PathBuf::from("datasets"), PathBuf::from),
    }
}
