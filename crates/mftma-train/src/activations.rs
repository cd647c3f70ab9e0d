//! Activations of layers for lists of examples: streamed into the engine, or to disk.
//!
//! All activations are taken in evaluation mode: normalisations use their running statistics, as they do when a network is tested,
//! so what an example gives does not depend on which others are measured with it. They are taken at one [`Place`] of each layer, flattened in
//! (channel, row, column) order.

use std::collections::VecDeque;
use std::io::{BufWriter, Seek, SeekFrom, Write};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use mftma::{Activations, Block, SourceError};
use mftma_atomic::AtomicFile;
use mftma_data::{ExampleGroup, ManifoldIndices, Split};
use ndarray::{Array2, ArrayView2, s};
use safetensors::tensor::{Dtype, Metadata, TensorInfo};

use crate::batches::{check_indices, images_view};
use crate::{Network, Place, TrainError, TrainingData};

/// Images in one forward pass.
const BATCH: usize = 100;
/// Features handed to the engine at a time: as many as it takes.
const BLOCK_WIDTH: usize = 2_048;
/// Default of [`LayerActivations::memory_limit`], and what the study gives to [`LayerActivations::of_layers`]: 1 GiB \[D\].
pub const MEMORY_LIMIT: usize = 1 << 30;

/// One layer's activations of the manifolds of one example group, as the engine's input.
///
/// The layer is held (points × features, `f32`) from the first time that its blocks are asked for until the source is dropped, for
/// the engine reads the first blocks twice. Where that would pass the memory limit, it is handed out in parts instead, each of which
/// costs a forward pass of all images, and nothing is held between calls. Several layers of the same images:
/// [`LayerActivations::of_layers`].
#[derive(Clone)]
pub struct LayerActivations<'a> {
    network: &'a dyn Network,
    data: &'a TrainingData,
    group: ExampleGroup,
    indices: Vec<usize>,
    points_per_manifold: Vec<usize>,
    layer: usize,
    place: Place,
    features: usize,
    memory_limit: usize,
    /// The whole layer, once it has been computed.
    held: OnceLock<Arc<Array2<f32>>>,
}

impl<'a> LayerActivations<'a> {
    /// The activations of `layer` for the examples of `manifolds`.
    ///
    /// # Errors
    /// As [`LayerActivations::of_examples`].
    pub fn new(
        network: &'a dyn Network,
        data: &'a TrainingData,
        manifolds: &ManifoldIndices,
        layer: &str,
    ) -> Result<Self, TrainError> {
        Self::of_examples(network, data, manifolds.group(), manifolds.indices(), layer)
    }

    /// The activations of `layer` for any lists of examples, one for each manifold: indices into the split of `group`.
    ///
    /// # Errors
    /// [`TrainError::UnknownLayer`]; [`TrainError::Shape`] where an index is not below the number of examples.
    pub fn of_examples(
        network: &'a dyn Network,
        data: &'a TrainingData,
        group: ExampleGroup,
        manifolds: &[Vec<usize>],
        layer: &str,
    ) -> Result<Self, TrainError> {
        let layer = find_layer(network, layer)?;
        let indices = manifolds.concat();
        let examples = Examples {
            data,
            group,
            indices: &indices,
        };
        examples.split()?;
        Ok(LayerActivations {
            network,
            data,
            group,
            indices,
            points_per_manifold: manifolds.iter().map(Vec::len).collect(),
            layer,
            place: Place::default(),
            features: network.layers()[layer].features(),
            memory_limit: MEMORY_LIMIT,
            held: OnceLock::new(),
        })
    }

    /// The activations of several layers for the same examples, one layer after the other: as many as fit in `memory_limit` bytes come
    /// from one forward pass and are held until they are dropped. A layer that does not fit alone is handed out as by
    /// [`LayerActivations::new`].
    ///
    /// # Errors
    /// As [`LayerActivations::of_examples`]; the iterator also where a forward pass fails.
    pub fn of_layers(
        network: &'a dyn Network,
        data: &'a TrainingData,
        manifolds: &ManifoldIndices,
        layers: &[&str],
        place: Place,
        memory_limit: usize,
    ) -> Result<Layers<'a>, TrainError> {
        let waiting = layers.iter().map(|layer| {
            let source = Self::new(network, data, manifolds, layer)?;
            Ok(source.place(place).memory_limit(memory_limit))
        });
        Ok(Layers {
            waiting: waiting.collect::<Result<_, TrainError>>()?,
            held: VecDeque::new(),
            memory_limit,
        })
    }

    /// Bytes of the whole layer.
    fn bytes(&self) -> usize {
        4 * self.indices.len() * self.features
    }

    fn zeros(&self) -> Array2<f32> {
        Array2::zeros((self.indices.len(), self.features))
    }

    /// The whole layer, from a forward pass where it is not there yet.
    fn whole(&self) -> Result<Arc<Array2<f32>>, TrainError> {
        if let Some(held) = self.held.get() {
            return Ok(Arc::clone(held));
        }
        let mut arrays = vec![self.zeros()];
        fill(
            self.network,
            self.examples(),
            &[self.layer],
            self.place,
            &mut arrays,
        )?;
        let whole = Arc::new(arrays.remove(0));
        Ok(Arc::clone(self.held.get_or_init(|| whole)))
    }

    fn examples(&self) -> Examples<'_> {
        Examples {
            data: self.data,
            group: self.group,
            indices: &self.indices,
        }
    }

    /// Where in the layer they are taken; [`Place::Preactivation`] by default. What was held is computed anew.
    pub fn place(mut self, place: Place) -> Self {
        self.place = place;
        self.held = OnceLock::new();
        self
    }

    /// Bytes of activations to hold at a time; [`MEMORY_LIMIT`] by default. At least one block of 2,048 features is held. What
    /// was held is computed anew.
    pub fn memory_limit(mut self, bytes: usize) -> Self {
        self.memory_limit = bytes;
        self.held = OnceLock::new();
        self
    }
}

impl Activations for LayerActivations<'_> {
    fn points_per_manifold(&self) -> &[usize] {
        &self.points_per_manifold
    }

    fn n_features(&self) -> usize {
        self.features
    }

    fn for_each_block(
        &self,
        visit: &mut dyn FnMut(Block<'_>) -> ControlFlow<()>,
    ) -> Result<(), SourceError> {
        let mut hand_out = |part: ArrayView2<'_, f32>| {
            for start in (0..part.ncols()).step_by(BLOCK_WIDTH) {
                let end = part.ncols().min(start + BLOCK_WIDTH);
                if visit(Block::F32(part.slice(s![.., start..end]))).is_break() {
                    return ControlFlow::Break(());
                }
            }
            ControlFlow::Continue(())
        };
        if self.held.get().is_some() || self.bytes() <= self.memory_limit {
            let _ = hand_out(self.whole()?.view());
            return Ok(());
        }
        let n = self.indices.len();
        let affordable = self.memory_limit / (4 * n).max(1) / BLOCK_WIDTH * BLOCK_WIDTH;
        let part = affordable.max(BLOCK_WIDTH).min(self.features.max(1));
        let mut held = Array2::<f32>::zeros((n, part));
        for start in (0..self.features).step_by(part) {
            let end = self.features.min(start + part);
            let mut row = 0;
            for_each_batch(
                self.network,
                self.examples(),
                &[self.layer],
                self.place,
                &mut |_, batch| {
                    held.slice_mut(s![row..row + batch.nrows(), ..end - start])
                        .assign(&batch.slice(s![.., start..end]));
                    row += batch.nrows();
                    Ok(())
                },
            )?;
            if hand_out(held.slice(s![.., ..end - start])).is_break() {
                break;
            }
        }
        Ok(())
    }
}

/// Layers of the same examples, in the order in which they were asked for; see [`LayerActivations::of_layers`].
#[derive(Clone)]
pub struct Layers<'a> {
    waiting: VecDeque<LayerActivations<'a>>,
    /// Computed, and not yet handed out.
    held: VecDeque<LayerActivations<'a>>,
    memory_limit: usize,
}

impl<'a> Layers<'a> {
    /// Computes as many of the waiting layers as fit, at least one where that fits.
    fn hold(&mut self) -> Result<(), TrainError> {
        let mut bytes = 0usize;
        while let Some(next) = self.waiting.front()
            && bytes.saturating_add(next.bytes()) <= self.memory_limit
        {
            bytes += next.bytes();
            self.held.extend(self.waiting.pop_front());
        }
        let Some(first) = self.held.front() else {
            return Ok(());
        };
        let layers: Vec<usize> = self.held.iter().map(|source| source.layer).collect();
        let mut arrays: Vec<Array2<f32>> = self.held.iter().map(LayerActivations::zeros).collect();
        fill(
            first.network,
            first.examples(),
            &layers,
            first.place,
            &mut arrays,
        )?;
        for (source, array) in self.held.iter_mut().zip(arrays) {
            source.held = OnceLock::from(Arc::new(array));
        }
        Ok(())
    }
}

impl<'a> Iterator for Layers<'a> {
    type Item = Result<LayerActivations<'a>, TrainError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.held.is_empty()
            && let Err(error) = self.hold()
        {
            self.waiting.clear();
            self.held.clear();
            return Some(Err(error));
        }
        // One that does not fit comes in parts.
        let next = self.held.pop_front().or_else(|| self.waiting.pop_front());
        next.map(Ok)
    }
}

/// A list of examples: indices into the split of `group`.
#[derive(Clone, Copy, Debug)]
pub struct Examples<'a> {
    /// Images and labels.
    pub data: &'a TrainingData,
    /// Which split the indices point into.
    pub group: ExampleGroup,
    /// The examples, in the order of the rows.
    pub indices: &'a [usize],
}

impl<'a> Examples<'a> {
    fn split(&self) -> Result<&'a Split, TrainError> {
        let split = self.data.split(self.group);
        check_indices(split, self.indices)?;
        Ok(split)
    }
}

/// Writes the activations of several layers for a list of examples to one safetensors file: for each layer a tensor of its name,
/// `F32`, examples × features. One forward pass; no more than a batch of any layer is held. Returns the file's size in bytes.
///
/// `metadata` goes into the file as it is, as one entry `mftma`.
///
/// # Errors
/// [`TrainError::UnknownLayer`]; [`TrainError::Shape`] for an index out of range or a layer named twice; [`TrainError::Io`].
pub fn write_safetensors(
    path: &Path,
    network: &dyn Network,
    examples: Examples<'_>,
    layers: &[&str],
    place: Place,
    metadata: &str,
) -> Result<u64, TrainError> {
    let Examples { indices, .. } = examples;
    examples.split()?;
    let mut found = Vec::new();
    let mut infos = Vec::new();
    let mut offset = 0;
    for &name in layers {
        let layer = find_layer(network, name)?;
        if found.contains(&layer) {
            return Err(TrainError::setting("layers", name, "name each layer once"));
        }
        let features = network.layers()[layer].features();
        let end = offset + indices.len() * features * 4;
        let shape = vec![indices.len(), features];
        infos.push((
            name.to_string(),
            TensorInfo {
                dtype: Dtype::F32,
                shape,
                data_offsets: (offset, end),
            },
        ));
        found.push(layer);
        offset = end;
    }
    let starts: Vec<usize> = infos.iter().map(|(_, info)| info.data_offsets.0).collect();
    let entry = [("mftma".to_string(), metadata.to_string())].into();
    let mut header = Metadata::new(Some(entry), infos)
        .map_err(std::io::Error::other)
        .and_then(|m| Ok(serde_json::to_vec(&m)?))
        .map_err(TrainError::io("write", path))?;
    header.resize(header.len().next_multiple_of(8), b' ');

    let mut target = AtomicFile::create(path)?;
    let body = 8 + header.len();
    let mut out = BufWriter::new(&mut target);
    let write = TrainError::io;
    out.write_all(&(header.len() as u64).to_le_bytes())
        .map_err(write("write", path))?;
    out.write_all(&header).map_err(write("write", path))?;
    let mut rows = vec![0; found.len()];
    for_each_batch(network, examples, &found, place, &mut |which, batch| {
        let at = body + starts[which] + rows[which] * batch.ncols() * 4;
        rows[which] += batch.nrows();
        out.seek(SeekFrom::Start(at as u64))
            .map_err(write("write", path))?;
        for row in batch.rows() {
            let bytes: Vec<u8> = row.iter().flat_map(|v| v.to_le_bytes()).collect();
            out.write_all(&bytes).map_err(write("write", path))?;
        }
        Ok(())
    })?;
    out.flush().map_err(write("write", path))?;
    drop(out);
    target.replace()?;
    Ok((body + offset) as u64)
}

/// Writes the activations of one layer for a list of examples to a NumPy file: `float32`, examples × features. No more than a batch
/// is held.
///
/// # Errors
/// As [`write_safetensors`].
pub fn write_npy(
    path: &Path,
    network: &dyn Network,
    examples: Examples<'_>,
    layer: &str,
    place: Place,
) -> Result<(), TrainError> {
    use npyz::WriterBuilder;
    examples.split()?;
    let layer = find_layer(network, layer)?;
    let shape = [
        examples.indices.len() as u64,
        network.layers()[layer].features() as u64,
    ];
    let mut target = AtomicFile::create(path)?;
    let mut out = BufWriter::new(&mut target);
    let mut writer = npyz::WriteOptions::new()
        .default_dtype()
        .shape(&shape)
        .writer(&mut out)
        .begin_nd()
        .map_err(TrainError::io("write", path))?;
    for_each_batch(network, examples, &[layer], place, &mut |_, batch| {
        writer
            .extend(batch.iter().copied())
            .map_err(TrainError::io("write", path))
    })?;
    writer
        .finish()
        .and_then(|()| out.flush())
        .map_err(TrainError::io("write", path))?;
    drop(out);
    Ok(target.replace()?)
}

/// Receives `(index into the layers asked for, activations)` and may fail.
type BatchSink<'a> = dyn FnMut(usize, ArrayView2<'_, f32>) -> Result<(), TrainError> + 'a;

/// Hands what `layers` compute on, batch after batch: `(index into layers, examples × features)`.
fn for_each_batch(
    network: &dyn Network,
    examples: Examples<'_>,
    layers: &[usize],
    place: Place,
    each: &mut BatchSink<'_>,
) -> Result<(), TrainError> {
    let mut images = Vec::new();
    let mut failed = Ok(());
    let (data, split) = (examples.data, examples.split()?);
    for indices in examples.indices.chunks(BATCH) {
        data.batch_into(split, indices, &mut images);
        network.activations(
            images_view(split, indices.len(), &images),
            layers,
            place,
            &mut |which, batch| {
                if failed.is_ok() {
                    failed = each(which, batch);
                }
            },
        )?;
        std::mem::replace(&mut failed, Ok(()))?;
    }
    Ok(())
}

/// The whole of `layers`, each into its array (examples, features), by one forward pass.
fn fill(
    network: &dyn Network,
    examples: Examples<'_>,
    layers: &[usize],
    place: Place,
    arrays: &mut [Array2<f32>],
) -> Result<(), TrainError> {
    let mut rows = vec![0; arrays.len()];
    for_each_batch(network, examples, layers, place, &mut |which, batch| {
        let end = rows[which] + batch.nrows();
        arrays[which]
            .slice_mut(s![rows[which]..end, ..])
            .assign(&batch);
        rows[which] = end;
        Ok(())
    })
}

/// The place of a layer in [`Network::layers`].
pub(crate) fn find_layer(network: &dyn Network, name: &str) -> Result<usize, TrainError> {
    let layers = network.layers();
    layers
        .iter()
        .position(|l| l.name == name)
        .ok_or_else(|| TrainError::UnknownLayer {
            name: name.to_string(),
            known: layers
                .iter()
                .map(|l| l.name.as_str())
                .collect::<Vec<_>>()
                .join(", "),
        })
}
