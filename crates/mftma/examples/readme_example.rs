//! The example of the reference's README: 100 manifolds of 50 standard-normal points in 5,000 features, κ = 0,
//! n_t = 200, 10 restarts. The reference takes 31 s for it (two cores; `baselines.md`).
//!
//! `cargo run --release --example readme_example -- [N] [n_t] [seed] [f32|f64]` prints the time of the analysis, making
//! the data aside, and the measures.

use std::ops::ControlFlow;
use std::sync::Mutex;
use std::time::Instant;

use mftma::{Activations, Analysis, ArrayActivations, Progress};
use ndarray::Array2;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;

const MANIFOLDS: usize = 100;
const POINTS: usize = 50;

/// Standard-normal points, one ChaCha stream a row.
fn normal_points<T: Copy + Send + Sync + Default>(features: usize) -> Array2<T>
where
    StandardNormal: Distribution<T>,
{
    let mut points = Array2::default((MANIFOLDS * POINTS, features));
    points
        .outer_iter_mut()
        .into_par_iter()
        .enumerate()
        .for_each(|(row, mut values)| {
            let mut rng = ChaCha8Rng::seed_from_u64(1);
            rng.set_stream(row as u64);
            values
                .iter_mut()
                .for_each(|v| *v = StandardNormal.sample(&mut rng));
        });
    points
}

fn report(source: &impl Activations, vectors: usize, seed: u64) -> Result<(), mftma::Error> {
    let analysis = Analysis::builder().vectors(vectors).seed(seed).build()?;
    let clock = Instant::now();
    // When each stage began, told by the progress callback.
    let stages = Mutex::new((None, None));
    let geometry = analysis.run_with(source, &|progress| {
        if let Ok(mut stages) = stages.lock() {
            match progress {
                Progress::Centres => stages.0 = Some(clock.elapsed()),
                Progress::Manifolds { .. } if stages.1.is_none() => {
                    stages.1 = Some(clock.elapsed())
                }
                _ => {}
            }
        }
        ControlFlow::Continue(())
    })?;
    println!(
        "analysis {:?}, centres from and first manifold at {:?}",
        clock.elapsed(),
        stages.lock().ok()
    );
    println!(
        "alpha {:.4} ± {:.4}, R {:.4}, D {:.3}, rho {:.4}, K {}",
        geometry.capacity.value,
        geometry.capacity.standard_error.unwrap_or(0.0),
        geometry.radius.value,
        geometry.dimension.value,
        geometry.centre_correlation,
        geometry.rank
    );
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let features = args.next().map_or(Ok(5_000), |a| a.parse())?;
    let vectors = args.next().map_or(Ok(200), |a| a.parse())?;
    let seed = args.next().map_or(Ok(0), |a| a.parse())?;
    let sizes = [POINTS; MANIFOLDS];
    if args.next().as_deref() == Some("f32") {
        let points = normal_points::<f32>(features);
        report(
            &ArrayActivations::new(points.view(), &sizes)?,
            vectors,
            seed,
        )?;
    } else {
        let points = normal_points::<f64>(features);
        report(
            &ArrayActivations::new(points.view(), &sizes)?,
            vectors,
            seed,
        )?;
    }
    Ok(())
}
