//! Smaller data sets out of larger ones.

use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

use crate::{Dataset, Error, Result, Shortage, Split, stream};

/// Which part of a data set to keep: some classes, and so many examples of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Subset {
    /// Number of classes, or all. The kept classes are renumbered from 0 in their old order.
    pub classes: Option<usize>,
    /// Training examples of each class, or all.
    pub train_per_class: Option<usize>,
    /// Test examples of each class, or all.
    pub test_per_class: Option<usize>,
    /// Seed of the choice of classes and examples.
    pub seed: u64,
    /// What to do where a class has fewer examples than asked for.
    pub shortage: Shortage,
}

impl Subset {
    /// The part of `dataset` that these settings choose. Examples keep their order.
    ///
    /// The classes depend on the seed and their number only, the examples of a class on the seed and the class only:
    /// asking for more examples, or more test examples, adds to what a smaller subset holds.
    ///
    /// # Errors
    /// [`Error::Argument`] where a number is 0 or there are not so many classes, [`Error::Shortage`] where a class has
    /// too few examples.
    pub fn of(&self, dataset: &Dataset) -> Result<Dataset> {
        let all = dataset.classes();
        let count = self.classes.unwrap_or(all);
        if count == 0 || count > all {
            return Err(Error::argument(
                "number of classes",
                count,
                format!("between 1 and the data set's {all}"),
            ));
        }
        let mut classes: Vec<u16> = (0..all).map(|class| class as u16).collect();
        classes.shuffle(&mut stream(self.seed, "subset classes"));
        classes.truncate(count);
        classes.sort_unstable();

        let train = self.part(dataset.train(), &classes, self.train_per_class, "training")?;
        let test = self.part(dataset.test(), &classes, self.test_per_class, "test")?;
        let class_names = classes
            .iter()
            .map(|&class| dataset.class_names()[usize::from(class)].clone())
            .collect();
        Dataset::new(
            dataset.name(),
            class_names,
            dataset.coarse_names().to_vec(),
            train,
            test,
        )
    }

    fn part(
        &self,
        split: &Split,
        classes: &[u16],
        per_class: Option<usize>,
        split_name: &str,
    ) -> Result<Split> {
        if per_class == Some(0) {
            return Err(Error::argument(
                "number of examples per class",
                0,
                "at least 1",
            ));
        }
        let mut by_class = vec![Vec::new(); classes.len()];
        for (index, label) in split.labels().iter().enumerate() {
            if let Ok(place) = classes.binary_search(label) {
                by_class[place].push(index);
            }
        }
        for (list, &class) in by_class.iter_mut().zip(classes) {
            let Some(wanted) = per_class else { continue };
            if list.len() < wanted && self.shortage == Shortage::Refuse {
                return Err(Error::Shortage {
                    class,
                    group: split_name.to_owned(),
                    wanted,
                    had: list.len(),
                    remedy: "ask for fewer examples per class, or take what there is (Shortage::Take)",
                });
            }
            list.shuffle(&mut stream(
                self.seed,
                &format!("subset {split_name} class {class}"),
            ));
            list.truncate(wanted);
        }
        let mut indices = by_class.concat();
        indices.sort_unstable();
        let chosen = split.select(&indices);
        let labels = chosen
            .labels()
            .iter()
            .filter_map(|label| classes.binary_search(label).ok())
            .map(|place| place as u16)
            .collect();
        let coarse = chosen.coarse_labels().map(<[u16]>::to_vec);
        Split::new(chosen.into_images(), labels, coarse)
    }
}
