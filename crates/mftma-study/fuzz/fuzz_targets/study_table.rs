//! Any bytes as a table of the study, and as the paper's values.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mftma_study::{published, table};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(rows) = table::from_csv(bytes) {
        let again = table::to_csv(&rows).expect("what was read can be written");
        assert_eq!(table::from_csv(&again).expect("and read again").len(), rows.len());
    }
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let _ = published::read_layers(text);
    let _ = published::read_widths(text);
});
