//! One array in a file, and its use as points × features.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use half::{bf16, f16};
use ndarray::{Array2, ArrayView2, ShapeBuilder};
use rayon::prelude::*;

use crate::bytes::Bytes;
use crate::error::{InputError, Place};

/// Number types that activations may have. Values are used exactly as stored: nothing is rounded on the way in, except
/// that 64-bit integers beyond ±2⁵³ become the nearest `f64`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Element {
    /// One byte, 0 or 1.
    Bool,
    /// Signed 8 bit.
    I8,
    /// Unsigned 8 bit.
    U8,
    /// Signed 16 bit.
    I16,
    /// Unsigned 16 bit.
    U16,
    /// Signed 32 bit.
    I32,
    /// Unsigned 32 bit.
    U32,
    /// Signed 64 bit.
    I64,
    /// Unsigned 64 bit.
    U64,
    /// IEEE half precision.
    F16,
    /// bfloat16: the upper half of an `f32`.
    Bf16,
    /// IEEE single precision.
    F32,
    /// IEEE double precision.
    F64,
}

impl Element {
    /// Bytes of one value.
    pub fn size(self) -> usize {
        match self {
            Self::Bool | Self::I8 | Self::U8 => 1,
            Self::I16 | Self::U16 | Self::F16 | Self::Bf16 => 2,
            Self::I32 | Self::U32 | Self::F32 => 4,
            Self::I64 | Self::U64 | Self::F64 => 8,
        }
    }

    /// Whether `f32` holds every value of this type exactly.
    pub fn fits_f32(self) -> bool {
        !matches!(
            self,
            Self::I32 | Self::U32 | Self::I64 | Self::U64 | Self::F64
        )
    }

    /// Whether NaN and infinities are possible.
    pub fn is_float(self) -> bool {
        matches!(self, Self::F16 | Self::Bf16 | Self::F32 | Self::F64)
    }
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bool => "bool",
            Self::I8 => "int8",
            Self::U8 => "uint8",
            Self::I16 => "int16",
            Self::U16 => "uint16",
            Self::I32 => "int32",
            Self::U32 => "uint32",
            Self::I64 => "int64",
            Self::U64 => "uint64",
            Self::F16 => "float16",
            Self::Bf16 => "bfloat16",
            Self::F32 => "float32",
            Self::F64 => "float64",
        })
    }
}

/// What an array is, without its values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArrayInfo {
    /// Number type.
    pub element: Element,
    /// Whether values are stored most significant byte first.
    pub big_endian: bool,
    /// Length along each axis.
    pub shape: Vec<usize>,
    /// Fortran order: the first axis varies fastest. Otherwise the last does (C order).
    pub fortran_order: bool,
}

impl ArrayInfo {
    /// Bytes of all values, or `None` where that overflows.
    pub fn data_len(&self) -> Option<usize> {
        self.shape
            .iter()
            .try_fold(self.element.size(), |a, &b| a.checked_mul(b))
    }

    /// `100 x 5000 float32`, with the unusual said.
    pub fn describe(&self) -> String {
        let shape: Vec<String> = self.shape.iter().map(ToString::to_string).collect();
        let shape = if shape.is_empty() {
            "scalar".to_owned()
        } else {
            shape.join(" x ")
        };
        let mut text = format!("{shape} {}", self.element);
        if self.fortran_order && self.shape.len() > 1 {
            text.push_str(", Fortran order");
        }
        if self.big_endian && self.element.size() > 1 {
            text.push_str(", big-endian");
        }
        text
    }
}

/// An array whose values are at hand.
#[derive(Debug, Clone)]
pub struct Array {
    place: Place,
    info: ArrayInfo,
    bytes: Arc<Bytes>,
    start: usize,
    /// Where runs of points came from that are stored apart, each with its number of points; empty for a single array.
    pieces: Arc<[(Place, usize)]>,
}

impl Array {
    /// Checks that `bytes` from `start` on hold every declared value.
    pub fn new(
        place: Place,
        info: ArrayInfo,
        bytes: Arc<Bytes>,
        start: usize,
    ) -> Result<Self, InputError> {
        let available = bytes.len().saturating_sub(start);
        match info.data_len() {
            Some(len) if len <= available => Ok(Self {
                place,
                info,
                bytes,
                start,
                pieces: Arc::default(),
            }),
            Some(len) => Err(InputError::malformed(
                &place,
                format!(
                    "the header declares {} ({len} bytes) but only {available} bytes follow",
                    info.describe()
                ),
                "the file was cut short or its header is damaged: write or copy it again",
            )),
            None => Err(InputError::malformed(
                &place,
                format!(
                    "the header declares {}, more than can be addressed",
                    info.describe()
                ),
                "the header is damaged: write the file again",
            )),
        }
    }

    /// Where the array came from.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Type, shape and order.
    pub fn info(&self) -> &ArrayInfo {
        &self.info
    }

    /// The same, with the places of the arrays that it was joined from along its first axis.
    pub(crate) fn joined_from(mut self, pieces: Vec<(Place, usize)>) -> Self {
        self.pieces = pieces.into();
        self
    }

    /// The bytes that hold the values, and where these start.
    pub(crate) fn stored(&self) -> (Arc<Bytes>, usize) {
        (Arc::clone(&self.bytes), self.start)
    }

    /// The stored bytes of all values.
    pub fn data(&self) -> &[u8] {
        let len = self.info.data_len().unwrap_or(0);
        &self.bytes[self.start..self.start + len]
    }
}

/// Which axis of an array counts the points.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
pub enum Layout {
    /// The first axis counts points; all others are flattened into features (PyTorch's and JAX's habit).
    #[default]
    PointsByFeatures,
    /// The last axis counts points; all others are flattened into features (the reference package's habit).
    FeaturesByPoints,
    /// The first axis counts classes, the second the points of each; all others are flattened into features.
    ClassesByPointsByFeatures,
    /// Each array of a file or folder holds the points of one class (points x features), all together one layer.
    OneArrayPerClass,
}

impl Layout {
    /// Number of points of an array of this shape; `None` where it has too few axes.
    pub fn points(self, shape: &[usize]) -> Option<usize> {
        match self {
            Self::PointsByFeatures | Self::OneArrayPerClass => shape.first().copied(),
            Self::FeaturesByPoints => shape.last().copied(),
            Self::ClassesByPointsByFeatures => match shape {
                [classes, points, _, ..] => classes.checked_mul(*points),
                _ => None,
            },
        }
    }

    /// Whether the layout itself says the class of every point.
    pub fn tells_classes(self) -> bool {
        matches!(
            self,
            Self::ClassesByPointsByFeatures | Self::OneArrayPerClass
        )
    }
}

/// An array seen as points × features. Features are numbered in the order in which they lie in the file.
#[derive(Debug, Clone)]
pub struct Matrix {
    array: Array,
    layout: Layout,
    n_points: usize,
    n_features: usize,
    /// Distance in values between neighbours along each side.
    point_stride: usize,
    feature_stride: usize,
}

impl Matrix {
    /// Flattens `array` to two axes. An error where it has fewer than two axes or a length of zero.
    pub fn new(array: Array, layout: Layout) -> Result<Self, InputError> {
        let shape = &array.info.shape;
        if shape.len() < 2 {
            return Err(InputError::content(
                &array.place,
                format!(
                    "{} has {} axis; activations need two or more (points x features)",
                    array.info.describe(),
                    shape.len()
                ),
                "save a two-dimensional array, or name the arrays to read with --layers",
            ));
        }
        if layout == Layout::ClassesByPointsByFeatures {
            if shape.len() < 3 {
                return Err(InputError::content(
                    &array.place,
                    format!(
                        "{} has {} axes; classes x points x features were announced",
                        array.info.describe(),
                        shape.len()
                    ),
                    "--layout points-by-features with --labels, or save an array of three axes",
                ));
            }
            if array.info.fortran_order {
                return Err(InputError::unsupported(
                    &array.place,
                    "classes x points x features in Fortran order",
                    "save numpy.ascontiguousarray(x)",
                ));
            }
        }
        let total: usize = shape.iter().product();
        if total == 0 {
            return Err(InputError::content(
                &array.place,
                format!("{} holds no values", array.info.describe()),
                "check the code that collected the activations",
            ));
        }
        // The product of all lengths is no zero and did not overflow, so that of some is neither.
        let n_points = layout.points(shape).unwrap_or(1);
        let n_features = total / n_points;
        // Points lie apart by everything that varies faster.
        let points_first = layout != Layout::FeaturesByPoints;
        let points_vary_slowest = points_first != array.info.fortran_order;
        let (point_stride, feature_stride) = if points_vary_slowest {
            (n_features, 1)
        } else {
            (1, n_points)
        };
        Ok(Self {
            array,
            layout,
            n_points,
            n_features,
            point_stride,
            feature_stride,
        })
    }

    /// Number of points.
    pub fn n_points(&self) -> usize {
        self.n_points
    }

    /// Number of features.
    pub fn n_features(&self) -> usize {
        self.n_features
    }

    /// Number type.
    pub fn element(&self) -> Element {
        self.array.info.element
    }

    /// Where the array came from.
    pub fn place(&self) -> &Place {
        &self.array.place
    }

    /// The whole matrix where it lies, shape (points, features). `None` where the file holds another number type, byte order
    /// or axis order, or where its numbers do not begin at a multiple of their size.
    pub fn view<T: Value>(&self) -> Option<ArrayView2<'_, T>> {
        let info = &self.array.info;
        let as_stored = info.element == T::ELEMENT
            && info.big_endian == cfg!(target_endian = "big")
            && self.feature_stride == 1;
        if !as_stored {
            return None;
        }
        let values = bytemuck::try_cast_slice(self.array.data()).ok()?;
        ArrayView2::from_shape((self.n_points, self.n_features), values).ok()
    }

    /// The values of `points` (in that order) in a range of features, shape (points, features).
    ///
    /// Memory order of the result follows the file's, so that reading is sequential. Panics where a point or feature
    /// is out of range; callers draw both from this matrix' own lengths.
    pub fn gather<T: Value>(&self, points: &[usize], features: Range<usize>) -> Array2<T> {
        // By way of f64, which holds every value of every type but the largest 64-bit integers; the compiler drops
        // the detour where source and target are the same.
        match self.array.info.element {
            Element::Bool | Element::U8 => {
                self.gather_as(points, features, |b: [u8; 1]| f64::from(b[0]))
            }
            Element::I8 => self.gather_as(points, features, |b| f64::from(i8::from_ne_bytes(b))),
            Element::I16 => self.gather_as(points, features, |b| f64::from(i16::from_ne_bytes(b))),
            Element::U16 => self.gather_as(points, features, |b| f64::from(u16::from_ne_bytes(b))),
            Element::I32 => self.gather_as(points, features, |b| f64::from(i32::from_ne_bytes(b))),
            Element::U32 => self.gather_as(points, features, |b| f64::from(u32::from_ne_bytes(b))),
            Element::I64 => self.gather_as(points, features, |b| i64::from_ne_bytes(b) as f64),
            Element::U64 => self.gather_as(points, features, |b| u64::from_ne_bytes(b) as f64),
            Element::F16 => self.gather_as(points, features, |b| f16::from_ne_bytes(b).to_f64()),
            Element::Bf16 => self.gather_as(points, features, |b| bf16::from_ne_bytes(b).to_f64()),
            Element::F32 => self.gather_as(points, features, |b| f64::from(f32::from_ne_bytes(b))),
            Element::F64 => self.gather_as(points, features, f64::from_ne_bytes),
        }
    }

    fn gather_as<T: Value, const B: usize>(
        &self,
        points: &[usize],
        features: Range<usize>,
        parse: impl Fn([u8; B]) -> f64 + Sync,
    ) -> Array2<T> {
        let data = self.array.data();
        let swap = self.array.info.big_endian != cfg!(target_endian = "big");
        let decode = |bytes: &[u8; B]| {
            let mut bytes = *bytes;
            if swap {
                bytes.reverse();
            }
            T::from_f64(parse(bytes))
        };
        // The run of values that lie side by side in the file, `first` on.
        let run = |first: usize, len: usize| data[first * B..(first + len) * B].as_chunks::<B>().0;
        let (n, width) = (points.len(), features.len());
        let mut values = vec![T::from_f64(0.0); n * width];
        if self.feature_stride == 1 {
            values
                .par_chunks_exact_mut(width.max(1))
                .zip(points)
                .for_each(|(row, &point)| {
                    let run = run(point * self.point_stride + features.start, width);
                    for (value, bytes) in row.iter_mut().zip(run) {
                        *value = decode(bytes);
                    }
                });
            Array2::from_shape_vec((n, width), values)
        } else {
            values
                .par_chunks_exact_mut(n.max(1))
                .zip(features)
                .for_each(|(column, feature)| {
                    let run = run(feature * self.feature_stride, self.n_points);
                    for (value, &point) in column.iter_mut().zip(points) {
                        *value = decode(&run[point]);
                    }
                });
            Array2::from_shape_vec((n, width).f(), values)
        }
        .expect("n * width values")
    }

    /// The index, in the array's own axes, of one feature of one point: `[12, 3, 0, 7]`.
    pub fn index_of(&self, point: usize, feature: usize) -> Vec<usize> {
        let mut rest = point * self.point_stride + feature * self.feature_stride;
        let shape = &self.array.info.shape;
        let mut index = vec![0; shape.len()];
        let mut split = |axis: usize| {
            index[axis] = rest % shape[axis];
            rest /= shape[axis];
        };
        if self.array.info.fortran_order {
            (0..shape.len()).for_each(&mut split);
        } else {
            (0..shape.len()).rev().for_each(&mut split);
        }
        index
    }

    /// For an array that was joined from several: where a point is stored, and which point of that array it is.
    pub fn piece_of(&self, point: usize) -> Option<(&Place, usize)> {
        let mut left = point;
        for (place, points) in self.array.pieces.iter() {
            if left < *points {
                return Some((place, left));
            }
            left -= points;
        }
        None
    }

    /// The layout that was asked for.
    pub fn layout(&self) -> Layout {
        self.layout
    }
}

/// The two precisions that the engine takes.
pub trait Value: bytemuck::Pod + Send + Sync {
    /// This type in a file.
    const ELEMENT: Element;
    /// The nearest value.
    fn from_f64(x: f64) -> Self;
    /// Neither NaN nor infinite.
    fn is_finite(self) -> bool;
}

impl Value for f32 {
    const ELEMENT: Element = Element::F32;
    fn from_f64(x: f64) -> Self {
        x as f32
    }
    fn is_finite(self) -> bool {
        f32::is_finite(self)
    }
}

impl Value for f64 {
    const ELEMENT: Element = Element::F64;
    fn from_f64(x: f64) -> Self {
        x
    }
    fn is_finite(self) -> bool {
        f64::is_finite(self)
    }
}
