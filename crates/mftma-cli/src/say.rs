//! Words for people, on standard error.

use std::fmt::Display;
use std::io::{self, Write};

/// Says a line on standard error. Where nobody hears it (a closed terminal, a full disk) it goes unsaid: `eprintln!` would end the
/// program, and with it what was finished.
pub fn say(words: impl Display) {
    let _ = writeln!(io::stderr(), "{words}");
}
