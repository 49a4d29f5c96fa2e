//! The Universal Scalability Law: what keeps throughput from growing with load.
//!
//! ```text
//!                     λ N
//! X(N) = ─────────────────────────────      peak at N* = √((1 − σ) ÷ κ)
//!         1 + σ (N − 1) + κ N (N − 1)
//! ```
//!
//! X is throughput at load N; λ is the throughput of one unit of load alone;
//! σ is *contention*, the share of work that waits its turn, which bounds
//! throughput at λ ÷ σ (Amdahl's law); κ is *coherency*, what each pays to agree
//! with every other, which makes throughput fall beyond the peak. (N. J.
//! Gunther, *Guerrilla Capacity Planning*, 2007, <https://doi.org/10.1007/978-3-540-31010-5>.)
//!
//! The law is about concurrency: N is virtual users, or by Little's law
//! (throughput × mean response time) the requests in flight. It may be given
//! offered rates, and then describes the shape of the curve, no more.
//!
//! # How it is fitted
//!
//! By least squares of throughput: Gauss–Newton, begun from the linear fit of
//! `N ÷ X = (1 + σ (N − 1) + κ N (N − 1)) ÷ λ`. No coefficient may be negative;
//! one that would be is zero, and the others are fitted without it.
//!
//! # When it says something
//!
//! The fit must deserve it, see [`fit`]. The bar of R² ≥ [`MIN_R2`] is where it
//! is because the law fits what it does not explain: so many servers in
//! parallel, each as fast as if it were alone, then full, follow a line that
//! breaks off. The best law through eight or 32 of them (load doubling up to
//! 128) has R² = 0.92 and 0.977. Nothing contends there; they are busy.

use serde::{Deserialize, Serialize};

use crate::student;

/// The fewest loads: three coefficients, and as many degrees of freedom left to
/// tell how sure they are.
pub const MIN_LOADS: usize = 6;

/// The least ratio of the highest load to the lowest.
pub const MIN_SPAN: f64 = 4.0;

/// The least R² of a fit that says something: see the module's words.
pub const MIN_R2: f64 = 0.98;

/// A coefficient is there when noise alone is less likely than this to show it.
pub const SIGNIFICANCE: f64 = 0.05;

/// Nothing limits a target that at the highest load still does this ratio of
/// what a straight line would.
pub const UNLIMITED: f64 = 0.9;

/// One measurement.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Requests in flight, users, or whatever the load is counted in; above zero.
    pub load: f64,
    /// Requests per second; above zero.
    pub throughput: f64,
}

/// What keeps throughput from growing with load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// Nothing, as far as it was loaded.
    Nothing,
    /// Work that waits its turn.
    Contention,
    /// Work that has to agree with other work.
    Coherency,
}

/// The load beyond which throughput falls.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Peak {
    /// In units of the load.
    pub load: f64,
    /// Requests per second.
    pub throughput: f64,
    /// Whether as high a load was measured; else it is extrapolated.
    pub measured: bool,
}

/// The law of a target.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "verdict")]
pub enum Usl {
    /// It follows the law.
    Fits {
        /// Throughput of one unit of load alone, per second.
        lambda: f64,
        /// Contention, a ratio.
        sigma: f64,
        /// Coherency, a ratio.
        kappa: f64,
        /// Of λ, σ and κ, in their units; zero for one that is held at zero.
        standard_errors: [f64; 3],
        /// The share of the variance of throughput that the law explains, 0–1.
        r2: f64,
        /// What limits it.
        limit: Limit,
        /// Where throughput is largest; nothing when coherency is not there, or
        /// nothing limits it.
        peak: Option<Peak>,
        /// λ ÷ σ, the throughput that contention alone would allow, per second;
        /// nothing when contention is not there, or nothing limits it.
        ceiling: Option<f64>,
    },
    /// It does not, or there is too little to tell.
    None {
        /// Why, as a sentence.
        reason: String,
    },
}

/// Fits the law to measurements; those that are not above zero are left out.
///
/// It answers *none* with fewer than [`MIN_LOADS`] different loads, with loads
/// that span less than [`MIN_SPAN`], and below [`MIN_R2`]. A limit is named when
/// throughput falls short of a straight line by more than [`UNLIMITED`] allows,
/// and its coefficient is significant: coherency when its peak was measured or
/// it costs more than contention at the highest load, contention otherwise.
#[must_use]
pub fn fit(points: &[Point]) -> Usl {
    let positive = |value: f64| value.is_finite() && value > 0.0;
    let points: Vec<Point> =
        points.iter().copied().filter(|point| positive(point.load) && positive(point.throughput)).collect();
    let mut loads: Vec<f64> = points.iter().map(|point| point.load).collect();
    loads.sort_by(f64::total_cmp);
    loads.dedup();
    let none = |reason: String| Usl::None { reason };
    if loads.len() < MIN_LOADS {
        return none(format!("{} loads are too few; it takes {MIN_LOADS}", loads.len()));
    }
    let (lowest, highest) = (loads[0], loads[loads.len() - 1]);
    if highest < lowest * MIN_SPAN {
        return none(format!(
            "loads from {lowest:.1} to {highest:.1} are too close; it takes {MIN_SPAN}-fold"
        ));
    }
    // The best that is possible has no negative coefficient; where both would
    // be negative, the straight line is left.
    let whole = Fit::of(&points, &[0, 1, 2]).filter(Fit::is_possible);
    let parts = || [&[0, 1][..], &[0, 2], &[0]].into_iter().filter_map(|free| Fit::of(&points, free));
    let best =
        whole.or_else(|| parts().filter(Fit::is_possible).min_by(|a, b| a.squares.total_cmp(&b.squares)));
    let Some(best) = best else { return none("no law passes near the measurements".to_owned()) };
    let mean = points.iter().map(|point| point.throughput).sum::<f64>() / points.len() as f64;
    let variance: f64 = points.iter().map(|point| (point.throughput - mean).powi(2)).sum();
    if variance == 0.0 {
        return none("throughput did not change with load".to_owned());
    }
    let r2 = 1.0 - best.squares / variance;
    if r2 < MIN_R2 {
        return none(format!("the law explains too little of the curve (R² {r2:.3}; it takes {MIN_R2})"));
    }
    best.judge(r2, highest)
}

/// Coefficients λ, σ and κ, and how well they fit.
struct Fit {
    values: [f64; 3],
    errors: [f64; 3],
    /// The sum of squared residuals of throughput.
    squares: f64,
    /// Degrees of freedom.
    freedom: u32,
}

impl Fit {
    /// Fits the coefficients that are free; the others are zero.
    fn of(points: &[Point], free: &[usize]) -> Option<Self> {
        let mut values = linear(points, free)?;
        let mut squares = squares(points, &values);
        // It converges in about ten rounds, or does not.
        for _ in 0..100 {
            let (matrix, gradient) = normal(points, free, |point| {
                (slopes(&values, point.load), point.throughput - throughput(&values, point.load), 1.0)
            });
            let step = solve(matrix, gradient)?;
            // Half the step as long as it leads uphill.
            let mut share = 1.0;
            let better = loop {
                let mut next = values;
                free.iter().zip(&step).for_each(|(index, by)| next[*index] += share * by);
                let sum = self::squares(points, &next);
                if sum < squares {
                    break Some((next, sum));
                }
                share /= 2.0;
                if share < 1e-6 {
                    break None;
                }
            };
            let Some((next, sum)) = better else { break };
            let gained = squares - sum;
            (values, squares) = (next, sum);
            if gained <= squares * 1e-14 {
                break;
            }
        }
        let freedom = points.len().checked_sub(free.len()).filter(|freedom| *freedom > 0)?;
        let (matrix, _) = normal(points, free, |point| (slopes(&values, point.load), 0.0, 1.0));
        let mut errors = [0.0; 3];
        for (row, index) in free.iter().enumerate() {
            // A column of the inverse matrix, whose diagonal is wanted.
            let mut unit = [0.0; 3];
            unit[row] = 1.0;
            errors[*index] = (solve(matrix, unit)?[row] * squares / freedom as f64).sqrt();
        }
        Some(Self { values, errors, squares, freedom: u32::try_from(freedom).unwrap_or(u32::MAX) })
    }

    fn is_possible(&self) -> bool {
        let [lambda, sigma, kappa] = self.values;
        lambda > 0.0 && sigma >= 0.0 && kappa >= 0.0 && self.errors.iter().all(|error| error.is_finite())
    }

    /// Whether a coefficient is above zero for more than noise.
    fn is_there(&self, index: usize) -> bool {
        let (value, error) = (self.values[index], self.errors[index]);
        value > 0.0 && student::two_sided(value / error, self.freedom) / 2.0 < SIGNIFICANCE
    }

    fn judge(&self, r2: f64, highest: f64) -> Usl {
        let [lambda, sigma, kappa] = self.values;
        let (contends, agrees) = (self.is_there(1), self.is_there(2));
        let peak = (agrees && sigma < 1.0).then(|| {
            let load = ((1.0 - sigma) / kappa).sqrt();
            Peak { load, throughput: throughput(&self.values, load), measured: load <= highest }
        });
        // What the two cost at the highest load.
        let (contention, coherency) = (sigma * (highest - 1.0), kappa * highest * (highest - 1.0));
        let limit = if 1.0 / (1.0 + contention + coherency) >= UNLIMITED {
            Limit::Nothing
        } else if agrees && (coherency >= contention || peak.is_some_and(|peak| peak.measured)) {
            Limit::Coherency
        } else if contends {
            Limit::Contention
        } else {
            Limit::Nothing
        };
        Usl::Fits {
            lambda,
            sigma,
            kappa,
            standard_errors: self.errors,
            r2,
            limit,
            peak: peak.filter(|_| limit != Limit::Nothing),
            ceiling: (contends && limit != Limit::Nothing).then(|| lambda / sigma),
        }
    }
}

/// The law.
fn throughput([lambda, sigma, kappa]: &[f64; 3], load: f64) -> f64 {
    lambda * load / (1.0 + sigma * (load - 1.0) + kappa * load * (load - 1.0))
}

/// How throughput changes with each coefficient.
fn slopes(values: &[f64; 3], load: f64) -> [f64; 3] {
    let [lambda, ..] = *values;
    let per_lambda = throughput(values, load) / lambda;
    // ∂X/∂σ = −λ N (N − 1) ÷ (…)², and X ÷ λ is N ÷ (…).
    let per_sigma = -lambda * per_lambda * per_lambda * (load - 1.0) / load;
    [per_lambda, per_sigma, per_sigma * load]
}

fn squares(points: &[Point], values: &[f64; 3]) -> f64 {
    let residual = |point: &Point| point.throughput - throughput(values, point.load);
    let sum: f64 = points.iter().map(|point| residual(point).powi(2)).sum();
    if sum.is_nan() { f64::INFINITY } else { sum }
}

/// The fit of N ÷ X, which is linear in 1 ÷ λ, σ ÷ λ and κ ÷ λ. Each is weighed
/// as its error is when that of throughput is the same everywhere.
fn linear(points: &[Point], free: &[usize]) -> Option<[f64; 3]> {
    let (matrix, vector) = normal(points, free, |Point { load, throughput }| {
        let weight = (throughput * throughput / load).powi(2);
        ([1.0, load - 1.0, load * (load - 1.0)], load / throughput, weight)
    });
    let solved = solve(matrix, vector)?;
    let mut values = [0.0; 3];
    free.iter().zip(&solved).for_each(|(index, value)| values[*index] = *value);
    let [inverse, sigma, kappa] = values;
    (inverse > 0.0).then(|| [1.0 / inverse, sigma / inverse, kappa / inverse])
}

/// A system of up to three linear equations; rows that are not used are those
/// of the identity.
type Matrix = [[f64; 3]; 3];

/// The normal equations of a least-squares fit of the free columns, of rows
/// that are (columns, value, weight).
fn normal(
    points: &[Point],
    free: &[usize],
    row: impl Fn(&Point) -> ([f64; 3], f64, f64),
) -> (Matrix, [f64; 3]) {
    let mut matrix = [[0.0; 3]; 3];
    let mut vector = [0.0; 3];
    (free.len()..3).for_each(|unused| matrix[unused][unused] = 1.0);
    for (columns, value, weight) in points.iter().map(row) {
        for (i, column) in free.iter().enumerate() {
            vector[i] += weight * columns[*column] * value;
            for (j, other) in free.iter().enumerate() {
                matrix[i][j] += weight * columns[*column] * columns[*other];
            }
        }
    }
    (matrix, vector)
}

/// Solves a symmetric, positive system by elimination; nothing when it is
/// singular.
fn solve(mut matrix: Matrix, mut vector: [f64; 3]) -> Option<[f64; 3]> {
    // Unknowns differ by many orders of magnitude: first scale the diagonal to 1.
    let scale = [0, 1, 2].map(|i| matrix[i][i].sqrt());
    if !scale.iter().all(|scale| scale.is_finite() && *scale > 0.0) {
        return None;
    }
    for i in 0..3 {
        vector[i] /= scale[i];
        for j in 0..3 {
            matrix[i][j] /= scale[i] * scale[j];
        }
    }
    for i in 0..3 {
        // Without pivots, which such a matrix does not need.
        if matrix[i][i] < 1e-13 {
            return None;
        }
        for row in 0..3 {
            if row != i {
                let factor = matrix[row][i] / matrix[i][i];
                let pivot = matrix[i];
                for (cell, above) in matrix[row].iter_mut().zip(pivot) {
                    *cell -= factor * above;
                }
                vector[row] -= factor * vector[i];
            }
        }
    }
    Some([0, 1, 2].map(|i| vector[i] / matrix[i][i] / scale[i]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn points(measured: &[(f64, f64)]) -> Vec<Point> {
        measured.iter().map(|&(load, throughput)| Point { load, throughput }).collect()
    }

    fn near(got: f64, expected: f64, digits: f64) {
        assert!((got - expected).abs() <= digits, "{got} is not {expected}");
    }

    fn reason(usl: Usl) -> String {
        match usl {
            Usl::None { reason } => reason,
            Usl::Fits { .. } => panic!("{usl:?}"),
        }
    }

    /// SPEC SDM91 on a multiprocessor of Sun's.
    const SDM91: [(f64, f64); 7] = [
        (1.0, 64.9),
        (18.0, 995.9),
        (36.0, 1652.4),
        (72.0, 1853.2),
        (108.0, 1828.9),
        (144.0, 1775.0),
        (216.0, 1702.2),
    ];

    /// A ray tracer on up to 64 processors, of Gunther's book.
    const RAY_TRACER: [(f64, f64); 11] = [
        (1.0, 20.0),
        (4.0, 78.0),
        (8.0, 130.0),
        (12.0, 170.0),
        (16.0, 190.0),
        (20.0, 200.0),
        (24.0, 210.0),
        (28.0, 230.0),
        (32.0, 260.0),
        (48.0, 280.0),
        (64.0, 310.0),
    ];

    #[test]
    fn the_law_of_sdm91_is_the_published_one() {
        // R package usl 3.0, README: alpha 0.0277285 ± 0.0091217, beta 0.0001044
        // ± 0.0000199, gamma 89.9952330 ± 14.2134894; peak throughput 1884 at
        // load 96.52, Amdahl's asymptote 3246.
        // <https://cran.r-project.org/web/packages/usl/readme/README.html>
        let usl = fit(&points(&SDM91));
        let Usl::Fits { lambda, sigma, kappa, standard_errors, r2, limit, peak, ceiling } = usl else {
            panic!("{usl:?}")
        };
        near(lambda, 89.995_233, 1e-4);
        near(sigma, 0.027_728_5, 1e-7);
        near(kappa, 0.000_104_4, 5e-8);
        near(standard_errors[0], 14.213_489, 1e-4);
        near(standard_errors[1], 0.009_121_7, 1e-7);
        near(standard_errors[2], 0.000_019_9, 5e-8);
        near(r2, 0.9896, 5e-5);
        assert_eq!(limit, Limit::Coherency);
        let peak = peak.unwrap();
        near(peak.load, 96.52, 0.005);
        near(peak.throughput, 1884.0, 0.5);
        assert!(peak.measured);
        near(ceiling.unwrap(), 3246.0, 0.5);
    }

    #[test]
    fn the_law_of_the_ray_tracer_has_no_coherency() {
        // R package usl, with coefficients bounded at zero (method "nlxb"):
        // gamma 21.848843, alpha 0.057771, beta 0.
        let usl = fit(&points(&RAY_TRACER));
        let Usl::Fits { lambda, sigma, kappa, r2, limit, peak, .. } = usl else { panic!("{usl:?}") };
        near(lambda, 21.848_843, 1e-5);
        near(sigma, 0.057_771, 5e-7);
        assert!(kappa.abs() < f64::EPSILON);
        near(r2, 0.9907, 5e-5);
        assert_eq!((limit, peak), (Limit::Contention, None));
    }

    #[test]
    fn a_straight_line_is_limited_by_nothing() {
        let usl = fit(&points(&[1.0, 2.0, 4.0, 8.0, 16.0, 32.0].map(|load| (load, load * 50.0))));
        let Usl::Fits { lambda, limit, peak, ceiling, .. } = usl else { panic!("{usl:?}") };
        near(lambda, 50.0, 1e-9);
        assert_eq!((limit, peak, ceiling), (Limit::Nothing, None, None));
    }

    #[test]
    fn busy_servers_are_not_taken_for_contention() {
        for servers in [1.0_f64, 2.0, 8.0, 32.0] {
            let measured = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0]
                .map(|load: f64| (load, 200.0 * load.min(servers)));
            let reason = reason(fit(&points(&measured)));
            assert!(
                reason.contains("explains too little") || reason.contains("did not change"),
                "{servers}: {reason}"
            );
        }
    }

    #[test]
    fn too_little_is_no_law() {
        assert_eq!(reason(fit(&points(&SDM91[..5]))), "5 loads are too few; it takes 6");
        // The same load again is no new one, and what is no measurement is none.
        let mut again = points(&SDM91[..5]);
        again.push(Point { load: 18.0, throughput: 990.0 });
        again.push(Point { load: 0.0, throughput: 990.0 });
        again.push(Point { load: 20.0, throughput: f64::NAN });
        assert_eq!(reason(fit(&again)), "5 loads are too few; it takes 6");
        let close = [10.0, 11.0, 12.0, 13.0, 14.0, 15.0].map(|load| (load, load));
        assert!(reason(fit(&points(&close))).contains("too close"));
    }

    #[test]
    fn its_json_says_what_it_is() {
        let usl = fit(&points(&SDM91));
        let json = serde_json::to_value(&usl).unwrap();
        assert_eq!((&json["verdict"], &json["limit"]), (&"fits".into(), &"coherency".into()));
        for name in ["lambda", "sigma", "kappa", "r2", "ceiling"] {
            assert!(json[name].is_f64(), "{name}");
        }
        assert_eq!(serde_json::from_value::<Usl>(json).unwrap(), usl);
    }

    proptest! {
        /// The coefficients that made a curve are found again, whatever they are.
        #[test]
        fn an_exact_curve_gives_its_coefficients(
            lambda in 0.1_f64..10_000.0,
            sigma in 0.0_f64..0.5,
            kappa in prop_oneof![Just(0.0), 1e-6_f64..0.01],
        ) {
            let loads = [1.0, 3.0, 10.0, 30.0, 60.0, 100.0, 200.0, 400.0];
            let values = [lambda, sigma, kappa];
            let measured = loads.map(|load| (load, throughput(&values, load)));
            let usl = fit(&points(&measured));
            let Usl::Fits { lambda: l, sigma: s, kappa: k, r2, .. } = usl else {
                return Err(TestCaseError::fail(format!("{usl:?}")));
            };
            prop_assert!((l / lambda - 1.0).abs() < 1e-6, "{} {}", l, lambda);
            prop_assert!((s - sigma).abs() < 1e-6 && (k - kappa).abs() < 1e-8);
            prop_assert!(r2 > 0.999_999);
        }

        /// Whatever was measured, what it says is finite and possible.
        #[test]
        fn what_it_says_is_possible(
            measured in prop::collection::vec((0.0_f64..1e6, 0.0_f64..1e6), 0..20),
        ) {
            if let Usl::Fits { lambda, sigma, kappa, standard_errors, r2, peak, .. } = fit(&points(&measured)) {
                prop_assert!(lambda > 0.0 && sigma >= 0.0 && kappa >= 0.0);
                prop_assert!(standard_errors.iter().all(|error| error.is_finite()));
                prop_assert!((MIN_R2..=1.0).contains(&r2));
                prop_assert!(peak.is_none_or(|peak| peak.load > 0.0 && peak.throughput.is_finite()));
            }
        }
    }
}
