//! The formulas in plain Rust, one number at a time.

use aent::testing::Case;

/// Which tokens of a row count.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Set {
    All,
    Drop(f64),
    TopK(usize),
    TopP(f64),
    MinP(f64),
}

/// `z[action] - log Σ exp z`
pub(crate) fn log_prob(z: &[f64], action: usize) -> f64 {
    z[action] - log_sum_exp(z)
}

/// The entropy of the softmax over a set.
pub(crate) fn entropy(z: &[f64], set: Set) -> f64 {
    let kept: Vec<f64> = kept(z, set).into_iter().map(|token| z[token]).collect();
    let normalizer = log_sum_exp(&kept);
    let surprise = |z: &f64| {
        let log_p = z - normalizer;
        // A banned token has probability 0 and adds nothing.
        if log_p == f64::NEG_INFINITY { 0.0 } else { -log_p.exp() * log_p }
    };
    kept.iter().map(surprise).sum()
}

/// The gradient of that entropy: `-p (log p + H)` in the set.
pub(crate) fn entropy_gradient(z: &[f64], set: Set) -> Vec<f64> {
    let tokens = kept(z, set);
    let of_kept: Vec<f64> = tokens.iter().map(|token| z[*token]).collect();
    let (normalizer, h) = (log_sum_exp(&of_kept), entropy(z, set));
    let mut gradient = vec![0.0; z.len()];
    for token in tokens {
        let log_p = z[token] - normalizer;
        if log_p > f64::NEG_INFINITY {
            gradient[token] = -log_p.exp() * (log_p + h);
        }
    }
    gradient
}

/// The tokens of a set: highest logit first, ties toward the lower id.
fn kept(z: &[f64], set: Set) -> Vec<usize> {
    let mut order: Vec<usize> = (0..z.len()).collect();
    order.sort_by(|a, b| z[*b].total_cmp(&z[*a]).then(a.cmp(b)));
    let normalizer = log_sum_exp(z);
    let p = |token: usize| (z[token] - normalizer).exp();
    let count = match set {
        Set::All => z.len(),
        Set::Drop(share) => z.len() - (share * z.len() as f64).floor() as usize,
        Set::TopK(k) => k.min(z.len()),
        Set::TopP(mass) => {
            let mut sum = 0.0;
            let before = order.iter().take_while(|token| {
                let short = sum < mass;
                sum += p(**token);
                short
            });
            before.count()
        }
        Set::MinP(ratio) => order.iter().filter(|token| p(**token) >= ratio * p(order[0])).count(),
    };
    order.truncate(count);
    order
}

fn log_sum_exp(z: &[f64]) -> f64 {
    let top = z.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    top + z.iter().map(|z| (z - top).exp()).sum::<f64>().ln()
}

/// The clip range and caps of the policy surrogate.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clip {
    pub(crate) low: f64,
    pub(crate) high: f64,
    pub(crate) dual: Option<f64>,
    pub(crate) delta: Option<f64>,
    pub(crate) guard: f64,
}

/// Loss, ratio, clipped, capped.
pub(crate) fn clip_ppo(clip: Clip, logp: f64, old: f64, advantage: f64) -> [f64; 4] {
    let ratio = (logp - old).max(-clip.guard).min(clip.guard).exp();
    let free = -advantage * clip.delta.map_or(ratio, |delta| ratio.min(delta));
    let clipped = -advantage * ratio.max(1.0 - clip.low).min(1.0 + clip.high);
    let larger = free.max(clipped);
    let cap = clip.dual.filter(|_| advantage < 0.0).map(|dual| -dual * advantage);
    let value = cap.map_or(larger, |cap| larger.min(cap));
    [value, ratio, f64::from(clipped > free), f64::from(cap.is_some_and(|cap| larger > cap))]
}

/// The estimators of the divergence, unclamped, of `e = reference - log_prob`.
pub(crate) fn kl(estimator: &str, e: f64) -> f64 {
    match estimator {
        "k1" => -e,
        "k2" => e * e / 2.0,
        "k3" => e.exp() - e - 1.0,
        "abs" => e.abs(),
        _ => unreachable!("the tests name no other"),
    }
}

/// Loss and clipped.
pub(crate) fn clip_value(clip: f64, value: f64, old: f64, target: f64) -> [f64; 2] {
    let near = value.max(old - clip).min(old + clip);
    let (free, clipped) = ((value - target).powi(2), (near - target).powi(2));
    [0.5 * free.max(clipped), f64::from(clipped > free)]
}

/// A token value per token, zero where the mask is 0.
pub(crate) fn per_token(case: &Case, value: impl Fn(usize) -> f64) -> Vec<f64> {
    (0..case.mask.len()).map(|at| if case.mask[at] { value(at) } else { 0.0 }).collect()
}

/// The logits of a token.
pub(crate) fn row(case: &Case, at: usize) -> &[f64] {
    &case.logits[at * case.vocabulary..][..case.vocabulary]
}

/// The log-probability of a token's action.
pub(crate) fn logp(case: &Case, at: usize) -> f64 {
    log_prob(row(case, at), case.actions[at] as usize)
}

/// The sequences with a token that counts.
pub(crate) fn valid(case: &Case) -> Vec<usize> {
    (0..case.sequences).filter(|sequence| case.is_valid(*sequence)).collect()
}

/// Sum and number of a token value's numbers that count in a sequence.
pub(crate) fn sum_and_count(case: &Case, x: &[f64], sequence: usize) -> (f64, usize) {
    let tokens = (sequence * case.width..(sequence + 1) * case.width).filter(|at| case.mask[*at]);
    tokens.fold((0.0, 0), |(sum, count), at| (sum + x[at], count + 1))
}

/// Mean and unbiased deviation over the valid sequences of each sequence's group; zeros at invalid ones.
pub(crate) fn group_mean_and_std(case: &Case, x: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let valid = valid(case);
    let of = |sequence: usize| {
        if !valid.contains(&sequence) {
            return (0.0, 0.0);
        }
        let members = valid.iter().filter(|other| case.group[**other] == case.group[sequence]);
        let members: Vec<f64> = members.map(|other| x[*other]).collect();
        let count = members.len() as f64;
        let mean = members.iter().sum::<f64>() / count;
        let squares = members.iter().map(|x| (x - mean).powi(2)).sum::<f64>();
        (mean, if members.len() > 1 { (squares / (count - 1.0)).sqrt() } else { 0.0 })
    };
    (0..case.sequences).map(of).unzip()
}
