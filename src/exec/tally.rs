//! Counts the tokens and sequences of a step.

use super::counts::Counts;
use super::error::Result;
use super::part::Part;
use crate::plugin::{Lazy, Mask, StepCounts};
use crate::tensor::{DType, Tensor};
use std::cell::OnceCell;
use std::collections::BTreeMap;

/// Running counts of a step.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    /// What is known as a number.
    known: Counts,
    masks: Vec<Mask>,
    width: i64,
    counted: OnceCell<Count>,
}

/// A count: a number, or a tensor on the device.
#[derive(Clone, Debug)]
pub(super) enum Count {
    Known(i64),
    Counted(Tensor),
}

impl Count {
    /// The number of true elements in masks.
    fn of<'a>(mut masks: impl Iterator<Item = &'a Tensor>) -> Self {
        let Some(first) = masks.next() else { return Self::Known(0) };
        Self::Counted(masks.fold(first.sum_in(DType::I64), |sum, mask| sum + mask.sum_in(DType::I64)))
    }

    /// The count as a denominator, at least one, of this type and on the device of `near`.
    fn divisor(&self, near: &Tensor, dtype: DType) -> Tensor {
        match self {
            Self::Known(number) => near.full(&[], (*number).max(1) as f64, dtype),
            Self::Counted(sum) => sum.to_device(near.device()).to_dtype(dtype).clamp_min(1.0),
        }
    }

    /// The number; may wait for the device.
    pub(super) fn number(&self) -> Result<i64> {
        match self {
            Self::Known(number) => Ok(*number),
            Self::Counted(sum) => Ok(sum.i64_at(&[])?),
        }
    }
}

impl Tally {
    /// Counts that are known already.
    pub(super) fn known(tokens: i64, sequences: i64, width: i64) -> Self {
        let (tokens, sequences) = (Some(tokens), Some(sequences));
        Self::given(Counts { tokens, sequences, width: Some(width), ..Counts::default() })
    }

    /// The caller's counts. What they leave out is not read.
    pub(super) fn given(counts: Counts) -> Self {
        Self { width: counts.width.unwrap_or(0), known: counts, ..Self::default() }
    }

    /// The number of groups by the field that tells them apart, where the caller gave it.
    pub(super) fn groups(&self) -> &BTreeMap<String, i64> {
        &self.known.groups
    }

    /// The counts of a step in one part.
    pub(super) fn of(part: &Part) -> Self {
        let mut tally = Self::default();
        tally.add(part);
        tally
    }

    pub(super) fn add(&mut self, part: &Part) {
        // Count before cloning, so that the clone shares the result.
        part.mask.known_tokens();
        self.masks.push(part.mask.clone());
        self.width = self.width.max(part.size().1);
        self.counted.take();
    }

    /// The counts for a computation on `part`.
    pub(super) fn counts(&self, part: &Part) -> StepCounts {
        let lazy = |count: fn(&Self) -> Count| -> Lazy {
            let (tally, near, dtype) = (self.clone(), part.mask.tokens.clone(), part.kind);
            Lazy::new(Box::new(move || count(&tally).divisor(&near, dtype)))
        };
        StepCounts::new(lazy(Self::tokens), lazy(Self::sequences), self.width)
    }

    /// Tokens, sequences and width as numbers.
    pub(super) fn numbers(&self) -> Result<[i64; 3]> {
        Ok([self.tokens().number()?, self.sequences().number()?, self.width])
    }

    /// The number of valid tokens.
    pub(super) fn tokens(&self) -> Count {
        let count = || match self.known.tokens {
            Some(tokens) => Count::Known(tokens),
            None => match self.masks.iter().map(Mask::known_tokens).sum() {
                Some(tokens) => Count::Known(tokens),
                None => Count::of(self.masks.iter().map(|mask| &mask.tokens)),
            },
        };
        self.counted.get_or_init(count).clone()
    }

    fn sequences(&self) -> Count {
        match self.known.sequences {
            Some(sequences) => Count::Known(sequences),
            None => Count::of(self.masks.iter().map(Mask::sequences)),
        }
    }
}
