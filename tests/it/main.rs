//! Tests that cross crates, in one binary. What one crate does alone is tested in its own folder.

mod arrows;
mod handover;
mod own_network;
mod spelling;
