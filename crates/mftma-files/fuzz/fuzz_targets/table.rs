//! Any bytes as a table of text.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mftma_files::read::{Format, exercise};

fuzz_target!(|bytes: &[u8]| {
    let _ = exercise::arrays(Format::Table, bytes);
});
