use std::marker::PhantomData;

use dfdx::prelude::ConstDim;

use crate::assembly::{Body, Eighth, Fourth, Half};
use crate::layers::{
    Blueprint, Convolution, Halt, Linear, Pass, Pooling, Projection, Residual, visit_fields,
};
use crate::ops::{Features, Halve, Maps, Recording, Rectifier, Value};
use crate::spec::NetworkSpec;

/// ResNet-18 for small images: a 3×3 stem without pooling, four stages of two blocks, global mean, linear.
#[derive(Clone, Debug)]
pub(super) struct ResNet18<S> {
    stem: Convolution<3, 1>,
    plain: [Residual; 2],
    stages: [(Projection<2>, Residual); 3],
    pooling: Pooling,
    last: Linear,
    side: PhantomData<S>,
}

visit_fields!([] (Projection<2>, Residual): one(0, 1) many() then());

visit_fields!([S] ResNet18<S>: one(stem) many(plain, stages) then(last));

/// Channels double while the side halves, then a plain block.
fn stage<H: Halve>(
    plan: &mut Blueprint,
    number: usize,
    inputs: usize,
) -> (Projection<2>, Residual) {
    (
        Projection::new::<H>(plan, &format!("conv{number}_1"), inputs, 2 * inputs),
        Residual::new::<H::Half>(plan, &format!("conv{number}_2"), 2 * inputs),
    )
}

impl<S: Halve> ResNet18<S>
where
    Half<S>: Halve,
    Fourth<S>: Halve,
{
    pub(super) fn new(plan: &mut Blueprint, spec: &NetworkSpec) -> Self {
        let w = spec.width;
        Self {
            stem: Convolution::new::<S>(plan, "conv1", spec.input.channels, w),
            plain: [
                Residual::new::<S>(plan, "conv2_1", w),
                Residual::new::<S>(plan, "conv2_2", w),
            ],
            stages: [
                stage::<S>(plan, 3, w),
                stage::<Half<S>>(plan, 4, 2 * w),
                stage::<Fourth<S>>(plan, 5, 4 * w),
            ],
            pooling: Pooling::global(plan, "pool5", 8 * w),
            last: Linear::last(plan, "fc1", 8 * w, spec.classes),
            side: PhantomData,
        }
    }
}

impl<S: Halve> Body for ResNet18<S>
where
    Half<S>: Halve,
    Fourth<S>: Halve,
    Eighth<S>: ConstDim,
{
    type Side = S;

    fn forward<T: Recording>(
        &self,
        x: Value<Maps<S, S>, T>,
        pass: &mut Pass<'_>,
    ) -> Result<Value<Features, T>, Halt> {
        let mut x = self.stem.forward(x, Rectifier::Relu, pass)?;
        for block in &self.plain {
            x = block.forward(x, pass)?;
        }
        let [three, four, five] = &self.stages;
        let x = three.1.forward(three.0.forward(x, pass)?, pass)?;
        let x = four.1.forward(four.0.forward(x, pass)?, pass)?;
        let x = five.1.forward(five.0.forward(x, pass)?, pass)?;
        let x = self.pooling.mean(x, pass)?;
        self.last.forward(x, Rectifier::None, pass)
    }
}

/// A stem and one residual block in each of three stages of w, 2w and 4w channels.
#[derive(Clone, Debug)]
pub(super) struct Shallow<S> {
    stem: Convolution<3, 1>,
    plain: Residual,
    stages: [Projection<2>; 2],
    pooling: Pooling,
    last: Linear,
    side: PhantomData<S>,
}

visit_fields!([S] Shallow<S>: one(stem, plain) many(stages) then(last));

impl<S: Halve> Shallow<S>
where
    Half<S>: Halve,
{
    pub(super) fn new(plan: &mut Blueprint, spec: &NetworkSpec) -> Self {
        let w = spec.width;
        Self {
            stem: Convolution::new::<S>(plan, "conv1", spec.input.channels, w),
            plain: Residual::new::<S>(plan, "conv2_1", w),
            stages: [
                Projection::new::<S>(plan, "conv3_1", w, 2 * w),
                Projection::new::<Half<S>>(plan, "conv4_1", 2 * w, 4 * w),
            ],
            pooling: Pooling::global(plan, "pool4", 4 * w),
            last: Linear::last(plan, "fc1", 4 * w, spec.classes),
            side: PhantomData,
        }
    }
}

impl<S: Halve> Body for Shallow<S>
where
    Half<S>: Halve,
{
    type Side = S;

    fn forward<T: Recording>(
        &self,
        x: Value<Maps<S, S>, T>,
        pass: &mut Pass<'_>,
    ) -> Result<Value<Features, T>, Halt> {
        let x = self.stem.forward(x, Rectifier::Relu, pass)?;
        let x = self.plain.forward(x, pass)?;
        let x = self.stages[0].forward(x, pass)?;
        let x = self.stages[1].forward(x, pass)?;
        let x = self.pooling.mean(x, pass)?;
        self.last.forward(x, Rectifier::None, pass)
    }
}
