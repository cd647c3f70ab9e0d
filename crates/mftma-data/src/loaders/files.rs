//! What the loaders share: finding folders, reading small text files, limits on what a file may ask for.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// Longest text file (class names, annotations) that is read.
const TEXT_LIMIT: u64 = 16 << 20;

/// The most bytes that compressed content of `stored` bytes may unpack to.
///
/// Image data packs 2- to 10-fold and blank images at most some 100-fold; beyond 256-fold plus 16 MiB a file is
/// damaged, or made to exhaust memory.
pub(crate) fn unpacked_limit(stored: u64) -> u64 {
    stored.saturating_mul(256).saturating_add(16 << 20)
}

/// The first of `folders` (tried in order) that holds one of the files `wanted`, and that file.
///
/// # Errors
/// [`Error::Missing`] with everything tried.
pub(crate) fn find(set: &str, folders: &[PathBuf], wanted: &[&str]) -> Result<PathBuf> {
    folders
        .iter()
        .flat_map(|folder| wanted.iter().map(|file| folder.join(file)))
        .find(|path| path.exists())
        .ok_or_else(|| Error::Missing {
            set: set.to_owned(),
            wanted: wanted.join(" or "),
            looked_in: folders
                .iter()
                .map(|folder| folder.display().to_string())
                .collect::<Vec<_>>()
                .join(", "),
        })
}

/// Opens a file and tells its size in bytes.
pub(crate) fn open(path: &Path) -> Result<(File, u64)> {
    let file = File::open(path).map_err(Error::io(path))?;
    let metadata = file.metadata().map_err(Error::io(path))?;
    if !metadata.is_file() {
        return Err(Error::format(
            path,
            "is not a file",
            "put the data set's file in its place",
        ));
    }
    Ok((file, metadata.len()))
}

/// Reads a text file of at most 16 MiB.
pub(crate) fn text(path: &Path) -> Result<String> {
    let (file, length) = open(path)?;
    if length > TEXT_LIMIT {
        return Err(Error::format(
            path,
            format!("holds {length} bytes, more than any list of names ({TEXT_LIMIT})"),
            "put the data set's own file in its place",
        ));
    }
    let mut bytes = Vec::with_capacity(length as usize);
    file.take(TEXT_LIMIT)
        .read_to_end(&mut bytes)
        .map_err(Error::io(path))?;
    String::from_utf8(bytes).map_err(|error| {
        Error::format(
            path,
            format!(
                "is no UTF-8 text at byte {}",
                error.utf8_error().valid_up_to()
            ),
            "fetch it again",
        )
    })
}

/// The non-empty lines of a text file: exactly `expected` names.
pub(crate) fn names(path: &Path, expected: usize) -> Result<Vec<String>> {
    let names: Vec<String> = text(path)?
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .map(String::from)
        .collect();
    if names.len() != expected {
        return Err(Error::Size {
            path: path.to_owned(),
            unit: "class names".to_owned(),
            expected: expected as u64,
            actual: names.len() as u64,
        });
    }
    Ok(names)
}

/// The entries of a folder that `keep` accepts, ordered by name; names that start with a dot are left out.
pub(crate) fn list(folder: &Path, keep: impl Fn(&Path) -> bool) -> Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(Error::io(folder))? {
        let entry = entry.map_err(Error::io(folder))?;
        let path = entry.path();
        if !entry.file_name().as_encoded_bytes().starts_with(b".") && keep(&path) {
            paths.push(path);
        }
    }
    paths.sort_unstable();
    Ok(paths)
}

/// Whether a file's name ends in one of `extensions` (lower case), in either case.
pub(crate) fn has_extension(path: &Path, extensions: &[&str]) -> bool {
    path.extension()
        .and_then(|extension| extension.to_str())
        .is_some_and(|extension| extensions.contains(&extension.to_ascii_lowercase().as_str()))
}

/// Text from a file for an error message: quoted, escaped and cut short.
pub(crate) fn quoted(text: &str) -> String {
    format!("{:?}", text.chars().take(60).collect::<String>())
}
