//! Linear CKA, SVCCA and PWCCA against closed cases.

use approx::assert_abs_diff_eq;
use mftma::similarity::{Representation, debiased_cka, linear_cka, pwcca, svcca};
use mftma::{Activations, ArrayActivations, Block, Error, SourceError};
use ndarray::{Array1, Array2, Axis, array};
use proptest::prelude::*;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use std::ops::ControlFlow;

fn noise(seed: u64, n: usize, p: usize) -> Array2<f64> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    Array2::from_shape_simple_fn((n, p), || StandardNormal.sample(&mut rng))
}

/// An orthogonal matrix: a product of p Householder reflections.
fn rotation(seed: u64, p: usize) -> Array2<f64> {
    let mut q = Array2::eye(p);
    for column in noise(seed, p, p).axis_iter(Axis(1)) {
        let v = &column / column.dot(&column).sqrt();
        let qv: Array1<f64> = q.dot(&v);
        q = q - 2.0 * qv.insert_axis(Axis(1)).dot(&v.insert_axis(Axis(0)));
    }
    q
}

struct Measures {
    cka: f64,
    svcca: f64,
    pwcca: f64,
}

fn measures(x: &Array2<f64>, y: &Array2<f64>, share: f64) -> Measures {
    let rows = [x.nrows()];
    let source = ArrayActivations::new(x.view(), &rows).unwrap();
    let a = Representation::new(&source).unwrap();
    let b = Representation::new(&ArrayActivations::new(y.view(), &rows).unwrap()).unwrap();
    let correlations = svcca(&a, &b, share).unwrap();
    Measures {
        cka: linear_cka(&a, &b).unwrap(),
        svcca: correlations.mean(),
        pwcca: pwcca(&correlations, &source).unwrap(),
    }
}

fn centred(x: &Array2<f64>) -> Array2<f64> {
    x - &x.mean_axis(Axis(0)).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// Identity, rotation, isotropic scaling and a shift of either side leave all three at 1.
    #[test]
    fn rotation_scaling_and_shift_change_nothing(seed in 0u64..1000, n in 20usize..60, p in 2usize..12, scale in 0.01f64..100.0) {
        let x = noise(seed, n, p);
        let y = scale * x.dot(&rotation(seed + 1, p)) + 3.0;
        for share in [0.9, 1.0] {
            for y in [&x, &y] {
                let m = measures(&x, y, share);
                prop_assert!((m.cka - 1.0).abs() < 1e-10, "CKA {}", m.cka);
                prop_assert!((m.svcca - 1.0).abs() < 1e-10, "SVCCA {}", m.svcca);
                prop_assert!((m.pwcca - 1.0).abs() < 1e-10, "PWCCA {}", m.pwcca);
            }
        }
    }

    /// An invertible map that is no rotation leaves CCA at 1 but not CKA.
    #[test]
    fn linear_maps_change_cka_only(seed in 0u64..1000) {
        let x = noise(seed, 200, 4);
        let y = &x * &array![[10.0, 3.0, 1.0, 0.1]];
        let m = measures(&x, &y, 1.0);
        prop_assert!((m.svcca - 1.0).abs() < 1e-9);
        prop_assert!((m.pwcca - 1.0).abs() < 1e-9);
        prop_assert!(m.cka < 0.9, "CKA {}", m.cka);
    }

    /// The Gram form of CKA equals the feature form ‖YᵀX‖² / (‖XᵀX‖ ‖YᵀY‖), and CKA is symmetric.
    #[test]
    fn cka_equals_its_feature_form(seed in 0u64..1000, n in 5usize..300, p in 1usize..40, q in 1usize..40) {
        let (x, y) = (noise(seed, n, p), noise(seed + 1, n, q));
        let (xc, yc) = (centred(&x), centred(&y));
        let square = |m: &Array2<f64>| m.iter().map(|v| v * v).sum::<f64>();
        let expected = square(&yc.t().dot(&xc))
            / (square(&xc.t().dot(&xc)) * square(&yc.t().dot(&yc))).sqrt();
        let m = measures(&x, &y, 1.0);
        prop_assert!((m.cka - expected).abs() < 1e-10 * expected.max(1e-3));
        prop_assert!((m.cka - measures(&y, &x, 1.0).cka).abs() < 1e-12);
    }
}

/// Independent noise. With W Wishart in m = n − 1 dimensions on p degrees of freedom, E tr W² = pm(p + m + 1), so CKA is
/// about √(pq / ((m + p + 1)(m + q + 1))). Canonical correlations are those of random subspaces: E Σρ² = kl/m.
#[test]
fn independent_noise_has_its_known_mean() {
    for (n, p, q) in [(400, 20, 30), (300, 150, 80), (200, 400, 300)] {
        let m = (n - 1) as f64;
        let (pf, qf) = (p as f64, q as f64);
        let expected = (pf * qf / ((m + pf + 1.0) * (m + qf + 1.0))).sqrt();
        let (mut cka, mut squares) = (0.0, 0.0);
        let repetitions = 10;
        for seed in 0..repetitions {
            let rows = [n];
            let x = noise(2 * seed, n, p);
            let y = noise(2 * seed + 1, n, q);
            let a = Representation::new(&ArrayActivations::new(x.view(), &rows).unwrap()).unwrap();
            let b = Representation::new(&ArrayActivations::new(y.view(), &rows).unwrap()).unwrap();
            cka += linear_cka(&a, &b).unwrap() / repetitions as f64;
            let c = svcca(&a, &b, 1.0).unwrap();
            let (k, l) = (p.min(n - 1), q.min(n - 1));
            assert_eq!(c.kept, (k, l));
            assert_eq!(c.forced, (k + l).saturating_sub(n - 1));
            let ones = c.correlations.iter().filter(|&&r| r > 1.0 - 1e-9).count();
            assert_eq!(ones, c.forced);
            let sum: f64 = c.correlations.iter().map(|r| r * r).sum();
            squares += sum * m / (k * l) as f64 / repetitions as f64;
        }
        assert!(
            (cka / expected - 1.0).abs() < 0.03,
            "CKA {cka}, expected {expected}"
        );
        assert!((squares - 1.0).abs() < 0.05, "Σρ² is {squares} of its mean");
    }
}

/// Two shared features of four, the rest private and orthogonal: every measure by hand.
#[test]
fn orthogonal_features_by_hand() {
    // Orthogonal, centred columns: characters of the group of order 8.
    let h = Array2::from_shape_fn((8, 7), |(i, j)| {
        if (i & (j + 1)).count_ones() % 2 == 0 {
            1.0
        } else {
            -1.0
        }
    });
    let x = h.select(Axis(1), &[0, 1, 2, 3]) * array![[4.0, 2.0, 1.0, 1.0]];
    let y = h.select(Axis(1), &[0, 1, 4, 5]) * array![[1.0, 1.0, 3.0, 1.0]];
    let m = measures(&x, &y, 1.0);
    // ⟨K, L⟩ = 64 (16·1 + 4·1), ‖K‖² = 64 (256 + 16 + 1 + 1), ‖L‖² = 64 (1 + 1 + 81 + 1).
    assert_abs_diff_eq!(m.cka, 20.0 / (274.0f64 * 84.0).sqrt(), epsilon = 1e-12);
    // Correlations 1, 1, 0, 0.
    assert_abs_diff_eq!(m.svcca, 0.5, epsilon = 1e-12);
    // Weights of the shared variates, Σ_j |⟨h_i, x_j⟩|, 4 + 2 in all. Within the eigenvalue 1 of X the variates may turn,
    // and within the correlation 1 too, so only bounds hold: shared between 6/(6 + 2√2) and 6√2/(6√2 + 2).
    assert!(
        (6.0 / (6.0 + 2.0 * 2f64.sqrt()) - 1e-9
            ..=6.0 * 2f64.sqrt() / (6.0 * 2f64.sqrt() + 2.0) + 1e-9)
            .contains(&m.pwcca)
    );
    // Leading directions hold 16/22 of the variance of X and 9/12 of that of Y.
    let rows = [8];
    let a = Representation::new(&ArrayActivations::new(x.view(), &rows).unwrap()).unwrap();
    let b = Representation::new(&ArrayActivations::new(y.view(), &rows).unwrap()).unwrap();
    assert_eq!(svcca(&a, &b, 0.74).unwrap().kept, (2, 1));
}

/// PWCCA with canonical variates that are all distinct: weights by hand.
#[test]
fn pwcca_weights_by_hand() {
    let h = Array2::from_shape_fn((8, 7), |(i, j)| {
        if (i & (j + 1)).count_ones() % 2 == 0 {
            1.0
        } else {
            -1.0
        }
    });
    let x = h.select(Axis(1), &[0, 1]) * array![[4.0, 1.0]];
    // Columns at correlation 1 and 0.6 with those of X.
    let mut y = h.select(Axis(1), &[0, 1]);
    let mixed = &h.column(1) * 0.6 + &h.column(2) * 0.8;
    y.column_mut(1).assign(&mixed);
    let m = measures(&x, &y, 1.0);
    assert_abs_diff_eq!(m.svcca, 0.8, epsilon = 1e-12);
    assert_abs_diff_eq!(m.pwcca, (4.0 + 0.6) / 5.0, epsilon = 1e-12);
    // From the other side the weights are 1 and |⟨h_2, y_2⟩| = 1.
    assert_abs_diff_eq!(measures(&y, &x, 1.0).pwcca, 0.8, epsilon = 1e-12);
}

/// The result does not depend on how features are cut into blocks or on their precision, beyond rounding.
struct Cut<'a>(&'a Array2<f32>, usize);

impl Activations for Cut<'_> {
    fn points_per_manifold(&self) -> &[usize] {
        &[50]
    }
    fn n_features(&self) -> usize {
        self.0.ncols()
    }
    fn for_each_block(
        &self,
        visit: &mut dyn FnMut(Block<'_>) -> ControlFlow<()>,
    ) -> Result<(), SourceError> {
        for block in self.0.axis_chunks_iter(Axis(1), self.1) {
            if visit(Block::F32(block)).is_break() {
                break;
            }
        }
        Ok(())
    }
}

#[test]
fn blocks_do_not_matter() {
    let x = noise(1, 50, 1400).mapv(|v| v as f32);
    let y = noise(2, 50, 9);
    let b = Representation::new(&ArrayActivations::new(y.view(), &[50]).unwrap()).unwrap();
    let of = |width| {
        let source = Cut(&x, width);
        let a = Representation::new(&source).unwrap();
        let c = svcca(&a, &b, 0.5).unwrap();
        (
            linear_cka(&a, &b).unwrap(),
            c.mean(),
            pwcca(&c, &source).unwrap(),
        )
    };
    let whole = of(1400);
    for width in [1, 7, 512, 600] {
        let cut = of(width);
        assert_abs_diff_eq!(cut.0, whole.0, epsilon = 1e-12);
        assert_abs_diff_eq!(cut.1, whole.1, epsilon = 1e-9);
        assert_abs_diff_eq!(cut.2, whole.2, epsilon = 1e-9);
    }
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let x = noise(1, 300, 700);
    let y = noise(2, 300, 50);
    let on = |threads| {
        rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap()
            .install(|| measures(&x, &y, 0.9))
    };
    let (one, three) = (on(1), on(3));
    assert_eq!(one.cka.to_bits(), three.cka.to_bits());
    assert_eq!(one.svcca.to_bits(), three.svcca.to_bits());
    assert_eq!(one.pwcca.to_bits(), three.pwcca.to_bits());
}

#[test]
fn unusable_input_is_refused() {
    let of = |x: Array2<f64>| {
        let rows = [x.nrows()];
        Representation::new(&ArrayActivations::new(x.view(), &rows).unwrap())
    };
    assert!(matches!(
        of(noise(0, 1, 3)),
        Err(Error::TooFewPoints { found: 1 })
    ));
    assert!(matches!(of(Array2::ones((5, 3))), Err(Error::NoVariance)));
    let mut bad = noise(0, 5, 600);
    bad[[3, 555]] = f64::NAN;
    assert!(matches!(
        of(bad),
        Err(Error::NotFinite {
            manifold: 0,
            point: 3,
            feature: 555,
            ..
        })
    ));
    let (a, b) = (of(noise(0, 5, 3)).unwrap(), of(noise(0, 6, 3)).unwrap());
    assert!(matches!(
        linear_cka(&a, &b),
        Err(Error::DifferentPoints {
            first: 5,
            second: 6
        })
    ));
    assert!(matches!(svcca(&a, &a, 0.0), Err(Error::Setting { .. })));
    assert!(matches!(
        of(noise(0, 5, 3) * 1e200),
        Err(Error::Eigenproblem { .. })
    ));
}

fn represented(x: &Array2<f64>) -> Result<Representation, Error> {
    Representation::new(&ArrayActivations::new(x.view(), &[x.nrows()]).unwrap())
}

/// Independent sides with fewer points than features.
#[test]
fn debiased_cka_of_independent_sides_is_about_0() {
    let (mut debiased, mut plain) = (0.0, f64::INFINITY);
    for seed in 0..20 {
        let a = represented(&noise(2 * seed, 12, 300)).unwrap();
        let b = represented(&noise(2 * seed + 1, 12, 300)).unwrap();
        debiased += debiased_cka(&a, &b).unwrap().unwrap() / 20.0;
        plain = linear_cka(&a, &b).unwrap().min(plain);
        let own = debiased_cka(&a, &a).unwrap().unwrap();
        assert_abs_diff_eq!(own, 1.0, epsilon = 1e-12);
    }
    assert!(plain > 0.9, "{plain}");
    // 20 means of standard deviation about 1/√(12·9/2).
    assert!(debiased.abs() < 0.12, "{debiased}");
}

/// The unbiased estimate from its definition: tr(K̃L̃) + 1ᵀK̃1·1ᵀL̃1/((n − 1)(n − 2)) − 2·1ᵀK̃L̃1/(n − 2) with zero diagonals.
#[test]
fn debiased_cka_agrees_with_its_definition() {
    let (x, y) = (noise(1, 9, 4), noise(2, 9, 6) + 3.0);
    let estimate = |x: &Array2<f64>, y: &Array2<f64>| {
        let (mut k, mut l) = (x.dot(&x.t()), y.dot(&y.t()));
        k.diag_mut().fill(0.0);
        l.diag_mut().fill(0.0);
        let n = k.nrows() as f64;
        let product = k.dot(&l);
        product.diag().sum() + k.sum() * l.sum() / ((n - 1.0) * (n - 2.0))
            - 2.0 * product.sum() / (n - 2.0)
    };
    let expected = estimate(&x, &y) / (estimate(&x, &x) * estimate(&y, &y)).sqrt();
    let (a, b) = (represented(&x).unwrap(), represented(&y).unwrap());
    assert_abs_diff_eq!(
        debiased_cka(&a, &b).unwrap().unwrap(),
        expected,
        epsilon = 1e-10
    );
}

#[test]
fn constants_that_are_no_whole_numbers_are_refused_too() {
    for value in [0.0, 1.0, 0.1, 1e-3, 7.3e5] {
        for points in [3, 100] {
            let constant = Array2::from_elem((points, 30), value);
            let found = represented(&constant);
            assert!(matches!(found, Err(Error::NoVariance)), "{value}, {points}");
        }
    }
}

/// Near the ends of what a number can hold too: powers of two round nothing.
#[test]
fn the_unit_changes_no_bit_of_any_measure() {
    let (x, y) = (noise(1, 60, 5), noise(2, 60, 4));
    let all = |x: &Array2<f64>, y: &Array2<f64>| {
        let m = measures(x, y, 0.99);
        let (a, b) = (represented(x).unwrap(), represented(y).unwrap());
        let debiased = debiased_cka(&a, &b).unwrap().unwrap();
        [m.cka, m.svcca, m.pwcca, debiased].map(f64::to_bits)
    };
    let expected = all(&x, &y);
    for power in [-450, -200, -3, 5, 300, 506] {
        let scaled = &x * 2f64.powi(power);
        assert_eq!(all(&scaled, &y), expected, "2^{power}");
    }
}

/// An offset of every feature changes nothing but by the rounding of the sums x + offset themselves.
#[test]
fn offsets_change_no_measure() {
    let (x, y) = (noise(1, 200, 10), noise(2, 200, 12));
    let all = |x: &Array2<f64>, y: &Array2<f64>| {
        let m = measures(x, y, 0.99);
        let (a, b) = (represented(x).unwrap(), represented(y).unwrap());
        [
            m.cka,
            m.svcca,
            m.pwcca,
            debiased_cka(&a, &b).unwrap().unwrap(),
        ]
    };
    let (none, turned) = (all(&x, &y), all(&y, &x));
    for offset in [1e3, 1e5, 1e6, -2e6, 1e9] {
        let moved = |x: &Array2<f64>| {
            x + &Array1::from_shape_fn(x.ncols(), |j| offset * (1.0 + j as f64 / 7.0))
        };
        let epsilon = 1e-13 + 100.0 * offset.abs() * f64::EPSILON;
        for (found, expected) in [
            (all(&moved(&x), &y), none),
            (all(&x, &moved(&y)), none),
            (all(&moved(&x), &moved(&y)), none),
            (all(&y, &moved(&x)), turned),
        ] {
            for (found, expected) in found.into_iter().zip(expected) {
                assert!(
                    (found - expected).abs() < epsilon,
                    "offset {offset:e}: {found}, expected {expected}"
                );
            }
        }
    }
}

/// What varies in its last bit only is constant; what varies little beside a large offset is not.
#[test]
fn little_variance_beside_a_large_offset_is_variance() {
    let x = noise(3, 50, 4);
    assert!(represented(&(&x * 1e-3 + 1e9)).is_ok());
    let last_bit = Array2::from_shape_fn((50, 4), |(i, j)| {
        0.1 * (1.0 + f64::EPSILON * ((i + j) % 2) as f64)
    });
    assert!(matches!(represented(&last_bit), Err(Error::NoVariance)));
}
