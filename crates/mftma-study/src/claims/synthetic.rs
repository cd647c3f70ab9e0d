//! Results built to satisfy a claim, to violate it, or to leave it open.

use mftma_data::{ExampleGroup, stream};
use rand_distr::{Distribution, Normal};

use mftma_gradients::{GradientGroup, GradientPart, InputAblation};

use super::inputs::{Accuracy, Beside, ClassValue, GradientMeasure, GradientValue};
use super::{Gap, Part, Verdict, verdict_of};
use crate::published::{LAYERS, figure3};
use crate::table::GradientInputs;

/// The verdict on parts that could be computed.
pub fn verdict(parts: Result<Vec<Part>, Gap>) -> Verdict {
    verdict_of(&parts.unwrap())
}

/// Normal noise of some spread, seeded.
pub fn noise(spread: f64) -> impl FnMut() -> f64 {
    noise_of(1, spread)
}

/// The same with a seed of one's own.
pub fn noise_of(seed: u64, spread: f64) -> impl FnMut() -> f64 {
    let mut random = stream(seed, "test: synthetic results");
    let law = Normal::new(0.0, spread).unwrap();
    move || law.sample(&mut random)
}

/// Accuracies of one run at epochs 0, 5, 20 and 60: test accuracy is highest at 5, permuted labels are memorized by 60.
pub fn accuracy() -> Vec<Accuracy> {
    let course = [
        (0, 0.05, 0.05),
        (5, 0.65, 0.06),
        (20, 0.55, 0.5),
        (60, 0.5, 0.97),
    ];
    let mut rows = Vec::new();
    for seed in 1..=4 {
        for (epoch, test, permuted) in course {
            for (group, value) in [
                (ExampleGroup::Test, test),
                (ExampleGroup::Permuted, permuted),
            ] {
                rows.push(Accuracy {
                    seed,
                    epoch,
                    group,
                    value,
                });
            }
        }
    }
    rows
}

/// The same, but permuted labels stay at chance.
pub fn without_memorization() -> Vec<Accuracy> {
    let mut rows = accuracy();
    for row in &mut rows {
        if row.group == ExampleGroup::Permuted {
            row.value = 0.05;
        }
    }
    rows
}

/// Capacity, radius and dimension by group, epoch and layer, and the spread of their logarithms over classes.
pub struct Law {
    spread: f64,
    measures: Box<dyn Fn(ExampleGroup, usize, usize) -> [f64; 3]>,
}

impl Law {
    pub fn new(
        spread: f64,
        measures: impl Fn(ExampleGroup, usize, usize) -> [f64; 3] + 'static,
    ) -> Self {
        Self {
            spread,
            measures: Box::new(measures),
        }
    }
}

/// Twenty classes in an input and eight layers (1 to 8) of one run, measured at epochs 0, 5 and 60.
pub fn classes(law: &Law) -> Vec<ClassValue> {
    let mut random = noise(law.spread);
    let mut values = Vec::new();
    for group in ExampleGroup::ALL {
        for epoch in [0, 5, 60] {
            for layer_index in 0..=8 {
                for class in 0..20 {
                    let [capacity, radius, dimension] =
                        (law.measures)(group, epoch, layer_index).map(|v| v * random().exp());
                    values.push(ClassValue {
                        seed: 1,
                        group,
                        epoch,
                        layer_index,
                        layer: format!("layer{layer_index}"),
                        class,
                        capacity,
                        radius,
                        dimension,
                    });
                }
            }
        }
    }
    values
}

/// Gradients of eight layers (0 to 7), the last two with 10,000 times the parameters, at steps 0 and 10: norms by step, layer,
/// group and condition, with the spread of their logarithms over runs.
pub fn gradients(
    runs: u64,
    spread: f64,
    norm: impl Fn(usize, usize, GradientGroup, GradientInputs) -> f64,
) -> Vec<GradientValue> {
    let mut rows = Vec::new();
    let mut random = noise(spread);
    for seed in 1..=runs {
        let run = random();
        for layer_index in 0..8 {
            for step in [0, 10] {
                for inputs in [
                    GradientInputs::RAW,
                    GradientInputs::RAW.part(GradientPart::Label),
                    GradientInputs::of(InputAblation::CentredClasses).part(GradientPart::Label),
                ] {
                    for group in [
                        GradientGroup::All,
                        GradientGroup::Unpermuted,
                        GradientGroup::Permuted,
                    ] {
                        // One draw for the run and layers' own, opposite in both halves and in both groups.
                        let sign = if layer_index < 4 || group == GradientGroup::Permuted {
                            1.0
                        } else {
                            -1.0
                        };
                        let value = norm(step, layer_index, group, inputs) * (sign * run).exp();
                        let mut push = |measure, value| {
                            rows.push(GradientValue {
                                seed,
                                epoch: 0,
                                step,
                                layer_index,
                                group,
                                inputs,
                                measure,
                                value,
                            });
                        };
                        push(GradientMeasure::MeanNorm, value);
                        push(GradientMeasure::ExampleNorm, 2.0 * value);
                        if step == 0 {
                            push(
                                GradientMeasure::Parameters,
                                if layer_index < 6 { 100.0 } else { 1e6 },
                            );
                        }
                    }
                }
            }
        }
    }
    rows
}

impl Beside {
    /// The published figure, and twenty classes in its layers whose capacity, radius and dimension change by these factors from the best
    /// epoch, 5, to the last, 60.
    pub fn published_with(factors: [f64; 3]) -> Self {
        let law = Law::new(0.0, move |_, epoch, _| {
            let factors = if epoch == 60 { factors } else { [1.0; 3] };
            let [capacity, radius, dimension] = factors;
            [0.04 * capacity, 1.3 * radius, 25.0 * dimension]
        });
        let of_input = classes(&law).into_iter().filter(|v| v.layer_index == 0);
        let in_layers = |value: ClassValue| {
            LAYERS
                .iter()
                .enumerate()
                .map(move |(layer_index, layer)| ClassValue {
                    layer_index,
                    layer: (*layer).into(),
                    ..value.clone()
                })
        };
        Self {
            points: figure3().unwrap(),
            classes: of_input.flat_map(in_layers).collect(),
            best: [(1, 5)].into(),
            last: [(1, 60)].into(),
        }
    }
}
