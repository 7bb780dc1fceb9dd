//! Joins the parts of a step, and cuts a whole step's values for them.

use super::{Part, UncheckedIds};
use crate::exec::value::Presets;
use crate::plan::Plan;
use crate::plugin::Mask;
use crate::tensor::{DType, Tensor};

impl Part {
    /// The same tensors without gradient.
    pub(in crate::exec) fn detached(&self) -> Part {
        Part {
            mask: self.mask.clone(),
            fields: self.fields.iter().map(|field| field.as_ref().map(Tensor::detach)).collect(),
            log_prob: self.log_prob.as_ref().map(Tensor::detach),
            rows: self.rows.iter().map(Tensor::detach).collect(),
            actions: self.actions.clone(),
            unchecked: self.unchecked.clone(),
            kind: self.kind,
        }
    }

    /// A scalar times the part's number of valid tokens, and that number in `dtype`.
    pub(in crate::exec) fn weighted(&self, scalar: &Tensor, dtype: DType) -> [Tensor; 2] {
        let tokens = self.mask.tokens.sum_in(dtype);
        [scalar * &tokens, tokens]
    }

    /// All parts of a step as one, padded to the longest. Every part has what the first has.
    pub(in crate::exec) fn join<'a>(plan: &Plan, parts: impl IntoIterator<Item = &'a Part>) -> Part {
        let parts: Vec<&Part> = parts.into_iter().collect();
        let width = parts.iter().map(|part| part.size().1).max().unwrap_or(0);
        let all = |of: &dyn Fn(&Part) -> Option<&Tensor>| {
            let padded: Vec<Tensor> =
                parts.iter().map(|part| Some(pad(of(part)?, width))).collect::<Option<_>>()?;
            Some(if padded[0].dim() == 0 { padded[0].clone() } else { Tensor::cat(&padded, 0) })
        };
        let field = |index: usize| {
            // Each part has its own value of a scalar that carries gradient.
            if plan.fields[index].is_of_each_part() {
                pooled(&parts, index)
            } else {
                all(&|part| part.fields[index].as_ref())
            }
        };
        let first = parts[0];
        let mut rows = 0;
        let mut unchecked = Vec::new();
        for part in &parts {
            let moved = |ids: &UncheckedIds| UncheckedIds { first_row: ids.first_row + rows, ..ids.clone() };
            unchecked.extend(part.unchecked.iter().map(moved));
            rows += part.size().0;
        }
        let tokens: Vec<Tensor> = parts.iter().map(|part| pad(&part.mask.tokens, width)).collect();
        Part {
            mask: Mask::new(Tensor::cat(&tokens, 0)),
            fields: (0..first.fields.len()).map(field).collect(),
            log_prob: all(&|part| part.log_prob.as_ref()),
            rows: (0..first.rows.len()).filter_map(|index| all(&|part| part.rows.get(index))).collect(),
            actions: None,
            unchecked,
            kind: first.kind,
        }
    }

    /// The rows of a whole step's value that belong to the part at `offset`.
    pub(in crate::exec) fn slice_of(&self, whole: &Tensor, offset: i64) -> Tensor {
        let (sequences, width) = self.size();
        match whole.dim() {
            0 => whole.clone(),
            1 => whole.narrow(0, offset, sequences),
            _ => whole.narrow(0, offset, sequences).narrow(1, 0, width),
        }
    }

    /// The same for many values, floats converted to this part's kind.
    pub(in crate::exec) fn slices_of(&self, whole: &Presets, offset: i64) -> Presets {
        let slice = |value: &Tensor| {
            let slice = self.slice_of(value, offset);
            if slice.dtype().is_float() { slice.to_dtype(self.kind) } else { slice }
        };
        whole.iter().map(|(index, value)| (*index, slice(value))).collect()
    }
}

/// The mean of a scalar field over the parts, weighted by their valid tokens.
fn pooled(parts: &[&Part], index: usize) -> Option<Tensor> {
    let weighted = |part: &&Part| Some(part.weighted(part.fields[index].as_ref()?, part.kind));
    Some(mean(&parts.iter().map(weighted).collect::<Option<Vec<_>>>()?))
}

/// The mean of scalars, each given as [`Part::weighted`]. Without a valid token it is zero.
pub(in crate::exec) fn mean(weighted: &[[Tensor; 2]]) -> Tensor {
    let sum = |index: usize| {
        let first = weighted[0][index].clone();
        weighted[1..].iter().fold(first, |sum, of| sum + &of[index])
    };
    sum(0) / sum(1).clamp_min(1.0)
}

/// Pads a value with zeros to `width` columns. A value without columns stays unchanged.
pub(in crate::exec) fn pad(tensor: &Tensor, width: i64) -> Tensor {
    if tensor.dim() < 2 || tensor.length(1) == width {
        return tensor.clone();
    }
    tensor.pad(0, width - tensor.length(1))
}
