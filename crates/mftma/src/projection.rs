//! The seeded random projection of the reference, for comparison: beyond N = 5,000 the reference analyses projected
//! activations, this crate never needs to.

use faer::{MatMut, MatRef};
use ndarray::{Array2, ArrayView2};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;

use crate::activations::{Absorb, Activations, Scalar, quiet_pass};
use crate::error::Error;
use crate::{linalg, streams};

/// Projects the activations of `source` (ΣM_i points, N features) onto `features` random directions of unit length, as
/// the reference does: shape (ΣM_i, `features`). Directions are the rows of a standard-normal matrix (`features`, N)
/// scaled to length 1, one [stream](crate::streams) of `seed` a direction, so they do not depend on the blocks.
///
/// # Errors
/// [`Error::Setting`] if `features` is 0, [`Error::Source`] if the source fails, [`Error::Shape`] if it yields other sizes
/// than it announced.
pub fn project<A: Activations + ?Sized>(
    source: &A,
    features: usize,
    seed: u64,
) -> Result<Array2<f64>, Error> {
    if features == 0 {
        return Err(Error::Setting {
            setting: "features",
            value: "0".into(),
            requirement: "at least 1",
        });
    }
    let total: usize = source.points_per_manifold().iter().sum();
    let streams: Vec<(ChaCha8Rng, f64)> = (0..features)
        .map(|direction| (streams::projection_direction(seed, direction as u64), 0.0))
        .collect();
    let mut all = Projected {
        values: Array2::zeros((total, features)),
        streams,
    };
    quiet_pass(source, WIDTH, &mut all)?;
    for (mut column, (_, squares)) in all.values.columns_mut().into_iter().zip(&all.streams) {
        let length = squares.sqrt();
        column.mapv_inplace(|x| x / length);
    }
    Ok(all.values)
}

/// Features per product.
const WIDTH: usize = 2_048;

/// What the blocks so far give.
struct Projected {
    values: Array2<f64>,
    /// Of each direction, the generator of its next entries and the sum of squares of those drawn.
    streams: Vec<(ChaCha8Rng, f64)>,
}

impl Absorb for Projected {
    fn absorb<T: Scalar>(&mut self, _: usize, block: ArrayView2<'_, T>) -> Result<(), Error> {
        add_block(&mut self.values, &mut self.streams, block);
        Ok(())
    }
}

/// Adds the products of a block (points, w) with the next w entries of every direction.
fn add_block<T: Copy + Into<f64>>(
    projected: &mut Array2<f64>,
    streams: &mut [(ChaCha8Rng, f64)],
    block: ArrayView2<'_, T>,
) {
    let (points, w) = block.dim();
    let features = streams.len();
    let mut directions = vec![0.0; w * features];
    directions
        .par_chunks_mut(w)
        .zip(streams)
        .for_each(|(direction, (rng, squares))| {
            for x in direction.iter_mut() {
                *x = StandardNormal.sample(rng);
            }
            *squares += direction.iter().map(|x| x * x).sum::<f64>();
        });
    let directions = MatRef::from_column_major_slice(&directions, w, features);
    let values: Vec<f64> = block.iter().map(|&x| x.into()).collect();
    // Rows in chunks of fixed size, each summed by one task.
    const CHUNK: usize = 64;
    if let Some(out) = projected.as_slice_mut() {
        out.par_chunks_mut(CHUNK * features)
            .zip(values.par_chunks(CHUNK * w))
            .for_each(|(out, values)| {
                let rows = values.len() / w;
                linalg::add_product(
                    MatMut::from_row_major_slice_mut(out, rows, features),
                    1.0,
                    MatRef::from_row_major_slice(values, rows, w),
                    directions,
                );
            });
    }
    debug_assert_eq!(values.len(), points * w);
}
