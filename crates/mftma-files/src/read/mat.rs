//! MATLAB's `.mat` of version 5 (what MATLAB 5 to 7.2 and `scipy.io.savemat` write), by MathWorks' description of the format.
//!
//! Version 7.3 is HDF5. Values lie column by column, so arrays are in Fortran order. Variables that are not compressed are
//! used where they lie; compressed ones are unpacked when their turn comes. MATLAB has no array of one axis: 1 × n and n × 1
//! are given as one.

use std::io::{Read, Write};
use std::sync::Arc;

use flate2::read::ZlibDecoder;

use super::npz::MAX_DEFLATE_RATIO;
use super::{Decode, Entry, PassedOver, ReadOptions, Storage, within_limit};
use crate::array::{ArrayInfo, Element};
use crate::bytes::{Bytes, Spool};
use crate::error::{InputError, Place};

const HEADER: usize = 128;
/// As much of a compressed variable as is unpacked to know its name, type and shape.
const HEAD: u64 = 1 << 16;
const MAX_AXES: usize = 64;

const MI_MATRIX: u32 = 14;
const MI_COMPRESSED: u32 = 15;

const REWRITE: &str = "save the file again: save('acts.mat', 'x') in MATLAB, scipy.io.savemat('acts.mat', {'x': x}) in Python";
const NUMBERS: &str = "save arrays of numbers as variables of their own: s = load('f.mat'); save('g.mat', '-struct', 's') unpacks a struct";

/// Whether bytes begin as such a file does.
pub(super) fn is_version_5(bytes: &[u8]) -> bool {
    matches!(
        bytes.get(124..128),
        Some([0, 1, b'I', b'M'] | [1, 0, b'M', b'I'])
    )
}

/// Lists the arrays of numbers, in the file's order. Text, structs, cells and functions are passed over.
pub(super) fn open(place: &Place, bytes: Arc<Bytes>) -> Result<Vec<Entry>, InputError> {
    let big_endian = match bytes.get(126..HEADER) {
        Some(b"IM") => false,
        Some(b"MI") => true,
        _ => {
            return Err(InputError::malformed(
                place,
                format!("cut short: {} bytes", bytes.len()),
                REWRITE,
            ));
        }
    };
    let damaged = |problem: &str| InputError::malformed(place, problem, REWRITE);
    let mut entries = Vec::new();
    let mut passed = PassedOver::default();
    let mut at = HEADER;
    while at < bytes.len() {
        let rest = &bytes[at..];
        let tag = Tag::read(rest, big_endian).ok_or_else(|| damaged("cut short within a tag"))?;
        let end = tag.start.checked_add(tag.len);
        let Some(content) = end.and_then(|end| rest.get(tag.start..end)) else {
            return Err(damaged(&format!(
                "a variable of {} bytes is declared, but {} follow",
                tag.len,
                rest.len() - tag.start
            )));
        };
        let start = at + tag.start;
        match tag.kind {
            MI_MATRIX => {
                let variable =
                    Variable::read(content, content.len(), big_endian).map_err(damaged)?;
                variable.list(place, &mut entries, &mut passed, |data_start| {
                    Storage::Plain {
                        bytes: Arc::clone(&bytes),
                        start: start + data_start,
                    }
                });
            }
            MI_COMPRESSED => {
                let mut head = Vec::new();
                ZlibDecoder::new(content)
                    .take(HEAD)
                    .read_to_end(&mut head)
                    .map_err(|e| damaged(&format!("a compressed variable is damaged ({e})")))?;
                let inner = Tag::read(&head, big_endian)
                    .filter(|inner| inner.kind == MI_MATRIX)
                    .ok_or_else(|| damaged("what is compressed is no variable"))?;
                let variable =
                    Variable::read(&head[inner.start..], inner.len, big_endian).map_err(damaged)?;
                let range = (start, tag.len);
                variable.list(place, &mut entries, &mut passed, |data_start| {
                    Storage::Decoded(Box::new(Deflated {
                        bytes: Arc::clone(&bytes),
                        range,
                        data_start: inner.start + data_start,
                    }))
                });
            }
            // Subsystem data and what later versions add.
            _ => {}
        }
        // A compressed variable is followed at once by the next, others at the next multiple of eight.
        let skip = if tag.kind == MI_COMPRESSED {
            tag.len
        } else {
            tag.len.next_multiple_of(8)
        };
        at = start.saturating_add(skip);
    }
    passed.check(place, entries, NUMBERS)
}

/// What stands before every element: its kind and length, and where its content starts.
#[derive(Debug, Clone, Copy)]
struct Tag {
    kind: u32,
    len: usize,
    start: usize,
}

impl Tag {
    fn read(bytes: &[u8], big_endian: bool) -> Option<Self> {
        let word = |at: usize| u32_at(bytes, at, big_endian);
        let (first, second) = (word(0)?, word(4)?);
        // Up to four bytes of content may stand within the tag.
        if first >> 16 != 0 {
            let (kind, len) = (first & 0xffff, (first >> 16) as usize);
            return (len <= 4).then_some(Self {
                kind,
                len,
                start: 4,
            });
        }
        Some(Self {
            kind: first,
            len: second as usize,
            start: 8,
        })
    }

    /// Where the next element begins.
    fn next(&self) -> usize {
        if self.start == 4 {
            8
        } else {
            // The length is one of 32 bits.
            self.start + self.len.next_multiple_of(8)
        }
    }
}

fn u32_at(bytes: &[u8], at: usize, big_endian: bool) -> Option<u32> {
    let field: [u8; 4] = bytes.get(at..at + 4)?.try_into().ok()?;
    Some(if big_endian {
        u32::from_be_bytes(field)
    } else {
        u32::from_le_bytes(field)
    })
}

/// A variable without its values.
struct Variable {
    name: String,
    content: Content,
}

enum Content {
    /// Numbers, and where they start.
    Numbers(ArrayInfo, usize),
    /// Numbers that cannot be used, with the reason and a remedy.
    Unsupported(&'static str, &'static str),
    /// No numbers: text, a struct.
    Other(&'static str),
}

impl Variable {
    /// Reads from the start of a variable of `len` bytes, of which `head` holds at least the beginning.
    fn read(head: &[u8], len: usize, big_endian: bool) -> Result<Self, &'static str> {
        const CUT: &str = "cut short within the description of a variable";
        let mut at = 0;
        let mut element = || -> Option<(Tag, usize)> {
            let tag = Tag::read(head.get(at..)?, big_endian)?;
            let start = at + tag.start;
            at += tag.next();
            Some((tag, start))
        };
        let content = |tag: &Tag, start: usize| head.get(start..start + tag.len).ok_or(CUT);

        let (tag, start) = element().ok_or(CUT)?;
        let flags = u32_at(content(&tag, start)?, 0, big_endian).ok_or(CUT)?;
        let class = flags & 0xff;
        let (tag, start) = element().ok_or(CUT)?;
        // Objects of MATLAB's newer classes (strings, tables) have no shape: the name comes first.
        if class == 17 {
            return Ok(Self {
                name: String::from_utf8_lossy(content(&tag, start)?).into_owned(),
                content: Content::Other("an object"),
            });
        }
        let lengths = content(&tag, start)?;
        let mut shape = Vec::new();
        for axis in 0..tag.len / 4 {
            let n = u32_at(lengths, 4 * axis, big_endian).ok_or(CUT)?;
            if n > i32::MAX as u32 || axis >= MAX_AXES {
                return Err("a negative length, or too many axes");
            }
            shape.push(n as usize);
        }
        let (tag, start) = element().ok_or(CUT)?;
        let name = String::from_utf8_lossy(content(&tag, start)?).into_owned();
        let other = |what| {
            Ok(Self {
                name: name.clone(),
                content: Content::Other(what),
            })
        };
        match class {
            1 => return other("a cell array"),
            2 => return other("a struct"),
            4 => return other("text"),
            5 => {
                return Ok(Self {
                    name,
                    content: Content::Unsupported("a sparse matrix", "save full(x)"),
                });
            }
            6..=15 => {}
            _ => return other("an object"),
        }
        if flags & 0x0800 != 0 {
            return Ok(Self {
                name,
                content: Content::Unsupported("complex numbers", "save [real(x) imag(x)]"),
            });
        }
        let (tag, start) = element().ok_or(CUT)?;
        // MATLAB stores doubles that are small whole numbers in fewer bytes: what counts is how they are stored.
        let element = match tag.kind {
            1 => Element::I8,
            2 => Element::U8,
            3 => Element::I16,
            4 => Element::U16,
            5 => Element::I32,
            6 => Element::U32,
            7 => Element::F32,
            9 => Element::F64,
            12 => Element::I64,
            13 => Element::U64,
            _ => return Err("values of an unknown type"),
        };
        if let [1, n] | [n, 1] = shape[..] {
            shape = vec![n];
        }
        let info = ArrayInfo {
            element,
            big_endian,
            shape,
            fortran_order: true,
        };
        if info.data_len() != Some(tag.len) || start.checked_add(tag.len).is_none_or(|e| e > len) {
            return Err("a variable's values are not as many as its shape says");
        }
        Ok(Self {
            name,
            content: Content::Numbers(info, start),
        })
    }

    fn list(
        self,
        place: &Place,
        entries: &mut Vec<Entry>,
        passed: &mut PassedOver,
        storage: impl FnOnce(usize) -> Storage,
    ) {
        let place = place.array(&self.name);
        let (info, start) = match self.content {
            Content::Numbers(info, start) => (Ok(info), start),
            Content::Unsupported(problem, remedy) => {
                (Err(InputError::unsupported(&place, problem, remedy)), 0)
            }
            Content::Other(what) => return passed.push(&self.name, what),
        };
        // What MATLAB keeps for itself has no name.
        if !self.name.is_empty() {
            entries.push(Entry {
                name: self.name,
                place,
                info,
                storage: storage(start),
            });
        }
    }
}

/// A compressed variable.
#[derive(Debug)]
struct Deflated {
    bytes: Arc<Bytes>,
    /// Start and length in the file.
    range: (usize, usize),
    /// Bytes before the first value, once unpacked.
    data_start: usize,
}

impl Decode for Deflated {
    fn stored(&self) -> &'static str {
        "compressed"
    }

    fn decode(
        &self,
        place: &Place,
        info: &ArrayInfo,
        options: ReadOptions<'_>,
    ) -> Result<(Arc<Bytes>, usize), InputError> {
        let damaged = |problem: String| InputError::malformed(place, problem, REWRITE);
        let (start, packed) = self.range;
        let wanted = info.data_len().unwrap_or(usize::MAX) as u64;
        if wanted / MAX_DEFLATE_RATIO > packed as u64 {
            return Err(damaged(format!(
                "{packed} bytes are said to unpack to {wanted}, more than the format can"
            )));
        }
        within_limit(
            place,
            wanted,
            options,
            "save it with '-v6', which does not compress and is mapped instead",
        )?;
        let mut values = ZlibDecoder::new(&self.bytes[start..start + packed]);
        let mut spool = Spool::default();
        let mut buffer = vec![0; 1 << 20];
        let (mut skip, mut left) = (self.data_start as u64, wanted);
        while left > 0 {
            if (options.interrupted)() {
                return Err(InputError::Interrupted {
                    place: place.clone(),
                });
            }
            let n = values
                .read(&mut buffer)
                .map_err(|e| damaged(format!("the compressed data is damaged ({e})")))?
                as u64;
            if n == 0 {
                return Err(damaged("the compressed data ends too early".to_owned()));
            }
            let from = skip.min(n);
            skip -= from;
            let to = n.min(from + left);
            left -= to - from;
            spool
                .write_all(&buffer[from as usize..to as usize])
                .map_err(|e| InputError::io(place, e))?;
        }
        // The checksum comes last.
        std::io::copy(&mut values.take(HEAD), &mut std::io::sink())
            .map_err(|e| damaged(format!("the compressed data is damaged ({e})")))?;
        let bytes = spool.finish().map_err(|e| InputError::io(place, e))?;
        Ok((Arc::new(bytes), 0))
    }
}
