//! Any folder of images sorted by class.

use std::path::{Path, PathBuf};

use rand::seq::SliceRandom;

use super::{Loader, files, images};
use crate::{Dataset, Error, Result, Split, stream};

const EXTENSIONS: [&str; 6] = ["jpg", "jpeg", "png", "bmp", "gif", "webp"];

/// Loader of a folder that holds one folder of images for each class.
///
/// - With a folder `train`, classes are its folders, and those of `test` (or `val`) hold the test split.
/// - Without, classes are the folder's own folders, and [`test_fraction`](Self::test_fraction) of the images of each
///   are held out.
///
/// Classes and images are ordered by name. Files whose names do not end in one of jpg, jpeg, png, bmp, gif, webp, and
/// names that start with a dot, are passed over. Images have one channel where all are grey, else three.
#[derive(Debug, Clone)]
pub struct ClassFolders {
    /// Name of the data set.
    pub name: String,
    /// The folder, below the data folder or absolute.
    pub folder: PathBuf,
    /// Height and width to which all images are scaled (triangle filter). `None`: images must agree in size.
    pub resize: Option<(u32, u32)>,
    /// Share of each class's images, rounded to the nearest number, that is held out where there is no `train` folder.
    /// Default 0.2 \[D\].
    pub test_fraction: f64,
    /// Seed of the choice of images held out.
    pub seed: u64,
}

impl ClassFolders {
    /// The folder `folder`, with default settings. The data set is called `folder:` and this path.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        let folder = folder.into();
        Self {
            name: format!("folder:{}", folder.display()),
            folder,
            resize: None,
            test_fraction: 0.2,
            seed: 0,
        }
    }
}

/// Image files with their labels.
type Listed = Vec<(PathBuf, u16)>;

impl Loader for ClassFolders {
    fn name(&self) -> &str {
        &self.name
    }

    fn load(&self, data_dir: &Path) -> Result<Dataset> {
        let folder = data_dir.join(&self.folder);
        if !folder.is_dir() {
            return Err(Error::Missing {
                set: self.name.clone(),
                wanted: "one folder of images for each class".to_owned(),
                looked_in: folder.display().to_string(),
            });
        }
        let train_folder = folder.join("train");
        let (classes, train, test) = if train_folder.is_dir() {
            let classes = classes_in(&train_folder)?;
            let train = list(&train_folder, &classes)?;
            let test_folder =
                files::find(&self.name, std::slice::from_ref(&folder), &["test", "val"])?;
            if let Some(unknown) = classes_in(&test_folder)?
                .into_iter()
                .find(|class| !classes.contains(class))
            {
                return Err(Error::format(
                    &test_folder.join(&unknown),
                    "is a class without training images",
                    "add it to the train folder, or take it out",
                ));
            }
            let test = list(&test_folder, &classes)?;
            (classes, train, test)
        } else {
            let classes = classes_in(&folder)?;
            let (train, test) = self.hold_out(list(&folder, &classes)?, classes.len())?;
            (classes, train, test)
        };
        let all: Vec<&PathBuf> = train.iter().chain(&test).map(|(path, _)| path).collect();
        let Some(first) = all.first() else {
            return Err(Error::format(
                &folder,
                format!(
                    "holds no image (file names ending in {})",
                    EXTENSIONS.join(", ")
                ),
                "put the images into one folder for each class",
            ));
        };
        let headers = images::headers(&all)?;
        let channels = if headers.iter().all(|header| header.grey) {
            1
        } else {
            3
        };
        let size = self.resize.unwrap_or((headers[0].height, headers[0].width));
        let stored: u64 = headers.iter().map(|header| header.stored).sum();
        let wanted = (u64::from(size.0) * u64::from(size.1))
            .saturating_mul(channels)
            .saturating_mul(all.len() as u64);
        if self.resize.is_none() && wanted > files::unpacked_limit(stored) {
            return Err(Error::format(
                first,
                format!(
                    "declares {} × {} pixels; {} such images would take {wanted} bytes, which {stored} bytes on disk \
                     cannot hold",
                    size.1,
                    size.0,
                    all.len()
                ),
                "replace the file, or have the images resized",
            ));
        }
        let split = |listed: Listed| {
            let (paths, labels): (Vec<PathBuf>, Vec<u16>) = listed.into_iter().unzip();
            let images = images::decode(&paths, channels as usize, size, self.resize.is_some())?;
            Split::new(images, labels, None)
        };
        Dataset::new(&self.name, classes, Vec::new(), split(train)?, split(test)?)
    }
}

impl ClassFolders {
    fn hold_out(&self, listed: Listed, classes: usize) -> Result<(Listed, Listed)> {
        if !(0.0..1.0).contains(&self.test_fraction) {
            return Err(Error::argument(
                "test fraction",
                self.test_fraction,
                "at least 0 and below 1",
            ));
        }
        let mut held_out = vec![false; listed.len()];
        for class in 0..classes {
            let mut members: Vec<usize> = (0..listed.len())
                .filter(|&i| usize::from(listed[i].1) == class)
                .collect();
            members.shuffle(&mut stream(
                self.seed,
                &format!("held-out images of class {class}"),
            ));
            let count = (members.len() as f64 * self.test_fraction).round() as usize;
            members[..count].iter().for_each(|&i| held_out[i] = true);
        }
        let mut flags = held_out.into_iter();
        let (test, train) = listed
            .into_iter()
            .partition(|_| flags.next().unwrap_or_default());
        Ok((train, test))
    }
}

fn classes_in(folder: &Path) -> Result<Vec<String>> {
    let folders = files::list(folder, Path::is_dir)?;
    if folders.len() > 1 << 16 {
        return Err(Error::format(
            folder,
            format!("holds {} classes", folders.len()),
            "keep at most 65536",
        ));
    }
    let name = |path: &PathBuf| {
        path.file_name()
            .map(|name| name.to_string_lossy().into_owned())
    };
    Ok(folders.iter().filter_map(name).collect())
}

fn list(folder: &Path, classes: &[String]) -> Result<Listed> {
    let mut listed = Vec::new();
    for (label, class) in classes.iter().enumerate() {
        let class_folder = folder.join(class);
        if class_folder.is_dir() {
            let images = files::list(&class_folder, |path| {
                files::has_extension(path, &EXTENSIONS)
            })?;
            listed.extend(images.into_iter().map(|path| (path, label as u16)));
        }
    }
    Ok(listed)
}
