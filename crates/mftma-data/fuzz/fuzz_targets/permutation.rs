//! A stored label permutation, read back from JSON.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mftma_data::LabelPermutation;

fuzz_target!(|data: &[u8]| {
    if let Ok(permutation) = serde_json::from_slice::<LabelPermutation>(data) {
        assert_eq!(permutation.mask().len(), permutation.assigned_labels().len());
        assert!(permutation.true_labels().iter().all(|&l| usize::from(l) < permutation.classes()));
    }
});
