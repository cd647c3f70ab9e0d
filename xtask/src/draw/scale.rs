//! From values to positions.

/// A linear map from a range of values to a range of positions.
#[derive(Debug, Clone, Copy)]
pub struct Scale {
    values: (f64, f64),
    positions: (f64, f64),
}

impl Scale {
    /// Maps `values.0` to `positions.0` and `values.1` to `positions.1`. An empty range of values is widened.
    pub fn new(values: (f64, f64), positions: (f64, f64)) -> Self {
        let (low, high) = values;
        let values = if high > low {
            values
        } else {
            (low - 0.5, low + 0.5)
        };
        Self { values, positions }
    }

    /// The position of a value.
    pub fn at(&self, value: f64) -> f64 {
        let fraction = (value - self.values.0) / (self.values.1 - self.values.0);
        self.positions.0 + fraction * (self.positions.1 - self.positions.0)
    }
}

/// Round numbers (1, 2 or 5 times a power of ten apart), at most `count` + 1 of them, whose first and last enclose `low…high`.
pub fn nice_ticks(low: f64, high: f64, count: usize) -> Vec<f64> {
    let span = if high > low { high - low } else { 1.0 };
    let power = 10f64.powf((span / count.max(1) as f64).log10().floor());
    // From fine to coarse: the first step with few enough ticks.
    for factor in [1.0, 2.0, 5.0, 10.0, 20.0, 50.0] {
        let step = factor * power;
        let (first, last) = ((low / step + 1e-9).floor(), (high / step - 1e-9).ceil());
        if last - first <= count.max(1) as f64 {
            return (first as i64..=(last as i64).max(first as i64 + 1))
                .map(|i| i as f64 * step)
                .collect();
        }
    }
    vec![low, high]
}

/// A tick's label, with as many decimals as the step between ticks needs.
pub fn format_tick(value: f64, step: f64) -> String {
    let decimals = if step >= 1.0 {
        0
    } else {
        (-step.log10() - 1e-9).ceil() as usize
    };
    format!("{value:.decimals$}").replace('-', "\u{2212}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_enclose_the_range() {
        let ticks = nice_ticks(0.03, 0.27, 4);
        assert_eq!(ticks.len(), 4);
        for (tick, wanted) in ticks.iter().zip([0.0, 0.1, 0.2, 0.3]) {
            assert!((tick - wanted).abs() < 1e-12, "{ticks:?}");
        }
        for (low, high) in [
            (0.0, 1.0),
            (-3.2, 17.0),
            (1e-4, 2.5e-4),
            (5.0, 5.0),
            (12.0, 980.0),
        ] {
            for count in 2..8 {
                let ticks = nice_ticks(low, high, count);
                assert!(ticks.len() >= 2 && ticks.len() <= count + 2, "{ticks:?}");
                assert!(ticks[0] <= low + 1e-6 * high.abs());
                assert!(ticks[ticks.len() - 1] >= high - 1e-6 * high.abs());
            }
        }
    }

    #[test]
    fn tick_labels_have_the_decimals_of_the_step() {
        assert_eq!(format_tick(0.1, 0.05), "0.10");
        assert_eq!(format_tick(20.0, 10.0), "20");
        assert_eq!(format_tick(-0.5, 0.5), "\u{2212}0.5");
    }
}
