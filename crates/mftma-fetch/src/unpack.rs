//! Unpacking that cannot leave its folder: only plain files and folders, only relative paths without `..`, each file newly
//! created. An archive with anything else (links, devices, absolute paths) is refused as a whole.

use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use flate2::read::MultiGzDecoder;

/// Most bytes an archive may unpack to: four times the largest set known. Stops a small archive from filling the disk.
const MAX_UNPACKED: u64 = 8 << 30;
/// Most entries an archive may have: Tiny ImageNet has 120,000.
const MAX_ENTRIES: usize = 1_000_000;

/// A relative path of plain names, or an error.
pub fn safe_path(path: &Path) -> Result<PathBuf> {
    let mut safe = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => safe.push(name),
            Component::CurDir => {}
            _ => bail!("path '{}' would lead out of the folder", path.display()),
        }
    }
    ensure!(
        !path.as_os_str().as_encoded_bytes().contains(&0),
        "path '{}' holds a zero byte",
        path.display()
    );
    Ok(safe)
}

/// Unpacks the files under `top/` of an archive that `wanted` accepts (by their path below `top`) into `target`.
pub fn archive(
    path: &Path,
    top: &str,
    target: &Path,
    wanted: &dyn Fn(&Path) -> bool,
) -> Result<()> {
    unpack(path, top, target, wanted).with_context(|| format!("cannot unpack {}", path.display()))
}

fn unpack(path: &Path, top: &str, target: &Path, wanted: &dyn Fn(&Path) -> bool) -> Result<()> {
    let mut file = File::open(path)?;
    let mut magic = Vec::new();
    file.by_ref().take(6).read_to_end(&mut magic)?;
    file.seek(SeekFrom::Start(0))?;
    let mut place = Place {
        top,
        target,
        wanted,
        room: MAX_UNPACKED,
        entries: 0,
    };
    let file = BufReader::new(file);
    match magic.as_slice() {
        [0x1f, 0x8b, ..] => place.tar(MultiGzDecoder::new(file)),
        [0xfd, b'7', b'z', b'X', b'Z', 0] => place.tar(lzma_rust2::XzReader::new(file, true)),
        [b'P', b'K', ..] => place.zip(file),
        // A tar file has its mark further on; the reader finds out.
        _ => place.tar(file),
    }
}

/// Where the files of one archive go.
struct Place<'a> {
    top: &'a str,
    target: &'a Path,
    wanted: &'a dyn Fn(&Path) -> bool,
    room: u64,
    entries: usize,
}

impl Place<'_> {
    fn tar(&mut self, reader: impl Read) -> Result<()> {
        let mut archive = tar::Archive::new(reader);
        for entry in archive.entries()? {
            let mut entry = entry?;
            let path = entry.path()?.into_owned();
            match entry.header().entry_type() {
                // Metadata of the archive, not files.
                tar::EntryType::XGlobalHeader => {}
                tar::EntryType::Directory => self.folder(&path)?,
                tar::EntryType::Regular | tar::EntryType::Continuous => {
                    self.file(&path, &mut entry)?
                }
                other => bail!(
                    "'{}' is neither a file nor a folder ({other:?})",
                    path.display()
                ),
            }
        }
        Ok(())
    }

    fn zip(&mut self, reader: impl Read + Seek) -> Result<()> {
        let mut archive = zip::ZipArchive::new(reader)?;
        for index in 0..archive.len() {
            let mut entry = archive.by_index(index)?;
            let path = PathBuf::from(entry.name()?.as_ref());
            // Upper bits of the Unix mode: 0 (not recorded), plain file, or folder.
            let kind = entry.unix_mode().unwrap_or(0) & 0o170_000;
            ensure!(
                [0, 0o100_000, 0o040_000].contains(&kind),
                "'{}' is neither a file nor a folder (mode {kind:o})",
                path.display()
            );
            if entry.is_dir() {
                self.folder(&path)?;
            } else {
                self.file(&path, &mut entry)?;
            }
        }
        Ok(())
    }

    /// Checks the path of any entry; below `top`, gives the rest.
    fn inside(&mut self, path: &Path) -> Result<Option<PathBuf>> {
        self.entries += 1;
        ensure!(
            self.entries <= MAX_ENTRIES,
            "more than {MAX_ENTRIES} entries"
        );
        let path = safe_path(path)?;
        Ok(path.strip_prefix(self.top).ok().map(Path::to_owned))
    }

    fn folder(&mut self, path: &Path) -> Result<()> {
        // Folders are made as their files need them.
        self.inside(path).map(drop)
    }

    fn file(&mut self, path: &Path, reader: &mut impl Read) -> Result<()> {
        let Some(inside) = self.inside(path)?.filter(|inside| (self.wanted)(inside)) else {
            return Ok(());
        };
        let target = self.target.join(&inside);
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent)?;
        }
        // Newly created: an entry can neither overwrite another nor write through a link.
        let mut file = File::create_new(&target)
            .with_context(|| format!("'{}' is there twice", inside.display()))?;
        let count = io::copy(&mut reader.take(self.room + 1), &mut file)?;
        self.room = self
            .room
            .checked_sub(count)
            .with_context(|| format!("it unpacks to more than {MAX_UNPACKED} bytes"))?;
        Ok(())
    }
}
