//! The range of an expression's values, as a closed interval; the checker computes with it.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::{Add, Mul, Neg, Sub};

/// A closed interval of the extended reals, `lo <= hi`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "[Option<f64>; 2]", into = "[Option<f64>; 2]")]
pub struct Interval {
    /// The least value.
    pub lo: f64,
    /// The greatest value.
    pub hi: f64,
}

impl Interval {
    /// Every number.
    pub const ALL: Interval = Interval { lo: f64::NEG_INFINITY, hi: f64::INFINITY };
    /// `0 ..`
    pub const NON_NEGATIVE: Interval = Interval { lo: 0.0, hi: f64::INFINITY };
    /// `.. 0`
    pub const NON_POSITIVE: Interval = Interval { lo: f64::NEG_INFINITY, hi: 0.0 };
    /// `0 .. 1`
    pub const UNIT: Interval = Interval { lo: 0.0, hi: 1.0 };

    /// From the smaller to the larger of two numbers, in either order.
    pub fn new(a: f64, b: f64) -> Self {
        Self { lo: a.min(b), hi: a.max(b) }
    }

    /// One number.
    pub fn point(value: f64) -> Self {
        Self { lo: value, hi: value }
    }

    /// Whether a number is in it.
    pub fn contains(self, value: f64) -> bool {
        self.lo <= value && value <= self.hi
    }

    /// Whether the two share a number.
    pub fn meets(self, other: Interval) -> bool {
        self.lo <= other.hi && other.lo <= self.hi
    }

    /// The smallest interval that covers both.
    #[must_use]
    pub fn join(self, other: Interval) -> Self {
        Self { lo: self.lo.min(other.lo), hi: self.hi.max(other.hi) }
    }

    /// The image under a non-decreasing function.
    #[must_use]
    pub fn map(self, f: impl Fn(f64) -> f64) -> Self {
        Self::guarded(f(self.lo), f(self.hi))
    }

    /// The image under the smaller of two numbers.
    #[must_use]
    pub fn min(self, other: Interval) -> Self {
        Self { lo: self.lo.min(other.lo), hi: self.hi.min(other.hi) }
    }

    /// The image under the larger of two numbers.
    #[must_use]
    pub fn max(self, other: Interval) -> Self {
        Self { lo: self.lo.max(other.lo), hi: self.hi.max(other.hi) }
    }

    /// The image under the absolute value.
    #[must_use]
    pub fn abs(self) -> Self {
        if self.lo >= 0.0 {
            self
        } else if self.hi <= 0.0 {
            -self
        } else {
            Self { lo: 0.0, hi: self.hi.max(-self.lo) }
        }
    }

    /// The image under the reciprocal; everything if zero is inside.
    #[must_use]
    pub fn recip(self) -> Self {
        if self.lo > 0.0 || self.hi < 0.0 {
            Self::guarded(self.hi.recip(), self.lo.recip())
        } else {
            Self::ALL
        }
    }

    /// Widens an undefined end (`inf - inf`, `0 · inf`) to infinity.
    fn guarded(lo: f64, hi: f64) -> Self {
        Self {
            lo: if lo.is_nan() { f64::NEG_INFINITY } else { lo },
            hi: if hi.is_nan() { f64::INFINITY } else { hi },
        }
    }
}

impl Add for Interval {
    type Output = Interval;

    fn add(self, other: Interval) -> Interval {
        Interval::guarded(self.lo + other.lo, self.hi + other.hi)
    }
}

impl Neg for Interval {
    type Output = Interval;

    fn neg(self) -> Interval {
        Interval { lo: -self.hi, hi: -self.lo }
    }
}

impl Sub for Interval {
    type Output = Interval;

    fn sub(self, other: Interval) -> Interval {
        self + -other
    }
}

impl Mul for Interval {
    type Output = Interval;

    fn mul(self, other: Interval) -> Interval {
        // Zero times infinity is zero here: the ends are limits of finite values.
        let product = |a: f64, b: f64| if a == 0.0 || b == 0.0 { 0.0 } else { a * b };
        let corners = [
            product(self.lo, other.lo),
            product(self.lo, other.hi),
            product(self.hi, other.lo),
            product(self.hi, other.hi),
        ];
        Interval {
            lo: corners.iter().copied().fold(f64::INFINITY, f64::min),
            hi: corners.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        }
    }
}

impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} .. {}", self.lo, self.hi)
    }
}

// JSON has no infinities: an open end is `null`.
impl From<Interval> for [Option<f64>; 2] {
    fn from(interval: Interval) -> Self {
        [interval.lo, interval.hi].map(|end| end.is_finite().then_some(end))
    }
}

impl From<[Option<f64>; 2]> for Interval {
    fn from([lo, hi]: [Option<f64>; 2]) -> Self {
        Self { lo: lo.unwrap_or(f64::NEG_INFINITY), hi: hi.unwrap_or(f64::INFINITY) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_take_the_extreme_corners() {
        assert_eq!(Interval::new(-2.0, 3.0) * Interval::new(-1.0, 4.0), Interval::new(-8.0, 12.0));
        assert_eq!(Interval::NON_NEGATIVE * Interval::point(-1.0), Interval::NON_POSITIVE);
    }

    #[test]
    fn undefined_ends_are_open() {
        assert_eq!(Interval::ALL - Interval::ALL, Interval::ALL);
        assert_eq!(Interval::new(-1.0, 1.0).recip(), Interval::ALL);
        assert_eq!(Interval::new(2.0, 4.0).recip(), Interval::new(0.25, 0.5));
    }
}
