//! The expected results of kernels on any device, computed from the formulas in f64, one token after the other.

use crate::passes::Pass;
use crate::rows::TokenSet;

/// The expected results of a row for one pass.
pub(crate) struct Found {
    /// The ten sums.
    pub(crate) sums: [f64; 10],
    /// The sums of the terms' absolute values, which scale the tolerances.
    pub(crate) sizes: [f64; 10],
    pub(crate) members: Vec<bool>,
    /// KL(pi || m).
    pub(crate) mixed: f64,
    u: Vec<f64>,
    v: Vec<f64>,
    least: f64,
}

/// Whether a row has a softmax.
pub(crate) fn is_usable(x: &[f64]) -> bool {
    let highest = highest(x);
    highest.is_finite() && !x.iter().any(|x| x.is_nan())
}

pub(crate) fn highest(x: &[f64]) -> f64 {
    x.iter().copied().fold(f64::NEG_INFINITY, f64::max)
}

/// `least` is the exponent below which a power is zero.
pub(crate) fn find(x: &[f64], y: Option<&[f64]>, pass: &Pass, second: bool, least: f64) -> Found {
    let exp = |u: f64| exp(u, least);
    let top = highest(x);
    let u: Vec<f64> = x.iter().map(|x| (x - top) / pass.temperature).collect();
    let members = members(x, &u.iter().map(|u| exp(*u)).collect::<Vec<_>>(), pass);
    let mut found = Found { sums: [0.0; 10], sizes: [0.0; 10], members, mixed: 0.0, u, v: Vec::new(), least };
    for id in 0..x.len() {
        let (u, is_member) = (found.u[id], found.members[id]);
        for power in 0..3 {
            let column = power as usize;
            let term = if exp(u) > 0.0 { u.powi(power) * exp(u) } else { 0.0 };
            if power < 2 || second {
                found.add(column, term);
                if is_member {
                    found.add(column + 3, term);
                }
            }
        }
    }
    let Some(y) = y else { return found };
    let their_top = highest(y);
    found.v = y.iter().map(|y| (y - their_top) / pass.temperature).collect();
    let (sum, their_sum) = (found.sums[0], found.v.iter().map(|v| exp(*v)).sum::<f64>());
    found.add(6, their_sum);
    let share = pass.beta.unwrap_or(0.0);
    for id in 0..x.len() {
        let (u, v) = (found.u[id], found.v[id]);
        if exp(u) > 0.0 {
            found.add(7, exp(u) * (u - v));
        }
        if exp(v) > 0.0 {
            found.add(8, exp(v) * (v - u));
        }
        // The rounding error from subtracting the highest logit.
        let rounding = if u.is_finite() && v.is_finite() { 0.1 * (u.abs() + v.abs()) } else { 0.0 };
        found.sizes[7] += exp(u) * rounding;
        found.sizes[8] += exp(v) * rounding;
        let (pi, rho) = (exp(u) / sum, exp(v) / their_sum);
        let m = share * rho + (1.0 - share) * pi;
        let log = |p: f64| if p > 0.0 { p * (p / m).ln() } else { 0.0 };
        if pass.beta.is_some() {
            found.add(9, share * log(rho) + (1.0 - share) * log(pi));
            found.mixed += log(pi);
        }
    }
    found
}

impl Found {
    fn add(&mut self, column: usize, term: f64) {
        self.sums[column] += term;
        self.sizes[column] += term.abs();
    }

    /// The gradient of this pass for cotangents of its ten sums, and the sizes of its terms.
    pub(crate) fn gradient(&self, pass: &Pass, second: bool, c: &[f64]) -> Vec<(f64, f64)> {
        let share = pass.beta.unwrap_or(0.0);
        (0..self.u.len())
            .map(|j| {
                let exp = |u: f64| exp(u, self.least);
                let (u, e) = (self.u[j], exp(self.u[j]));
                let mut terms = Vec::new();
                for (from, counts) in [(0, true), (3, self.members[j] && pass.set.is_some())] {
                    if counts && e > 0.0 {
                        let c2 = if second { c[from + 2] } else { 0.0 };
                        terms.extend(
                            [c[from], c[from + 1], c[from + 1] * u, 2.0 * c2 * u, c2 * u * u].map(|c| c * e),
                        );
                    }
                }
                if let Some(v) = self.v.get(j) {
                    let f = exp(*v);
                    if e > 0.0 && c[7] != 0.0 {
                        terms.extend([c[7] * e, c[7] * e * (u - v)]);
                    }
                    terms.push(-c[8] * f);
                    let (pi, rho) = (e / self.sums[0], f / self.sums[6]);
                    let m = share * rho + (1.0 - share) * pi;
                    if pass.beta.is_some() && pi > 0.0 {
                        let factor = c[9] * (1.0 - share) * pi;
                        terms.extend([factor * (pi / m).ln(), -factor * self.mixed]);
                    }
                }
                let sum = |f: fn(f64) -> f64| terms.iter().copied().map(f).sum::<f64>() / pass.temperature;
                // The rounding error of an exponent grows with its size.
                let away = u.abs().min(100.0) + self.v.get(j).map_or(0.0, |v| v.abs().min(100.0));
                (sum(|term| term), sum(f64::abs) * (1.0 + 0.1 * away))
            })
            .collect()
    }
}

fn exp(u: f64, least: f64) -> f64 {
    if u < least { 0.0 } else { u.exp() }
}

fn members(x: &[f64], powers: &[f64], pass: &Pass) -> Vec<bool> {
    let mut order: Vec<usize> = (0..x.len()).collect();
    // Stable, so that among equal logits the lower id comes first.
    order.sort_by(|a, b| x[*b].partial_cmp(&x[*a]).unwrap());
    let mut members = vec![false; x.len()];
    let kept = match pass.set {
        None | Some(TokenSet::All | TokenSet::Drop(_) | TokenSet::Given(_)) => 0,
        Some(TokenSet::TopK(k)) => k as usize,
        Some(TokenSet::TopP(q)) if q >= 1.0 => x.iter().filter(|x| **x > f64::NEG_INFINITY).count(),
        Some(TokenSet::TopP(q)) => {
            let wanted = q * powers.iter().sum::<f64>();
            let mut mass = 0.0;
            let reached = order.iter().position(|id| {
                mass += powers[*id];
                assert!(
                    (mass - wanted).abs() > 1e-6 * wanted,
                    "the test's own rounding decides: take another q"
                );
                mass >= wanted
            });
            reached.unwrap() + 1
        }
        Some(TokenSet::MinP(r)) => {
            let from = highest(x) + pass.temperature * r.ln();
            x.iter().filter(|x| **x >= from).count()
        }
    };
    for id in &order[..kept] {
        members[*id] = true;
    }
    members
}
