//! Row statistics in f64, written from the formulas on plain vectors: what every implementation is judged by.

use aent::rows::{RowStatistic, Statistic, TokenSet};

/// The value of one statistic of one row.
pub(crate) fn value(logits: &[f64], action: usize, asked: &RowStatistic) -> f64 {
    let has_softmax = logits.iter().all(|x| !x.is_nan() && *x < f64::INFINITY)
        && logits.iter().any(|x| *x > f64::NEG_INFINITY);
    if !has_softmax {
        return f64::NAN;
    }
    let highest = logits.iter().fold(f64::NEG_INFINITY, |a, b| a.max(*b)) / asked.temperature;
    // Relative to the highest, which every set holds: far from zero nothing would be left of a difference.
    let relative: Vec<f64> = logits.iter().map(|x| x / asked.temperature - highest).collect();
    let members = members(logits, asked.set, asked.temperature);
    let log_sum = log_sum_exp(&relative, &members);
    let log_sum_of_all = log_sum_exp(&relative, &vec![true; logits.len()]);
    let expectation = |f: &dyn Fn(f64) -> f64| -> f64 {
        let inside = relative.iter().zip(&members).filter(|(u, member)| **member && **u > f64::NEG_INFINITY);
        inside.map(|(u, _)| (u - log_sum).exp() * f(*u)).sum()
    };
    match asked.statistic {
        Statistic::ActionLogit => logits[action] / asked.temperature,
        Statistic::LogProb => relative[action] - log_sum_of_all,
        Statistic::LogProbWithin => relative[action] - log_sum,
        Statistic::LogSumExp => highest + log_sum,
        Statistic::Mean => highest + expectation(&|u| u),
        Statistic::SecondMoment => expectation(&|u| (u + highest).powi(2)),
        Statistic::Variance => {
            let mean = expectation(&|u| u);
            expectation(&|u| (u - mean).powi(2))
        }
        Statistic::Entropy => expectation(&|u| log_sum - u),
        Statistic::Size => members.iter().filter(|member| **member).count() as f64,
        Statistic::Mass => (log_sum - log_sum_of_all).exp(),
        Statistic::ReverseKl | Statistic::ForwardKl | Statistic::JensenShannon(_) => {
            panic!("{asked:?} needs a reference: see `divergence`")
        }
        Statistic::Taught(_) => panic!("{asked:?} needs a teacher"),
    }
}

/// How far the softmax of a row is from that of a reference, at a temperature.
pub(crate) fn divergence(logits: &[f64], reference: &[f64], temperature: f64, statistic: Statistic) -> f64 {
    let (policy, reference) = (log_softmax(logits, temperature), log_softmax(reference, temperature));
    match statistic {
        Statistic::ReverseKl => kl(&policy, &reference),
        Statistic::ForwardKl => kl(&reference, &policy),
        Statistic::JensenShannon(beta) => {
            let mixture: Vec<f64> = policy
                .iter()
                .zip(&reference)
                .map(|(policy, reference)| (beta * reference.exp() + (1.0 - beta) * policy.exp()).ln())
                .collect();
            beta * kl(&reference, &mixture) + (1.0 - beta) * kl(&policy, &mixture)
        }
        other => panic!("{other:?} needs no reference: see `value`"),
    }
}

/// `Σ exp(a) (a - b)`, where a token of probability zero adds nothing.
fn kl(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).filter(|(a, _)| a.exp() > 0.0).map(|(a, b)| a.exp() * (a - b)).sum()
}

fn log_softmax(logits: &[f64], temperature: f64) -> Vec<f64> {
    let highest = logits.iter().fold(f64::NEG_INFINITY, |a, b| a.max(*b));
    let relative: Vec<f64> = logits.iter().map(|x| (x - highest) / temperature).collect();
    let log_sum = log_sum_exp(&relative, &vec![true; logits.len()]);
    relative.iter().map(|u| u - log_sum).collect()
}

/// Which tokens are in the set: by sorting, from the definition.
pub(crate) fn members(logits: &[f64], set: TokenSet, temperature: f64) -> Vec<bool> {
    let count = logits.len();
    let mut best_first: Vec<usize> = (0..count).collect();
    // A stable sort leaves equal logits in the order of their ids.
    best_first.sort_by(|a, b| logits[*b].total_cmp(&logits[*a]));
    let highest = logits[best_first[0]];
    let kept = match set {
        TokenSet::All => count,
        TokenSet::Drop(p) => count - (p * count as f64).floor() as usize,
        TokenSet::TopK(k) => count.min(k as usize),
        TokenSet::TopP(q) => {
            let weights: Vec<f64> =
                best_first.iter().map(|id| ((logits[*id] - highest) / temperature).exp()).collect();
            let whole: f64 = weights.iter().sum();
            let possible = logits.iter().filter(|x| **x > f64::NEG_INFINITY).count();
            let mut mass = 0.0;
            let reached = weights.iter().position(|weight| {
                mass += weight;
                mass >= q * whole
            });
            if q < 1.0 { reached.map_or(possible, |last| last + 1) } else { possible }
        }
        TokenSet::Given(field) => panic!("`{field}` is in no batch here"),
        TokenSet::MinP(r) => logits.iter().filter(|x| **x >= highest + temperature * r.ln()).count(),
    };
    let mut members = vec![false; count];
    best_first[..kept].iter().for_each(|id| members[*id] = true);
    members
}

/// Of numbers that are at most zero, one of them being zero.
fn log_sum_exp(relative: &[f64], members: &[bool]) -> f64 {
    relative.iter().zip(members).filter(|(_, member)| **member).map(|(u, _)| u.exp()).sum::<f64>().ln()
}
