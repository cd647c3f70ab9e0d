//! From values to positions.

/// A linear map from a range of values to a range of positions.
#[derive(Debug, Clone, Copy)]
pub struct Scale {
    values: (f64, f64),
    positions: (f64, f64),
}

impl Scale {
    /// Maps `values.0` to `positions.0` and `values.1` to `positions.1`. The first may be the larger value. An empty range of values is
    /// widened.
    pub fn new(values: (f64, f64), positions: (f64, f64)) -> Self {
        let (low, high) = values;
        let values = if high == low {
            (low - 0.5, low + 0.5)
        } else {
            values
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

/// Ticks of a logarithmic axis that enclose `low…high`, both common logarithms: position (common logarithm) and label. Powers of
/// ten, and 2 and 5 times them where the range is short.
pub fn log_ticks(low: f64, high: f64) -> Vec<(f64, String)> {
    let (low, high) = if low.is_finite() && high.is_finite() {
        (low, high)
    } else {
        (-0.5, 0.5)
    };
    let factors: &[f64] = if high - low < 2.0 {
        &[1.0, 2.0, 5.0]
    } else {
        &[1.0]
    };
    let decades = (low.floor() as i32 - 1)..=(high.ceil() as i32 + 1);
    let all: Vec<(i32, f64)> = decades
        .flat_map(|decade| factors.iter().map(move |&factor| (decade, factor)))
        .collect();
    let place = |&(decade, factor): &(i32, f64)| f64::from(decade) + factor.log10();
    let first = all.iter().rposition(|tick| place(tick) <= low + 1e-9);
    let last = all.iter().position(|tick| place(tick) >= high - 1e-9);
    let (first, last) = (first.unwrap_or(0), last.unwrap_or(all.len() - 1));
    let kept = &all[first..=last.max(first + 1).min(all.len() - 1)];
    let every = kept.len().div_ceil(7);
    kept.iter()
        .enumerate()
        .map(|(index, tick)| {
            let label = match tick {
                _ if index % every != 0 => String::new(),
                (decade @ -3..=3, factor) => {
                    let decimals = decade.min(&0).unsigned_abs() as usize;
                    format!("{:.decimals$}", factor * 10f64.powi(*decade))
                }
                (decade, factor) => format!("{factor}e{decade}").replace('-', "\u{2212}"),
            };
            (place(tick), label)
        })
        .collect()
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
    fn logarithmic_ticks_enclose_the_range() {
        let labels = |low: f64, high: f64| -> Vec<String> {
            let ticks = log_ticks(low, high);
            assert!(ticks[0].0 <= low + 1e-9 && ticks[ticks.len() - 1].0 >= high - 1e-9);
            ticks.into_iter().map(|(_, label)| label).collect()
        };
        assert_eq!(labels(-0.5, 0.1), ["0.2", "0.5", "1", "2"]);
        assert_eq!(labels(-2.3, 0.9), ["0.001", "0.01", "0.1", "1", "10"]);
        assert_eq!(labels(-6.0, -3.5)[0], "1e\u{2212}6");
        assert_eq!(labels(0.0, 0.0), ["1", "2"]);
        assert!(log_ticks(f64::INFINITY, f64::NEG_INFINITY).len() > 1);
        assert!(labels(-30.0, 30.0).iter().filter(|l| !l.is_empty()).count() < 9);
    }

    #[test]
    fn tick_labels_have_the_decimals_of_the_step() {
        assert_eq!(format_tick(0.1, 0.05), "0.10");
        assert_eq!(format_tick(20.0, 10.0), "20");
        assert_eq!(format_tick(-0.5, 0.5), "\u{2212}0.5");
    }
}
