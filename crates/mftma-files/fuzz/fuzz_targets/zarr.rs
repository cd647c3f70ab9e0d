//! Any bytes as a zarr store of one array: a line of JSON, then the first chunk. The first byte chooses the version.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mftma_files::read::exercise;

fuzz_target!(|bytes: &[u8]| {
    let [version, rest @ ..] = bytes else {
        return;
    };
    let end = rest.iter().position(|&b| b == b'\n').unwrap_or(rest.len());
    let (json, chunk) = rest.split_at(end);
    let _ = exercise::zarr(version & 1 == 1, json, chunk.get(1..).unwrap_or_default());
});
