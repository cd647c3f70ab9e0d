//! `.npz`: zip archives of `.npy` members, as written by `numpy.savez` (stored) and `numpy.savez_compressed` (deflated).
//!
//! Stored members are used where they lie. Deflated members cannot be entered in the middle, so each is unpacked once,
//! when its turn comes: into memory when small, else into an unnamed temporary file that is mapped.

use std::io::{Cursor, Read, Write};
use std::sync::Arc;

use zip::{CompressionMethod, ZipArchive};

use super::{Decode, Entry, ReadOptions, Storage, npy, within_limit};
use crate::array::ArrayInfo;
use crate::bytes::{Bytes, Shared, Spool};
use crate::error::{InputError, Place};

/// Deflate packs at most 258 bytes into 2 bits; a member that claims more is damaged or hostile.
pub(super) const MAX_DEFLATE_RATIO: u64 = 1_032;
/// Bytes unpacked between two looks at the interrupt flag.
const CHUNK: usize = 1 << 20;

/// A compressed member, by its number in the archive.
#[derive(Debug)]
struct Packed {
    bytes: Arc<Bytes>,
    index: usize,
    /// Bytes before the first value, once unpacked.
    data_start: usize,
    /// Declared sizes.
    packed_len: u64,
    unpacked_len: u64,
}

const REWRITE: &str = "write the file again with numpy.savez";

fn archive(place: &Place, bytes: &Arc<Bytes>) -> Result<ZipArchive<Cursor<Shared>>, InputError> {
    ZipArchive::new(Cursor::new(Shared(Arc::clone(bytes)))).map_err(|e| {
        InputError::malformed(place, format!("not a readable zip archive ({e})"), REWRITE)
    })
}

/// Lists the arrays of an archive. Members that do not end in `.npy` are passed over.
pub(super) fn open(place: &Place, bytes: Arc<Bytes>) -> Result<Vec<Entry>, InputError> {
    let mut archive = archive(place, &bytes)?;
    let mut entries = Vec::new();
    for index in 0..archive.len() {
        let (name, member) = match archive.by_index_raw(index) {
            Ok(file) => {
                let name = String::from_utf8_lossy(file.name_raw()).into_owned();
                let Some(name) = name.strip_suffix(".npy") else {
                    continue;
                };
                let member = Member {
                    method: file.compression(),
                    encrypted: file.encrypted(),
                    start: file.data_start(),
                    packed_len: file.compressed_size(),
                    unpacked_len: file.size(),
                };
                (name.to_owned(), member)
            }
            Err(e) => {
                return Err(InputError::malformed(
                    place,
                    format!("member {index} of the archive is damaged ({e})"),
                    REWRITE,
                ));
            }
        };
        let place = place.array(&name);
        let opened = member.open(&place, &bytes, &mut archive, index);
        entries.push(Entry::opened(name, place, &bytes, opened));
    }
    Ok(entries)
}

struct Member {
    method: CompressionMethod,
    encrypted: bool,
    start: Option<u64>,
    packed_len: u64,
    unpacked_len: u64,
}

impl Member {
    fn open(
        &self,
        place: &Place,
        bytes: &Arc<Bytes>,
        archive: &mut ZipArchive<Cursor<Shared>>,
        index: usize,
    ) -> Result<(ArrayInfo, Storage), InputError> {
        if self.encrypted {
            return Err(InputError::unsupported(
                place,
                "the member is encrypted",
                REWRITE,
            ));
        }
        match self.method {
            CompressionMethod::Stored => {
                let damaged =
                    || InputError::malformed(place, "the member reaches past the file", REWRITE);
                let start = self
                    .start
                    .and_then(|s| usize::try_from(s).ok())
                    .ok_or_else(damaged)?;
                let end = usize::try_from(self.unpacked_len)
                    .ok()
                    .and_then(|len| start.checked_add(len))
                    .ok_or_else(damaged)?;
                let member = bytes.get(start..end).ok_or_else(damaged)?;
                let (info, data_start) = npy::numbers(place, npy::parse_header(place, member)?)?;
                if info
                    .data_len()
                    .is_none_or(|len| len > member.len() - data_start)
                {
                    return Err(InputError::malformed(
                        place,
                        format!(
                            "the header declares {} but the member holds {} bytes of values",
                            info.describe(),
                            member.len() - data_start
                        ),
                        REWRITE,
                    ));
                }
                let bytes = Arc::clone(bytes);
                let start = start + data_start;
                Ok((info, Storage::Plain { bytes, start }))
            }
            CompressionMethod::Deflated => {
                let file = archive.by_index(index).map_err(|e| damaged(place, &e))?;
                // The header alone: whatever the sizes claim, no more than this is unpacked now.
                let mut head = Vec::new();
                file.take(npy::MAX_HEADER as u64 + 12)
                    .read_to_end(&mut head)
                    .map_err(|e| damaged(place, &e))?;
                let (info, data_start) = npy::numbers(place, npy::parse_header(place, &head)?)?;
                Ok((
                    info,
                    Storage::Decoded(Box::new(Packed {
                        bytes: Arc::clone(bytes),
                        index,
                        data_start,
                        packed_len: self.packed_len,
                        unpacked_len: self.unpacked_len,
                    })),
                ))
            }
            other => Err(InputError::unsupported(
                place,
                format!("compressed by {other:?}; NumPy writes stored or deflated members"),
                REWRITE,
            )),
        }
    }
}

fn damaged(place: &Place, error: &dyn std::error::Error) -> InputError {
    InputError::malformed(
        place,
        format!("the compressed data is damaged ({error})"),
        REWRITE,
    )
}

impl Decode for Packed {
    fn stored(&self) -> &'static str {
        "compressed"
    }

    fn decode(
        &self,
        place: &Place,
        info: &ArrayInfo,
        options: ReadOptions<'_>,
    ) -> Result<(Arc<Bytes>, usize), InputError> {
        let declared = info
            .data_len()
            .and_then(|len| len.checked_add(self.data_start))
            .map(|len| len as u64);
        if declared != Some(self.unpacked_len) {
            return Err(InputError::malformed(
                place,
                format!(
                    "the header declares {} but the archive says {} bytes",
                    info.describe(),
                    self.unpacked_len
                ),
                REWRITE,
            ));
        }
        if self.unpacked_len / MAX_DEFLATE_RATIO > self.packed_len {
            return Err(InputError::malformed(
                place,
                format!(
                    "{} bytes are said to unpack to {}, more than the format can",
                    self.packed_len, self.unpacked_len
                ),
                REWRITE,
            ));
        }
        within_limit(
            place,
            self.unpacked_len,
            options,
            "save it with numpy.savez, which does not compress and is mapped instead",
        )?;
        let mut archive = archive(place, &self.bytes)?;
        let mut file = archive
            .by_index(self.index)
            .map_err(|e| damaged(place, &e))?;
        let mut source = |buffer: &mut [u8]| {
            if (options.interrupted)() {
                return Err(InputError::Interrupted {
                    place: place.clone(),
                });
            }
            file.read(buffer).map_err(|e| damaged(place, &e))
        };
        let mut buffer = vec![0; CHUNK.min(self.unpacked_len as usize + 1)];
        let mut len = 0u64;
        // Reading goes on to the end of the member, because only then is its checksum compared.
        let mut drain = |sink: &mut dyn Write| loop {
            match source(&mut buffer)? {
                0 => return Ok(()),
                n => {
                    len += n as u64;
                    if len > self.unpacked_len {
                        return Err(InputError::malformed(
                            place,
                            "unpacks to more than declared",
                            REWRITE,
                        ));
                    }
                    sink.write_all(&buffer[..n])
                        .map_err(|e| InputError::io(place, e))?;
                }
            }
        };
        let mut spool = Spool::default();
        drain(&mut spool)?;
        let bytes = spool.finish().map_err(|e| InputError::io(place, e))?;
        Ok((Arc::new(bytes), self.data_start))
    }
}
