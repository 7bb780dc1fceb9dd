//! Everything of vocabulary size: the softmax moments of a row of logits over a set of tokens.

mod autograd;
mod cpu;
mod cuda_library;
mod error;
mod reference;
mod rows;
mod sets;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use tch::Tensor;

pub use cuda_library::load_cuda;
pub use error::KernelError;

/// The statistics of each row of `logits`, in the order of the request, each of shape `[B, T]`.
///
/// `logits` are `[B, T, V]` of kind f32, f64, bf16 or f16, `actions` `[B, T]` int64 and `mask` `[B, T]` bool.
/// Results are f32 (f64 where the logits are) and attached to the graph of the logits; [`Moment::Size`] is not.
///
/// Where the mask is false the result is zero and so is the gradient, whatever the logits and the action hold.
/// A logit of `-inf` bans a token: it has probability zero and contributes nothing. A row that holds NaN or
/// `+inf`, or nothing but `-inf`, has no softmax: all its statistics are NaN.
pub fn row_statistics(
    logits: &Tensor,
    actions: &Tensor,
    mask: &Tensor,
    request: &[RowStatistic],
    kernels: Kernels,
) -> Result<Vec<Tensor>, KernelError> {
    let rows = rows::Rows::checked(logits, actions, mask)?;
    for statistic in request {
        statistic.check()?;
    }
    if request.is_empty() {
        return Ok(Vec::new());
    }
    match kernels {
        Kernels::Auto if cpu::supports(logits) => cpu::row_statistics(&rows, request),
        Kernels::Auto | Kernels::Reference => reference::row_statistics(&rows, request),
    }
}

/// Which implementation computes row statistics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kernels {
    /// The fastest that the device and the kind of the logits allow.
    #[default]
    Auto,
    /// Plain torch operations: slower, on any device, and what the others are judged by.
    Reference,
}

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

impl RowStatistic {
    fn check(&self) -> Result<(), KernelError> {
        let refuse = |what, expected, found: &dyn fmt::Display| {
            Err(KernelError::Request { what, expected, found: found.to_string() })
        };
        if !(self.temperature > 0.0 && self.temperature.is_finite()) {
            return refuse("temperature", "a positive number", &self.temperature);
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

impl fmt::Display for Kernels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Reference => "reference",
        })
    }
}

impl FromStr for Kernels {
    type Err = KernelError;

    fn from_str(name: &str) -> Result<Self, KernelError> {
        match name {
            "auto" => Ok(Self::Auto),
            "reference" => Ok(Self::Reference),
            _ => Err(KernelError::Request {
                what: "kernels",
                expected: "`auto` or `reference`",
                found: format!("`{name}`"),
            }),
        }
    }
}
