//! How far work has come, told to whoever shows it.

use std::sync::Arc;

/// Shows progress: a terminal, a notebook, nothing.
pub trait Sink: Send + Sync {
    /// Begins a piece of work of `total` steps. It ends when the value is dropped.
    fn bar(&self, label: &str, total: u64) -> Box<dyn Bar>;

    /// A line for the reader that is no error.
    fn note(&self, text: &str);
}

/// One piece of work.
pub trait Bar {
    /// Moves to step `done`.
    fn set(&self, done: u64);

    /// Says what is being done.
    fn message(&self, text: String);
}

/// A sink that many may hold.
#[derive(Clone)]
pub struct Progress(Arc<dyn Sink>);

impl Progress {
    /// Progress shown by `sink`.
    pub fn new(sink: impl Sink + 'static) -> Self {
        Self(Arc::new(sink))
    }

    /// Progress that nobody sees.
    pub fn silent() -> Self {
        Self::new(Silent)
    }

    /// See [`Sink::bar`].
    pub fn bar(&self, label: &str, total: u64) -> Box<dyn Bar> {
        self.0.bar(label, total)
    }

    /// See [`Sink::note`].
    pub fn note(&self, text: &str) {
        self.0.note(text);
    }
}

struct Silent;

impl Sink for Silent {
    fn bar(&self, _label: &str, _total: u64) -> Box<dyn Bar> {
        Box::new(Self)
    }

    fn note(&self, _text: &str) {}
}

impl Bar for Silent {
    fn set(&self, _done: u64) {}

    fn message(&self, _text: String) {}
}
