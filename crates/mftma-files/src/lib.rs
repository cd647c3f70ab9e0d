#![doc = include_str!("../README.md")]

pub mod array;
pub mod bytes;
pub mod error;
pub mod read;
#[cfg(feature = "engine")]
pub mod source;

pub use array::{Array, ArrayInfo, Element, Layout, Matrix};
pub use error::{InputError, Place};
pub use read::labels::Labels;
pub use read::{Entry, Format, ReadOptions, open};
#[cfg(feature = "engine")]
pub use source::{LayerSource, Selection, Wanted};
