//! An analysis at every level of vector instructions that this processor has: the same bytes.

use mftma::simd::Level;
use mftma::{Analysis, ArrayActivations};
use ndarray::Array2;

/// One test, because the level holds for the whole process.
#[test]
fn an_analysis_gives_the_same_bytes_at_every_level() {
    // More points than features, and fewer: the two ways to hold a manifold.
    for (manifolds, points, features) in [(12, 9, 60), (8, 30, 20)] {
        let noise = |seed: usize| ((seed * 7919 + 13) % 1009) as f64 / 1009.0 - 0.5;
        let x = Array2::from_shape_fn((manifolds * points, features), |(row, feature)| {
            2.0 * noise(row / points * features + feature)
                + noise(7 + 31 * row * features + 17 * feature)
        });
        let sizes = vec![points; manifolds];
        let source = ArrayActivations::new(x.view(), &sizes).unwrap();
        let analysis = Analysis::builder()
            .vectors(60)
            .seed(3)
            .resamples(50)
            .build()
            .unwrap();
        let results = Level::available().into_iter().map(|level| {
            level.force().unwrap();
            (
                level,
                serde_json::to_string(&analysis.run(&source).unwrap()).unwrap(),
            )
        });
        let results: Vec<_> = results.collect();
        for (level, result) in &results[1..] {
            assert_eq!(*result, results[0].1, "{level}");
        }
    }
}
