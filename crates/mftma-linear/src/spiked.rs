//! A low-rank teacher seen through noise: singular values and vectors of Σ̂ = W̄ + noise as its size grows.
//!
//! With W̄ (m, n) of fixed rank and noise of independent entries of variance σ²/n, c = m/n and θ = s̄/σ for a singular value s̄ of
//! the teacher (Benaych-Georges & Nadakuditi 2012, *J. Multivar. Anal.* 111, 120–135, DOI 10.1016/j.jmva.2012.04.019, its case of
//! singular values; used by Lampinen & Ganguli 2018, arXiv 1809.10374, for Σ̂ = YXᵀ of noisy targets):
//!
//! - noise alone has singular values between σ|1 − √c| and σ(1 + √c) (Marchenko & Pastur 1967);
//! - a teacher mode is seen if θ > c^{1/4} (the transition of Baik, Ben Arous & Péché), at ŝ = σ √((1 + θ²)(c + θ²))/θ;
//! - its singular vectors lean towards the teacher's: ⟨û, ū⟩² = (θ⁴ − c)/(θ²(θ² + c)) and ⟨v̂, v̄⟩² = (θ⁴ − c)/(θ²(θ² + 1));
//! - below the transition ŝ is the edge and the overlaps are 0.

use serde::Serialize;

use crate::error::{LinearError, setting};

/// Noise of the correlation matrix: its shape and size.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spiked {
    rows: usize,
    columns: usize,
    noise: f64,
}

/// Where the singular values of noise end.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Edges {
    /// The least.
    pub lower: f64,
    /// The largest.
    pub upper: f64,
}

impl Spiked {
    /// A correlation matrix of `rows` m (outputs) by `columns` n (inputs), its noise of entries with standard deviation
    /// `noise`/√n, σ ≥ 0.
    ///
    /// # Errors
    /// [`LinearError::Setting`].
    pub fn new(rows: usize, columns: usize, noise: f64) -> Result<Self, LinearError> {
        setting("rows", rows as f64, rows > 0, "at least 1")?;
        setting("columns", columns as f64, columns > 0, "at least 1")?;
        setting(
            "noise",
            noise,
            noise >= 0.0 && noise.is_finite(),
            "finite and not negative",
        )?;
        Ok(Self {
            rows,
            columns,
            noise,
        })
    }

    /// c = m/n.
    pub fn aspect(&self) -> f64 {
        self.rows as f64 / self.columns as f64
    }

    /// σ c^{1/4}: teacher modes up to here leave no trace in the data.
    pub fn threshold(&self) -> f64 {
        self.noise * self.aspect().powf(0.25)
    }

    /// Edges of the noise.
    pub fn edges(&self) -> Edges {
        let root = self.aspect().sqrt();
        Edges {
            lower: self.noise * (1.0 - root).abs(),
            upper: self.noise * (1.0 + root),
        }
    }

    /// ŝ, the singular value at which a teacher mode of strength s̄ is seen.
    pub fn observed(&self, teacher: f64) -> f64 {
        if teacher <= self.threshold() {
            return self.edges().upper;
        }
        // σ² under the root so that σ = 0 needs no case of its own.
        let (s, v, c) = (teacher, self.noise.powi(2), self.aspect());
        ((v + s * s) * (c * v + s * s)).sqrt() / s
    }

    /// (⟨û, ū⟩², ⟨v̂, v̄⟩²), outputs and inputs, for a teacher mode of strength s̄.
    pub fn overlaps(&self, teacher: f64) -> (f64, f64) {
        if teacher <= self.threshold() {
            return (0.0, 0.0);
        }
        let (v, c) = ((self.noise / teacher).powi(2), self.aspect());
        let seen = 1.0 - c * v * v;
        (seen / (1.0 + c * v), seen / (1.0 + v))
    }

    /// s̄ |⟨û, ū⟩⟨v̂, v̄⟩|: how much of the teacher lies along the mode that is seen. A student does best to stop there, so this is also
    /// the optimal shrinkage of ŝ in squared error, σ √((y² − c − 1)² − 4c)/y with y = ŝ/σ (Gavish & Donoho 2017, *IEEE Trans. Inf.
    /// Theory* 63, 2137, DOI 10.1109/TIT.2017.2653801; the non-gradient algorithm of Lampinen & Ganguli).
    pub fn alignment(&self, teacher: f64) -> f64 {
        let (left, right) = self.overlaps(teacher);
        teacher * (left * right).sqrt()
    }

    /// The teacher strength s̄ behind a singular value ŝ above the noise; `None` within it.
    pub fn teacher(&self, observed: f64) -> Option<f64> {
        if observed.is_nan() || observed <= self.edges().upper {
            return None;
        }
        let (v, c) = (self.noise.powi(2), self.aspect());
        // s̄⁴ − b s̄² + c σ⁴ = 0, the larger root.
        let b = observed * observed - (1.0 + c) * v;
        Some((0.5 * (b + (b * b - 4.0 * c * v * v).max(0.0).sqrt())).sqrt())
    }

    /// Singular values of the noise as `nodes` values with weights that sum to 1, for averages over its density
    /// (Marchenko & Pastur): with ŝ² = σ²(1 + c + 2√c cos φ), the density in φ is (2/π) max(1, c) sin²φ σ²/ŝ², smooth on
    /// (0, π), so that equal steps of φ converge faster than any power.
    ///
    /// # Errors
    /// [`LinearError::Setting`] for no nodes.
    pub fn bulk(&self, nodes: usize) -> Result<Vec<(f64, f64)>, LinearError> {
        setting("nodes", nodes as f64, nodes > 0, "at least 1")?;
        let c = self.aspect();
        Ok((0..nodes)
            .map(|i| {
                let angle = std::f64::consts::PI * (i as f64 + 0.5) / nodes as f64;
                let square =
                    (1.0 - c.sqrt()).powi(2) + 4.0 * c.sqrt() * (0.5 * angle).cos().powi(2);
                let weight = 2.0 * c.max(1.0) * angle.sin().powi(2) / (square * nodes as f64);
                (self.noise * square.sqrt(), weight)
            })
            .collect())
    }

    /// min(m, n), how many modes there are in all.
    pub fn modes(&self) -> usize {
        self.rows.min(self.columns)
    }
}
