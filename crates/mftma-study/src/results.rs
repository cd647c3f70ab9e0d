//! Files of a results folder that several commands read.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::claims::Finding;

/// What the claims' check found.
pub const CLAIMS: &str = "claims.json";
/// The page for readers.
pub const REPORT: &str = "report.html";

/// The verdicts, as they stand in `claims.json`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claims {
    /// Name of the profile.
    pub profile: String,
    /// How verdicts follow from numbers.
    pub rule: String,
    /// One entry for each claim.
    pub claims: Vec<Finding>,
}

/// Reads a file of results that is needed for a check.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| {
        format!(
            "cannot read {}; run `cargo xtask reproduce` with the same --out first",
            path.display()
        )
    })
}
