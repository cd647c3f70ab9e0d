//! `.npy` headers, versions 1 to 3 (NEP 1 and NumPy's `numpy.lib.format`).
//!
//! The header is a Python dictionary, read by the crate `py_literal`. Lengths are checked here, before anything is
//! allocated: declared sizes come from the file and may say anything.

use py_literal::Value;

use crate::array::{ArrayInfo, Element};
use crate::error::{InputError, Place};

/// Longest header that is read. NumPy itself stops at 10,000 bytes; those of plain arrays take about 128.
pub const MAX_HEADER: usize = 65_535;
/// Most axes that are taken (NumPy's own limit).
const MAX_AXES: usize = 64;
/// Deepest nesting of brackets: the parser recurses, and a header of brackets alone must not exhaust the stack.
const MAX_DEPTH: usize = 4;

/// What an `.npy` file holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// Numbers.
    Numbers(ArrayInfo),
    /// Strings of a fixed width, along one or more axes: labels may be such.
    Strings {
        /// Four bytes a character (`<U`) or one (`|S`).
        wide: bool,
        /// Whether characters are stored most significant byte first.
        big_endian: bool,
        /// Characters of one string.
        width: usize,
        /// Length along each axis.
        shape: Vec<usize>,
    },
}

/// A parsed header and where the values start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Type and shape.
    pub content: Content,
    /// Bytes before the first value.
    pub data_start: usize,
}

const REWRITE: &str = "write the file again with numpy.save";
/// What is said of object arrays; readers of labels know a better remedy than that for activations.
pub(super) const OBJECTS: &str =
    "an object array (pickled Python objects): reading it would run code from the file";

/// Reads the header at the start of `bytes`; further bytes are ignored.
pub fn parse_header(place: &Place, bytes: &[u8]) -> Result<Header, InputError> {
    let bad = |problem: String| InputError::malformed(place, problem, REWRITE);
    if !bytes.starts_with(b"\x93NUMPY") {
        return Err(if bytes.starts_with(b"PK\x03\x04") {
            bad("this is a zip archive (.npz), not a single .npy array; rename it to .npz".into())
        } else if bytes.first() == Some(&0x80) {
            InputError::unsupported(
                place,
                "this is a Python pickle, which would run code when loaded",
                "load it in Python and save with numpy.save(file, numpy.asarray(x))",
            )
        } else {
            bad("the file does not begin as .npy files do".into())
        });
    }
    let cut = || bad(format!("cut short: only {} bytes", bytes.len()));
    let version = *bytes.get(6).ok_or_else(cut)?;
    let (len, start) = match version {
        1 => {
            let field = bytes.get(8..10).ok_or_else(cut)?;
            (usize::from(field[0]) | usize::from(field[1]) << 8, 10)
        }
        2 | 3 => {
            let field = bytes.get(8..12).ok_or_else(cut)?;
            let len = u32::from_le_bytes([field[0], field[1], field[2], field[3]]);
            (len as usize, 12)
        }
        other => {
            return Err(InputError::unsupported(
                place,
                format!(".npy version {other}; versions 1 to 3 are known"),
                REWRITE,
            ));
        }
    };
    if len > MAX_HEADER {
        return Err(bad(format!(
            "a header of {len} bytes is declared; plain arrays need about 128"
        )));
    }
    let data_start = start + len;
    let text = bytes.get(start..data_start).ok_or_else(|| {
        bad(format!(
            "cut short: a header of {len} bytes is declared but {} follow",
            bytes.len() - start.min(bytes.len())
        ))
    })?;
    let text = std::str::from_utf8(text).map_err(|_| bad("the header is not text".into()))?;
    if depth(text) > MAX_DEPTH {
        return Err(bad("the header nests too many brackets".into()));
    }
    let value: Value = text
        .trim()
        .parse()
        .map_err(|_| bad("the header is not a Python dictionary".into()))?;
    let Value::Dict(entries) = value else {
        return Err(bad("the header is not a Python dictionary".into()));
    };
    let get = |key: &str| {
        entries
            .iter()
            .find(|(k, _)| matches!(k, Value::String(k) if k == key))
            .map(|(_, v)| v)
            .ok_or_else(|| bad(format!("the header lacks {key:?}")))
    };
    let Value::Boolean(fortran_order) = *get("fortran_order")? else {
        return Err(bad(
            "\"fortran_order\" in the header is neither True nor False".into(),
        ));
    };
    let shape = shape(place, get("shape")?)?;
    let content = match get("descr")? {
        Value::String(descr) => content(place, descr, shape, fortran_order)?,
        _ => {
            return Err(InputError::unsupported(
                place,
                "a structured array (named fields)",
                "save one field: numpy.save(file, x['field'])",
            ));
        }
    };
    Ok(Header {
        content,
        data_start,
    })
}

fn depth(text: &str) -> usize {
    let (mut now, mut most) = (0usize, 0);
    for byte in text.bytes() {
        match byte {
            b'(' | b'[' | b'{' => now += 1,
            b')' | b']' | b'}' => now = now.saturating_sub(1),
            _ => {}
        }
        most = most.max(now);
    }
    most
}

fn shape(place: &Place, value: &Value) -> Result<Vec<usize>, InputError> {
    let bad = |problem: &str| InputError::malformed(place, problem, REWRITE);
    let (Value::Tuple(lengths) | Value::List(lengths)) = value else {
        return Err(bad("\"shape\" in the header is not a tuple"));
    };
    if lengths.len() > MAX_AXES {
        return Err(bad("\"shape\" in the header has more than 64 axes"));
    }
    lengths
        .iter()
        .map(|length| match length {
            // By way of text, so that no big-integer crate need be named.
            Value::Integer(n) => n.to_string().parse().map_err(|_| {
                bad(&format!(
                    "\"shape\" in the header has a length of {n:.40}, negative or too large"
                ))
            }),
            _ => Err(bad(
                "\"shape\" in the header has a length that is no integer",
            )),
        })
        .collect()
}

fn content(
    place: &Place,
    descr: &str,
    shape: Vec<usize>,
    fortran_order: bool,
) -> Result<Content, InputError> {
    let unsupported =
        |problem: &str, remedy: &str| Err(InputError::unsupported(place, problem, remedy));
    let mut chars = descr.chars();
    let big_endian = match chars.next() {
        Some('>') => true,
        Some('<' | '|' | '=') => false,
        _ => {
            return Err(InputError::malformed(
                place,
                format!("unknown type {descr:?}"),
                REWRITE,
            ));
        }
    };
    let code = chars.as_str();
    let element = match code {
        "b1" => Element::Bool,
        "i1" => Element::I8,
        "u1" => Element::U8,
        "i2" => Element::I16,
        "u2" => Element::U16,
        "i4" => Element::I32,
        "u4" => Element::U32,
        "i8" => Element::I64,
        "u8" => Element::U64,
        "f2" => Element::F16,
        "f4" => Element::F32,
        "f8" => Element::F64,
        "O" => {
            return unsupported(
                OBJECTS,
                "save a plain array: numpy.save(file, numpy.stack(list(x)).astype('float32'))",
            );
        }
        "f16" | "f12" => {
            return unsupported(
                "extended precision (longdouble) is not portable",
                "save x.astype('float64')",
            );
        }
        "V2" => {
            return unsupported(
                "raw 2-byte values ('V2'): NumPy has no bfloat16, so its type was lost in saving",
                "save x.astype('float32'), or save bfloat16 as .safetensors",
            );
        }
        _ if code.starts_with('c') => {
            return unsupported(
                "complex numbers",
                "save real features, for example numpy.concatenate([x.real, x.imag], axis=1)",
            );
        }
        _ => {
            let wide = code.starts_with('U');
            if let Some(width) = code
                .strip_prefix(['U', 'S', 'a'])
                .and_then(|digits| digits.parse().ok())
            {
                return Ok(Content::Strings {
                    wide,
                    big_endian,
                    width,
                    shape,
                });
            }
            return unsupported(
                &format!("values of type {descr:?} are not numbers"),
                "save x.astype('float32')",
            );
        }
    };
    Ok(Content::Numbers(ArrayInfo {
        element,
        big_endian,
        shape,
        fortran_order,
    }))
}

/// The header's array, where it holds numbers.
pub fn numbers(place: &Place, header: Header) -> Result<(ArrayInfo, usize), InputError> {
    match header.content {
        Content::Numbers(info) => Ok((info, header.data_start)),
        Content::Strings { .. } => Err(InputError::unsupported(
            place,
            "an array of strings; activations are numbers",
            "name the arrays to read with --layers, or give this file to --labels",
        )),
    }
}
