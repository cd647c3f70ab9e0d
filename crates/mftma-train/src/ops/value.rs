use std::sync::Arc;

use dfdx::prelude::{
    Backward, Cpu, Gradients, HasShape, Merge, NoneTape, OwnedTape, PutTape, Rank0, Shape, Tape,
    Tensor, TensorFromVec,
};

use super::parameter::{Node, Parameter, new_node};
use crate::error::NetworkError;
use crate::kernels::buffer::{Buffer, Pool};

/// Gradients on dfdx's tape.
pub(crate) type TapeGradients = Gradients<f32, Cpu>;

/// Activations of a batch: a value on dfdx's tape, with a dfdx shape.
///
/// dfdx 0.13 lends nobody the elements of its tensors; each operator would have to copy them out and in. So a value
/// keeps its elements itself (in the layout of the kernels), and is known to the tape by an empty dfdx tensor, under
/// whose identity dfdx's [`Gradients`] keep the gradient of the whole value. Gradients move in and out without a copy.
#[derive(Debug)]
pub struct Value<S: Shape, T = NoneTape> {
    shape: S,
    data: Arc<Buffer>,
    node: Node,
    /// Whether anything upstream wants a gradient; false for the images.
    tracked: bool,
    tape: T,
}

impl<S: Shape, T> HasShape for Value<S, T> {
    type WithShape<New: Shape> = Value<New, T>;
    type Shape = S;
    fn shape(&self) -> &S {
        &self.shape
    }
}

impl<S: Shape> Value<S> {
    pub(crate) fn new(shape: S, data: Buffer) -> Self {
        Self {
            shape,
            data: Arc::new(data),
            node: new_node(),
            tracked: true,
            tape: NoneTape,
        }
    }
}

impl<S: Shape, T> Value<S, T> {
    /// The value without its tape, and the tape.
    pub(crate) fn split(self) -> (Value<S>, T) {
        let Self {
            shape,
            data,
            node,
            tracked,
            tape,
        } = self;
        (
            Value {
                shape,
                data,
                node,
                tracked,
                tape: NoneTape,
            },
            tape,
        )
    }

    pub(crate) fn data(&self) -> &Arc<Buffer> {
        &self.data
    }

    pub(crate) fn node(&self) -> &Node {
        &self.node
    }

    pub(crate) fn tracked(&self) -> bool {
        self.tracked
    }
}

impl<S: Shape> Value<S> {
    /// Marks whether operators work out the gradient with respect to this value. Images start unmarked, all else marked.
    pub fn track(mut self, tracked: bool) -> Self {
        self.tracked = tracked;
        self
    }

    /// Puts a tape on: dfdx's `OwnedTape::default()` to record, `NoneTape` not to.
    pub fn with_tape<T>(self, tape: T) -> Value<S, T> {
        let Self {
            shape,
            data,
            node,
            tracked,
            ..
        } = self;
        Value {
            shape,
            data,
            node,
            tracked,
            tape,
        }
    }

    /// The same elements under another shape with the same layout. The gradient is shared too.
    pub(crate) fn reshaped<New: Shape>(self, shape: New) -> Value<New> {
        Value {
            shape,
            data: self.data,
            node: self.node,
            tracked: self.tracked,
            tape: NoneTape,
        }
    }

    /// A second handle on the same value: what flows back through either adds up.
    pub fn again(&self) -> Self {
        let (data, node) = (Arc::clone(&self.data), self.node.clone());
        Self {
            shape: self.shape,
            data,
            node,
            tracked: self.tracked,
            tape: NoneTape,
        }
    }
}

/// Tapes this crate works with: dfdx's owned tape in training, no tape in evaluation.
pub trait Recording: Tape<f32, Cpu> + Merge<Self> {}
impl<T: Tape<f32, Cpu>> Recording for T {}

/// Sends `gradient` back from `output` through all that made it: dfdx's gradients then hold, for every parameter and
/// value on the tape, the gradient of the sum of `output · gradient`.
///
/// # Errors
/// Where the two have different shapes.
pub fn back_propagate<S: Shape>(
    output: Value<S, OwnedTape<f32, Cpu>>,
    gradient: &Value<S>,
) -> Result<Gradients<f32, Cpu>, NetworkError> {
    if output.shape.concrete() != gradient.shape.concrete() {
        return Err(NetworkError::Shape {
            operator: "back-propagation",
            reason: format!(
                "the output is {:?}, but its gradient {:?}",
                output.shape, gradient.shape
            ),
        });
    }
    let (output, mut tape) = output.split();
    let mut data = output.data.pool().take(output.data.len());
    data.lanes_mut().copy_from_slice(gradient.data.lanes());
    tape.add_backward_op(move |gradients| deposit(gradients, &output.node, data));
    let end: Tensor<Rank0, f32, Cpu> = Cpu::default().tensor_from_vec(vec![0.0], ());
    end.put_tape(tape)
        .try_backward()
        .map_err(|error| NetworkError::Tape(error.to_string()))
}

/// Adds `gradient` to what has come back to `node` so far.
pub(crate) fn deposit(
    gradients: &mut TapeGradients,
    node: &Node,
    gradient: Buffer,
) -> Result<(), dfdx::prelude::CpuError> {
    let slot = gradients.get_or_alloc_mut(node)?;
    if slot.is_empty() {
        **slot = gradient.into_values();
        return Ok(());
    }
    let pool = Arc::clone(gradient.pool());
    let mut sum = pool.adopt(std::mem::take(&mut **slot));
    let (into, from) = (
        sum.lanes_mut().as_flattened_mut(),
        gradient.lanes().as_flattened(),
    );
    for (into, from) in into.iter_mut().zip(from) {
        *into += from;
    }
    **slot = sum.into_values();
    Ok(())
}

/// Takes all that came back to `node`; zeros where nothing did.
pub(crate) fn collect(
    gradients: &mut TapeGradients,
    node: &Node,
    pool: &Arc<Pool>,
    len: usize,
) -> Result<Buffer, dfdx::prelude::CpuError> {
    let slot = gradients.get_or_alloc_mut(node)?;
    if slot.is_empty() {
        return Ok(pool.zeros(len));
    }
    Ok(pool.adopt(std::mem::take(&mut **slot)))
}

/// Adds a parameter's gradient.
pub(crate) fn deposit_parameter(
    gradients: &mut TapeGradients,
    node: &Node,
    gradient: Vec<f32>,
) -> Result<(), dfdx::prelude::CpuError> {
    let slot = gradients.get_or_alloc_mut(node)?;
    if slot.is_empty() {
        **slot = gradient;
    } else {
        for (into, from) in slot.iter_mut().zip(gradient) {
            *into += from;
        }
    }
    Ok(())
}

/// Takes a parameter's gradient; zeros where none came back.
pub(crate) fn collect_parameter(
    gradients: &mut TapeGradients,
    parameter: &Parameter,
) -> Result<Vec<f32>, NetworkError> {
    let slot = gradients
        .get_or_alloc_mut(parameter.node())
        .map_err(|error| NetworkError::Tape(error.to_string()))?;
    let values = std::mem::take(&mut **slot);
    Ok(if values.is_empty() {
        vec![0.0; parameter.len()]
    } else {
        values
    })
}
