//! Straight lines through what a resource did: against load, and against time.
//!
//! This file has the line, by ordinary least squares. [`bottleneck`] asks
//! which of several resources is full first as the achieved rate rises, and
//! [`leak`] whether one keeps growing though the load does not.

mod bottleneck;
mod leak;
mod resource;

use serde::{Deserialize, Serialize};

pub use bottleneck::{Binding, Bottleneck, bottleneck};
pub use leak::{BLOCKS, Leak, LeakVerdict, Sample, leak};
pub use resource::{
    Effect, FLAT, KEPT_UP, MIN_R2, MIN_SAMPLES, MIN_SPAN, MIN_STEPS, NEAR, Observation, Resource, Trend,
};

use crate::student;

/// A line through points (x, y), with how sure its slope is.
///
/// ```text
/// slope     = Σ (x − x̄)(y − ȳ) ÷ Σ (x − x̄)²        intercept = ȳ − slope × x̄
/// R²        = 1 − Σ residual² ÷ Σ (y − ȳ)²
/// standard error of the slope = √(Σ residual² ÷ (n − 2) ÷ Σ (x − x̄)²)
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// How much y changes for one unit of x.
    pub slope: f64,
    /// y where x is zero.
    pub intercept: f64,
    /// The share of the variance of y that the line explains, 0–1; 0 when y does
    /// not vary, and nothing is there to explain.
    pub r2: f64,
    /// Of the slope.
    pub standard_error: f64,
    /// How many points it is through, at least three.
    pub points: u32,
}

impl Line {
    /// The line with the least squared distance to the points along y.
    ///
    /// Nothing with fewer than three points, when all x are the same, or when a
    /// coordinate is no finite number.
    #[must_use]
    pub fn fit(points: &[(f64, f64)]) -> Option<Self> {
        let count = points.len() as f64;
        let finite = points.iter().all(|(x, y)| x.is_finite() && y.is_finite());
        if points.len() < 3 || !finite {
            return None;
        }
        let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
        let (mean_x, mean_y) = (mean(|point| point.0), mean(|point| point.1));
        let sum = |of: &dyn Fn(f64, f64) -> f64| -> f64 {
            points.iter().map(|(x, y)| of(x - mean_x, y - mean_y)).sum()
        };
        let (xx, xy, yy) = (sum(&|x, _| x * x), sum(&|x, y| x * y), sum(&|_, y| y * y));
        let slope = xy / xx;
        if !slope.is_finite() {
            return None;
        }
        let residuals = sum(&|x, y| (y - slope * x).powi(2));
        let r2 = if yy > 0.0 { (1.0 - residuals / yy).clamp(0.0, 1.0) } else { 0.0 };
        Some(Self {
            slope,
            intercept: mean_y - slope * mean_x,
            r2,
            standard_error: (residuals / (count - 2.0) / xx).sqrt(),
            points: u32::try_from(points.len()).unwrap_or(u32::MAX),
        })
    }

    /// y at an x.
    #[must_use]
    pub fn at(&self, x: f64) -> f64 {
        self.intercept + self.slope * x
    }

    /// The x at which a rising line reaches a level; nothing when it does not
    /// rise, or was there already where x is zero.
    #[must_use]
    pub fn reaches(&self, level: f64) -> Option<f64> {
        let x = (level - self.intercept) / self.slope;
        (self.slope > 0.0 && x.is_finite() && x >= 0.0).then_some(x)
    }

    /// How likely noise alone is to give a slope so far from zero, 0–1.
    #[must_use]
    pub fn p_value(&self) -> f64 {
        student::two_sided(self.slope / self.standard_error, self.points.saturating_sub(2))
    }

    /// Half the width of the interval that holds the slope with a confidence of
    /// 95 %.
    #[must_use]
    pub fn margin(&self) -> f64 {
        student::critical(0.05, self.points.saturating_sub(2)) * self.standard_error
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn near(got: f64, expected: f64, within: f64) {
        assert!((got - expected).abs() <= within, "{got} is not {expected}");
    }

    #[test]
    fn anscombes_first_line_is_the_published_one() {
        // F. J. Anscombe, "Graphs in statistical analysis", 1973: y = 3.00 + 0.500 x,
        // R² 0.667, standard error of the slope 0.118, t = 4.24, p = 0.00217.
        let line = Line::fit(&[
            (10.0, 8.04),
            (8.0, 6.95),
            (13.0, 7.58),
            (9.0, 8.81),
            (11.0, 8.33),
            (14.0, 9.96),
            (6.0, 7.24),
            (4.0, 4.26),
            (12.0, 10.84),
            (7.0, 4.82),
            (5.0, 5.68),
        ])
        .unwrap();
        near(line.intercept, 3.0001, 5e-5);
        near(line.slope, 0.5001, 5e-5);
        near(line.r2, 0.6665, 5e-5);
        near(line.standard_error, 0.1179, 5e-5);
        near(line.p_value(), 0.00217, 5e-6);
        // With nine degrees of freedom t is 2.262.
        near(line.margin(), 2.262 * 0.1179, 5e-4);
    }

    #[test]
    fn a_line_by_hand() {
        // x̄ = 2, ȳ = 3; Σ(x−x̄)² = 2, Σ(x−x̄)(y−ȳ) = 3: slope 1.5, intercept 0.
        // Residuals 0.5 − 1 + 0.5: their squares are 1.5; Σ(y−ȳ)² = 6.
        let line = Line::fit(&[(1.0, 2.0), (2.0, 2.0), (3.0, 5.0)]).unwrap();
        near(line.slope, 1.5, 1e-12);
        near(line.intercept, 0.0, 1e-12);
        near(line.r2, 0.75, 1e-12);
        near(line.standard_error, (1.5_f64 / 2.0).sqrt(), 1e-12);
        near(line.reaches(30.0).unwrap(), 20.0, 1e-12);
        near(line.at(4.0), 6.0, 1e-12);
    }

    #[test]
    fn what_is_no_line_is_none() {
        assert_eq!(Line::fit(&[(1.0, 2.0), (2.0, 3.0)]), None);
        assert_eq!(Line::fit(&[(1.0, 2.0), (1.0, 3.0), (1.0, 4.0)]), None);
        assert_eq!(Line::fit(&[(1.0, 2.0), (2.0, f64::NAN), (3.0, 4.0)]), None);
        let level = Line::fit(&[(1.0, 2.0), (2.0, 2.0), (3.0, 2.0)]).unwrap();
        assert_eq!(level.reaches(5.0), None);
        near(level.p_value(), 1.0, 0.0);
        near(level.r2, 0.0, 0.0);
        let falling = Line::fit(&[(1.0, 3.0), (2.0, 2.0), (3.0, 1.0)]).unwrap();
        assert_eq!(falling.reaches(0.0), None);
        near(falling.p_value(), 0.0, 0.0);
    }

    proptest! {
        /// A line that was drawn is found again, and noise only loosens it.
        #[test]
        fn a_drawn_line_is_found(
            slope in -1000.0_f64..1000.0,
            intercept in -1000.0_f64..1000.0,
            xs in prop::collection::btree_set(-1000_i32..1000, 3..40),
        ) {
            let points: Vec<(f64, f64)> =
                xs.iter().map(|x| (f64::from(*x), intercept + slope * f64::from(*x))).collect();
            let line = Line::fit(&points).unwrap();
            prop_assert!((line.slope - slope).abs() < 1e-6);
            prop_assert!((line.intercept - intercept).abs() < 1e-3);
            prop_assert!(line.standard_error < 1e-6);
            prop_assert!((0.0..=1.0).contains(&line.r2));
        }

        /// No other line is nearer.
        #[test]
        fn no_other_line_is_nearer(
            points in prop::collection::vec((-100.0_f64..100.0, -100.0_f64..100.0), 3..30),
            by in -1.0_f64..1.0,
            tilt in -1.0_f64..1.0,
        ) {
            if let Some(line) = Line::fit(&points) {
                let squares = |line: &Line| -> f64 {
                    points.iter().map(|(x, y)| (y - line.at(*x)).powi(2)).sum()
                };
                let other =
                    Line { slope: line.slope + tilt, intercept: line.intercept + by, ..line };
                prop_assert!(squares(&line) <= squares(&other) + 1e-6);
            }
        }
    }
}
