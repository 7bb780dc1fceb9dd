//! Steps over ranks that are threads.

mod exact;
mod failing;
mod many;
mod shards;

use crate::{PPO, session};
use aent::plan::FirstPass;
use aent::testing::on_ranks;
use aent::{Batch, Error, Output, PartOutput};

const GROUPED: &str =
    "loss = token_mean((rewards - group_mean(rewards)) * log_prob)\nmetric h = token_mean(entropy())";
const RATIO_OF_MEANS: &str = "loss = token_mean(log_prob) / (token_mean(entropy()) + 1)";

/// One program for each road through a step.
const ROADS: [(&str, FirstPass); 7] = [
    (PPO, FirstPass::Counts),
    (
        "controller c = linear(from = 1, to = 0, steps = 9)
        controller band = band(signal = token_mean(entropy()), target = 0.1 .. 0.2, step = 1e-2)
        loss = c * token_mean(clip_ppo()) - band * seq_mean_token_sum_norm(entropy())
        metric share = token_mean(log_prob < -1)
        metric fixed = c",
        FirstPass::Counts,
    ),
    (
        "loss = token_mean(clip_ppo())
        metric median = quantile(entropy(), 0.5)
        metric quotient = token_sum(entropy()) / token_sum(log_prob)
        metric spread = batch_mean(group_std(rewards))",
        FirstPass::Counts,
    ),
    (GROUPED, FirstPass::Fields),
    (
        "let high = entropy() >= quantile(entropy(), 0.8)
        loss = token_mean(log_prob * (rewards - group_mean(rewards)) / (group_std(rewards) + 0.1))
        metric high = token_mean(where(high, log_prob, 0))
        metric few = token_mean(top_fraction(rewards + log_prob, 20%))",
        FirstPass::Fields,
    ),
    (
        "loss = token_mean(where(top_fraction(entropy(), 30%), log_prob * advantages, values))
        metric covered = token_mean(top_fraction(entropy(), 30%))",
        FirstPass::Model,
    ),
    (
        "let h = token_mean(entropy())
        controller band = band(signal = h, target = 0.1 .. 0.2, step = 1e-2)
        loss = band * h + h * token_mean(log_prob) * token_mean(values ^ 2)",
        FirstPass::Model,
    ),
];

/// One step of two ranks, each with its batch, in one reading.
fn over_two<T: Send>(
    sessions: [&str; 2],
    batches: impl Fn(usize) -> Batch + Sync,
    then: impl Fn(Result<(PartOutput, Output), Error>) -> T + Sync,
) -> Vec<T> {
    on_ranks(2, |group| {
        let rank = group.rank();
        then(session(sessions[rank]).forward_over(&batches(rank), group))
    })
}
