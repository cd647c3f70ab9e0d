//! Ctrl-C, SIGTERM and SIGHUP: a flag that long work looks at, and a deadline for work that does not look soon enough.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::say::say;

/// Exit code after Ctrl-C: 128 + SIGINT, as shells have it.
pub const EXIT_CODE: u8 = 130;
/// Work that has not ended by itself by then is ended.
const GRACE: Duration = Duration::from_millis(800);

static REQUESTED: AtomicBool = AtomicBool::new(false);
static FINISHED: Mutex<Vec<String>> = Mutex::new(Vec::new());
static TOTAL: Mutex<usize> = Mutex::new(0);

/// Installs the handler. The first Ctrl-C asks the work to stop; if it has not within 0.8 s, or on a second Ctrl-C, the
/// program ends at once. Both ways it says what was finished.
pub fn install() -> Result<(), ctrlc::Error> {
    ctrlc::set_handler(|| {
        if !REQUESTED.swap(true, Ordering::Relaxed) {
            std::thread::sleep(GRACE);
        }
        say(format_args!("\n{}", summary()));
        std::process::exit(i32::from(EXIT_CODE));
    })
}

/// Whether Ctrl-C was pressed, or the program asked to end.
pub fn requested() -> bool {
    REQUESTED.load(Ordering::Relaxed)
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
