//! The architectures.

use crate::network::{Network, NetworkError, NetworkSpec};

pub(crate) fn build(spec: &NetworkSpec) -> Result<Box<dyn Network>, NetworkError> {
    Err(NetworkError::Spec {
        architecture: spec.architecture,
        reason: "not built yet".to_owned(),
    })
}
