//! Every measure of a result, in one list: what it is called, what it means, and where a result holds it.
//!
//! Tables and plots are made from [`MEASURES`], here and in the program on top: a measure that is added to it appears in all of
//! them.
//!
//! ```
//! use mftma::measures::MEASURES;
//!
//! for measure in MEASURES {
//!     println!("{} ({}): {}", measure.name, measure.unit, measure.description);
//! }
//! # assert!(MEASURES.iter().any(|measure| measure.name == "capacity"));
//! ```

use serde::{Deserialize, Serialize};

use crate::geometry::{Geometry, ManifoldGeometry};
use crate::manifold::measures::Estimate;
pub use crate::means::MeanKind;
use crate::means::{Interval, MeanEstimate};

/// A value of a measure, with its errors where it has them.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Reading {
    /// The value.
    pub value: f64,
    /// Standard error over Gaussian vectors.
    pub standard_error: Option<f64>,
    /// Interval over manifolds.
    pub interval: Option<Interval>,
}

/// What the values of a measure are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// Averages over Gaussian vectors, with standard errors: of every manifold, and averaged over manifolds with intervals.
    Averaged(MeanKind),
    /// Real numbers.
    Real,
    /// Counts.
    Count,
}

/// A measure of single manifolds, of a layer (all manifolds together), or of both.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Measure {
    /// Name in tables: lower-case words joined by underscores.
    pub name: &'static str,
    /// Name in a table for a narrow terminal; `None` where such a table leaves it out.
    pub heading: Option<&'static str>,
    /// Name in words.
    pub title: &'static str,
    /// Symbol and subscript; both empty where it has none.
    pub symbol: (&'static str, &'static str),
    /// Unit in which it is counted.
    pub unit: &'static str,
    /// What it says, in a sentence.
    pub description: &'static str,
    /// What its values are.
    pub kind: Kind,
    /// Least and greatest value that it can have.
    pub range: (f64, f64),
    of_manifold: Option<fn(&ManifoldGeometry) -> Reading>,
    of_layer: Option<fn(&Geometry) -> Option<Reading>>,
}

/// Every measure, in the order of tables.
pub const MEASURES: &[Measure] = &[
    Measure {
        heading: Some("points"),
        unit: "points",
        description: "Points of the manifold, M.",
        of_manifold: Some(|m| Reading::exact(m.points as f64)),
        ..named("points", "Points", Kind::Count)
    },
    Measure {
        heading: Some("capacity"),
        symbol: ("α", "M"),
        unit: "manifolds per feature",
        description: "How many manifolds per feature a plane still separates under random labels.",
        of_manifold: Some(|m| Reading::of(m.capacity)),
        of_layer: Some(|g| Some(Reading::mean(g.capacity))),
        ..named("capacity", "Capacity", Kind::Averaged(MeanKind::Harmonic))
    },
    Measure {
        heading: Some("radius"),
        symbol: ("R", "M"),
        unit: "lengths of the centre",
        description: "Extent of the manifold as its classification feels it, relative to its centre's length.",
        of_manifold: Some(|m| Reading::of(m.radius)),
        of_layer: Some(|g| Some(Reading::mean(g.radius))),
        ..named("radius", "Radius", Kind::Averaged(MeanKind::Arithmetic))
    },
    Measure {
        heading: Some("dimension"),
        symbol: ("D", "M"),
        unit: "directions",
        description: "Directions in which the manifold extends, as its classification feels it.",
        of_manifold: Some(|m| Reading::of(m.dimension)),
        of_layer: Some(|g| Some(Reading::mean(g.dimension))),
        ..named(
            "dimension",
            "Dimension",
            Kind::Averaged(MeanKind::Arithmetic),
        )
    },
    Measure {
        heading: Some("correlation"),
        symbol: ("ρ", "centre"),
        description: "Mean absolute cosine between the centres of two manifolds, about the mean of all centres.",
        range: (0.0, 1.0),
        of_layer: Some(|g| {
            Some(Reading {
                interval: g.centre_correlation_interval,
                ..Reading::exact(g.centre_correlation)
            })
        }),
        ..named("centre_correlation", "Centre correlation", Kind::Real)
    },
    Measure {
        description: "Centre correlation once the shared directions are removed.",
        range: (0.0, 1.0),
        of_layer: Some(|g| Some(Reading::exact(g.residual_centre_correlation))),
        ..named(
            "residual_centre_correlation",
            "Residual centre correlation",
            Kind::Real,
        )
    },
    Measure {
        heading: Some("K"),
        symbol: ("K", ""),
        unit: "directions",
        description: "Directions that the centres share, which are removed.",
        of_layer: Some(|g| Some(Reading::exact(g.rank as f64))),
        ..named("rank", "Shared directions", Kind::Count)
    },
    Measure {
        heading: Some("participation"),
        unit: "directions",
        description: "(Σλ)²/Σλ² of the variances λ along the principal directions of all points.",
        of_layer: Some(|g| Some(Reading::exact(g.spectrum.as_ref()?.participation_ratio))),
        ..named("participation_ratio", "Participation ratio", Kind::Real)
    },
    Measure {
        heading: Some("directions"),
        unit: "directions",
        description: "Fewest principal directions that hold the share of the variance asked for.",
        of_layer: Some(|g| {
            Some(Reading::exact(
                g.spectrum.as_ref()?.explained_variance_dimension as f64,
            ))
        }),
        ..named(
            "explained_variance_dimension",
            "Explained-variance dimension",
            Kind::Count,
        )
    },
    Measure {
        heading: Some("rank"),
        unit: "directions",
        description: "Dimension of the span of the manifold's points about their centre.",
        of_manifold: Some(|m| Reading::exact(m.rank as f64)),
        ..named("rank", "Rank", Kind::Count)
    },
    Measure {
        heading: Some("vectors"),
        unit: "vectors",
        description: "Gaussian vectors used, n_t.",
        of_manifold: Some(|m| Reading::exact(m.vectors as f64)),
        ..named("vectors", "Gaussian vectors", Kind::Count)
    },
    Measure {
        unit: "units of the input",
        description: "Length of the centre once the shared directions are removed.",
        of_manifold: Some(|m| Reading::exact(m.centre_norm)),
        ..named("centre_norm", "Centre norm", Kind::Real)
    },
    Measure {
        unit: "vectors",
        description: "Gaussian vectors whose problem was solved.",
        of_manifold: Some(|m| Reading::exact(m.statuses.solved as f64)),
        ..named("solved", "Solved", Kind::Count)
    },
    Measure {
        unit: "vectors",
        description: "Gaussian vectors that no constraint binds.",
        of_manifold: Some(|m| Reading::exact(m.statuses.interior as f64)),
        ..named("interior", "Interior", Kind::Count)
    },
    Measure {
        unit: "vectors",
        description: "Gaussian vectors whose problem is degenerate.",
        of_manifold: Some(|m| Reading::exact(m.statuses.degenerate as f64)),
        ..named("degenerate", "Degenerate", Kind::Count)
    },
    Measure {
        unit: "vectors",
        description: "Gaussian vectors whose problem ended at the iteration limit.",
        of_manifold: Some(|m| Reading::exact(m.statuses.iteration_limit as f64)),
        ..named("iteration_limit", "Iteration limit", Kind::Count)
    },
    Measure {
        description: "Largest relative KKT residual of any Gaussian vector.",
        of_manifold: Some(|m| Reading::exact(m.kkt_residual)),
        ..named("kkt_residual", "KKT residual", Kind::Real)
    },
];

/// A measure without symbol or unit, of nothing yet; its values run from 0 to infinity.
const fn named(name: &'static str, title: &'static str, kind: Kind) -> Measure {
    Measure {
        name,
        heading: None,
        title,
        symbol: ("", ""),
        unit: "",
        description: "",
        kind,
        range: (0.0, f64::INFINITY),
        of_manifold: None,
        of_layer: None,
    }
}

impl Measure {
    /// Its value for one manifold; `None` where it is no measure of single manifolds.
    pub fn of_manifold(&self, manifold: &ManifoldGeometry) -> Option<Reading> {
        self.of_manifold.map(|of| of(manifold))
    }

    /// Its value for all manifolds of a layer together; `None` where it is no measure of layers, or the analysis was not asked
    /// for it.
    pub fn of_layer(&self, layer: &Geometry) -> Option<Reading> {
        self.of_layer.and_then(|of| of(layer))
    }

    /// Whether it comes with standard errors, and with intervals for a layer.
    pub fn is_averaged(&self) -> bool {
        matches!(self.kind, Kind::Averaged(_))
    }
}

impl Reading {
    /// A value and what is known of its errors.
    pub fn new(value: f64, standard_error: Option<f64>, interval: Option<Interval>) -> Self {
        Self {
            value,
            standard_error,
            interval,
        }
    }

    fn exact(value: f64) -> Self {
        Self::new(value, None, None)
    }

    fn of(estimate: Estimate) -> Self {
        Self {
            standard_error: estimate.standard_error,
            ..Self::exact(estimate.value)
        }
    }

    fn mean(mean: MeanEstimate) -> Self {
        Self::new(mean.value, mean.standard_error, mean.interval)
    }
}

/// One value of one measure: a row of a tidy table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Row {
    /// Index of the manifold; `None` for a value over all manifolds.
    pub manifold: Option<usize>,
    /// Name of the measure, as in [`MEASURES`]. A layer's `rank` is K, a manifold's the rank of its points.
    pub measure: String,
    /// The value.
    pub value: f64,
    /// Standard error over Gaussian vectors, where there is one.
    pub standard_error: Option<f64>,
    /// Lower end of the interval over manifolds, where there is one.
    pub lower: Option<f64>,
    /// Upper end of the interval over manifolds, where there is one.
    pub upper: Option<f64>,
}

impl Row {
    fn new(manifold: Option<usize>, measure: &Measure, reading: Reading) -> Self {
        Self {
            manifold,
            measure: measure.name.to_owned(),
            value: reading.value,
            standard_error: reading.standard_error,
            lower: reading.interval.map(|interval| interval.lower),
            upper: reading.interval.map(|interval| interval.upper),
        }
    }
}

impl Geometry {
    /// Flattens to one row per value: first those over all manifolds, then manifold by manifold.
    pub fn rows(&self) -> Vec<Row> {
        let of_layer = MEASURES
            .iter()
            .filter_map(|measure| Some(Row::new(None, measure, measure.of_layer(self)?)));
        let of_manifolds = self.manifolds.iter().flat_map(|manifold| {
            MEASURES.iter().filter_map(move |measure| {
                let reading = measure.of_manifold(manifold)?;
                Some(Row::new(Some(manifold.manifold), measure, reading))
            })
        });
        of_layer.chain(of_manifolds).collect()
    }
}
