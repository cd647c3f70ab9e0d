//! Judges rules for K, the number of removed centre directions, by simulated capacity.
//!
//! Sets of synthetic manifolds whose shared directions are known: N/P from 1.2 to 20; no, two or five directions of
//! strength 0.5 to 3; isotropic and decaying noise; equal and unequal norms of the centres. For each the mean-field capacity
//! under every K is set against the simulated one, and with it what each rule chooses, what the known directions give, what
//! the best K in hindsight gives, and the joint capacity. A set counts as met where capacity lies in the simulation's
//! interval or within 3 % of it.
//!
//! `cargo run --release -p mftma --example rank_rule -- 5` judges on the 42 sets of a seed, in two to three CPU minutes. The
//! default was chosen on seeds below 5. What it printed is in `docs/which-capacity.md`.

use mftma::joint::{Centring, JointSettings, joint_geometry};
use mftma::{
    AnalysisSettings, ArrayActivations, Conventions, Geometry, RankRule, Simulation,
    simulate_capacity,
};
use ndarray::{Array2, s};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// Most directions tried.
const MOST: usize = 9;

fn normal(rows: usize, columns: usize, rng: &mut ChaCha8Rng) -> Array2<f64> {
    Array2::from_shape_simple_fn((rows, columns), || StandardNormal.sample(rng))
}

/// What a set is made of.
struct Recipe {
    manifolds: usize,
    points: usize,
    features: usize,
    shared: usize,
    /// Length of a shared direction's share of a centre, in units of the centre's own part.
    strength: f64,
    /// Noise per feature, in units of the centre's own part per feature.
    radius: f64,
    decaying: bool,
    unequal: bool,
}

fn recipes(seed: u64) -> Vec<Recipe> {
    let mut recipes = Vec::new();
    let ratios = [
        (1.2, 0.25),
        (2.0, 0.6),
        (2.0, 1.0),
        (3.0, 1.0),
        (5.0, 1.0),
        (10.0, 1.2),
        (20.0, 0.8),
    ];
    let structures = [(0, 0.0), (2, 0.5), (2, 1.5), (5, 0.7), (2, 3.0), (5, 2.0)];
    for (ratio, radius) in ratios {
        for (shared, strength) in structures {
            // The remaining choices are a hash of the index and the seed.
            let index = recipes.len() as u64 + 1;
            let bits = (index.wrapping_mul(0x9E37_79B9_7F4A_7C15)
                ^ seed.wrapping_mul(0xD1B5_4A32_D192_ED03))
                >> 32;
            let manifolds = if bits & 1 == 0 { 30 } else { 40 };
            recipes.push(Recipe {
                manifolds,
                points: if bits & 2 == 0 { 8 } else { 5 },
                features: (manifolds as f64 * ratio) as usize,
                shared,
                strength,
                radius,
                decaying: bits & 4 != 0,
                unequal: bits & 32 != 0,
            });
        }
    }
    recipes
}

impl Recipe {
    /// The points, manifold by manifold, and the shared directions (N, K).
    fn make(&self, rng: &mut ChaCha8Rng) -> (Array2<f64>, Array2<f64>) {
        let (p, m, n) = (self.manifolds, self.points, self.features);
        let mut directions = normal(n, self.shared, rng);
        for k in 0..self.shared {
            for j in 0..k {
                let earlier = directions.column(j).to_owned();
                let along = earlier.dot(&directions.column(k));
                directions.column_mut(k).scaled_add(-along, &earlier);
            }
            let length = directions.column(k).dot(&directions.column(k)).sqrt();
            directions.column_mut(k).mapv_inplace(|x| x / length);
        }
        let loadings = normal(p, self.shared, rng) * (self.strength * (n as f64).sqrt());
        let shared = loadings.dot(&directions.t());
        let own = normal(p, n, rng);
        let mut points = Array2::zeros((p * m, n));
        for i in 0..p {
            let spread: f64 = StandardNormal.sample(rng);
            let size = if self.unequal {
                (0.5 * spread).exp()
            } else {
                1.0
            };
            let noise = if self.decaying {
                // Variances 1/j along axes of the manifold's own.
                let axes = n.min(3 * m);
                let total: f64 = (1..=axes).map(|j| 1.0 / j as f64).sum();
                let mut along = normal(m, axes, rng);
                for (j, mut column) in along.columns_mut().into_iter().enumerate() {
                    column *= (1.0 / ((j + 1) as f64 * total)).sqrt();
                }
                along.dot(&normal(axes, n, rng))
            } else {
                normal(m, n, rng)
            };
            let centre = (&own.row(i) + &shared.row(i)) * size;
            let cloud = noise * (self.radius * size) + &centre;
            points.slice_mut(s![i * m..(i + 1) * m, ..]).assign(&cloud);
        }
        (points, directions)
    }
}

/// What one K gave.
struct Tried {
    capacity: f64,
    residual: f64,
    /// Smallest remaining centre norm in units of the median one.
    shortest: f64,
}

/// The least K whose residual is within the share `within` of the least, among K that leave every centre `floor`.
fn fewest(tried: &[Tried], within: f64, floor: f64) -> usize {
    let floor = floor.min(tried[0].shortest);
    let kept = |k: &usize| tried[*k].shortest >= floor;
    let least = (0..tried.len())
        .filter(kept)
        .map(|k| tried[k].residual)
        .fold(f64::INFINITY, f64::min);
    (0..tried.len())
        .filter(kept)
        .find(|&k| tried[k].residual <= least * (1.0 + within))
        .unwrap_or(0)
}

/// The least K whose residual is at most `factor` of what independent centres in N − K features leave, or else the K of
/// least residual.
fn independent(tried: &[Tried], features: usize, factor: f64) -> usize {
    (0..tried.len())
        .find(|&k| {
            let free = (features - k) as f64;
            tried[k].residual <= factor * (2.0 / (std::f64::consts::PI * free)).sqrt()
        })
        .unwrap_or_else(|| fewest(tried, 0.0, 0.0))
}

/// Relative error of one rule on one set, and whether the set is met.
type Verdict = (f64, bool);

fn judge(recipe: &Recipe, rng: &mut ChaCha8Rng) -> Outcome<Option<Vec<(String, Verdict)>>> {
    let (points, directions) = recipe.make(rng);
    let sizes = vec![recipe.points; recipe.manifolds];
    let source = ArrayActivations::new(points.view(), &sizes)?;
    let simulated = simulate_capacity(&source, &Simulation::default().repetitions(80))?;
    let Some(truth) = simulated.capacity else {
        return Ok(None);
    };
    let run = |rank_rule| -> Outcome<Geometry> {
        let conventions = Conventions::ours().rank_rule(rank_rule);
        let settings = AnalysisSettings::default()
            .vectors(40)
            .conventions(conventions);
        Ok(settings.build()?.run(&source)?)
    };
    let mut tried = Vec::new();
    for rank in 0..=MOST {
        // A K that takes a whole centre has no capacity.
        let Ok(g) = run(RankRule::Fixed { rank }) else {
            break;
        };
        let mut norms: Vec<f64> = g.manifolds.iter().map(|m| m.centre_norm).collect();
        norms.sort_by(f64::total_cmp);
        tried.push(Tried {
            capacity: g.capacity.value,
            residual: g.residual_centre_correlation,
            shortest: norms[0] / norms[norms.len() / 2],
        });
    }
    let joint = JointSettings::default().centring(Centring::ByManifold);
    let joint = joint_geometry(&source, &joint)?;
    let mut found = vec![
        (
            "default".to_owned(),
            run(RankRule::Reproducible)?.capacity.value,
        ),
        (
            "least residual (before)".into(),
            run(RankRule::LeastResidual)?.capacity.value,
        ),
        (
            "known directions".into(),
            run(RankRule::Given { directions })?.capacity.value,
        ),
        ("nothing removed".into(), tried[0].capacity),
        ("joint capacity".into(), joint.capacity.value),
    ];
    let distance = |t: &&Tried| (t.capacity / truth - 1.0).abs();
    let best = tried
        .iter()
        .min_by(|a, b| distance(a).total_cmp(&distance(b)));
    found.extend(best.map(|t| ("best K in hindsight".into(), t.capacity)));
    for (within, floor) in [(0.1, 0.1), (0.25, 0.02), (0.25, 0.3), (0.5, 0.1)] {
        let k = fewest(&tried, within, floor);
        found.push((format!("within {within}, floor {floor}"), tried[k].capacity));
    }
    let k = independent(&tried, recipe.features, 1.1);
    found.push(("independent centres × 1.1".into(), tried[k].capacity));
    let (low, high) = simulated.interval;
    Ok(Some(
        found
            .into_iter()
            .map(|(rule, capacity)| {
                let error = capacity / truth - 1.0;
                let met = (low <= capacity && capacity <= high) || error.abs() <= 0.03;
                (rule, (error, met))
            })
            .collect(),
    ))
}

fn main() -> Outcome<()> {
    let mut seeds: Vec<u64> = std::env::args()
        .skip(1)
        .map(|seed| seed.parse())
        .collect::<Result<_, _>>()?;
    if seeds.is_empty() {
        seeds.push(1);
    }
    let mut rules: Vec<(String, Vec<(usize, Verdict)>)> = Vec::new();
    for seed in seeds {
        for (index, recipe) in recipes(seed).iter().enumerate() {
            let mut rng = ChaCha8Rng::seed_from_u64(1_000 * seed + index as u64);
            for (rule, verdict) in judge(recipe, &mut rng)?.into_iter().flatten() {
                match rules.iter_mut().find(|(known, _)| *known == rule) {
                    Some((_, verdicts)) => verdicts.push((recipe.shared, verdict)),
                    None => rules.push((rule, vec![(recipe.shared, verdict)])),
                }
            }
        }
    }
    println!("rule; sets; met; met of 0, 2, 5 shared directions; worst error; mean error");
    for (rule, verdicts) in &rules {
        let met = |shared: Option<usize>| {
            let of: Vec<bool> = verdicts
                .iter()
                .filter(|(of, _)| shared.is_none_or(|shared| shared == *of))
                .map(|(_, (_, met))| *met)
                .collect();
            of.iter().filter(|&&met| met).count() as f64 / of.len() as f64
        };
        let worst = verdicts
            .iter()
            .map(|(_, (error, _))| *error)
            .fold(0.0, |a: f64, b| if b.abs() > a.abs() { b } else { a });
        let mean = verdicts.iter().map(|(_, (e, _))| e).sum::<f64>() / verdicts.len() as f64;
        println!(
            "{rule}; {}; {:.2}; {:.2} {:.2} {:.2}; {worst:+.3}; {mean:+.3}",
            verdicts.len(),
            met(None),
            met(Some(0)),
            met(Some(2)),
            met(Some(5)),
        );
    }
    Ok(())
}
