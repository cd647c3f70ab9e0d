//! One loader per data set, behind one trait.

use std::path::Path;

use crate::{Dataset, Error, Result, data_dir};

pub mod cifar;
mod files;
pub mod folder;
#[cfg(feature = "glyphs")]
pub mod glyphs;
pub mod idx;
mod images;
pub mod tiny_imagenet;

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

/// The loaders of all data sets that have a fixed name.
fn named() -> Vec<Box<dyn Loader>> {
    let mut loaders: Vec<Box<dyn Loader>> = vec![
        #[cfg(feature = "glyphs")]
        Box::new(glyphs::Glyphs),
        Box::new(cifar::Cifar::ten()),
        Box::new(cifar::Cifar::hundred()),
        Box::new(tiny_imagenet::TinyImageNet),
        Box::new(idx::Idx::mnist()),
        Box::new(idx::Idx::fashion_mnist()),
    ];
    for part in idx::Idx::emnist() {
        loaders.push(Box::new(part));
    }
    loaders
}

/// The names that [`open`] knows; besides them, `folder:PATH` is a folder of images sorted by class.
pub fn names() -> Vec<String> {
    named()
        .iter()
        .map(|loader| loader.name().to_owned())
        .collect()
}

/// The loader of the data set called `name`: one of [`names`], or `folder:PATH` for
/// [`ClassFolders`](folder::ClassFolders) with default settings.
///
/// # Errors
/// [`Error::UnknownSet`], listing the known names.
pub fn loader(name: &str) -> Result<Box<dyn Loader>> {
    if let Some(path) = name.strip_prefix("folder:").filter(|path| !path.is_empty()) {
        return Ok(Box::new(folder::ClassFolders::new(path)));
    }
    named()
        .into_iter()
        .find(|loader| loader.name() == name)
        .ok_or_else(|| Error::UnknownSet {
            name: name.to_owned(),
            known: format!("{}, folder:PATH", names().join(", ")),
        })
}

/// Reads the data set called `name` from the folder that [`data_dir`] finds.
///
/// # Errors
/// See [`loader`] and [`Loader::load`].
pub fn open(name: &str, explicit_dir: Option<&Path>) -> Result<Dataset> {
    loader(name)?.load(&data_dir(explicit_dir))
}
