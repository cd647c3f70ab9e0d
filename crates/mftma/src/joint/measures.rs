//! Effective geometry of the anchor points: dimension, radius, utility and alignments, from inner products alone.
//!
//! Signs drop out of a, b and c: diag(y) is orthogonal, so (S_y t)ᵀ(S_y S_yᵀ)⁺(S_y t) = (S t)ᵀ(S Sᵀ)⁺(S t), and so with S₀ and S₁.

use faer::Mat;
use rayon::prelude::*;

use super::{Alignment, Alignments, InactiveManifolds};
use crate::linalg;

/// Eigenvalues below this part of the largest of S_y S_yᵀ count as zero in pseudo-inverses.
const NOUGHT: f64 = 1e-10;

/// Squared length of an anchor's deviation from its mean, relative to theirs, that is rounding.
const ROUNDING: f64 = 1e-14;

/// One vector's anchor points.
pub(super) struct Anchors {
    /// Points with a positive dual, in rising order, and their weights: the duals over their sum in the manifold.
    pub(super) members: Vec<u32>,
    pub(super) weights: Vec<f64>,
    /// Sum of the duals of each manifold (P).
    pub(super) mass: Vec<f64>,
    /// Labels (P).
    pub(super) labels: Vec<i8>,
    /// ⟨s^μ, t⟩ (P).
    pub(super) overlap: Vec<f64>,
}

impl Anchors {
    /// Whether the manifold counts among those whose anchors are averaged.
    fn counts(&self, class: usize, rule: InactiveManifolds) -> bool {
        match rule {
            InactiveManifolds::Zero => self.labels[class] != 0,
            InactiveManifolds::Active => self.mass[class] > 0.0,
        }
    }
}

/// Mean anchors S₀ as weights of the points.
pub(super) struct MeanAnchors {
    /// w̄ (n).
    weights: Vec<f64>,
    /// ⟨z_i, s₀^ν⟩ (n, P), row by row.
    products: Vec<f64>,
    /// ⟨s₀^μ, s₀^ν⟩ (P, P).
    pub(super) gram: Mat<f64>,
}

/// b and c of one vector, manifold by manifold, and its alignments.
pub(super) struct Effective {
    /// x_μ · (S₁t)_μ for x = (S₁S₁ᵀ)⁺ S₁t (P): they add up to b.
    pub(super) b: Vec<f64>,
    /// The same for c.
    pub(super) c: Vec<f64>,
    /// ‖s₁^μ‖² (P).
    pub(super) squared: Vec<f64>,
    axes: Alignment,
    centre_axes: Alignment,
}

/// The layout of the manifolds.
#[derive(Clone, Copy)]
pub(super) struct Layout<'a> {
    pub(super) gram: &'a Mat<f64>,
    pub(super) classes: &'a [u32],
    pub(super) starts: &'a [usize],
}

impl Layout<'_> {
    pub(super) fn manifolds(&self) -> usize {
        self.starts.len() - 1
    }
}

impl MeanAnchors {
    pub(super) fn new(layout: Layout<'_>, draws: &[Anchors], rule: InactiveManifolds) -> Self {
        let (n, p) = (layout.classes.len(), layout.manifolds());
        let mut weights = vec![0.0; n];
        let mut counts = vec![0_usize; p];
        for draw in draws {
            for (&i, w) in draw.members.iter().zip(&draw.weights) {
                weights[i as usize] += w;
            }
            for (class, count) in counts.iter_mut().enumerate() {
                *count += usize::from(draw.counts(class, rule));
            }
        }
        for (w, &class) in weights.iter_mut().zip(layout.classes) {
            *w /= counts[class as usize].max(1) as f64;
        }
        let mut products = vec![0.0; n * p];
        products
            .par_chunks_exact_mut(p)
            .enumerate()
            .for_each(|(i, row)| {
                let column = layout.gram.col_as_slice(i);
                for (class, out) in row.iter_mut().enumerate() {
                    let points = layout.starts[class]..layout.starts[class + 1];
                    *out = linalg::dot(&column[points.clone()], &weights[points]);
                }
            });
        let gram = Mat::from_fn(p, p, |mu, nu| {
            (layout.starts[mu]..layout.starts[mu + 1])
                .map(|i| weights[i] * products[i * p + nu])
                .sum()
        });
        Self {
            weights,
            products,
            gram,
        }
    }

    /// ⟨s₀^μ, t⟩ (P) from ⟨z_i, t⟩ (n).
    fn overlap(&self, layout: Layout<'_>, u: &[f64]) -> Vec<f64> {
        let inner = |points: core::ops::Range<usize>| {
            linalg::dot(&self.weights[points.clone()], &u[points])
        };
        layout
            .starts
            .windows(2)
            .map(|w| inner(w[0]..w[1]))
            .collect()
    }

    /// Over pairs of different manifolds.
    pub(super) fn alignment(&self) -> Alignment {
        let p = self.gram.nrows();
        let all: Vec<usize> = (0..p).collect();
        pairs(
            &all,
            |i, j| self.gram[(i, j)],
            |i| self.gram[(i, i)],
            |j| self.gram[(j, j)],
        )
    }
}

/// Means over ordered pairs of different manifolds of |inner product| and of the signed cosine.
fn pairs(
    among: &[usize],
    inner: impl Fn(usize, usize) -> f64,
    first: impl Fn(usize) -> f64,
    second: impl Fn(usize) -> f64,
) -> Alignment {
    let (mut absolute, mut cosine) = (0.0, 0.0);
    for &i in among {
        for &j in among {
            if i == j {
                continue;
            }
            let value = inner(i, j);
            absolute += value.abs();
            let scale = (first(i) * second(j)).sqrt();
            if scale > 0.0 {
                cosine += value / scale;
            }
        }
    }
    let count = (among.len() * among.len().saturating_sub(1)).max(1) as f64;
    Alignment {
        absolute: absolute / count,
        cosine: cosine / count,
    }
}

/// Measures of one vector about the mean anchors; `u` (n) holds ⟨z_i, t⟩.
pub(super) fn effective(
    layout: Layout<'_>,
    mean: &MeanAnchors,
    draw: &Anchors,
    u: &[f64],
    rule: InactiveManifolds,
) -> Option<Effective> {
    let p = layout.manifolds();
    let among: Vec<usize> = (0..p).filter(|&class| draw.labels[class] != 0).collect();
    let k = among.len();
    let counts: Vec<bool> = among.iter().map(|&m| draw.counts(m, rule)).collect();
    // ⟨s^μ, s^ν⟩ (P, P) and ⟨s^μ, s₀^ν⟩ (P, P).
    let mut own = Mat::<f64>::zeros(p, p);
    let mut mixed = Mat::<f64>::zeros(p, p);
    for (a, (&i, wi)) in draw.members.iter().zip(&draw.weights).enumerate() {
        let column = layout.gram.col_as_slice(i as usize);
        let mu = layout.classes[i as usize] as usize;
        for (&j, wj) in draw.members.iter().zip(&draw.weights).take(a + 1) {
            let value = wi * wj * column[j as usize];
            let nu = layout.classes[j as usize] as usize;
            own[(mu, nu)] += value;
            if i != j {
                own[(nu, mu)] += value;
            }
        }
        let row = &mean.products[i as usize * p..][..p];
        for (nu, value) in row.iter().enumerate() {
            mixed[(mu, nu)] += wi * value;
        }
    }
    let overlap = mean.overlap(layout, u);
    let still: Vec<bool> = among
        .iter()
        .zip(&counts)
        .map(|(&m, counts)| {
            let squared = own[(m, m)] - 2.0 * mixed[(m, m)] + mean.gram[(m, m)];
            !counts || squared <= ROUNDING * (own[(m, m)] + mean.gram[(m, m)])
        })
        .collect();
    let deviation = Mat::from_fn(k, k, |i, j| {
        let (m, n) = (among[i], among[j]);
        if still[i] || still[j] {
            0.0
        } else {
            own[(m, n)] - mixed[(m, n)] - mixed[(n, m)] + mean.gram[(m, n)]
        }
    });
    let centre = Mat::from_fn(k, k, |i, j| mean.gram[(among[i], among[j])]);
    // ⟨s₀^i, s₁^j⟩.
    let across = Mat::from_fn(k, k, |i, j| {
        let (m, n) = (among[i], among[j]);
        if still[j] {
            0.0
        } else {
            mixed[(n, m)] - mean.gram[(n, m)]
        }
    });
    let v: Vec<f64> = (0..k)
        .map(|i| match still[i] {
            true => 0.0,
            false => draw.overlap[among[i]] - overlap[among[i]],
        })
        .collect();
    let anchors = Mat::from_fn(k, k, |i, j| own[(among[i], among[j])]);
    let largest = linalg::symmetric_eigenvalues(anchors.as_ref())?
        .first()
        .copied()
        .unwrap_or(0.0);
    let sum = Mat::from_fn(k, k, |i, j| match counts[i] && counts[j] {
        true => deviation[(i, j)] + centre[(i, j)],
        false => 0.0,
    });
    let spread = |terms: Vec<f64>| {
        let mut out = vec![0.0; p];
        for (&class, term) in among.iter().zip(terms) {
            out[class] = term;
        }
        out
    };
    let positions: Vec<usize> = (0..k).collect();
    Some(Effective {
        b: spread(quadratic(&deviation, &v, NOUGHT * largest)?),
        c: spread(quadratic(&sum, &v, NOUGHT * largest)?),
        squared: spread((0..k).map(|i| deviation[(i, i)].max(0.0)).collect()),
        axes: pairs(
            &positions,
            |i, j| deviation[(i, j)],
            |i| deviation[(i, i)],
            |j| deviation[(j, j)],
        ),
        centre_axes: pairs(
            &positions,
            |i, j| across[(i, j)],
            |i| centre[(i, i)],
            |j| deviation[(j, j)],
        ),
    })
}

/// v_i·(A⁺v)_i, whose sum is vᵀA⁺v; eigenvalues up to `floor` count as zero.
fn quadratic(a: &Mat<f64>, v: &[f64], floor: f64) -> Option<Vec<f64>> {
    let (values, vectors) = linalg::symmetric_eigen(a.as_ref())?;
    let mut x = vec![0.0; v.len()];
    for (k, &value) in values.iter().enumerate() {
        if value <= floor || value <= 0.0 {
            break;
        }
        let direction = vectors.col_as_slice(k);
        let along = linalg::dot(direction, v) / value;
        x.iter_mut()
            .zip(direction)
            .for_each(|(x, d)| *x += along * d);
    }
    Some(x.iter().zip(v).map(|(x, v)| x * v).collect())
}

/// The alignments of all vectors.
pub(super) fn alignments(mean: &MeanAnchors, draws: &[Effective]) -> Alignments {
    let average = |of: fn(&Effective) -> Alignment| {
        let n = draws.len().max(1) as f64;
        let sum = |part: fn(&Alignment) -> f64| draws.iter().map(|d| part(&of(d))).sum::<f64>() / n;
        Alignment {
            absolute: sum(|a| a.absolute),
            cosine: sum(|a| a.cosine),
        }
    };
    Alignments {
        centres: mean.alignment(),
        axes: average(|d| d.axes),
        centre_axes: average(|d| d.centre_axes),
    }
}
