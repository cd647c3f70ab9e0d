//! Progress bars on stderr, with the remaining time.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use mftma_study::progress::{Bar, Sink};

/// Bars in the terminal; nothing where stderr is piped.
pub struct Terminal;

impl Sink for Terminal {
    fn bar(&self, label: &str, total: u64) -> Box<dyn Bar> {
        let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template(
            "{prefix:<44!} {bar:24} {percent:>3}% {elapsed:>4} elapsed, {eta:>4} left  {msg}",
        ) {
            bar.set_style(style);
        }
        bar.set_prefix(label.to_owned());
        bar.enable_steady_tick(Duration::from_millis(250));
        Box::new(Shown(bar))
    }

    fn note(&self, text: &str) {
        eprintln!("note: {text}");
    }
}

/// One bar; it disappears when dropped.
struct Shown(ProgressBar);

impl Bar for Shown {
    fn set(&self, done: u64) {
        self.0.set_position(done);
    }

    fn message(&self, text: String) {
        self.0.set_message(text);
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
