//! The inputs and the result of a plugin object's computation.

use super::mask::Mask;
use super::{Count, Segments};
use crate::tensor::{Tensor, TensorError};
use std::cell::LazyCell;
use std::fmt;

/// The counts of a whole optimizer step; the tensors at hand may be a part of it.
pub(crate) struct StepCounts {
    tokens: Lazy,
    sequences: Lazy,
    /// The padded length T, the largest of all micro-batches. Objects read [`TermContext::width`].
    pub(crate) width: i64,
}

/// A tensor that is computed on first use.
pub(crate) type Lazy = LazyCell<Tensor, Box<dyn FnOnce() -> Tensor>>;

impl StepCounts {
    pub(crate) fn new(tokens: Lazy, sequences: Lazy, width: i64) -> Self {
        Self { tokens, sequences, width }
    }

    /// The number of valid tokens, at least one, as a scalar of the computation's float kind.
    pub(crate) fn tokens(&self) -> &Tensor {
        &self.tokens
    }

    /// The number of sequences with a valid token, at least one, as a scalar of the same kind.
    pub(crate) fn sequences(&self) -> &Tensor {
        &self.sequences
    }
}

/// The tensors of one evaluation.
pub struct TermContext<'a> {
    pub(crate) inputs: Vec<(&'static str, Tensor)>,
    pub(crate) rows: Vec<&'a Tensor>,
    /// Whether the signature declares `reads_width`.
    pub(crate) width: bool,
    /// The counts that the signature declares.
    pub(crate) counts: &'a [Count],
    pub(crate) frame: &'a Frame,
    /// The extras that the program reads.
    pub(crate) wanted: &'a [String],
}

/// What all objects of one evaluation share.
pub(crate) struct Frame {
    /// The mask.
    pub mask: Mask,
    /// `[B]`: valid tokens per sequence, at least one, in the computation's float kind.
    pub lengths: Lazy,
    /// The counts of the whole step.
    pub counts: StepCounts,
}

impl TermContext<'_> {
    /// An input that the signature declares, broadcast to its type: a token input is `[B, T]`, a seq input
    /// `[B]`, a scalar 0-dimensional. Masked positions hold zeros.
    ///
    /// # Panics
    /// When the signature declares no such input.
    pub fn input(&self, name: &str) -> &Tensor {
        let found = self.inputs.iter().find(|(of, _)| *of == name);
        &found.unwrap_or_else(|| panic!("the signature declares no input `{name}`")).1
    }

    /// The row statistic that the signature declares at that index, `[B, T]`.
    ///
    /// # Panics
    /// When the signature declares fewer.
    pub fn row(&self, index: usize) -> &Tensor {
        self.rows[index]
    }

    /// `[B, T]` bool: which tokens count.
    pub fn mask(&self) -> &Tensor {
        &self.frame.mask.tokens
    }

    /// `[B]` bool: which sequences have a token that counts.
    pub fn valid_sequences(&self) -> &Tensor {
        self.frame.mask.sequences()
    }

    /// `[B]`: how many tokens of each sequence count, at least one.
    pub fn lengths(&self) -> &Tensor {
        &self.frame.lengths
    }

    /// The padded length of the whole step, the largest of all micro-batches.
    ///
    /// # Panics
    /// When the signature does not declare `reads_width`.
    pub fn width(&self) -> i64 {
        assert!(self.width, "the signature does not declare `reads_width`");
        self.frame.counts.width
    }

    /// Whether the program reads that extra; an unread extra need not be computed.
    pub fn wants(&self, extra: &str) -> bool {
        self.wanted.iter().any(|wanted| wanted == extra)
    }

    /// The number of valid tokens of the whole step, at least one, as a scalar of the computation's float kind.
    ///
    /// # Panics
    /// When the signature does not declare that it [`reads`](super::Signature::reads) [`Count::Tokens`].
    pub fn step_tokens(&self) -> &Tensor {
        assert!(
            self.counts.contains(&Count::Tokens),
            "the signature does not declare `reads(Count::Tokens)`"
        );
        self.frame.counts.tokens()
    }

    /// The number of sequences of the whole step with a valid token, at least one, as a scalar of the same kind.
    ///
    /// # Panics
    /// When the signature does not declare that it [`reads`](super::Signature::reads) [`Count::Sequences`].
    pub fn step_sequences(&self) -> &Tensor {
        let declared = self.counts.contains(&Count::Sequences);
        assert!(declared, "the signature does not declare `reads(Count::Sequences)`");
        self.frame.counts.sequences()
    }

    /// `x` with zeros at masked positions, even in place of NaN.
    pub fn masked(&self, x: &Tensor) -> Tensor {
        self.frame.mask.zero_tokens(x)
    }

    /// Sums a token value over each sequence's valid tokens: `[B, T]` to `[B]`.
    pub fn seq_sum(&self, x: &Tensor) -> Tensor {
        self.masked(x).sum_dim(1, false, x.dtype())
    }

    /// The segments that an input of the type `token int` tells apart.
    ///
    /// # Panics
    /// When the signature declares no such input.
    pub fn segments(&self, name: &str) -> Result<Segments<'_>, EvalError> {
        Segments::of(self, self.input(name))
    }

    /// The mean of a token value over each sequence's valid tokens: `[B, T]` to `[B]`, zero if there are none.
    pub fn seq_mean(&self, x: &Tensor) -> Tensor {
        self.seq_sum(x) / self.lengths()
    }
}

/// A term's value with its extras.
#[derive(Debug)]
pub struct TermValue {
    pub(crate) value: Tensor,
    pub(crate) extras: Vec<(&'static str, Tensor)>,
}

impl TermValue {
    /// Adds an extra that the signature declares.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: Tensor) -> Self {
        self.extras.push((name, value));
        self
    }

    /// Adds an extra that the signature declares, if the program reads it.
    #[must_use]
    pub fn with_wanted(
        self,
        ctx: &TermContext<'_>,
        name: &'static str,
        value: impl FnOnce() -> Tensor,
    ) -> Self {
        if ctx.wants(name) { self.with(name, value()) } else { self }
    }
}

impl From<Tensor> for TermValue {
    fn from(value: Tensor) -> Self {
        Self { value, extras: Vec::new() }
    }
}

/// Why an object could not compute.
#[derive(Debug)]
pub struct EvalError(pub String);

impl fmt::Display for EvalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for EvalError {}

impl From<TensorError> for EvalError {
    fn from(error: TensorError) -> Self {
        Self(error.to_string())
    }
}
