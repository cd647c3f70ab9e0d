//! zarr folders, versions 2 and 3: arrays in chunks, each a file.
//!
//! Read are chunks that are plain or packed by zlib, gzip, zstd or Blosc (with LZ4, zlib or zstd within), shuffled, transposed,
//! with a checksum; all in Rust. Shards of such chunks are read too. What else a store names (filters, other codecs) is refused by that name. Chunks are
//! unpacked one by one when an array's turn comes; a chunk whose file is missing holds the fill value, as the format has it.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;

use super::packed::{blosc, inflate, unshuffle, zstd};
use super::strided::{Strided, advance, put_chunk};
use super::{
    Decode, Entry, PassedOver, ReadOptions, Storage, dead_link, leads_nowhere, natural_order, stem,
    within_limit,
};
use crate::array::{ArrayInfo, Element};
use crate::bytes::{Bytes, Canvas};
use crate::error::{InputError, Place};

const REWRITE: &str = "write the store again, or copy it whole";
const PLAIN: &str = "save it without compression or with zstd: zarr.create_array(..., compressors=zarr.codecs.ZstdCodec())";
const SHARDING: &str = "sharding_indexed";
const WHOLE: &str = "save it without shards: zarr.create_array(..., shards=None)";
const NUMBERS: &str = "save arrays of numbers: zarr.save('acts.zarr', conv1=x)";
/// A description longer than this is no description.
const MAX_JSON: u64 = 1 << 20;
const MAX_DEPTH: usize = 16;
const MAX_AXES: usize = 64;
/// Groups and arrays of a store. Links can make few folders very many.
const MAX_FOLDERS: usize = 20_000;
/// Each is a file to look for, there or not.
const MAX_CHUNKS: usize = 10_000_000;

/// Lists the arrays of a store, sorted by path.
pub(super) fn open(place: &Place) -> Result<Vec<Entry>, InputError> {
    let mut entries = Vec::new();
    let mut passed = PassedOver::default();
    let real = |folder: &Path| {
        folder
            .canonicalize()
            .unwrap_or_else(|_| folder.to_path_buf())
    };
    // With the folders around each.
    let mut open = vec![(place.file.clone(), String::new(), Vec::new())];
    let mut met = 0;
    while let Some((folder, name, around)) = open.pop() {
        met += 1;
        if met > MAX_FOLDERS {
            return Err(InputError::malformed(
                place,
                format!("more than {MAX_FOLDERS} groups and arrays"),
                "give a group in it, and look for links that lead to each other",
            ));
        }
        let own = if name.is_empty() {
            place.clone()
        } else {
            place.array(&name)
        };
        match description(&own, &folder)? {
            Some(Described::Array(described)) => match Array::read(&own, &folder, described) {
                Ok(Some((info, array))) => entries.push(Entry {
                    name: if name.is_empty() {
                        stem(&place.file)
                    } else {
                        name
                    },
                    place: own,
                    info: Ok(info),
                    storage: Storage::Decoded(Box::new(array)),
                }),
                Ok(None) => passed.push(&name, "no numbers"),
                Err(error) => entries.push(Entry::unreadable(name, error, own)),
            },
            Some(Described::Group) if around.len() < MAX_DEPTH => {
                let mut around: Vec<PathBuf> = around;
                around.push(real(&folder));
                for item in std::fs::read_dir(&folder).map_err(|e| InputError::io(&own, e))? {
                    let path = item.map_err(|e| InputError::io(&own, e))?.path();
                    let Some(file_name) = path.file_name().map(|n| n.to_string_lossy()) else {
                        continue;
                    };
                    let inner = if name.is_empty() {
                        file_name.to_string()
                    } else {
                        format!("{name}/{file_name}")
                    };
                    if file_name.starts_with('.') {
                        continue;
                    }
                    if leads_nowhere(&path) {
                        let place = place.array(&inner);
                        entries.push(Entry::unreadable(inner, dead_link(&place), place));
                    } else if path.is_dir() && !(path.is_symlink() && around.contains(&real(&path)))
                    {
                        // A link to a folder around it would never end, and leads to nothing else.
                        open.push((path, inner, around.clone()));
                    }
                }
            }
            _ => {}
        }
    }
    entries.sort_by(|a, b| natural_order(&a.name, &b.name));
    let entries = passed.check(place, entries, NUMBERS)?;
    if entries.is_empty() {
        return Err(InputError::content(
            place,
            "the zarr store holds no array",
            NUMBERS,
        ));
    }
    Ok(entries)
}

enum Described {
    Group,
    Array(Value),
}

/// What a folder says of itself; `None` where it says nothing.
fn description(place: &Place, folder: &Path) -> Result<Option<Described>, InputError> {
    if folder.join("zarr.json").is_file() {
        let json = json(place, &folder.join("zarr.json"))?;
        return Ok(match json["node_type"].as_str() {
            Some("array") => Some(Described::Array(json)),
            _ => Some(Described::Group),
        });
    }
    if folder.join(".zarray").is_file() {
        return Ok(Some(Described::Array(json(
            place,
            &folder.join(".zarray"),
        )?)));
    }
    Ok(folder.join(".zgroup").is_file().then_some(Described::Group))
}

fn json(place: &Place, path: &Path) -> Result<Value, InputError> {
    let file = std::fs::File::open(path).map_err(|e| InputError::io(place, e))?;
    let mut text = Vec::new();
    file.take(MAX_JSON)
        .read_to_end(&mut text)
        .map_err(|e| InputError::io(place, e))?;
    // `fill_value` may be NaN, which Python writes though JSON knows no such number.
    serde_json::from_slice(&text).map_err(|e| {
        InputError::malformed(
            place,
            format!("{} is no JSON ({e})", path.display()),
            REWRITE,
        )
    })
}

/// How chunks were packed; undone from the last to the first.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Codec {
    /// The axes of the array, in the order in which the chunk has them.
    Transpose(Vec<usize>),
    Zlib,
    Gzip,
    Zstd,
    Blosc,
    /// Bytes of a value that were put apart.
    Shuffle(usize),
    /// Four bytes at the end, which are not compared.
    Crc32c,
}

/// An array in a store.
#[derive(Debug)]
struct Array {
    folder: PathBuf,
    chunk_shape: Vec<usize>,
    codecs: Vec<Codec>,
    /// Bytes of one value where no chunk is.
    fill: Vec<u8>,
    /// What stands before the chunk's numbers and between them.
    prefix: &'static str,
    separator: char,
    /// Where a chunk's file holds chunks in turn.
    shard: Option<Box<Shard>>,
}

/// Chunks within the file of a chunk, found by an index of where each begins and how many bytes it takes.
#[derive(Debug)]
struct Shard {
    inner: Array,
    /// Whether the index stands at the end, not at the beginning.
    at_end: bool,
    /// Bytes of the index's checksum, which is not compared.
    checksum: usize,
}

impl Array {
    /// `None` where the values are no numbers.
    fn read(
        place: &Place,
        folder: &Path,
        json: Value,
    ) -> Result<Option<(ArrayInfo, Self)>, InputError> {
        let malformed = |problem: &str| InputError::malformed(place, problem, REWRITE);
        let version_3 = json["zarr_format"].as_u64() == Some(3);
        let shape = lengths(&json["shape"]).ok_or_else(|| malformed("no shape"))?;
        let grid = if version_3 {
            &json["chunk_grid"]["configuration"]["chunk_shape"]
        } else {
            &json["chunks"]
        };
        let chunk_shape = lengths(grid)
            .filter(|c| c.len() == shape.len() && !c.contains(&0))
            .ok_or_else(|| malformed("no regular chunks that go with the shape"))?;
        let (name, mut big_endian) = if version_3 {
            let Some(name) = json["data_type"].as_str() else {
                return Ok(None);
            };
            (name, false)
        } else {
            let Some(name) = json["dtype"].as_str() else {
                return Ok(None);
            };
            (
                name.trim_start_matches(['<', '>', '|']),
                name.starts_with('>'),
            )
        };
        let element = match name {
            "bool" | "b1" => Element::Bool,
            "int8" | "i1" => Element::I8,
            "uint8" | "u1" => Element::U8,
            "int16" | "i2" => Element::I16,
            "uint16" | "u2" => Element::U16,
            "int32" | "i4" => Element::I32,
            "uint32" | "u4" => Element::U32,
            "int64" | "i8" => Element::I64,
            "uint64" | "u8" => Element::U64,
            "float16" | "f2" => Element::F16,
            "bfloat16" => Element::Bf16,
            "float32" | "f4" => Element::F32,
            "float64" | "f8" => Element::F64,
            "complex64" | "complex128" | "c8" | "c16" => {
                return Err(InputError::unsupported(
                    place,
                    "complex numbers",
                    "save real features, for example numpy.concatenate([x.real, x.imag], axis=1)",
                ));
            }
            _ => return Ok(None),
        };
        let sharding = match json["codecs"].as_array().map(Vec::as_slice) {
            Some([only]) if version_3 && only["name"] == SHARDING => Some(&only["configuration"]),
            _ => None,
        };
        let mut codecs = match sharding {
            Some(within) => codecs_3(place, &within["codecs"], &mut big_endian, shape.len())?,
            None if version_3 => codecs_3(place, &json["codecs"], &mut big_endian, shape.len())?,
            None => codecs_2(place, &json, shape.len())?,
        };
        for codec in &mut codecs {
            if let Codec::Shuffle(size @ 0) = codec {
                *size = element.size();
            }
        }
        let separator = if version_3 {
            let encoding = &json["chunk_key_encoding"];
            match encoding["configuration"]["separator"].as_str() {
                Some(".") => '.',
                Some(_) => '/',
                None if encoding["name"] == "v2" => '.',
                None => '/',
            }
        } else if json["dimension_separator"] == "/" {
            '/'
        } else {
            '.'
        };
        let default = version_3 && json["chunk_key_encoding"]["name"] != "v2";
        let info = ArrayInfo {
            element,
            big_endian,
            shape,
            fortran_order: false,
        };
        let fill = fill(&info, &json["fill_value"])
            .ok_or_else(|| malformed("a fill value that does not go with the type"))?;
        let mut array = Self {
            folder: folder.to_path_buf(),
            chunk_shape,
            codecs,
            fill,
            prefix: if default { "c" } else { "" },
            separator,
            shard: None,
        };
        if let Some(within) = sharding {
            array = array.sharded(place, within)?;
        }
        Ok(Some((info, array)))
    }

    /// How many chunks lie along each axis.
    fn grid(&self, info: &ArrayInfo) -> Vec<usize> {
        let axes = info.shape.iter().zip(&self.chunk_shape);
        axes.map(|(&n, &c)| n.div_ceil(c)).collect()
    }

    /// The same array, whose codecs are those of chunks within its chunks.
    fn sharded(mut self, place: &Place, within: &Value) -> Result<Self, InputError> {
        let divides = |inner: &Vec<usize>| {
            let mut pairs = self.chunk_shape.iter().zip(inner);
            inner.len() == self.chunk_shape.len()
                && pairs.all(|(outer, &inner)| inner > 0 && outer % inner == 0)
        };
        let chunk_shape = lengths(&within["chunk_shape"])
            .filter(divides)
            .ok_or_else(|| {
                InputError::malformed(place, "no regular chunks that go with the shards", REWRITE)
            })?;
        let mut checksum = 0;
        for codec in within["index_codecs"].as_array().into_iter().flatten() {
            match codec["name"].as_str() {
                Some("bytes") if codec["configuration"]["endian"] != "big" => {}
                Some("crc32c") => checksum = 4,
                _ => return Err(unknown(place, SHARDING)),
            }
        }
        let inner = Self {
            folder: PathBuf::new(),
            chunk_shape,
            codecs: std::mem::take(&mut self.codecs),
            fill: self.fill.clone(),
            prefix: self.prefix,
            separator: self.separator,
            shard: None,
        };
        self.shard = Some(Box::new(Shard {
            inner,
            at_end: within["index_location"] != "start",
            checksum,
        }));
        Ok(self)
    }

    /// The file of a chunk, by its place in the grid.
    fn chunk(&self, at: &[usize]) -> PathBuf {
        let numbers: Vec<String> = at.iter().map(ToString::to_string).collect();
        let separator = self.separator.to_string();
        let numbers = numbers.join(&separator);
        self.folder.join(match (self.prefix, numbers.is_empty()) {
            ("", true) => "0".to_owned(),
            ("", false) => numbers,
            (prefix, true) => prefix.to_owned(),
            (prefix, false) => format!("{prefix}{separator}{numbers}"),
        })
    }
}

/// What stands before its checksum, if that holds.
fn checked(packed: &[u8]) -> Result<&[u8], String> {
    let (content, sum) = packed
        .split_last_chunk::<4>()
        .ok_or("too short for its checksum")?;
    match crc32c(content) == u32::from_le_bytes(*sum) {
        true => Ok(content),
        false => Err("its checksum is another, so that it is damaged".to_owned()),
    }
}

/// CRC-32C (Castagnoli), as zarr's codec of that name has it.
fn crc32c(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = {
        let mut table = [0; 256];
        let mut at = 0;
        while at < 256 {
            let mut word = at as u32;
            let mut bit = 0;
            while bit < 8 {
                word = (word >> 1) ^ (0x82f6_3b78 * (word & 1));
                bit += 1;
            }
            table[at] = word;
            at += 1;
        }
        table
    };
    let step = |word: u32, &byte: &u8| TABLE[usize::from(word as u8 ^ byte)] ^ (word >> 8);
    !bytes.iter().fold(!0, step)
}

/// The lengths of axes.
fn lengths(value: &Value) -> Option<Vec<usize>> {
    let values = value.as_array().filter(|v| v.len() <= MAX_AXES)?;
    values
        .iter()
        .map(|n| usize::try_from(n.as_u64()?).ok())
        .collect()
}

/// The first value of a chunk, by the chunk's place in the grid.
fn origin(at: &[usize], chunk_shape: &[usize]) -> Vec<usize> {
    at.iter().zip(chunk_shape).map(|(i, c)| i * c).collect()
}

/// Bytes of the value that stands for what was never written.
fn fill(info: &ArrayInfo, value: &Value) -> Option<Vec<u8>> {
    let real = match value {
        Value::Null => 0.0,
        Value::Bool(b) => f64::from(u8::from(*b)),
        Value::Number(n) => n.as_f64()?,
        Value::String(text) => match text.as_str() {
            "NaN" => f64::NAN,
            "Infinity" => f64::INFINITY,
            "-Infinity" => f64::NEG_INFINITY,
            _ => return None,
        },
        _ => return None,
    };
    // Not by way of a double, which does not hold 64 bits.
    let whole = || match value {
        Value::Number(n) if !n.is_f64() => {
            let signed = n.as_i64().map(i128::from);
            signed.or_else(|| n.as_u64().map(i128::from))
        }
        _ => (real.fract() == 0.0).then_some(real as i128),
    };
    let mut bytes = match info.element {
        Element::F16 => half::f16::from_f64(real).to_le_bytes().to_vec(),
        Element::Bf16 => half::bf16::from_f64(real).to_le_bytes().to_vec(),
        Element::F32 => (real as f32).to_le_bytes().to_vec(),
        Element::F64 => real.to_le_bytes().to_vec(),
        other => whole()?.to_le_bytes()[..other.size()].to_vec(),
    };
    if info.big_endian {
        bytes.reverse();
    }
    Some(bytes)
}

fn unknown(place: &Place, what: &str) -> InputError {
    // Another compressor would keep the shards.
    let remedy = if what == SHARDING { WHOLE } else { PLAIN };
    InputError::unsupported(place, format!("packed by {what:?}"), remedy)
}

/// Version 2 names one compressor; filters before it change values, which only some do without loss.
fn codecs_2(place: &Place, json: &Value, axes: usize) -> Result<Vec<Codec>, InputError> {
    let mut codecs = Vec::new();
    if json["order"] == "F" && axes > 1 {
        codecs.push(Codec::Transpose((0..axes).rev().collect()));
    }
    for filter in json["filters"].as_array().into_iter().flatten() {
        match filter["id"].as_str() {
            Some("shuffle") => {
                let size = filter["elementsize"].as_u64().unwrap_or(4);
                codecs.push(Codec::Shuffle(size as usize));
            }
            other => return Err(unknown(place, other.unwrap_or("a filter without a name"))),
        }
    }
    if json["compressor"].is_null() {
        return Ok(codecs);
    }
    codecs.push(match json["compressor"]["id"].as_str() {
        Some("zlib") => Codec::Zlib,
        Some("gzip") => Codec::Gzip,
        Some("zstd") => Codec::Zstd,
        Some("blosc") => Codec::Blosc,
        other => return Err(unknown(place, other.unwrap_or("a codec without a name"))),
    });
    Ok(codecs)
}

fn codecs_3(
    place: &Place,
    listed: &Value,
    big_endian: &mut bool,
    axes: usize,
) -> Result<Vec<Codec>, InputError> {
    let mut codecs = Vec::new();
    for codec in listed.as_array().into_iter().flatten() {
        let settings = &codec["configuration"];
        codecs.push(match codec["name"].as_str() {
            Some("bytes") => {
                *big_endian = settings["endian"] == "big";
                continue;
            }
            Some("transpose") => {
                let order: Option<Vec<usize>> = settings["order"].as_array().and_then(|order| {
                    order
                        .iter()
                        .map(|n| usize::try_from(n.as_u64()?).ok())
                        .collect()
                });
                let mut sorted = order.clone().unwrap_or_default();
                sorted.sort_unstable();
                match order {
                    Some(order) if sorted == (0..axes).collect::<Vec<_>>() => {
                        Codec::Transpose(order)
                    }
                    _ => {
                        return Err(InputError::malformed(
                            place,
                            "a transposition that is none of the axes",
                            REWRITE,
                        ));
                    }
                }
            }
            Some("gzip") => Codec::Gzip,
            Some("zstd") => Codec::Zstd,
            Some("blosc") => Codec::Blosc,
            Some("crc32c") => Codec::Crc32c,
            Some("numcodecs.zlib") => Codec::Zlib,
            Some("numcodecs.shuffle") => {
                Codec::Shuffle(settings["elementsize"].as_u64().unwrap_or(0) as usize)
            }
            other => return Err(unknown(place, other.unwrap_or("a codec without a name"))),
        });
    }
    Ok(codecs)
}

impl Decode for Array {
    fn stored(&self) -> &'static str {
        "chunks"
    }

    fn each_file(&self, _place: &Place, info: &ArrayInfo, visit: &mut dyn FnMut(&Path)) {
        for name in ["zarr.json", ".zarray"] {
            visit(&self.folder.join(name));
        }
        let grid = self.grid(info);
        // More are not read either.
        let chunks = grid.iter().try_fold(1usize, |a, &b| a.checked_mul(b));
        let mut at = vec![0; grid.len()];
        for _ in 0..chunks.filter(|&n| n <= MAX_CHUNKS).unwrap_or(0) {
            visit(&self.chunk(&at));
            advance(&mut at, &grid);
        }
    }

    fn decode(
        &self,
        place: &Place,
        info: &ArrayInfo,
        options: ReadOptions<'_>,
    ) -> Result<(Arc<Bytes>, usize), InputError> {
        const BETTER: &str = "save it with numpy.save, which is mapped instead";
        let overflow = || InputError::malformed(place, "a shape that cannot be addressed", REWRITE);
        let size = info.element.size();
        let len = info.data_len().ok_or_else(overflow)?;
        within_limit(place, len as u64, options, BETTER)?;
        let chunk_len = self
            .chunk_shape
            .iter()
            .try_fold(size, |a, &b| a.checked_mul(b))
            .ok_or_else(overflow)?;
        within_limit(place, chunk_len as u64, options, BETTER)?;
        let io = |e| InputError::io(place, e);
        let mut canvas = Canvas::new(len as u64).map_err(io)?;
        let grid = self.grid(info);
        let chunks: usize = grid.iter().product();
        if chunks > MAX_CHUNKS {
            return Err(InputError::unsupported(
                place,
                format!("{chunks} chunks; up to {MAX_CHUNKS} are read"),
                "save it again with larger chunks",
            ));
        }
        canvas.fill(&self.fill, len).map_err(io)?;
        let mut at = vec![0; grid.len()];
        let mut present = 0usize;
        for _ in 0..chunks {
            if (options.interrupted)() {
                return Err(InputError::Interrupted {
                    place: place.clone(),
                });
            }
            let path = self.chunk(&at);
            let values = match Bytes::map(&path) {
                Ok(packed) => Some(self.unpack(place, info, &packed, chunk_len).map_err(
                    |problem| {
                        InputError::malformed(
                            place,
                            format!("the chunk {} is damaged: {problem}", path.display()),
                            REWRITE,
                        )
                    },
                )?),
                // A chunk that is not there holds the fill value; a link that leads nowhere stands for one that was.
                Err(_) if leads_nowhere(&path) => return Err(dead_link(&Place::file(&path))),
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => None,
                Err(e) => return Err(InputError::io(&Place::file(&path), e)),
            };
            let origin = origin(&at, &self.chunk_shape);
            if let Some(values) = values {
                present += 1;
                put_chunk(
                    &mut canvas,
                    &info.shape,
                    &self.chunk_shape,
                    &origin,
                    size,
                    &values,
                )
                .map_err(io)?;
            }
            advance(&mut at, &grid);
        }
        if chunks > 0 && present == 0 {
            return Err(InputError::malformed(
                place,
                "none of its chunks is there",
                "copy the store whole, with the files of its chunks",
            ));
        }
        let bytes = canvas.finish().map_err(io)?;
        Ok((Arc::new(bytes), 0))
    }
}

impl Array {
    /// The values of a chunk, in C order. No more than `len` bytes (and a checksum) are unpacked at any step.
    fn unpack(
        &self,
        place: &Place,
        info: &ArrayInfo,
        packed: &[u8],
        len: usize,
    ) -> Result<Vec<u8>, String> {
        if let Some(shard) = &self.shard {
            return self.unpack_shard(shard, place, info, packed, len);
        }
        let mut values: Option<Vec<u8>> = None;
        for codec in self.codecs.iter().rev() {
            let now = values.as_deref().unwrap_or(packed);
            values = Some(match codec {
                Codec::Zlib => inflate(flate2::read::ZlibDecoder::new(now), len)?,
                Codec::Gzip => inflate(flate2::read::MultiGzDecoder::new(now), len)?,
                Codec::Zstd => zstd(now, len)?,
                Codec::Blosc => blosc(now, len)?,
                Codec::Shuffle(size) => unshuffle(now, *size),
                Codec::Crc32c => checked(now)?.to_vec(),
                Codec::Transpose(order) => {
                    if now.len() != len {
                        return Err(format!("{} bytes for {len}", now.len()));
                    }
                    self.untranspose(place, info, now, order)?
                }
            });
        }
        let values = values.unwrap_or_else(|| packed.to_vec());
        if values.len() != len {
            return Err(format!(
                "{} bytes where its shape takes {len}",
                values.len()
            ));
        }
        Ok(values)
    }

    /// The values of a chunk that holds chunks. One that is marked as empty holds the fill value.
    fn unpack_shard(
        &self,
        shard: &Shard,
        place: &Place,
        info: &ArrayInfo,
        packed: &[u8],
        len: usize,
    ) -> Result<Vec<u8>, String> {
        const EMPTY: u64 = u64::MAX;
        let (inner, size) = (&shard.inner, info.element.size());
        let shapes = self.chunk_shape.iter().zip(&inner.chunk_shape);
        let grid: Vec<usize> = shapes.map(|(outer, inner)| outer / inner).collect();
        // Both divide `len`, which did not overflow.
        let count: usize = grid.iter().product();
        let inner_len = len / count;
        let of_index = count
            .checked_mul(16)
            .and_then(|n| n.checked_add(shard.checksum));
        let rest = of_index.and_then(|n| packed.len().checked_sub(n));
        let rest = rest.ok_or("too short for the index of its chunks")?;
        let index = match shard.at_end {
            true => &packed[rest..],
            false => &packed[..packed.len() - rest],
        };
        let index = match shard.checksum {
            0 => index,
            _ => checked(index).map_err(|problem| format!("the index of its chunks: {problem}"))?,
        };
        let io = |e: std::io::Error| e.to_string();
        let mut canvas = Canvas::new(len as u64).map_err(io)?;
        canvas.fill(&self.fill, len).map_err(io)?;
        let mut at = vec![0; grid.len()];
        for entry in index.as_chunks::<16>().0.iter().take(count) {
            let (start, bytes) = entry.split_at(8);
            let word = |bytes: &[u8]| {
                bytes
                    .iter()
                    .rev()
                    .fold(0u64, |n, &b| (n << 8) | u64::from(b))
            };
            let (start, bytes) = (word(start), word(bytes));
            if (start, bytes) != (EMPTY, EMPTY) {
                let end = start
                    .checked_add(bytes)
                    .and_then(|end| usize::try_from(end).ok());
                let packed = end.and_then(|end| packed.get(usize::try_from(start).ok()?..end));
                let packed = packed.ok_or("a chunk of it reaches past its end")?;
                let values = inner.unpack(place, info, packed, inner_len)?;
                let origin = origin(&at, &inner.chunk_shape);
                put_chunk(
                    &mut canvas,
                    &self.chunk_shape,
                    &inner.chunk_shape,
                    &origin,
                    size,
                    &values,
                )
                .map_err(io)?;
            }
            advance(&mut at, &grid);
        }
        Ok(canvas.finish().map_err(io)?.to_vec())
    }

    /// Axis `k` of the stored chunk is axis `order[k]` of the array.
    fn untranspose(
        &self,
        place: &Place,
        info: &ArrayInfo,
        values: &[u8],
        order: &[usize],
    ) -> Result<Vec<u8>, String> {
        let mut strides = vec![0; order.len()];
        let mut next = info.element.size();
        for &axis in order.iter().rev() {
            strides[axis] = next;
            next *= self.chunk_shape[axis];
        }
        let view = Strided {
            bytes: Arc::new(Bytes::Owned(values.to_vec())),
            start: 0,
            strides,
        };
        let chunk = ArrayInfo {
            shape: self.chunk_shape.clone(),
            ..info.clone()
        };
        let options = ReadOptions {
            inflate_limit: u64::MAX,
            interrupted: &|| false,
        };
        let (bytes, start) = view
            .decode(place, &chunk, options)
            .map_err(|e| e.to_string())?;
        Ok(bytes[start..].to_vec())
    }
}
