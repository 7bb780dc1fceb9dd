//! The named tensors of one batch.

use crate::fields;
use crate::kernels::Head;
use crate::tensor::{DType, Guard, Tensor, TensorError};
use std::collections::BTreeMap;

/// The fields of a batch, by verl's names. Tensors are shared, not copied.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    fields: BTreeMap<String, Tensor>,
    /// By the names of the fields with hidden states.
    heads: BTreeMap<String, Head>,
}

impl Batch {
    /// A batch without fields.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a field, or replaces the one with that name.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, tensor: impl Into<Tensor>) -> Self {
        self.fields.insert(name.into(), tensor.into());
        self
    }

    /// Says how logits are made of the hidden states in that field, `hidden` or `ref_hidden`.
    ///
    /// ```
    /// # use aent::{Batch, Head};
    /// let batch = Batch::new().with_head("hidden", Head { softcap: Some(30.0), ..Head::default() });
    /// ```
    #[must_use]
    pub fn with_head(mut self, hidden: impl Into<String>, head: Head) -> Self {
        self.heads.insert(hidden.into(), head);
        self
    }

    /// How logits are made of the hidden states in that field.
    pub fn head(&self, hidden: &str) -> Head {
        self.heads.get(hidden).copied().unwrap_or_default()
    }

    /// A batch without fields, with the same heads.
    pub(super) fn emptied(&self) -> Self {
        Self { fields: BTreeMap::new(), heads: self.heads.clone() }
    }

    /// The field with that name.
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        self.fields.get(name)
    }

    /// All fields by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.fields.iter().map(|(name, tensor)| (name.as_str(), tensor))
    }

    /// Stops this thread from recording gradients until the guard is dropped.
    pub(super) fn no_grad(&self) -> Option<Guard> {
        self.fields.values().next().and_then(Tensor::no_grad)
    }

    /// Makes this thread record gradients until the guard is dropped.
    pub(super) fn with_grad(&self) -> Option<Guard> {
        self.fields.values().next().and_then(Tensor::with_grad)
    }

    /// Splits every field along B into `parts` nearly equal parts. Scalars and model weights such as `lm_head` go into
    /// each part. A packed batch is cut between its sequences.
    pub fn split(&self, parts: usize) -> Result<Vec<Batch>, TensorError> {
        if let Some(offsets) = self.fields.get(fields::CU_SEQLENS) {
            return self.split_packed(parts, offsets);
        }
        let rows = self
            .fields
            .get("response_mask")
            .or_else(|| self.fields.values().find(|tensor| !tensor.size().is_empty()))
            .map_or(0, |tensor| tensor.size().first().copied().unwrap_or(0));
        let parts = (parts as i64).clamp(1, rows.max(1));
        (0..parts)
            .map(|part| {
                let (start, end) = (part * rows / parts, (part + 1) * rows / parts);
                let fields = self.fields.iter().map(|(name, tensor)| {
                    let whole = fields::is_shared(name) || tensor.size().first() != Some(&rows);
                    let field =
                        if whole { tensor.clone() } else { tensor.narrow(0, start, end - start).ok()? };
                    Ok((name.clone(), field))
                });
                Ok(Batch { fields: fields.collect::<Result<_, TensorError>>()?, ..self.emptied() })
            })
            .collect()
    }

    fn split_packed(&self, parts: usize, offsets: &Tensor) -> Result<Vec<Batch>, TensorError> {
        let ends = offsets.to_dtype(DType::I64).to_i64s()?;
        let (sequences, tokens) = (ends.len() as i64 - 1, ends.last().copied().unwrap_or(0));
        let parts = (parts as i64).clamp(1, sequences.max(1));
        let cut = |part: i64| {
            let (start, end) = (part * sequences / parts, (part + 1) * sequences / parts);
            let (first, last) = (ends[start as usize], ends[end as usize]);
            let field = |(name, tensor): (&String, &Tensor)| {
                let size = tensor.size();
                let whole = fields::is_shared(name);
                let of_tokens = size.iter().take(2).position(|length| *length == tokens);
                let tensor = match (of_tokens, size.first()) {
                    _ if name == fields::CU_SEQLENS => {
                        tensor.narrow(0, start, end - start + 1) - first as f64
                    }
                    (Some(dim), _) if !whole => tensor.narrow(dim as i64, first, last - first),
                    (_, Some(length)) if !whole && *length == sequences => {
                        tensor.narrow(0, start, end - start)
                    }
                    _ => tensor.clone(),
                };
                let tensor = if name == fields::CU_SEQLENS { tensor.to_dtype(DType::I64) } else { tensor };
                Ok((name.clone(), tensor.ok()?))
            };
            let fields = self.fields.iter().map(field).collect::<Result<_, TensorError>>()?;
            Ok(Batch { fields, ..self.emptied() })
        };
        (0..parts).map(cut).collect()
    }
}
