//! `.safetensors`: several tensors behind a JSON header, read by the format's own crate.

use std::sync::Arc;

use ::safetensors::{Dtype, SafeTensors};

use super::{Entry, Storage, natural_order};
use crate::array::{ArrayInfo, Element};
use crate::bytes::Bytes;
use crate::error::{InputError, Place};

/// Lists the tensors of a file, sorted by name.
pub(super) fn open(place: &Place, bytes: Arc<Bytes>) -> Result<Vec<Entry>, InputError> {
    let damaged = |e: &dyn std::fmt::Display| {
        InputError::malformed(
            place,
            format!("not a readable safetensors file ({e})"),
            "write the file again with safetensors' save_file",
        )
    };
    let (header_len, metadata) = SafeTensors::read_metadata(&bytes).map_err(|e| damaged(&e))?;
    // Eight bytes of length come first.
    let data_start = header_len
        .checked_add(8)
        .ok_or_else(|| damaged(&"header length"))?;
    let mut entries = Vec::new();
    for (name, info) in metadata.tensors() {
        let place = place.array(&name);
        let element = element(&place, info.dtype);
        let start = data_start
            .checked_add(info.data_offsets.0)
            .ok_or_else(|| damaged(&"tensor offset"))?;
        entries.push(Entry {
            info: element.map(|element| ArrayInfo {
                element,
                big_endian: false,
                shape: info.shape.clone(),
                fortran_order: false,
            }),
            storage: Storage::Plain {
                bytes: Arc::clone(&bytes),
                start,
            },
            name,
            place,
        });
    }
    entries.sort_by(|a, b| natural_order(&a.name, &b.name));
    Ok(entries)
}

fn element(place: &Place, dtype: Dtype) -> Result<Element, InputError> {
    Ok(match dtype {
        Dtype::BOOL => Element::Bool,
        Dtype::U8 => Element::U8,
        Dtype::I8 => Element::I8,
        Dtype::I16 => Element::I16,
        Dtype::U16 => Element::U16,
        Dtype::I32 => Element::I32,
        Dtype::U32 => Element::U32,
        Dtype::I64 => Element::I64,
        Dtype::U64 => Element::U64,
        Dtype::F16 => Element::F16,
        Dtype::BF16 => Element::Bf16,
        Dtype::F32 => Element::F32,
        Dtype::F64 => Element::F64,
        other => {
            return Err(InputError::unsupported(
                place,
                format!("values of type {other:?}"),
                "convert the tensor before saving: x.float()",
            ));
        }
    })
}
