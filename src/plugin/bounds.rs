//! A range argument, `a .. b`, or one number for both ends.

use crate::interval::Interval;
use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// Two ends, both included. Written in a file as `a .. b`, or as one number if both ends are equal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bounds {
    /// The lower end.
    pub lo: f64,
    /// The upper end.
    pub hi: f64,
}

impl Bounds {
    /// From `lo` to `hi`.
    pub const fn new(lo: f64, hi: f64) -> Self {
        Self { lo, hi }
    }

    /// The nearest value inside.
    pub fn clip(self, value: f64) -> f64 {
        value.max(self.lo).min(self.hi)
    }

    /// The same as an interval.
    pub fn interval(self) -> Interval {
        Interval::new(self.lo, self.hi)
    }
}

impl Serialize for Bounds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        [self.lo, self.hi].serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Bounds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct BoundsVisitor;

        impl<'de> Visitor<'de> for BoundsVisitor {
            type Value = Bounds;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a range `a .. b` or one number")
            }

            fn visit_f64<E: Error>(self, value: f64) -> Result<Bounds, E> {
                Ok(Bounds::new(value, value))
            }

            fn visit_i64<E: Error>(self, value: i64) -> Result<Bounds, E> {
                self.visit_f64(value as f64)
            }

            fn visit_u64<E: Error>(self, value: u64) -> Result<Bounds, E> {
                self.visit_f64(value as f64)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut ends: A) -> Result<Bounds, A::Error> {
                match (ends.next_element()?, ends.next_element()?) {
                    (Some(lo), Some(hi)) => Ok(Bounds { lo, hi }),
                    _ => Err(A::Error::custom("a range has two ends")),
                }
            }
        }

        deserializer.deserialize_any(BoundsVisitor)
    }
}
