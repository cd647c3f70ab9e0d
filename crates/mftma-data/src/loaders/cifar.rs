//! CIFAR-10 and CIFAR-100, binary version.
//!
//! A. Krizhevsky, *Learning multiple layers of features from tiny images*, technical report, University of Toronto
//! (2009). A file is a sequence of records without header: the label bytes (CIFAR-10: the label; CIFAR-100: coarse,
//! then fine), then 3 × 32 × 32 pixels, channel by channel and row by row.

use std::io::Read;
use std::path::Path;

use ndarray::Array4;

use super::{Loader, files};
use crate::{Dataset, Error, Result, Split};

const CHANNELS: usize = 3;
const SIDE: usize = 32;
const PIXELS: usize = CHANNELS * SIDE * SIDE;
/// Records read at a time: about 200 kB, which stays in a core's cache on the way to the final buffer.
const BLOCK: usize = 64;

/// Loader of CIFAR-10 or CIFAR-100.
#[derive(Debug, Clone)]
pub struct Cifar {
    variant: Variant,
    train_records: usize,
    test_records: usize,
}

/// Which of the two data sets a file belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variant {
    /// 10 classes, one label byte.
    Ten,
    /// 100 classes in 20 superclasses, two label bytes.
    Hundred,
}

impl Variant {
    const fn classes(self) -> usize {
        match self {
            Self::Ten => 10,
            Self::Hundred => 100,
        }
    }

    const fn coarse_classes(self) -> Option<usize> {
        match self {
            Self::Ten => None,
            Self::Hundred => Some(20),
        }
    }

    const fn label_bytes(self) -> usize {
        match self {
            Self::Ten => 1,
            Self::Hundred => 2,
        }
    }

    /// Bytes of one record: labels and pixels.
    pub const fn record_bytes(self) -> usize {
        self.label_bytes() + PIXELS
    }
}

impl Cifar {
    /// CIFAR-10: five training files and one test file of 10,000 records each, in `cifar-10-batches-bin`.
    pub fn ten() -> Self {
        Self {
            variant: Variant::Ten,
            train_records: 10_000,
            test_records: 10_000,
        }
    }

    /// CIFAR-100: 50,000 training and 10,000 test records in `cifar-100-binary`.
    pub fn hundred() -> Self {
        Self {
            variant: Variant::Hundred,
            train_records: 50_000,
            test_records: 10_000,
        }
    }

    /// Expects other numbers of records: in each training file, and in the test file.
    pub fn with_records(self, train: usize, test: usize) -> Self {
        Self {
            train_records: train,
            test_records: test,
            ..self
        }
    }

    fn read(&self, folder: &Path, names: &[&str], per_file: usize) -> Result<Split> {
        let mut sources = Vec::with_capacity(names.len());
        for name in names {
            let path = folder.join(name);
            let (file, length) = files::open(&path)?;
            check_length(length, &path, self.variant, per_file)?;
            sources.push((path, file));
        }
        // The lengths agree with what is on disk, so buffers of that size may now be made.
        let records = per_file * names.len();
        let mut buffers = Buffers::new(records);
        for (path, file) in sources {
            buffers.read(file, &path, self.variant, per_file)?;
        }
        buffers.into_split(self.variant)
    }
}

impl Loader for Cifar {
    fn name(&self) -> &str {
        match self.variant {
            Variant::Ten => "cifar10",
            Variant::Hundred => "cifar100",
        }
    }

    fn load(&self, data_dir: &Path) -> Result<Dataset> {
        let (folder, train, test): (_, &[&str], _) = match self.variant {
            Variant::Ten => (
                "cifar-10-batches-bin",
                &[
                    "data_batch_1.bin",
                    "data_batch_2.bin",
                    "data_batch_3.bin",
                    "data_batch_4.bin",
                    "data_batch_5.bin",
                ],
                "test_batch.bin",
            ),
            Variant::Hundred => ("cifar-100-binary", &["train.bin"], "test.bin"),
        };
        let folders = [data_dir.join(folder), data_dir.to_owned()];
        let found = files::find(self.name(), &folders, &train[..1])?;
        let folder = found.parent().unwrap_or(data_dir);
        let (class_names, coarse_names) = match self.variant {
            Variant::Ten => (
                files::names(&folder.join("batches.meta.txt"), 10)?,
                Vec::new(),
            ),
            Variant::Hundred => (
                files::names(&folder.join("fine_label_names.txt"), 100)?,
                files::names(&folder.join("coarse_label_names.txt"), 20)?,
            ),
        };
        let train = self.read(folder, train, self.train_records)?;
        let test = self.read(folder, &[test], self.test_records)?;
        Dataset::new(self.name(), class_names, coarse_names, train, test)
    }
}

/// Parses the content of one file of `records` records. `path` is named in errors.
///
/// # Errors
/// [`Error::Size`] where the length is not that of `records` records, [`Error::LabelOutOfRange`].
pub fn parse(bytes: &[u8], path: &Path, variant: Variant, records: usize) -> Result<Split> {
    check_length(bytes.len() as u64, path, variant, records)?;
    let mut buffers = Buffers::new(records);
    buffers.read(bytes, path, variant, records)?;
    buffers.into_split(variant)
}

fn check_length(length: u64, path: &Path, variant: Variant, records: usize) -> Result<()> {
    let expected = (records as u64).saturating_mul(variant.record_bytes() as u64);
    if length == expected {
        return Ok(());
    }
    Err(Error::Size {
        path: path.to_owned(),
        unit: "bytes".to_owned(),
        expected,
        actual: length,
    })
}

/// The arrays of one split while they are filled.
struct Buffers {
    pixels: Vec<u8>,
    fine: Vec<u16>,
    coarse: Vec<u16>,
}

impl Buffers {
    fn new(records: usize) -> Self {
        Self {
            pixels: vec![0; records * PIXELS],
            fine: Vec::with_capacity(records),
            coarse: Vec::new(),
        }
    }

    /// Reads `records` records to the places after those already read.
    fn read(
        &mut self,
        mut reader: impl Read,
        path: &Path,
        variant: Variant,
        records: usize,
    ) -> Result<()> {
        let first = self.fine.len();
        let mut block = vec![0u8; BLOCK * variant.record_bytes()];
        for part in self.pixels[first * PIXELS..][..records * PIXELS].chunks_mut(BLOCK * PIXELS) {
            let block = &mut block[..part.len() / PIXELS * variant.record_bytes()];
            reader.read_exact(block).map_err(Error::io(path))?;
            let sources = block.chunks_exact(variant.record_bytes());
            for (target, source) in part.chunks_exact_mut(PIXELS).zip(sources) {
                let (labels, pixels) = source.split_at(variant.label_bytes());
                target.copy_from_slice(pixels);
                let label = |kind, value: u8, classes| {
                    if usize::from(value) < classes {
                        return Ok(u16::from(value));
                    }
                    let record = self.fine.len() - first;
                    Err(Error::LabelOutOfRange {
                        path: path.to_owned(),
                        record,
                        kind,
                        value: value.into(),
                        classes,
                    })
                };
                // The fine label is the last of the label bytes in both variants.
                let fine = label("fine", labels[labels.len() - 1], variant.classes())?;
                if let Some(classes) = variant.coarse_classes() {
                    self.coarse.push(label("coarse", labels[0], classes)?);
                }
                self.fine.push(fine);
            }
        }
        Ok(())
    }

    fn into_split(self, variant: Variant) -> Result<Split> {
        let shape = (self.fine.len(), CHANNELS, SIDE, SIDE);
        let images = Array4::from_shape_vec(shape, self.pixels)
            .map_err(|error| Error::Inconsistent(format!("CIFAR images: {error}")))?;
        Split::new(
            images,
            self.fine,
            variant.coarse_classes().map(|_| self.coarse),
        )
    }
}
