//! How far an entry looks: which part of the step one of its values depends on, and which counts of the step it reads.

/// How much of the batch one value of the result depends on. It decides what a micro-batch needs from the rest of its step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// A token's value depends on that token only.
    Token,
    /// It depends on tokens of the same sequence.
    Sequence,
    /// It depends on the sequences with the same id in its input `group`. It is computed on the whole step, unless each
    /// group is whole in one micro-batch.
    Group,
    /// It depends on any other sequence, so it is computed on the whole step.
    Batch,
}

/// A count of the whole step that a value depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Count {
    /// The valid tokens; see [`TermContext::step_tokens`](super::TermContext::step_tokens).
    Tokens,
    /// The sequences with a valid token; see [`TermContext::step_sequences`](super::TermContext::step_sequences).
    Sequences,
    /// The groups with a valid token: the value is that count, by the input `group`. Where the caller gives the number of
    /// groups, the entry is not asked for it.
    Groups,
}

impl Reach {
    /// `token`, `sequence`, `group` or `batch`.
    pub fn as_str(self) -> &'static str {
        match self {
            Reach::Token => "token",
            Reach::Sequence => "sequence",
            Reach::Group => "group",
            Reach::Batch => "batch",
        }
    }
}
