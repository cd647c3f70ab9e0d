//! The bytes of a file: mapped into memory, or owned.
//!
//! This is the crate's only module with `unsafe`: mapping a file is unsafe because another process may change it.
#![allow(unsafe_code)]

use std::fs::File;
use std::io::{self, Write};
#[cfg(any(feature = "hdf5", feature = "zarr"))]
use std::io::{Seek, SeekFrom};
use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;

use memmap2::Mmap;

/// Larger arrays go to an unnamed temporary file rather than into memory.
const IN_MEMORY: u64 = 256 << 20;

/// Read-only bytes. A mapped file takes address space, not memory: the system loads pages as they are touched and may
/// drop them again, so a file larger than the memory can be read.
#[derive(Debug)]
pub enum Bytes {
    /// A mapped file.
    Mapped(Mmap),
    /// Bytes in memory.
    Owned(Vec<u8>),
}

impl Bytes {
    /// Maps a regular file. Anything else (a pipe, a device) is an error of kind `InvalidInput`.
    pub fn map(path: &Path) -> io::Result<Self> {
        Self::map_file(&File::open(path)?)
    }

    /// Maps an open regular file.
    pub fn map_file(file: &File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "not a regular file",
            ));
        }
        if metadata.len() == 0 {
            // Mapping nothing is an error on some systems.
            return Ok(Self::Owned(Vec::new()));
        }
        // SAFETY: the map is read-only and the slice is only ever read as plain bytes, every value of which is valid.
        // What Rust cannot rule out is another process that changes or truncates the file meanwhile; it could make
        // results wrong or end this process with SIGBUS, as for any program that maps files. The guide tells users
        // not to write to a file while it is analysed.
        let map = unsafe { Mmap::map(file)? };
        Ok(Self::Mapped(map))
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Mapped(map) => map,
            Self::Owned(bytes) => bytes,
        }
    }
}

/// Bytes as an owner that other crates take.
#[derive(Debug, Clone)]
pub(crate) struct Shared(pub(crate) Arc<Bytes>);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// Bytes that come one after the other: kept in memory up to 256 MiB, else in a temporary file that is mapped in the end.
///
/// Grows with what really comes, not with what a file declares.
#[derive(Debug, Default)]
pub(crate) struct Spool {
    memory: Vec<u8>,
    file: Option<io::BufWriter<File>>,
}

impl Spool {
    /// All that was written.
    pub(crate) fn finish(self) -> io::Result<Bytes> {
        match self.file {
            None => Ok(Bytes::Owned(self.memory)),
            Some(file) => {
                let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
                Bytes::map_file(&file)
            }
        }
    }
}

impl Write for Spool {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let len = self.memory.len() as u64 + bytes.len() as u64;
        if self.file.is_none() && len > IN_MEMORY {
            let mut file = io::BufWriter::with_capacity(1 << 20, tempfile::tempfile()?);
            file.write_all(&self.memory)?;
            self.memory = Vec::new();
            self.file = Some(file);
        }
        match &mut self.file {
            Some(file) => file.write_all(bytes)?,
            None => self.memory.extend_from_slice(bytes),
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Bytes that come in any order: in memory up to 256 MiB, else in a temporary file. Zero where nothing was written.
#[cfg(any(feature = "hdf5", feature = "zarr"))]
#[derive(Debug)]
pub(crate) struct Canvas {
    memory: Vec<u8>,
    file: Option<File>,
}

#[cfg(any(feature = "hdf5", feature = "zarr"))]
impl Canvas {
    /// `len` zeros. The caller has compared `len` with what a file may ask for; the system gives memory, and a temporary
    /// file room, only as they are written to.
    pub(crate) fn new(len: u64) -> io::Result<Self> {
        if len > IN_MEMORY {
            let file = tempfile::tempfile()?;
            file.set_len(len)?;
            return Ok(Self {
                memory: Vec::new(),
                file: Some(file),
            });
        }
        Ok(Self {
            memory: vec![0; len as usize],
            file: None,
        })
    }

    /// Puts `bytes` at an offset, which must lie within the length.
    pub(crate) fn write_at(&mut self, offset: usize, bytes: &[u8]) -> io::Result<()> {
        match &mut self.file {
            Some(file) => {
                file.seek(SeekFrom::Start(offset as u64))?;
                file.write_all(bytes)
            }
            None => {
                let end = offset.checked_add(bytes.len());
                let Some(target) = end.and_then(|end| self.memory.get_mut(offset..end)) else {
                    return Err(io::Error::other("a value reaches past the array"));
                };
                target.copy_from_slice(bytes);
                Ok(())
            }
        }
    }

    /// Repeats a value over the first `len` bytes. Zeros are there already.
    #[cfg(any(feature = "hdf5", feature = "zarr"))]
    pub(crate) fn fill(&mut self, value: &[u8], len: usize) -> io::Result<()> {
        if value.iter().all(|&b| b == 0) {
            return Ok(());
        }
        let run = value.repeat(((1 << 20) / value.len()).min(len / value.len()));
        for at in (0..len).step_by(run.len().max(1)) {
            self.write_at(at, &run[..run.len().min(len - at)])?;
        }
        Ok(())
    }

    /// All of it.
    pub(crate) fn finish(self) -> io::Result<Bytes> {
        match self.file {
            None => Ok(Bytes::Owned(self.memory)),
            Some(file) => Bytes::map_file(&file),
        }
    }
}
