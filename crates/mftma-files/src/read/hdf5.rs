//! HDF5, and so MATLAB 7.3, read by the crate `hdf5-reader`.
//!
//! Contiguous values are used where they lie; chunks are unpacked one by one when an array's turn comes. MATLAB stores arrays
//! column by column, so that HDF5 sees their axes reversed: here they have MATLAB's order again. Links to other files are not
//! followed.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hdf5_reader::error::{ByteOrder, Error};
use hdf5_reader::group::Group;
use hdf5_reader::messages::HdfMessage;
use hdf5_reader::messages::datatype::Datatype;
use hdf5_reader::messages::filter_pipeline::FilterDescription;
use hdf5_reader::messages::layout::DataLayout;
use hdf5_reader::{Dataset, FilterRegistry, Hdf5File, OpenOptions};

use super::packed::{blosc, zstd};
use super::strided::put_chunk;
use super::{Decode, Entry, PassedOver, ReadOptions, Storage, natural_order, within_limit};
use crate::array::{ArrayInfo, Element};
use crate::bytes::{Bytes, Canvas, Shared};
use crate::error::{InputError, Place};

const REWRITE: &str = "write the file again with h5py, or copy it again";
const NUMBERS: &str = "h5py.File('acts.h5', 'w')['conv1'] = x with x of numbers, points x features";
/// Groups within groups, no deeper.
const MAX_DEPTH: usize = 32;
/// What h5py compresses with where it is told 'lzf'.
const LZF: u16 = 32_000;
/// Codecs of the package hdf5plugin, by the HDF5 Group's register.
const BLOSC: u16 = 32_001;
const ZSTD: u16 = 32_015;

/// Opens a file; the number is the largest length of a chunk that its data sets declare, to be set before chunks are read.
fn file(place: &Place, bytes: &Arc<Bytes>) -> Result<(Hdf5File, Arc<AtomicUsize>), InputError> {
    let largest = Arc::new(AtomicUsize::new(0));
    let most = Arc::clone(&largest);
    let most = move || most.load(Ordering::Relaxed);
    let mut filters = FilterRegistry::new();
    let damaged_chunk = |problem: String| Error::DecompressionError(problem);
    filters.register(LZF, Box::new(|filter, data, _| unpack_lzf(filter, data)));
    let limit = most.clone();
    filters.register(
        BLOSC,
        Box::new(move |_, data, _| blosc(data, limit()).map_err(damaged_chunk)),
    );
    filters.register(
        ZSTD,
        Box::new(move |_, data, _| zstd(data, most()).map_err(damaged_chunk)),
    );
    let options = OpenOptions::default()
        // Every chunk is wanted once.
        .with_chunk_cache_bytes(0)
        // They are held against the limit before they are unpacked.
        .with_max_chunk_bytes(usize::MAX)
        .with_filter_registry(filters);
    let file = Hdf5File::from_owner(Shared(Arc::clone(bytes)), options);
    Ok((file.map_err(|e| damaged(place, &e))?, largest))
}

fn damaged(place: &Place, error: &Error) -> InputError {
    let mut inner = error;
    while let Error::Context { source, .. } = inner {
        inner = source;
    }
    match inner {
        Error::UnsupportedFilter(_) | Error::UnsupportedEncoding(_) => InputError::unsupported(
            place,
            inner.to_string(),
            "save it again with h5py, compression='gzip' or none",
        ),
        _ => InputError::malformed(place, format!("not readable as HDF5 ({inner})"), REWRITE),
    }
}

/// Every data set of a file, with its path, in natural order. One with two names is there twice.
fn datasets(place: &Place, file: &Hdf5File) -> Result<Vec<(String, Dataset)>, InputError> {
    let mut found = Vec::new();
    let mut seen = HashSet::new();
    let mut open: Vec<(Group, String, usize)> = vec![(
        file.root_group().map_err(|e| damaged(place, &e))?,
        String::new(),
        0,
    )];
    while let Some((group, prefix, depth)) = open.pop() {
        if !seen.insert(group.address()) {
            continue;
        }
        let (groups, of_group) = group.members().map_err(|e| damaged(place, &e))?;
        for dataset in of_group {
            found.push((format!("{prefix}{}", dataset.name()), dataset));
        }
        for group in groups {
            // What MATLAB keeps for itself.
            let own = prefix.is_empty() && ["#refs#", "#subsystem#"].contains(&group.name());
            if !own && depth < MAX_DEPTH {
                let prefix = format!("{prefix}{}/", group.name());
                open.push((group, prefix, depth + 1));
            }
        }
    }
    found.sort_by(|a, b| natural_order(&a.0, &b.0));
    Ok(found)
}

/// Lists the data sets of numbers, sorted by path. Text, references and records are passed over.
pub(super) fn open(place: &Place, bytes: Arc<Bytes>) -> Result<Vec<Entry>, InputError> {
    let (file, largest) = file(place, &bytes)?;
    let by_matlab = bytes.starts_with(b"MATLAB 7.3 MAT-file");
    let mut entries = Vec::new();
    let mut passed = PassedOver::default();
    for (name, dataset) in datasets(place, &file)? {
        let place = place.array(&name);
        match describe(&place, &dataset, by_matlab) {
            Ok(info) => {
                largest.fetch_max(chunk_len(&dataset, &info), Ordering::Relaxed);
                let (info, storage) = match storage(&place, &file, &bytes, dataset, &info) {
                    Ok(storage) => (Ok(info), storage),
                    Err(error) => (Err(error), nothing(&bytes)),
                };
                entries.push(Entry {
                    name,
                    place,
                    info,
                    storage,
                });
            }
            Err(NoArray::Other(what)) => passed.push(&name, what),
            Err(NoArray::Refused(error)) => entries.push(Entry {
                name,
                place,
                info: Err(error),
                storage: nothing(&bytes),
            }),
        }
    }
    passed.check(place, entries, NUMBERS)
}

fn nothing(bytes: &Arc<Bytes>) -> Storage {
    Storage::Plain {
        bytes: Arc::clone(bytes),
        start: 0,
    }
}

/// Why a data set is no array of numbers.
enum NoArray {
    /// It never was one.
    Other(&'static str),
    /// It is, of a kind that is not read.
    Refused(InputError),
}

fn describe(place: &Place, dataset: &Dataset, by_matlab: bool) -> Result<ArrayInfo, NoArray> {
    let refused = |problem: &str, remedy: &str| {
        Err(NoArray::Refused(InputError::unsupported(
            place,
            problem.to_owned(),
            remedy.to_owned(),
        )))
    };
    let class = dataset
        .attribute("MATLAB_class")
        .and_then(|attribute| attribute.read_string())
        .ok();
    match class.as_deref() {
        Some("char") => return Err(NoArray::Other("text")),
        Some("cell") => return Err(NoArray::Other("a cell array")),
        Some("struct") => return Err(NoArray::Other("a struct")),
        Some("function_handle") => return Err(NoArray::Other("a function")),
        _ => {}
    }
    if dataset.attribute("MATLAB_empty").is_ok() {
        return Err(NoArray::Other("empty"));
    }
    let whole = |size: u8, signed: bool| match (size, signed) {
        (1, true) => Some(Element::I8),
        (1, false) => Some(Element::U8),
        (2, true) => Some(Element::I16),
        (2, false) => Some(Element::U16),
        (4, true) => Some(Element::I32),
        (4, false) => Some(Element::U32),
        (8, true) => Some(Element::I64),
        (8, false) => Some(Element::U64),
        _ => None,
    };
    let (element, byte_order) = match dataset.dtype() {
        Datatype::FixedPoint {
            size,
            signed,
            byte_order,
        } => match whole(*size, *signed) {
            Some(element) => (element, *byte_order),
            None => return refused("integers of an unusual width", "save x.astype('int64')"),
        },
        Datatype::FloatingPoint { size, byte_order } => {
            // The width of the exponent tells bfloat16 from float16.
            let exponent = dataset
                .raw_datatype()
                .ok()
                .and_then(|raw| raw.get(13).copied());
            let element = match (size, exponent) {
                (2, Some(8)) => Element::Bf16,
                (2, None | Some(5)) => Element::F16,
                (4, None | Some(8)) => Element::F32,
                (8, None | Some(11)) => Element::F64,
                _ => {
                    return refused(
                        "floating-point numbers of an unusual kind",
                        "save x.astype('float64')",
                    );
                }
            };
            (element, *byte_order)
        }
        Datatype::Enum { base, members } => {
            let Datatype::FixedPoint {
                size,
                signed,
                byte_order,
            } = **base
            else {
                return Err(NoArray::Other("an enumeration"));
            };
            let names: Vec<&str> = members.iter().map(|member| member.name.as_str()).collect();
            match whole(size, signed) {
                // How h5py stores bool.
                Some(_) if size == 1 && names == ["FALSE", "TRUE"] => (Element::Bool, byte_order),
                // Classes by name; the names are not kept.
                Some(element) => (element, byte_order),
                None => return Err(NoArray::Other("an enumeration")),
            }
        }
        Datatype::Compound { fields, .. } => {
            let names: Vec<&str> = fields.iter().map(|field| field.name.as_str()).collect();
            if matches!(names[..], ["r", "i"] | ["real", "imag"]) {
                return refused(
                    "complex numbers",
                    "save real features, for example numpy.concatenate([x.real, x.imag], axis=1)",
                );
            }
            return Err(NoArray::Other("records"));
        }
        Datatype::String { .. } | Datatype::VarLen { .. } => return Err(NoArray::Other("text")),
        Datatype::Reference { .. } => return Err(NoArray::Other("references")),
        _ => return Err(NoArray::Other("no numbers")),
    };
    let mut shape: Vec<usize> = Vec::new();
    for &n in dataset.shape() {
        match usize::try_from(n) {
            Ok(n) => shape.push(n),
            Err(_) => return refused("an axis longer than can be addressed", REWRITE),
        }
    }
    if shape.is_empty() {
        return Err(NoArray::Other("a single value"));
    }
    let by_matlab = by_matlab || class.is_some();
    if by_matlab {
        shape.reverse();
        if let [1, n] | [n, 1] = shape[..] {
            shape = vec![n];
        }
    }
    Ok(ArrayInfo {
        element,
        big_endian: byte_order == ByteOrder::BigEndian,
        shape,
        fortran_order: by_matlab,
    })
}

fn storage(
    place: &Place,
    file: &Hdf5File,
    bytes: &Arc<Bytes>,
    dataset: Dataset,
    info: &ArrayInfo,
) -> Result<Storage, InputError> {
    let header = file
        .get_or_parse_header(dataset.address())
        .map_err(|e| damaged(place, &e))?;
    let mut contiguous = None;
    for message in &header.messages {
        match message {
            HdfMessage::ExternalFiles(_) => {
                return Err(InputError::unsupported(
                    place,
                    "the values lie in another file",
                    "write the dataset again into one file",
                ));
            }
            HdfMessage::FilterPipeline(pipeline) => {
                if let Some(filter) = pipeline.filters.iter().find(|f| !is_known(f.id)) {
                    return Err(InputError::unsupported(
                        place,
                        format!("compressed by {}", filter_name(filter)),
                        "save it again with h5py, compression='gzip' or none",
                    ));
                }
            }
            HdfMessage::DataLayout(layout) => {
                if let DataLayout::Contiguous { address, .. } = layout.layout {
                    contiguous = Some(address);
                }
            }
            _ => {}
        }
    }
    // Addresses count from behind the user block. One that is not there stands for values that were never written.
    let start = contiguous
        .and_then(|address| address.checked_add(file.superblock().base_address))
        .and_then(|start| usize::try_from(start).ok())
        .filter(|&start| start < bytes.len());
    if let Some(start) = start
        && info
            .data_len()
            .is_some_and(|len| len <= bytes.len() - start)
    {
        return Ok(Storage::Plain {
            bytes: Arc::clone(bytes),
            start,
        });
    }
    const NEVER_WRITTEN: u64 = u64::MAX;
    if contiguous.is_some_and(|address| address != NEVER_WRITTEN) && info.data_len() != Some(0) {
        return Err(InputError::malformed(
            place,
            format!("{} lies past the end of the file", info.describe()),
            "the file was cut short: copy it again",
        ));
    }
    Ok(Storage::Decoded(Box::new(Chunked {
        dataset,
        file_len: bytes.len(),
    })))
}

/// Bytes of one chunk, unpacked; zero where there are none.
fn chunk_len(dataset: &Dataset, info: &ArrayInfo) -> usize {
    let chunk = dataset.chunks().unwrap_or_default();
    let size = info.element.size();
    let len = chunk
        .iter()
        .try_fold(size, |a, &b| a.checked_mul(b as usize));
    // HDF5 counts the bytes of a chunk in 32 bits.
    len.filter(|&len| u32::try_from(len).is_ok()).unwrap_or(0)
}

fn is_known(filter: u16) -> bool {
    (1..=6).contains(&filter) || [LZF, BLOSC, ZSTD].contains(&filter)
}

/// Filters that h5py's users meet, by the numbers of the HDF5 Group's register.
fn filter_name(filter: &FilterDescription) -> String {
    match filter.id {
        32_004 => "LZ4".to_owned(),
        32_008 => "bitshuffle".to_owned(),
        32_013 => "ZFP".to_owned(),
        32_026 => "Blosc2".to_owned(),
        id => match &filter.name {
            Some(name) => format!("filter {id} ({name})"),
            None => format!("filter {id}"),
        },
    }
}

/// A data set whose values do not lie in one piece.
struct Chunked {
    dataset: Dataset,
    file_len: usize,
}

impl fmt::Debug for Chunked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Chunked({})", self.dataset.name())
    }
}

impl Decode for Chunked {
    fn stored(&self) -> &'static str {
        if self.dataset.chunks().is_some() {
            "chunks"
        } else {
            "compact"
        }
    }

    fn decode(
        &self,
        place: &Place,
        info: &ArrayInfo,
        options: ReadOptions<'_>,
    ) -> Result<(Arc<Bytes>, usize), InputError> {
        const BETTER: &str = "save it without chunks and compression, so that it is mapped instead";
        let overflow = || InputError::malformed(place, "a shape that cannot be addressed", REWRITE);
        let size = info.element.size();
        let len = info.data_len().ok_or_else(overflow)?;
        within_limit(place, len as u64, options, BETTER)?;
        let io = |e| InputError::io(place, e);
        let Some(chunk_shape) = self.dataset.chunks() else {
            let values = self
                .dataset
                .read_raw_bytes()
                .map_err(|e| damaged(place, &e))?;
            return Ok((Arc::new(Bytes::Owned(values)), 0));
        };
        let chunk_shape: Vec<usize> = chunk_shape.iter().map(|&n| n as usize).collect();
        let shape: Vec<usize> = self.dataset.shape().iter().map(|&n| n as usize).collect();
        if chunk_shape.len() != shape.len() || chunk_shape.contains(&0) {
            return Err(InputError::malformed(
                place,
                format!("chunks of shape {chunk_shape:?} in an array of shape {shape:?}"),
                REWRITE,
            ));
        }
        let chunk_len = chunk_shape
            .iter()
            .try_fold(size, |a, &b| a.checked_mul(b))
            .ok_or_else(overflow)?;
        within_limit(place, chunk_len as u64, options, BETTER)?;
        // An index may list every chunk, also where none is there.
        let chunks = shape
            .iter()
            .zip(&chunk_shape)
            .try_fold(1usize, |n, (&s, &c)| n.checked_mul(s.div_ceil(c)))
            .ok_or_else(overflow)?;
        if chunks > self.file_len {
            return Err(InputError::malformed(
                place,
                format!("{chunks} chunks in a file of {} bytes", self.file_len),
                "write it again with larger chunks",
            ));
        }
        let mut canvas = Canvas::new(len as u64).map_err(io)?;
        let fill = self.dataset.fill_value().and_then(|f| f.value.as_deref());
        if let Some(fill) = fill.filter(|fill| fill.len() == size) {
            canvas.fill(fill, len).map_err(io)?;
        }
        for chunk in self.dataset.iter_chunks().map_err(|e| damaged(place, &e))? {
            if (options.interrupted)() {
                return Err(InputError::Interrupted {
                    place: place.clone(),
                });
            }
            let chunk = chunk.map_err(|e| damaged(place, &e))?;
            let origin: Vec<usize> = chunk.offsets().iter().map(|&n| n as usize).collect();
            if origin.len() != shape.len() {
                return Err(InputError::malformed(
                    place,
                    format!("a chunk at {origin:?} of an array of shape {shape:?}"),
                    REWRITE,
                ));
            }
            put_chunk(
                &mut canvas,
                &shape,
                &chunk_shape,
                &origin,
                size,
                chunk.bytes(),
            )
            .map_err(io)?;
        }
        let bytes = canvas.finish().map_err(io)?;
        Ok((Arc::new(bytes), 0))
    }
}

/// The texts of a data set of strings: the one named, or the only data set of the file. `None` where there is no such.
pub(super) fn text(
    place: &Place,
    bytes: &Arc<Bytes>,
    name: Option<&str>,
) -> Result<Option<Vec<String>>, InputError> {
    let (file, largest) = file(place, bytes)?;
    let mut all = datasets(place, &file)?;
    let at = match name {
        Some(name) => all.iter().position(|(path, _)| path == name),
        None if all.len() == 1 => Some(0),
        None => None,
    };
    let Some((name, dataset)) = at.map(|at| all.swap_remove(at)) else {
        return Ok(None);
    };
    let is_text = matches!(
        dataset.dtype(),
        Datatype::String { .. } | Datatype::VarLen { .. }
    );
    let place = place.array(&name);
    // A label takes a byte at least, or a reference to where it lies.
    if !is_text || dataset.shape().len() != 1 || dataset.shape()[0] > bytes.len() as u64 {
        return Ok(None);
    }
    // A text, or a reference to one, takes no more than the file.
    largest.store(bytes.len(), Ordering::Relaxed);
    let texts = dataset.read_strings().map_err(|e| damaged(&place, &e))?;
    Ok(Some(texts))
}

/// LZF, as in Lehmann's liblzf: runs of plain bytes, and copies from up to 8 KiB before.
fn unpack_lzf(filter: &FilterDescription, data: &[u8]) -> Result<Vec<u8>, Error> {
    let cut = || Error::DecompressionError("LZF data is damaged".to_owned());
    // h5py writes how long a chunk is unpacked.
    let most = filter
        .client_data
        .get(2)
        .map_or(usize::MAX, |&n| n as usize);
    let mut out = Vec::new();
    let mut bytes = data.iter().copied();
    while let Some(control) = bytes.next() {
        let control = usize::from(control);
        if control < 32 {
            for _ in 0..=control {
                out.push(bytes.next().ok_or_else(cut)?);
            }
        } else {
            let mut len = control >> 5;
            if len == 7 {
                len += usize::from(bytes.next().ok_or_else(cut)?);
            }
            let back = ((control & 0x1f) << 8 | usize::from(bytes.next().ok_or_else(cut)?)) + 1;
            let from = out.len().checked_sub(back).ok_or_else(cut)?;
            for at in from..from + len + 2 {
                out.push(out[at]);
            }
        }
        if out.len() > most {
            return Err(cut());
        }
    }
    Ok(out)
}
