//! Typed layers: parameters with names, and operators whose spatial sizes are checked by the compiler.
//!
//! A connection that fits compiles; this one halves the side twice and flattens:
//!
//! ```
//! use mftma_train::layers::{Convolution, Halt, Linear, Pass, Pooling};
//! use mftma_train::ops::{Const, Features, Maps, Recording, Rectifier, Value, flatten};
//!
//! fn network<T: Recording>(
//!     x: Value<Maps<Const<32>, Const<32>>, T>,
//!     a: &Convolution<3, 2>,
//!     b: &Convolution<3, 1>,
//!     pooling: &Pooling,
//!     last: &Linear,
//!     pass: &mut Pass<'_>,
//! ) -> Result<Value<Features, T>, Halt> {
//!     let x: Value<Maps<Const<16>, Const<16>>, T> = a.forward(x, Rectifier::Relu, pass)?;
//!     let x: Value<Maps<Const<8>, Const<8>>, T> = b.forward_pooled(x, pooling, pass)?;
//!     last.forward(flatten(x)?, Rectifier::None, pass)
//! }
//! ```
//!
//! One that does not fit is refused by the compiler. A stride of two does not keep the side:
//!
//! ```compile_fail,E0308
//! use mftma_train::layers::{Convolution, Halt, Pass};
//! use mftma_train::ops::{Const, Maps, Recording, Rectifier, Value};
//!
//! fn wrong<T: Recording>(
//!     x: Value<Maps<Const<32>, Const<32>>, T>,
//!     a: &Convolution<3, 2>,
//!     pass: &mut Pass<'_>,
//! ) -> Result<Value<Maps<Const<32>, Const<32>>, T>, Halt> {
//!     a.forward(x, Rectifier::Relu, pass)
//! }
//! ```
//!
//! Seven rows have no half:
//!
//! ```compile_fail,E0277
//! use mftma_train::ops::{Const, Maps, NoneTape, Rectifier, Value, respond_pooled};
//!
//! fn wrong(x: Value<Maps<Const<7>, Const<7>>, NoneTape>) {
//!     let _ = respond_pooled(x, None, Rectifier::Relu);
//! }
//! ```
//!
//! Maps of different sides do not add:
//!
//! ```compile_fail,E0308
//! use mftma_train::ops::{Const, Maps, Rectifier, Value, residual_sum};
//!
//! fn wrong(a: Value<Maps<Const<8>, Const<8>>>, b: Value<Maps<Const<4>, Const<4>>>) {
//!     let _ = residual_sum(a, b, Rectifier::Relu);
//! }
//! ```
//!
//! A linear layer takes features, not maps:
//!
//! ```compile_fail,E0308
//! use mftma_train::layers::{Linear, Pass};
//! use mftma_train::ops::{Const, Maps, Rectifier, Value};
//!
//! fn wrong(x: Value<Maps<Const<8>, Const<8>>>, last: &Linear, pass: &mut Pass<'_>) {
//!     let _ = last.forward(x, Rectifier::None, pass);
//! }
//! ```
//!
//! A same-size convolution has an odd kernel:
//!
//! ```compile_fail,E0080
//! use mftma_train::layers::{Blueprint, Convolution};
//! use mftma_train::ops::Const;
//!
//! let mut plan = Blueprint::new(vec![3, 32, 32], true);
//! Convolution::<4, 1>::new::<Const<32>>(&mut plan, "conv1", 3, 8);
//! ```

use std::ops::ControlFlow;

use dfdx::prelude::{Const, ConstDim, HasShape};
use ndarray::Array2;

use crate::error::NetworkError;
use crate::network::{LayerInfo, LayerKind, Recorder, StatisticsMode};
use crate::ops::{
    self, BatchNorm, Features, Halve, Maps, Moments, Parameter, ParameterRole, Recording,
    Rectifier, Stride, Value, Window,
};

/// Why a forward pass ended early.
#[derive(Debug)]
pub enum Halt {
    /// The recorder ended it.
    Finished,
    /// An operator refused its operands.
    Failed(NetworkError),
}

impl From<NetworkError> for Halt {
    fn from(error: NetworkError) -> Self {
        Self::Failed(error)
    }
}

/// State of one forward pass: which statistics to normalise with, and who watches.
pub struct Pass<'a> {
    mode: StatisticsMode,
    recorder: &'a mut dyn Recorder,
}

impl<'a> Pass<'a> {
    /// A pass that `recorder` watches; `&mut ()` records nothing.
    pub fn new(mode: StatisticsMode, recorder: &'a mut dyn Recorder) -> Self {
        Self { mode, recorder }
    }

    /// Offers what enters a layer.
    ///
    /// # Errors
    /// [`Halt::Finished`] where the recorder ends the pass.
    pub fn input(&mut self, layer: usize, values: &dyn Fn() -> Array2<f32>) -> Result<(), Halt> {
        ended(self.recorder.input(layer, values))
    }

    /// Offers what a layer computes, before normalisation and non-linearity.
    ///
    /// # Errors
    /// [`Halt::Finished`] where the recorder ends the pass.
    pub fn output(&mut self, layer: usize, values: &dyn Fn() -> Array2<f32>) -> Result<(), Halt> {
        ended(self.recorder.output(layer, values))
    }

    /// Offers what leaves a layer after its own normalisation and non-linearity.
    ///
    /// # Errors
    /// [`Halt::Finished`] where the recorder ends the pass.
    pub fn activation(
        &mut self,
        layer: usize,
        values: &dyn Fn() -> Array2<f32>,
    ) -> Result<(), Halt> {
        ended(self.recorder.activation(layer, values))
    }

    /// Offers what leaves a layer that has neither.
    ///
    /// # Errors
    /// [`Halt::Finished`] where the recorder ends the pass.
    pub fn passing(&mut self, layer: usize, values: &dyn Fn() -> Array2<f32>) -> Result<(), Halt> {
        self.output(layer, values)?;
        self.activation(layer, values)
    }
}

fn ended(flow: ControlFlow<()>) -> Result<(), Halt> {
    match flow {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(Halt::Finished),
    }
}

/// Collects the layers of a network while it is built.
#[derive(Debug)]
pub struct Blueprint {
    layers: Vec<LayerInfo>,
    batch_norm: bool,
}

impl Blueprint {
    /// Starts with the input.
    pub fn new(input: Vec<usize>, batch_norm: bool) -> Self {
        let input = LayerInfo {
            name: "input".to_owned(),
            kind: LayerKind::Input,
            shape: input,
        };
        Self {
            layers: vec![input],
            batch_norm,
        }
    }

    /// The layers, in the order in which they were built.
    pub fn into_layers(self) -> Vec<LayerInfo> {
        self.layers
    }

    fn add(&mut self, name: &str, kind: LayerKind, shape: Vec<usize>) -> usize {
        self.layers.push(LayerInfo {
            name: name.to_owned(),
            kind,
            shape,
        });
        self.layers.len() - 1
    }
}

#[derive(Clone, Debug)]
struct Norm {
    scale: Parameter,
    shift: Parameter,
    mean: Parameter,
    variance: Parameter,
}

impl Norm {
    fn new(layer: &str, channels: usize) -> Self {
        let array = |suffix, role| Parameter::new(layer, suffix, role, vec![channels]);
        Self {
            scale: array("bn.gamma", ParameterRole::Scale),
            shift: array("bn.beta", ParameterRole::Shift),
            mean: array("bn.running_mean", ParameterRole::RunningMean),
            variance: array("bn.running_variance", ParameterRole::RunningVariance),
        }
    }
}

/// What a convolution and a linear layer have in common: weight, bias or normalisation, and a place among the layers.
#[derive(Clone, Debug)]
struct Weights {
    index: usize,
    weight: Parameter,
    bias: Option<Parameter>,
    norm: Option<Norm>,
}

impl Weights {
    fn new(index: usize, name: &str, role: ParameterRole, shape: Vec<usize>, norm: bool) -> Self {
        let outputs = shape[0];
        Self {
            index,
            weight: Parameter::new(name, "weight", role, shape),
            bias: (!norm).then(|| Parameter::new(name, "bias", ParameterRole::Bias, vec![outputs])),
            norm: norm.then(|| Norm::new(name, outputs)),
        }
    }

    fn arrays<'a>(&'a self, out: &mut Vec<&'a Parameter>) {
        out.push(&self.weight);
        out.extend(&self.bias);
        if let Some(norm) = &self.norm {
            out.extend([&norm.scale, &norm.shift, &norm.mean, &norm.variance]);
        }
    }

    fn arrays_mut<'a>(&'a mut self, out: &mut Vec<&'a mut Parameter>) {
        out.push(&mut self.weight);
        out.extend(&mut self.bias);
        if let Some(norm) = &mut self.norm {
            out.extend([
                &mut norm.scale,
                &mut norm.shift,
                &mut norm.mean,
                &mut norm.variance,
            ]);
        }
    }

    /// The normalisation as the pass wants it.
    fn batch_norm(&self, pass: &Pass<'_>) -> Option<BatchNorm<'_>> {
        self.norm.as_ref().map(|norm| BatchNorm {
            scale: &norm.scale,
            shift: &norm.shift,
            constants: match pass.mode {
                StatisticsMode::Batch | StatisticsMode::BatchOnly => None,
                StatisticsMode::Running => Some((norm.mean.values(), norm.variance.values())),
            },
        })
    }

    fn respond<H: ConstDim, W: ConstDim, T: Recording>(
        &self,
        x: Value<Maps<H, W>, T>,
        rectifier: Rectifier,
        pass: &mut Pass<'_>,
    ) -> Result<Value<Maps<H, W>, T>, Halt> {
        let mut x = x;
        if self.norm.is_some() || rectifier != Rectifier::None {
            let (response, moments) = ops::respond(x, self.batch_norm(pass), rectifier)?;
            self.note(moments, pass);
            x = response;
        }
        pass.activation(self.index, &|| x.to_array())?;
        Ok(x)
    }

    /// Normalisation, rectifier and the maximum of 2×2 pixels as one operator. What the maximum is taken of exists for a recorder
    /// that asks for it only.
    fn respond_pooled<H: Halve, T: Recording>(
        &self,
        x: Value<Maps<H, H>, T>,
        pass: &mut Pass<'_>,
    ) -> Result<Pooled<H, T>, Halt> {
        let (x, tape) = x.split();
        let norm = self.batch_norm(pass);
        let (pooled, moments) =
            ops::respond_pooled(x.again().with_tape(tape), norm, Rectifier::Relu)?;
        self.note(moments, pass);
        pass.activation(self.index, &|| {
            let (response, _) = ops::respond(x.again(), norm, Rectifier::Relu)
                .expect("the pooled response fits, so this one does");
            response.to_array()
        })?;
        Ok(pooled)
    }

    fn note(&self, moments: Option<Moments>, pass: &mut Pass<'_>) {
        if let Some(moments) = moments {
            pass.recorder.moments(self.index, moments);
        }
    }
}

/// Visits the arrays of a layer or network, statistics included, in a fixed order.
pub trait Arrays {
    /// Appends shared references.
    fn arrays<'a>(&'a self, out: &mut Vec<&'a Parameter>);
    /// Appends exclusive references, in the same order.
    fn arrays_mut<'a>(&'a mut self, out: &mut Vec<&'a mut Parameter>);
}

/// Implements [`Arrays`](crate::layers::Arrays) by visiting fields in order: single layers, then collections of layers, then single ones.
/// The generics of the type come first, in brackets: `visit_fields!([] Mine: one(first) many(others) then(last));`
#[macro_export]
macro_rules! visit_fields {
    ([$($generics:tt)*] $type:ty: one($($one:tt),*) many($($many:tt),*) then($($last:tt),*)) => {
        impl<$($generics)*> $crate::layers::Arrays for $type {
            fn arrays<'a>(&'a self, out: &mut Vec<&'a $crate::ops::Parameter>) {
                $(self.$one.arrays(out);)*
                $(self.$many.iter().for_each(|layer| layer.arrays(out));)*
                $(self.$last.arrays(out);)*
            }
            fn arrays_mut<'a>(&'a mut self, out: &mut Vec<&'a mut $crate::ops::Parameter>) {
                $(self.$one.arrays_mut(out);)*
                $(self.$many.iter_mut().for_each(|layer| layer.arrays_mut(out));)*
                $(self.$last.arrays_mut(out);)*
            }
        }
    };
}
pub use crate::visit_fields;

/// Convolution with a `K`×`K` kernel (`K` odd), stride `S` and padding `(K − 1) / 2`, so that `S` divides the side exactly;
/// with batch normalisation where the network has it, and a bias where not.
#[derive(Clone, Debug)]
pub struct Convolution<const K: usize, const S: usize>(Weights);

impl<const K: usize, const S: usize> Convolution<K, S> {
    /// Adds the layer `name` from `inputs` to `outputs` channels on maps of `H` × `H`.
    pub fn new<H: Stride<S>>(
        plan: &mut Blueprint,
        name: &str,
        inputs: usize,
        outputs: usize,
    ) -> Self {
        const { assert!(K % 2 == 1, "the kernel of a same-size convolution is odd") };
        let side = H::Side::SIZE;
        let index = plan.add(name, LayerKind::Convolution, vec![outputs, side, side]);
        let shape = vec![outputs, inputs, K, K];
        Self(Weights::new(
            index,
            name,
            ParameterRole::ConvolutionWeight,
            shape,
            plan.batch_norm,
        ))
    }

    fn convolve<H: Stride<S>, T: Recording>(
        &self,
        x: Value<Maps<H, H>, T>,
        pass: &mut Pass<'_>,
    ) -> Result<Strided<H, S, T>, Halt> {
        let window = Window {
            kernel: K,
            stride: S,
            padding: (K - 1) / 2,
        };
        pass.input(self.0.index, &|| x.to_array())?;
        let x = ops::convolution(x, &self.0.weight, self.0.bias.as_ref(), window)?;
        pass.output(self.0.index, &|| x.to_array())?;
        Ok(x)
    }

    /// Convolution, normalisation, rectifier.
    ///
    /// # Errors
    /// Where the channels do not fit, or the recorder ends the pass.
    pub fn forward<H: Stride<S>, T: Recording>(
        &self,
        x: Value<Maps<H, H>, T>,
        rectifier: Rectifier,
        pass: &mut Pass<'_>,
    ) -> Result<Strided<H, S, T>, Halt> {
        let x = self.convolve(x, pass)?;
        self.0.respond(x, rectifier, pass)
    }

    /// Convolution, normalisation, rectifier and, as `pooling`, the maximum of 2×2 pixels.
    ///
    /// # Errors
    /// Where the channels do not fit, or the recorder ends the pass.
    pub fn forward_pooled<H: Stride<S>, T: Recording>(
        &self,
        x: Value<Maps<H, H>, T>,
        pooling: &Pooling,
        pass: &mut Pass<'_>,
    ) -> Result<Pooled<H::Side, T>, Halt>
    where
        H::Side: Halve,
    {
        let x = self.convolve(x, pass)?;
        let x = self.0.respond_pooled(x, pass)?;
        pass.passing(pooling.index, &|| x.to_array())?;
        Ok(x)
    }
}

/// A pooling as a layer with a name and a place; without parameters.
#[derive(Clone, Copy, Debug)]
pub struct Pooling {
    index: usize,
}

impl Pooling {
    /// Adds a pooling of `channels` channels to maps of `P` × `P`.
    pub fn to_maps<P: ConstDim>(plan: &mut Blueprint, name: &str, channels: usize) -> Self {
        let shape = vec![channels, P::SIZE, P::SIZE];
        Self {
            index: plan.add(name, LayerKind::Pooling, shape),
        }
    }

    /// Adds the global mean of `channels` channels.
    pub fn global(plan: &mut Blueprint, name: &str, channels: usize) -> Self {
        Self {
            index: plan.add(name, LayerKind::Pooling, vec![channels]),
        }
    }

    /// Maximum of each window.
    ///
    /// # Errors
    /// Where the window does not fit, or the recorder ends the pass.
    pub fn maximum<H: ConstDim, P: ConstDim, T: Recording>(
        &self,
        x: Value<Maps<H, H>, T>,
        window: Window,
        pass: &mut Pass<'_>,
    ) -> Result<Value<Maps<P, P>, T>, Halt> {
        let x = ops::max_pool(x, window)?;
        pass.passing(self.index, &|| x.to_array())?;
        Ok(x)
    }

    /// Mean of each map.
    ///
    /// # Errors
    /// Where the recorder ends the pass.
    pub fn mean<H: ConstDim, T: Recording>(
        &self,
        x: Value<Maps<H, H>, T>,
        pass: &mut Pass<'_>,
    ) -> Result<Value<Features, T>, Halt> {
        let x = ops::global_average_pool(x)?;
        pass.passing(self.index, &|| x.to_array())?;
        Ok(x)
    }
}

/// Maps of the side after a stride of `S`.
pub type Strided<H, const S: usize, T> =
    Value<Maps<<H as Stride<S>>::Side, <H as Stride<S>>::Side>, T>;

/// Maps of half the side.
pub type Pooled<H, T> = Value<Maps<<H as Halve>::Half, <H as Halve>::Half>, T>;

visit_fields!([const K: usize, const S: usize] Convolution<K, S>: one(0) many() then());

/// Linear layer; hidden ones have batch normalisation where the network has it.
#[derive(Clone, Debug)]
pub struct Linear(Weights);

impl Linear {
    /// Adds a hidden layer `name`.
    pub fn hidden(plan: &mut Blueprint, name: &str, inputs: usize, outputs: usize) -> Self {
        let norm = plan.batch_norm;
        Self::new(plan, name, inputs, outputs, norm)
    }

    /// Adds the last layer, which has a bias and no normalisation.
    pub fn last(plan: &mut Blueprint, name: &str, inputs: usize, classes: usize) -> Self {
        Self::new(plan, name, inputs, classes, false)
    }

    fn new(plan: &mut Blueprint, name: &str, inputs: usize, outputs: usize, norm: bool) -> Self {
        let index = plan.add(name, LayerKind::Linear, vec![outputs]);
        Self(Weights::new(
            index,
            name,
            ParameterRole::LinearWeight,
            vec![outputs, inputs],
            norm,
        ))
    }

    /// Linear map, normalisation, rectifier.
    ///
    /// # Errors
    /// Where the features do not fit, or the recorder ends the pass.
    pub fn forward<T: Recording>(
        &self,
        x: Value<Features, T>,
        rectifier: Rectifier,
        pass: &mut Pass<'_>,
    ) -> Result<Value<Features, T>, Halt> {
        pass.input(self.0.index, &|| x.to_array())?;
        let x = ops::linear(x, &self.0.weight, self.0.bias.as_ref())?;
        pass.output(self.0.index, &|| x.to_array())?;
        let shape = *x.shape();
        let (x, tape) = x.split();
        let maps = x
            .reshaped((shape.0, shape.1, Const::<1>, Const::<1>))
            .with_tape(tape);
        let (x, tape) = self.0.respond(maps, rectifier, pass)?.split();
        Ok(x.reshaped(shape).with_tape(tape))
    }
}

visit_fields!([] Linear: one(0) many() then());

/// Two 3×3 convolutions beside an identity: `relu(x + b(relu(a(x))))`.
#[derive(Clone, Debug)]
pub struct Residual {
    a: Convolution<3, 1>,
    b: Convolution<3, 1>,
}

impl Residual {
    /// Adds the layers `{name}a` and `{name}b`.
    pub fn new<H: ConstDim>(plan: &mut Blueprint, name: &str, channels: usize) -> Self {
        Self {
            a: Convolution::new::<H>(plan, &format!("{name}a"), channels, channels),
            b: Convolution::new::<H>(plan, &format!("{name}b"), channels, channels),
        }
    }

    /// The block's output.
    ///
    /// # Errors
    /// Where the channels do not fit, or the recorder ends the pass.
    pub fn forward<H: ConstDim, T: Recording>(
        &self,
        x: Value<Maps<H, H>, T>,
        pass: &mut Pass<'_>,
    ) -> Result<Value<Maps<H, H>, T>, Halt> {
        let (x, tape) = x.split();
        let main = self
            .a
            .forward(x.again().with_tape(tape), Rectifier::Relu, pass)?;
        let main = self.b.forward(main, Rectifier::None, pass)?;
        Ok(ops::residual_sum(
            main,
            x.with_tape(T::default()),
            Rectifier::Relu,
        )?)
    }
}

visit_fields!([] Residual: one(a, b) many() then());

/// As [`Residual`], with stride `S`, more channels, and a 1×1 convolution in place of the identity.
#[derive(Clone, Debug)]
pub struct Projection<const S: usize> {
    a: Convolution<3, S>,
    b: Convolution<3, 1>,
    shortcut: Convolution<1, S>,
}

impl<const S: usize> Projection<S> {
    /// Adds the layers `{name}a`, `{name}b` and `{name}s`.
    pub fn new<H: Stride<S>>(
        plan: &mut Blueprint,
        name: &str,
        inputs: usize,
        outputs: usize,
    ) -> Self {
        Self {
            a: Convolution::new::<H>(plan, &format!("{name}a"), inputs, outputs),
            b: Convolution::new::<H::Side>(plan, &format!("{name}b"), outputs, outputs),
            shortcut: Convolution::new::<H>(plan, &format!("{name}s"), inputs, outputs),
        }
    }

    /// The block's output.
    ///
    /// # Errors
    /// Where the channels do not fit, or the recorder ends the pass.
    pub fn forward<H: Stride<S>, T: Recording>(
        &self,
        x: Value<Maps<H, H>, T>,
        pass: &mut Pass<'_>,
    ) -> Result<Strided<H, S, T>, Halt> {
        let (x, tape) = x.split();
        let main = self
            .a
            .forward(x.again().with_tape(tape), Rectifier::Relu, pass)?;
        let main = self.b.forward(main, Rectifier::None, pass)?;
        let side = self
            .shortcut
            .forward(x.with_tape(T::default()), Rectifier::None, pass)?;
        Ok(ops::residual_sum(main, side, Rectifier::Relu)?)
    }
}

visit_fields!([const S: usize] Projection<S>: one(a, b, shortcut) many() then());
