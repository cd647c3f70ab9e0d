//! The geometry engine.
