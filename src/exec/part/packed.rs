//! Packed batches: sequences one behind the other, without padding. Their fields are padded to `[B, T]`, which costs little;
//! nothing of vocabulary size is.

use super::field;
use super::wrong::{field_error, taken};
use crate::exec::batch::Batch;
use crate::exec::error::Result;
use crate::fields::{self, CU_SEQLENS, RESPONSE_MASK, is_shared};
use crate::plan::Plan;
use crate::tensor::{DType, Tensor};
use crate::types::Shape;

/// Where the tokens of a packed batch go.
pub(super) struct Packed {
    /// How many tokens there are, N.
    tokens: i64,
    /// B and T, the length of the longest sequence.
    size: [i64; 2],
    /// `[B · T]`: the token at each place; at a place behind a sequence's end the first one, which does not count there.
    index: Tensor,
    /// `[B, T]`: whether a place has a token.
    inside: Tensor,
    /// `[N]`: the sequence of each token.
    sequence: Tensor,
}

impl Packed {
    /// The layout of a batch with `cu_seqlens`; none for any other. Reads the offsets, which waits for a device.
    pub(super) fn of(batch: &Batch) -> Result<Option<Self>> {
        let Some(offsets) = taken(batch, CU_SEQLENS)? else { return Ok(None) };
        let integers = matches!(offsets.dtype(), DType::I64 | DType::I32);
        if !integers || offsets.dim() != 1 || offsets.length(0) < 1 {
            let found = format!("{} {:?}", offsets.dtype().name(), offsets.size());
            return Err(field_error(
                CU_SEQLENS,
                "int64 `[B + 1]`: where each sequence begins, and the end",
                &found,
            ));
        }
        let ends = offsets.to_dtype(DType::I64).to_i64s()?;
        let mask = taken(batch, RESPONSE_MASK)?;
        let tokens = mask.as_ref().map_or_else(|| ends[ends.len() - 1], |mask| mask.numel() as i64);
        let rises = ends.windows(2).all(|pair| pair[0] <= pair[1]);
        if ends[0] != 0 || ends[ends.len() - 1] != tokens || !rises {
            let expected =
                format!("numbers that rise from 0 to {tokens}, the number of tokens in `{RESPONSE_MASK}`");
            return Err(field_error(CU_SEQLENS, expected, &format!("{ends:?}")));
        }
        let lengths: Vec<i64> = ends.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let size = [lengths.len() as i64, lengths.iter().copied().max().unwrap_or(0)];
        let mut index = Vec::with_capacity((size[0] * size[1]) as usize);
        let mut inside = Vec::with_capacity(index.capacity());
        for (start, length) in ends.iter().zip(&lengths) {
            for place in 0..size[1] {
                let has_token = place < *length;
                index.push(if has_token { start + place } else { 0 });
                inside.push(u8::from(has_token));
            }
        }
        let tokens_of = |(sequence, length): (usize, &i64)| {
            std::iter::repeat_n(sequence as i64, usize::try_from(*length).unwrap_or(0))
        };
        let sequence: Vec<i64> = lengths.iter().enumerate().flat_map(tokens_of).collect();
        let near = mask.as_ref().unwrap_or(&offsets);
        let (host, device) = (near.host()?, near.device());
        let index = Tensor::from_slice(host, &index, &[size[0] * size[1]]).to_device(device);
        let inside = Tensor::from_slice(host, &inside, &size).eq(1i64).to_device(device);
        let sequence = Tensor::from_slice(host, &sequence, &[tokens]).to_device(device).ok()?;
        Ok(Some(Self { tokens, size, index: index.ok()?, inside: inside.ok()?, sequence }))
    }

    /// The mask, padded: false where no token is.
    pub(super) fn mask(&self, batch: &Batch, validate: bool) -> Result<Tensor> {
        let flat = self.flat(batch)?;
        Ok(self.padded(&field::mask(&flat, validate)?).logical_and(&self.inside).ok()?)
    }

    /// `[1, N, ...]` as `[B, T, ...]`.
    pub(super) fn padded(&self, flat: &Tensor) -> Tensor {
        let mut size = flat.size();
        if self.tokens == 0 {
            size.splice(0..2, self.size);
            return flat.zeros(&size, flat.dtype());
        }
        let rows = flat.squeeze(0).index_select(0, &self.index);
        size.splice(0..2, self.size);
        rows.reshape(&size)
    }

    /// The value of its sequence for each token, `[1, N]`, of a field with one for each sequence. Whether it is `declared` as that
    /// decides where there are as many sequences as tokens.
    pub(super) fn spread(&self, field: &Tensor, declared: bool) -> Option<Tensor> {
        let of_sequences = field.size() == [self.size[0]] && (declared || self.size[0] != self.tokens);
        of_sequences.then(|| field.index_select(0, &self.sequence).unsqueeze(0))
    }

    /// The plan's token fields, padded; all others as they are.
    pub(super) fn fields(&self, batch: &Batch, plan: &Plan) -> Result<Batch> {
        let flat = self.flat(batch)?;
        let mut padded = Batch::new();
        for field in &plan.fields {
            let Some(tensor) = batch.get(&field.name) else { continue };
            let of_sequences =
                field.per_sequence && tensor.size() == [self.size[0]] && self.size[0] != self.tokens;
            let tensor = match flat.get(&field.name) {
                Some(flat) if field.ty.shape == Shape::Token && !of_sequences && flat.dim() == 2 => {
                    self.padded(flat)
                }
                _ => tensor.clone(),
            };
            padded = padded.with(field.name.clone(), tensor);
        }
        Ok(padded)
    }

    /// The same batch with every field of tokens as one row: `[N, ...]` and `[1, N, ...]` become `[1, N, ...]`.
    pub(super) fn flat(&self, batch: &Batch) -> Result<Batch> {
        let mut flat = batch.emptied();
        for (name, tensor) in batch.iter().filter(|(name, _)| *name != CU_SEQLENS) {
            let plain = !is_shared(name) && tensor.unusable().is_none();
            let of_tokens = plain && self.is_of_tokens(name, &tensor.size());
            let tensor = if of_tokens { tensor.unsqueeze(0).ok()? } else { tensor.clone() };
            flat = flat.with(name, tensor);
        }
        Ok(flat)
    }

    /// Whether a field of that size has its tokens in the first dimension. With one token, `[1, ...]` may be that, or a row of
    /// tokens already.
    fn is_of_tokens(&self, name: &str, size: &[i64]) -> bool {
        let of_rows = fields::is_of_vocabulary(name) && name != "actions";
        size.first() == Some(&self.tokens)
            && (self.tokens != 1
                || size.len() == 1 + usize::from(of_rows)
                || size.get(1).is_some_and(|rest| *rest > 1))
    }
}
