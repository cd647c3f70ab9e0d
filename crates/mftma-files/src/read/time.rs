//! One axis of an array as time: a layer for each bin.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use super::strided::{Strided, strides_of};
use super::{Decode, Entry, ReadOptions, Storage};
use crate::array::{Array, ArrayInfo};
use crate::bytes::Bytes;
use crate::error::{InputError, Place};

/// More bins than anybody looks at: the wrong axis was named.
const MOST_BINS: usize = 10_000;

/// Splits arrays along an axis, counted from 0 as the file has it: `conv1` of P × T × N with axis 1 becomes `conv1 [bin 0]`,
/// `conv1 [bin 1]`, … of P × N each.
///
/// An array of one axis (labels, say) stays as it is, and so does one that cannot be used. An error where an array has the
/// axis not, or two axes only. Values are read when a bin's turn comes; what is compressed is unpacked once for all bins.
pub fn bins(entries: Vec<Entry>, axis: usize) -> Result<Vec<Entry>, InputError> {
    let mut split = Vec::new();
    for entry in entries {
        let info = match &entry.info {
            Ok(info) if info.shape.len() > 1 => info.clone(),
            _ => {
                split.push(entry);
                continue;
            }
        };
        let bins = info.shape.get(axis).copied();
        let Some(n) = bins.filter(|_| info.shape.len() > 2) else {
            return Err(InputError::content(
                &entry.place,
                format!(
                    "--time-axis {axis}, but {:?} is {}; points, time and features were announced",
                    entry.name,
                    info.describe()
                ),
                "--time-axis with an axis of the array, counted from 0, or --layers with arrays that have one",
            ));
        };
        if n == 0 || n > MOST_BINS {
            return Err(InputError::content(
                &entry.place,
                format!(
                    "--time-axis {axis} of {} makes {n} bins of {:?}",
                    info.describe(),
                    entry.name
                ),
                "--time-axis with the axis of time, counted from 0",
            ));
        }
        let Some(strides) = strides_of(&info) else {
            return Err(InputError::malformed(
                &entry.place,
                format!("{} cannot be addressed", info.describe()),
                "write the file again",
            ));
        };
        let mut of_bin = ArrayInfo {
            fortran_order: false,
            ..info
        };
        of_bin.shape.remove(axis);
        let (name, place) = (entry.name.clone(), entry.place.clone());
        let whole = Arc::new(Whole(Mutex::new(State::Unread(Box::new(entry)))));
        for at in 0..n {
            split.push(Entry {
                name: format!("{name} [bin {at}]"),
                place: place.clone(),
                info: Ok(of_bin.clone()),
                storage: Storage::Decoded(Box::new(Bin {
                    whole: Arc::clone(&whole),
                    strides: strides.clone(),
                    axis,
                    at,
                })),
            });
        }
    }
    Ok(split)
}

/// An array that several bins share.
#[derive(Debug)]
struct Whole(Mutex<State>);

#[derive(Debug)]
enum State {
    Unread(Box<Entry>),
    Read(Array),
    Failed,
}

#[derive(Debug)]
struct Bin {
    whole: Arc<Whole>,
    /// Of the whole array, in bytes.
    strides: Vec<usize>,
    axis: usize,
    at: usize,
}

impl Decode for Bin {
    fn stored(&self) -> &'static str {
        "a time bin"
    }

    fn each_file(&self, place: &Place, _info: &ArrayInfo, visit: &mut dyn FnMut(&Path)) {
        match &*self.whole.0.lock().unwrap_or_else(PoisonError::into_inner) {
            State::Unread(entry) => entry.each_file(visit),
            State::Read(_) | State::Failed => visit(&place.file),
        }
    }

    fn decode(
        &self,
        place: &Place,
        info: &ArrayInfo,
        options: ReadOptions<'_>,
    ) -> Result<(Arc<Bytes>, usize), InputError> {
        let mut state = self.whole.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let State::Unread(_) = &*state
            && let State::Unread(entry) = std::mem::replace(&mut *state, State::Failed)
        {
            *state = State::Read(entry.load(options)?);
        }
        let State::Read(array) = &*state else {
            return Err(InputError::malformed(
                place,
                "the array could not be read (see the first of its bins)",
                "mend what is said of the first bin",
            ));
        };
        let (bytes, start) = array.stored();
        drop(state);
        let mut strides = self.strides.clone();
        // The whole was checked against its bytes, so that no index of it overflows.
        let start = start + self.at * strides.remove(self.axis);
        if strides_of(info).as_ref() == Some(&strides) {
            return Ok((bytes, start));
        }
        Strided {
            bytes,
            start,
            strides,
        }
        .decode(place, info, options)
    }
}
