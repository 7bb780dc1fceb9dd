//! Refuses requests with arguments out of range.

use super::KernelError;
use crate::rows::{Divergence, RowStatistic, Statistic, Taught, TokenSet};
use std::fmt;

/// Requires a positive temperature, and a set and a weight within their ranges.
pub(super) fn check(asked: &RowStatistic) -> Result<(), KernelError> {
    let refuse = |what, expected, found: &dyn fmt::Display| {
        Err(KernelError::Request { what, expected, found: found.to_string() })
    };
    if !(asked.temperature > 0.0 && asked.temperature.is_finite()) {
        return refuse("temperature", "a positive number", &asked.temperature);
    }
    match asked.statistic {
        Statistic::JensenShannon(beta)
        | Statistic::Taught(Taught { divergence: Divergence::JensenShannon(beta), .. })
            if !(beta > 0.0 && beta < 1.0) =>
        {
            return refuse("beta", "a weight in 0 .. 1, both ends excluded", &beta);
        }
        Statistic::Taught(_) if asked.listed().is_none() => {
            return refuse("set", "the tokens that the teacher's log-probabilities are of", &asked.set);
        }
        _ => {}
    }
    match asked.set {
        TokenSet::Drop(p) if !(0.0..1.0).contains(&p) => refuse("drop", "a share in 0 .. 1, 1 excluded", &p),
        TokenSet::TopK(k) if k < 1 => refuse("top_k", "at least 1", &k),
        TokenSet::TopP(q) if !(q > 0.0 && q <= 1.0) => refuse("top_p", "a share in 0 .. 1, 0 excluded", &q),
        TokenSet::MinP(r) if !(r > 0.0 && r <= 1.0) => refuse("min_p", "a ratio in 0 .. 1, 0 excluded", &r),
        _ => Ok(()),
    }
}
