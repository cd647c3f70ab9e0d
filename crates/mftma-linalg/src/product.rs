//! Products of matrices, whose bytes depend neither on the pool nor on the processor.
//!
//! Every entry is summed term by term, one rounding each, in runs of [`RUN`] terms. So does faer on x86-64 with AVX2 or AVX-512, which
//! large products and triangular ones are left to there; elsewhere its runs are as long as the processor's caches make them. Where it adds
//! multiples of whole columns to columns it does so on every processor. One row or column of inner products, which faer takes in as many
//! sums as the registers hold, is taken in eight sums. Strides must not be negative.

use std::cell::RefCell;

use faer::linalg::matmul::{matmul, triangular};
use faer::prelude::*;
use faer::{Accum, Mat, MatMut, MatRef, Par};

/// How many terms are summed before the sum is added to an entry.
const RUN: usize = 512;
/// Up to so many multiplications faer has kernels, and roundings, of another kind.
const SMALL: usize = 4096;
/// Rows and columns of a tile whose sums stay in registers: sixteen registers of NEON.
const ROWS: usize = 8;
const COLUMNS: usize = 4;
/// Rows that are laid out for the tiles at a time, RUN terms of which are a mebibyte.
const BLOCK: usize = 256;

/// a (m, k) · b (k, n), on the calling thread.
pub fn product(a: MatRef<'_, f64>, b: MatRef<'_, f64>) -> Mat<f64> {
    let mut out = Mat::zeros(a.nrows(), b.ncols());
    add_product(out.as_mut(), 1.0, a, b);
    out
}

/// Adds scale · a (m, k) · b (k, n) to `out` (m, n), on the calling thread.
pub fn add_product(mut out: MatMut<'_, f64>, scale: f64, a: MatRef<'_, f64>, b: MatRef<'_, f64>) {
    let (m, n) = out.shape();
    assert_eq!((m, n, a.ncols()), (a.nrows(), b.ncols(), b.nrows()));
    if (m == 1 || n == 1)
        && let Some(rows) = a.transpose().try_as_col_major()
        && let Some(columns) = b.try_as_col_major()
    {
        for j in 0..n {
            for i in 0..m {
                out[(i, j)] += scale * dot(rows.col(i).as_slice(), columns.col(j).as_slice());
            }
        }
        return;
    }
    let large = m * n * a.ncols() > SMALL && faer_goes_by_terms();
    if large || column_by_column(out.as_ref(), a, b) {
        matmul(out, Accum::Add, a, b, scale, Par::Seq);
    } else {
        by_terms(out, Part::Whole, scale, a, b);
    }
}

/// Whether faer adds multiples of whole columns (or rows) to those of `out`: term by term too, but with no sum beside it.
fn column_by_column(out: MatRef<'_, f64>, a: MatRef<'_, f64>, b: MatRef<'_, f64>) -> bool {
    let columns = out.try_as_col_major().is_some() && a.try_as_col_major().is_some();
    let rows = out.try_as_row_major().is_some() && b.try_as_row_major().is_some();
    match (out.nrows(), out.ncols(), a.ncols()) {
        (_, _, 1) | (1, 1, _) => columns || rows,
        (_, 1, _) => columns,
        (1, _, _) => rows,
        _ => false,
    }
}

/// Adds scale · a (m, k) · aᵀ to the lower triangle of `out` (m, m), diagonal included, on the calling thread.
pub fn add_symmetric_product(out: MatMut<'_, f64>, scale: f64, a: MatRef<'_, f64>) {
    use triangular::BlockStructure::{Rectangular, TriangularLower};
    assert_eq!(out.shape(), (a.nrows(), a.nrows()));
    if !faer_goes_by_terms() {
        return by_terms(out, Part::Lower, scale, a, a.transpose());
    }
    triangular::matmul(
        out,
        TriangularLower,
        Accum::Add,
        a,
        Rectangular,
        a.transpose(),
        Rectangular,
        scale,
        Par::Seq,
    );
}

/// Whether faer's own products take the steps of [`by_terms`].
fn faer_goes_by_terms() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma")
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        false
    }
}

/// Which entries of a product are wanted.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Part {
    Whole,
    /// The diagonal and what is below it.
    Lower,
}

/// Adds scale · a · b.
fn by_terms(out: MatMut<'_, f64>, part: Part, scale: f64, a: MatRef<'_, f64>, b: MatRef<'_, f64>) {
    thread_local! {
        static SCRATCH: RefCell<Scratch> = RefCell::default();
    }
    // By columns where it can be: products of terms are the same the other way round.
    let (out, a, b) = match part {
        Part::Whole if out.col_stride() == 1 => (out.transpose_mut(), b.transpose(), a.transpose()),
        _ => (out, a, b),
    };
    SCRATCH.with_borrow_mut(|scratch| {
        let longest = RUN.min(a.ncols());
        let rows = BLOCK.min(out.nrows()).div_ceil(ROWS);
        let Scratch { left, right } = scratch;
        left.resize(left.len().max(rows * longest), [0.0; ROWS]);
        right.resize(right.len().max(longest), [0.0; COLUMNS]);
        pulp::Arch::new().dispatch(ByTerms {
            out,
            part,
            scale,
            a,
            b,
            left,
            right,
        });
    });
}

/// Tiles of rows and one of columns, terms outermost; what is beyond the edges is nought.
#[derive(Default)]
struct Scratch {
    left: Vec<[f64; ROWS]>,
    right: Vec<[f64; COLUMNS]>,
}

/// [`by_terms`], with room for its tiles.
struct ByTerms<'a> {
    out: MatMut<'a, f64>,
    part: Part,
    scale: f64,
    a: MatRef<'a, f64>,
    b: MatRef<'a, f64>,
    left: &'a mut [[f64; ROWS]],
    right: &'a mut [[f64; COLUMNS]],
}

impl pulp::NullaryFnOnce for ByTerms<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self {
            mut out,
            part,
            scale,
            a,
            b,
            left,
            right,
        } = self;
        let (m, n, depth) = (out.nrows(), out.ncols(), a.ncols());
        for first in (0..depth).step_by(RUN) {
            let terms = RUN.min(depth - first);
            let right = &mut right[..terms];
            for block in (0..m).step_by(BLOCK) {
                let tiles = (block..m.min(block + BLOCK)).step_by(ROWS);
                for (row, left) in tiles.clone().zip(left.chunks_exact_mut(terms)) {
                    lay(left, a, row, first);
                }
                for column in (0..n).step_by(COLUMNS) {
                    lay(right, b.transpose(), column, first);
                    let columns = COLUMNS.min(n - column);
                    for (row, left) in tiles.clone().zip(left.chunks_exact(terms)) {
                        if part == Part::Lower && row + ROWS <= column {
                            continue;
                        }
                        let sums = tile(left, right);
                        let rows = ROWS.min(m - row);
                        for (j, sums) in (column..).zip(&sums[..columns]) {
                            let from = if part == Part::Lower { j.max(row) } else { row };
                            let sums = &sums[(from - row).min(rows)..rows];
                            if let Some(column) = out.rb_mut().col_mut(j).try_as_col_major_mut() {
                                let column = &mut column.as_slice_mut()[from.min(row + rows)..];
                                let entries = column.iter_mut().zip(sums);
                                entries.for_each(|(entry, sum)| *entry += scale * sum);
                            } else {
                                for (i, sum) in (from..).zip(sums) {
                                    out[(i, j)] += scale * sum;
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Lays out the terms from `first` on of up to N rows from `row` on.
#[inline(always)]
fn lay<const N: usize>(out: &mut [[f64; N]], a: MatRef<'_, f64>, row: usize, first: usize) {
    let rows = N.min(a.nrows() - row);
    if rows < N {
        out.fill([0.0; N]);
    }
    if let Some(a) = a.try_as_col_major() {
        for (t, out) in (first..).zip(out) {
            out[..rows].copy_from_slice(&a.col(t).as_slice()[row..row + rows]);
        }
    } else if let Some(a) = a.transpose().try_as_col_major() {
        for r in 0..rows {
            let terms = &a.col(row + r).as_slice()[first..];
            out.iter_mut().zip(terms).for_each(|(out, x)| out[r] = *x);
        }
    } else {
        for (t, out) in (first..).zip(out) {
            for (r, out) in (row..).zip(&mut out[..rows]) {
                *out = a[(r, t)];
            }
        }
    }
}

/// Sums of the products of two tiles, term by term.
#[inline(always)]
fn tile(left: &[[f64; ROWS]], right: &[[f64; COLUMNS]]) -> [[f64; ROWS]; COLUMNS] {
    let mut sums = [[0.0; ROWS]; COLUMNS];
    for (left, right) in left.iter().zip(right) {
        for (sums, y) in sums.iter_mut().zip(right) {
            for (sum, x) in sums.iter_mut().zip(left) {
                *sum = x.mul_add(*y, *sum);
            }
        }
    }
    sums
}

/// a · b, in eight running sums so that the compiler may take eight entries at a time.
pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    pulp::Arch::new().dispatch(
        #[inline(always)]
        || {
            let (sums, rest) = eight_sums(a, b);
            sums.iter().sum::<f64>() + rest
        },
    )
}

/// Running sums of a · b, one for each place within eight entries, and that of the entries beyond whole eights.
#[inline(always)]
pub(crate) fn eight_sums(a: &[f64], b: &[f64]) -> ([f64; 8], f64) {
    let mut sums = [0.0; 8];
    let (a_chunks, b_chunks) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest = a_chunks
        .remainder()
        .iter()
        .zip(b_chunks.remainder())
        .map(|(x, y)| x * y)
        .sum();
    for (x, y) in a_chunks.zip(b_chunks) {
        for (sum, (x, y)) in sums.iter_mut().zip(x.iter().zip(y)) {
            *sum += x * y;
        }
    }
    (sums, rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::band::tests::numbers;
    use proptest::prelude::*;

    /// As it lies in memory: by columns, by rows, with gaps.
    #[derive(Clone, Copy, Debug)]
    enum Layout {
        Columns,
        Rows,
        Gaps,
    }

    const LAYOUTS: [Layout; 3] = [Layout::Columns, Layout::Rows, Layout::Gaps];

    /// Space for a matrix of this shape in this layout, and drawn values in it.
    fn drawn(m: usize, n: usize, layout: Layout, number: &mut impl FnMut() -> f64) -> Mat<f64> {
        let (rows, columns) = match layout {
            Layout::Columns => (m, n),
            Layout::Rows => (n, m),
            Layout::Gaps => (2 * m + 1, n),
        };
        Mat::from_fn(rows, columns, |_, _| {
            number() * 10_f64.powi((6.0 * number()) as i32)
        })
    }

    fn seen(space: &Mat<f64>, m: usize, layout: Layout) -> MatRef<'_, f64> {
        match layout {
            Layout::Columns => space.as_ref(),
            Layout::Rows => space.transpose(),
            Layout::Gaps => space.subrows(1, m),
        }
    }

    fn view(space: &mut Mat<f64>, m: usize, layout: Layout, work: &dyn Fn(MatMut<'_, f64>)) {
        match layout {
            Layout::Columns => work(space.as_mut()),
            Layout::Rows => work(space.as_mut().transpose_mut()),
            Layout::Gaps => work(space.as_mut().subrows_mut(1, m)),
        }
    }

    fn bits(a: &Mat<f64>) -> Vec<u64> {
        let columns = 0..a.ncols();
        columns
            .flat_map(|j| a.col_as_slice(j).iter().map(|x| x.to_bits()))
            .collect()
    }

    /// The same on every processor: every way that a product is taken, by every layout.
    #[test]
    fn bytes_are_those_of_any_processor() {
        let mut number = numbers(7);
        let mut digest = 0xcbf2_9ce4_8422_2325_u64;
        let mut add = |out: &Mat<f64>| {
            for bits in bits(out) {
                digest = (digest ^ bits)
                    .wrapping_mul(0x0100_0000_01b3)
                    .rotate_left(23);
            }
        };
        for (m, n, k) in [
            (1, 1, 1),
            (1, 1, 5_000),
            (1, 40, 700),
            (40, 1, 700),
            (30, 20, 1),
            (1, 1_000, 9),
            (3, 5, 200),
            (16, 16, 16),
            (17, 16, 16),
            (270, 33, 1_100),
        ] {
            for (l, of_a) in LAYOUTS.into_iter().enumerate() {
                for (r, of_b) in LAYOUTS.into_iter().enumerate() {
                    let a = drawn(m, k, of_a, &mut number);
                    let b = drawn(k, n, of_b, &mut number);
                    let (a, b) = (seen(&a, m, of_a), seen(&b, k, of_b));
                    let of_out = LAYOUTS[(l + 2 * r) % 3];
                    let mut out = drawn(m, n, of_out, &mut number);
                    view(&mut out, m, of_out, &|out| add_product(out, 0.3, a, b));
                    add(&out);
                    let mut lower = drawn(m, m, Layout::Columns, &mut number);
                    add_symmetric_product(lower.as_mut(), -0.7, a);
                    add(&lower);
                }
            }
        }
        assert_eq!(digest, 0xd30d_b454_b441_0d77, "{digest:#018x}");
    }

    #[test]
    #[should_panic(expected = "left")]
    fn shapes_must_agree() {
        let (a, b) = (Mat::zeros(2, 3), Mat::zeros(4, 2));
        add_product(Mat::zeros(2, 2).as_mut(), 1.0, a.as_ref(), b.as_ref());
    }

    fn shape() -> impl Strategy<Value = (usize, usize, usize)> {
        prop_oneof![
            (2_usize..20, 2_usize..20, 2_usize..40),
            (2_usize..9, 2_usize..9, 2_usize..1_100),
            (2_usize..120, 2_usize..120, 2_usize..1_100),
            (250_usize..270, 2_usize..20, 500_usize..520),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]

        /// What is done on other processors is what faer does on this one.
        #[test]
        fn by_terms_has_the_bytes_of_faer(
            (m, n, k) in shape(),
            scale in prop::sample::select(vec![1.0, -1.0, -0.5, 0.3]),
            layouts in prop::array::uniform3(prop::sample::select(LAYOUTS.to_vec())),
            seed in 0_u64..1_000,
        ) {
            if m * n * k <= SMALL || !faer_goes_by_terms() {
                return Ok(());
            }
            let mut number = numbers(seed);
            let [of_a, of_b, of_out] = layouts;
            let (a, b) = (drawn(m, k, of_a, &mut number), drawn(k, n, of_b, &mut number));
            let (a, b) = (seen(&a, m, of_a), seen(&b, k, of_b));
            let start = drawn(m, n, of_out, &mut number);
            let (mut faers, mut ours) = (start.clone(), start.clone());
            view(&mut faers, m, of_out, &|out| matmul(out, Accum::Add, a, b, scale, Par::Seq));
            view(&mut ours, m, of_out, &|out| by_terms(out, Part::Whole, scale, a, b));
            prop_assert_eq!(bits(&faers), bits(&ours));
        }

        #[test]
        fn lower_triangle_by_terms_has_the_bytes_of_faer(
            (m, _, k) in shape(),
            scale in prop::sample::select(vec![1.0, -1.0, 0.3]),
            layout in prop::sample::select(LAYOUTS.to_vec()),
            seed in 0_u64..1_000,
        ) {
            if !faer_goes_by_terms() {
                return Ok(());
            }
            let mut number = numbers(seed);
            let a = drawn(m, k, layout, &mut number);
            let a = seen(&a, m, layout);
            let mut faers = drawn(m, m, Layout::Columns, &mut number);
            let mut ours = faers.clone();
            add_symmetric_product(faers.as_mut(), scale, a);
            by_terms(ours.as_mut(), Part::Lower, scale, a, a.transpose());
            prop_assert_eq!(bits(&faers), bits(&ours));
        }

        /// Against the sum of each entry's terms.
        #[test]
        fn products_are_sums_of_terms(
            m in 1_usize..30,
            n in 1_usize..30,
            k in 0_usize..600,
            layouts in prop::array::uniform2(prop::sample::select(LAYOUTS.to_vec())),
            seed in 0_u64..1_000,
        ) {
            let mut number = numbers(seed);
            let [of_a, of_b] = layouts;
            let (a, b) = (drawn(m, k, of_a, &mut number), drawn(k, n, of_b, &mut number));
            let (a, b) = (seen(&a, m, of_a), seen(&b, k, of_b));
            let mut square = Mat::<f64>::zeros(m, m);
            add_symmetric_product(square.as_mut(), 2.0, a);
            let mut triangle = Mat::<f64>::zeros(m, m);
            by_terms(triangle.as_mut(), Part::Lower, 2.0, a, a.transpose());
            let mut terms = Mat::<f64>::zeros(m, n);
            by_terms(terms.as_mut(), Part::Whole, 1.0, a, b);
            let whole = product(a, b);
            let near = |x: f64, terms: &dyn Fn(usize) -> f64| {
                let size: f64 = (0..k).map(|t| terms(t).abs()).sum();
                (x - (0..k).map(terms).sum::<f64>()).abs() <= 1e-13 * size
            };
            for i in 0..m {
                for j in 0..n {
                    let entry = |t: usize| a[(i, t)] * b[(t, j)];
                    prop_assert!(near(whole[(i, j)], &entry) && near(terms[(i, j)], &entry));
                }
                for j in 0..m {
                    let entry = |t: usize| 2.0 * a[(i, t)] * a[(j, t)];
                    for x in [square[(i, j)], triangle[(i, j)]] {
                        let right = if j <= i { near(x, &entry) } else { x == 0.0 };
                        prop_assert!(right);
                    }
                }
            }
        }
    }
}
