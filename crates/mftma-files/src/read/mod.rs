//! Activations and labels from files.
//!
//! [`open`] lists the arrays of a file or folder without reading their values; [`Entry::load`] then gives one array,
//! mapped into memory where the file stores it plainly. Every length that a file declares is checked against the bytes
//! that are there before anything is allocated for it.

pub mod exercise;
mod join;
pub mod labels;
pub mod npy;
pub mod npz;
pub mod safetensors;

pub use join::{join_numbered, one_array_per_class};

use std::cmp::Ordering;
use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use crate::array::{Array, ArrayInfo};
use crate::bytes::Bytes;
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
}

impl Format {
    /// By the file's ending, or an error that says what to save instead.
    pub fn of(place: &Place) -> Result<Self, InputError> {
        let extension = place
            .file
            .extension()
            .and_then(|e| e.to_str())
            .unwrap_or("")
            .to_ascii_lowercase();
        match extension.as_str() {
            "npy" => Ok(Self::Npy),
            "npz" => Ok(Self::Npz),
            "safetensors" => Ok(Self::Safetensors),
            "pt" | "pth" | "pkl" | "pickle" | "bin" => Err(InputError::unsupported(
                place,
                "PyTorch and pickle files run code when loaded, so they are not read",
                "safetensors.torch.save_file({'conv1': x, ...}, 'acts.safetensors') or \
                 numpy.save('acts.npy', x.numpy())",
            )),
            other => Err(InputError::unsupported(
                place,
                "the file's ending is none of .npy, .npz, .safetensors",
                match other {
                    "csv" => "numpy.save('acts.npy', numpy.loadtxt('acts.csv', delimiter=','))",
                    "tsv" | "txt" => "numpy.save('acts.npy', numpy.loadtxt('acts.tsv'))",
                    "h5" | "hdf5" => "numpy.save('acts.npy', h5py.File('acts.h5')['NAME'][()])",
                    "mat" => {
                        "numpy.save('acts.npy', scipy.io.loadmat('acts.mat')['NAME']), or for version 7.3 \
                         numpy.save('acts.npy', h5py.File('acts.mat')['NAME'][()].T)"
                    }
                    "parquet" => {
                        "numpy.save('acts.npy', pandas.read_parquet('acts.parquet').to_numpy())"
                    }
                    _ => {
                        "save the array with numpy.save or safetensors; a file of these under another name: rename it"
                    }
                },
            )),
        }
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
    /// A compressed member of a zip archive.
    Packed(npz::Packed),
    /// Arrays whose values follow each other.
    Joined(Vec<Entry>),
}

impl Entry {
    /// Whether values are compressed, so that they must be unpacked before use.
    pub fn is_compressed(&self) -> bool {
        matches!(self.storage, Storage::Packed(_))
    }

    /// The array, its values mapped or unpacked.
    pub fn load(self, options: ReadOptions<'_>) -> Result<Array, InputError> {
        let info = self.info?;
        let (bytes, start) = match self.storage {
            Storage::Plain { bytes, start } => (bytes, start),
            Storage::Packed(packed) => packed.unpack(&self.place, &info, options)?,
            Storage::Joined(parts) => (join::load(&self.place, parts, options)?, 0),
        };
        Array::new(self.place, info, bytes, start)
    }
}

/// Lists the arrays of a file, or of every file in a folder (sorted so that `layer2` comes before `layer10`).
///
/// A folder that holds folders only is read one level down, as with one folder per module (the package thingsvision writes
/// such). Hidden files are passed over. Arrays of an `.npz` keep the archive's order. The `.safetensors` format does not
/// keep the order in which tensors were given, so they are sorted by name like files.
pub fn open(path: &Path) -> Result<Vec<Entry>, InputError> {
    let place = Place::file(path);
    let metadata = std::fs::metadata(path).map_err(|e| InputError::io(&place, e))?;
    if !metadata.is_dir() {
        return open_file(&place);
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
            "neither the folder nor a folder in it holds an .npy, .npz or .safetensors file",
            "give the folder with one file or one folder per layer, or a file",
        ));
    }
    Ok(entries)
}

/// The files that hold arrays and the folders in a folder, each in natural order.
fn list(folder: &Path) -> Result<(Vec<PathBuf>, Vec<PathBuf>), InputError> {
    let place = Place::file(folder);
    let (mut files, mut folders) = (Vec::new(), Vec::new());
    for item in std::fs::read_dir(folder).map_err(|e| InputError::io(&place, e))? {
        let item = item.map_err(|e| InputError::io(&place, e))?;
        // macOS leaves `._layer1.npy` beside `layer1.npy` on foreign disks; it holds no array.
        if item.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        let path = item.path();
        if path.is_dir() {
            folders.push(path);
        } else if path.is_file() && Format::of(&Place::file(&path)).is_ok() {
            files.push(path);
        }
    }
    for paths in [&mut files, &mut folders] {
        paths.sort_by(|a, b| natural_order(&a.to_string_lossy(), &b.to_string_lossy()));
    }
    Ok((files, folders))
}

fn open_files(files: Vec<PathBuf>) -> Result<Vec<Entry>, InputError> {
    let mut entries = Vec::new();
    for file in files {
        let stem = stem(&file);
        let mut of_file = open_file(&Place::file(&file))?;
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

fn open_file(place: &Place) -> Result<Vec<Entry>, InputError> {
    let format = Format::of(place)?;
    let bytes = Bytes::map(&place.file).map_err(|e| InputError::io(place, e))?;
    open_bytes(place, format, Arc::new(bytes))
}

/// Lists the arrays in bytes that are at hand.
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
