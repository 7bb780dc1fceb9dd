//! Which tokens of a row are in a set, in plain operations of the host without a gradient.

use crate::tensor::{DType, Tensor};

use super::KernelError;
use super::divisor::Divisor;
use crate::rows::TokenSet;

/// The most elements to sort at once, so that sorting needs well under 1 GB.
const SORTED_AT_ONCE: i64 = 1 << 24;

/// Where a set ends in each row, as engines know it: tokens before the cut are in it from one logit up, the others from another.
/// `[M, 1]` each, of the kind of the logits; the cut is an int64.
pub(super) struct Border {
    pub(super) from: Tensor,
    pub(super) from_after: Tensor,
    pub(super) cut: Tensor,
}

/// Which of `logits`, `[M, V]` with `M >= 1`, are in the set: bool. The set must be simplified, and not all tokens.
pub(super) fn members(logits: &Tensor, set: TokenSet, temperature: &Divisor) -> Result<Tensor, KernelError> {
    Ok(border(logits, set, temperature)?.members(logits))
}

/// The border of the same set.
pub(super) fn border(logits: &Tensor, set: TokenSet, temperature: &Divisor) -> Result<Border, KernelError> {
    match set {
        TokenSet::All | TokenSet::Drop(_) | TokenSet::Given(_) => {
            Ok(Border::at(logits.narrow(1, 0, 1).full_like(f64::NEG_INFINITY)))
        }
        TokenSet::TopK(k) => highest(logits, rank(logits, k), &logits.full(&[], k, DType::I64)),
        TokenSet::TopP(q) => {
            let (border, kept) = mass_border(logits, q, temperature);
            highest(logits, border, &kept)
        }
        TokenSet::MinP(r) => {
            let border = temperature.added(&logits.amax(-1, true).to_dtype(DType::F64), r.ln());
            Ok(Border::at(rounded_up(&border, logits.dtype())))
        }
    }
}

impl Border {
    /// All tokens from a logit up.
    fn at(from: Tensor) -> Self {
        Self { cut: from.zeros(&from.size(), DType::I64), from_after: from.clone(), from }
    }

    /// Which of `logits` are inside, bool.
    pub(super) fn members(&self, logits: &Tensor) -> Tensor {
        let before = self.cut.arange(logits.length(1)).lt(&self.cut);
        let early = before.logical_and(&logits.ge(&self.from));
        logits.ge(&self.from_after).logical_or(&early)
    }
}

/// The `k`-th highest logit of each row, `[M, 1]`.
fn rank(logits: &Tensor, k: i64) -> Tensor {
    if k <= logits.length(1) / 16 {
        return logits.topk(k).amin(-1, true);
    }
    let ranked: Vec<Tensor> = sorted(logits).map(|sorted| sorted.narrow(-1, k - 1, 1)).collect();
    Tensor::cat(&ranked, 0)
}

/// Rows sorted from their highest logit down, some at a time.
fn sorted(logits: &Tensor) -> impl Iterator<Item = Tensor> {
    let rows = logits.length(0);
    let at_once = (SORTED_AT_ONCE / logits.length(1).max(1)).max(1);
    (0..rows).step_by(at_once as usize).map(move |start| {
        let [sorted, _] = logits.narrow(0, start, at_once.min(rows - start)).sort(-1, true);
        sorted
    })
}

/// The logit at which the mass of the highest logits reaches `q`, and how many logits that takes: `[M, 1]` each.
fn mass_border(logits: &Tensor, q: f64, temperature: &Divisor) -> (Tensor, Tensor) {
    let (mut borders, mut counts) = (Vec::new(), Vec::new());
    let mut start = 0;
    for sorted in sorted(logits) {
        let rows = sorted.length(0);
        let temperature = temperature.narrow(start, rows);
        start += rows;
        let kept = if q < 1.0 {
            let relative = sorted.to_dtype(DType::F64) - sorted.narrow(-1, 0, 1);
            let mass = temperature.of(&relative).exp().cumsum(-1, DType::F64);
            let wanted = mass.narrow(-1, -1, 1) * q;
            mass.lt(&wanted).sum_dim(-1, true, DType::I64) + 1i64
        } else {
            // With `q = 1`, rounded sums would stop too early: keep every token that is not banned.
            sorted.gt(f64::NEG_INFINITY).sum_dim(-1, true, DType::I64).maximum(1i64)
        };
        borders.push(sorted.gather(-1, &(&kept - 1i64)));
        counts.push(kept);
    }
    (Tensor::cat(&borders, 0), Tensor::cat(&counts, 0))
}

/// The border of the `kept` highest logits, the lowest of which equals `border`; among those equal to it, the lower ids.
fn highest(logits: &Tensor, border: Tensor, kept: &Tensor) -> Result<Border, KernelError> {
    let surplus = logits.ge(&border).sum_dim(-1, true, DType::I64).gt(kept);
    if surplus.any().i64_at(&[])? == 0 {
        return Ok(Border::at(border));
    }
    let room = kept - logits.gt(&border).sum_dim(-1, true, DType::I64);
    let before = logits.eq(&border).cumsum(-1, DType::I64).lt(&room);
    let cut = before.sum_dim(-1, true, DType::I64) + 1i64;
    Ok(Border { from_after: next(&border), from: border, cut })
}

/// The least number of the kind that is not below `exact`, so that comparing with it is exact.
fn rounded_up(exact: &Tensor, dtype: DType) -> Tensor {
    let rounded = exact.to_dtype(dtype);
    rounded.lt(exact).where_cond(&next(&rounded), &rounded)
}

/// The next higher numbers of the kind.
fn next(numbers: &Tensor) -> Tensor {
    numbers.nextafter(&numbers.full_like(f64::INFINITY))
}
