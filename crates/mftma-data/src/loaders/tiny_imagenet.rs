//! Tiny ImageNet 200.
//!
//! Y. Le, X. Yang, *Tiny ImageNet visual recognition challenge*, Stanford CS 231N (2015): 64 × 64 pixel JPEGs of 200
//! of ImageNet's classes (O. Russakovsky et al., doi 10.1007/s11263-015-0816-y).

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::{Loader, files, images};
use crate::{Dataset, Error, Result, Split};

const SIDE: u32 = 64;
const FOLDER: &str = "tiny-imagenet-200";

/// Loader of Tiny ImageNet, whole or in part.
///
/// `wnids.txt` decides which classes are read and in which order they are numbered, so a folder with some of the 200
/// classes is read like the whole. Training images are those of `train/<wnid>/images`, ordered by name; the test split
/// is the data set's validation part, in the order of `val/val_annotations.txt` (its own `test` folder has no labels).
/// Annotations of classes that `wnids.txt` does not list are passed over. Grey JPEGs get three equal channels.
#[derive(Debug, Clone, Copy, Default)]
pub struct TinyImageNet;

impl Loader for TinyImageNet {
    fn name(&self) -> &str {
        FOLDER
    }

    fn load(&self, data_dir: &Path) -> Result<Dataset> {
        let folders = [data_dir.join(FOLDER), data_dir.to_owned()];
        let wnids_path = files::find(FOLDER, &folders, &["wnids.txt"])?;
        let folder = wnids_path.parent().unwrap_or(data_dir);
        let wnids = parse_wnids(&files::text(&wnids_path)?, &wnids_path)?;
        let words_path = folder.join("words.txt");
        let class_names = parse_words(&files::text(&words_path)?, &wnids);

        let mut train = (Vec::new(), Vec::new());
        for (label, wnid) in wnids.iter().enumerate() {
            let images = folder.join("train").join(wnid).join("images");
            let paths = images_in(&images)?;
            train.1.resize(train.1.len() + paths.len(), label as u16);
            train.0.extend(paths);
        }
        let annotations = folder.join("val").join("val_annotations.txt");
        let listed = parse_annotations(&files::text(&annotations)?, &annotations, &wnids)?;
        let images = folder.join("val").join("images");
        let test = listed
            .into_iter()
            .map(|(file, label)| (images.join(file), label))
            .unzip();

        let split = |(paths, labels): (Vec<PathBuf>, Vec<u16>)| {
            Split::new(
                images::decode(&paths, 3, (SIDE, SIDE), false)?,
                labels,
                None,
            )
        };
        Dataset::new(FOLDER, class_names, Vec::new(), split(train)?, split(test)?)
    }
}

/// The JPEGs of a folder, ordered by name.
fn images_in(folder: &Path) -> Result<Vec<PathBuf>> {
    let paths = files::list(folder, |path| files::has_extension(path, &["jpeg", "jpg"]))?;
    if paths.is_empty() {
        return Err(Error::format(
            folder,
            "holds no JPEG",
            "fetch the data set again, or take the class out of wnids.txt",
        ));
    }
    Ok(paths)
}

/// Whether `text` has the form of a WordNet identifier: `n` and eight digits.
fn is_wnid(text: &str) -> bool {
    text.len() == 9 && text.starts_with('n') && text[1..].bytes().all(|byte| byte.is_ascii_digit())
}

/// The classes that `wnids.txt` lists, one WordNet identifier a line.
///
/// # Errors
/// [`Error::Format`] where a line is none, one is listed twice, there is none or there are more than 65,536.
pub fn parse_wnids(text: &str, path: &Path) -> Result<Vec<String>> {
    let mut seen = std::collections::HashSet::new();
    let mut wnids = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() {
            continue;
        }
        let problem = if !is_wnid(line) {
            "is no WordNet identifier (n and eight digits)"
        } else if !seen.insert(line) {
            "is listed twice"
        } else {
            wnids.push(line.to_owned());
            continue;
        };
        return Err(Error::format(
            path,
            format!("line {}: {} {problem}", number + 1, files::quoted(line)),
            "correct the line",
        ));
    }
    if wnids.is_empty() || wnids.len() > 1 << 16 {
        return Err(Error::format(
            path,
            format!("lists {} classes", wnids.len()),
            "list 1 to 65536",
        ));
    }
    Ok(wnids)
}

/// The names that `words.txt` (identifier, tab, names) gives to `wnids`; a class without a line keeps its identifier.
pub fn parse_words(text: &str, wnids: &[String]) -> Vec<String> {
    let words: HashMap<&str, &str> = text
        .lines()
        .filter_map(|line| line.split_once('\t'))
        .collect();
    wnids
        .iter()
        .map(|wnid| {
            words
                .get(wnid.as_str())
                .map_or(wnid.clone(), |name| name.trim().to_owned())
        })
        .collect()
}

/// File names and labels of `val_annotations.txt`: file, identifier and box, separated by tabs.
///
/// # Errors
/// [`Error::Format`] where a line has no identifier in its place or its file is not a plain name.
pub fn parse_annotations(text: &str, path: &Path, wnids: &[String]) -> Result<Vec<(String, u16)>> {
    let labels: HashMap<&str, u16> = wnids
        .iter()
        .enumerate()
        .map(|(label, wnid)| (wnid.as_str(), label as u16))
        .collect();
    let mut listed = Vec::new();
    for (number, line) in text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
    {
        let mut fields = line.split('\t').map(str::trim);
        let (file, wnid) = (
            fields.next().unwrap_or_default(),
            fields.next().unwrap_or_default(),
        );
        let plain =
            !file.is_empty() && file != "." && file != ".." && !file.contains(['/', '\\', '\0']);
        if !plain || !is_wnid(wnid) {
            return Err(Error::format(
                path,
                format!(
                    "line {}: expected a file name and a WordNet identifier, found {} and {}",
                    number + 1,
                    files::quoted(file),
                    files::quoted(wnid)
                ),
                "fetch it again",
            ));
        }
        if let Some(&label) = labels.get(wnid) {
            listed.push((file.to_owned(), label));
        }
    }
    Ok(listed)
}
