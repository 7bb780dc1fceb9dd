//! Requests for row statistics: which statistic of a row of logits, over which tokens, at which temperature.

mod name;

pub use name::FieldName;

use serde::{Deserialize, Serialize};
use std::fmt;

/// Which tokens of a row count. The policy is renormalised on the set, the gradient treats the set as constant, and
/// ties at its border go to the lower token id.
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
    /// The tokens that the batch lists in this field, `[B, T, K]` int64 padded with -1. A row without any has the value 0
    /// and the gradient 0.
    Given(FieldName),
}

/// A divergence between two policies, of which the first is the one that is trained.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Divergence {
    /// `Σ π (log π - log ρ)`
    Reverse,
    /// `Σ ρ (log ρ - log π)`
    Forward,
    /// `β Σ ρ (log ρ - log m) + (1-β) Σ π (log π - log m)` with `m = β ρ + (1-β) π`; `0 < β < 1`.
    JensenShannon(f64),
}

/// A teacher whose log-probabilities are known on the tokens of a [`TokenSet::Given`] only.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Taught {
    /// What is computed.
    pub divergence: Divergence,
    /// The field with the teacher's log-probabilities, `[B, T, K]` beside the ids. What stands at a pad is not read.
    pub of: FieldName,
    /// What becomes of the tokens that are not listed.
    pub rest: Rest,
}

/// What a divergence on some tokens makes of the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rest {
    /// They are one more token, with the rest of each side's probability, `-expm1(min(log Σ p, -1e-7))`.
    Bucket,
    /// Both sides are renormalised on the listed tokens.
    Renormalise,
    /// They are left out of the sum, and neither side is renormalised.
    Ignore,
}

/// A statistic of a row over a set. With `z = logits / temperature` and `p` the softmax of `z` on the set, and with `π`
/// and `ρ` the softmax of `z` and of `reference logits / temperature` over all tokens:
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Statistic {
    /// `z[action]`, for any set.
    ActionLogit,
    /// `z[action] - logsumexp(z)` over all tokens, for any set; nats.
    LogProb,
    /// `log Σ exp z`; nats.
    LogSumExp,
    /// `Σ p z`.
    Mean,
    /// `Σ p z²`.
    SecondMoment,
    /// `Σ p (log p - Σ p log p)²`, the variance of `z` and of `log p`; squared nats.
    Variance,
    /// `-Σ p log p = logsumexp - mean`; nats.
    Entropy,
    /// The number of tokens in the set; no gradient.
    Size,
    /// The probability of the set under the softmax over all tokens.
    Mass,
    /// `KL(π‖ρ) = Σ π (log π - log ρ)`, for any set; nats. No gradient flows to the reference, here and below.
    ReverseKl,
    /// `KL(ρ‖π) = Σ ρ (log ρ - log π)`, for any set; nats.
    ForwardKl,
    /// `β KL(ρ‖m) + (1-β) KL(π‖m)` with `m = β ρ + (1-β) π`, for any set; `0 < β < 1`; nats.
    JensenShannon(f64),
    /// `z[action] - logsumexp(z)` over the set; nats. Above 0 where the action is not in the set.
    LogProbWithin,
    /// A divergence from a teacher on the tokens of a [`TokenSet::Given`]; nats.
    Taught(Taught),
}

/// A statistic over a set at a temperature.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RowStatistic {
    /// The tokens that count.
    pub set: TokenSet,
    /// The divisor of the logits; positive.
    pub temperature: f64,
    /// The batch field with one more divisor for each row, `[B, T]`; the temperature of a row is the product of both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub divisor: Option<FieldName>,
    /// What it compares the policy with, if not the field `ref_logits`: a field that the file declares as `logits`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<FieldName>,
    /// The statistic.
    pub statistic: Statistic,
}

/// What statistics compare the policy with, each once, in order: declared fields, or `None` for the field `ref_logits`.
pub fn references(statistics: &[RowStatistic]) -> Vec<Option<FieldName>> {
    let mut found = Vec::new();
    for asked in statistics.iter().filter(|asked| asked.statistic.needs_reference()) {
        if !found.contains(&asked.reference) {
            found.push(asked.reference);
        }
    }
    found
}

impl Statistic {
    /// Every statistic of a policy alone, in the order of their definition.
    pub const OF_POLICY: [Statistic; 10] = [
        Statistic::ActionLogit,
        Statistic::LogProb,
        Statistic::LogSumExp,
        Statistic::Mean,
        Statistic::SecondMoment,
        Statistic::Variance,
        Statistic::Entropy,
        Statistic::Size,
        Statistic::Mass,
        Statistic::LogProbWithin,
    ];

    /// Its name in `aent explain` and `aent terms`.
    pub fn name(self) -> &'static str {
        match self {
            Statistic::ActionLogit => "action_logit",
            Statistic::LogProb => "log_prob",
            Statistic::LogSumExp => "log_sum_exp",
            Statistic::Mean => "mean_logit",
            Statistic::SecondMoment => "second_moment",
            Statistic::Variance => "variance",
            Statistic::Entropy => "entropy",
            Statistic::Size => "size",
            Statistic::Mass => "mass",
            Statistic::ReverseKl => "reverse_kl",
            Statistic::ForwardKl => "forward_kl",
            Statistic::LogProbWithin => "log_prob_within",
            Statistic::JensenShannon(_) => "jensen_shannon",
            Statistic::Taught(of) => match of.divergence {
                Divergence::Reverse => "reverse_kl",
                Divergence::Forward => "forward_kl",
                Divergence::JensenShannon(_) => "jensen_shannon",
            },
        }
    }

    /// Whether it compares the policy with the reference.
    pub fn needs_reference(self) -> bool {
        matches!(self, Self::ReverseKl | Self::ForwardKl | Self::JensenShannon(_))
    }

    /// Whether it depends on the action.
    pub fn needs_action(self) -> bool {
        matches!(self, Self::ActionLogit | Self::LogProb | Self::LogProbWithin)
    }

    /// Whether it covers all tokens for any set.
    fn is_of_all(self) -> bool {
        matches!(self, Self::ActionLogit | Self::LogProb) || self.needs_reference()
    }
}

impl RowStatistic {
    /// A statistic at one temperature; of a divergence, from the field `ref_logits`.
    pub const fn new(set: TokenSet, temperature: f64, statistic: Statistic) -> Self {
        Self { set, temperature, divisor: None, reference: None, statistic }
    }

    /// The field that lists the tokens it covers, if the batch does.
    pub fn listed(&self) -> Option<FieldName> {
        match self.set {
            TokenSet::Given(name) if !self.statistic.is_of_all() => Some(name),
            _ => None,
        }
    }

    /// The teacher that it compares the policy with, if it does.
    pub fn taught(&self) -> Option<Taught> {
        match self.statistic {
            Statistic::Taught(taught) => Some(taught),
            _ => None,
        }
    }

    /// `0.7`, or the field that has the temperature of each row.
    pub(crate) fn temperature_in_words(&self) -> String {
        match self.divisor {
            None => self.temperature.to_string(),
            Some(field) if self.temperature.to_bits() == 1f64.to_bits() => format!("`{field}`"),
            Some(field) => format!("{} · `{field}`", self.temperature),
        }
    }

    fn reference_in_words(&self) -> String {
        self.reference.map_or_else(|| "the reference".to_owned(), |field| format!("`{field}`"))
    }

    /// The set that it covers, in a row of `vocabulary` tokens.
    pub(crate) fn effective_set(&self, vocabulary: i64) -> TokenSet {
        if self.statistic.is_of_all() { TokenSet::All } else { self.set.simplified(vocabulary) }
    }
}

impl TokenSet {
    /// The same set of a row of `vocabulary` tokens, without `Drop`.
    pub(crate) fn simplified(self, vocabulary: i64) -> Self {
        let top = |k| if k >= vocabulary { Self::All } else { Self::TopK(k) };
        match self {
            Self::Drop(p) => top(vocabulary - (p * vocabulary as f64).floor() as i64),
            Self::TopK(k) => top(k),
            other => other,
        }
    }
}

impl fmt::Display for RowStatistic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, temperature) = (self.statistic.name(), self.temperature_in_words());
        match self.statistic {
            Statistic::JensenShannon(beta) => {
                write!(f, "{name}({beta}) to {} at temperature {temperature}", self.reference_in_words())
            }
            Statistic::Taught(Taught { divergence, of, rest }) => {
                let beta = match divergence {
                    Divergence::JensenShannon(beta) => format!("({beta})"),
                    Divergence::Reverse | Divergence::Forward => String::new(),
                };
                let rest = match rest {
                    Rest::Bucket => "with a bucket for the rest",
                    Rest::Renormalise => "both renormalised",
                    Rest::Ignore => "without the rest",
                };
                let set = self.set;
                write!(f, "{name}{beta} to `{of}` over {set}, {rest}, at temperature {temperature}")
            }
            _ if self.reference.is_some() => {
                write!(f, "{name} to {} at temperature {temperature}", self.reference_in_words())
            }
            _ => write!(f, "{name} over {} at temperature {temperature}", self.set),
        }
    }
}

impl fmt::Display for TokenSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TokenSet::All => f.write_str("all tokens"),
            TokenSet::Drop(p) => write!(f, "drop = {p}"),
            TokenSet::TopK(k) => write!(f, "top_k = {k}"),
            TokenSet::TopP(q) => write!(f, "top_p = {q}"),
            TokenSet::MinP(r) => write!(f, "min_p = {r}"),
            TokenSet::Given(name) => write!(f, "the tokens in `{name}`"),
        }
    }
}
