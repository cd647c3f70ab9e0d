//! Two-dimensional pictures of points by UMAP (McInnes, Healy & Melville 2018, arXiv 1802.03426).
//!
//! The crate `umap-rs` builds the weighted neighbour graph and fits the curve of similarity over distance. The layout is
//! optimised here: the crate draws its negative samples from a generator that cannot be seeded, and moves points from
//! several threads at once, so that no two of its pictures are alike.

use anyhow::{Context, Result, ensure};
use faer::Mat;
use ndarray::{Array2, ArrayView2};
use rand::{Rng, RngExt};
use umap_rs::{GraphParams, ManifoldParams, Umap, UmapConfig};

/// Side of the square that the starting layout fills, from −10 to 10 \[S: umap-learn\].
const START: f64 = 10.0;
/// Size of the noise on the starting layout, which parts points that coincide \[S: umap-learn\].
const JITTER: f64 = 1e-4;
/// Negative samples for each positive one \[S: umap-learn\].
const NEGATIVES: usize = 5;
/// Longest step of a coordinate, before the learning rate \[S: umap-learn\].
const LONGEST: f64 = 4.0;
/// Keeps the repulsion of close points finite \[S: umap-learn\].
const SOFTENING: f64 = 1e-3;

/// What a picture is to look like.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// Nearest neighbours of a point that are to stay near, without the point itself.
    pub neighbours: usize,
    /// Least distance between points in the picture.
    pub min_distance: f64,
    /// Epochs of the optimisation.
    pub epochs: usize,
}

/// Places points, given by their inner products (n, n), in the plane. Starts from their first two principal components.
pub fn embed(
    gram: ArrayView2<'_, f64>,
    settings: &Settings,
    rng: &mut impl Rng,
) -> Result<Vec<[f64; 2]>> {
    let n = gram.nrows();
    ensure!(
        settings.neighbours > 0 && settings.neighbours < n,
        "{} neighbours are asked for, but there are {n} points: give at least 1, and fewer than there are points",
        settings.neighbours
    );
    ensure!(
        settings.min_distance > 0.0 && settings.min_distance < 1.0,
        "the least distance is {}: give a number between 0 and 1",
        settings.min_distance
    );
    let (indices, distances) = nearest(gram, settings.neighbours);
    let config = UmapConfig {
        graph: GraphParams {
            n_neighbors: indices.ncols(),
            ..GraphParams::default()
        },
        manifold: ManifoldParams {
            min_dist: settings.min_distance as f32,
            ..ManifoldParams::default()
        },
        ..UmapConfig::default()
    };
    // The points themselves are asked for, but only counted.
    let manifold = Umap::new(config).learn_manifold(
        Array2::zeros((n, 1)).view(),
        indices.view(),
        distances.view(),
    );
    let edges: Vec<Edge> = manifold
        .graph()
        .iter()
        .map(|(&weight, (from, to))| Edge {
            from: from as usize,
            to: to as usize,
            weight: f64::from(weight),
        })
        .collect();
    let (a, b) = manifold.curve_params();
    let mut points = principal_components(gram)?;
    let largest = points
        .iter()
        .flatten()
        .fold(f64::MIN_POSITIVE, |largest, x| largest.max(x.abs()));
    for x in points.iter_mut().flatten() {
        *x = *x * START / largest + JITTER * (2.0 * rng.random::<f64>() - 1.0);
    }
    optimise(
        &mut points,
        &edges,
        (f64::from(a), f64::from(b)),
        settings.epochs,
        rng,
    );
    Ok(points)
}

/// Two points that are near, and how near.
struct Edge {
    from: usize,
    to: usize,
    weight: f64,
}

/// For each point itself and its nearest neighbours (n, neighbours + 1), by rising distance: indices and distances.
fn nearest(gram: ArrayView2<'_, f64>, neighbours: usize) -> (Array2<u32>, Array2<f32>) {
    let n = gram.nrows();
    let mut indices = Array2::zeros((n, neighbours + 1));
    let mut distances = Array2::zeros((n, neighbours + 1));
    for i in 0..n {
        let square = |j: usize| (gram[[i, i]] + gram[[j, j]] - 2.0 * gram[[i, j]]).max(0.0);
        let mut others: Vec<(f64, usize)> =
            (0..n).filter(|&j| j != i).map(|j| (square(j), j)).collect();
        others.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        others.insert(0, (0.0, i));
        for (place, &(square, j)) in others.iter().take(neighbours + 1).enumerate() {
            indices[[i, place]] = j as u32;
            distances[[i, place]] = square.sqrt() as f32;
        }
    }
    (indices, distances)
}

/// The first two principal components of the points.
fn principal_components(gram: ArrayView2<'_, f64>) -> Result<Vec<[f64; 2]>> {
    let n = gram.nrows();
    let means: Vec<f64> = gram
        .rows()
        .into_iter()
        .map(|row| row.sum() / n as f64)
        .collect();
    let mean = means.iter().sum::<f64>() / n as f64;
    let centred = Mat::from_fn(n, n, |i, j| gram[[i, j]] - means[i] - means[j] + mean);
    let (values, vectors) = mftma_linalg::symmetric_eigen(centred.as_ref())
        .context("the features are not finite numbers")?;
    let component = |i: usize, k: usize| {
        let length = values.get(k).map_or(0.0, |value| value.max(0.0).sqrt());
        if k < n { length * vectors[(i, k)] } else { 0.0 }
    };
    Ok((0..n).map(|i| [component(i, 0), component(i, 1)]).collect())
}

/// Draws near points together and pushes random pairs apart, with a step that falls linearly to 0.
///
/// An edge of weight w acts in a share w / w_max of the epochs, evenly spread. With d the distance in the picture,
/// similarity is 1 / (1 + a d^2b); the steps are those of its cross-entropy with the graph (equations 16 and 17 there).
fn optimise(
    points: &mut [[f64; 2]],
    edges: &[Edge],
    (a, b): (f64, f64),
    epochs: usize,
    rng: &mut impl Rng,
) {
    let n = points.len();
    let heaviest = edges.iter().map(|edge| edge.weight).fold(0.0, f64::max);
    for epoch in 0..epochs {
        let rate = 1.0 - epoch as f64 / epochs as f64;
        for edge in edges {
            let due = |epoch: usize| (epoch as f64 * edge.weight / heaviest).floor();
            if due(epoch + 1) == due(epoch) {
                continue;
            }
            let (difference, square) = between(points, edge.from, edge.to);
            if square > 0.0 {
                let pull = -2.0 * a * b * square.powf(b - 1.0) / (1.0 + a * square.powf(b));
                for (axis, difference) in difference.into_iter().enumerate() {
                    let step = rate * (pull * difference).clamp(-LONGEST, LONGEST);
                    points[edge.from][axis] += step;
                    points[edge.to][axis] -= step;
                }
            }
            for _ in 0..NEGATIVES {
                let other = rng.random_range(0..n);
                let (difference, square) = between(points, edge.from, other);
                if square > 0.0 {
                    let push = 2.0 * b / ((SOFTENING + square) * (1.0 + a * square.powf(b)));
                    for (axis, difference) in difference.into_iter().enumerate() {
                        points[edge.from][axis] +=
                            rate * (push * difference).clamp(-LONGEST, LONGEST);
                    }
                }
            }
        }
    }
}

/// The difference of two points, and its square.
fn between(points: &[[f64; 2]], from: usize, to: usize) -> ([f64; 2], f64) {
    let (p, q) = (points[from], points[to]);
    let difference = [p[0] - q[0], p[1] - q[1]];
    (difference, difference.iter().map(|d| d * d).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: Settings = Settings {
        neighbours: 8,
        min_distance: 0.1,
        epochs: 100,
    };

    /// Three clouds of twenty points around distant centres in ten dimensions.
    fn clouds() -> Array2<f64> {
        let mut rng = mftma_data::stream(3, "clouds");
        let points = Array2::from_shape_fn((60, 10), |(i, feature)| {
            let centre = if feature == i / 20 { 10.0 } else { 0.0 };
            centre + rng.random::<f64>()
        });
        points.dot(&points.t())
    }

    fn picture(gram: &Array2<f64>, seed: u64) -> Vec<[f64; 2]> {
        embed(
            gram.view(),
            &SETTINGS,
            &mut mftma_data::stream(seed, "umap"),
        )
        .unwrap()
    }

    #[test]
    fn clouds_stay_together_and_apart() {
        let points = picture(&clouds(), 1);
        let distance = |i, j| between(&points, i, j).1.sqrt();
        let mut within = 0.0f64;
        let mut across = f64::INFINITY;
        for i in 0..60 {
            let nearest = |same: bool| {
                (0..60)
                    .filter(|&j| j != i && (j / 20 == i / 20) == same)
                    .map(|j| distance(i, j))
                    .fold(f64::INFINITY, f64::min)
            };
            within = within.max(nearest(true));
            across = across.min(nearest(false));
        }
        assert!(2.0 * within < across, "{within} {across}");
    }

    #[test]
    fn a_seed_gives_one_picture_at_any_number_of_threads() {
        let gram = clouds();
        let one = rayon::ThreadPoolBuilder::new()
            .num_threads(1)
            .build()
            .unwrap();
        let four = rayon::ThreadPoolBuilder::new()
            .num_threads(4)
            .build()
            .unwrap();
        let pictures = [&one, &four].map(|pool| pool.install(|| picture(&gram, 1)));
        assert_eq!(pictures[0], pictures[1]);
        assert_ne!(pictures[0], picture(&gram, 2));
    }

    #[test]
    fn points_that_coincide_do_no_harm() {
        let gram = Array2::ones((30, 30));
        let points = picture(&gram, 1);
        assert!(points.iter().flatten().all(|x| x.is_finite()));
    }

    #[test]
    fn too_few_points_are_refused() {
        let gram = Array2::ones((8, 8));
        let error = embed(gram.view(), &SETTINGS, &mut mftma_data::stream(1, "umap"));
        assert!(error.unwrap_err().to_string().contains("8 neighbours"));
    }

    #[test]
    fn neighbours_are_found_by_hand() {
        // Points 0, 1 and 3 on a line.
        let at = [0.0, 1.0, 3.0];
        let gram = Array2::from_shape_fn((3, 3), |(i, j)| at[i] * at[j]);
        let (indices, distances) = nearest(gram.view(), 2);
        assert_eq!(indices.row(1).to_vec(), [1, 0, 2]);
        assert_eq!(distances.row(1).to_vec(), [0.0, 1.0, 2.0]);
    }
}
