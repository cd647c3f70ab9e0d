use dfdx::prelude::Const;

use crate::assembly::Body;
use crate::layers::{Blueprint, Convolution, Halt, Linear, Pass, Pooling, visit_fields};
use crate::ops::{Features, Maps, Recording, Rectifier, Value, Window, flatten};
use crate::spec::NetworkSpec;

/// Everything from the third convolution on, which both forms share: three 3×3 convolutions on 4×4 maps, a 2×2 maximum,
/// and three linear layers.
#[derive(Clone, Debug)]
struct Tail {
    three: Convolution<3, 1>,
    four: Convolution<3, 1>,
    five: Convolution<3, 1>,
    pooling: Pooling,
    hidden: [Linear; 2],
    last: Linear,
}

impl Tail {
    fn new(plan: &mut Blueprint, spec: &NetworkSpec) -> Self {
        let w = spec.width;
        Self {
            three: Convolution::new::<Const<4>>(plan, "conv3", 3 * w, 6 * w),
            four: Convolution::new::<Const<4>>(plan, "conv4", 6 * w, 4 * w),
            five: Convolution::new::<Const<4>>(plan, "conv5", 4 * w, 4 * w),
            pooling: Pooling::to_maps::<Const<2>>(plan, "pool5", 4 * w),
            hidden: [
                Linear::hidden(plan, "fc1", 4 * w * 2 * 2, 64 * w),
                Linear::hidden(plan, "fc2", 64 * w, 64 * w),
            ],
            last: Linear::last(plan, "fc3", 64 * w, spec.classes),
        }
    }

    fn forward<T: Recording>(
        &self,
        x: Value<Maps<Const<4>, Const<4>>, T>,
        pass: &mut Pass<'_>,
    ) -> Result<Value<Features, T>, Halt> {
        let x = self.three.forward(x, Rectifier::Relu, pass)?;
        let x = self.four.forward(x, Rectifier::Relu, pass)?;
        let mut x = flatten(self.five.forward_pooled(x, &self.pooling, pass)?)?;
        for layer in &self.hidden {
            x = layer.forward(x, Rectifier::Relu, pass)?;
        }
        self.last.forward(x, Rectifier::None, pass)
    }
}

visit_fields!([] Tail: one(three, four, five) many(hidden) then(last));

/// AlexNet, with kernels `K1` (stride `S1`) and `K2` in the first two convolutions.
#[derive(Clone, Debug)]
pub(super) struct AlexNet<const K1: usize, const S1: usize, const K2: usize> {
    one: Convolution<K1, S1>,
    two: Convolution<K2, 1>,
    poolings: [Pooling; 2],
    tail: Tail,
}

/// For 32×32: kernels shrunk to 3×3, stride 2, 2×2 pooling.
pub(super) type Small = AlexNet<3, 2, 3>;

/// For 64×64: the published kernels 11×11 (stride 4) and 5×5, 3×3 pooling with stride 2.
pub(super) type Large = AlexNet<11, 4, 5>;

visit_fields!(
    [const K1: usize, const S1: usize, const K2: usize] AlexNet<K1, S1, K2>:
    one(one, two, tail) many() then()
);

impl Small {
    pub(super) fn new(plan: &mut Blueprint, spec: &NetworkSpec) -> Self {
        let w = spec.width;
        let one = Convolution::new::<Const<32>>(plan, "conv1", spec.input.channels, w);
        let first = Pooling::to_maps::<Const<8>>(plan, "pool1", w);
        let two = Convolution::new::<Const<8>>(plan, "conv2", w, 3 * w);
        let second = Pooling::to_maps::<Const<4>>(plan, "pool2", 3 * w);
        Self {
            one,
            two,
            poolings: [first, second],
            tail: Tail::new(plan, spec),
        }
    }
}

impl Body for Small {
    type Side = Const<32>;

    fn forward<T: Recording>(
        &self,
        x: Value<Maps<Const<32>, Const<32>>, T>,
        pass: &mut Pass<'_>,
    ) -> Result<Value<Features, T>, Halt> {
        let [first, second] = &self.poolings;
        let x = self.one.forward_pooled(x, first, pass)?;
        let x = self.two.forward_pooled(x, second, pass)?;
        self.tail.forward(x, pass)
    }
}

impl Large {
    pub(super) fn new(plan: &mut Blueprint, spec: &NetworkSpec) -> Self {
        let w = spec.width;
        let one = Convolution::new::<Const<64>>(plan, "conv1", spec.input.channels, w);
        let first = Pooling::to_maps::<Const<8>>(plan, "pool1", w);
        let two = Convolution::new::<Const<8>>(plan, "conv2", w, 3 * w);
        let second = Pooling::to_maps::<Const<4>>(plan, "pool2", 3 * w);
        Self {
            one,
            two,
            poolings: [first, second],
            tail: Tail::new(plan, spec),
        }
    }
}

impl Body for Large {
    type Side = Const<64>;

    fn forward<T: Recording>(
        &self,
        x: Value<Maps<Const<64>, Const<64>>, T>,
        pass: &mut Pass<'_>,
    ) -> Result<Value<Features, T>, Halt> {
        let window = Window {
            kernel: 3,
            stride: 2,
            padding: 1,
        };
        let [first, second] = &self.poolings;
        let x = self.one.forward(x, Rectifier::Relu, pass)?;
        let x: Value<Maps<Const<8>, Const<8>>, T> = first.maximum(x, window, pass)?;
        let x = self.two.forward(x, Rectifier::Relu, pass)?;
        let x: Value<Maps<Const<4>, Const<4>>, T> = second.maximum(x, window, pass)?;
        self.tail.forward(x, pass)
    }
}
