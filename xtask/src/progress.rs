//! Progress bars on stderr, with the remaining time.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Whether and where bars are drawn.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    quiet: bool,
}

impl Progress {
    /// Bars are drawn unless `quiet`, or stderr is no terminal.
    pub fn new(quiet: bool) -> Self {
        Self { quiet }
    }

    /// A bar for a piece of work of `total` steps.
    pub fn bar(self, label: &str, total: u64) -> Bar {
        let target = if self.quiet {
            ProgressDrawTarget::hidden()
        } else {
            // Draws nothing where stderr is piped.
            ProgressDrawTarget::stderr()
        };
        let bar = ProgressBar::with_draw_target(Some(total), target);
        if let Ok(style) = ProgressStyle::with_template(
            "{prefix:<44!} {bar:24} {percent:>3}% {elapsed:>4} elapsed, {eta:>4} left  {msg}",
        ) {
            bar.set_style(style);
        }
        bar.set_prefix(label.to_owned());
        bar.enable_steady_tick(Duration::from_millis(250));
        Bar(bar)
    }

    /// A line for the reader that is no error; quiet runs leave it out.
    pub fn note(self, text: &str) {
        if !self.quiet {
            eprintln!("note: {text}");
        }
    }
}

/// One progress bar; it disappears when dropped.
pub struct Bar(ProgressBar);

impl Bar {
    /// Moves to step `done`.
    pub fn set(&self, done: u64) {
        self.0.set_position(done);
    }

    /// Says what is being done.
    pub fn message(&self, text: String) {
        self.0.set_message(text);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
