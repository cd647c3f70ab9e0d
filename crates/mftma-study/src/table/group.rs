//! Whose value a row holds.

use std::fmt;
use std::str::FromStr;

use mftma_data::ExampleGroup;
use mftma_gradients::GradientGroup;

use super::text::as_text;

/// The examples, or what stands in their place, behind a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Group {
    /// One of the four example groups.
    Examples(ExampleGroup),
    /// Unpermuted and permuted examples together, in a gradient.
    All,
    /// Every training example.
    Training,
    /// None: the value follows from theory.
    Theory,
}

impl Group {
    /// All groups.
    pub fn all() -> impl Iterator<Item = Self> {
        let examples = ExampleGroup::ALL.into_iter().map(Self::Examples);
        examples.chain([Self::All, Self::Training, Self::Theory])
    }

    /// Name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Examples(group) => group.name(),
            Self::All => GradientGroup::All.name(),
            Self::Training => "training",
            Self::Theory => "theory",
        }
    }
}

impl From<ExampleGroup> for Group {
    fn from(group: ExampleGroup) -> Self {
        Self::Examples(group)
    }
}

impl From<GradientGroup> for Group {
    fn from(group: GradientGroup) -> Self {
        match group {
            GradientGroup::All => Self::All,
            GradientGroup::Unpermuted => ExampleGroup::Unpermuted.into(),
            GradientGroup::Permuted => ExampleGroup::Permuted.into(),
            GradientGroup::Restored => ExampleGroup::Restored.into(),
        }
    }
}

impl PartialEq<ExampleGroup> for Group {
    fn eq(&self, other: &ExampleGroup) -> bool {
        *self == Self::from(*other)
    }
}

impl PartialEq<GradientGroup> for Group {
    fn eq(&self, other: &GradientGroup) -> bool {
        *self == Self::from(*other)
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Group {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::all().find(|group| group.name() == text);
        found.ok_or_else(|| format!("no group of examples is called {text:?}"))
    }
}

as_text!(Group);
