//! Row statistics: softmax statistics of each row of logits over a set of tokens.

mod algebra;
mod cpu;
mod cuda;
mod divisor;
mod engine;
mod error;
mod given;
mod gradients;
#[cfg(all(test, not(miri)))]
mod guarded;
mod head;
mod ids;
mod inputs;
mod look;
mod memory;
#[cfg(test)]
mod naive;
mod node;
mod options;
mod plain;
mod reference;
mod request;
mod rows;
mod sets;
mod shards;
mod slopes;
mod source;
mod threads;

use crate::passes::Split;
use crate::rows::RowStatistic;
use crate::tensor::Tensor;

pub use engine::fallback_reason;
pub use error::KernelError;
pub use head::Head;
pub use options::{KernelOptions, Kernels};
pub use rows::RowInputs;
pub use shards::{Exchange, Shards};
pub use source::{Hidden, Source};

/// The statistics of each row of logits, in the order of the request, each of shape `[B, T]`.
///
/// Results are f32 (f64 for f64 logits) and part of the graph of the logits, or of the hidden states and the output
/// layer that they are computed from; [`Statistic::Size`](crate::rows::Statistic::Size) is not.
///
/// Logits computed from hidden states have the kind of `torch.autocast` at the call, if it is on; the backward pass
/// uses the same kind, wherever it runs. A [`Head`] bends and scales them, and may say their kind.
///
/// Where the mask is false, the result and the gradient are zero, for any logits and action. A logit of `-inf` bans a
/// token: it has probability zero and contributes nothing. A row with NaN or `+inf`, or with only `-inf`, has no
/// softmax: all its statistics are NaN, and so are comparisons with such a row.
///
/// The backward pass keeps nothing of vocabulary size except logits that were passed in. All results share one node in
/// torch's graph, which cannot be differentiated twice; those of [`Kernels::Reference`] can, and keep whatever torch keeps.
pub fn row_statistics(
    inputs: &RowInputs<'_>,
    request: &[RowStatistic],
    options: &KernelOptions,
) -> Result<Vec<Tensor>, KernelError> {
    computed(inputs, request, options, None)
}

/// The same where each rank of a group holds some tokens of the vocabulary: `[B, T, V_r]` of the logits, or `[V_r, D]` of the
/// output layer, in the order of ranks, and the same of a reference. Actions and lists have the ids of the whole vocabulary, and
/// all ranks give the same of them. Results are those of one process, the same to the last bit on all ranks.
///
/// Every rank calls it, inside of [`Shards::together`]. The backward pass exchanges nothing: each rank gets the gradient of its
/// logits or of its rows of the output layer, and of `hidden` its share, which adds up over the ranks to the whole.
/// [`Kernels::Reference`] is refused.
pub fn row_statistics_in_shards(
    inputs: &RowInputs<'_>,
    request: &[RowStatistic],
    options: &KernelOptions,
    shards: &Shards<'_>,
) -> Result<Vec<Tensor>, KernelError> {
    computed(inputs, request, options, Some(shards))
}

fn computed(
    inputs: &RowInputs<'_>,
    request: &[RowStatistic],
    options: &KernelOptions,
    shards: Option<&Shards<'_>>,
) -> Result<Vec<Tensor>, KernelError> {
    for asked in request {
        request::check(asked)?;
    }
    let mut rows = rows::Rows::checked(inputs, request)?;
    if request.is_empty() {
        return Ok(Vec::new());
    }
    let split = Split::of(request);
    let lists = split.lists(inputs, rows.shape)?;
    rows.ids = rows.ids.with_lists(split.joined(&lists));
    if options.validate {
        split.check(request, &lists, &rows.ids)?;
    }
    let computed = match (options.kernels, shards) {
        (_, Some(shards)) => shards::row_statistics(&rows, &split.request, &split.listed, options, shards)?,
        (Kernels::Auto, None) => node::row_statistics(&rows, &split.request, &split.listed, options)?,
        (Kernels::Reference, None) => reference::row_statistics(&rows, &split.request, &split.listed)?,
    };
    if lists.is_empty() {
        return Ok(computed);
    }
    let _chosen = computed[0].no_autocast();
    split.finish(request, inputs, &lists, &computed, rows.dtype())
}

/// Refuses an action that counts and is not a token id of the vocabulary. Waits for a device.
pub(crate) fn check_actions(actions: &Tensor, mask: &Tensor, vocabulary: i64) -> Result<(), KernelError> {
    ids::Ids::new(actions.clone(), mask.clone()).check(vocabulary)
}
