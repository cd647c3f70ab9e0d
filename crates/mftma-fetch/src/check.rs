//! Checksums of files, of gzipped content, and of whole folders.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use flate2::read::MultiGzDecoder;
use sha2::Digest as _;

/// A checksum as the manifest gives it.
#[derive(Debug, PartialEq, Eq)]
pub enum Checksum {
    Md5(String),
    Sha256(String),
}

impl Checksum {
    /// SHA-256 where it is known, else MD5.
    pub fn new(md5: Option<&str>, sha256: Option<&str>) -> Result<Self> {
        let (text, digits) = match (md5, sha256) {
            (_, Some(sha256)) => (sha256, 64),
            (Some(md5), None) => (md5, 32),
            (None, None) => bail!("no checksum given"),
        };
        ensure!(
            text.len() == digits
                && text
                    .bytes()
                    .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)),
            "'{text}' is not a checksum: wanted {digits} hexadecimal digits"
        );
        Ok(if digits == 64 {
            Self::Sha256(text.to_owned())
        } else {
            Self::Md5(text.to_owned())
        })
    }

    fn text(&self) -> &str {
        match self {
            Self::Md5(text) | Self::Sha256(text) => text,
        }
    }
}

/// What was found in a file.
#[derive(Debug)]
pub struct Found {
    size: u64,
    digest: String,
}

impl Found {
    /// An error that names the file, what was wanted and what was found.
    pub fn compare(&self, path: &Path, size: Option<u64>, wanted: &Checksum) -> Result<()> {
        if let Some(size) = size {
            ensure!(
                self.size == size,
                "{}: wanted {size} bytes, found {}",
                path.display(),
                self.size
            );
        }
        ensure!(
            self.digest == wanted.text(),
            "{}: wanted checksum {}, found {}",
            path.display(),
            wanted.text(),
            self.digest
        );
        Ok(())
    }
}

/// Size and digest of a file.
pub fn file(path: &Path, kind: &Checksum) -> Result<Found> {
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    digest(file, kind).with_context(|| format!("cannot read {}", path.display()))
}

/// Size and digest of a gzipped file's content; reads at most one byte more than wanted, whatever the file unpacks to.
pub fn gzipped(path: &Path, kind: &Checksum, size: u64) -> Result<Found> {
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let content = MultiGzDecoder::new(BufReader::new(file)).take(size + 1);
    digest(content, kind).with_context(|| format!("cannot unpack {}", path.display()))
}

fn digest(mut reader: impl Read, kind: &Checksum) -> Result<Found> {
    let mut buffer = vec![0; 1 << 16];
    let mut size = 0;
    let (mut md5, mut sha256) = (md5::Md5::new(), sha2::Sha256::new());
    loop {
        let count = reader.read(&mut buffer)?;
        if count == 0 {
            break;
        }
        size += count as u64;
        match kind {
            Checksum::Md5(_) => md5.update(&buffer[..count]),
            Checksum::Sha256(_) => sha256.update(&buffer[..count]),
        }
    }
    let digest = match kind {
        Checksum::Md5(_) => hex(&md5.finalize()),
        Checksum::Sha256(_) => hex(&sha256.finalize()),
    };
    Ok(Found { size, digest })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A folder's number of files and its digest as the manifest defines it.
pub struct FoundTree {
    pub files: usize,
    pub digest: String,
}

/// Digest of a whole folder.
pub fn tree(folder: &Path) -> Result<FoundTree> {
    let kind = Checksum::Sha256(String::new());
    let files = plain_files(folder)?;
    let mut list = String::new();
    for path in &files {
        let found = file(&folder.join(path), &kind)?;
        writeln!(list, "{}  {}", found.digest, path.display())?;
    }
    Ok(FoundTree {
        files: files.len(),
        digest: hex(&sha2::Sha256::digest(list.as_bytes())),
    })
}

/// All files below a folder, relative to it, sorted by their bytes. Anything but files and folders is refused.
pub fn plain_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(next) = open.pop() {
        for entry in
            fs::read_dir(&next).with_context(|| format!("cannot read {}", next.display()))?
        {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                open.push(entry.path());
            } else if kind.is_file() {
                files.push(entry.path().strip_prefix(folder)?.to_owned());
            } else {
                bail!("{} is neither a file nor a folder", entry.path().display());
            }
        }
    }
    files.sort_by(|a, b| a.as_os_str().cmp(b.as_os_str()));
    Ok(files)
}
