//! Eigenvalues alone, of large matrices: full → band → tridiagonal → eigenvalues.
//!
//! A reduction straight to tridiagonal form does half of its work in products of the whole matrix with one vector, at the
//! speed of memory. Here panels of [`WIDTH`] columns are eliminated at once, which leaves a band and makes nearly all of the
//! work products of matrices (C. H. Bischof, B. Lang, X. Sun, ACM Trans. Math. Softw. 26 (2000) 581,
//! doi 10.1145/365723.365735). Reflections chased down the band make it tridiagonal (B. Lang, SIAM J. Sci. Comput. 14 (1993)
//! 1320, doi 10.1137/0914078), and the rational QL iteration of Pal, Walker and Kahan has the eigenvalues (B. N. Parlett, The
//! Symmetric Eigenvalue Problem, 1980, § 8.15; `dsterf` of LAPACK).
//!
//! The bytes depend on the order of the matrix, not on the pool; sums of this file have eight lanes
//! and separate roundings at every level of vector instructions.

use faer::{Mat, MatMut, MatRef};
use rayon::prelude::*;

use crate::plain::length;
use crate::product::{add_product, eight_sums, product};

/// Half-width b of the band: wide enough for products to run at speed, narrow enough for the chase to stay cheap.
const WIDTH: usize = 32;
/// Columns and rows of a block that fits in a core's cache.
const TILE: usize = 128;
const CHUNK: usize = 256;
/// How many tasks share a product, each with a sum of its own.
const PARTS: usize = 8;
/// Doubles per column of a stored band: b above the diagonal, the diagonal, 2b − 1 below it. (r, c) is at
/// `c * STRIDE + WIDTH + r - c`.
const STRIDE: usize = 3 * WIDTH;
/// A square below which a vector counts as nought beside a largest entry of one: the square of 1e-140, far above the numbers
/// that have fewer digits.
const NOUGHT: f64 = 1e-280;

/// b consecutive entries of a column.
type Run = [f64; WIDTH];

/// Eigenvalues in falling order (n) of the symmetric matrix whose lower triangle `a` (n, n) holds, `None` where it holds a
/// number that is not finite.
pub(crate) fn eigenvalues(a: MatRef<'_, f64>) -> Option<Vec<f64>> {
    let n = a.nrows();
    let largest = (0..n)
        .into_par_iter()
        .map(|j| {
            (j..n).fold(0.0_f64, |largest, i| match a[(i, j)].abs() {
                size if size.is_finite() => largest.max(size),
                _ => f64::INFINITY,
            })
        })
        .reduce(|| 0.0, f64::max);
    if largest == f64::INFINITY {
        return None;
    }
    if largest == 0.0 {
        return Some(vec![0.0; n]);
    }
    let (first, second) = halvings(largest);
    let (down, up) = (2.0_f64.powi(-first), 2.0_f64.powi(-second));
    let mut full = Mat::zeros(n, n);
    full.as_mut()
        .par_col_chunks_mut(TILE)
        .enumerate()
        .for_each(|(tile, mut columns)| {
            for c in 0..columns.ncols() {
                let j = tile * TILE + c;
                for i in tile * TILE..n {
                    columns[(i, c)] = a[(i.max(j), i.min(j))] * down * up;
                }
            }
        });
    let mut band = band(&mut full);
    drop(full);
    let (mut diagonal, mut beside) = pulp::Arch::new().dispatch(Chase(&mut band, n));
    rational_ql(&mut diagonal, &mut beside)?;
    diagonal.sort_by(|x, y| y.total_cmp(x));
    let (down, up) = (2.0_f64.powi(first), 2.0_f64.powi(second));
    diagonal.iter_mut().for_each(|x| *x = *x * down * up);
    Some(diagonal)
}

/// Where a stored band keeps (r, c).
#[inline(always)]
fn at(r: usize, c: usize) -> usize {
    c * STRIDE + WIDTH + r - c
}

#[inline(always)]
fn run(band: &mut [f64], r: usize, c: usize) -> &mut Run {
    let start = at(r, c);
    (&mut band[start..start + WIDTH])
        .try_into()
        .expect("as long as asked")
}

/// Reduces `a` (n, n) to a band, with both triangles of the entries less than b from the diagonal, and 2b columns of noughts
/// after it. Of `a` the lower triangle and the squares of [`TILE`] columns on the diagonal must be there; it is used up.
fn band(a: &mut Mat<f64>) -> Vec<f64> {
    let n = a.nrows();
    let mut band = vec![0.0; (n + 2 * WIDTH) * STRIDE];
    let mut keep = |value: f64, r: usize, c: usize| {
        band[at(r, c)] = value;
        if r - c < WIDTH {
            band[at(c, r)] = value;
        }
    };
    let mut sums = vec![Mat::zeros(WIDTH, n); PARTS];
    let mut update: Option<Update> = None;
    let mut first = 0;
    while first + WIDTH + 1 < n {
        let next = first + WIDTH;
        let rows = n - next;
        if let Some(update) = &update {
            let columns = a.as_mut().subcols_mut(first, WIDTH);
            update.apply(columns.subrows_mut(first, n - first), first, first);
        }
        let mut panel = Vec::with_capacity(rows * WIDTH);
        for c in first..next {
            let column = a.col_as_slice(c);
            (c..next).for_each(|r| keep(column[r], r, c));
            panel.extend_from_slice(&column[next..]);
        }
        let scales = pulp::Arch::new().dispatch(Factor(&mut panel, rows));
        for (c, column) in panel.chunks_exact_mut(rows).enumerate() {
            // R into the band, the unit triangle of V in its place.
            for (r, value) in column.iter_mut().enumerate().take(c + 1) {
                keep(*value, next + r, first + c);
                *value = f64::from(u8::from(r == c));
            }
        }
        let v = MatRef::from_column_major_slice(&panel, rows, WIDTH);
        let s = compact(v, &scales);
        multiply(a, update.as_ref(), next, v, &mut sums);
        update = Some(Update::new(next, v, &s, &sums));
        first = next;
    }
    if let Some(update) = &update {
        update.apply(
            a.as_mut().submatrix_mut(first, first, n - first, n - first),
            first,
            first,
        );
    }
    for c in first..n {
        (c..n).for_each(|r| keep(a[(r, c)], r, c));
    }
    band
}

/// The power of two of a matrix's largest entry, in two parts, for one alone may be out of range: to divide by them rounds nothing.
pub(crate) fn halvings(largest: f64) -> (i32, i32) {
    let halvings = match largest > 0.0 {
        true => largest.log2().floor() as i32,
        false => 0,
    };
    (halvings / 2, halvings - halvings / 2)
}

/// Reflects a vector onto its first entry by I − τ v vᵀ: leaves the length with its sign in front, v (whose first entry is one)
/// behind it, and returns τ.
#[inline(always)]
pub(crate) fn reflect(x: &mut [f64]) -> f64 {
    let Some((head, tail)) = x.split_first_mut() else {
        return 0.0;
    };
    let squares = dot(tail, tail);
    if squares < NOUGHT {
        tail.fill(0.0);
        return 0.0;
    }
    let length = -(*head * *head + squares).sqrt().copysign(*head);
    let scale = 1.0 / (*head - length);
    tail.iter_mut().for_each(|x| *x *= scale);
    let tau = (length - *head) / length;
    *head = length;
    tau
}

#[inline(always)]
pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    let ([a, b, c, d, e, f, g, h], rest) = eight_sums(a, b);
    ((a + e) + (b + f)) + ((c + g) + (d + h)) + rest
}

/// Householder QR of a panel of this many rows, column after column: R on and above the diagonal, V below it; returns every τ.
struct Factor<'a>(&'a mut [f64], usize);

impl pulp::NullaryFnOnce for Factor<'_> {
    type Output = [f64; WIDTH];

    #[inline(always)]
    fn call(self) -> Self::Output {
        let Self(panel, rows) = self;
        let mut scales = [0.0; WIDTH];
        for (k, tau) in scales.iter_mut().enumerate().take(rows) {
            let (done, later) = panel.split_at_mut((k + 1) * rows);
            let v = &mut done[k * rows + k..];
            *tau = reflect(v);
            if *tau == 0.0 {
                continue;
            }
            let v = &v[1..];
            for column in later.chunks_exact_mut(rows) {
                let (head, tail) = (column[k], &mut column[k + 1..]);
                let along = *tau * (head + dot(v, tail));
                tail.iter_mut().zip(v).for_each(|(x, v)| *x -= along * v);
                column[k] -= along;
            }
        }
        scales
    }
}

/// S (b, b), upper, of the product I − V S Vᵀ of the reflections.
fn compact(v: MatRef<'_, f64>, scales: &[f64; WIDTH]) -> Mat<f64> {
    let overlap = product(v.transpose(), v);
    let mut s = Mat::zeros(WIDTH, WIDTH);
    for j in 0..WIDTH {
        s[(j, j)] = scales[j];
        for i in 0..j {
            let sum: f64 = (i..j).map(|k| s[(i, k)] * overlap[(k, j)]).sum();
            s[(i, j)] = -scales[j] * sum;
        }
    }
    s
}

/// What is still to be taken from the matrix that begins at (`first`, `first`): X Vᵀ + V Xᵀ. With X = Y − V (Sᵀ Vᵀ Y) / 2
/// and Y = A V S it makes Qᵀ A Q of A, Q = I − V S Vᵀ.
struct Update {
    first: usize,
    /// (n − first, 2b): X and V.
    left: Mat<f64>,
    /// V and X.
    right: Mat<f64>,
}

impl Update {
    /// From V, S, and parts of (A V)ᵀ.
    fn new(first: usize, v: MatRef<'_, f64>, s: &Mat<f64>, sums: &[Mat<f64>]) -> Self {
        let rows = v.nrows();
        let mut y = Mat::<f64>::zeros(WIDTH, rows);
        y.as_mut()
            .par_col_chunks_mut(CHUNK)
            .enumerate()
            .for_each(|(chunk, mut y)| {
                let mut whole = Mat::<f64>::zeros(WIDTH, y.ncols());
                for sum in sums {
                    whole += sum.subcols(chunk * CHUNK, y.ncols());
                }
                y.fill(0.0);
                add_product(y, 1.0, s.transpose(), whole.as_ref());
            });
        let middle = product(product(y.as_ref(), v).as_ref(), s.as_ref());
        let (mut left, mut right) = (Mat::zeros(rows, 2 * WIDTH), Mat::zeros(rows, 2 * WIDTH));
        let (mut x, mut copy) = left.as_mut().split_at_col_mut(WIDTH);
        x.copy_from(y.transpose());
        add_product(x.as_mut(), -0.5, v, middle.as_ref());
        copy.copy_from(v);
        let (mut copy, mut last) = right.as_mut().split_at_col_mut(WIDTH);
        copy.copy_from(v);
        last.copy_from(x);
        Self { first, left, right }
    }

    /// Takes it from the block that begins at (`r`, `c`).
    fn apply(&self, block: MatMut<'_, f64>, r: usize, c: usize) {
        let left = self.left.as_ref().subrows(r - self.first, block.nrows());
        let right = self.right.as_ref().subrows(c - self.first, block.ncols());
        add_product(block, -1.0, left, right.transpose());
    }
}

/// Brings the matrix that begins at (`first`, `first`) of `a` up to date, and leaves parts of its product with V, (A V)ᵀ, in
/// `sums`. Every block is updated and multiplied, from both sides, while it is in the cache.
fn multiply(
    a: &mut Mat<f64>,
    update: Option<&Update>,
    first: usize,
    v: MatRef<'_, f64>,
    sums: &mut [Mat<f64>],
) {
    let n = a.nrows();
    let mut parts: [Vec<(usize, MatMut<'_, f64>)>; PARTS] = Default::default();
    let (mut start, mut rest) = (first, a.as_mut().subcols_mut(first, n - first));
    for tile in 0.. {
        if start == n {
            break;
        }
        // Ends at multiples, so that squares on the diagonal stay whole.
        let end = n.min((start / TILE + 1) * TILE);
        let (columns, others) = rest.split_at_col_mut(end - start);
        // There and back, for the later tiles are the shorter ones.
        let turn = tile % (2 * PARTS);
        parts[turn.min(2 * PARTS - 1 - turn)].push((start, columns));
        (start, rest) = (end, others);
    }
    let of = |start: usize, end: usize| v.subrows(start - first, end - start).transpose();
    let jobs = sums.par_iter_mut().zip(parts).with_max_len(1);
    jobs.for_each(|(sum, tiles)| {
        sum.as_mut().subcols_mut(0, n - first).fill(0.0);
        let mut add = |start: usize, end: usize, v: MatRef<'_, f64>, a: MatRef<'_, f64>| {
            let out = sum.as_mut().subcols_mut(start - first, end - start);
            add_product(out, 1.0, v, a);
        };
        for (start, mut columns) in tiles {
            let end = start + columns.ncols();
            let mut from = start;
            while from < n {
                let to = n.min(if from == start { end } else { from + CHUNK });
                let mut block = columns.as_mut().subrows_mut(from, to - from);
                if let Some(update) = update {
                    update.apply(block.as_mut(), from, start);
                }
                add(start, end, of(from, to), block.as_ref());
                if from > start {
                    add(from, to, of(start, end), block.transpose());
                }
                from = to;
            }
        }
    });
}

/// Makes a stored band of this order tridiagonal; returns diagonal and subdiagonal.
///
/// A reflection shortens each column in turn to one entry below the diagonal. It fills a square below the band, the first
/// column of which the next reflection shortens, and so on down to the end; the rest of the fill waits for the next column,
/// whose squares lie one further down.
struct Chase<'a>(&'a mut [f64], usize);

impl pulp::NullaryFnOnce for Chase<'_> {
    type Output = (Vec<f64>, Vec<f64>);

    #[inline(always)]
    fn call(self) -> Self::Output {
        let Self(band, n) = self;
        for j in 0..n.saturating_sub(2) {
            let x = run(band, j + 1, j);
            let (mut v, mut tau) = shorten(x);
            let mut p = j + 1;
            loop {
                // The last row came into the square from below, on one side of the diagonal only.
                let end = p + WIDTH - 1;
                for c in p..end {
                    band[at(c, end)] = band[at(end, c)];
                }
                both_sides(band, p, &v, tau);
                if p + WIDTH >= n {
                    break;
                }
                (v, tau) = below(band, p, &v, tau);
                p += WIDTH;
            }
        }
        (
            (0..n).map(|j| band[at(j, j)]).collect(),
            (1..n).map(|j| band[at(j, j - 1)]).collect(),
        )
    }
}

/// Shortens a vector to its first entry, and returns v, whole, and τ of the reflection that did.
#[inline(always)]
fn shorten(x: &mut Run) -> (Run, f64) {
    let tau = reflect(x);
    let length = x[0];
    x[0] = 1.0;
    let v = *x;
    *x = [0.0; WIDTH];
    x[0] = length;
    (v, tau)
}

/// H D H for the square D on the diagonal from `p` on.
#[inline(always)]
fn both_sides(band: &mut [f64], p: usize, v: &Run, tau: f64) {
    let mut w = [0.0; WIDTH];
    for (c, scale) in v.iter().enumerate() {
        add(&mut w, *scale, run(band, p, p + c));
    }
    let half = 0.5 * tau * tau * dot(&w, v);
    for i in 0..WIDTH {
        w[i] = tau * w[i] - half * v[i];
    }
    for (c, (along_v, along_w)) in w.iter().zip(v).enumerate() {
        let column = run(band, p, p + c);
        for i in 0..WIDTH {
            column[i] -= v[i] * along_v + w[i] * along_w;
        }
    }
}

/// G B H for the square B below that on the diagonal from `p` on, where G shortens the first column of B H; returns G.
#[inline(always)]
fn below(band: &mut [f64], p: usize, v: &Run, tau: f64) -> (Run, f64) {
    let mut w = [0.0; WIDTH];
    for (c, scale) in v.iter().enumerate() {
        add(&mut w, *scale, run(band, p + WIDTH, p + c));
    }
    w.iter_mut().for_each(|w| *w *= tau);
    let column = run(band, p + WIDTH, p);
    add(column, -1.0, &w);
    let (u, sigma) = shorten(column);
    for (c, scale) in v.iter().enumerate().skip(1) {
        let column = run(band, p + WIDTH, p + c);
        let mut x = *column;
        add(&mut x, -scale, &w);
        let along = sigma * dot(&x, &u);
        add(&mut x, -along, &u);
        *column = x;
    }
    (u, sigma)
}

/// Adds scale · x.
#[inline(always)]
fn add(out: &mut Run, scale: f64, x: &Run) {
    out.iter_mut().zip(x).for_each(|(out, x)| *out += scale * x);
}

/// Leaves the eigenvalues, in no order, of the tridiagonal matrix with this diagonal (n) and subdiagonal (n − 1) in the former.
/// `None` where the iteration does not end.
fn rational_ql(d: &mut [f64], e: &mut [f64]) -> Option<()> {
    let n = d.len();
    let largest = d.iter().chain(&*e).fold(0.0_f64, |m, x| m.max(x.abs()));
    // What all eigenvalues may be moved by, far below the rounding of the stages before.
    let least = (f64::EPSILON / 16.0 * largest).powi(2);
    e.iter_mut().for_each(|e| *e *= *e);
    for l in 0..n {
        let mut turns = 0;
        loop {
            let m = (l..n - 1)
                .find(|&m| {
                    e[m] <= least || e[m] <= f64::EPSILON.powi(2) / 4.0 * (d[m] * d[m + 1]).abs()
                })
                .unwrap_or(n - 1);
            if m == l {
                break;
            }
            turns += 1;
            if turns > 60 {
                return None;
            }
            // Wilkinson's shift.
            let root = e[l].sqrt();
            let half = (d[l + 1] - d[l]) / (2.0 * root);
            let shift = d[l] - root / (half + length(half, 1.0).copysign(half));
            let (mut c, mut s) = (1.0, 0.0);
            let mut gamma = d[m] - shift;
            let mut p = gamma * gamma;
            for i in (l..m).rev() {
                let square = e[i];
                let r = p + square;
                if i + 1 < m {
                    e[i + 1] = s * r;
                }
                let before = (c, gamma);
                c = p / r;
                s = square / r;
                gamma = c * (d[i] - shift) - s * before.1;
                d[i + 1] = before.1 + (d[i] - gamma);
                p = if c == 0.0 {
                    before.0 * square
                } else {
                    gamma * gamma / c
                };
            }
            e[l] = s * p;
            d[l] = shift + gamma;
        }
    }
    Some(())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Numbers in (−1/2, 1/2), a stream for each seed.
    pub(crate) fn numbers(seed: u64) -> impl FnMut() -> f64 {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 11) as f64 / (1_u64 << 53) as f64 - 0.5
        }
    }

    #[derive(Clone, Copy, Debug)]
    pub(crate) enum Kind {
        Full,
        LowRank,
        Clustered,
        Diagonal,
        Banded,
        Graded,
    }

    /// A symmetric matrix (n, n) of a kind.
    pub(crate) fn matrix(kind: Kind, n: usize, seed: u64) -> Mat<f64> {
        let mut number = numbers(seed);
        let mut full = Mat::<f64>::zeros(n, n);
        for j in 0..n {
            for i in j..n {
                full[(i, j)] = number();
                full[(j, i)] = full[(i, j)];
            }
        }
        match kind {
            Kind::Full => full,
            Kind::LowRank => {
                let some = full.subcols(0, n.min(3));
                some * some.transpose()
            }
            // Two clusters: a reflection of ±1, spread by 1e-12.
            Kind::Clustered => {
                let (x, squares) = (full.col(0), full.col(0).squared_norm_l2());
                Mat::from_fn(n, n, |i, j| {
                    let one = f64::from(u8::from(i == j));
                    let reflection = if squares > 0.0 {
                        one - 2.0 * x[i] * x[j] / squares
                    } else {
                        one
                    };
                    reflection + 1e-12 * full[(i, j)]
                })
            }
            Kind::Diagonal => Mat::from_fn(n, n, |i, j| if i == j { full[(i, i)] } else { 0.0 }),
            Kind::Banded => {
                let width = [1, 5, WIDTH, WIDTH + 1][seed as usize % 4];
                Mat::from_fn(n, n, |i, j| {
                    if i.abs_diff(j) <= width {
                        full[(i, j)]
                    } else {
                        0.0
                    }
                })
            }
            Kind::Graded => {
                Mat::from_fn(n, n, |i, j| full[(i, j)] * 10_f64.powi(-((i + j) as i32)))
            }
        }
    }

    pub(crate) fn largest(values: &[f64]) -> f64 {
        values.iter().fold(0.0, |m, x| x.abs().max(m))
    }

    /// Eigenvalues of `a`, after they passed what must hold of every matrix.
    fn checked(a: &Mat<f64>) -> Vec<f64> {
        let n = a.nrows();
        let lower = Mat::from_fn(n, n, |i, j| if i >= j { a[(i, j)] } else { f64::NAN });
        let values = eigenvalues(lower.as_ref()).expect("finite");
        let (expected, _) = crate::plain::eigen(a.as_ref()).expect("finite");
        assert!(values.is_sorted_by(|x, y| x >= y) && values.len() == n);
        let close = 1e-13 * largest(&expected);
        for (x, y) in values.iter().zip(&expected) {
            assert!((x - y).abs() <= close, "{x} in place of {y}, order {n}");
        }
        let trace: f64 = (0..n).map(|i| a[(i, i)]).sum();
        assert!((values.iter().sum::<f64>() - trace).abs() <= close * (n as f64).sqrt());
        let (norm, squares) = (
            a.squared_norm_l2(),
            values.iter().map(|x| x * x).sum::<f64>(),
        );
        assert!((squares - norm).abs() <= 1e-13 * norm);
        values
    }

    pub(crate) const KINDS: [Kind; 6] = [
        Kind::Full,
        Kind::LowRank,
        Kind::Clustered,
        Kind::Diagonal,
        Kind::Banded,
        Kind::Graded,
    ];

    #[test]
    fn eigenvalues_at_the_edges_of_panels_and_tiles() {
        let (b, t, c) = (WIDTH, TILE, TILE + CHUNK);
        for n in [
            1,
            2,
            3,
            b,
            b + 1,
            b + 2,
            b + 3,
            2 * b,
            2 * b + 2,
            t - 1,
            t + b + 1,
            c + 1,
            c + b,
        ] {
            for (seed, kind) in KINDS.into_iter().enumerate() {
                checked(&matrix(kind, n, seed as u64));
            }
        }
        assert_eq!(eigenvalues(Mat::zeros(0, 0).as_ref()), Some(Vec::new()));
        assert_eq!(
            eigenvalues(Mat::zeros(70, 70).as_ref()),
            Some(vec![0.0; 70])
        );
    }

    #[test]
    fn what_is_not_finite_gives_none() {
        for (value, n) in [(f64::NAN, 3), (f64::INFINITY, 90), (f64::NEG_INFINITY, 40)] {
            for (i, j) in [(0, 0), (n - 1, 0), (n - 1, n - 1)] {
                let mut a = matrix(Kind::Full, n, 1);
                a[(i, j)] = value;
                assert_eq!(eigenvalues(a.as_ref()), None);
            }
        }
    }

    /// The eigenvalues of the second difference are known.
    #[test]
    fn eigenvalues_of_a_string() {
        let n = 1_001;
        let a = Mat::from_fn(n, n, |i, j| match i.abs_diff(j) {
            0 => 2.0,
            1 => -1.0,
            _ => 0.0,
        });
        let values = eigenvalues(a.as_ref()).expect("finite");
        for (k, value) in (1..=n).rev().zip(values) {
            let angle = std::f64::consts::FRAC_PI_2 * k as f64 / (n + 1) as f64;
            assert!((value - 4.0 * angle.sin().powi(2)).abs() < 1e-13);
        }
    }

    #[test]
    fn bytes_do_not_depend_on_the_pool() {
        let a = matrix(Kind::Full, 2 * CHUNK + TILE + 5, 3);
        let with = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
            let pool = pool.build().unwrap();
            pool.install(|| eigenvalues(a.as_ref()).expect("finite"))
        };
        let one = with(1);
        for threads in [2, 3, 16] {
            assert_eq!(one, with(threads));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        #[test]
        fn eigenvalues_are_those_of_the_plain_reduction(
            kind in 0..KINDS.len(),
            n in 1_usize..300,
            seed in 0_u64..1_000,
            power in prop::sample::select(vec![-300, -150, -20, 20, 150, 300]),
        ) {
            let a = matrix(KINDS[kind], n, seed);
            let values = checked(&a);
            // Scaled by tens, for those round.
            let scale = 10_f64.powi(power);
            let scaled = Mat::from_fn(n, n, |i, j| a[(i, j)] * scale);
            let of_scaled = eigenvalues(scaled.as_ref()).expect("finite");
            let close = 1e-13 * largest(&values) * scale;
            for (x, y) in of_scaled.iter().zip(&values) {
                prop_assert!((x - y * scale).abs() <= close);
            }
        }
    }
}
