//! The engine's errors in the words of a Python user.

use std::error::Error as _;

use mftma::Error;
use mftma_cli::measure::not_separable;
use pyo3::exceptions::{PyOSError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use serde_json::Value;

use crate::source::{Stack, Stopped};
use crate::work;

/// What is needed to name things as the caller knows them.
pub(crate) struct Context<'a> {
    pub(crate) stack: &'a Stack,
    pub(crate) rows: &'a [usize],
    pub(crate) classes: &'a [String],
}

/// Turns `--only-classes` into `only_classes`, and the layout of a remedy about.
pub(crate) fn pythonic(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("--") {
        out.push_str(&rest[..at]);
        let flag = &rest[at + 2..];
        let end = flag
            .find(|c: char| !(c.is_ascii_alphanumeric() || c == '-'))
            .unwrap_or(flag.len());
        out.push_str(&flag[..end].replace('-', "_"));
        rest = &flag[end..];
    }
    out.push_str(rest);
    out
}

/// A `ValueError` with flags written as keywords.
pub(crate) fn value(text: impl std::fmt::Display) -> PyErr {
    PyValueError::new_err(pythonic(&text.to_string()))
}

/// A setting of the wrong type or value, from what serde says of it.
pub(crate) fn setting(name: &str, given: &Value, error: &serde_json::Error) -> PyErr {
    let said = error.to_string();
    let name = name.replace('-', "_");
    let name = keyword(&name);
    let text = match said.rsplit_once("expected ") {
        Some((_, wanted)) => format!("{name} is {given}, but must be {}", in_words(wanted)),
        None => format!("{name} is {given}: {said}"),
    };
    match said.starts_with("invalid type") {
        true => PyTypeError::new_err(text),
        false => PyValueError::new_err(text),
    }
}

/// serde's name of a type, for people.
fn in_words(wanted: &str) -> &str {
    match wanted {
        "usize" | "u64" | "u32" => "a whole number from 0 up",
        "f64" => "a number",
        "a boolean" => "True or False",
        "a sequence" => "a list",
        other => other,
    }
}

/// Any error with its causes, one after the other.
fn whole(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

impl Context<'static> {
    /// For errors of settings, which name no data.
    pub(crate) fn nothing() -> Self {
        static NOTHING: Stack = Stack::EMPTY;
        Context {
            stack: &NOTHING,
            rows: &[],
            classes: &[],
        }
    }
}

impl Context<'_> {
    fn class(&self, manifold: usize) -> String {
        match self.classes.get(manifold) {
            Some(name) => format!("class {name:?}"),
            None => format!("manifold {manifold}"),
        }
    }

    /// The exception for an error of the engine.
    pub(crate) fn explain(&self, error: Error) -> PyErr {
        // `joint_capacity` has no keyword for other measures.
        if let Some((problem, remedy)) = not_separable(&error) {
            return value(format_args!(
                "{problem}\n  try: {remedy}, or mftma.analyze(x, labels, measures=\"mean-field\")"
            ));
        }
        match error {
            Error::Cancelled => work::interrupted(),
            Error::Source(source) if source.is::<Stopped>() => work::interrupted(),
            Error::Source(source) => PyOSError::new_err(source.to_string()),
            Error::NotFinite { .. } => {
                let (nan, infinite, first) = self.stack.not_finite(self.rows);
                let at = first.map_or(String::new(), |(row, feature, value)| {
                    format!("; the first is {value} at point {row}, feature {feature}")
                });
                value(format_args!(
                    "{nan} NaN and {infinite} infinite values among the points used{at}\n  try: find the layer that overflows \
                     (often float16: collect in float32), or drop such points and their labels: keep = numpy.isfinite(x).all(1)"
                ))
            }
            Error::NoCentre {
                manifold, reason, ..
            } => value(format_args!(
                "{}: {reason}\n  try: leave the class out with leave_out, or check that the layer is not constant",
                self.class(manifold)
            )),
            Error::Manifold { manifold, source } => {
                let cause = source.source().map_or(String::new(), |e| format!(": {e}"));
                value(format_args!("{}: {source}{cause}", self.class(manifold)))
            }
            Error::EmptyManifold { manifold } => value(format_args!(
                "{} has no point: leave it out or give it at least one",
                self.class(manifold)
            )),
            Error::Overflow { manifold } => value(format_args!(
                "{}: the sum of its activations or of their squares overflows\n  try: scale all activations down by one factor",
                self.class(manifold)
            )),
            Error::Setting {
                setting,
                value: given,
                requirement,
            } => value(format_args!(
                "{} is {given}, but must be {requirement}",
                keyword(setting)
            )),
            other => value(whole(&other)),
        }
    }
}

/// What a setting of the engine is called in Python, where it is called otherwise.
fn keyword(setting: &str) -> &str {
    match setting {
        "margin" => "kappa",
        "vectors" => "n_t",
        "relative_error" => "target_error",
        "cap" => "max_n_t",
        "repetitions" => "dichotomies",
        "share" => "variance",
        "manifolds_per_draw" => "classes_per_draw",
        other => other,
    }
}
