//! Tables of results: one set of columns, written as text, CSV, JSON or Parquet.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Formats of `--format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
pub enum Format {
    /// Columns for reading on a terminal.
    Table,
    /// Everything: settings, classes, every manifold.
    Json,
    /// One row per layer, settings as columns.
    Csv,
    /// The columns of CSV, as Parquet.
    #[cfg(feature = "parquet")]
    Parquet,
}

impl Format {
    /// The format that a file's ending asks for.
    pub fn of_path(path: &Path) -> Option<Self> {
        let ending = path.extension()?.to_str()?;
        let all = <Self as clap::ValueEnum>::value_variants();
        all.iter().copied().find(|format| format.ending() == ending)
    }

    /// How names of such files end.
    pub fn ending(self) -> &'static str {
        match self {
            Self::Table => "txt",
            Self::Json => "json",
            Self::Csv => "csv",
            #[cfg(feature = "parquet")]
            Self::Parquet => "parquet",
        }
    }

    /// Whether it is no text.
    pub fn is_binary(self) -> bool {
        !matches!(self, Self::Table | Self::Json | Self::Csv)
    }
}

/// One cell.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// Text.
    Text(String),
    /// A count; `None` where there is none.
    Integer(Option<i64>),
    /// A measure; `None` where there is none. Not-a-number counts as none.
    Real(Option<f64>),
}

impl Cell {
    /// A count.
    pub fn count(n: usize) -> Self {
        Self::Integer(Some(i64::try_from(n).unwrap_or(i64::MAX)))
    }

    /// A count that may be left open.
    pub fn maybe(n: Option<usize>) -> Self {
        n.map_or(Self::Integer(None), Self::count)
    }

    /// A seed: a number where tables can hold it as one.
    pub fn seed(seed: u64) -> Self {
        match i64::try_from(seed) {
            Ok(n) => Self::Integer(Some(n)),
            Err(_) => Self::Text(seed.to_string()),
        }
    }

    /// A measure.
    pub fn real(x: f64) -> Self {
        Self::Real(Some(x))
    }

    fn exact(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Integer(n) => n.map(|n| n.to_string()).unwrap_or_default(),
            Self::Real(Some(x)) if !x.is_nan() => x.to_string(),
            Self::Real(_) => String::new(),
        }
    }

    fn short(&self) -> String {
        match self {
            Self::Real(Some(x)) if !x.is_nan() => short(*x),
            Self::Real(_) | Self::Integer(None) => "-".into(),
            _ => self.exact(),
        }
    }
}

/// Four significant digits.
pub fn short(x: f64) -> String {
    let magnitude = x.abs();
    if magnitude != 0.0 && !(1e-4..1e6).contains(&magnitude) {
        return format!("{x:.3e}");
    }
    let digits = if magnitude >= 1.0 {
        (3 - magnitude.log10().floor() as i32).max(0)
    } else {
        4
    };
    format!("{x:.*}", digits as usize)
}

/// Rows under named columns. Every row has one cell per column, and a column keeps its kind of cell.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Table {
    /// Column names.
    pub columns: Vec<String>,
    /// Cells, row by row.
    pub rows: Vec<Vec<Cell>>,
}

impl Table {
    /// Adds a row of (column, cell) pairs. The first row names the columns.
    pub fn push(&mut self, row: Vec<(String, Cell)>) {
        let (names, cells): (Vec<String>, Vec<Cell>) = row.into_iter().unzip();
        if self.rows.is_empty() {
            self.columns = names;
        } else {
            debug_assert_eq!(self.columns, names);
        }
        self.rows.push(cells);
    }

    /// A row as a JSON object.
    pub fn object(&self, row: &[Cell]) -> serde_json::Value {
        let value = |cell: &Cell| -> serde_json::Value {
            match cell {
                Cell::Text(text) => text.as_str().into(),
                Cell::Integer(n) => (*n).into(),
                Cell::Real(x) => (*x).into(),
            }
        };
        let cells = row.iter().map(value);
        self.columns.iter().cloned().zip(cells).collect()
    }

    /// Aligned columns: text to the left, numbers to the right.
    pub fn write_text(&self, out: &mut dyn Write) -> io::Result<()> {
        let cells: Vec<Vec<String>> = self
            .rows
            .iter()
            .map(|row| row.iter().map(Cell::short).collect())
            .collect();
        let widths: Vec<usize> = (0..self.columns.len())
            .map(|c| {
                cells
                    .iter()
                    .map(|row| row[c].chars().count())
                    .chain([self.columns[c].chars().count()])
                    .max()
                    .unwrap_or(0)
            })
            .collect();
        let is_text: Vec<bool> = (0..self.columns.len())
            .map(|c| self.rows.iter().all(|row| matches!(row[c], Cell::Text(_))))
            .collect();
        for row in std::iter::once(&self.columns).chain(&cells) {
            let mut line = String::new();
            for ((cell, &width), &text) in row.iter().zip(&widths).zip(&is_text) {
                if !line.is_empty() {
                    line.push_str("  ");
                }
                if text {
                    line.push_str(&format!("{cell:<width$}"));
                } else {
                    line.push_str(&format!("{cell:>width$}"));
                }
            }
            writeln!(out, "{}", line.trim_end())?;
        }
        Ok(())
    }

    /// CSV with full precision.
    pub fn write_csv(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut writer = csv::Writer::from_writer(out);
        writer.write_record(&self.columns).map_err(csv_error)?;
        for row in &self.rows {
            writer
                .write_record(row.iter().map(Cell::exact))
                .map_err(csv_error)?;
        }
        writer.flush()
    }

    /// Parquet, uncompressed, in one row group.
    #[cfg(feature = "parquet")]
    pub fn write_parquet(&self, out: &mut Vec<u8>) -> anyhow::Result<()> {
        parquet_file::write(self, out)
    }
}

/// Keeps the kind of an output error, so that a closed pipe is told from a full disk.
fn csv_error(error: csv::Error) -> io::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        other => io::Error::other(format!("{other:?}")),
    }
}

#[cfg(feature = "parquet")]
mod parquet_file {
    use std::sync::Arc;

    use parquet::basic::{LogicalType, Repetition, Type as Physical};
    use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int64Type};
    use parquet::file::properties::WriterProperties;
    use parquet::file::writer::SerializedFileWriter;
    use parquet::schema::types::Type;

    use super::{Cell, Table};

    pub(super) fn write(table: &Table, out: &mut Vec<u8>) -> anyhow::Result<()> {
        let column = |c: usize| table.rows.iter().map(move |row| &row[c]);
        let physical = |c: usize| match table.rows.first().map(|row| &row[c]) {
            Some(Cell::Text(_)) => Physical::BYTE_ARRAY,
            Some(Cell::Integer(_)) => Physical::INT64,
            _ => Physical::DOUBLE,
        };
        let fields = table
            .columns
            .iter()
            .enumerate()
            .map(|(c, name)| {
                let field = Type::primitive_type_builder(name, physical(c));
                let field = match physical(c) {
                    Physical::DOUBLE | Physical::INT64 => {
                        field.with_repetition(Repetition::OPTIONAL)
                    }
                    Physical::BYTE_ARRAY => field
                        .with_repetition(Repetition::REQUIRED)
                        .with_logical_type(Some(LogicalType::String)),
                    _ => field.with_repetition(Repetition::REQUIRED),
                };
                Ok(Arc::new(field.build()?))
            })
            .collect::<anyhow::Result<Vec<_>>>()?;
        let schema = Type::group_type_builder("results")
            .with_fields(fields)
            .build()?;
        let mut file = SerializedFileWriter::new(
            out,
            Arc::new(schema),
            Arc::new(WriterProperties::default()),
        )?;
        let mut group = file.next_row_group()?;
        let mut c = 0;
        while let Some(mut writer) = group.next_column()? {
            match physical(c) {
                Physical::BYTE_ARRAY => {
                    let values: Vec<ByteArray> = column(c)
                        .map(|cell| ByteArray::from(cell.exact().into_bytes()))
                        .collect();
                    writer
                        .typed::<ByteArrayType>()
                        .write_batch(&values, None, None)?;
                }
                Physical::INT64 => {
                    let cells: Vec<Option<i64>> = column(c)
                        .map(|cell| match cell {
                            Cell::Integer(n) => *n,
                            _ => None,
                        })
                        .collect();
                    let values: Vec<i64> = cells.iter().flatten().copied().collect();
                    let present: Vec<i16> = cells.iter().map(|n| i16::from(n.is_some())).collect();
                    writer
                        .typed::<Int64Type>()
                        .write_batch(&values, Some(&present), None)?;
                }
                _ => {
                    let cells: Vec<Option<f64>> = column(c)
                        .map(|cell| match cell {
                            Cell::Real(x) => x.filter(|x| !x.is_nan()),
                            _ => None,
                        })
                        .collect();
                    let values: Vec<f64> = cells.iter().flatten().copied().collect();
                    let present: Vec<i16> = cells.iter().map(|x| i16::from(x.is_some())).collect();
                    writer
                        .typed::<DoubleType>()
                        .write_batch(&values, Some(&present), None)?;
                }
            }
            writer.close()?;
            c += 1;
        }
        group.close()?;
        file.close()?;
        Ok(())
    }
}

/// A file that exists and may not be overwritten.
#[derive(Debug, thiserror::Error)]
#[error("{} exists already\n  try: {remedy}", path.display())]
pub struct Exists {
    /// The file.
    pub path: PathBuf,
    /// What to type.
    pub remedy: String,
}

impl Exists {
    fn new(path: PathBuf) -> Self {
        Self {
            path,
            remedy: "--force to overwrite it, or another name".to_owned(),
        }
    }
}

/// A file that cannot be written to.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {}: {problem}\n  try: {remedy}", path.display())]
pub struct Unwritable {
    /// The file.
    pub path: PathBuf,
    /// Why.
    pub problem: String,
    /// What to type or change.
    pub remedy: String,
}

/// Whether a path is a device or a pipe, or stands for an open file of this process (`/dev/stdout`): written to as it is,
/// never replaced.
pub fn in_place(path: &Path) -> bool {
    let special = path.metadata().is_ok_and(|m| !m.is_file() && !m.is_dir());
    let own = |folder: &str| path.starts_with(folder);
    special
        || own("/dev/fd")
        || own("/proc")
        || ["/dev/stdout", "/dev/stderr"]
            .map(Path::new)
            .contains(&path)
}

/// Refuses, before the work begins, a path that exists (unless `force`), a folder, and a path whose folder is not there or
/// not writable. [`save`] asks again.
pub fn check_writable(path: &Path, force: bool) -> anyhow::Result<()> {
    if in_place(path) {
        return Ok(());
    }
    let refuse = |problem: String, remedy: &str| {
        Err(Unwritable {
            path: path.to_path_buf(),
            problem,
            remedy: remedy.to_owned(),
        }
        .into())
    };
    if path.is_dir() {
        return refuse("it is a folder".into(), "the name of a file in it");
    }
    if !force && path.symlink_metadata().is_ok() {
        return Err(Exists::new(path.to_path_buf()).into());
    }
    // A link's file is replaced where it stands.
    let target = path.canonicalize();
    let folder = mftma_atomic::folder(target.as_deref().unwrap_or(path));
    if !folder.is_dir() {
        return refuse(
            format!("there is no folder {}", folder.display()),
            "make the folder first, or another name",
        );
    }
    match mftma_atomic::try_folder(folder) {
        Ok(()) => Ok(()),
        Err(error) => refuse(error.to_string(), "a folder in which you may write"),
    }
}

/// The name of a result that is not whole.
pub fn partial(path: &Path) -> PathBuf {
    if in_place(path) {
        return path.to_path_buf();
    }
    let mut name = path.as_os_str().to_owned();
    name.push(".partial");
    name.into()
}

/// Refuses, before the work begins, to write over what an interrupted run left of `path` (unless `force`). The work itself then
/// writes over it.
pub fn check_partial(path: &Path, force: bool, remedy: &str) -> anyhow::Result<()> {
    let partial = partial(path);
    match check_writable(&partial, force) {
        Err(error) if error.is::<Exists>() => Err(Exists {
            path: partial,
            remedy: remedy.to_owned(),
        }
        .into()),
        checked => checked,
    }
}

/// Keeps a result that could not be written as `name` because of `error`: in the folder of temporary files, or else on standard
/// output (where `stdout` allows it). The error then says where it is.
pub fn rescue(name: &str, content: &[u8], stdout: bool, error: anyhow::Error) -> anyhow::Error {
    let folder = std::env::temp_dir();
    for at in 0..100 {
        let path = folder.join(match at {
            0 => format!("mftma-{name}"),
            at => format!("mftma-{at}-{name}"),
        });
        match mftma_atomic::write_new(&path, content) {
            Ok(()) => {
                return error.context(format!("the result is in {} instead", path.display()));
            }
            Err(error) if error.source.kind() == io::ErrorKind::AlreadyExists => {}
            Err(_) => break,
        }
    }
    if stdout && print(content).is_ok() {
        return error.context("the result is on standard output instead");
    }
    error.context(format!(
        "the result is lost: it could not be written to {} (TMPDIR) either",
        folder.display()
    ))
}

/// Writes to standard output.
pub fn print(bytes: &[u8]) -> anyhow::Result<()> {
    use anyhow::Context;
    let mut stdout = io::stdout().lock();
    let written = stdout.write_all(bytes).and_then(|()| stdout.flush());
    written.context("cannot write to standard output; check the free space where it leads")
}

/// Whether an error is that the reader of the output has seen enough (`mftma analyze … | head`), which is no failure. Rust ignores
/// SIGPIPE, so a closed pipe comes as an error of writing.
pub fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|e| e.downcast_ref::<io::Error>())
        .any(|e| e.kind() == io::ErrorKind::BrokenPipe)
}

/// Writes a whole file or nothing, by the rules of [`mftma_atomic`]. Devices and pipes are written to.
pub fn save(path: &Path, content: &[u8], force: bool) -> anyhow::Result<()> {
    use anyhow::Context;
    if in_place(path) {
        let write = || {
            let mut file = std::fs::OpenOptions::new().write(true).open(path)?;
            file.write_all(content)
        };
        return write().with_context(|| {
            format!(
                "cannot write {}; check the free space where it leads",
                path.display()
            )
        });
    }
    if force {
        return Ok(mftma_atomic::write(path, content)?);
    }
    mftma_atomic::write_new(path, content).map_err(|error| match error.source.kind() {
        io::ErrorKind::AlreadyExists => Exists::new(error.path).into(),
        _ => error.into(),
    })
}
