//! Student's t distribution: how far an estimate must lie from zero before
//! noise no longer explains it.
//!
//! For whole degrees of freedom ν the distribution is a finite sum (Abramowitz
//! and Stegun, *Handbook of Mathematical Functions*, 26.7.3 and 26.7.4). With
//! θ = atan(t ÷ √ν), the probability of lying within ±t is
//!
//! ```text
//! ν even   sin θ × (1 + ½ cos² θ + (1·3)/(2·4) cos⁴ θ + … up to cos^(ν−2) θ)
//! ν odd    2/π × (θ + sin θ × (cos θ + 2/3 cos³ θ + (2·4)/(3·5) cos⁵ θ + … up to cos^(ν−2) θ))
//! ```

/// Beyond so many degrees of freedom the quantiles no longer change by a
/// thousandth.
const MANY: u32 = 1000;

/// How likely noise alone is to lie as far from zero as `t` or farther, on
/// either side, 0–1, with so many degrees of freedom (at least one).
#[must_use]
pub fn two_sided(t: f64, freedom: u32) -> f64 {
    let freedom = freedom.clamp(1, MANY);
    let tangent = t.abs() / f64::from(freedom).sqrt();
    if !tangent.is_finite() {
        // As far away as can be; a NaN is no evidence at all.
        return if tangent.is_nan() { 1.0 } else { 0.0 };
    }
    // Amazon Linux 2023 has no `hypot` as new as this machine may link.
    let cosine = 1.0 / (1.0 + tangent * tangent).sqrt();
    let sine = tangent * cosine;
    let odd = !freedom.is_multiple_of(2);
    // The first term of the sum, and by what its power of the cosine begins.
    let mut term = if odd { cosine } else { 1.0 };
    let mut sum = 0.0;
    let mut power = u32::from(odd);
    while power + 2 <= freedom {
        sum += term;
        term *= cosine * cosine * f64::from(power + 1) / f64::from(power + 2);
        power += 2;
    }
    let within = if odd { (tangent.atan() + sine * sum) * std::f64::consts::FRAC_2_PI } else { sine * sum };
    (1.0 - within).clamp(0.0, 1.0)
}

/// The t that noise alone exceeds, on either side, with this probability (above
/// 0, below 1): the inverse of [`two_sided`].
#[must_use]
pub fn critical(probability: f64, freedom: u32) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    while two_sided(high, freedom) > probability && high < 1e12 {
        (low, high) = (high, high * 2.0);
    }
    for _ in 0..80 {
        let middle = f64::midpoint(low, high);
        if two_sided(middle, freedom) > probability { low = middle } else { high = middle }
    }
    high
}

/// The share of a normal distribution below `z` standard deviations from its
/// mean, within 7.5 × 10⁻⁸ (Abramowitz and Stegun, 26.2.17).
#[must_use]
pub fn normal(z: f64) -> f64 {
    let t = 1.0 / (1.0 + 0.231_641_9 * z.abs());
    let weights = [1.330_274_429, -1.821_255_978, 1.781_477_937, -0.356_563_782, 0.319_381_530];
    let sum = weights.into_iter().fold(0.0, |sum, weight| (sum + weight) * t);
    let beyond = (-z * z / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt() * sum;
    if z < 0.0 { beyond } else { 1.0 - beyond }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn critical_values_are_those_of_the_tables() {
        // NIST/SEMATECH e-Handbook of Statistical Methods, 1.3.6.7.2; the
        // probability here is that of both tails.
        for (probability, freedom, expected) in [
            (0.05, 1, 12.706),
            (0.05, 2, 4.303),
            (0.05, 3, 3.182),
            (0.05, 4, 2.776),
            (0.05, 8, 2.306),
            (0.05, 30, 2.042),
            (0.05, 100, 1.984),
            (0.02, 8, 2.896),
            (0.01, 5, 4.032),
            (0.10, 9, 1.833),
        ] {
            let got = critical(probability, freedom);
            assert!((got - expected).abs() < 0.0005, "{probability} {freedom}: {got}");
        }
    }

    #[test]
    fn with_one_and_two_degrees_the_formula_is_short() {
        // ν = 1 is Cauchy's: P(|t| > 1) = ½. ν = 2: t ÷ √(t² + 2) lie within.
        assert!((two_sided(1.0, 1) - 0.5).abs() < 1e-12);
        assert!((two_sided(3.0, 2) - (1.0 - 3.0 / 11.0_f64.sqrt())).abs() < 1e-12);
        // ν = 3: 2/π × (θ + sin θ cos θ), with t = √3: θ = 45°.
        let within = std::f64::consts::FRAC_2_PI * (std::f64::consts::FRAC_PI_4 + 0.5);
        assert!((two_sided(3.0_f64.sqrt(), 3) - (1.0 - within)).abs() < 1e-12);
    }

    #[test]
    fn what_is_no_number_is_no_evidence() {
        assert!((two_sided(f64::NAN, 5) - 1.0).abs() < f64::EPSILON);
        assert!(two_sided(f64::INFINITY, 5).abs() < f64::EPSILON);
    }

    #[test]
    fn the_normal_distribution_is_that_of_the_tables() {
        for (z, share) in [(0.0, 0.5), (1.0, 0.841_344_7), (1.959_964, 0.975), (-2.326_348, 0.01)] {
            assert!((normal(z) - share).abs() < 2e-7, "{z}: {}", normal(z));
        }
    }

    proptest! {
        #[test]
        fn critical_is_the_inverse(probability in 0.001_f64..0.999, freedom in 1_u32..200) {
            let t = critical(probability, freedom);
            prop_assert!((two_sided(t, freedom) - probability).abs() < 1e-9);
        }

        #[test]
        fn farther_away_is_less_likely(t in 0.0_f64..50.0, by in 0.01_f64..10.0, freedom in 1_u32..200) {
            prop_assert!(two_sided(t + by, freedom) <= two_sided(t, freedom) + 1e-12);
            // And more data leaves less room for noise.
            prop_assert!(two_sided(t, freedom + 1) <= two_sided(t, freedom) + 1e-12);
        }
    }
}
