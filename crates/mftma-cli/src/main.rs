//! The `mftma` program.
fn main() {}
