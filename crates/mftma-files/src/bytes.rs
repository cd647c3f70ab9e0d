//! The bytes of a file: mapped into memory, or owned.
//!
//! This is the crate's only module with `unsafe`: mapping a file is unsafe because another process may change it.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::ops::Deref;
use std::path::Path;

use memmap2::Mmap;

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
