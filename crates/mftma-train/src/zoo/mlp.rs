use std::marker::PhantomData;

use dfdx::prelude::ConstDim;

use crate::assembly::Body;
use crate::layers::{Blueprint, Halt, Linear, Pass, visit_fields};
use crate::ops::{Features, Maps, Recording, Rectifier, Value, flatten};
use crate::spec::NetworkSpec;

/// Two hidden layers of `8 × width` units on images of side `S`.
#[derive(Clone, Debug)]
pub(super) struct Mlp<S> {
    hidden: [Linear; 2],
    last: Linear,
    side: PhantomData<S>,
}

visit_fields!([S] Mlp<S>: one() many(hidden) then(last));

impl<S: ConstDim> Mlp<S> {
    pub(super) fn new(plan: &mut Blueprint, spec: &NetworkSpec) -> Self {
        let units = 8 * spec.width;
        Self {
            hidden: [
                Linear::hidden(plan, "fc1", spec.input.len(), units),
                Linear::hidden(plan, "fc2", units, units),
            ],
            last: Linear::last(plan, "fc3", units, spec.classes),
            side: PhantomData,
        }
    }
}

impl<S: ConstDim> Body for Mlp<S> {
    type Side = S;

    fn forward<T: Recording>(
        &self,
        x: Value<Maps<S, S>, T>,
        pass: &mut Pass<'_>,
    ) -> Result<Value<Features, T>, Halt> {
        let mut x = flatten(x)?;
        for layer in &self.hidden {
            x = layer.forward(x, Rectifier::Relu, pass)?;
        }
        self.last.forward(x, Rectifier::None, pass)
    }
}
