//! What an analysis does with a file, on bytes from anywhere: for fuzz targets and the tests of damaged files.

use std::path::Path;
use std::sync::Arc;

use super::{Format, ReadOptions, labels, open_bytes};
use crate::array::{Layout, Matrix};
use crate::bytes::Bytes;
use crate::error::{InputError, Place};

/// Small, so that a file that unpacks without end shows.
pub const INFLATE_LIMIT: u64 = 1 << 20;
/// Most values taken from one array: reading them all proves nothing more.
const MOST_FEATURES: usize = 4096;

const OPTIONS: ReadOptions<'static> = ReadOptions {
    inflate_limit: INFLATE_LIMIT,
    interrupted: &|| false,
};

/// Opens, loads and reads every array in both layouts; the first error ends it.
pub fn arrays(format: Format, bytes: &[u8]) -> Result<(), InputError> {
    let place = Place::file(Path::new("file"));
    for layout in [Layout::PointsByFeatures, Layout::FeaturesByPoints] {
        let bytes = Arc::new(Bytes::Owned(bytes.to_vec()));
        for entry in open_bytes(&place, format, bytes)? {
            let matrix = Matrix::new(entry.load(OPTIONS)?, layout)?;
            let last = matrix.n_features();
            let first = last.saturating_sub(MOST_FEATURES);
            matrix.gather::<f32>(&[0, matrix.n_points() - 1], first..last);
            matrix.gather::<f64>(&[matrix.n_points() / 2], 0..last.min(MOST_FEATURES));
            matrix.view::<f64>();
            matrix.index_of(matrix.n_points() - 1, last - 1);
        }
    }
    Ok(())
}

/// Reads labels from a file of this name.
pub fn labels(
    name: &str,
    column: Option<&str>,
    bytes: &[u8],
    n_points: usize,
) -> Result<labels::Labels, InputError> {
    let bytes = Arc::new(Bytes::Owned(bytes.to_vec()));
    labels::parse(
        &Place::file(Path::new(name)),
        column,
        bytes,
        n_points,
        OPTIONS,
    )
}
