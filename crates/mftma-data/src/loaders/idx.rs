//! IDX files: MNIST, Fashion-MNIST, EMNIST, gzipped or not.
//!
//! Y. LeCun, C. Cortes, C. J. C. Burges, *The MNIST database of handwritten digits*; H. Xiao, K. Rasul, R. Vollgraf
//! (2017), arXiv 1708.07747; G. Cohen, S. Afshar, J. Tapson, A. van Schaik (2017), doi 10.1109/IJCNN.2017.7966217.
//! A file is two zero bytes, the type of the elements (8: unsigned bytes), the number of dimensions, each extent as a
//! big-endian 32-bit number, and the elements, the last index running fastest.

use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use ndarray::{Array3, Array4, Axis};

use super::{Loader, files};
use crate::{Dataset, Error, Result, Split};

/// Where Debian's package `dataset-fashion-mnist` puts its files.
const DEBIAN_FASHION_MNIST: &str = "/usr/share/datasets/fashion-mnist";
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
const REMEDY: &str = "it is damaged or no IDX file of bytes: fetch it again";

/// Loader of a data set in four IDX files.
#[derive(Debug, Clone)]
pub struct Idx {
    name: String,
    /// Folders below the data folder.
    folders: Vec<PathBuf>,
    /// What precedes `train-images` in the names of the files.
    prefix: String,
    test_name: &'static str,
    class_names: Vec<String>,
    /// The label of the first class in the files.
    first_label: u8,
    /// Whether images are stored with rows and columns exchanged.
    transposed: bool,
}

impl Idx {
    /// MNIST: 10 digits, in `mnist` or `MNIST/raw`.
    pub fn mnist() -> Self {
        Self::new("mnist", &["mnist", "MNIST/raw"], characters("0123456789"))
    }

    /// Fashion-MNIST: 10 kinds of clothing, in `fashion-mnist` or `FashionMNIST/raw`, else where Debian's package
    /// `dataset-fashion-mnist` puts it.
    pub fn fashion_mnist() -> Self {
        let names = [
            "T-shirt/top",
            "Trouser",
            "Pullover",
            "Dress",
            "Coat",
            "Sandal",
            "Shirt",
            "Sneaker",
            "Bag",
            "Ankle boot",
        ];
        let mut loader = Self::new(
            "fashion-mnist",
            &["fashion-mnist", "FashionMNIST/raw"],
            names.map(String::from).to_vec(),
        );
        // Joined to the data folder, an absolute path replaces it.
        loader.folders.push(DEBIAN_FASHION_MNIST.into());
        loader
    }

    /// EMNIST, all six ways of splitting it, in `emnist`, `gzip` or `EMNIST/raw`. Its images are stored with rows and
    /// columns exchanged; they are turned upright here. Labels of *letters* are counted from 0, not 1.
    pub fn emnist() -> Vec<Self> {
        let upper = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
        let digits = "0123456789";
        // Letters whose two cases look alike are one class.
        let merged = format!("{digits}{upper}abdefghnqrt");
        [
            ("balanced", characters(&merged), 0),
            ("bymerge", characters(&merged), 0),
            (
                "byclass",
                characters(&format!("{digits}{upper}{}", upper.to_lowercase())),
                0,
            ),
            ("letters", characters(upper), 1),
            ("digits", characters(digits), 0),
            ("mnist", characters(digits), 0),
        ]
        .into_iter()
        .map(|(part, class_names, first_label)| Self {
            prefix: format!("emnist-{part}-"),
            test_name: "test",
            first_label,
            transposed: true,
            ..Self::new(
                &format!("emnist-{part}"),
                &["emnist", "gzip", "EMNIST/raw"],
                class_names,
            )
        })
        .collect()
    }

    fn new(name: &str, folders: &[&str], class_names: Vec<String>) -> Self {
        Self {
            name: name.to_owned(),
            folders: folders.iter().map(PathBuf::from).collect(),
            prefix: String::new(),
            test_name: "t10k",
            class_names,
            first_label: 0,
            transposed: false,
        }
    }

    fn split(&self, data_dir: &Path, part: &str) -> Result<Split> {
        let folders: Vec<PathBuf> = self
            .folders
            .iter()
            .map(|folder| data_dir.join(folder))
            .chain([data_dir.to_owned()])
            .collect();
        let locate = |content: &str, dimensions: usize| {
            let stem = format!("{}{part}-{content}", self.prefix);
            let names = ["-", "."].map(|dot| format!("{stem}{dot}idx{dimensions}-ubyte"));
            let names: Vec<String> = names
                .iter()
                .flat_map(|name| [name.clone(), format!("{name}.gz")])
                .collect();
            files::find(
                &self.name,
                &folders,
                &names.iter().map(String::as_str).collect::<Vec<_>>(),
            )
        };
        let (image_path, label_path) = (locate("images", 3)?, locate("labels", 1)?);
        let (file, length) = files::open(&image_path)?;
        let images = images(BufReader::new(file), length, &image_path)?;
        let (file, length) = files::open(&label_path)?;
        let labels = labels(
            BufReader::new(file),
            length,
            &label_path,
            self.first_label,
            self.class_names.len(),
        )?;
        pair(images, labels, &label_path, self.transposed)
    }
}

impl Loader for Idx {
    fn name(&self) -> &str {
        &self.name
    }

    fn load(&self, data_dir: &Path) -> Result<Dataset> {
        let train = self.split(data_dir, "train")?;
        let test = self.split(data_dir, self.test_name)?;
        Dataset::new(
            &self.name,
            self.class_names.clone(),
            Vec::new(),
            train,
            test,
        )
    }
}

fn characters(text: &str) -> Vec<String> {
    text.chars().map(String::from).collect()
}

/// Images and labels of one split out of the content of two files, each gzipped or not. The paths are named in
/// errors.
///
/// # Errors
/// [`Error::Format`] and [`Error::Size`] where a header is wrong, a file is shorter or longer than its header says, or
/// the files disagree; [`Error::LabelOutOfRange`].
pub fn parse(
    image_file: (&[u8], &Path),
    label_file: (&[u8], &Path),
    classes: usize,
) -> Result<Split> {
    let images = images(image_file.0, image_file.0.len() as u64, image_file.1)?;
    let labels = labels(
        label_file.0,
        label_file.0.len() as u64,
        label_file.1,
        0,
        classes,
    )?;
    pair(images, labels, label_file.1, false)
}

fn pair(
    images: Array3<u8>,
    labels: Vec<u16>,
    label_path: &Path,
    transposed: bool,
) -> Result<Split> {
    let n = images.len_of(Axis(0));
    if labels.len() != n {
        return Err(Error::Size {
            path: label_path.to_owned(),
            unit: "labels, one for each image".to_owned(),
            expected: n as u64,
            actual: labels.len() as u64,
        });
    }
    let mut images: Array4<u8> = images.insert_axis(Axis(1));
    if transposed {
        images.swap_axes(2, 3);
    }
    Split::new(images, labels, None)
}

fn images(reader: impl Read, stored: u64, path: &Path) -> Result<Array3<u8>> {
    let ([n, height, width], bytes) = elements(reader, stored, path)?;
    Array3::from_shape_vec((n, height, width), bytes)
        .map_err(|error| Error::format(path, format!("images: {error}"), REMEDY))
}

fn labels(
    reader: impl Read,
    stored: u64,
    path: &Path,
    first: u8,
    classes: usize,
) -> Result<Vec<u16>> {
    let ([_], bytes) = elements(reader, stored, path)?;
    let label = |(record, &value): (usize, &u8)| {
        let label = value
            .checked_sub(first)
            .filter(|&label| usize::from(label) < classes);
        label.map(u16::from).ok_or_else(|| Error::LabelOutOfRange {
            path: path.to_owned(),
            record,
            kind: "fine",
            value: value.into(),
            classes,
        })
    };
    bytes.iter().enumerate().map(label).collect()
}

/// The extents and elements of an IDX file of bytes with `D` dimensions; `stored` is its size on disk.
fn elements<const D: usize>(
    mut reader: impl Read,
    stored: u64,
    path: &Path,
) -> Result<([usize; D], Vec<u8>)> {
    let mut magic = [0u8; 2];
    read_header(&mut reader, &mut magic, path)?;
    let reader = magic.as_slice().chain(reader);
    if magic == GZIP_MAGIC {
        // What unpacks to more than any image data does is refused before it is unpacked.
        unpacked(
            MultiGzDecoder::new(BufReader::new(reader)),
            files::unpacked_limit(stored),
            stored,
            path,
        )
    } else {
        unpacked(reader, stored, stored, path)
    }
}

/// Like [`elements`], of the unpacked content. `limit` bounds what the header may ask for.
fn unpacked<const D: usize>(
    mut reader: impl Read,
    limit: u64,
    stored: u64,
    path: &Path,
) -> Result<([usize; D], Vec<u8>)> {
    let mut magic = [0u8; 4];
    read_header(&mut reader, &mut magic, path)?;
    let expected = [0, 0, 8, D as u8];
    if magic != expected {
        return Err(Error::format(
            path,
            format!("starts with bytes {magic:?}, expected {expected:?}"),
            REMEDY,
        ));
    }
    let mut extents = [0usize; D];
    let mut count = 1u64;
    for extent in &mut extents {
        let mut word = [0u8; 4];
        read_header(&mut reader, &mut word, path)?;
        let word = u32::from_be_bytes(word);
        count = count.saturating_mul(word.into());
        *extent = word as usize;
    }
    if count == 0 {
        return Err(Error::format(
            path,
            format!("its header declares extents {extents:?}: no content"),
            REMEDY,
        ));
    }
    let size = |unit: &str, actual| Error::Size {
        path: path.to_owned(),
        unit: unit.to_owned(),
        expected: count,
        actual,
    };
    if count > limit {
        return Err(size(
            &format!("bytes after the header, which {stored} bytes on disk cannot hold"),
            limit,
        ));
    }
    // Not compressed, the header is now known to ask for no more than is there; compressed, the buffer grows with what
    // is unpacked.
    let mut bytes = Vec::with_capacity(count.min(stored.saturating_mul(8)) as usize);
    (&mut reader)
        .take(count)
        .read_to_end(&mut bytes)
        .map_err(Error::io(path))?;
    if bytes.len() as u64 != count {
        return Err(size("bytes after the header", bytes.len() as u64));
    }
    // Reading on to the end also has gzip's own checksum verified.
    if reader.read(&mut [0]).map_err(Error::io(path))? != 0 {
        return Err(Error::format(
            path,
            format!("goes on after the {count} bytes that its header declares"),
            REMEDY,
        ));
    }
    Ok((extents, bytes))
}

fn read_header(reader: &mut impl Read, buffer: &mut [u8], path: &Path) -> Result<()> {
    reader
        .read_exact(buffer)
        .map_err(|error| match error.kind() {
            std::io::ErrorKind::UnexpectedEof => {
                Error::format(path, "ends within its header", REMEDY)
            }
            _ => Error::io(path)(error),
        })
}
