//! Data sets and their splits.

use std::sync::{Arc, OnceLock};

use ndarray::{Array4, ArrayView3, Axis};

use crate::checksum::hash_labels;
use crate::{Checksum, Error, Result};

/// Images and labels of one split, in a fixed order. Copies share their images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    images: Arc<Array4<u8>>,
    labels: Vec<u16>,
    coarse_labels: Option<Vec<u16>>,
}

impl Split {
    /// Puts images (examples, channels, height, width) and their labels together.
    ///
    /// # Errors
    /// [`Error::Inconsistent`] where the numbers of images and labels differ.
    pub fn new(
        images: Array4<u8>,
        labels: Vec<u16>,
        coarse_labels: Option<Vec<u16>>,
    ) -> Result<Self> {
        let n = images.len_of(Axis(0));
        for (kind, count) in [
            ("labels", Some(labels.len())),
            ("coarse labels", coarse_labels.as_ref().map(Vec::len)),
        ] {
            if let Some(count) = count.filter(|&count| count != n) {
                return Err(Error::Inconsistent(format!(
                    "{n} images, but {count} {kind}"
                )));
            }
        }
        let images = if images.is_standard_layout() {
            images
        } else {
            images.as_standard_layout().into_owned()
        };
        Ok(Self {
            images: Arc::new(images),
            labels,
            coarse_labels,
        })
    }

    /// Number of examples.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no example.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// All images: (examples, channels, height, width), row-major and contiguous.
    pub fn images(&self) -> &Array4<u8> {
        &self.images
    }

    /// The pixels of all images in the order of [`images`](Self::images), as one slice.
    pub fn pixels(&self) -> &[u8] {
        // `new` brought the array into standard layout, so the slice is always there.
        self.images.as_slice().unwrap_or_default()
    }

    /// One image: (channels, height, width).
    ///
    /// # Panics
    /// Where `index` is not below [`len`](Self::len).
    pub fn image(&self, index: usize) -> ArrayView3<'_, u8> {
        self.images.index_axis(Axis(0), index)
    }

    /// Channels, height and width of every image.
    pub fn image_shape(&self) -> [usize; 3] {
        let (_, channels, height, width) = self.images.dim();
        [channels, height, width]
    }

    /// True (fine) labels, one for each image.
    pub fn labels(&self) -> &[u16] {
        &self.labels
    }

    /// Coarse labels, where the data set has them (CIFAR-100's 20 superclasses).
    pub fn coarse_labels(&self) -> Option<&[u16]> {
        self.coarse_labels.as_deref()
    }

    /// The examples at `indices`, in that order.
    ///
    /// # Panics
    /// Where an index is not below [`len`](Self::len).
    pub fn select(&self, indices: &[usize]) -> Self {
        Self {
            images: Arc::new(self.images.select(Axis(0), indices)),
            labels: indices.iter().map(|&i| self.labels[i]).collect(),
            coarse_labels: self
                .coarse_labels
                .as_ref()
                .map(|coarse| indices.iter().map(|&i| coarse[i]).collect()),
        }
    }

    pub(crate) fn into_images(self) -> Array4<u8> {
        Arc::unwrap_or_clone(self.images)
    }

    fn hash(&self, hasher: &mut blake3::Hasher) {
        for &extent in self.images.shape() {
            hasher.update(&(extent as u64).to_le_bytes());
        }
        // BLAKE3 is a tree hash: its value does not depend on how many threads worked on it.
        hasher.update_rayon(self.pixels());
        hash_labels(hasher, &self.labels);
        match &self.coarse_labels {
            None => {
                hasher.update(&[0]);
            }
            Some(coarse) => {
                hasher.update(&[1]);
                hash_labels(hasher, coarse);
            }
        }
    }
}

/// A data set: training and test split with the names of the classes.
#[derive(Debug, Clone)]
pub struct Dataset {
    name: String,
    class_names: Vec<String>,
    coarse_names: Vec<String>,
    train: Split,
    test: Split,
    checksum: OnceLock<Checksum>,
}

impl Dataset {
    /// Puts a data set together. `coarse_names` is empty where there are no coarse labels.
    ///
    /// # Errors
    /// [`Error::Inconsistent`] where the training split is empty, the image shapes of the splits differ, or a label
    /// has no class name.
    pub fn new(
        name: impl Into<String>,
        class_names: Vec<String>,
        coarse_names: Vec<String>,
        train: Split,
        test: Split,
    ) -> Result<Self> {
        let name = name.into();
        let wrong =
            |problem: String| Err(Error::Inconsistent(format!("data set {name}: {problem}")));
        if train.is_empty() {
            return wrong("the training split is empty".into());
        }
        if train.image_shape() != test.image_shape() {
            return wrong(format!(
                "training images have shape {:?}, test images {:?}",
                train.image_shape(),
                test.image_shape()
            ));
        }
        for (split_name, split) in [("training", &train), ("test", &test)] {
            let kinds = [
                ("label", Some(split.labels()), class_names.len()),
                ("coarse label", split.coarse_labels(), coarse_names.len()),
            ];
            for (kind, labels, classes) in kinds {
                let labels = labels.unwrap_or_default();
                if let Some(at) = labels
                    .iter()
                    .position(|&label| usize::from(label) >= classes)
                {
                    return wrong(format!(
                        "{split_name} example {at} has {kind} {}, but there are {classes} names for it",
                        labels[at]
                    ));
                }
            }
        }
        Ok(Self {
            name,
            class_names,
            coarse_names,
            train,
            test,
            checksum: OnceLock::new(),
        })
    }

    /// Name of the data set, as [`open`](crate::open) takes it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Number of (fine) classes.
    pub fn classes(&self) -> usize {
        self.class_names.len()
    }

    /// Names of the classes, in the order of the labels.
    pub fn class_names(&self) -> &[String] {
        &self.class_names
    }

    /// Names of the coarse classes; empty where there are none.
    pub fn coarse_names(&self) -> &[String] {
        &self.coarse_names
    }

    /// The training split.
    pub fn train(&self) -> &Split {
        &self.train
    }

    /// The test split.
    pub fn test(&self) -> &Split {
        &self.test
    }

    /// Channels, height and width of every image.
    pub fn image_shape(&self) -> [usize; 3] {
        self.train.image_shape()
    }

    /// Checksum of what is in the data set; computed on the first call, on rayon's current thread pool.
    ///
    /// BLAKE3 over the bytes `mftma-data/dataset/1`, then the training and the test split, each as: the four extents
    /// (examples, channels, height, width; 64-bit), all pixels in that order, the labels (16-bit), one byte 0 or 1,
    /// and where it is 1 the coarse labels (16-bit). Numbers are little-endian. Names do not enter.
    pub fn checksum(&self) -> Checksum {
        *self.checksum.get_or_init(|| {
            let mut hasher = blake3::Hasher::new();
            hasher.update(b"mftma-data/dataset/1");
            self.train.hash(&mut hasher);
            self.test.hash(&mut hasher);
            Checksum::finish(&hasher)
        })
    }
}
