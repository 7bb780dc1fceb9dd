//! Everything of vocabulary size: the softmax statistics of a row of logits over a set of tokens.

mod algebra;
mod cpu;
mod cuda;
mod engine;
mod error;
mod gradients;
mod ids;
mod memory;
mod node;
mod options;
mod plain;
mod plan;
mod reference;
mod request;
mod rows;
mod sets;
mod source;
mod threads;

use crate::rows::RowStatistic;
use crate::tensor::Tensor;

pub use engine::fallback_reason;
pub use error::KernelError;
pub use options::{CHUNK_BYTES, KernelOptions, Kernels};
pub use rows::RowInputs;
pub use source::{Hidden, Source};

/// The statistics of each row of logits, in the order of the request, each of shape `[B, T]`.
///
/// Results are f32 (f64 where the logits are) and attached to the graph of the logits, or of the hidden states and the
/// output layer that they are made from; [`Statistic::Size`](crate::rows::Statistic::Size) is not.
///
/// Logits that are made from hidden states are made in the kind that `torch.autocast` has at the call, where it is on, and in
/// the same kind again for the backward pass, wherever that runs.
///
/// Where the mask is false the result is zero and so is the gradient, whatever the logits and the action hold.
/// A logit of `-inf` bans a token: it has probability zero and contributes nothing. A row that holds NaN or
/// `+inf`, or nothing but `-inf`, has no softmax: all its statistics are NaN, and so are those that compare with such a
/// row.
///
/// Nothing of vocabulary size is kept for the backward pass but the logits, where they were given. All results have one
/// node in torch's graph, which cannot be differentiated twice; those of [`Kernels::Reference`] can, and keep whatever
/// torch keeps.
pub fn row_statistics(
    inputs: &RowInputs<'_>,
    request: &[RowStatistic],
    options: &KernelOptions,
) -> Result<Vec<Tensor>, KernelError> {
    for asked in request {
        request::check(asked)?;
    }
    let compares = request.iter().any(|asked| asked.statistic.needs_reference());
    let rows = rows::Rows::checked(inputs, compares)?;
    if request.is_empty() {
        return Ok(Vec::new());
    }
    // From here on kinds are chosen here, forward and backward alike.
    let _chosen = rows.ids.tensors()[0].no_autocast();
    match options.kernels {
        Kernels::Auto => node::row_statistics(&rows, request, options),
        Kernels::Reference => reference::row_statistics(&rows, request),
    }
}

/// The bytes of a row that are kept for the backward pass besides its logits, for that request.
pub fn bytes_kept(request: &[RowStatistic], vocabulary: i64) -> usize {
    if request.is_empty() {
        return 0;
    }
    let plan = plan::Plan::new(request, vocabulary);
    (plan.sums() + plan.facts()) * size_of::<f64>()
}
