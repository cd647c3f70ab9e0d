//! One loader per data set, behind one trait.

use std::path::Path;

use crate::{Dataset, Error, Result, data_dir};

/// Reads one data set.
pub trait Loader: Send + Sync {
    /// The name under which [`open`] finds the data set.
    fn name(&self) -> &str;

    /// Reads the whole data set from below `data_dir`, the folder that holds all data sets (or directly from the data
    /// set's own folder).
    ///
    /// # Errors
    /// [`Error::Missing`] where the files are not there; otherwise errors that name the file, what is wrong with it
    /// and the remedy.
    fn load(&self, data_dir: &Path) -> Result<Dataset>;
}

/// The loader of the data set called `name`.
///
/// # Errors
/// [`Error::UnknownSet`], listing the known names.
pub fn loader(name: &str) -> Result<Box<dyn Loader>> {
    let loaders: Vec<Box<dyn Loader>> = Vec::new();
    let known: Vec<String> = loaders
        .iter()
        .map(|loader| loader.name().to_owned())
        .collect();
    loaders
        .into_iter()
        .find(|loader| loader.name() == name)
        .ok_or_else(|| Error::UnknownSet {
            name: name.to_owned(),
            known: known.join(", "),
        })
}

/// Reads the data set called `name` from the folder that [`data_dir`] finds.
///
/// # Errors
/// See [`loader`] and [`Loader::load`].
pub fn open(name: &str, explicit_dir: Option<&Path>) -> Result<Dataset> {
    loader(name)?.load(&data_dir(explicit_dir))
}
