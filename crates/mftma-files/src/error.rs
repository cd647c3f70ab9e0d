//! What can be wrong with an input file, said so that a newcomer can act on it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Where in the input something was found: a file and, where it holds several, the array.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file as the user named it.
    pub file: PathBuf,
    /// The array inside the file, for formats that hold more than one.
    pub array: Option<String>,
}

impl Place {
    /// A whole file.
    pub fn file(path: impl AsRef<Path>) -> Self {
        Self {
            file: path.as_ref().to_path_buf(),
            array: None,
        }
    }

    /// One array of this file.
    pub fn array(&self, name: &str) -> Self {
        Self {
            file: self.file.clone(),
            array: Some(name.to_owned()),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(array) = &self.array {
            write!(f, ", array {array:?}")?;
        }
        Ok(())
    }
}

/// What is wrong, where, and what to do instead.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// The operating system refused.
    #[error("{place}: {cause}\n  try: {remedy}")]
    Io {
        /// The file concerned.
        place: Place,
        /// The system's own words. They stand in the message, so they are no source, which would be told again.
        cause: io::Error,
        /// What to type or change.
        remedy: String,
    },
    /// The bytes do not follow the format.
    #[error("{place}: {problem}\n  try: {remedy}")]
    Malformed {
        /// The file or array concerned.
        place: Place,
        /// What was found and what was expected.
        problem: String,
        /// What to type or change.
        remedy: String,
    },
    /// A valid file that this program does not take (object arrays, complex numbers, encrypted archives).
    #[error("{place}: {problem}\n  try: {remedy}")]
    Unsupported {
        /// The file or array concerned.
        place: Place,
        /// What was found and what was expected.
        problem: String,
        /// What to type or change.
        remedy: String,
    },
    /// Unpacking would take more room than allowed.
    #[error("{place}: {problem}\n  try: {remedy}")]
    TooLarge {
        /// The file or array concerned.
        place: Place,
        /// Declared and allowed sizes.
        problem: String,
        /// What to type or change.
        remedy: String,
    },
    /// Well-formed content that cannot be analysed: NaN, wrong counts, a single class.
    #[error("{place}: {problem}\n  try: {remedy}")]
    Content {
        /// The file or array concerned.
        place: Place,
        /// What was found and what was expected.
        problem: String,
        /// What to type or change.
        remedy: String,
    },
    /// Cancelled by the caller.
    #[error("{place}: interrupted")]
    Interrupted {
        /// What was being read.
        place: Place,
    },
}

impl InputError {
    /// [`InputError::Malformed`].
    pub fn malformed(place: &Place, problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::Malformed {
            place: place.clone(),
            problem: problem.into(),
            remedy: remedy.into(),
        }
    }

    /// [`InputError::Unsupported`].
    pub fn unsupported(
        place: &Place,
        problem: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self::Unsupported {
            place: place.clone(),
            problem: problem.into(),
            remedy: remedy.into(),
        }
    }

    /// [`InputError::TooLarge`].
    pub fn too_large(place: &Place, problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::TooLarge {
            place: place.clone(),
            problem: problem.into(),
            remedy: remedy.into(),
        }
    }

    /// [`InputError::Content`].
    pub fn content(place: &Place, problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::Content {
            place: place.clone(),
            problem: problem.into(),
            remedy: remedy.into(),
        }
    }

    /// [`InputError::Io`].
    pub fn io(place: &Place, cause: io::Error) -> Self {
        let remedy = match cause.kind() {
            io::ErrorKind::NotFound => "check the spelling and the working directory".into(),
            io::ErrorKind::PermissionDenied => "make the file readable for this user".into(),
            io::ErrorKind::InvalidInput => "copy it to a regular file first".into(),
            io::ErrorKind::StorageFull => {
                "free some disk space, or set TMPDIR to a larger disk".into()
            }
            _ => "check that the file can be read (`mftma info FILE`)".into(),
        };
        Self::Io {
            place: place.clone(),
            cause,
            remedy,
        }
    }
}
