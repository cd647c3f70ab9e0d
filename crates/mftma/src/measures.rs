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

use crate::geometry::{Geometry, ManifoldGeometry, RankAlternative};
use crate::joint::{JointGeometry, JointManifold};
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
    /// Shares by which another number of shared directions would change a value.
    Change,
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
    of_joint_manifold: Option<fn(&JointManifold) -> Reading>,
    of_joint: Option<fn(&JointGeometry) -> Reading>,
}

/// Every measure, in the order of tables.
pub const MEASURES: &[Measure] = &[
    Measure {
        heading: Some("points"),
        unit: "points",
        description: "Points of the manifold, M.",
        of_manifold: Some(|m| Reading::exact(m.points as f64)),
        of_joint_manifold: Some(|m| Reading::exact(m.points as f64)),
        ..named("points", "Points", Kind::Count)
    },
    Measure {
        heading: Some("joint capacity"),
        symbol: ("α", "joint"),
        unit: "manifolds per feature",
        description: "Capacity of all manifolds together, correlations and all.",
        of_joint_manifold: Some(|m| Reading::of(m.capacity)),
        of_joint: Some(|j| Reading::mean(j.capacity)),
        ..named(
            "joint_capacity",
            "Joint capacity",
            Kind::Averaged(MeanKind::Harmonic),
        )
    },
    Measure {
        heading: Some("joint R"),
        symbol: ("R", "joint"),
        description: "Effective radius of the joint anchors: their spread relative to their mean.",
        of_joint_manifold: Some(|m| Reading::of(m.radius)),
        of_joint: Some(|j| Reading::mean(j.radius)),
        ..named(
            "joint_radius",
            "Effective radius",
            Kind::Averaged(MeanKind::Arithmetic),
        )
    },
    Measure {
        heading: Some("joint D"),
        symbol: ("D", "joint"),
        unit: "directions",
        description: "Effective dimension of the joint anchors.",
        of_joint_manifold: Some(|m| Reading::of(m.dimension)),
        of_joint: Some(|j| Reading::mean(j.dimension)),
        ..named(
            "joint_dimension",
            "Effective dimension",
            Kind::Averaged(MeanKind::Arithmetic),
        )
    },
    Measure {
        heading: Some("utility"),
        symbol: ("Ψ", ""),
        description: "Utility: α = Ψ(1 + R⁻²)/D with the joint radius and dimension.",
        of_joint_manifold: Some(|m| Reading::of(m.utility)),
        of_joint: Some(|j| Reading::mean(j.utility)),
        ..named(
            "joint_utility",
            "Utility",
            Kind::Averaged(MeanKind::Arithmetic),
        )
    },
    alignment(
        "joint_centre_alignment",
        "Mean absolute inner product of the manifolds' mean anchors.",
        |j| Reading::exact(j.alignments.centres.absolute),
    ),
    alignment(
        "joint_centre_alignment_cosine",
        "Mean cosine of the manifolds' mean anchors.",
        |j| Reading::exact(j.alignments.centres.cosine),
    ),
    alignment(
        "joint_axis_alignment",
        "Mean absolute inner product of the anchors about their means.",
        |j| Reading::exact(j.alignments.axes.absolute),
    ),
    alignment(
        "joint_axis_alignment_cosine",
        "Mean cosine of the anchors about their means.",
        |j| Reading::exact(j.alignments.axes.cosine),
    ),
    alignment(
        "joint_centre_axis_alignment",
        "Mean absolute inner product of mean anchors with other manifolds' anchors about theirs.",
        |j| Reading::exact(j.alignments.centre_axes.absolute),
    ),
    alignment(
        "joint_centre_axis_alignment_cosine",
        "Mean cosine of mean anchors with other manifolds' anchors about theirs.",
        |j| Reading::exact(j.alignments.centre_axes.cosine),
    ),
    Measure {
        description: "Share of draws of the joint problem in which a manifold has a support vector.",
        range: (0.0, 1.0),
        of_joint_manifold: Some(|m| Reading::exact(m.active)),
        of_joint: Some(|j| Reading::exact(j.active)),
        ..named("joint_active", "Active", Kind::Real)
    },
    Measure {
        unit: "vectors",
        description: "Gaussian vectors of the joint problem.",
        of_joint: Some(|j| Reading::exact(j.vectors as f64)),
        ..named("joint_vectors", "Joint vectors", Kind::Count)
    },
    Measure {
        description: "Largest relative KKT residual of any draw of the joint problem.",
        of_joint: Some(|j| Reading::exact(j.kkt_residual)),
        ..named("joint_kkt_residual", "Joint KKT residual", Kind::Real)
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
        heading: Some("at K-1"),
        ..change(
            "capacity_change_at_lower_rank",
            "Share by which one shared direction fewer would change the capacity.",
            |g| {
                Some(Reading::exact(
                    beside(g, false).map_or(f64::NAN, |a| a.capacity_change),
                ))
            },
        )
    },
    Measure {
        heading: Some("at K+1"),
        ..change(
            "capacity_change_at_higher_rank",
            "Share by which one shared direction more would change the capacity.",
            |g| {
                Some(Reading::exact(
                    beside(g, true).map_or(f64::NAN, |a| a.capacity_change),
                ))
            },
        )
    },
    change(
        "radius_change_at_lower_rank",
        "Share by which one shared direction fewer would change the radius.",
        |g| {
            Some(Reading::exact(
                beside(g, false).map_or(f64::NAN, |a| a.radius_change),
            ))
        },
    ),
    change(
        "radius_change_at_higher_rank",
        "Share by which one shared direction more would change the radius.",
        |g| {
            Some(Reading::exact(
                beside(g, true).map_or(f64::NAN, |a| a.radius_change),
            ))
        },
    ),
    change(
        "dimension_change_at_lower_rank",
        "Share by which one shared direction fewer would change the dimension.",
        |g| {
            Some(Reading::exact(
                beside(g, false).map_or(f64::NAN, |a| a.dimension_change),
            ))
        },
    ),
    change(
        "dimension_change_at_higher_rank",
        "Share by which one shared direction more would change the dimension.",
        |g| {
            Some(Reading::exact(
                beside(g, true).map_or(f64::NAN, |a| a.dimension_change),
            ))
        },
    ),
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
        of_joint_manifold: None,
        of_joint: None,
    }
}

/// One of the joint alignments.
const fn alignment(
    name: &'static str,
    description: &'static str,
    of: fn(&JointGeometry) -> Reading,
) -> Measure {
    Measure {
        description,
        range: (f64::NEG_INFINITY, f64::INFINITY),
        of_joint: Some(of),
        ..named(name, "Alignment", Kind::Real)
    }
}

/// What another number of shared directions would change; not-a-number where that K was not looked at.
const fn change(
    name: &'static str,
    description: &'static str,
    of: fn(&Geometry) -> Option<Reading>,
) -> Measure {
    Measure {
        unit: "shares of the value",
        description,
        range: (-1.0, f64::INFINITY),
        of_layer: Some(of),
        ..named(name, "Change with K", Kind::Change)
    }
}

fn beside(layer: &Geometry, more: bool) -> Option<&RankAlternative> {
    let mut others = layer.rank_alternatives.iter();
    others.find(|other| (other.rank > layer.rank) == more)
}

impl Measure {
    /// Its value for one manifold of the joint problem; `None` where it is no measure of those.
    pub fn of_joint_manifold(&self, manifold: &JointManifold) -> Option<Reading> {
        self.of_joint_manifold.map(|of| of(manifold))
    }

    /// Its value for the joint problem of a layer; `None` where it is no joint measure.
    pub fn of_joint(&self, layer: &JointGeometry) -> Option<Reading> {
        self.of_joint.map(|of| of(layer))
    }

    /// Its value for one manifold; `None` where it is no measure of single manifolds.
    pub fn of_manifold(&self, manifold: &ManifoldGeometry) -> Option<Reading> {
        self.of_manifold.map(|of| of(manifold))
    }

    /// Its value for all manifolds of a layer together; `None` where it is no measure of layers, or the analysis was not asked
    /// for it.
    pub fn of_layer(&self, layer: &Geometry) -> Option<Reading> {
        self.of_layer.and_then(|of| of(layer))
    }

    /// Whether layers have it, so that [`Measure::of_layer`] may give a value.
    pub fn is_of_layers(&self) -> bool {
        self.of_layer.is_some()
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
            .filter_map(|measure| Some(Row::new(None, measure, measure.of_layer(self)?)))
            .filter(|row| !row.value.is_nan());
        let of_manifolds = self.manifolds.iter().flat_map(|manifold| {
            MEASURES.iter().filter_map(move |measure| {
                let reading = measure.of_manifold(manifold)?;
                Some(Row::new(Some(manifold.manifold), measure, reading))
            })
        });
        of_layer.chain(of_manifolds).collect()
    }
}
