use std::marker::PhantomData;

use crate::assembly::{Body, Eighth, Fourth, Half, Sixteenth};
use crate::layers::{Blueprint, Convolution, Halt, Linear, Pass, Pooled, Pooling, visit_fields};
use crate::ops::{Features, Halve, Maps, Recording, Rectifier, Value, flatten};
use crate::spec::{Architecture, NetworkSpec};

/// Convolutions and the pooling after them.
#[derive(Clone, Debug)]
struct Stage(Vec<Convolution<3, 1>>, Pooling);

visit_fields!([] Stage: one() many(0) then());

impl Stage {
    fn new<H: Halve>(
        plan: &mut Blueprint,
        stage: usize,
        depth: usize,
        inputs: usize,
        outputs: usize,
    ) -> Self {
        let layers: Vec<_> = (1..=depth)
            .map(|i| {
                let inputs = if i == 1 { inputs } else { outputs };
                Convolution::new::<H>(plan, &format!("conv{stage}_{i}"), inputs, outputs)
            })
            .collect();
        let pooling = Pooling::to_maps::<H::Half>(plan, &format!("pool{stage}"), outputs);
        Self(layers, pooling)
    }

    fn forward<H: Halve, T: Recording>(
        &self,
        mut x: Value<Maps<H, H>, T>,
        pass: &mut Pass<'_>,
    ) -> Result<Pooled<H, T>, Halt> {
        let (last, before) = self
            .0
            .split_last()
            .expect("a stage has at least one convolution");
        for layer in before {
            x = layer.forward(x, Rectifier::Relu, pass)?;
        }
        last.forward_pooled(x, &self.1, pass)
    }
}

/// VGG with one linear layer as head, on images of side `S`.
#[derive(Clone, Debug)]
pub(super) struct Vgg<S> {
    stages: [Stage; 5],
    last: Linear,
    side: PhantomData<S>,
}

visit_fields!([S] Vgg<S>: one() many(stages) then(last));

impl<S: Halve> Vgg<S>
where
    Half<S>: Halve,
    Fourth<S>: Halve,
    Eighth<S>: Halve,
    Sixteenth<S>: Halve,
{
    pub(super) fn new(plan: &mut Blueprint, spec: &NetworkSpec) -> Self {
        let depths = match spec.architecture {
            Architecture::Vgg11 => [1, 1, 2, 2, 2],
            Architecture::Vgg13 => [2, 2, 2, 2, 2],
            _ => [2, 2, 3, 3, 3],
        };
        let (inputs, w) = (spec.input.channels, spec.width);
        let stages = [
            Stage::new::<S>(plan, 1, depths[0], inputs, w),
            Stage::new::<Half<S>>(plan, 2, depths[1], w, 2 * w),
            Stage::new::<Fourth<S>>(plan, 3, depths[2], 2 * w, 4 * w),
            Stage::new::<Eighth<S>>(plan, 4, depths[3], 4 * w, 8 * w),
            Stage::new::<Sixteenth<S>>(plan, 5, depths[4], 8 * w, 8 * w),
        ];
        let pixels = (spec.input.height / 32) * (spec.input.width / 32);
        let last = Linear::last(plan, "fc1", 8 * w * pixels, spec.classes);
        Self {
            stages,
            last,
            side: PhantomData,
        }
    }
}

impl<S: Halve> Body for Vgg<S>
where
    Half<S>: Halve,
    Fourth<S>: Halve,
    Eighth<S>: Halve,
    Sixteenth<S>: Halve,
{
    type Side = S;

    fn forward<T: Recording>(
        &self,
        x: Value<Maps<S, S>, T>,
        pass: &mut Pass<'_>,
    ) -> Result<Value<Features, T>, Halt> {
        let [one, two, three, four, five] = &self.stages;
        let x = one.forward(x, pass)?;
        let x = two.forward(x, pass)?;
        let x = three.forward(x, pass)?;
        let x = four.forward(x, pass)?;
        let x = five.forward(x, pass)?;
        self.last.forward(flatten(x)?, Rectifier::None, pass)
    }
}
