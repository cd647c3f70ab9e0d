//! Tidy tables: one row per measured value.

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// One value of one measure, with all that identifies it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Name of the profile.
    pub profile: String,
    /// Data set.
    pub dataset: String,
    /// Architecture.
    pub architecture: String,
    /// Base width of the network.
    pub width: usize,
    /// Seed of the run.
    pub seed: u64,
    /// Place of the layer in the network, 0 for the input; empty for what concerns the whole network.
    pub layer_index: Option<usize>,
    /// Name of the layer; empty as above.
    pub layer: Option<String>,
    /// Epochs of training behind the value.
    pub epoch: usize,
    /// Steps of the optimiser behind the value; empty where whole epochs are counted.
    pub step: Option<usize>,
    /// What was varied: rewound layers, an ablation, the number of points; empty for the plain experiment.
    pub condition: Option<String>,
    /// Example group.
    pub group: String,
    /// What was measured.
    pub measure: String,
    /// Its value.
    pub value: f64,
    /// Standard error of the value over classes (geometry) or examples (accuracy).
    pub standard_error: Option<f64>,
    /// Standard error over the Gaussian vectors, the points held fixed (geometry only).
    pub standard_error_vectors: Option<f64>,
    /// Manifolds (geometry) or examples (accuracy) behind the value.
    pub count: usize,
}

/// The table as comma-separated values with a header line.
pub fn to_csv(rows: &[Row]) -> Result<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for row in rows {
        writer.serialize(row)?;
    }
    writer.into_inner().context("cannot write the table")
}

/// Reads a table back.
pub fn from_csv(bytes: &[u8]) -> Result<Vec<Row>> {
    csv::Reader::from_reader(bytes)
        .deserialize()
        .map(|row| row.context("the table is not as this program writes it"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_come_back_as_they_were() {
        let row = Row {
            profile: "smoke".into(),
            dataset: "glyphs, \"embedded\"".into(),
            architecture: "vgg16".into(),
            width: 8,
            seed: 1,
            layer_index: None,
            layer: None,
            epoch: 2,
            step: None,
            condition: None,
            group: "test".into(),
            measure: "capacity".into(),
            value: 0.1 + 0.2,
            standard_error: Some(1e-300),
            standard_error_vectors: None,
            count: 3,
        };
        let rows = [
            row.clone(),
            Row {
                layer_index: Some(3),
                layer: Some("conv1_1".into()),
                step: Some(7),
                condition: Some("P 20".into()),
                ..row
            },
        ];
        assert_eq!(from_csv(&to_csv(&rows).unwrap()).unwrap(), rows);
    }
}
