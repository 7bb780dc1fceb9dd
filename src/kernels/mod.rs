//! Everything of vocabulary size: the softmax moments of a row of logits over a set of tokens.

use serde::{Deserialize, Serialize};

/// Which tokens of a row count. The policy is renormalised on the set, the set is a constant for the
/// gradient, and ties at its border are broken toward the lower token id.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenSet {
    /// Every token.
    All,
    /// All but the `floor(p·V)` tokens with the lowest logits; `0 <= p < 1`.
    Drop(f64),
    /// The `k` tokens with the highest logits (all of them where `k >= V`); `k >= 1`.
    TopK(i64),
    /// The smallest set of highest-probability tokens whose mass reaches `q`; `0 < q <= 1`.
    TopP(f64),
    /// Tokens whose probability is at least `r` times the highest; `0 < r <= 1`.
    MinP(f64),
}

/// What is asked of a row, over a set. With `z = logits / temperature` and `p` the softmax of `z` on the set:
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Moment {
    /// `z[action]`, whatever the set.
    ActionLogit,
    /// `z[action] - logsumexp(z)` over all tokens, whatever the set; nats.
    LogProb,
    /// `log Σ exp z`; nats.
    LogSumExp,
    /// `Σ p z`.
    Mean,
    /// `Σ p z²`.
    SecondMoment,
    /// `-Σ p log p = logsumexp - mean`; nats.
    Entropy,
    /// How many tokens the set has; no gradient.
    Size,
    /// The share of the whole softmax that lies in the set.
    Mass,
}

/// One row statistic: a moment over a set at a temperature.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RowStatistic {
    /// The tokens that count.
    pub set: TokenSet,
    /// Logits are divided by it first; positive.
    pub temperature: f64,
    /// What is computed.
    pub moment: Moment,
}
