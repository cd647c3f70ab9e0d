//! Columns of numbers as text: CSV, TSV, semicolons, or separated by spaces as `numpy.savetxt` writes them.
//!
//! A first line of names is a heading; so is one that counts 0, 1, 2, …, as pandas writes for a table without names. A first
//! column without a name (the row numbers of pandas and R) is left out. Lines that begin with `#` are comments. Where semicolons
//! separate, a comma is the decimal mark. Listing reads the file once to count rows; values are parsed when their turn comes.

use std::io::Write;
use std::sync::Arc;

use csv::ByteRecord;

use super::labels::shell_word;
use super::{Columns, Decode, Entry, ReadOptions, Storage, stem};
use crate::array::{ArrayInfo, Element};
use crate::bytes::{Bytes, Spool};
use crate::error::{InputError, Place};

/// Rows parsed between two looks at the interrupt flag.
const ROWS: usize = 1024;
const REMEDY: &str = "one row per point, one column per feature, numbers alone: numpy.savetxt('acts.csv', x, delimiter=',')";

/// Whether a sample of a file is text.
pub(super) fn is_text(sample: &[u8]) -> bool {
    let whole = match std::str::from_utf8(sample) {
        Ok(_) => true,
        // The sample may end within a character.
        Err(e) => e.error_len().is_none(),
    };
    whole && !sample.contains(&0)
}

/// Whether the first line, or the second below a heading, is numbers.
pub(super) fn begins_with_numbers(bytes: &[u8]) -> bool {
    if !is_text(bytes.get(..1 << 16).unwrap_or(bytes)) {
        return false;
    }
    let separator = Separator::of(bytes, b',');
    let mut rows = Rows::new(bytes, separator);
    let mut first = || {
        let row = rows.next()?.ok()?;
        Some(
            row.iter()
                .filter(|f| !f.is_empty())
                .all(|f| number(f, separator).is_some()),
        )
    };
    first() == Some(true) || first() == Some(true)
}

/// Some editors begin text files with a byte order mark.
pub(super) fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes)
}

/// The character between columns: the one that the file's ending stands for, unless only another one occurs equally often
/// in every line. Spreadsheets write semicolons where the comma is the decimal mark.
pub(super) fn delimiter_of(bytes: &[u8], by_name: u8) -> u8 {
    regular_delimiter(bytes, by_name).unwrap_or(by_name)
}

fn regular_delimiter(bytes: &[u8], by_name: u8) -> Option<u8> {
    const LINES: usize = 100;
    let lines: Vec<&[u8]> = without_mark(bytes)
        .split(|&b| b == b'\n')
        .filter(|line| !line.trim_ascii().is_empty() && !line.starts_with(b"#"))
        .take(LINES)
        .collect();
    let count = |line: &[u8], d: u8| line.iter().filter(|&&b| b == d).count();
    let regular = |d: u8| {
        let first = lines.first().map_or(0, |line| count(line, d));
        first > 0 && lines.iter().all(|line| count(line, d) == first)
    };
    [by_name, b';', b'\t', b',']
        .into_iter()
        .find(|&d| regular(d))
}

/// What stands between the values of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Separator {
    Byte(u8),
    /// One space or more, as `numpy.savetxt` and `awk` write.
    Spaces,
}

impl Separator {
    fn of(bytes: &[u8], by_name: u8) -> Self {
        // Where the comma is the decimal mark, it may occur equally often in every line as well.
        match regular_delimiter(bytes, by_name) {
            Some(b',') if regular_delimiter(bytes, b';') == Some(b';') => Self::Byte(b';'),
            Some(delimiter) => Self::Byte(delimiter),
            None => {
                let head = without_mark(bytes).get(..1 << 16).unwrap_or(bytes);
                let mut lines = head.split(|&b| b == b'\n').filter(|l| !l.starts_with(b"#"));
                let first = lines.next().unwrap_or_default();
                if [b',', b';', b'\t'].iter().any(|d| first.contains(d)) {
                    Self::Byte(by_name)
                } else {
                    Self::Spaces
                }
            }
        }
    }
}

/// A number, or `None`. NaN and infinities are numbers here; the engine refuses them by their place.
fn number(field: &[u8], separator: Separator) -> Option<f64> {
    let text = std::str::from_utf8(field).ok()?.trim();
    if separator == Separator::Byte(b';') && text.contains(',') && !text.contains('.') {
        return text.replacen(',', ".", 1).parse().ok();
    }
    text.parse().ok()
}

/// The rows of a text.
enum Rows<'a> {
    Separated(Box<csv::Reader<&'a [u8]>>),
    Spaced(&'a [u8]),
}

impl<'a> Rows<'a> {
    fn new(bytes: &'a [u8], separator: Separator) -> Self {
        let bytes = without_mark(bytes);
        match separator {
            Separator::Byte(delimiter) => Self::Separated(Box::new(
                csv::ReaderBuilder::new()
                    .has_headers(false)
                    .flexible(true)
                    .comment(Some(b'#'))
                    .delimiter(delimiter)
                    .trim(csv::Trim::All)
                    .from_reader(bytes),
            )),
            Separator::Spaces => Self::Spaced(bytes),
        }
    }

    /// The next row that is not empty.
    fn next(&mut self) -> Option<Result<ByteRecord, csv::Error>> {
        match self {
            Self::Separated(reader) => {
                let mut record = ByteRecord::new();
                match reader.read_byte_record(&mut record) {
                    Ok(true) => Some(Ok(record)),
                    Ok(false) => None,
                    Err(e) => Some(Err(e)),
                }
            }
            Self::Spaced(rest) => {
                while !rest.is_empty() {
                    let end = rest.iter().position(|&b| b == b'\n');
                    let line = &rest[..end.unwrap_or(rest.len())];
                    *rest = &rest[end.map_or(rest.len(), |e| e + 1)..];
                    let fields = line
                        .split(u8::is_ascii_whitespace)
                        .filter(|f| !f.is_empty());
                    let record: ByteRecord = fields.collect();
                    if !record.is_empty() && !line.starts_with(b"#") {
                        return Some(Ok(record));
                    }
                }
                None
            }
        }
    }
}

/// Lists the one array of a text.
pub(super) fn open(place: &Place, bytes: Arc<Bytes>) -> Result<Vec<Entry>, InputError> {
    let by_name = if super::extension(&place.file) == "tsv" {
        b'\t'
    } else {
        b','
    };
    let separator = Separator::of(&bytes, by_name);
    let mut rows = Rows::new(&bytes, separator);
    let mut next = || {
        rows.next().transpose().map_err(|e| {
            InputError::malformed(place, format!("not readable as a table ({e})"), REMEDY)
        })
    };
    let Some(first) = next()? else {
        return Ok(Vec::new());
    };
    let second = next()?;
    let is_number = |field: &[u8]| number(field, separator).is_some();
    let counts = |fields: &mut dyn Iterator<Item = &[u8]>| {
        fields
            .enumerate()
            .all(|(i, field)| field == i.to_string().as_bytes())
    };
    // A line of values of which some are missing is no heading.
    let missing = |field: &[u8]| {
        field.is_empty()
            || [&b"na"[..], b"n/a", b"nan", b"null", b"none", b"?", b"-"]
                .iter()
                .any(|word| field.eq_ignore_ascii_case(word))
    };
    let fraction = |field: &[u8]| is_number(field) && field.iter().any(|b| b".,eE".contains(b));
    let values = first.iter().any(fraction);
    let unnamed = first.len() > 1 && first.get(0).is_some_and(<[u8]>::is_empty) && !values;
    let heading = if unnamed {
        second.is_some()
    } else {
        let text_over_number = |second: &ByteRecord| {
            let mut pairs = first.iter().zip(second.iter());
            !values && pairs.any(|(a, b)| !is_number(a) && !missing(a) && is_number(b))
        };
        first.iter().all(|field| !is_number(field))
            || second.as_ref().is_some_and(text_over_number)
            || (first.len() > 1 && second.is_some() && counts(&mut first.iter()))
    };
    // Wavelengths, years or numbers of voxels may head columns too.
    let whole = |field: &[u8]| std::str::from_utf8(field).ok()?.parse::<i64>().ok();
    let numbers: Option<Vec<i64>> = first.iter().map(whole).collect();
    let rises = numbers.is_some_and(|n| n.len() > 1 && n.is_sorted_by(|a, b| a < b));
    let unlike = |second: &ByteRecord| second.iter().any(fraction);
    let doubtful = !heading && rises && second.as_ref().is_some_and(unlike);
    let data = if heading {
        second.as_ref()
    } else {
        Some(&first)
    };
    let Some(data) = data else {
        return Err(InputError::content(
            place,
            "one line, and it holds no numbers",
            REMEDY,
        ));
    };
    if !data.iter().any(is_number) {
        let line: Vec<_> = data.iter().map(String::from_utf8_lossy).collect();
        let line: String = line.join(" ").chars().take(60).collect();
        return Err(InputError::content(
            place,
            format!("{line:?} holds no number; activations are numbers"),
            REMEDY,
        ));
    }
    let columns = (0..data.len())
        .filter(|&i| i > 0 || !unnamed)
        .map(|at| Column {
            at,
            name: heading
                .then(|| String::from_utf8_lossy(first.get(at).unwrap_or_default()).into_owned()),
            text: data
                .get(at)
                .filter(|field| !is_number(field))
                .map(|field| String::from_utf8_lossy(field).into_owned()),
        })
        .collect();
    let width = data.len();
    if heading && first.len() != width {
        return Err(InputError::malformed(
            place,
            format!(
                "{} names of columns, but {width} values in the first row",
                first.len()
            ),
            REMEDY,
        ));
    }
    let mut count = usize::from(!heading) + usize::from(second.is_some());
    while let Some(row) = next()? {
        if row.len() != width {
            return Err(InputError::malformed(
                place,
                format!(
                    "row {count} (from 0) has {} values, row 0 has {width}",
                    row.len()
                ),
                REMEDY,
            ));
        }
        count += 1;
    }
    if let Some(second) = second.as_ref().filter(|row| row.len() != width) {
        return Err(InputError::malformed(
            place,
            format!(
                "row 1 (from 0) has {} values, row 0 has {width}",
                second.len()
            ),
            REMEDY,
        ));
    }
    let table = Text {
        bytes: Arc::clone(&bytes),
        separator,
        heading,
        doubtful,
        rows: count,
        width,
        columns,
    };
    Ok(vec![Entry {
        name: stem(&place.file),
        place: place.clone(),
        info: table.info(place),
        storage: Storage::Decoded(Box::new(table)),
    }])
}

/// One column that is read.
#[derive(Debug, Clone)]
struct Column {
    /// Its place in a row.
    at: usize,
    /// From the heading.
    name: Option<String>,
    /// Its first value, where that is no number.
    text: Option<String>,
}

/// A table of text.
#[derive(Debug, Clone)]
struct Text {
    bytes: Arc<Bytes>,
    separator: Separator,
    heading: bool,
    /// Whether the first line, which is taken for a point, may be the heading all the same.
    doubtful: bool,
    /// Without the heading.
    rows: usize,
    /// Values of a row in the file.
    width: usize,
    columns: Vec<Column>,
}

impl Text {
    fn info(&self, place: &Place) -> Result<ArrayInfo, InputError> {
        if let Some(column) = self.columns.iter().find(|column| column.text.is_some()) {
            let name = match &column.name {
                Some(name) => format!("{name:?}"),
                None => column.at.to_string(),
            };
            let text = column.text.as_deref().unwrap_or_default();
            let remedy = match &column.name {
                Some(name) => format!(
                    "--labels {} if these are the labels (the column then is no feature), or leave the column out of the file",
                    shell_word(&format!("{}::{name}", place.file.display()))
                ),
                None => REMEDY.to_owned(),
            };
            return Err(InputError::content(
                place,
                format!("column {name} holds {text:?}; activations are numbers"),
                remedy,
            ));
        }
        Ok(ArrayInfo {
            element: Element::F64,
            big_endian: cfg!(target_endian = "big"),
            shape: vec![self.rows, self.columns.len()],
            fortran_order: false,
        })
    }
}

impl Decode for Text {
    fn stored(&self) -> &'static str {
        "text"
    }

    fn note(&self, place: &Place) -> Option<String> {
        self.doubtful.then(|| {
            format!(
                "{place}: the first line, rising whole numbers alone, was taken for a point; remove the line if it is the heading"
            )
        })
    }

    fn decode(
        &self,
        place: &Place,
        _info: &ArrayInfo,
        options: ReadOptions<'_>,
    ) -> Result<(Arc<Bytes>, usize), InputError> {
        let mut rows = Rows::new(&self.bytes, self.separator);
        let mut spool = Spool::default();
        let mut values = Vec::with_capacity(8 * self.columns.len());
        for at in 0..self.rows + usize::from(self.heading) {
            if at % ROWS == 0 && (options.interrupted)() {
                return Err(InputError::Interrupted {
                    place: place.clone(),
                });
            }
            let row = match rows.next() {
                Some(Ok(row)) if row.len() == self.width => row,
                _ => {
                    return Err(InputError::malformed(
                        place,
                        "changed while it was read",
                        REMEDY,
                    ));
                }
            };
            let Some(point) = at.checked_sub(usize::from(self.heading)) else {
                continue;
            };
            values.clear();
            for column in &self.columns {
                let field = row.get(column.at).unwrap_or_default();
                let Some(value) = number(field, self.separator) else {
                    return Err(InputError::content(
                        place,
                        format!(
                            "row {point}, column {} (both from 0) holds {:?}, no number",
                            column.at,
                            String::from_utf8_lossy(field)
                        ),
                        "fill in the value, or leave the row out of the file",
                    ));
                };
                values.extend_from_slice(&f64::to_ne_bytes(value));
            }
            spool
                .write_all(&values)
                .map_err(|e| InputError::io(place, e))?;
        }
        let bytes = spool.finish().map_err(|e| InputError::io(place, e))?;
        Ok((Arc::new(bytes), 0))
    }

    fn without_column(&self, place: &Place, name: &str) -> Option<Columns> {
        let at = self
            .columns
            .iter()
            .position(|column| column.name.as_deref() == Some(name))?;
        let mut table = self.clone();
        table.columns.remove(at);
        Some((table.info(place), Box::new(table)))
    }
}
