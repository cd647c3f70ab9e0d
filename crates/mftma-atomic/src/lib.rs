//! Files that are whole or not there: the one way in which the crates write.
//!
//! A file is written under a temporary name in its own folder, brought to the disk, and renamed. Whenever the process or the machine
//! stops, the name holds the old content or all of the new. Where anything fails, the temporary file goes away. What a killed process
//! leaves behind begins with [`LEFTOVER`]; who holds the folder's lock may call [`remove_leftovers`].
//!
//! A link stays a link: what it leads to is replaced. A new file's permissions are those of any new file (on Unix the umask decides).
//! Devices and pipes have no content that could be replaced: write to them as they are.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::io::Write;
//! let folder = tempfile::tempdir()?;
//! mftma_atomic::write(&folder.path().join("short.txt"), b"whole")?;
//!
//! let path = folder.path().join("long.txt");
//! let mut file = mftma_atomic::AtomicFile::create(&path)?;
//! writeln!(file, "piece after piece")?;
//! assert!(!path.exists());
//! file.replace()?;
//! assert!(path.exists());
//! # Ok(())
//! # }
//! ```

use std::fs::{self, File};
use std::io::{self, ErrorKind, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

/// How temporary names begin.
pub const LEFTOVER: &str = ".partial-";

/// A file or folder could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {}; check the free space and the permissions of its folder", path.display())]
pub struct WriteError {
    /// The file or folder, by the name that the caller gave.
    pub path: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

impl WriteError {
    fn at(path: &Path) -> impl Fn(io::Error) -> Self {
        move |source| Self {
            path: path.to_owned(),
            source,
        }
    }
}

/// A file on its way. Dropped before [`AtomicFile::replace`] or [`AtomicFile::keep_new`], it was never there.
#[derive(Debug)]
pub struct AtomicFile {
    path: PathBuf,
    file: NamedTempFile,
}

impl AtomicFile {
    /// Begins the file that is to stand at `path`, in a folder that exists.
    ///
    /// # Errors
    /// [`WriteError`] where no file can be made in the folder.
    pub fn create(path: &Path) -> Result<Self, WriteError> {
        let mut name = tempfile::Builder::new();
        name.prefix(LEFTOVER);
        // Temporary files are private to their owner, results are not.
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            name.permissions(fs::Permissions::from_mode(0o666));
        }
        let file = name
            .tempfile_in(folder(&end_of_link(path)))
            .map_err(WriteError::at(path))?;
        Ok(Self {
            path: path.to_owned(),
            file,
        })
    }

    /// Puts the file in its place, where another may stand.
    ///
    /// # Errors
    /// [`WriteError`]; then the other stands as it was.
    pub fn replace(self) -> Result<(), WriteError> {
        let Self { path, file } = self;
        let target = end_of_link(&path);
        let put = || {
            file.as_file().sync_all()?;
            file.persist(&target)?;
            sync_folder(folder(&target))
        };
        put().map_err(WriteError::at(&path))
    }

    /// Puts the file in its place, where none may stand.
    ///
    /// # Errors
    /// [`WriteError`], of kind [`ErrorKind::AlreadyExists`] where there is something of that name, a link that leads nowhere too.
    pub fn keep_new(self) -> Result<(), WriteError> {
        let Self { path, file } = self;
        let put = || {
            file.as_file().sync_all()?;
            file.persist_noclobber(&path)?;
            sync_folder(folder(&path))
        };
        put().map_err(WriteError::at(&path))
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Seek for AtomicFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

/// Replaces the content of `path` in one step.
///
/// # Errors
/// [`WriteError`]; then the old content stands.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), WriteError> {
    begin(path, bytes)?.replace()
}

/// Writes a file where none may stand.
///
/// # Errors
/// As [`AtomicFile::keep_new`].
pub fn write_new(path: &Path, bytes: &[u8]) -> Result<(), WriteError> {
    begin(path, bytes)?.keep_new()
}

fn begin(path: &Path, bytes: &[u8]) -> Result<AtomicFile, WriteError> {
    let mut file = AtomicFile::create(path)?;
    file.write_all(bytes).map_err(WriteError::at(path))?;
    Ok(file)
}

/// Whether files can be made in a folder, found out by making one, which goes away again.
///
/// # Errors
/// What the system said.
pub fn try_folder(folder: &Path) -> io::Result<()> {
    tempfile::tempfile_in(folder).map(drop)
}

/// Removes what killed writers left in a folder. Only for who holds the folder's lock: others may be writing.
///
/// # Errors
/// [`WriteError`] of the folder, or of a file that cannot be removed.
pub fn remove_leftovers(folder: &Path) -> Result<(), WriteError> {
    for entry in fs::read_dir(folder).map_err(WriteError::at(folder))? {
        let entry = entry.map_err(WriteError::at(folder))?;
        if entry.file_name().to_string_lossy().starts_with(LEFTOVER) {
            let path = entry.path();
            match fs::remove_file(&path) {
                // A writer that lives after all, and did not get to its file, took it away itself.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                removed => removed.map_err(WriteError::at(&path))?,
            }
        }
    }
    Ok(())
}

/// The folder that a file of this name stands in.
pub fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// What a link leads to; any other path as it is.
fn end_of_link(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

/// Brings a rename to the disk, where the system can. The file is whole either way.
#[cfg(unix)]
fn sync_folder(folder: &Path) -> io::Result<()> {
    // A folder may be one to write to and not to read; some file systems know no such call.
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    match synced.as_ref().map_err(io::Error::kind) {
        Err(ErrorKind::PermissionDenied | ErrorKind::InvalidInput | ErrorKind::Unsupported) => {
            Ok(())
        }
        _ => synced,
    }
}

/// Elsewhere a folder cannot be opened as a file.
#[cfg(not(unix))]
fn sync_folder(_folder: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let name = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name();
        let names = fs::read_dir(folder).unwrap().map(name);
        names.map(|name| name.into_string().unwrap()).collect()
    }

    #[test]
    fn a_file_is_there_when_it_is_whole_and_not_before() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("a");
        write(&path, b"old").unwrap();
        let mut file = AtomicFile::create(&path).unwrap();
        file.write_all(b"new_").unwrap();
        file.seek(SeekFrom::Start(0)).unwrap();
        file.write_all(b"N").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"old");
        file.replace().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"New_");
        assert_eq!(names(place.path()), ["a"]);
    }

    #[test]
    fn an_abandoned_file_leaves_nothing() {
        let place = tempfile::tempdir().unwrap();
        let mut file = AtomicFile::create(&place.path().join("a")).unwrap();
        file.write_all(b"half").unwrap();
        assert_eq!(names(place.path()).len(), 1);
        drop(file);
        assert!(names(place.path()).is_empty());
    }

    #[test]
    fn a_new_file_replaces_nothing() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("a");
        write_new(&path, b"first").unwrap();
        let error = write_new(&path, b"second").unwrap_err();
        assert_eq!(error.source.kind(), ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"first");
        assert_eq!(names(place.path()), ["a"]);
    }

    #[test]
    fn leftovers_are_removed_and_nothing_else() {
        let place = tempfile::tempdir().unwrap();
        write(&place.path().join("a"), b"").unwrap();
        // As a killed process leaves it.
        let file = AtomicFile::create(&place.path().join("b")).unwrap();
        std::mem::forget(file);
        assert_eq!(names(place.path()).len(), 2);
        remove_leftovers(place.path()).unwrap();
        assert_eq!(names(place.path()), ["a"]);
    }

    #[test]
    fn errors_name_the_file_and_keep_what_was_there() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("missing").join("a");
        let error = write(&path, b"").unwrap_err();
        assert!(
            error.to_string().contains(path.to_str().unwrap()),
            "{error}"
        );
        assert_eq!(error.source.kind(), ErrorKind::NotFound);
        assert!(try_folder(folder(&path)).is_err());
        try_folder(place.path()).unwrap();
        // A folder cannot be replaced by a file.
        let other = place.path().join("folder");
        fs::create_dir(&other).unwrap();
        assert!(write(&other, b"").is_err());
        assert_eq!(names(place.path()), ["folder"]);
    }

    #[cfg(unix)]
    #[test]
    fn permissions_are_those_of_any_new_file_and_links_stay() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let place = tempfile::tempdir().unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
        let (plain, ours) = (place.path().join("plain"), place.path().join("ours"));
        fs::write(&plain, b"").unwrap();
        write(&ours, b"1").unwrap();
        assert_eq!(mode(&ours), mode(&plain));
        let link = place.path().join("link");
        symlink("ours", &link).unwrap();
        write(&link, b"2").unwrap();
        assert!(link.is_symlink());
        assert_eq!(fs::read(&ours).unwrap(), b"2");
        assert!(write_new(&link, b"3").is_err());
    }
}
