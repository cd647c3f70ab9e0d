//! Decoding of image files into one array, in parallel.

use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};

use image::{ColorType, DynamicImage, ImageDecoder, ImageReader, Limits};
use ndarray::Array4;
use rayon::prelude::*;

use super::files;
use crate::{Error, Result};

/// Size of an image file as its header tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub width: u32,
    pub height: u32,
    pub grey: bool,
    /// Bytes on disk.
    pub stored: u64,
}

fn failed(path: &Path) -> impl FnOnce(image::ImageError) -> Error {
    let path = path.to_owned();
    move |source| Error::Image { path, source }
}

/// The content of an image file.
fn content(path: &Path) -> Result<Vec<u8>> {
    let (file, stored) = files::open(path)?;
    let mut bytes = Vec::with_capacity(stored as usize);
    file.take(stored)
        .read_to_end(&mut bytes)
        .map_err(Error::io(path))?;
    Ok(bytes)
}

/// Whether the content is that of a JPEG whose end is missing. The decoder would fill up with grey.
///
/// Within a scan the byte 255 never precedes 217 (end of image), so one of those after the last start of a scan
/// (255, 218) is a true end.
fn is_cut_jpeg(bytes: &[u8]) -> bool {
    let after = bytes
        .windows(2)
        .rposition(|pair| pair == [255, 218])
        .unwrap_or(0);
    bytes.starts_with(&[255, 216]) && !bytes[after..].windows(2).any(|pair| pair == [255, 217])
}

/// A decoder that may not ask for more memory than `bytes`, the content of `path`, justify, and its header.
fn decoder<'a>(bytes: &'a [u8], path: &Path) -> Result<(impl ImageDecoder + 'a, Header)> {
    let limit = files::unpacked_limit(bytes.len() as u64);
    let refuse = |problem| {
        Err(Error::format(
            path,
            problem,
            "replace the file, or take it out of the folder",
        ))
    };
    if is_cut_jpeg(bytes) {
        return refuse(format!(
            "is a JPEG without an end: {} bytes are not all of it",
            bytes.len()
        ));
    }
    let mut reader = ImageReader::new(Cursor::new(bytes))
        .with_guessed_format()
        .map_err(Error::io(path))?;
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(limit);
    reader.limits(limits);
    let decoder = reader.into_decoder().map_err(failed(path))?;
    let (width, height) = decoder.dimensions();
    if decoder.total_bytes() > limit {
        return refuse(format!(
            "declares {width} × {height} pixels, which {} bytes on disk cannot hold",
            bytes.len()
        ));
    }
    let grey = matches!(
        decoder.color_type(),
        ColorType::L8 | ColorType::L16 | ColorType::La8 | ColorType::La16
    );
    Ok((
        decoder,
        Header {
            width,
            height,
            grey,
            stored: bytes.len() as u64,
        },
    ))
}

/// The headers of all `paths`, read on rayon's current thread pool.
///
/// # Errors
/// The error of the first file, in the order of `paths`, whose header cannot be used.
pub(super) fn headers(paths: &[&PathBuf]) -> Result<Vec<Header>> {
    let headers: Vec<Result<Header>> = paths
        .par_iter()
        .map(|path| Ok(decoder(&content(path)?, path)?.1))
        .collect();
    headers.into_iter().collect()
}

/// Decodes `paths` into an array (files, `channels`, `height`, `width`) on rayon's current thread pool.
///
/// With three channels, grey images get three equal ones; with one, colours become luminance. Sixteen-bit samples are
/// brought to eight, transparency is dropped. Where `resize` is set, images of another size are scaled (triangle
/// filter), else refused.
///
/// # Errors
/// The error of the first file, in the order of `paths`, that does not decode or has another size.
pub(super) fn decode(
    paths: &[PathBuf],
    channels: usize,
    (height, width): (u32, u32),
    resize: bool,
) -> Result<Array4<u8>> {
    let shape = (paths.len(), channels, height as usize, width as usize);
    let mut images = Array4::zeros(shape);
    let plane = shape.2 * shape.3;
    let image_bytes = (channels * plane).max(1);
    let pixels: &mut [u8] = images.as_slice_mut().unwrap_or_default();
    let decode_one = |(target, path): (&mut [u8], &PathBuf)| -> Result<()> {
        let bytes = content(path)?;
        let (decoder, found) = decoder(&bytes, path)?;
        if !resize && (found.width, found.height) != (width, height) {
            return Err(Error::format(
                path,
                format!(
                    "is {} × {} pixels (width × height), expected {width} × {height}",
                    found.width, found.height
                ),
                "bring all images to one size, or have them resized",
            ));
        }
        let mut decoded = DynamicImage::from_decoder(decoder).map_err(failed(path))?;
        if (decoded.width(), decoded.height()) != (width, height) {
            decoded = decoded.resize_exact(width, height, image::imageops::FilterType::Triangle);
        }
        if channels == 1 {
            target.copy_from_slice(decoded.to_luma8().as_raw());
        } else {
            // From pixel by pixel to channel by channel.
            for (place, pixel) in decoded.to_rgb8().pixels().enumerate() {
                for (channel, &value) in pixel.0.iter().enumerate() {
                    target[channel * plane + place] = value;
                }
            }
        }
        Ok(())
    };
    let errors: Vec<Option<Error>> = pixels
        .par_chunks_mut(image_bytes)
        .zip(paths)
        .map(|one| decode_one(one).err())
        .collect();
    match errors.into_iter().flatten().next() {
        Some(error) => Err(error),
        None => Ok(images),
    }
}
