//! Gradient contributions near initialization.
