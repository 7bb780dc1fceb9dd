//! Which tokens of a row lie in a set, in plain torch operations and without a gradient.

use tch::{Kind, Tensor};

use super::KernelError;
use crate::rows::TokenSet;

/// Elements per chunk where whole rows must be sorted, so that sorting holds well under 1 GB at once.
const SORTED_AT_ONCE: i64 = 1 << 24;

/// Where `logits`, `[M, V]` with `M >= 1`, lie in the set: bool. The set must be simplified, and not all tokens.
pub(super) fn members(logits: &Tensor, set: TokenSet, temperature: f64) -> Result<Tensor, KernelError> {
    match set {
        TokenSet::All | TokenSet::Drop(_) => Ok(logits.f_ones_like()?.f_to_kind(Kind::Bool)?),
        TokenSet::TopK(k) => {
            highest(logits, &rank(logits, k)?, &Tensor::from(k).f_to_device(logits.device())?)
        }
        TokenSet::TopP(q) => {
            let (border, kept) = mass_border(logits, q, temperature)?;
            highest(logits, &border, &kept)
        }
        TokenSet::MinP(r) => {
            let border =
                logits.f_amax(-1, true)?.f_to_kind(Kind::Double)?.f_add_scalar(temperature * r.ln())?;
            Ok(logits.f_ge_tensor(&rounded_up(&border, logits.kind())?)?)
        }
    }
}

/// The `k`-th highest logit of each row, `[M, 1]`.
fn rank(logits: &Tensor, k: i64) -> Result<Tensor, KernelError> {
    let vocabulary = logits.size()[1];
    Ok(if k > vocabulary / 16 {
        logits.f_kthvalue(vocabulary - k + 1, -1, true)?.0
    } else {
        logits.f_topk(k, -1, true, false)?.0.f_amin(-1, true)?
    })
}

/// The logit at which the mass of the higher ones reaches `q`, and how many tokens that takes: `[M, 1]` each.
fn mass_border(logits: &Tensor, q: f64, temperature: f64) -> Result<(Tensor, Tensor), KernelError> {
    let (mut borders, mut counts) = (Vec::new(), Vec::new());
    for chunk in logits.f_split((SORTED_AT_ONCE / logits.size()[1]).max(1), 0)? {
        let (sorted, _) = chunk.f_sort(-1, true)?;
        let kept = if q < 1.0 {
            let relative = sorted.f_to_kind(Kind::Double)?.f_sub(&sorted.f_narrow(-1, 0, 1)?)?;
            let mass = relative.f_div_scalar(temperature)?.f_exp()?.f_cumsum(-1, None)?;
            let wanted = mass.f_narrow(-1, -1, 1)?.f_mul_scalar(q)?;
            mass.f_lt_tensor(&wanted)?.f_sum_dim_intlist(-1, true, Kind::Int64)?.f_add_scalar(1)?
        } else {
            // Rounded sums reach one too early: the whole mass is every token that is not banned.
            sorted.f_gt(f64::NEG_INFINITY)?.f_sum_dim_intlist(-1, true, Kind::Int64)?.f_clamp_min(1)?
        };
        borders.push(sorted.f_gather(-1, &kept.f_sub_scalar(1)?, false)?);
        counts.push(kept);
    }
    Ok((Tensor::f_cat(&borders, 0)?, Tensor::f_cat(&counts, 0)?))
}

/// The `kept` highest logits where the lowest of them equals `border`: of those on the border, the lower ids.
fn highest(logits: &Tensor, border: &Tensor, kept: &Tensor) -> Result<Tensor, KernelError> {
    let inside = logits.f_ge_tensor(border)?;
    let surplus = inside.f_sum_dim_intlist(-1, true, Kind::Int64)?.f_gt_tensor(kept)?;
    if !bool::try_from(surplus.f_any()?)? {
        return Ok(inside);
    }
    let above = logits.f_gt_tensor(border)?;
    let room = kept.f_sub(&above.f_sum_dim_intlist(-1, true, Kind::Int64)?)?;
    let on_border = logits.f_eq_tensor(border)?;
    let early = on_border.f_cumsum(-1, Kind::Int)?.f_le_tensor(&room)?;
    Ok(on_border.f_logical_and(&early)?.f_logical_or(&above)?)
}

/// The least number of the kind that is not below `exact`, so that comparing with it loses nothing.
fn rounded_up(exact: &Tensor, kind: Kind) -> Result<Tensor, KernelError> {
    let rounded = exact.f_to_kind(kind)?;
    let next = rounded.f_nextafter(&rounded.f_full_like(f64::INFINITY)?)?;
    Ok(next.f_where_self(&rounded.f_lt_tensor(exact)?, &rounded)?)
}
