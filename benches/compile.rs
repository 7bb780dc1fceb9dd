//! What it costs to go from a text to a plan: parse, check, plan, of a file of forty lines.

use aent::plan::Plan;
use aent::span::SourceId;
use criterion::{Criterion, criterion_group, criterion_main};
use std::hint::black_box;

/// Forty lines with every kind of statement.
const SPEC: &str = r#"# A group-relative surrogate with clamped entropy, a divergence and a critic.
param low   = 0.2   in 0 .. 1
param high  = 0.28  in 0 .. 1
param drop  = 30%   in 0 .. 1
param kappa = 1e-2  in 0 .. 1

input quality: seq
input weight: token

set temperature = 1.0

fn normalized(x, floor = 1e-6) = (x - group_mean(x)) / (group_std(x) + floor)
fn capped(ratio, cap = 2) = min(ratio, cap)

let advantage = normalized(rewards + 0.1 * quality)
let log_ratio = log_prob - old_log_prob
let ratio     = exp(log_ratio)
let surrogate = max(-advantage * ratio, -advantage * clamp(ratio, 1 - low, 1 + high))
let weighted  = surrogate * detach(capped(exp(old_log_prob - rollout_log_prob)))
let policy    = clip_ppo(low = low, high = high, dual = 3)
let entropy   = clamped_entropy(drop = drop)
let distance  = kl(estimator = "k3")
let critic    = clip_value(clip = 0.5)
let uncertain = top_fraction(entropy, 20%)

controller beta = band(
    signal = token_mean(entropy),
    target = 0.05 .. 0.23,
    step   = 1e-3,
    bounds = 1e-5 .. 3e-3,
    init   = 2e-4,
    warmup = 29,
)

loss = token_mean(where(uncertain, weighted, 0.5 * policy * weight))
    - beta * token_mean(entropy) + kappa * token_mean(distance) + 0.5 * seq_mean_token_mean(critic)

metric clip_fraction = token_mean(policy.clipped)
metric entropy_p90   = quantile(entropy, 90%)
metric divergence    = token_mean(distance)
"#;

fn compile(criterion: &mut Criterion) {
    assert_eq!(SPEC.lines().count(), 40);
    let mut group = criterion.benchmark_group("compile");
    let (file, _) = aent::syntax::parse(SourceId(0), SPEC);
    group.bench_function("parse", |bencher| {
        bencher.iter(|| aent::syntax::parse(SourceId(0), black_box(SPEC)))
    });
    group.bench_function("print", |bencher| bencher.iter(|| aent::syntax::print(black_box(&file), SPEC)));
    group.bench_function("parse and check", |bencher| bencher.iter(|| aent::compile(black_box(SPEC))));
    let program = aent::compile(SPEC).unwrap_or_else(|failure| panic!("{failure}"));
    group.bench_function("plan", |bencher| bencher.iter(|| Plan::new(black_box(&program), false)));
    group.bench_function("parse, check and plan", |bencher| {
        bencher.iter(|| aent::compile(black_box(SPEC)).map(|program| Plan::new(&program, false)));
    });
    group.finish();
}

criterion_group!(benches, compile);
criterion_main!(benches);
