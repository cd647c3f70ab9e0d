//! Data sets, label permutation, example groups.
