//! Passes over rows of logits: how a request of row statistics is computed, and what that costs. No tensors.

mod plan;
mod split;

use crate::rows::RowStatistic;

pub(crate) use plan::{Listed, Pass, Plan, Planned, facts, sums};
pub(crate) use split::{Origin, Split};

/// The default size of a chunk of logits that are computed from hidden states, in bytes: 256 MiB.
pub const CHUNK_BYTES: usize = 256 << 20;
/// How often an engine goes through each row of logits that it reads: once for every temperature, and for every further set
/// or weight at the same one.
pub fn loops(request: &[RowStatistic]) -> usize {
    let split = Split::of(request);
    Plan::new(&split.request, &split.listed, &vec![0; split.fields.len()], i64::MAX).passes.len()
}

/// The bytes per row that the backward pass keeps for this request, besides logits; `listed` is the length of each list of
/// tokens that the batch brings.
pub fn bytes_kept(request: &[RowStatistic], vocabulary: i64, listed: usize) -> usize {
    if request.is_empty() {
        return 0;
    }
    let split = Split::of(request);
    let plan = Plan::new(&split.request, &split.listed, &vec![0; split.fields.len()], vocabulary);
    let listed = listed.saturating_mul(split.fields.len());
    (plan.sums() + plan.facts()).saturating_add(listed).saturating_mul(size_of::<f64>())
}
