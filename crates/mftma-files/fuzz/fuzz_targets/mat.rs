//! Any bytes as a MATLAB file of version 5.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mftma_files::read::{Format, exercise};

fuzz_target!(|bytes: &[u8]| {
    let _ = exercise::arrays(Format::Mat, bytes);
});
