//! Decoders of chunks, for HDF5 and zarr, and of Parquet's pages. None unpacks to more than its caller expects.

use std::io::Read;

#[cfg(any(feature = "hdf5", feature = "zarr"))]
/// LZ4 packs at most so many bytes into one.
const MAX_LZ4_RATIO: usize = 255;

/// Everything that a decoder gives, if it is no more than `len` bytes and a checksum.
pub(super) fn inflate(decoder: impl Read, len: usize) -> Result<Vec<u8>, String> {
    let mut values = Vec::new();
    decoder
        .take(len as u64 + 5)
        .read_to_end(&mut values)
        .map_err(|e| e.to_string())?;
    if values.len() > len + 4 {
        return Err(format!("it unpacks to more than {len} bytes"));
    }
    Ok(values)
}

/// A frame of Zstandard.
pub(super) fn zstd(packed: &[u8], len: usize) -> Result<Vec<u8>, String> {
    let decoder = ruzstd::decoding::StreamingDecoder::new(packed).map_err(|e| e.to_string())?;
    inflate(decoder, len)
}

#[cfg(any(feature = "hdf5", feature = "zarr"))]
/// Puts the bytes of each value together that were put apart.
pub(super) fn unshuffle(values: &[u8], size: usize) -> Vec<u8> {
    if size < 2 {
        return values.to_vec();
    }
    let count = values.len() / size;
    let mut out = Vec::with_capacity(values.len());
    for i in 0..count {
        for byte in 0..size {
            out.push(values[byte * count + i]);
        }
    }
    // What is left over of a value stays where it is.
    out.extend_from_slice(&values[count * size..]);
    out
}

#[cfg(any(feature = "hdf5", feature = "zarr"))]
/// A buffer of Blosc 1: a head of 16 bytes, the starts of blocks, and in each block streams that are packed one by one.
pub(super) fn blosc(packed: &[u8], len: usize) -> Result<Vec<u8>, String> {
    const HEAD: usize = 16;
    const CUT: &str = "cut short";
    let word = |at: usize| -> Result<usize, String> {
        let field: Option<[u8; 4]> = packed.get(at..at + 4).and_then(|f| f.try_into().ok());
        Ok(u32::from_le_bytes(field.ok_or(CUT)?) as usize)
    };
    let &[_, _, flags, type_size, ..] = packed else {
        return Err(CUT.to_owned());
    };
    let type_size = usize::from(type_size).max(1);
    let (total, block_size) = (word(4)?, word(8)?);
    if total > len + 4 {
        return Err(format!(
            "it unpacks to {total} bytes, its shape takes {len}"
        ));
    }
    if flags & 0x2 != 0 {
        let values = packed.get(HEAD..HEAD + total).ok_or(CUT)?;
        return Ok(values.to_vec());
    }
    if block_size == 0 {
        return Err("blocks of no length".to_owned());
    }
    let mut out = Vec::new();
    for block in 0..total.div_ceil(block_size) {
        let size = block_size.min(total - block * block_size);
        // The last block, if it is shorter, is never split; nor is any where the head says so.
        let whole = size == block_size;
        let split = flags & 0x10 == 0 && whole && type_size <= 16 && size / type_size >= 128;
        let streams = if split { type_size } else { 1 };
        let mut at = word(HEAD + 4 * block)?;
        let mut values = Vec::new();
        for _ in 0..streams {
            let stream = size / streams;
            let n = word(at)?;
            at += 4;
            let data = packed.get(at..at.saturating_add(n)).ok_or(CUT)?;
            at += n;
            if n == stream {
                values.extend_from_slice(data);
                continue;
            }
            match flags >> 5 {
                1 if stream / MAX_LZ4_RATIO > n => {
                    return Err(format!("{n} bytes are said to unpack to {stream}"));
                }
                1 => {
                    let mut buffer = vec![0; stream];
                    let found = lz4_flex::block::decompress_into(data, &mut buffer)
                        .map_err(|e| e.to_string())?;
                    values.extend_from_slice(&buffer[..found]);
                }
                3 => values.extend(inflate(flate2::read::ZlibDecoder::new(data), stream)?),
                4 => values.extend(zstd(data, stream)?),
                0 => {
                    return Err(
                        "packed by BloscLZ within Blosc; lz4, zlib and zstd are read".into(),
                    );
                }
                2 => {
                    return Err("packed by Snappy within Blosc; lz4, zlib and zstd are read".into());
                }
                other => return Err(format!("packed by an unknown codec ({other}) within Blosc")),
            }
        }
        if values.len() != size {
            return Err(format!("a block of {} bytes for {size}", values.len()));
        }
        if flags & 0x4 != 0 {
            return Err("bits were shuffled (Blosc's bitshuffle); bytes are read".to_owned());
        }
        if flags & 0x1 != 0 {
            values = unshuffle(&values, type_size);
        }
        out.extend(values);
    }
    Ok(out)
}
