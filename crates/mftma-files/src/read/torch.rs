//! `.pt` and `.pth`: what `torch.save` writes. Since PyTorch 1.6 that is a zip archive of a pickle and the tensors' values; before, it was
//! five pickles one after the other (a magic number, the version, the machine, the object, the names of storages), then the values.
//!
//! A pickle is a program for a small machine that may call any function of Python. The one here knows the instructions that
//! PyTorch writes and rebuilds tensors, dictionaries, lists and plain values; a file that names any other function or class is
//! refused with that name. Values of tensors lie in the file as they are and are used there.

use std::collections::{HashMap, HashSet};
use std::io::{Cursor, Read};
use std::sync::Arc;

use zip::{CompressionMethod, ZipArchive};

use super::strided::{Strided, extent, strides_of};
use super::{Entry, PassedOver, Storage, stem};
use crate::array::{ArrayInfo, Element};
use crate::bytes::{Bytes, Shared};
use crate::error::{InputError, Place};

const REWRITE: &str = "save it again: torch.save({'conv1': x.cpu()}, 'acts.pt')";
const TENSORS: &str = "save tensors alone, torch.save({'conv1': x.detach().cpu()}, 'acts.pt'), or numpy.save('acts.npy', x.numpy())";
/// Dictionaries within dictionaries, no deeper; nor tuples within tuples, which are dropped one within the other.
const MAX_DEPTH: u8 = 16;
const MAX_AXES: usize = 64;
/// A small pickle can name one tensor many times, each under a long name.
const MAX_TENSORS: usize = 1 << 16;
const MAX_KEY: usize = 200;

/// Whether a zip archive begins as PyTorch's do: with the pickle.
pub(super) fn is_archive(bytes: &[u8]) -> bool {
    let Some(len) = bytes.get(26..28) else {
        return false;
    };
    let len = usize::from(u16::from_le_bytes([len[0], len[1]]));
    bytes.get(30..30 + len).is_some_and(|name| {
        let name = name.strip_suffix(b"data.pkl");
        name.is_some_and(|folder| folder.is_empty() || folder.ends_with(b"/"))
    })
}

/// In a file that PyTorch wrote before 1.6: the first pickle, a number, but for the protocol and a frame.
const MAGIC: &[u8] = b"\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.";

/// Whether a file is one that PyTorch wrote before 1.6, in any of the pickle's binary protocols.
pub(super) fn is_before_archives(bytes: &[u8]) -> bool {
    after_magic(bytes).is_some()
}

/// Where the second pickle of such a file begins.
fn after_magic(bytes: &[u8]) -> Option<usize> {
    let start = match bytes {
        [0x80, 2..=5, 0x95, ..] => 11,
        [0x80, 2..=5, ..] => 2,
        _ => return None,
    };
    let rest = bytes.get(start..)?;
    rest.starts_with(MAGIC).then_some(start + MAGIC.len())
}

/// What a file's pickle holds, and where the values are that it speaks of.
struct Opened {
    contents: Contents,
    values: Values,
}

enum Values {
    Archive {
        archive: ZipArchive<Cursor<Shared>>,
        /// Of the members, within the archive.
        folder: String,
    },
    /// Start and length by key.
    Behind(HashMap<Arc<str>, (usize, usize)>),
}

impl Values {
    /// Where those of a storage lie: start and length.
    fn range(&mut self, bytes: &[u8], key: &str) -> Result<(usize, usize), String> {
        match self {
            Self::Archive { archive, folder } => {
                member(archive, bytes, &format!("{folder}data/{key}"))
            }
            Self::Behind(ranges) => ranges
                .get(key)
                .copied()
                .ok_or_else(|| format!("the file holds no storage {key:?}")),
        }
    }
}

impl Opened {
    fn new(place: &Place, bytes: &Arc<Bytes>) -> Result<Self, InputError> {
        let stopped = |name: &str, stop| match stop {
            Stop::Damaged(problem) => {
                InputError::malformed(place, format!("{name} is damaged: {problem}"), REWRITE)
            }
            Stop::Refused(what) => InputError::unsupported(
                place,
                format!(
                    "the file asks for {what}, and a reader that ran it would run code from the file"
                ),
                TENSORS,
            ),
            Stop::Unread(what) => InputError::unsupported(place, what.to_owned(), TENSORS),
        };
        if let Some(at) = after_magic(bytes) {
            return Self::before_archives(bytes, at).map_err(|stop| stopped("the file", stop));
        }
        let damaged = |problem: String| InputError::malformed(place, problem, REWRITE);
        let mut archive = ZipArchive::new(Cursor::new(Shared(Arc::clone(bytes))))
            .map_err(|e| damaged(format!("not a readable zip archive ({e})")))?;
        let names: Vec<String> = archive
            .file_names()
            .filter_map(|name| Some(name.ok()?.into_owned()))
            .collect();
        let pickle = names
            .iter()
            .find(|name| *name == "data.pkl" || name.ends_with("/data.pkl"))
            .ok_or_else(|| damaged("the archive holds no data.pkl".to_owned()))?;
        let folder = pickle.trim_end_matches("data.pkl").to_owned();
        let mut program = Vec::new();
        archive
            .by_name(pickle)
            .and_then(|file| Ok(file.take(bytes.len() as u64).read_to_end(&mut program)?))
            .map_err(|e| damaged(format!("data.pkl is damaged ({e})")))?;
        let (contents, _) = Machine::run(&program, 0).map_err(|stop| stopped("data.pkl", stop))?;
        let values = Values::Archive { archive, folder };
        Ok(Self { contents, values })
    }

    /// From where its second pickle begins. Values are little-endian whatever machine wrote them.
    fn before_archives(bytes: &[u8], at: usize) -> Result<Self, Stop> {
        let (version, at) = Machine::run(bytes, at)?;
        if !matches!(version.top, Value::Integer(1001)) {
            return Err(Stop::Damaged("it is of another version than 1001"));
        }
        let (_, at) = Machine::run(bytes, at)?;
        let (contents, at) = Machine::run(bytes, at)?;
        let (names, mut at) = Machine::run(bytes, at)?;
        let Some(Object::List(keys)) = names.object(&names.top) else {
            return Err(KIND);
        };
        let mut ranges = HashMap::new();
        for key in keys {
            let Value::Text(key) = key else {
                return Err(KIND);
            };
            let size = match contents.storages.get(key) {
                Some(element) => element.size(),
                None => return Err(Stop::Damaged("it holds values that no tensor has")),
            };
            let count = bytes
                .get(at..)
                .and_then(|rest| rest.first_chunk())
                .ok_or(CUT)?;
            let start = at + count.len();
            let len = usize::try_from(i64::from_le_bytes(*count)).ok();
            let len = len.and_then(|count| count.checked_mul(size)).ok_or(CUT)?;
            at = start
                .checked_add(len)
                .filter(|&end| end <= bytes.len())
                .ok_or(CUT)?;
            ranges.insert(Arc::clone(key), (start, len));
        }
        let values = Values::Behind(ranges);
        Ok(Self { contents, values })
    }
}

/// Lists the tensors of a file, in its order. In dictionaries and lists they are named by their keys: `conv1.weight`, `acts.0`.
pub(super) fn open(place: &Place, bytes: Arc<Bytes>) -> Result<Vec<Entry>, InputError> {
    let Opened {
        contents,
        mut values,
    } = Opened::new(place, &bytes)?;
    let big_endian = match &mut values {
        Values::Archive { archive, folder } => {
            match member(archive, &bytes, &format!("{folder}byteorder")) {
                Ok((start, len)) => bytes.get(start..start + len) == Some(b"big"),
                Err(_) => false,
            }
        }
        Values::Behind(_) => false,
    };
    let mut found = Vec::new();
    let mut passed = PassedOver::default();
    contents.tensors(
        contents.top.clone(),
        "",
        0,
        &mut HashSet::new(),
        &mut found,
        &mut passed,
    );
    let mut entries = Vec::new();
    for (name, tensor) in found {
        let (name, place) = if name.is_empty() {
            (stem(&place.file), place.clone())
        } else {
            let place = place.array(&name);
            (name, place)
        };
        let opened = values
            .range(&bytes, &tensor.key)
            .map_err(|problem| InputError::malformed(&place, problem, REWRITE))
            .and_then(|range| tensor.open(&place, &bytes, range, big_endian));
        entries.push(Entry::opened(name, place, &bytes, opened));
    }
    passed.check(place, entries, TENSORS)
}

/// A list of whole numbers or texts as labels: the one of that key, or the whole of the file. `None` where there is no such.
pub(super) fn list(
    place: &Place,
    bytes: &Arc<Bytes>,
    name: Option<&str>,
) -> Result<Option<Vec<String>>, InputError> {
    let contents = Opened::new(place, bytes)?.contents;
    let object = |value: &Value| contents.object(value);
    let found = match (name, object(&contents.top)) {
        (Some(name), Some(Object::Dictionary(pairs))) => pairs
            .iter()
            .find(|(key, _)| key_name(key) == name)
            .and_then(|(_, value)| object(value)),
        (None, whole) => whole,
        _ => None,
    };
    let Some(Object::List(values)) = found else {
        return Ok(None);
    };
    let labels = values.iter().map(|value| match value {
        Value::Integer(n) => Some(n.to_string()),
        // The same text may stand in the list many times.
        Value::Text(text) if text.len() <= MAX_KEY => Some(text.to_string()),
        _ => None,
    });
    Ok(labels.collect())
}

/// Where a member lies that is not compressed: start and length.
fn member(
    archive: &mut ZipArchive<Cursor<Shared>>,
    bytes: &[u8],
    name: &str,
) -> Result<(usize, usize), String> {
    let index = archive
        .index_for_name(name)
        .ok_or_else(|| format!("the archive holds no member {name:?}"))?;
    let file = archive
        .by_index_raw(index)
        .map_err(|e| format!("the member {name:?} is damaged ({e})"))?;
    if file.compression() != CompressionMethod::Stored || file.encrypted() {
        return Err(format!(
            "the member {name:?} is compressed; PyTorch stores values as they are"
        ));
    }
    let range = file.data_start().and_then(|start| {
        Some((
            usize::try_from(start).ok()?,
            usize::try_from(file.size()).ok()?,
        ))
    });
    range
        .filter(|(start, len)| {
            start
                .checked_add(*len)
                .is_some_and(|end| end <= bytes.len())
        })
        .ok_or_else(|| format!("the member {name:?} reaches past the file"))
}

/// A tensor as the pickle describes it.
#[derive(Debug, Clone)]
struct Tensor {
    element: Element,
    /// Which storage holds the values.
    key: Arc<str>,
    /// Of the first value in it, in values.
    offset: usize,
    shape: Vec<usize>,
    /// In values.
    strides: Vec<usize>,
}

impl Tensor {
    fn open(
        &self,
        place: &Place,
        bytes: &Arc<Bytes>,
        (start, len): (usize, usize),
        big_endian: bool,
    ) -> Result<(ArrayInfo, Storage), InputError> {
        let size = self.element.size();
        let info = ArrayInfo {
            element: self.element,
            big_endian,
            shape: self.shape.clone(),
            fortran_order: false,
        };
        let strides: Option<Vec<usize>> =
            self.strides.iter().map(|s| s.checked_mul(size)).collect();
        let end = strides.as_ref().and_then(|strides| {
            let offset = self.offset.checked_mul(size)?;
            extent(&self.shape, strides, size)?.checked_add(offset)
        });
        let (Some(strides), Some(_)) = (strides, end.filter(|&end| end <= len)) else {
            return Err(InputError::malformed(
                place,
                format!(
                    "{} from value {} on reaches past the {len} stored bytes",
                    info.describe(),
                    self.offset
                ),
                REWRITE,
            ));
        };
        let start = start + self.offset * size;
        let bytes = Arc::clone(bytes);
        // Axes of length 1 may have any stride, in a tensor without a copy as well.
        let as_stored = |info: &ArrayInfo| {
            strides_of(info).is_some_and(|plain| {
                let mut axes = info.shape.iter().zip(plain.iter().zip(&strides));
                axes.all(|(&n, (a, b))| n == 1 || a == b)
            })
        };
        let transposed = ArrayInfo {
            fortran_order: true,
            ..info.clone()
        };
        Ok(if as_stored(&info) {
            (info, Storage::Plain { bytes, start })
        } else if as_stored(&transposed) {
            (transposed, Storage::Plain { bytes, start })
        } else {
            let view = Strided {
                bytes,
                start,
                strides,
            };
            (info, Storage::Decoded(Box::new(view)))
        })
    }
}

/// Why the machine stopped.
enum Stop {
    Damaged(&'static str),
    /// It was asked for something that could run code.
    Refused(String),
    /// Something that is not read.
    Unread(&'static str),
}

/// What stands on the machine's stack: small values, or the number of one that can be changed.
#[derive(Debug, Clone)]
enum Value {
    None,
    Integer(i64),
    /// Numbers and bytes of no use here.
    Opaque,
    Text(Arc<str>),
    /// With how deep tuples lie within it.
    Tuple(Arc<[Value]>, u8),
    /// A dictionary or list, by its place in [`Machine::objects`].
    Object(usize),
    /// A function or class by name; calling most of them is refused.
    Global(Global),
    Storage(Element, Arc<str>),
    Tensor(Arc<Tensor>),
}

#[derive(Debug)]
enum Object {
    Dictionary(Vec<(Value, Value)>),
    List(Vec<Value>),
}

/// The functions and classes that a file of tensors names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Global {
    RebuildTensor,
    RebuildTensorOfType,
    RebuildParameter,
    OrderedDict,
    Size,
    /// `torch.FloatStorage` and its kin.
    Storage(Element),
    /// `torch.storage.UntypedStorage`: bytes whose type is told when the tensor is built.
    UntypedStorage,
    /// `torch.uint16` and its kin.
    Type(Element),
}

impl Global {
    fn named(module: &str, name: &str) -> Option<Self> {
        Some(match (module, name) {
            ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2") => Self::RebuildTensor,
            ("torch._utils", "_rebuild_tensor_v3") => Self::RebuildTensorOfType,
            ("torch._utils", "_rebuild_parameter") => Self::RebuildParameter,
            ("collections", "OrderedDict") => Self::OrderedDict,
            ("torch", "Size") => Self::Size,
            ("torch.storage", "UntypedStorage") => Self::UntypedStorage,
            ("torch", name) => match name.strip_suffix("Storage") {
                Some(kind) => Self::Storage(match kind {
                    "Float" => Element::F32,
                    "Double" => Element::F64,
                    "Half" => Element::F16,
                    "BFloat16" => Element::Bf16,
                    "Long" => Element::I64,
                    "Int" => Element::I32,
                    "Short" => Element::I16,
                    "Char" => Element::I8,
                    "Byte" => Element::U8,
                    "Bool" => Element::Bool,
                    _ => return None,
                }),
                None => Self::Type(match name {
                    "float32" => Element::F32,
                    "float64" => Element::F64,
                    "float16" => Element::F16,
                    "bfloat16" => Element::Bf16,
                    "int64" => Element::I64,
                    "int32" => Element::I32,
                    "int16" => Element::I16,
                    "int8" => Element::I8,
                    "uint8" => Element::U8,
                    "uint16" => Element::U16,
                    "uint32" => Element::U32,
                    "uint64" => Element::U64,
                    "bool" => Element::Bool,
                    _ => return None,
                }),
            },
            _ => return None,
        })
    }
}

const CUT: Stop = Stop::Damaged("it is cut short");
const EMPTY: Stop = Stop::Damaged("an instruction finds too little on the stack");
const KIND: Stop = Stop::Damaged("an instruction finds another kind of value than it needs");

struct Machine<'a> {
    program: &'a [u8],
    at: usize,
    stack: Vec<Value>,
    /// Heights of the stack at which marks were set.
    marks: Vec<usize>,
    memo: HashMap<u32, Value>,
    objects: Vec<Object>,
    storages: HashMap<Arc<str>, Element>,
}

/// What a pickle built.
struct Contents {
    objects: Vec<Object>,
    /// Kinds of the values it speaks of, by key.
    storages: HashMap<Arc<str>, Element>,
    top: Value,
}

impl<'a> Machine<'a> {
    /// Runs the pickle that begins at `at`; returns also where it ends. Every instruction makes at most one value, so that the memory is in proportion to the
    /// pickle's length.
    fn run(program: &'a [u8], at: usize) -> Result<(Contents, usize), Stop> {
        let mut machine = Machine {
            program,
            at,
            stack: Vec::new(),
            marks: Vec::new(),
            memo: HashMap::new(),
            objects: Vec::new(),
            storages: HashMap::new(),
        };
        loop {
            let code = machine.byte()?;
            if code == b'.' {
                let top = machine.pop()?;
                let contents = Contents {
                    objects: machine.objects,
                    storages: machine.storages,
                    top,
                };
                return Ok((contents, machine.at));
            }
            machine.step(code)?;
        }
    }

    fn step(&mut self, code: u8) -> Result<(), Stop> {
        match code {
            // PROTO and FRAME.
            0x80 => {
                self.byte()?;
            }
            0x95 => {
                self.take(8)?;
            }
            // Plain values.
            b'N' => self.stack.push(Value::None),
            0x88 => self.stack.push(Value::Integer(1)),
            0x89 => self.stack.push(Value::Integer(0)),
            b'K' => {
                let n = self.byte()?;
                self.stack.push(Value::Integer(n.into()));
            }
            b'M' => {
                let n = u16::from_le_bytes(self.field()?);
                self.stack.push(Value::Integer(n.into()));
            }
            b'J' => {
                let n = i32::from_le_bytes(self.field()?);
                self.stack.push(Value::Integer(n.into()));
            }
            0x8a => {
                let len = self.byte()?;
                let digits = self.take(len.into())?;
                self.stack.push(long(digits));
            }
            b'G' => {
                self.take(8)?;
                self.stack.push(Value::Opaque);
            }
            // Text and bytes, by the width of their length.
            b'X' | b'T' => {
                let len = u32::from_le_bytes(self.field()?);
                self.text(len.into())?;
            }
            0x8c | b'U' => {
                let len = self.byte()?;
                self.text(len.into())?;
            }
            0x8d => {
                let len = u64::from_le_bytes(self.field()?);
                self.text(len)?;
            }
            b'C' => {
                let len = self.byte()?;
                self.take(len.into())?;
                self.stack.push(Value::Opaque);
            }
            b'B' => {
                let len = u32::from_le_bytes(self.field()?);
                self.take(len as usize)?;
                self.stack.push(Value::Opaque);
            }
            // Tuples.
            b'(' => self.marks.push(self.stack.len()),
            b')' => self.stack.push(Value::Tuple(Arc::new([]), 0)),
            0x85..=0x87 => {
                let n = usize::from(code - 0x84);
                let from = self.stack.len().checked_sub(n).ok_or(EMPTY)?;
                self.tuple(from)?;
            }
            b't' => {
                let from = self.mark()?;
                self.tuple(from)?;
            }
            // Dictionaries and lists.
            b'}' => self.object(Object::Dictionary(Vec::new())),
            b']' => self.object(Object::List(Vec::new())),
            b's' => {
                let from = self.stack.len().checked_sub(2).ok_or(EMPTY)?;
                self.fill(from)?;
            }
            b'a' => {
                let from = self.stack.len().checked_sub(1).ok_or(EMPTY)?;
                self.fill(from)?;
            }
            b'u' | b'e' => {
                let from = self.mark()?;
                self.fill(from)?;
            }
            // What was seen before.
            b'q' => {
                let key = self.byte()?;
                self.remember(key.into())?;
            }
            b'r' => {
                let key = u32::from_le_bytes(self.field()?);
                self.remember(key)?;
            }
            0x94 => {
                let key = u32::try_from(self.memo.len()).map_err(|_| KIND)?;
                self.remember(key)?;
            }
            b'h' => {
                let key = self.byte()?;
                self.recall(key.into())?;
            }
            b'j' => {
                let key = u32::from_le_bytes(self.field()?);
                self.recall(key)?;
            }
            // Functions and classes by name, their calls, and the storages of tensors.
            b'c' => {
                let module = self.line()?;
                let name = self.line()?;
                self.global(module, name)?;
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let (Value::Text(module), Value::Text(name)) = (module, name) else {
                    return Err(KIND);
                };
                self.global(&module, &name)?;
            }
            b'R' | 0x81 => {
                let (arguments, function) = (self.pop()?, self.pop()?);
                let (Value::Tuple(arguments, _), Value::Global(function)) = (arguments, function)
                else {
                    return Err(KIND);
                };
                self.call(function, &arguments)?;
            }
            b'b' => {
                // The attributes of a dictionary (a state_dict's versions) say nothing about its values.
                self.pop()?;
                if !matches!(self.stack.last(), Some(Value::Object(_) | Value::Tensor(_))) {
                    return Err(KIND);
                }
            }
            b'Q' => {
                let id = self.pop()?;
                let (element, key) = storage(&id)?;
                self.storages.insert(Arc::clone(&key), element);
                self.stack.push(Value::Storage(element, key));
            }
            b'0' => {
                self.pop()?;
            }
            other => {
                return Err(Stop::Refused(format!(
                    "the pickle instruction 0x{other:02x}, which PyTorch does not write for tensors"
                )));
            }
        }
        Ok(())
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], Stop> {
        let end = self.at.checked_add(len).ok_or(CUT)?;
        let bytes = self.program.get(self.at..end).ok_or(CUT)?;
        self.at = end;
        Ok(bytes)
    }

    fn byte(&mut self) -> Result<u8, Stop> {
        Ok(self.take(1)?[0])
    }

    fn field<const N: usize>(&mut self) -> Result<[u8; N], Stop> {
        self.take(N)?.try_into().map_err(|_| CUT)
    }

    fn line(&mut self) -> Result<&'a str, Stop> {
        let rest = self.program.get(self.at..).ok_or(CUT)?;
        let len = rest.iter().position(|&b| b == b'\n').ok_or(CUT)?;
        self.at += len + 1;
        std::str::from_utf8(&rest[..len]).map_err(|_| Stop::Damaged("a name is no text"))
    }

    fn text(&mut self, len: u64) -> Result<(), Stop> {
        let bytes = self.take(usize::try_from(len).map_err(|_| CUT)?)?;
        let text = String::from_utf8_lossy(bytes);
        self.stack.push(Value::Text(Arc::from(&*text)));
        Ok(())
    }

    /// What lies above the last mark cannot be reached from below it.
    fn pop(&mut self) -> Result<Value, Stop> {
        if self.marks.last() == Some(&self.stack.len()) {
            return Err(EMPTY);
        }
        self.stack.pop().ok_or(EMPTY)
    }

    fn mark(&mut self) -> Result<usize, Stop> {
        self.marks
            .pop()
            .filter(|&from| from <= self.stack.len())
            .ok_or(EMPTY)
    }

    fn tuple(&mut self, from: usize) -> Result<(), Stop> {
        let values: Arc<[Value]> = self.stack.drain(from..).collect();
        let depth = values.iter().map(|value| match value {
            Value::Tuple(_, depth) => depth + 1,
            _ => 0,
        });
        let depth = depth.max().unwrap_or(0);
        if depth > MAX_DEPTH {
            return Err(Stop::Damaged("tuples within tuples, too deep for tensors"));
        }
        self.stack.push(Value::Tuple(values, depth));
        Ok(())
    }

    fn object(&mut self, object: Object) {
        self.stack.push(Value::Object(self.objects.len()));
        self.objects.push(object);
    }

    /// Puts what lies above `from` into the dictionary or list below.
    fn fill(&mut self, from: usize) -> Result<(), Stop> {
        let below = from.checked_sub(1).ok_or(EMPTY)?;
        let Some(&Value::Object(target)) = self.stack.get(below) else {
            return Err(KIND);
        };
        let mut values = self.stack.drain(from..);
        match self.objects.get_mut(target) {
            Some(Object::List(list)) => list.extend(values),
            Some(Object::Dictionary(pairs)) => {
                while let Some(key) = values.next() {
                    pairs.push((key, values.next().ok_or(EMPTY)?));
                }
            }
            None => return Err(KIND),
        }
        Ok(())
    }

    fn remember(&mut self, key: u32) -> Result<(), Stop> {
        let value = self.stack.last().ok_or(EMPTY)?.clone();
        self.memo.insert(key, value);
        Ok(())
    }

    fn recall(&mut self, key: u32) -> Result<(), Stop> {
        let value = self.memo.get(&key);
        let value = value.ok_or(Stop::Damaged("it goes back to a value that was not there"))?;
        self.stack.push(value.clone());
        Ok(())
    }

    fn global(&mut self, module: &str, name: &str) -> Result<(), Stop> {
        match Global::named(module, name) {
            Some(global) => {
                self.stack.push(Value::Global(global));
                Ok(())
            }
            None => Err(Stop::Refused(format!("`{module}.{name}`"))),
        }
    }

    fn call(&mut self, function: Global, arguments: &[Value]) -> Result<(), Stop> {
        match (function, arguments) {
            (Global::OrderedDict, []) => self.object(Object::Dictionary(Vec::new())),
            (Global::Size, [sizes @ Value::Tuple(..)]) => self.stack.push(sizes.clone()),
            (Global::RebuildParameter, [tensor @ Value::Tensor(_), ..]) => {
                self.stack.push(tensor.clone());
            }
            (Global::RebuildTensor, [Value::Storage(element, key), offset, shape, strides, ..]) => {
                self.check_plain(arguments.get(6))?;
                self.tensor(*element, key, offset, shape, strides)?
            }
            (
                Global::RebuildTensorOfType,
                [
                    Value::Storage(_, key),
                    offset,
                    shape,
                    strides,
                    _,
                    _,
                    Value::Global(Global::Type(element)),
                    ..,
                ],
            ) => {
                self.check_plain(arguments.get(7))?;
                self.tensor(*element, key, offset, shape, strides)?;
            }
            _ => return Err(KIND),
        }
        Ok(())
    }

    /// What torch says of a tensor beside its values: whether they stand there negated or conjugated.
    fn check_plain(&self, metadata: Option<&Value>) -> Result<(), Stop> {
        let plain = match metadata {
            None | Some(Value::None) => true,
            Some(Value::Object(at)) => {
                matches!(self.objects.get(*at), Some(Object::Dictionary(said)) if said.is_empty())
            }
            _ => false,
        };
        if plain {
            return Ok(());
        }
        Err(Stop::Refused(
            "a tensor that is negated or conjugated when it is used (save x.resolve_conj().resolve_neg())"
                .to_owned(),
        ))
    }

    fn tensor(
        &mut self,
        element: Element,
        key: &Arc<str>,
        offset: &Value,
        shape: &Value,
        strides: &Value,
    ) -> Result<(), Stop> {
        let (shape, strides) = (lengths(shape)?, lengths(strides)?);
        if shape.len() != strides.len() {
            return Err(Stop::Damaged(
                "a tensor has another number of strides than of axes",
            ));
        }
        self.stack.push(Value::Tensor(Arc::new(Tensor {
            element,
            key: Arc::clone(key),
            offset: length(offset)?,
            shape,
            strides,
        })));
        Ok(())
    }
}

impl Contents {
    fn object(&self, value: &Value) -> Option<&Object> {
        match value {
            Value::Object(at) => self.objects.get(*at),
            _ => None,
        }
    }

    /// Finds the tensors in a value, each dictionary and list once.
    fn tensors(
        &self,
        value: Value,
        name: &str,
        depth: u8,
        seen: &mut HashSet<usize>,
        found: &mut Vec<(String, Tensor)>,
        passed: &mut PassedOver,
    ) {
        let within = |key: String| {
            if name.is_empty() {
                key
            } else {
                format!("{name}.{key}")
            }
        };
        let items: &[Value] = match &value {
            Value::Tensor(tensor) => {
                if found.len() == MAX_TENSORS {
                    return passed.push(name, "one of too many tensors");
                }
                return found.push((name.to_owned(), Tensor::clone(tensor)));
            }
            Value::Object(at) if depth < MAX_DEPTH && seen.insert(*at) => {
                match &self.objects[*at] {
                    Object::List(items) => items,
                    Object::Dictionary(pairs) => {
                        for (key, value) in pairs {
                            let name = within(key_name(key));
                            self.tensors(value.clone(), &name, depth + 1, seen, found, passed);
                        }
                        return;
                    }
                }
            }
            // One tuple may stand in many places: the depth alone does not bound their number.
            Value::Tuple(values, _)
                if depth < MAX_DEPTH && seen.insert(values.as_ptr() as usize) =>
            {
                values
            }
            Value::Text(_) => return passed.push(name, "text"),
            Value::Integer(_) | Value::Opaque => return passed.push(name, "a number or bytes"),
            _ => return,
        };
        // Names are made for what holds tensors only, one at a time: a list may be long, and its own name too.
        for (i, item) in items.iter().enumerate() {
            if matches!(item, Value::Tensor(_) | Value::Object(_) | Value::Tuple(..)) {
                let name = within(i.to_string());
                self.tensors(item.clone(), &name, depth + 1, seen, found, passed);
            }
        }
    }
}

fn key_name(key: &Value) -> String {
    match key {
        Value::Text(text) => text.chars().take(MAX_KEY).collect(),
        Value::Integer(n) => n.to_string(),
        _ => "?".to_owned(),
    }
}

/// Integers of any length; beyond 64 bits they are of no use here.
fn long(digits: &[u8]) -> Value {
    if digits.len() > 8 {
        return Value::Opaque;
    }
    let negative = digits.last().is_some_and(|&b| b & 0x80 != 0);
    let mut bytes = [if negative { 0xff } else { 0 }; 8];
    bytes[..digits.len()].copy_from_slice(digits);
    Value::Integer(i64::from_le_bytes(bytes))
}

fn length(value: &Value) -> Result<usize, Stop> {
    match value {
        Value::Integer(n) => {
            usize::try_from(*n).map_err(|_| Stop::Damaged("a length or stride is negative"))
        }
        _ => Err(KIND),
    }
}

fn lengths(value: &Value) -> Result<Vec<usize>, Stop> {
    match value {
        Value::Tuple(values, _) if values.len() <= MAX_AXES => values.iter().map(length).collect(),
        _ => Err(KIND),
    }
}

/// The element and the key of a reference to the values of a tensor: `('storage', torch.FloatStorage, '0', 'cpu', 48)`. Before archives
/// a sixth part said of which other storage this is a part, if it is.
fn storage(id: &Value) -> Result<(Element, Arc<str>), Stop> {
    let Value::Tuple(parts, _) = id else {
        return Err(KIND);
    };
    match &parts[..] {
        [
            Value::Text(kind),
            Value::Global(class),
            Value::Text(key),
            ..,
        ] if &**kind == "storage" => {
            let element = match class {
                Global::Storage(element) => *element,
                Global::UntypedStorage => Element::U8,
                _ => return Err(KIND),
            };
            if !matches!(parts.get(5), None | Some(Value::None)) {
                return Err(Stop::Unread(
                    "a storage that is part of another one, as PyTorch wrote before 0.4",
                ));
            }
            Ok((element, Arc::clone(key)))
        }
        _ => Err(KIND),
    }
}
