//! What can be asked of a row: a moment of its softmax over a set of tokens at a temperature.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::KernelError;

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

/// What is asked of a row, over a set. With `z = logits / temperature` and `p` the softmax of `z` on the set, and with
/// `π` and `ρ` the softmax of `z` and of `reference logits / temperature` over all tokens:
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
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
    /// `KL(π‖ρ) = Σ π (log π - log ρ)`, whatever the set; nats. No gradient flows to the reference, here and below.
    ReverseKl,
    /// `KL(ρ‖π) = Σ ρ (log ρ - log π)`, whatever the set; nats.
    ForwardKl,
    /// `β KL(ρ‖m) + (1-β) KL(π‖m)` with `m = β ρ + (1-β) π`, whatever the set; `0 < β < 1`; nats.
    JensenShannon(f64),
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

impl Moment {
    /// Its name in `aent explain` and `aent terms`.
    pub fn name(self) -> &'static str {
        match self {
            Moment::ActionLogit => "action_logit",
            Moment::LogProb => "log_prob",
            Moment::LogSumExp => "log_sum_exp",
            Moment::Mean => "mean_logit",
            Moment::SecondMoment => "second_moment",
            Moment::Entropy => "entropy",
            Moment::Size => "size",
            Moment::Mass => "mass",
            Moment::ReverseKl => "reverse_kl",
            Moment::ForwardKl => "forward_kl",
            Moment::JensenShannon(_) => "jensen_shannon",
        }
    }

    /// Whether it compares the policy with the reference.
    pub fn needs_reference(self) -> bool {
        matches!(self, Self::ReverseKl | Self::ForwardKl | Self::JensenShannon(_))
    }

    /// Whether it depends on the action.
    pub fn needs_action(self) -> bool {
        matches!(self, Self::ActionLogit | Self::LogProb)
    }

    /// Whether it is over all tokens whatever the set.
    fn is_of_all(self) -> bool {
        self.needs_action() || self.needs_reference()
    }
}

impl RowStatistic {
    /// The set that it is over, in a row of `vocabulary` tokens.
    pub(super) fn effective_set(&self, vocabulary: i64) -> TokenSet {
        if self.moment.is_of_all() { TokenSet::All } else { self.set.simplified(vocabulary) }
    }

    pub(super) fn check(&self) -> Result<(), KernelError> {
        let refuse = |what, expected, found: &dyn fmt::Display| {
            Err(KernelError::Request { what, expected, found: found.to_string() })
        };
        if !(self.temperature > 0.0 && self.temperature.is_finite()) {
            return refuse("temperature", "a positive number", &self.temperature);
        }
        match self.moment {
            Moment::JensenShannon(beta) if !(beta > 0.0 && beta < 1.0) => {
                return refuse("beta", "a weight in 0 .. 1, both ends excluded", &beta);
            }
            _ => {}
        }
        match self.set {
            TokenSet::Drop(p) if !(0.0..1.0).contains(&p) => {
                refuse("drop", "a share in 0 .. 1, 1 excluded", &p)
            }
            TokenSet::TopK(k) if k < 1 => refuse("top_k", "at least 1", &k),
            TokenSet::TopP(q) if !(q > 0.0 && q <= 1.0) => {
                refuse("top_p", "a share in 0 .. 1, 0 excluded", &q)
            }
            TokenSet::MinP(r) if !(r > 0.0 && r <= 1.0) => {
                refuse("min_p", "a ratio in 0 .. 1, 0 excluded", &r)
            }
            _ => Ok(()),
        }
    }
}

impl TokenSet {
    /// The same set of a row of `vocabulary` tokens as `All`, `TopK`, `TopP` or `MinP`.
    pub(super) fn simplified(self, vocabulary: i64) -> Self {
        let top = |k| if k >= vocabulary { Self::All } else { Self::TopK(k) };
        match self {
            Self::Drop(p) => top(vocabulary - (p * vocabulary as f64).floor() as i64),
            Self::TopK(k) => top(k),
            other => other,
        }
    }
}
