//! The parts of a step put together again.

use super::error::Result;
use super::part::Part;
use super::share::Presets;
use crate::plugin::StepCounts;
use std::collections::BTreeMap;
use tch::{Kind, Tensor};

/// The counts of a step while its parts come in.
#[derive(Debug, Default)]
pub(super) struct Tally {
    tokens: Option<Tensor>,
    sequences: Option<Tensor>,
    width: i64,
}

impl Tally {
    /// Counts that the caller knows already.
    pub(super) fn known(tokens: i64, sequences: i64, width: i64) -> Self {
        Self { tokens: Some(Tensor::from(tokens)), sequences: Some(Tensor::from(sequences)), width }
    }

    pub(super) fn add(&mut self, part: &Part) -> Result<()> {
        let plus = |sum: &Option<Tensor>, mask: &Tensor| -> Result<Option<Tensor>> {
            let count = mask.f_sum(Kind::Int64)?;
            Ok(Some(match sum {
                Some(sum) => sum.f_add(&count)?,
                None => count,
            }))
        };
        self.tokens = plus(&self.tokens, &part.mask)?;
        self.sequences = plus(&self.sequences, &part.valid)?;
        self.width = self.width.max(part.size().1);
        Ok(())
    }

    /// The counts for a computation on `part`.
    pub(super) fn counts(&self, part: &Part) -> Result<StepCounts> {
        let count = |sum: &Option<Tensor>| -> Result<Tensor> {
            Ok(match sum {
                Some(sum) => sum.f_to_device(part.device())?.f_to_kind(part.kind)?.f_clamp_min(1.0)?,
                None => Tensor::f_ones([0i64; 0], (part.kind, part.device()))?,
            })
        };
        Ok(StepCounts { tokens: count(&self.tokens)?, sequences: count(&self.sequences)?, width: self.width })
    }

    /// Tokens, sequences and width as numbers.
    pub(super) fn numbers(&self) -> Result<[i64; 3]> {
        let number = |count: &Option<Tensor>| -> Result<i64> {
            Ok(count.as_ref().map(|count| count.f_int64_value(&[])).transpose()?.unwrap_or(0))
        };
        Ok([number(&self.tokens)?, number(&self.sequences)?, self.width])
    }

    /// How many tokens were counted.
    pub(super) fn tokens(&self) -> Tensor {
        self.tokens.as_ref().map_or_else(|| Tensor::from(0i64), Tensor::shallow_clone)
    }
}

impl Part {
    /// The same tensors without gradient.
    pub(super) fn detached(&self) -> Result<Part> {
        let detach = |tensor: &Tensor| tensor.f_detach();
        Ok(Part {
            mask: self.mask.shallow_clone(),
            valid: self.valid.shallow_clone(),
            fields: self
                .fields
                .iter()
                .map(|(name, field)| Ok((name.clone(), detach(field)?)))
                .collect::<std::result::Result<_, tch::TchError>>()?,
            log_prob: self.log_prob.as_ref().map(detach).transpose()?,
            rows: self.rows.iter().map(detach).collect::<std::result::Result<_, _>>()?,
            actions: self.actions.as_ref().map(Tensor::shallow_clone),
            kind: self.kind,
        })
    }

    /// All parts of a step as one, padded to the longest.
    pub(super) fn join<'a>(parts: impl IntoIterator<Item = &'a Part>) -> Result<Part> {
        let parts: Vec<&Part> = parts.into_iter().collect();
        let width = parts.iter().map(|part| part.size().1).max().unwrap_or(0);
        let all = |of: &dyn Fn(&Part) -> Tensor| -> Result<Tensor> {
            let padded = parts.iter().map(|part| pad(&of(part), width)).collect::<Result<Vec<_>>>()?;
            if padded[0].dim() == 0 {
                return Ok(padded[0].shallow_clone());
            }
            Ok(Tensor::f_cat(&padded, 0)?)
        };
        let first = parts[0];
        let mut fields = BTreeMap::new();
        for name in first.fields.keys() {
            fields.insert(name.clone(), all(&|part| part.fields[name].shallow_clone())?);
        }
        let log_prob = match &first.log_prob {
            Some(_) => Some(all(&|part| {
                part.log_prob.as_ref().expect("every part has what the first has").shallow_clone()
            })?),
            None => None,
        };
        let rows = (0..first.rows.len()).map(|index| all(&|part| part.rows[index].shallow_clone()));
        Ok(Part {
            mask: all(&|part| part.mask.shallow_clone())?,
            valid: all(&|part| part.valid.shallow_clone())?,
            fields,
            log_prob,
            rows: rows.collect::<Result<_>>()?,
            actions: None,
            kind: first.kind,
        })
    }

    /// The rows of a whole step's value that belong to the part at `offset`.
    pub(super) fn slice_of(&self, whole: &Tensor, offset: i64) -> Result<Tensor> {
        let (sequences, width) = self.size();
        Ok(match whole.dim() {
            0 => whole.shallow_clone(),
            1 => whole.f_narrow(0, offset, sequences)?,
            _ => whole.f_narrow(0, offset, sequences)?.f_narrow(1, 0, width)?,
        })
    }

    /// The same of many values, in this part's kind of numbers.
    pub(super) fn slices_of(&self, whole: &Presets, offset: i64) -> Result<Presets> {
        let slice = |value: &Tensor| -> Result<Tensor> {
            let slice = self.slice_of(value, offset)?;
            Ok(if slice.is_floating_point() { slice.f_to_kind(self.kind)? } else { slice })
        };
        whole.iter().map(|(index, value)| Ok((*index, slice(value)?))).collect()
    }
}

/// A value of `width` columns, zero beyond its own; one without columns as it is.
pub(super) fn pad(tensor: &Tensor, width: i64) -> Result<Tensor> {
    if tensor.dim() < 2 || tensor.size()[1] == width {
        return Ok(tensor.shallow_clone());
    }
    Ok(tensor.f_constant_pad_nd([0, width - tensor.size()[1]])?)
}
