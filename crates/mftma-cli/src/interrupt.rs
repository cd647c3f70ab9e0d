//! Ctrl-C, SIGTERM and SIGHUP: a flag that long work looks at, and a deadline for work that does not look soon enough.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use crate::say::say;
use crate::signals;

/// Exit code after Ctrl-C: 128 + SIGINT, as shells have it.
pub const EXIT_CODE: u8 = 130;
/// Work that has not ended by itself by then is ended.
const GRACE: Duration = Duration::from_millis(800);
/// Signals that follow the first within it are the same wish: a closing terminal sends several.
const PATIENCE: Duration = Duration::from_secs(3);

static ASKED: OnceLock<Instant> = OnceLock::new();
static HELD: AtomicBool = AtomicBool::new(false);
static FINISHED: Mutex<Vec<String>> = Mutex::new(Vec::new());
static TOTAL: Mutex<usize> = Mutex::new(0);

/// Installs the handler. The first Ctrl-C asks the work to stop; if it has not within 0.8 s, the program ends, after
/// [`hold`] by writing what is finished. Another Ctrl-C, three seconds later or more, ends it at once. It always says what was finished.
/// Signals that are ignored stay so.
pub fn install() -> Result<(), ctrlc::Error> {
    signals::large_files_are_errors();
    signals::keep_ignored(|| ctrlc::set_handler(heard))
}

/// A signal came.
fn heard() {
    let mut first = false;
    let asked = ASKED.get_or_init(|| {
        first = true;
        Instant::now()
    });
    if !first {
        if asked.elapsed() > PATIENCE {
            end();
        }
        return;
    }
    // On a thread of its own, so that the next signal is heard.
    let deadline = std::thread::Builder::new().spawn(|| {
        std::thread::sleep(GRACE);
        if !HELD.load(Ordering::Relaxed) {
            end();
        }
    });
    if deadline.is_err() {
        end();
    }
}

fn end() {
    say(format_args!("\n{}", summary()));
    std::process::exit(i32::from(EXIT_CODE));
}

/// Whether Ctrl-C was pressed, or the program asked to end.
pub fn requested() -> bool {
    ASKED.get().is_some()
}

/// Whether that was so long ago that work which has not ended will not do so soon.
pub fn overdue() -> bool {
    ASKED.get().is_some_and(|asked| asked.elapsed() > GRACE)
}

/// From here on results may be there or on their way into a file: whoever calls this ends the program itself where it is [`overdue`].
pub fn hold() {
    HELD.store(true, Ordering::Relaxed);
}

/// Tells how many pieces of work there are.
pub fn expect(total: usize) {
    *TOTAL.lock().unwrap_or_else(PoisonError::into_inner) = total;
}

/// Notes a finished piece of work, for [`summary`].
pub fn finished(name: &str) {
    FINISHED
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(name.to_owned());
}

/// What was finished, in one line.
pub fn summary() -> String {
    let total = *TOTAL.lock().unwrap_or_else(PoisonError::into_inner);
    let done = FINISHED.lock().unwrap_or_else(PoisonError::into_inner);
    if done.is_empty() {
        format!("interrupted: none of {total} finished")
    } else {
        format!(
            "interrupted: {} of {total} finished ({})",
            done.len(),
            done.join(", ")
        )
    }
}
