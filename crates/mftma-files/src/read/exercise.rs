//! What an analysis does with a file, on bytes from anywhere: for fuzz targets and the tests of damaged files.

use std::path::Path;
use std::sync::Arc;

use super::{Entry, Format, ReadOptions, join, labels, make_distinct, open_any, open_bytes, time};
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

/// Opens, loads and reads every array in both layouts; gives the first error, after all were tried.
pub fn arrays(format: Format, bytes: &[u8]) -> Result<(), InputError> {
    let place = Place::file(Path::new("file"));
    let bytes = Arc::new(Bytes::Owned(bytes.to_vec()));
    values(|| open_bytes(&place, format, Arc::clone(&bytes)))
}

/// [`arrays`] of a zarr store of one array: the text of its description (`zarr.json` in version 3, else `.zarray`), and the
/// bytes of its first chunk.
#[cfg(feature = "zarr")]
pub fn zarr(version_3: bool, description: &[u8], chunk: &[u8]) -> Result<(), InputError> {
    let place = Place::file(Path::new("store"));
    let io = |e| InputError::io(&place, e);
    let folder = tempfile::tempdir().map_err(io)?;
    let write = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes);
    if version_3 {
        write("zarr.json", description).map_err(io)?;
        std::fs::create_dir_all(folder.path().join("c/0")).map_err(io)?;
        write("c/0/0", chunk).map_err(io)?;
    } else {
        write(".zarray", description).map_err(io)?;
        write("0.0", chunk).map_err(io)?;
    }
    values(|| super::open(folder.path()))
}

fn values(open: impl Fn() -> Result<Vec<Entry>, InputError>) -> Result<(), InputError> {
    let mut outcome = Ok(());
    for layout in [Layout::PointsByFeatures, Layout::FeaturesByPoints] {
        for entry in open()? {
            outcome = outcome.and(read(entry, layout));
        }
    }
    outcome
}

fn read(entry: Entry, layout: Layout) -> Result<(), InputError> {
    let matrix = Matrix::new(entry.load(OPTIONS)?, layout)?;
    let last = matrix.n_features();
    let first = last.saturating_sub(MOST_FEATURES);
    matrix.gather::<f32>(&[0, matrix.n_points() - 1], first..last);
    matrix.gather::<f64>(&[matrix.n_points() / 2], 0..last.min(MOST_FEATURES));
    matrix.view::<f64>();
    matrix.index_of(matrix.n_points() - 1, last - 1);
    Ok(())
}

/// What the program makes of several arrays before it reads them: the format told from the bytes and the file's `name`, names
/// made distinct, a column taken out, numbered pieces joined, an axis split into bins of time, an array for each class.
pub fn arranged(name: &str, bytes: &[u8], axis: usize, n_points: usize) -> Result<(), InputError> {
    let place = Place::file(Path::new(name));
    let bytes = Arc::new(Bytes::Owned(bytes.to_vec()));
    let open = || open_any(&place, Arc::clone(&bytes));
    let mut outcome = Ok(());
    let mut all = |entries: Vec<Entry>, layout: Layout| {
        for entry in entries {
            outcome = std::mem::replace(&mut outcome, Ok(())).and(read(entry, layout));
        }
    };
    let mut entries = open()?;
    make_distinct(&mut entries);
    for entry in &mut entries {
        entry.drop_column("a");
    }
    let (Ok(entries) | Err(entries)) = join::join_numbered(entries, n_points);
    all(entries, Layout::PointsByFeatures);
    if let Ok(bins) = time::bins(open()?, axis) {
        all(bins, Layout::FeaturesByPoints);
    }
    if let Ok((entry, labels)) = join::one_array_per_class(&place.file, open()?) {
        assert_eq!(labels.counts().len(), labels.names.len());
        all(vec![entry], Layout::OneArrayPerClass);
    }
    all(open()?, Layout::ClassesByPointsByFeatures);
    outcome
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
