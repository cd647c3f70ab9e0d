//! What can be wrong with the input.

/// Input that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LinearError {
    /// A setting is outside its range.
    #[error("`{setting}` is {value}, but must be {requirement}")]
    Setting {
        /// Name of the argument.
        setting: &'static str,
        /// The value given.
        value: f64,
        /// The range or condition that it must meet.
        requirement: &'static str,
    },
    /// Two sizes contradict each other.
    #[error("{what}: expected {expected}, found {found}")]
    Shape {
        /// Which size.
        what: &'static str,
        /// What the other arguments say it must be.
        expected: usize,
        /// What it is.
        found: usize,
    },
    /// An array has no entries.
    #[error("{what} is empty: give it at least one row and one column")]
    Empty {
        /// Which array.
        what: &'static str,
    },
    /// A value is NaN or infinite.
    #[error("{what}: row {row}, column {column} is not finite")]
    NotFinite {
        /// Which array.
        what: &'static str,
        /// Its row, from 0.
        row: usize,
        /// Its column, from 0.
        column: usize,
    },
    /// A decomposition failed, as it does for values too large to square.
    #[error("the decomposition failed: entries may be too large to square in double precision")]
    Decomposition,
    /// The integration took too many steps.
    #[error("more than {limit} steps up to time {time}: ask for earlier times or a larger tau")]
    Steps {
        /// The limit on steps.
        limit: usize,
        /// The time that was asked for.
        time: f64,
    },
}

pub(crate) fn setting(
    setting: &'static str,
    value: f64,
    holds: bool,
    requirement: &'static str,
) -> Result<(), LinearError> {
    if holds {
        return Ok(());
    }
    Err(LinearError::Setting {
        setting,
        value,
        requirement,
    })
}

pub(crate) fn shape(what: &'static str, expected: usize, found: usize) -> Result<(), LinearError> {
    if expected == found {
        return Ok(());
    }
    Err(LinearError::Shape {
        what,
        expected,
        found,
    })
}

/// All entries finite, and at least one of them.
pub(crate) fn finite<T: Copy + Into<f64>>(
    what: &'static str,
    a: ndarray::ArrayView2<'_, T>,
) -> Result<(), LinearError> {
    if a.is_empty() {
        return Err(LinearError::Empty { what });
    }
    match a
        .indexed_iter()
        .find(|(_, x)| !Into::<f64>::into(**x).is_finite())
    {
        None => Ok(()),
        Some(((row, column), _)) => Err(LinearError::NotFinite { what, row, column }),
    }
}

pub(crate) fn times(times: &[f64]) -> Result<(), LinearError> {
    for &t in times {
        setting(
            "times",
            t,
            t >= 0.0 && t.is_finite(),
            "finite and not negative",
        )?;
    }
    Ok(())
}
