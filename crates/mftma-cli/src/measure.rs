//! What is measured of a layer, for the program and for the Python package; and what is left out where one of the two kinds of measures
//! cannot be taken.

use std::ops::ControlFlow;

use mftma::joint::{JointGeometry, JointSettings, ManifoldsPerDraw, joint_geometry_with};
use mftma::{Activations, Analysis, Error, Geometry, Progress};

use crate::settings::Settings;

/// Most points of which both are measured: the joint measures then hold 2.4 GB. `--measures joint` takes more.
pub const MOST_POINTS_OF_BOTH: usize = 10_000;

/// What to measure of every layer.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The mean-field measures, where they are asked for.
    pub analysis: Option<Analysis>,
    /// The joint measures, where they are asked for.
    pub joint: Option<JointSettings>,
}

/// What was measured of a layer.
#[derive(Debug)]
pub struct Found {
    /// The mean-field measures.
    pub geometry: Option<Geometry>,
    /// The joint measures.
    pub joint: Option<JointGeometry>,
    /// What was asked for and is not there.
    pub left_out: Option<LeftOut>,
}

/// Measures that were asked for and are not there, while the others are.
#[derive(Debug)]
pub enum LeftOut {
    /// The mean-field ones, which cannot be taken.
    MeanField(Error),
    /// The joint ones, which cannot be taken.
    Joint(Error),
    /// The joint ones, which would take too much memory to be taken unasked.
    TooManyPoints {
        /// Points of all classes.
        points: usize,
        /// Classes.
        classes: usize,
    },
}

/// What [`Error::NotSeparable`] says in the program's words, and what makes the joint capacity measurable; `None` of another error.
pub fn not_separable(error: &Error) -> Option<(String, String)> {
    let &Error::NotSeparable {
        separable,
        draws,
        manifolds,
        rank,
    } = error
    else {
        return None;
    };
    let problem = format!(
        "the {rank} directions that all points span separate {separable} of {draws} labellings of {manifolds:.0} classes: the joint capacity is below \
         what so few can show"
    );
    let fewer = match manifolds > 2.0 {
        true => {
            "--classes-per-draw with fewer classes, or left out (as many as can be separated), "
        }
        false => "",
    };
    Some((problem, format!("{fewer}fewer --points of each")))
}

impl LeftOut {
    /// In words; `class` says what a class is called.
    pub fn describe(&self, class: &dyn Fn(usize) -> String) -> String {
        let why = |error: &Error| match error {
            Error::NoCentre {
                manifold, reason, ..
            } => format!("{}: {reason}", class(*manifold)),
            Error::Manifold { manifold, source } => format!("{}: {source}", class(*manifold)),
            error => match not_separable(error) {
                Some((problem, remedy)) => format!("{problem}; try {remedy}"),
                None => error.to_string(),
            },
        };
        match self {
            Self::MeanField(error) => {
                format!("the mean-field measures are left out: {}", why(error))
            }
            Self::Joint(error) => format!("the joint measures are left out: {}", why(error)),
            Self::TooManyPoints { points, classes } => format!(
                "the joint measures are left out: {points} points are more than the {MOST_POINTS_OF_BOTH} of which both kinds are measured; \
                 --points {} takes fewer of each class, --measures joint takes up to 30,000",
                MOST_POINTS_OF_BOTH / classes.max(&1)
            ),
        }
    }
}

impl Plan {
    /// What these settings ask for.
    ///
    /// # Errors
    /// As [`mftma::AnalysisSettings::check`].
    pub fn new(settings: &Settings) -> Result<Self, Error> {
        Ok(Self {
            analysis: match settings.measures.mean_field() {
                true => Some(settings.engine().build()?),
                false => None,
            },
            joint: settings.joint(),
        })
    }

    /// Measures `source`, in one pass over its features.
    ///
    /// # Errors
    /// Where nothing can be measured, or what can be would mislead: of classes whose centres coincide, and with a setting that does not
    /// fit.
    pub fn run<A: Activations + ?Sized>(
        &self,
        source: &A,
        progress: &(dyn Fn(Progress) -> ControlFlow<()> + Sync),
    ) -> Result<Found, Error> {
        let only = |geometry, left_out| Found {
            geometry: Some(geometry),
            joint: None,
            left_out,
        };
        let (analysis, joint) = match (&self.analysis, &self.joint) {
            (Some(analysis), Some(joint)) => (analysis, joint),
            (Some(analysis), None) => return Ok(only(analysis.run_with(source, progress)?, None)),
            (None, joint) => {
                let joint = joint.as_ref();
                let joint = joint.map(|joint| joint_geometry_with(source, joint, progress));
                return Ok(Found {
                    geometry: None,
                    joint: joint.transpose()?,
                    left_out: None,
                });
            }
        };
        let sizes = source.points_per_manifold();
        let points = sizes.iter().sum();
        if points > MOST_POINTS_OF_BOTH {
            let classes = sizes.len();
            let left_out = LeftOut::TooManyPoints { points, classes };
            return Ok(only(analysis.run_with(source, progress)?, Some(left_out)));
        }
        match analysis.run_with_joint(source, joint, progress)? {
            (Ok(geometry), Ok(joint)) => Ok(Found {
                geometry: Some(geometry),
                joint: Some(joint),
                left_out: None,
            }),
            (Ok(geometry), Err(error)) => Ok(only(geometry, Some(LeftOut::Joint(error)))),
            (
                Err(
                    error @ (Error::NoCentre { .. }
                    | Error::Manifold { .. }
                    | Error::Eigenproblem { .. }),
                ),
                Ok(joint),
            ) => Ok(Found {
                geometry: None,
                joint: Some(joint),
                left_out: Some(LeftOut::MeanField(error)),
            }),
            (Err(error), _) => Err(error),
        }
    }
}

/// What a reader of the joint measures must know of their draws, in words: that some ended at the iteration limit, that fewer classes
/// took part than there are, and that some cannot be separated all the same.
pub fn doubtful(joint: &JointGeometry) -> impl Iterator<Item = String> + use<> {
    let (limit, of) = (joint.statuses.iteration_limit, joint.vectors);
    let unsolved = (limit > 0).then(|| {
        format!("{limit} of {of} draws of the joint capacity ended at the iteration limit")
    });
    let beyond = of - (joint.separable * of as f64).round() as usize;
    let (classes, taken) = (joint.manifolds.len(), joint.manifolds_per_draw);
    let inseparable = (beyond > 0).then(|| {
        let remedy = match taken > 2 {
            true => "--classes-per-draw labels fewer classes at once",
            false => "--points takes fewer of each class",
        };
        format!(
            "{beyond} of {of} draws of the joint capacity cannot be separated in the {} directions that the points span: it is near the least \
             that so few can show, and may be lower; {remedy}",
            joint.rank
        )
    });
    let asked = matches!(
        joint.settings.manifolds_per_draw,
        ManifoldsPerDraw::Count(_)
    );
    let fewer = (taken < classes && !asked).then(|| {
        format!(
            "the joint measures are of {taken} of the {classes} classes in each draw: labellings of more cannot all be separated in the {} \
             directions that the points span; compare with layers of equal number (--classes-per-draw {taken})",
            joint.rank
        )
    });
    [unsolved, fewer, inseparable].into_iter().flatten()
}
