//! Activations and labels from files.
//!
//! [`open`] lists the arrays of a file or folder without reading their values; [`Entry::load`] then gives one array,
//! mapped into memory where the file stores it plainly. Every length that a file declares is checked against the bytes
//! that are there before anything is allocated for it.

pub mod exercise;
#[cfg(feature = "hdf5")]
mod hdf5;
mod join;
pub mod labels;
mod mat;
pub mod npy;
pub mod npz;
#[cfg(any(feature = "hdf5", feature = "parquet", feature = "zarr"))]
mod packed;
#[cfg(feature = "parquet")]
mod parquet;
pub mod safetensors;
mod strided;
mod table;
mod time;
mod torch;
#[cfg(feature = "zarr")]
mod zarr;

pub use join::{
    join_numbered, joins, may_be_pieces, named_as_pieces, one_array_per_class, pieces_total,
};
pub use time::bins;

use std::cmp::Ordering;
use std::collections::HashMap;
use std::fmt;
use std::io::{self, Read, Write};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use crate::array::{Array, ArrayInfo};
use crate::bytes::{Bytes, Spool};
use crate::error::{InputError, Place};

/// How far reading may go.
#[derive(Clone, Copy)]
pub struct ReadOptions<'a> {
    /// Most bytes that one compressed array may unpack to.
    pub inflate_limit: u64,
    /// Asked now and then while unpacking; `true` stops it.
    pub interrupted: &'a (dyn Fn() -> bool + Sync),
}

/// The formats that hold arrays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One NumPy array.
    Npy,
    /// A zip archive of NumPy arrays.
    Npz,
    /// Several tensors behind a JSON header.
    Safetensors,
    /// What `torch.save` writes.
    Torch,
    /// HDF5, and so MATLAB 7.3.
    Hdf5,
    /// MATLAB 5 to 7.2.
    Mat,
    /// Columns of numbers in Parquet.
    Parquet,
    /// Columns of numbers in text: CSV, TSV, or separated by spaces.
    Table,
}

/// What is read, for errors.
const FORMATS: &str = "NumPy (.npy, .npz), safetensors, PyTorch (.pt), HDF5 (.h5), MATLAB (.mat), zarr, Parquet, or \
                       columns of numbers as text (.csv, .tsv, .txt)";
/// HDF5 begins here or behind a user block of 512 bytes, of 1024, and so on. MATLAB's takes 512.
const HDF5_STARTS: [usize; 5] = [0, 512, 1024, 2048, 4096];
/// What text is called.
const TEXT_ENDINGS: [&str; 3] = ["csv", "tsv", "txt"];
/// As much of a file as tells text from binary data.
const TEXT_SAMPLE: usize = 1 << 16;

impl Format {
    /// By the first bytes; the ending counts only where these say nothing, so that a damaged file is told what it lacks.
    pub fn of(place: &Place, bytes: &[u8]) -> Result<Self, InputError> {
        if let Some(format) = Self::by_magic(bytes) {
            return Ok(format);
        }
        let refused = |problem: &str, remedy: &str| {
            Err(InputError::unsupported(
                place,
                problem.to_owned(),
                remedy.to_owned(),
            ))
        };
        match bytes {
            [0x80, 2..=5, ..] => {
                return refused(
                    "a Python pickle: reading it would run code from the file",
                    "load it in Python with what wrote it and save numpy.save('acts.npy', numpy.asarray(x))",
                );
            }
            [0x1f, 0x8b, ..] => {
                return refused("compressed by gzip as a whole", "gunzip it first");
            }
            [0x28, 0xb5, 0x2f, 0xfd, ..] => {
                return refused("compressed by zstd as a whole", "unzstd it first");
            }
            _ => {}
        }
        // Numbers as text are that by any name.
        if table::begins_with_numbers(bytes) {
            return Ok(Self::Table);
        }
        let extension = extension(&place.file);
        if let Some(format) = Self::by_ending(&extension) {
            return Ok(format);
        }
        // Headings in other alphabets may be no UTF-8.
        let named_text = TEXT_ENDINGS.contains(&extension.as_str());
        let sample = bytes.get(..TEXT_SAMPLE).unwrap_or(bytes);
        if bytes.is_empty() || named_text || table::is_text(sample) {
            return Ok(Self::Table);
        }
        if extension == "mat" {
            return refused(
                "no MATLAB file of version 5 or later",
                "save('acts.mat', 'x') in MATLAB, with '-v7.3' beyond 2 GB",
            );
        }
        refused(
            &format!("of no known format; read are {FORMATS}"),
            "save the array with numpy.save",
        )
    }

    /// By the first bytes alone; `None` for text and for what is unknown.
    pub fn by_magic(bytes: &[u8]) -> Option<Self> {
        if bytes.starts_with(b"\x93NUMPY") {
            return Some(Self::Npy);
        }
        if bytes.starts_with(b"PK\x03\x04") {
            return Some(if torch::is_archive(bytes) {
                Self::Torch
            } else {
                Self::Npz
            });
        }
        if torch::is_before_archives(bytes) {
            return Some(Self::Torch);
        }
        // Before HDF5, which begins in the same way where MATLAB wrote it.
        if mat::is_version_5(bytes) {
            return Some(Self::Mat);
        }
        let hdf5 = |start: &usize| {
            bytes
                .get(*start..)
                .is_some_and(|b| b.starts_with(b"\x89HDF\r\n\x1a\n"))
        };
        if HDF5_STARTS.iter().any(hdf5) {
            return Some(Self::Hdf5);
        }
        if bytes.starts_with(b"PAR1") {
            return Some(Self::Parquet);
        }
        let (len, rest) = bytes.split_first_chunk::<8>()?;
        let json = u64::from_le_bytes(*len);
        (rest.first() == Some(&b'{') && json <= rest.len() as u64).then_some(Self::Safetensors)
    }

    /// By the file's ending, in lower case. Text has none of its own.
    fn by_ending(extension: &str) -> Option<Self> {
        match extension {
            "npy" => Some(Self::Npy),
            "npz" => Some(Self::Npz),
            "safetensors" => Some(Self::Safetensors),
            "pt" | "pth" => Some(Self::Torch),
            "h5" | "hdf5" => Some(Self::Hdf5),
            "parquet" => Some(Self::Parquet),
            _ => None,
        }
    }
}

/// The file's ending in lower case, without the dot.
fn extension(path: &Path) -> String {
    path.extension()
        .map(|e| e.to_string_lossy().to_ascii_lowercase())
        .unwrap_or_default()
}

/// Refuses to unpack more than is allowed. `better` is a remedy besides a higher limit.
fn within_limit(
    place: &Place,
    len: u64,
    options: ReadOptions<'_>,
    better: &str,
) -> Result<(), InputError> {
    let gib = |bytes: u64| bytes as f64 / (1u64 << 30) as f64;
    if len <= options.inflate_limit {
        return Ok(());
    }
    Err(InputError::too_large(
        place,
        format!(
            "unpacks to {:.1} GiB; the limit is {:.1} GiB",
            gib(len),
            gib(options.inflate_limit)
        ),
        format!("{better}, or raise --inflate-limit"),
    ))
}

/// What a file holds besides arrays, for the error where it holds none.
#[derive(Debug, Default)]
struct PassedOver(Vec<String>);

impl PassedOver {
    /// `what` tells the kind: text, a struct.
    fn push(&mut self, name: &str, what: &str) {
        const SHOWN: usize = 8;
        if self.0.len() < SHOWN {
            self.0.push(format!("{name:?} ({what})"));
        }
    }

    /// The entries, or an error that names what was found instead.
    fn check(
        self,
        place: &Place,
        entries: Vec<Entry>,
        remedy: &str,
    ) -> Result<Vec<Entry>, InputError> {
        if entries.is_empty() && !self.0.is_empty() {
            return Err(InputError::content(
                place,
                format!(
                    "the file holds no array of numbers, but {}",
                    self.0.join(", ")
                ),
                remedy,
            ));
        }
        Ok(entries)
    }
}

/// One array in a file, its values not yet read.
#[derive(Debug)]
pub struct Entry {
    /// The layer's name: the array's, or the file's stem where the format holds a single array.
    pub name: String,
    /// Where it is.
    pub place: Place,
    /// Type and shape, or why the array cannot be used.
    pub info: Result<ArrayInfo, InputError>,
    pub(crate) storage: Storage,
}

#[derive(Debug)]
pub(crate) enum Storage {
    /// Values lie in the file as they are.
    Plain { bytes: Arc<Bytes>, start: usize },
    /// Values must be unpacked, gathered or parsed first.
    Decoded(Box<dyn Decode>),
    /// Arrays whose values follow each other.
    Joined(Vec<Entry>),
}

/// Values that do not lie in the file as they are. Each format brings its own, and decodes an array when its turn comes.
pub(crate) trait Decode: fmt::Debug + Send + Sync {
    /// How the values are stored, in a word or two.
    fn stored(&self) -> &'static str;

    /// All values as `info` says, and where they start.
    fn decode(
        &self,
        place: &Place,
        info: &ArrayInfo,
        options: ReadOptions<'_>,
    ) -> Result<(Arc<Bytes>, usize), InputError>;

    /// What a user should know of how the values were read, in a sentence.
    fn note(&self, _place: &Place) -> Option<String> {
        None
    }

    /// Every file that the values come from, as [`Entry::each_file`].
    fn each_file(&self, place: &Place, _info: &ArrayInfo, visit: &mut dyn FnMut(&Path)) {
        visit(&place.file);
    }

    /// The same without one column, where the values are a table that has a column of this name.
    fn without_column(&self, _place: &Place, _name: &str) -> Option<Columns> {
        None
    }
}

/// A table that lost a column.
pub(crate) type Columns = (Result<ArrayInfo, InputError>, Box<dyn Decode>);

impl Entry {
    /// Whether values are compressed or otherwise not as they are needed, so that they must be unpacked before use.
    pub fn is_compressed(&self) -> bool {
        matches!(self.storage, Storage::Decoded(_))
    }

    /// How values are stored, in a word or two: `mapped`, `compressed`, `text`.
    pub fn stored(&self) -> &'static str {
        match &self.storage {
            Storage::Plain { .. } => "mapped",
            Storage::Decoded(decoder) => decoder.stored(),
            Storage::Joined(_) => "joined",
        }
    }

    /// How many arrays were joined to this one; 1 for an array that stands by itself.
    pub fn pieces(&self) -> usize {
        match &self.storage {
            Storage::Joined(parts) => parts.len(),
            _ => 1,
        }
    }

    /// What is doubtful in how the values are read, in a sentence: a line of a table that may be its heading.
    pub fn note(&self) -> Option<String> {
        match &self.storage {
            Storage::Plain { .. } => None,
            Storage::Decoded(decoder) => decoder.note(&self.place),
            Storage::Joined(parts) => parts.iter().find_map(Self::note),
        }
    }

    /// Visits every file that the values come from, always in the same order: the parts of what is joined, the description and every
    /// chunk of a zarr store (one that is not there too, for it may come). Ask before anything is loaded: of bins of time
    /// it is not known later.
    pub fn each_file(&self, visit: &mut dyn FnMut(&Path)) {
        match (&self.storage, &self.info) {
            (Storage::Joined(parts), _) => parts.iter().for_each(|part| part.each_file(visit)),
            (Storage::Decoded(decoder), Ok(info)) => decoder.each_file(&self.place, info, visit),
            _ => visit(&self.place.file),
        }
    }

    /// Takes the column of this name out of a table, as for a column of labels. `false` where the entry is no table or has no
    /// such column.
    pub fn drop_column(&mut self, name: &str) -> bool {
        let columns = match &self.storage {
            Storage::Decoded(decoder) => decoder.without_column(&self.place, name),
            _ => None,
        };
        let Some((info, decoder)) = columns else {
            return false;
        };
        self.info = info;
        self.storage = Storage::Decoded(decoder);
        true
    }

    /// What `opened` gave, or the error in its place: the other arrays of the file are read all the same.
    fn opened(
        name: String,
        place: Place,
        bytes: &Arc<Bytes>,
        opened: Result<(ArrayInfo, Storage), InputError>,
    ) -> Self {
        let (info, storage) = match opened {
            Ok((info, storage)) => (Ok(info), storage),
            Err(error) => {
                let bytes = Arc::clone(bytes);
                (Err(error), Storage::Plain { bytes, start: 0 })
            }
        };
        Self {
            name,
            place,
            info,
            storage,
        }
    }

    /// An array that only its error is known of.
    fn unreadable(name: String, error: InputError, place: Place) -> Self {
        Self {
            name,
            place,
            info: Err(error),
            storage: Storage::Plain {
                bytes: Arc::new(Bytes::Owned(Vec::new())),
                start: 0,
            },
        }
    }

    /// Whether the file can hold what it announces, before anything is made of that size (labels, one for each point).
    ///
    /// # Errors
    /// [`InputError::Malformed`] where it announces more than is there.
    pub fn check(&self) -> Result<(), InputError> {
        let Ok(info) = &self.info else { return Ok(()) };
        let fits = match &self.storage {
            Storage::Plain { bytes, start } => {
                let room = bytes.len().saturating_sub(*start);
                !info.shape.contains(&0) && info.data_len().is_some_and(|len| len <= room)
            }
            Storage::Decoded(_) => !info.shape.contains(&0) && info.data_len().is_some(),
            Storage::Joined(parts) => return parts.iter().try_for_each(Self::check),
        };
        if fits {
            return Ok(());
        }
        Err(InputError::malformed(
            &self.place,
            format!("announces {}, which is not in the file", info.describe()),
            "write the file again",
        ))
    }

    /// The array, its values mapped or unpacked.
    pub fn load(self, options: ReadOptions<'_>) -> Result<Array, InputError> {
        let info = self.info?;
        let (bytes, start) = match self.storage {
            Storage::Plain { bytes, start } => (bytes, start),
            Storage::Decoded(decoder) => decoder.decode(&self.place, &info, options)?,
            Storage::Joined(parts) => {
                let pieces = join::pieces(&parts);
                let bytes = join::load(&self.place, parts, options)?;
                return Ok(Array::new(self.place, info, bytes, 0)?.joined_from(pieces));
            }
        };
        Array::new(self.place, info, bytes, start)
    }
}

/// Lists the arrays of a file, or of every file in a folder (sorted so that `layer2` comes before `layer10`).
///
/// A folder that holds folders only is read one level down, as with one folder per module (the package thingsvision writes
/// such), and a zarr store is read as one file with several arrays. Hidden files are passed over; text (CSV, TSV) counts
/// only in a folder without other arrays, because labels and names lie beside these. Arrays of an `.npz` keep the archive's order. The `.safetensors` format does not
/// keep the order in which tensors were given, so they are sorted by name like files.
pub fn open(path: &Path) -> Result<Vec<Entry>, InputError> {
    let place = Place::file(path);
    let metadata = std::fs::metadata(path).map_err(|e| InputError::io(&place, e))?;
    if !metadata.is_dir() {
        return open_file(&place);
    }
    if is_zarr(path) {
        return open_zarr(&place);
    }
    let (files, folders) = list(path)?;
    if !files.is_empty() {
        return open_files(files);
    }
    let mut entries = Vec::new();
    for folder in folders {
        let (files, _) = list(&folder)?;
        let mut of_folder = open_files(files)?;
        let name = folder
            .file_name()
            .map(|n| n.to_string_lossy().into_owned())
            .unwrap_or_default();
        match of_folder.as_mut_slice() {
            [entry] => entry.name = name,
            several => {
                for entry in several {
                    entry.name = format!("{name}/{}", entry.name);
                }
            }
        }
        entries.append(&mut of_folder);
    }
    if entries.is_empty() {
        return Err(InputError::content(
            &place,
            format!(
                "neither the folder nor a folder in it holds a file of a known format; read are {FORMATS}"
            ),
            "give the folder with one file or one folder per layer, or a file",
        ));
    }
    Ok(entries)
}

/// The files that hold arrays (zarr stores count as such) and the folders in a folder, each in natural order.
fn list(folder: &Path) -> Result<(Vec<PathBuf>, Vec<PathBuf>), InputError> {
    let place = Place::file(folder);
    let (mut files, mut tables, mut folders) = (Vec::new(), Vec::new(), Vec::new());
    for item in std::fs::read_dir(folder).map_err(|e| InputError::io(&place, e))? {
        let item = item.map_err(|e| InputError::io(&place, e))?;
        // macOS leaves `._layer1.npy` beside `layer1.npy` on foreign disks; it holds no array.
        if item.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        let path = item.path();
        if path.is_dir() {
            if is_zarr(&path) {
                files.push(path);
            } else {
                folders.push(path);
            }
        } else if path.is_file() {
            let place = Place::file(&path);
            let bytes = Bytes::map(&path).map_err(|e| InputError::io(&place, e))?;
            let extension = extension(&path);
            if Format::by_magic(&bytes).is_some() || Format::by_ending(&extension).is_some() {
                files.push(path);
            } else if TEXT_ENDINGS.contains(&extension.as_str())
                && table::begins_with_numbers(&bytes)
            {
                tables.push(path);
            }
        } else if leads_nowhere(&path) && Format::by_ending(&extension(&path)).is_some() {
            // Said where it is opened.
            files.push(path);
        }
    }
    if files.is_empty() {
        files = tables;
    }
    for paths in [&mut files, &mut folders] {
        paths.sort_by(|a, b| natural_order(&a.to_string_lossy(), &b.to_string_lossy()));
    }
    Ok((files, folders))
}

/// Whether a folder is a zarr store, also where this build cannot read it.
fn is_zarr(folder: &Path) -> bool {
    [".zarray", ".zgroup", "zarr.json"]
        .iter()
        .any(|name| folder.join(name).is_file())
}

#[cfg(feature = "zarr")]
fn open_zarr(place: &Place) -> Result<Vec<Entry>, InputError> {
    zarr::open(place)
}

#[cfg(not(feature = "zarr"))]
fn open_zarr(place: &Place) -> Result<Vec<Entry>, InputError> {
    Err(left_out(place, "zarr", "zarr"))
}

/// A format that this build was made without.
#[cfg(not(all(feature = "hdf5", feature = "parquet", feature = "zarr")))]
fn left_out(place: &Place, format: &str, feature: &str) -> InputError {
    InputError::unsupported(
        place,
        format!("{format}, which this program was built without"),
        format!("build it with the feature `{feature}`, or save the array with numpy.save"),
    )
}

/// Lists the arrays of several files. One that cannot be read does not keep the others from being so.
fn open_files(files: Vec<PathBuf>) -> Result<Vec<Entry>, InputError> {
    let mut entries = Vec::new();
    let alone = files.len() == 1;
    for file in files {
        let stem = stem(&file);
        let place = Place::file(&file);
        let outcome = if file.is_dir() {
            open_zarr(&place)
        } else {
            open_file(&place)
        };
        let mut of_file = match outcome {
            Ok(of_file) => of_file,
            Err(error) if alone => return Err(error),
            Err(error) => vec![Entry::unreadable(stem.clone(), error, place)],
        };
        if of_file.len() > 1 {
            for entry in &mut of_file {
                entry.name = format!("{stem}/{}", entry.name);
            }
        } else if let [entry] = of_file.as_mut_slice() {
            entry.name = stem;
        }
        entries.append(&mut of_file);
    }
    Ok(entries)
}

/// Puts the names of files and folders in front of names that occur more than once, as many as it takes.
pub fn make_distinct(entries: &mut [Entry]) {
    let outer: Vec<Vec<String>> = entries.iter().map(|e| outer_names(&e.place)).collect();
    let most = outer.iter().map(Vec::len).max().unwrap_or(0);
    for depth in 0..most {
        let mut count: HashMap<String, usize> = HashMap::new();
        for entry in entries.iter() {
            *count.entry(entry.name.clone()).or_default() += 1;
        }
        if count.values().all(|&n| n == 1) {
            return;
        }
        for (entry, outer) in entries.iter_mut().zip(&outer) {
            if let (Some(2..), Some(outer)) = (count.get(&entry.name), outer.get(depth)) {
                entry.name = format!("{outer}/{}", entry.name);
            }
        }
    }
}

/// The file's stem where there is an array in it, then its folders, inner ones first.
fn outer_names(place: &Place) -> Vec<String> {
    let mut names = Vec::new();
    if place.array.is_some() {
        names.push(stem(&place.file));
    }
    let folders = place.file.parent().into_iter().flat_map(Path::components);
    names.extend(folders.rev().filter_map(|c| match c {
        Component::Normal(name) => Some(name.to_string_lossy().into_owned()),
        _ => None,
    }));
    names
}

/// Whether a path is a link to what is not there.
fn leads_nowhere(path: &Path) -> bool {
    path.is_symlink() && !path.exists()
}

fn dead_link(place: &Place) -> InputError {
    InputError::content(
        place,
        "a link to what is not there",
        "put it where the link leads, or remove the link",
    )
}

fn open_file(place: &Place) -> Result<Vec<Entry>, InputError> {
    if leads_nowhere(&place.file) {
        return Err(dead_link(place));
    }
    let bytes = Bytes::map(&place.file).map_err(|e| InputError::io(place, e))?;
    open_any(place, Arc::new(bytes))
}

/// Lists the arrays in bytes that are at hand, whatever their format.
pub fn open_any(place: &Place, bytes: Arc<Bytes>) -> Result<Vec<Entry>, InputError> {
    let format = Format::of(place, &bytes)?;
    open_bytes(place, format, bytes)
}

/// Takes in all that a stream gives, such as standard input: in memory up to 256 MiB, else in a temporary file (`TMPDIR`).
pub fn slurp(
    place: &Place,
    stream: &mut dyn Read,
    options: ReadOptions<'_>,
) -> Result<Arc<Bytes>, InputError> {
    let mut spool = Spool::default();
    let mut buffer = vec![0; 1 << 20];
    loop {
        if (options.interrupted)() {
            return Err(InputError::Interrupted {
                place: place.clone(),
            });
        }
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => spool
                .write_all(&buffer[..n])
                .map_err(|e| InputError::io(place, e))?,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(InputError::io(place, e)),
        }
    }
    let bytes = spool.finish().map_err(|e| InputError::io(place, e))?;
    Ok(Arc::new(bytes))
}

/// Lists the arrays in bytes of a known format.
pub fn open_bytes(
    place: &Place,
    format: Format,
    bytes: Arc<Bytes>,
) -> Result<Vec<Entry>, InputError> {
    if bytes.is_empty() {
        return Err(InputError::malformed(
            place,
            "the file is empty",
            "write it again: the program that wrote it may have been stopped",
        ));
    }
    let entries = match format {
        Format::Npy => {
            let (info, start) = npy::numbers(place, npy::parse_header(place, &bytes)?)?;
            vec![Entry {
                name: stem(&place.file),
                place: place.clone(),
                info: Ok(info),
                storage: Storage::Plain { bytes, start },
            }]
        }
        Format::Npz => npz::open(place, bytes)?,
        Format::Safetensors => safetensors::open(place, bytes)?,
        Format::Torch => torch::open(place, bytes)?,
        Format::Mat => mat::open(place, bytes)?,
        Format::Table => table::open(place, bytes)?,
        #[cfg(feature = "hdf5")]
        Format::Hdf5 => hdf5::open(place, bytes)?,
        #[cfg(feature = "parquet")]
        Format::Parquet => parquet::open(place, bytes)?,
        #[cfg(not(feature = "hdf5"))]
        Format::Hdf5 => return Err(left_out(place, "HDF5", "hdf5")),
        #[cfg(not(feature = "parquet"))]
        Format::Parquet => return Err(left_out(place, "Parquet", "parquet")),
    };
    if entries.is_empty() {
        return Err(InputError::content(
            place,
            "the file holds no array",
            "check the code that wrote it",
        ));
    }
    Ok(entries)
}

fn stem(path: &Path) -> String {
    path.file_stem()
        .map(|s| s.to_string_lossy().into_owned())
        .unwrap_or_default()
}

/// Order of names in which runs of digits count as numbers: `layer2` before `layer10`.
pub fn natural_order(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.as_bytes(), b.as_bytes());
    loop {
        match (a.first(), b.first()) {
            (Some(x), Some(y)) if x.is_ascii_digit() && y.is_ascii_digit() => {
                let (run_a, run_b) = (digits(&mut a), digits(&mut b));
                let order = run_a.len().cmp(&run_b.len()).then(run_a.cmp(run_b));
                if order.is_ne() {
                    return order;
                }
            }
            (Some(x), Some(y)) if x == y => {
                a = &a[1..];
                b = &b[1..];
            }
            (x, y) => return x.cmp(&y),
        }
    }
}

/// Takes the leading digits, without their leading zeros.
fn digits<'a>(text: &mut &'a [u8]) -> &'a [u8] {
    let len = text.iter().take_while(|b| b.is_ascii_digit()).count();
    let (mut run, rest) = text.split_at(len);
    *text = rest;
    while let [b'0', tail @ ..] = run
        && !tail.is_empty()
    {
        run = tail;
    }
    run
}
