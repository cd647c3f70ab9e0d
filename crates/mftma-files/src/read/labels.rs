//! Labels: one per point, from an array or column of any format of activations, from HDF5 strings, CSV or text.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use super::table::{begins_with_numbers, delimiter_of, without_mark};
use super::{Format, ReadOptions, natural_order, npy, open_bytes};
use crate::array::{Array, Element};
use crate::bytes::Bytes;
use crate::error::{InputError, Place};

/// The class of every point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Labels {
    /// Where they came from.
    pub place: Place,
    /// Names of the classes, in natural order.
    pub names: Vec<String>,
    /// For every point, its class as an index into `names`.
    pub classes: Vec<usize>,
    /// The first line of text that was one too many and so taken for a heading, where it is a class below it too.
    pub heading: Option<String>,
}

impl Labels {
    /// Number of points of each class.
    pub fn counts(&self) -> Vec<usize> {
        let mut counts = vec![0; self.names.len()];
        for &class in &self.classes {
            counts[class] += 1;
        }
        counts
    }

    /// What is unusual about these labels, each in a sentence: classes of one point throughout, and names that stand for
    /// "no label" in many files, unless they are `left_out`.
    pub fn notes(&self, left_out: &[String]) -> Vec<String> {
        let mut notes = Vec::new();
        let counts = self.counts();
        if let Some(heading) = &self.heading {
            notes.push(format!(
                "{}: one line more than the {} points; the first, {heading:?}, was taken for the heading, though it is a class below \
                 it too; if it is none, the labels are of other points",
                self.place,
                self.classes.len()
            ));
        }
        if counts.len() > 1 && counts.iter().all(|&n| n == 1) {
            notes.push(format!(
                "{}: each of the {} points is a class of its own, so that capacity 2, radius 0 and dimension 0 say nothing; \
                 are these class labels?",
                self.place,
                counts.len()
            ));
        }
        for (name, count) in self.names.iter().zip(&counts) {
            if stands_for_none(name) && !left_out.contains(name) {
                notes.push(format!(
                    "{}: class {name:?} ({count} points) looks like a mark for points without a label; --leave-out {} leaves \
                     them out",
                    self.place,
                    shell_word(name)
                ));
            }
        }
        notes
    }

    fn from_strings(place: Place, labels: Vec<String>, heading: Option<String>) -> Self {
        let mut names: Vec<String> = labels.clone();
        names.sort_by(|a, b| natural_order(a, b).then_with(|| a.cmp(b)));
        names.dedup();
        let index: HashMap<&str, usize> = names
            .iter()
            .enumerate()
            .map(|(i, name)| (name.as_str(), i))
            .collect();
        let classes = labels.iter().map(|l| index[l.as_str()]).collect();
        Self {
            place,
            names,
            classes,
            heading,
        }
    }
}

/// What an empty cell is called; it stands for "no label" too.
const MISSING: &str = "NA";

/// Names that stand for "no label".
fn stands_for_none(name: &str) -> bool {
    let marks = ["na", "n/a", "nan", "none", "null", "<na>", "?"];
    let negative = name.starts_with('-') && name.parse::<f64>().is_ok_and(|x| x < 0.0);
    negative || marks.contains(&name.to_ascii_lowercase().as_str())
}

/// A word that a shell takes as it is.
pub fn shell_word(name: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:,+@%".contains(c);
    if !name.is_empty() && name.chars().all(plain) {
        name.to_owned()
    } else {
        format!("'{}'", name.replace('\'', "'\\''"))
    }
}

/// An error of reading numbers, with the remedy for labels where it is another.
fn for_labels(error: InputError) -> InputError {
    match error {
        InputError::Unsupported { place, problem, .. } if problem == npy::OBJECTS => {
            InputError::unsupported(&place, problem, "numpy.save(file, y.astype(str))")
        }
        other => other,
    }
}

/// Splits `FILE::NAME` into the file and the array or column.
pub fn split_reference(reference: &str) -> (&Path, Option<&str>) {
    match reference.rsplit_once("::") {
        Some((file, name)) if !file.is_empty() => (Path::new(file), Some(name)),
        _ => (Path::new(reference), None),
    }
}

/// Reads labels for `n_points` points from `FILE` or `FILE::NAME` (an array of a file that holds several, or a column of a
/// table).
///
/// Whole numbers may be stored as any number type; fractions are an error. A first line that is one too many is taken
/// for the heading. Empty cells, and blank lines between others, are the class `NA`.
pub fn read(
    reference: &str,
    n_points: usize,
    options: ReadOptions<'_>,
) -> Result<Labels, InputError> {
    let (path, name) = split_reference(reference);
    let place = Place::file(path);
    if path.is_dir() {
        let labels = from_entries(&place, name, super::open(path)?, options)?;
        return complete(&place, labels, None, n_points);
    }
    let bytes = Bytes::map(path).map_err(|e| InputError::io(&place, e))?;
    parse(&place, name, Arc::new(bytes), n_points, options)
}

/// [`read`], from bytes that are at hand. The ending of `place`'s file name tells the kinds of text apart.
pub fn parse(
    place: &Place,
    name: Option<&str>,
    bytes: Arc<Bytes>,
    n_points: usize,
    options: ReadOptions<'_>,
) -> Result<Labels, InputError> {
    let mut heading = None;
    let labels = match (
        Format::by_magic(&bytes),
        super::extension(&place.file).as_str(),
    ) {
        (Some(Format::Npy), _) => from_npy(place, bytes, options)?,
        (None, "npy") if !begins_with_numbers(&bytes) => from_npy(place, bytes, options)?,
        (Some(format), _) => from_archive(place, name, format, bytes, options)?,
        (
            None,
            "npz" | "safetensors" | "pt" | "pth" | "pkl" | "pickle" | "h5" | "hdf5" | "mat"
            | "parquet",
        ) => {
            let format = Format::of(place, &bytes)?;
            from_archive(place, name, format, bytes, options)?
        }
        (None, ending) => {
            let found = match ending {
                "csv" => from_table(place, name, &bytes, b',', n_points)?,
                "tsv" => from_table(place, name, &bytes, b'\t', n_points)?,
                // Without an ending, as from a stream: what has columns with names is a table.
                _ if name.is_some() => from_table(place, name, &bytes, b',', n_points)?,
                _ => from_lines(place, &bytes, n_points)?,
            };
            heading = found.1;
            found.0
        }
    };
    complete(place, labels, heading, n_points)
}

/// The labels, if they are as many as the points.
fn complete(
    place: &Place,
    labels: Vec<String>,
    heading: Option<String>,
    n_points: usize,
) -> Result<Labels, InputError> {
    if labels.len() != n_points {
        return Err(InputError::content(
            place,
            format!(
                "{} labels for {n_points} points of activations",
                labels.len()
            ),
            "give one label per point in the same order",
        ));
    }
    Ok(Labels::from_strings(place.clone(), labels, heading))
}

fn from_npy(
    place: &Place,
    bytes: Arc<Bytes>,
    options: ReadOptions<'_>,
) -> Result<Vec<String>, InputError> {
    let header = npy::parse_header(place, &bytes).map_err(for_labels)?;
    match header.content {
        npy::Content::Numbers(_) => {
            let mut entries = open_bytes(place, Format::Npy, bytes)?;
            numbers(&entries.remove(0).load(options)?)
        }
        npy::Content::Strings {
            wide,
            big_endian,
            width,
            shape,
        } => {
            one_axis(place, &shape)?;
            let count: usize = shape.iter().product();
            let size = width.checked_mul(if wide { 4 } else { 1 });
            let data = &bytes[header.data_start..];
            let len = size.and_then(|size| size.checked_mul(count));
            let (Some(size), Some(data)) = (size, len.and_then(|len| data.get(..len))) else {
                return Err(InputError::malformed(
                    place,
                    format!(
                        "{count} strings of {width} characters are declared but the file is shorter"
                    ),
                    "write the file again with numpy.save",
                ));
            };
            if size == 0 {
                return Err(InputError::content(
                    place,
                    "every label is empty",
                    "check the code that wrote the labels",
                ));
            }
            Ok(data
                .chunks_exact(size)
                .map(|one| string(one, wide, big_endian))
                .collect())
        }
    }
}

fn string(bytes: &[u8], wide: bool, big_endian: bool) -> String {
    let text: String = if wide {
        let (characters, _) = bytes.as_chunks::<4>();
        characters
            .iter()
            .map(|&b| {
                let code = if big_endian {
                    u32::from_be_bytes(b)
                } else {
                    u32::from_le_bytes(b)
                };
                char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)
            })
            .collect()
    } else {
        String::from_utf8_lossy(bytes).into_owned()
    };
    text.trim_end_matches('\0').to_owned()
}

fn from_archive(
    place: &Place,
    name: Option<&str>,
    format: Format,
    bytes: Arc<Bytes>,
    options: ReadOptions<'_>,
) -> Result<Vec<String>, InputError> {
    // Formats that hold labels in other ways than as numbers.
    if format == Format::Torch
        && let Some(labels) = super::torch::list(place, &bytes, name)?
    {
        return Ok(labels);
    }
    #[cfg(feature = "hdf5")]
    if format == Format::Hdf5
        && let Some(labels) = super::hdf5::text(place, &bytes, name)?
    {
        return Ok(labels);
    }
    #[cfg(feature = "parquet")]
    if format == Format::Parquet {
        return super::parquet::column(place, bytes, name, options);
    }
    from_entries(place, name, open_bytes(place, format, bytes)?, options)
}

/// Labels from one of several arrays.
fn from_entries(
    place: &Place,
    name: Option<&str>,
    mut entries: Vec<super::Entry>,
    options: ReadOptions<'_>,
) -> Result<Vec<String>, InputError> {
    let file = place.file.display();
    let names: Vec<&str> = entries.iter().map(|e| e.name.as_str()).collect();
    let names = names.join(", ");
    let index = match name {
        Some(name) => entries.iter().position(|e| e.name == name).ok_or_else(|| {
            InputError::content(
                place,
                format!("no array {name:?}; there are {names}"),
                format!("--labels {file}::NAME with one of these names"),
            )
        })?,
        None if entries.len() == 1 => 0,
        None => {
            return Err(InputError::content(
                place,
                format!("holds several arrays ({names}); which are the labels?"),
                format!("--labels {file}::NAME"),
            ));
        }
    };
    numbers(
        &entries
            .swap_remove(index)
            .load(options)
            .map_err(for_labels)?,
    )
}

/// Labels lie along one axis; further axes of length 1 do no harm.
fn one_axis(place: &Place, shape: &[usize]) -> Result<(), InputError> {
    if shape.iter().filter(|&&n| n != 1).count() <= 1 && !shape.is_empty() {
        return Ok(());
    }
    Err(InputError::content(
        place,
        format!("labels of shape {shape:?}; one label per point was expected"),
        "for one-hot labels save y.argmax(axis=1)",
    ))
}

fn numbers(array: &Array) -> Result<Vec<String>, InputError> {
    let place = array.place();
    let info = array.info();
    one_axis(place, &info.shape)?;
    let size = info.element.size();
    let values = array.data().chunks_exact(size).map(|bytes| {
        let mut b = [0u8; 8];
        b[..size].copy_from_slice(bytes);
        if info.big_endian {
            b[..size].reverse();
        }
        b
    });
    let le4 = |b: [u8; 8]| [b[0], b[1], b[2], b[3]];
    let le2 = |b: [u8; 8]| [b[0], b[1]];
    let whole = |i: usize, x: f64| {
        // Adding 0.0 turns -0 into 0.
        if x.fract() == 0.0 && x.abs() < 9e15 {
            Ok(format!("{}", x + 0.0))
        } else {
            Err(InputError::content(
                place,
                format!("label {i} is {x}, not a whole number"),
                "save the class index of every point: y.astype('int64')",
            ))
        }
    };
    values
        .enumerate()
        .map(|(i, b)| match info.element {
            Element::Bool | Element::U8 => Ok(b[0].to_string()),
            Element::I8 => Ok((b[0] as i8).to_string()),
            Element::I16 => Ok(i16::from_le_bytes(le2(b)).to_string()),
            Element::U16 => Ok(u16::from_le_bytes(le2(b)).to_string()),
            Element::I32 => Ok(i32::from_le_bytes(le4(b)).to_string()),
            Element::U32 => Ok(u32::from_le_bytes(le4(b)).to_string()),
            Element::I64 => Ok(i64::from_le_bytes(b).to_string()),
            Element::U64 => Ok(u64::from_le_bytes(b).to_string()),
            Element::F16 => whole(i, half::f16::from_le_bytes(le2(b)).to_f64()),
            Element::Bf16 => whole(i, half::bf16::from_le_bytes(le2(b)).to_f64()),
            Element::F32 => whole(i, f64::from(f32::from_le_bytes(le4(b)))),
            Element::F64 => whole(i, f64::from_le_bytes(b)),
        })
        .collect()
}

fn from_table(
    place: &Place,
    name: Option<&str>,
    bytes: &[u8],
    delimiter: u8,
    n_points: usize,
) -> Result<(Vec<String>, Option<String>), InputError> {
    let remedy = "one row per point, as written by pandas.DataFrame.to_csv(index=False)";
    let delimiter = delimiter_of(bytes, delimiter);
    let read = |text: &[u8]| -> Result<Vec<csv::StringRecord>, InputError> {
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .delimiter(delimiter)
            .trim(csv::Trim::All)
            .from_reader(text);
        let malformed =
            |e| InputError::malformed(place, format!("not readable as CSV ({e})"), remedy);
        let rows: Result<_, csv::Error> = reader.records().collect();
        rows.map_err(malformed)
    };
    let mut rows = read(without_mark(bytes))?;
    let mut blank = 0;
    if rows.first().is_some_and(|row| row.len() == 1) {
        let (text, lines) = blank_as_empty(without_mark(bytes));
        (rows, blank) = (read(&text)?, lines);
    }
    let columns = rows.first().map_or(0, csv::StringRecord::len);
    let first_line: String = rows
        .first()
        .map(|row| row.iter().collect::<Vec<_>>().join(","))
        .unwrap_or_default();
    let file = place.file.display();
    if rows.len() == 1 && columns > 1 {
        return Err(one_line(place, columns));
    }
    let one_hot = is_one_hot(&rows) || is_one_hot(rows.get(1..).unwrap_or_default());
    let hot = || {
        InputError::content(
            place,
            format!(
                "{columns} columns of 0 and 1, one of them 1 in each line; one label per point was expected"
            ),
            "for one-hot labels numpy.savetxt('labels.txt', y.argmax(axis=1), fmt='%d')",
        )
    };
    let (column, heading) = match name {
        // What such a name would find is no heading.
        Some(_) if one_hot && rows.len() == n_points => return Err(hot()),
        Some(name) => {
            let found = rows
                .first()
                .and_then(|row| row.iter().position(|c| c == name));
            let Some(column) = found else {
                return Err(InputError::content(
                    place,
                    format!("no column {name:?}; the first line is {first_line:?}"),
                    format!("--labels {file}::COLUMN with a name from the first line"),
                ));
            };
            if rows.len() == n_points {
                return Err(InputError::content(
                    place,
                    format!(
                        "{n_points} lines for {n_points} points leave none for the names of the columns; the first is {first_line:?}"
                    ),
                    "write the names of the columns above the labels, or a file of one column without a name",
                ));
            }
            (column, true)
        }
        None if one_hot => return Err(hot()),
        None if columns == 1 => (0, false),
        None => {
            return Err(InputError::content(
                place,
                format!(
                    "{columns} columns; which holds the labels? The first line is {first_line:?}"
                ),
                format!("--labels {file}::COLUMN with a name from the first line"),
            ));
        }
    };
    let mut labels: Vec<String> = rows
        .iter()
        .skip(usize::from(heading))
        .map(|row| tidy(&row[column]))
        .collect();
    let heading = match name {
        Some(_) => {
            blank_lines(place, labels.len(), blank, n_points)?;
            None
        }
        None => take_heading(place, &mut labels, blank, n_points)?,
    };
    if !labels.is_empty() && labels.iter().all(String::is_empty) {
        return Err(InputError::content(
            place,
            "every label is empty",
            format!("--labels {file}::COLUMN with another name from the first line"),
        ));
    }
    Ok((marked(labels), heading))
}

/// pandas leaves the cell empty where a label is missing, others the line.
fn marked(mut labels: Vec<String>) -> Vec<String> {
    for label in labels.iter_mut().filter(|label| label.is_empty()) {
        MISSING.clone_into(label);
    }
    labels
}

/// One column of text with an empty cell in every blank line, which a reader of CSV would pass over, and the number of these. At the
/// end blank lines mean nothing.
fn blank_as_empty(text: &[u8]) -> (Vec<u8>, usize) {
    let mut rest = text.trim_ascii_end();
    let (mut all, mut blank) = (Vec::with_capacity(rest.len() + 1), 0);
    while let Some(first) = rest.first() {
        // What stands in quotation marks may go on over lines.
        let (quoted, mut within) = (*first == b'"', false);
        let ends = |&byte: &u8| {
            within ^= quoted && byte == b'"';
            !within && matches!(byte, b'\r' | b'\n')
        };
        let end = rest.iter().position(ends).unwrap_or(rest.len());
        let (line, left) = rest.split_at(end);
        if line.trim_ascii().is_empty() {
            all.extend_from_slice(b"\"\"");
            blank += 1;
        } else {
            all.extend_from_slice(line);
        }
        all.push(b'\n');
        let after = left.strip_prefix(b"\r\n");
        rest = after.unwrap_or(left.get(1..).unwrap_or_default());
    }
    (all, blank)
}

/// Takes the first of labels away where it is one too many: the heading. Gives it where it stands below too, so that it may be none.
/// An empty label stands for each of so many `blank` lines.
fn take_heading(
    place: &Place,
    labels: &mut Vec<String>,
    blank: usize,
    n_points: usize,
) -> Result<Option<String>, InputError> {
    if labels.len() != n_points + 1 {
        blank_lines(place, labels.len(), blank, n_points)?;
        return Ok(None);
    }
    let first = labels.remove(0);
    let again = labels.contains(&first);
    if again && blank == 1 {
        // No heading, and a blank line that means nothing?
        blank_lines(place, n_points + 1, blank, n_points)?;
    }
    Ok(again.then_some(first))
}

/// Refuses labels that are as many as the points only without blank lines: any of these may be a label that is missing.
fn blank_lines(
    place: &Place,
    lines: usize,
    blank: usize,
    n_points: usize,
) -> Result<(), InputError> {
    let without = lines.saturating_sub(blank);
    if blank == 0 || lines == n_points || !(n_points..=n_points + 1).contains(&without) {
        return Ok(());
    }
    let ending = place.file.extension().and_then(|ending| ending.to_str());
    Err(InputError::content(
        place,
        format!("{lines} lines for {n_points} points, {blank} of them blank"),
        format!(
            "NA where a label is missing, or without blank lines: grep '[^[:space:]]' {} > labels.{}",
            shell_word(&place.file.to_string_lossy()),
            ending.unwrap_or("txt")
        ),
    ))
}

/// Rows of which each is a single 1 among zeros.
fn is_one_hot(rows: &[csv::StringRecord]) -> bool {
    let is =
        |cell: &str, words: [&str; 2]| words.contains(&tidy(cell).to_ascii_lowercase().as_str());
    let hot = |row: &csv::StringRecord| {
        let ones = row.iter().filter(|cell| is(cell, ["1", "true"])).count();
        let zeros = row.iter().filter(|cell| is(cell, ["0", "false"])).count();
        ones == 1 && zeros > 0 && ones + zeros == row.len()
    };
    !rows.is_empty() && rows.iter().all(hot)
}

fn one_line(place: &Place, count: usize) -> InputError {
    InputError::content(
        place,
        format!("{count} labels on one line"),
        format!(
            "one label a line: tr -s '[],; \\t\\r' '\\n' < {} > labels.txt",
            shell_word(&place.file.to_string_lossy())
        ),
    )
}

fn from_lines(
    place: &Place,
    bytes: &[u8],
    n_points: usize,
) -> Result<(Vec<String>, Option<String>), InputError> {
    let text = std::str::from_utf8(without_mark(bytes)).map_err(|_| {
        InputError::malformed(
            place,
            "not a text file",
            "labels may be an array of a file of activations, a column of .csv or .parquet, or text with one label per line",
        )
    })?;
    let mut labels: Vec<String> = text
        .trim_end()
        .lines()
        .map(|line| tidy(line.trim()))
        .collect();
    let mut lines = labels.iter().filter(|line| !line.is_empty());
    if let (Some(line), None, 2..) = (lines.next(), lines.next(), n_points) {
        let between = |c: char| c.is_whitespace() || "[],;".contains(c);
        let words = line.split(between).filter(|word| !word.is_empty()).count();
        if words > 1 {
            return Err(one_line(place, words));
        }
    }
    let blank = labels.iter().filter(|label| label.is_empty()).count();
    let heading = take_heading(place, &mut labels, blank, n_points)?;
    Ok((marked(labels), heading))
}

/// `numpy.savetxt` writes 3 as `3.000000000000000000e+00`: whole numbers are named as such, everything else as it is.
fn tidy(label: &str) -> String {
    match label.parse::<f64>() {
        Ok(x) if x.fract() == 0.0 && x.abs() < 9e15 && label.contains(['.', 'e', 'E']) => {
            format!("{}", x + 0.0)
        }
        _ => label.to_owned(),
    }
}
