//! What can go wrong, in words that name the file, the value and the remedy.

use std::path::PathBuf;

use crate::{Checksum, ExampleGroup};

/// The error of every fallible function of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused a file or folder.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// File or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },

    /// No data set has this name.
    #[error("no data set is called {name:?}; the known names are {known}")]
    UnknownSet {
        /// The name asked for.
        name: String,
        /// The names there are.
        known: String,
    },

    /// The files of a data set are nowhere to be found.
    #[error(
        "the files of {set} are missing: looked for {wanted} in {looked_in}; give the folder that holds them, \
         set {}, or fetch the data set first",
        crate::locate::DATA_DIR_VARIABLE
    )]
    Missing {
        /// Name of the data set.
        set: String,
        /// The file looked for.
        wanted: String,
        /// The folders tried.
        looked_in: String,
    },

    /// A file, or what it holds, has the wrong size.
    #[error("{}: expected {expected} {unit}, found {actual}; the file is cut short, damaged or of another kind: fetch it again", path.display())]
    Size {
        /// The file.
        path: PathBuf,
        /// What is counted, for instance `bytes`.
        unit: String,
        /// How many there should be.
        expected: u64,
        /// How many there are.
        actual: u64,
    },

    /// A file is not in the format that its place and name promise.
    #[error("{}: {problem}; {remedy}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong, with the offending value.
        problem: String,
        /// What to do.
        remedy: String,
    },

    /// A label that the data set has no class for.
    #[error("{}: record {record} has {kind} label {value}, but there are {classes} classes (0 to {}); the file is damaged or belongs to another data set", path.display(), classes.saturating_sub(1))]
    LabelOutOfRange {
        /// The file.
        path: PathBuf,
        /// Index of the record in the file, from 0.
        record: usize,
        /// `fine` or `coarse`.
        kind: &'static str,
        /// The label found.
        value: u64,
        /// Number of classes.
        classes: usize,
    },

    /// An image file that does not decode.
    #[error("{}: {source}; replace the file, or take it out of the folder", path.display())]
    Image {
        /// The file.
        path: PathBuf,
        /// What the decoder said.
        source: image::ImageError,
    },

    /// An argument outside its range.
    #[error("{name} is {value}, but must be {must}")]
    Argument {
        /// Name of the argument.
        name: &'static str,
        /// Its value.
        value: String,
        /// What it must be.
        must: String,
    },

    /// Arrays that belong together disagree.
    #[error("{0}")]
    Inconsistent(String),

    /// A class has too few examples for what was asked.
    #[error("class {class} has too few {group} examples: wanted {wanted}, had {had}; {remedy}")]
    Shortage {
        /// The class (a label).
        class: u16,
        /// Where the examples were sought: an example group or a split.
        group: String,
        /// Number asked for.
        wanted: usize,
        /// Number there is.
        had: usize,
        /// What to do.
        remedy: &'static str,
    },

    /// No derangement exists: one class holds more than half of the chosen examples.
    #[error(
        "no derangement exists: class {class} holds {count} of the {chosen} chosen examples, more than half; choose another scheme, fraction or seed"
    )]
    NoDerangement {
        /// The class that is too large.
        class: u16,
        /// Its chosen examples.
        count: usize,
        /// All chosen examples.
        chosen: usize,
    },

    /// A stored checksum does not fit the stored content.
    #[error(
        "{what} has checksum {actual}, but says {stored}; it was altered after it was written: draw or fetch it again"
    )]
    ChecksumMismatch {
        /// What was checked.
        what: &'static str,
        /// The checksum that was stored with it.
        stored: Checksum,
        /// The checksum of the content.
        actual: Checksum,
    },
}

/// `Result` with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub(crate) fn io(path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }

    pub(crate) fn format(
        path: &std::path::Path,
        problem: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self::Format {
            path: path.to_owned(),
            problem: problem.into(),
            remedy: remedy.into(),
        }
    }

    pub(crate) fn argument(
        name: &'static str,
        value: impl ToString,
        must: impl Into<String>,
    ) -> Self {
        Self::Argument {
            name,
            value: value.to_string(),
            must: must.into(),
        }
    }

    pub(crate) fn shortage_in_group(
        class: u16,
        group: ExampleGroup,
        wanted: usize,
        had: usize,
    ) -> Self {
        Self::Shortage {
            class,
            group: group.name().to_owned(),
            wanted,
            had,
            remedy: "ask for fewer examples per manifold, or take what there is (Shortage::Take)",
        }
    }
}
