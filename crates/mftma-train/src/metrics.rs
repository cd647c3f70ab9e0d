//! What an epoch gave, and why training ended.

use serde::{Deserialize, Serialize};

use crate::evaluate::GroupScores;

/// What one epoch gave. Epoch 0 is the initialization.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochMetrics {
    /// Epochs of training behind these numbers.
    pub epoch: usize,
    /// Optimiser steps behind them.
    pub steps: u64,
    /// Learning rate of the epoch's last step; 0 for epoch 0.
    pub learning_rate: f64,
    /// Mean cross-entropy of the epoch's batches as they were trained on (each before its own update, with batch statistics), in nats.
    /// None for epoch 0.
    pub batch_loss: Option<f64>,
    /// Share of the training examples that are given the label they are trained on, in evaluation mode: the stop condition's number. An
    /// estimate where [`evaluated_examples`](crate::Recipe::evaluated_examples) leaves some out: the shares of the groups,
    /// weighted by their sizes.
    pub training_accuracy: f64,
    /// The four example groups after the epoch, in evaluation mode. A group without examples is left out.
    pub groups: GroupScores,
}

/// Why training ended. A status, not an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StopReason {
    /// The training accuracy rose above its threshold.
    TrainingAccuracy,
    /// The epoch limit was reached.
    EpochLimit,
}
