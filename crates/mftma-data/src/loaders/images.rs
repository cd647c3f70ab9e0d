//! Decoding of image files into one array, in parallel.

use std::fs::File;
use std::io::BufReader;
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

fn decoder(path: &Path) -> Result<(impl ImageDecoder, u64)> {
    let (file, stored) = files::open(path)?;
    let mut reader = ImageReader::new(BufReader::<File>::new(file))
        .with_guessed_format()
        .map_err(Error::io(path))?;
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(files::unpacked_limit(stored));
    reader.limits(limits);
    Ok((reader.into_decoder().map_err(failed(path))?, stored))
}

/// Reads an image file's header.
///
/// # Errors
/// [`Error::Image`]; [`Error::Format`] where it declares more pixels than a file of its size can hold.
pub(super) fn header(path: &Path) -> Result<Header> {
    let (decoder, stored) = decoder(path)?;
    let (width, height) = decoder.dimensions();
    if decoder.total_bytes() > files::unpacked_limit(stored) {
        return Err(Error::format(
            path,
            format!("declares {width} × {height} pixels, which {stored} bytes on disk cannot hold"),
            "replace the file, or take it out of the folder",
        ));
    }
    let grey = matches!(
        decoder.color_type(),
        ColorType::L8 | ColorType::L16 | ColorType::La8 | ColorType::La16
    );
    Ok(Header {
        width,
        height,
        grey,
        stored,
    })
}

/// The headers of all `paths`, read on rayon's current thread pool.
///
/// # Errors
/// The error of the first file, in the order of `paths`, whose header cannot be used.
pub(super) fn headers(paths: &[&PathBuf]) -> Result<Vec<Header>> {
    let headers: Vec<Result<Header>> = paths.par_iter().map(|path| header(path)).collect();
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
        let found = header(path)?;
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
        let mut decoded = DynamicImage::from_decoder(decoder(path)?.0).map_err(failed(path))?;
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
