//! What stages will cost: from the rates at which stages like them were done here, else from stated rates.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::cache::{Cache, Stage};

/// Finished stages further than this factor from a stage in their amount of work say little about it \[D\]: small ones are
/// mostly overhead.
const COMPARABLE: f64 = 30.0;

/// Finished stages, by kind: amount of work and seconds of each.
type Finished = BTreeMap<String, Vec<(f64, f64)>>;

/// What finished stages took: those of a cache, and those of the results folders beside it.
pub struct Rates {
    here: Finished,
    beside: Finished,
}

/// An estimate for one stage.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Cost {
    /// Seconds, from stages of its kind that were finished here.
    Measured(f64),
    /// Seconds, from a rate that stands in the code.
    Stated(f64),
    /// Nothing is known.
    Unknown,
}

impl Rates {
    /// The finished stages in `cache` and in the caches of the results folders beside it.
    pub fn of(cache: &Cache) -> Self {
        let mut beside = Finished::new();
        for other in caches_beside(cache.root()) {
            for (kind, mut stages) in finished(&other) {
                beside.entry(kind).or_default().append(&mut stages);
            }
        }
        Self {
            here: finished(cache.root()),
            beside,
        }
    }

    /// Nothing measured.
    pub fn none() -> Self {
        Self {
            here: Finished::new(),
            beside: Finished::new(),
        }
    }

    /// What a stage will cost: its work at the median rate of comparable finished stages of its kind, else at its stated rate.
    pub fn cost(&self, stage: &dyn Stage) -> Cost {
        let work = stage.amount();
        let measured = |stages: &Finished| median_rate(stages.get(stage.kind())?, work);
        if let Some(rate) = measured(&self.here).or_else(|| measured(&self.beside)) {
            return Cost::Measured(rate * work);
        }
        match stage.seconds_per_unit() {
            Some(rate) => Cost::Stated(rate * work),
            None => Cost::Unknown,
        }
    }
}

/// Seconds per unit of work, of stages whose work is comparable.
fn median_rate(stages: &[(f64, f64)], work: f64) -> Option<f64> {
    let comparable = |amount: f64| amount * COMPARABLE >= work && amount <= work * COMPARABLE;
    let mut rates: Vec<f64> = stages
        .iter()
        .filter(|(amount, _)| *amount > 0.0 && comparable(*amount))
        .map(|(amount, seconds)| seconds / amount)
        .collect();
    rates.sort_by(f64::total_cmp);
    rates.get(rates.len() / 2).copied()
}

/// `results/*/cache` beside `results/<profile>/cache`, in order of their names.
fn caches_beside(cache: &Path) -> Vec<PathBuf> {
    let Some(name) = cache.file_name() else {
        return Vec::new();
    };
    let all = cache.parent().and_then(Path::parent);
    let Some(Ok(folders)) = all.map(std::fs::read_dir) else {
        return Vec::new();
    };
    let mut found: Vec<PathBuf> = folders
        .filter_map(|folder| Some(folder.ok()?.path().join(name)))
        .filter(|path| path != cache && path.is_dir())
        .collect();
    found.sort();
    found
}

fn finished(cache: &Path) -> Finished {
    let mut stages = Finished::new();
    for (kind, amount, seconds) in Cache::measured(cache) {
        stages.entry(kind).or_default().push((amount, seconds));
    }
    stages
}

/// The sum of several estimates.
#[derive(Debug, Default)]
pub struct Total {
    seconds: f64,
    measured: usize,
    stated: usize,
    unknown: usize,
}

impl Total {
    /// Adds one.
    pub fn add(&mut self, cost: Cost) {
        match cost {
            Cost::Measured(seconds) => {
                self.seconds += seconds;
                self.measured += 1;
            }
            Cost::Stated(seconds) => {
                self.seconds += seconds;
                self.stated += 1;
            }
            Cost::Unknown => self.unknown += 1,
        }
    }
}

impl std::fmt::Display for Total {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let time = crate::record::duration(self.seconds);
        write!(
            f,
            "about {time}: {} stages by rates measured here, {} by stated rates (two cores)",
            self.measured, self.stated
        )?;
        if self.unknown > 0 {
            write!(f, ", and {} whose cost is not known", self.unknown)?;
        }
        Ok(())
    }
}

impl std::fmt::Display for Cost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Measured(seconds) | Self::Stated(seconds) => {
                write!(f, ", about {}", crate::record::duration(*seconds))
            }
            Self::Unknown => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Result;

    use super::*;
    use crate::cache::{StageInputs, TypedStage, Work};
    use crate::progress::Progress;

    struct Job(f64, Option<f64>);

    impl TypedStage for Job {
        const KIND: &'static str = "job";
        const VERSION: u32 = 1;
        const RUNS_ENGINE: bool = false;
        type Settings = f64;
        type Output = ();

        fn label(&self) -> String {
            String::new()
        }
        fn settings(&self) -> f64 {
            self.0
        }
        fn inputs(&self) -> StageInputs {
            StageInputs::none()
        }
        fn compute(&self, _work: &Work<'_>) -> Result<()> {
            std::thread::sleep(std::time::Duration::from_millis(30));
            Ok(())
        }
        fn amount(&self) -> f64 {
            self.0
        }
        fn seconds_per_unit(&self) -> Option<f64> {
            self.1
        }
    }

    #[test]
    fn measured_rates_go_before_stated_ones_and_scale_with_the_work() {
        let folder = tempfile::tempdir().unwrap();
        let cache =
            |name: &str| Cache::new(folder.path().join(name).join("cache"), Progress::silent());
        let here = cache("here");
        let before = Rates::of(&here);
        assert_eq!(before.cost(&Job(10.0, None)), Cost::Unknown);
        assert_eq!(before.cost(&Job(10.0, Some(2.0))), Cost::Stated(20.0));
        here.ensure(&Job(3.0, None), false).unwrap();
        // From this cache, and from one beside it.
        for cache in [&here, &cache("beside")] {
            let rates = Rates::of(cache);
            let Cost::Measured(seconds) = rates.cost(&Job(30.0, Some(2.0))) else {
                panic!("not measured");
            };
            assert!(seconds >= 0.3, "{seconds}");
            // A hundred times the work is another matter.
            assert_eq!(rates.cost(&Job(300.0, Some(2.0))), Cost::Stated(600.0));
        }
    }

    #[test]
    fn totals_say_what_they_rest_on() {
        let mut total = Total::default();
        for cost in [Cost::Measured(30.0), Cost::Stated(90.0), Cost::Unknown] {
            total.add(cost);
        }
        let text = total.to_string();
        assert!(
            text.starts_with("about 2 min: 1 stages by rates measured"),
            "{text}"
        );
        assert!(text.contains("1 whose cost is not known"), "{text}");
    }
}
