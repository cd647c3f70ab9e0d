//! Columns of numbers in Parquet, read by the format's own crate.
//!
//! The file is read column by column, so the array is in Fortran order: points × columns, `float32` where every column is, else
//! `float64`. pandas' index is no feature, also where it has a name, and may hold the labels.

use std::fmt;
use std::io::Write;
use std::sync::Arc;

use ::parquet::basic::{Compression, ConvertedType, Encoding, LogicalType, Type};
use ::parquet::column::page::{Page, PageMetadata, PageReader};
use ::parquet::column::reader::{ColumnReader, ColumnReaderImpl, get_column_reader};
use ::parquet::data_type::DataType;
use ::parquet::errors::ParquetError;
use ::parquet::file::metadata::ColumnChunkMetaData;
use ::parquet::file::reader::{FileReader, SerializedFileReader};
use ::parquet::file::serialized_reader::SerializedPageReader;
use ::parquet::schema::types::ColumnDescriptor;

use super::labels::shell_word;
use super::packed::zstd;
use super::{Columns, Decode, Entry, ReadOptions, Storage, stem, within_limit};
use crate::array::{ArrayInfo, Element};
use crate::bytes::{Bytes, Shared, Spool};
use crate::error::{InputError, Place};

const REWRITE: &str =
    "write it again: pandas.DataFrame(x).to_parquet('acts.parquet') with its default compression";
/// Values of a column that are read at a time.
const BATCH: usize = 1 << 13;
/// Columns that pandas makes of an index without a name.
const INDEX: &str = "__index_level_";

/// The columns that pandas took from an index, by the description that it leaves in the file. What is no such description says nothing.
fn index_of_pandas(reader: &Reader) -> Vec<String> {
    let entries = reader.metadata().file_metadata().key_value_metadata();
    let described = entries
        .and_then(|entries| entries.iter().find(|entry| entry.key == "pandas"))
        .and_then(|entry| serde_json::from_str::<serde_json::Value>(entry.value.as_deref()?).ok());
    let columns = described
        .as_ref()
        .and_then(|d| d["index_columns"].as_array());
    // A range is described without a column.
    let names = columns
        .into_iter()
        .flatten()
        .filter_map(|name| name.as_str());
    names.map(str::to_owned).collect()
}

type Reader = SerializedFileReader<bytes::Bytes>;

fn damaged(place: &Place, error: &ParquetError) -> InputError {
    match error {
        ParquetError::NYI(what) => {
            InputError::unsupported(place, format!("not read: {what}"), REWRITE)
        }
        // Compression that was left out of the build is told in the same kind of error as damage.
        other => {
            InputError::malformed(place, format!("not readable as Parquet ({other})"), REWRITE)
        }
    }
}

/// The pages of a column. One that refers to a dictionary which did not come before it, at which the format's crate panics, is an error.
struct Pages {
    pages: Box<dyn PageReader>,
    has_dictionary: bool,
    /// For pages that are packed by zstd, which the format's crate reads only by way of a library in C: the most bytes of a page.
    zstd: Option<usize>,
}

impl Pages {
    /// The pages of a column of `rows` rows in a file.
    fn new(
        file: &bytes::Bytes,
        column: &ColumnChunkMetaData,
        rows: usize,
    ) -> Result<Self, ParquetError> {
        let file = Arc::new(file.clone());
        let (pages, zstd) = match column.compression() {
            Compression::ZSTD(_) => {
                // Handed out as they are, and unpacked here.
                let plain = column.clone().into_builder();
                let plain = plain.set_compression(Compression::UNCOMPRESSED).build()?;
                let most = usize::try_from(column.uncompressed_size()).unwrap_or(0);
                (
                    SerializedPageReader::new(file, &plain, rows, None)?,
                    Some(most),
                )
            }
            _ => (SerializedPageReader::new(file, column, rows, None)?, None),
        };
        Ok(Self {
            pages: Box::new(pages),
            has_dictionary: false,
            zstd,
        })
    }
}

/// Unpacks a page to at most `most` bytes. Where levels stand before the values by themselves, they are not packed.
fn unpack(page: &mut Page, most: usize) -> Result<(), ParquetError> {
    let (buffer, levels) = match page {
        Page::DataPageV2 {
            is_compressed: false,
            ..
        } => return Ok(()),
        Page::DataPageV2 {
            buf,
            def_levels_byte_len,
            rep_levels_byte_len,
            ..
        } => {
            let levels = u64::from(*def_levels_byte_len) + u64::from(*rep_levels_byte_len);
            (buf, usize::try_from(levels).unwrap_or(usize::MAX))
        }
        Page::DataPage { buf, .. } | Page::DictionaryPage { buf, .. } => (buf, 0),
    };
    let Some((levels, packed)) = buffer.split_at_checked(levels) else {
        return Err(ParquetError::General("a page is cut short".to_owned()));
    };
    let mut all = levels.to_vec();
    // A page of nothing but missing values has no frame.
    if !packed.is_empty() {
        let values = zstd(packed, most)
            .map_err(|e| ParquetError::General(format!("a page is no frame of zstd: {e}")))?;
        all.extend(values);
    }
    *buffer = all.into();
    Ok(())
}

impl PageReader for Pages {
    fn get_next_page(&mut self) -> Result<Option<Page>, ParquetError> {
        let mut page = self.pages.get_next_page()?;
        if let (Some(page), Some(most)) = (&mut page, self.zstd) {
            unpack(page, most)?;
        }
        if let Some(page) = &page {
            let refers = matches!(
                page.encoding(),
                Encoding::RLE_DICTIONARY | Encoding::PLAIN_DICTIONARY
            );
            match page {
                Page::DictionaryPage { .. } => self.has_dictionary = true,
                _ if refers && !self.has_dictionary => {
                    return Err(ParquetError::General(
                        "a page refers to a dictionary that is not there".to_owned(),
                    ));
                }
                _ => {}
            }
        }
        Ok(page)
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>, ParquetError> {
        self.pages.peek_next_page()
    }

    fn skip_next_page(&mut self) -> Result<(), ParquetError> {
        self.pages.skip_next_page()
    }
}

impl Iterator for Pages {
    type Item = Result<Page, ParquetError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Bool,
    Signed32,
    Unsigned32,
    Signed64,
    Unsigned64,
    Single,
    Double,
    Text,
    Other(&'static str),
}

impl Kind {
    fn of(column: &ColumnDescriptor) -> Self {
        if column.max_rep_level() > 0 {
            return Self::Other("lists");
        }
        let logical = column.logical_type_ref();
        let is_unsigned = match logical {
            // What writers of former years say instead.
            None => match column.converted_type() {
                ConvertedType::UINT_8
                | ConvertedType::UINT_16
                | ConvertedType::UINT_32
                | ConvertedType::UINT_64 => true,
                ConvertedType::NONE
                | ConvertedType::INT_8
                | ConvertedType::INT_16
                | ConvertedType::INT_32
                | ConvertedType::INT_64
                | ConvertedType::UTF8
                | ConvertedType::ENUM => false,
                _ => return Self::Other("dates, times or decimals"),
            },
            Some(LogicalType::Integer(kind)) => !kind.is_signed,
            Some(LogicalType::String | LogicalType::Enum) => false,
            Some(_) => return Self::Other("dates, times or decimals"),
        };
        match column.physical_type() {
            Type::BOOLEAN => Self::Bool,
            Type::INT32 if is_unsigned => Self::Unsigned32,
            Type::INT32 => Self::Signed32,
            Type::INT64 if is_unsigned => Self::Unsigned64,
            Type::INT64 => Self::Signed64,
            Type::FLOAT => Self::Single,
            Type::DOUBLE => Self::Double,
            Type::BYTE_ARRAY => Self::Text,
            Type::INT96 => Self::Other("times"),
            Type::FIXED_LEN_BYTE_ARRAY => Self::Other("bytes"),
        }
    }

    fn describe(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Other(what) => what,
            _ => "numbers",
        }
    }

    fn is_number(self) -> bool {
        !matches!(self, Self::Text | Self::Other(_))
    }
}

/// One column that is read.
#[derive(Debug, Clone)]
struct Column {
    /// Its place in the file.
    at: usize,
    name: String,
    kind: Kind,
    /// The level of a value that is there.
    defined: i16,
}

/// A table.
#[derive(Clone)]
struct Table {
    file: bytes::Bytes,
    reader: Arc<Reader>,
    rows: usize,
    /// Those that may be features.
    columns: Vec<Column>,
    /// Those of pandas' index.
    index: Vec<Column>,
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Table({} x {:?})", self.rows, self.columns)
    }
}

impl Table {
    fn open(place: &Place, bytes: &Arc<Bytes>) -> Result<Self, InputError> {
        let file = bytes::Bytes::from_owner(Shared(Arc::clone(bytes)));
        let reader = SerializedFileReader::new(file.clone()).map_err(|e| damaged(place, &e))?;
        let mut rows = 0usize;
        for group in reader.metadata().row_groups() {
            rows = usize::try_from(group.num_rows())
                .ok()
                .and_then(|n| rows.checked_add(n))
                .ok_or_else(|| {
                    InputError::malformed(place, "a negative number of rows", REWRITE)
                })?;
            // The crate takes these for granted.
            for column in group.columns() {
                if let other @ (Compression::BROTLI(_) | Compression::LZO) = column.compression() {
                    return Err(InputError::unsupported(
                        place,
                        format!("packed by {other}"),
                        REWRITE,
                    ));
                }
                let first = column
                    .dictionary_page_offset()
                    .unwrap_or(column.data_page_offset());
                let end = first.checked_add(column.compressed_size());
                let inside = first >= 0
                    && column.data_page_offset() >= 0
                    && column.compressed_size() >= 0
                    && end.is_some_and(|end| end as u64 <= bytes.len() as u64);
                if !inside || column.num_values() < 0 {
                    return Err(InputError::malformed(
                        place,
                        format!("a column of {} bytes at {first}", column.compressed_size()),
                        REWRITE,
                    ));
                }
            }
        }
        let schema = reader.metadata().file_metadata().schema_descr();
        let columns = schema
            .columns()
            .iter()
            .enumerate()
            .map(|(at, column)| Column {
                at,
                name: column.path().string(),
                kind: Kind::of(column),
                defined: column.max_def_level(),
            });
        let named = index_of_pandas(&reader);
        let (index, columns) =
            columns.partition(|c| c.name.starts_with(INDEX) || named.contains(&c.name));
        Ok(Self {
            file,
            reader: Arc::new(reader),
            rows,
            columns,
            index,
        })
    }

    fn info(&self, place: &Place) -> Result<ArrayInfo, InputError> {
        if let Some(column) = self.columns.iter().find(|c| !c.kind.is_number()) {
            return Err(InputError::content(
                place,
                format!(
                    "column {:?} holds {}; activations are numbers, a column for each feature",
                    column.name,
                    column.kind.describe()
                ),
                format!(
                    "--labels {} if these are the labels (the column then is no feature), or leave it out of the file",
                    shell_word(&format!("{}::{}", place.file.display(), column.name))
                ),
            ));
        }
        let single = self.columns.iter().all(|c| c.kind == Kind::Single);
        Ok(ArrayInfo {
            element: if single { Element::F32 } else { Element::F64 },
            big_endian: cfg!(target_endian = "big"),
            shape: vec![self.rows, self.columns.len()],
            fortran_order: true,
        })
    }

    /// Shows every value of a column: as a number, or as text.
    fn each(
        &self,
        place: &Place,
        column: &Column,
        options: ReadOptions<'_>,
        see: &mut dyn FnMut(Cell<'_>) -> Result<(), InputError>,
    ) -> Result<(), InputError> {
        let mut rows = 0;
        for group in 0..self.reader.num_row_groups() {
            let values = self
                .reader
                .get_row_group(group)
                .and_then(|group| {
                    let rows = usize::try_from(group.metadata().num_rows()).unwrap_or(0);
                    let metadata = group.metadata().column(column.at);
                    let pages = Pages::new(&self.file, metadata, rows)?;
                    let description = metadata.column_descr_ptr();
                    Ok(get_column_reader(description, Box::new(pages)))
                })
                .map_err(|e| damaged(place, &e))?;
            let walk = Walk {
                place,
                column,
                options,
                most: self.rows - rows,
            };
            rows += match values {
                ColumnReader::BoolColumnReader(r) => {
                    walk.run(r, |&x| see(Cell::Number(f64::from(u8::from(x)))))
                }
                ColumnReader::Int32ColumnReader(r) => walk.run(r, |&x| {
                    see(match column.kind {
                        Kind::Unsigned32 => Cell::Whole(i128::from(x as u32)),
                        _ => Cell::Whole(i128::from(x)),
                    })
                }),
                ColumnReader::Int64ColumnReader(r) => walk.run(r, |&x| {
                    see(match column.kind {
                        Kind::Unsigned64 => Cell::Whole(i128::from(x as u64)),
                        _ => Cell::Whole(i128::from(x)),
                    })
                }),
                ColumnReader::FloatColumnReader(r) => {
                    walk.run(r, |&x| see(Cell::Number(f64::from(x))))
                }
                ColumnReader::DoubleColumnReader(r) => walk.run(r, |&x| see(Cell::Number(x))),
                ColumnReader::ByteArrayColumnReader(r) => {
                    walk.run(r, |x| see(Cell::Text(x.data())))
                }
                _ => Err(InputError::unsupported(
                    place,
                    format!("column {:?} holds {}", column.name, column.kind.describe()),
                    REWRITE,
                )),
            }?;
        }
        if rows != self.rows {
            return Err(InputError::malformed(
                place,
                format!(
                    "column {:?} has {rows} values for {} rows",
                    column.name, self.rows
                ),
                REWRITE,
            ));
        }
        Ok(())
    }
}

/// One value.
enum Cell<'a> {
    Number(f64),
    Whole(i128),
    Text(&'a [u8]),
}

/// A way through a column of one group of rows.
struct Walk<'a> {
    place: &'a Place,
    column: &'a Column,
    options: ReadOptions<'a>,
    /// Rows that may still come.
    most: usize,
}

impl Walk<'_> {
    /// Number of values seen.
    fn run<T: DataType>(
        &self,
        mut reader: ColumnReaderImpl<T>,
        mut see: impl FnMut(&T::T) -> Result<(), InputError>,
    ) -> Result<usize, InputError> {
        let (mut rows, mut values, mut levels) = (0, Vec::new(), Vec::new());
        loop {
            if (self.options.interrupted)() {
                return Err(InputError::Interrupted {
                    place: self.place.clone(),
                });
            }
            values.clear();
            levels.clear();
            let defined = (self.column.defined > 0).then_some(&mut levels);
            let (records, found, _) = reader
                .read_records(BATCH, defined, None, &mut values)
                .map_err(|e| damaged(self.place, &e))?;
            if found < records {
                let at = levels.iter().position(|&l| l < self.column.defined);
                return Err(InputError::content(
                    self.place,
                    format!(
                        "column {:?} has no value in row {} (from 0)",
                        self.column.name,
                        rows + at.unwrap_or(0)
                    ),
                    "fill in the value, or leave the row out of the file",
                ));
            }
            if records == 0 {
                return Ok(rows);
            }
            rows += records;
            if rows > self.most || values.len() != records {
                return Err(InputError::malformed(
                    self.place,
                    format!("column {:?} has more values than rows", self.column.name),
                    REWRITE,
                ));
            }
            values.iter().try_for_each(&mut see)?;
        }
    }
}

/// Lists the one array of a table.
pub(super) fn open(place: &Place, bytes: Arc<Bytes>) -> Result<Vec<Entry>, InputError> {
    let table = Table::open(place, &bytes)?;
    Ok(vec![Entry {
        name: stem(&place.file),
        place: place.clone(),
        info: table.info(place),
        storage: Storage::Decoded(Box::new(table)),
    }])
}

impl Decode for Table {
    fn stored(&self) -> &'static str {
        "columns"
    }

    fn decode(
        &self,
        place: &Place,
        info: &ArrayInfo,
        options: ReadOptions<'_>,
    ) -> Result<(Arc<Bytes>, usize), InputError> {
        let len = info.data_len().map_or(u64::MAX, |len| len as u64);
        within_limit(place, len, options, "save it with numpy.save")?;
        let mut spool = Spool::default();
        for column in &self.columns {
            self.each(place, column, options, &mut |cell| {
                let value = match cell {
                    Cell::Number(x) => x,
                    Cell::Whole(x) => x as f64,
                    // Such columns were refused when the table was opened.
                    Cell::Text(_) => f64::NAN,
                };
                if info.element == Element::F32 {
                    spool.write_all(&(value as f32).to_ne_bytes())
                } else {
                    spool.write_all(&value.to_ne_bytes())
                }
                .map_err(|e| InputError::io(place, e))
            })?;
        }
        let bytes = spool.finish().map_err(|e| InputError::io(place, e))?;
        Ok((Arc::new(bytes), 0))
    }

    fn without_column(&self, place: &Place, name: &str) -> Option<Columns> {
        let mut table = self.clone();
        // An index is no feature anyway.
        if !self.index.iter().any(|c| c.name == name) {
            let at = self.columns.iter().position(|c| c.name == name)?;
            table.columns.remove(at);
        }
        Some((table.info(place), Box::new(table)))
    }
}

/// A column as labels: the one named, or the only one.
pub(super) fn column(
    place: &Place,
    bytes: Arc<Bytes>,
    name: Option<&str>,
    options: ReadOptions<'_>,
) -> Result<Vec<String>, InputError> {
    let table = Table::open(place, &bytes)?;
    let all = || table.columns.iter().chain(&table.index);
    let found = match name {
        Some(name) => all().find(|c| c.name == name),
        None if all().count() == 1 => all().next(),
        None => None,
    };
    let Some(column) = found else {
        let names: Vec<&str> = all().map(|c| c.name.as_str()).collect();
        return Err(InputError::content(
            place,
            match name {
                Some(name) => format!("no column {name:?}; there are {}", names.join(", ")),
                None => format!(
                    "{} columns ({}); which holds the labels?",
                    names.len(),
                    names.join(", ")
                ),
            },
            format!(
                "--labels {}::COLUMN with one of these names",
                place.file.display()
            ),
        ));
    };
    let mut labels = Vec::new();
    table.each(place, column, options, &mut |cell| {
        labels.push(match cell {
            Cell::Whole(x) => x.to_string(),
            Cell::Text(text) => String::from_utf8_lossy(text).into_owned(),
            Cell::Number(x) if x.fract() == 0.0 && x.abs() < 9e15 => format!("{}", x + 0.0),
            Cell::Number(x) => {
                return Err(InputError::content(
                    place,
                    format!("label {} is {x}, not a whole number", labels.len()),
                    "save the class index of every point: y.astype('int64')",
                ));
            }
        });
        Ok(())
    })?;
    Ok(labels)
}
