//! Operators on dfdx's tape.

mod parameter;

pub use parameter::{Parameter, ParameterRole};
