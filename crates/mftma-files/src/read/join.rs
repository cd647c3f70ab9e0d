//! Several arrays as one layer: numbered pieces, and one array per class.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::labels::Labels;
use super::{Entry, ReadOptions, Storage, natural_order, stem};
use crate::array::ArrayInfo;
use crate::bytes::{Bytes, Spool};
use crate::error::{InputError, Place};

/// The entries in groups, those of one layer together: keys in their order, and for each its entries.
fn groups(entries: &[Entry], n_points: Option<usize>) -> (Vec<Key>, BTreeMap<Key, Vec<usize>>) {
    let mut groups: BTreeMap<Key, Vec<usize>> = BTreeMap::new();
    let mut order: Vec<Key> = Vec::new();
    for (i, entry) in entries.iter().enumerate() {
        let key = Key::of(entry, i, n_points);
        let group = groups.entry(key.clone()).or_default();
        if group.is_empty() {
            order.push(key);
        }
        group.push(i);
    }
    (order, groups)
}

/// The points of the layer that a group makes; `None` where its entries do not fit together.
fn points_of(entries: &[Entry], group: &[usize]) -> Option<usize> {
    let infos: Option<Vec<&ArrayInfo>> = group
        .iter()
        .map(|&i| entries[i].info.as_ref().ok())
        .collect();
    Some(joined_info(&infos?)?.shape[0])
}

/// Whether [`join_numbered`] gives layers of `n_points` points.
pub fn joins(entries: &[Entry], n_points: usize) -> bool {
    let (order, groups) = groups(entries, Some(n_points));
    let fits = |group: &Vec<usize>| points_of(entries, group) == Some(n_points);
    order.len() < entries.len() && groups.values().all(fits)
}

/// The number of points that numbered pieces make of every layer; `None` where nothing is numbered, or the layers then differ.
pub fn pieces_total(entries: &[Entry]) -> Option<usize> {
    let (order, groups) = groups(entries, None);
    let mut totals = groups.values().map(|group| points_of(entries, group));
    let total = totals.next()??;
    (order.len() < entries.len() && totals.all(|other| other == Some(total))).then_some(total)
}

/// Whether names alone say that numbered entries are pieces: words for pieces, and leading zeros (`features_01`, as thingsvision
/// writes), which names of modules have not.
pub fn named_as_pieces(entries: &[Entry]) -> bool {
    let padded = |entry: &Entry| {
        let stem = entry.name.trim_end_matches(|c: char| c.is_ascii_digit());
        let digits = &entry.name[stem.len()..];
        digits.len() > 1 && digits.starts_with('0')
    };
    may_be_pieces(entries) && entries.iter().any(padded)
}

/// Whether all entries are numbered and bear words for pieces, where layers mostly have names of their own.
pub fn may_be_pieces(entries: &[Entry]) -> bool {
    const WORDS: [&str; 10] = [
        "features",
        "feature",
        "activations",
        "acts",
        "embeddings",
        "chunk",
        "part",
        "batch",
        "shard",
        "piece",
    ];
    let generic = |entry: &Entry| {
        let base = numbered(&entry.name)?;
        let word = base.rsplit('/').next().unwrap_or(base).to_ascii_lowercase();
        Some(WORDS.contains(&word.as_str()))
    };
    !entries.is_empty() && entries.iter().all(|entry| generic(entry) == Some(true))
}

/// A name without the number at its end; `None` where there is none, or nothing else.
fn numbered(name: &str) -> Option<&str> {
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
    let base = stem.trim_end_matches(['_', '-', '.', ' ']);
    (stem.len() < name.len() && !base.is_empty()).then_some(base)
}

/// Joins numbered pieces of layers (`features_01`, `features_02`, ...) where their points add up to `n_points`.
///
/// Pieces lie in one folder or file, differ in their number only, and have the same number type and length of further
/// axes. Gives the entries back as they were unless every layer then has `n_points` points.
pub fn join_numbered(entries: Vec<Entry>, n_points: usize) -> Result<Vec<Entry>, Vec<Entry>> {
    if !joins(&entries, n_points) {
        return Err(entries);
    }
    let (order, groups) = groups(&entries, Some(n_points));
    let mut entries: Vec<Option<Entry>> = entries.into_iter().map(Some).collect();
    let joined = order.into_iter().filter_map(|key| {
        let mut parts: Vec<Entry> = groups[&key]
            .iter()
            .filter_map(|&i| entries[i].take())
            .collect();
        if parts.len() == 1 {
            return parts.pop();
        }
        parts.sort_by(|a, b| natural_order(&a.name, &b.name));
        let info = {
            let infos: Vec<&ArrayInfo> =
                parts.iter().filter_map(|e| e.info.as_ref().ok()).collect();
            joined_info(&infos)?
        };
        let place = parts[0].place.clone();
        Some(Entry {
            name: key.name,
            place,
            info: Ok(info),
            storage: Storage::Joined(parts),
        })
    });
    Ok(joined.collect())
}

/// What the pieces of one layer have in common. A layer that is whole has a key of its own.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    folder: Option<PathBuf>,
    name: String,
    whole: Option<usize>,
}

impl Key {
    fn of(entry: &Entry, at: usize, n_points: Option<usize>) -> Self {
        let points = entry
            .info
            .as_ref()
            .ok()
            .and_then(|i| i.shape.first().copied());
        let whole = n_points.is_some() && points == n_points;
        match numbered(&entry.name) {
            Some(base) if !whole => Self {
                folder: entry.place.file.parent().map(Path::to_path_buf),
                name: base.to_owned(),
                whole: None,
            },
            _ => Self {
                folder: None,
                name: entry.name.clone(),
                whole: Some(at),
            },
        }
    }
}

/// The array that arrays make one after the other along their first axis; `None` where they do not fit.
fn joined_info(infos: &[&ArrayInfo]) -> Option<ArrayInfo> {
    let (first, rest) = infos.split_first()?;
    let mut all = (*first).clone();
    if rest.is_empty() {
        return Some(all).filter(|i| !i.shape.is_empty());
    }
    if all.shape.len() < 2 {
        return None;
    }
    for info in infos {
        let alike = info.element == all.element
            && info.big_endian == all.big_endian
            && !info.fortran_order
            && info.shape.get(1..) == all.shape.get(1..);
        if !alike {
            return None;
        }
    }
    all.shape[0] = infos
        .iter()
        .try_fold(0usize, |sum, info| sum.checked_add(info.shape[0]))?;
    Some(all)
}

/// All arrays as one layer, the points of each array a class named as the array is.
pub fn one_array_per_class(path: &Path, parts: Vec<Entry>) -> Result<(Entry, Labels), InputError> {
    let place = Place::file(path);
    let (mut names, mut classes) = (Vec::new(), Vec::new());
    let mut first: Option<(&str, &ArrayInfo)> = None;
    let mut infos = Vec::new();
    for (class, part) in parts.iter().enumerate() {
        let info = match &part.info {
            Ok(info) => info,
            // Said again in full when it is loaded, but there is nothing to load without it.
            Err(error) => {
                return Err(InputError::content(
                    &part.place,
                    format!("the array cannot be used: {error}"),
                    "leave it out of the file or folder, or save it as the error says",
                ));
            }
        };
        let (first_name, first_info) = *first.get_or_insert((&part.name, info));
        if joined_info(&[first_info, info]).is_none() {
            return Err(InputError::content(
                &part.place,
                format!(
                    "{} does not go with {first_name:?} ({}): every class needs points x features of the same number type \
                     and features, in C order",
                    info.describe(),
                    first_info.describe()
                ),
                "save numpy.ascontiguousarray(x, dtype='float32') of shape points x features for each class (x.T where it \
                 is features x points)",
            ));
        }
        part.check()?;
        names.push(part.name.clone());
        classes.resize(classes.len() + info.shape[0], class);
        infos.push(info);
    }
    let Some(info) = joined_info(&infos) else {
        return Err(InputError::content(
            &place,
            "holds no array of points x features",
            "save one array per class",
        ));
    };
    let labels = Labels {
        place: place.clone(),
        names,
        classes,
        heading: None,
    };
    let entry = Entry {
        name: stem(path),
        place,
        info: Ok(info),
        storage: Storage::Joined(parts),
    };
    Ok((entry, labels))
}

/// Where the points of all parts came from, and how many of each.
pub(super) fn pieces(parts: &[Entry]) -> Vec<(Place, usize)> {
    let points = |part: &Entry| part.info.as_ref().ok()?.shape.first().copied();
    parts
        .iter()
        .map(|part| (part.place.clone(), points(part).unwrap_or(0)))
        .collect()
}

/// The values of all parts, one after the other.
pub(super) fn load(
    place: &Place,
    parts: Vec<Entry>,
    options: ReadOptions<'_>,
) -> Result<Arc<Bytes>, InputError> {
    let mut spool = Spool::default();
    for part in parts {
        let array = part.load(options)?;
        if (options.interrupted)() {
            return Err(InputError::Interrupted {
                place: place.clone(),
            });
        }
        spool
            .write_all(array.data())
            .map_err(|e| InputError::io(place, e))?;
    }
    let bytes = spool.finish().map_err(|e| InputError::io(place, e))?;
    Ok(Arc::new(bytes))
}
