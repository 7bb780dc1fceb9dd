//! The arguments of a kernel, in the layout of `row.cuh`: the addresses of rows and the passes over them.

use crate::tensor::Tensor;

use crate::kernels::KernelError;
use crate::kernels::engine::Chunk;
use crate::kernels::memory;
use crate::passes::{Pass, Plan};
use crate::rows::TokenSet;

/// The struct `Task`, all of whose fields have 8 bytes. A gradient comes with its cotangents. All tensors are
/// contiguous, except those of vocabulary size.
pub(super) fn task(
    plan: &Plan,
    chunk: &Chunk,
    [sums, facts]: [&Tensor; 2],
    gradient: Option<(&Tensor, &Tensor)>,
) -> Result<Vec<u64>, KernelError> {
    let (gradient, cotangents) = gradient.unzip();
    let mut words = Vec::new();
    let references = chunk.references.iter().map(Some);
    for tensor in [Some(&chunk.logits), gradient].into_iter().chain(references) {
        words.extend(tensor.map_or(Ok([0; 3]), place)?);
    }
    let listed = chunk.ids.flat_lists();
    let small = chunk.ids.flat().iter().map(Some).chain([listed]);
    for tensor in small.chain([cotangents, Some(sums), Some(facts)]) {
        words.push(tensor.map_or(Ok(0), address)?);
    }
    // The backward pass has the divisors among the facts.
    let divisors = if gradient.is_none() { chunk.divisors(plan)? } else { None };
    words.push(divisors.map_or(Ok(0), address)?);
    let size = chunk.logits.size();
    words.extend([size[0] * size[1], size[1], size[2]].map(|number| number as u64));
    words.push(plan.lists.iter().sum::<usize>() as u64);
    words.extend(plan.lists.iter().map(|width| *width as u64));
    words.extend(plan.passes.iter().flat_map(pass));
    Ok(words)
}

/// The struct `Place`.
fn place(tensor: &Tensor) -> Result<[u64; 3], KernelError> {
    let stride = tensor.stride();
    Ok([address(tensor)?, stride[0] as u64, stride[1] as u64])
}

fn address(tensor: &Tensor) -> Result<u64, KernelError> {
    Ok(memory::address("logits", tensor)? as u64)
}

/// The struct `Pass`.
fn pass(pass: &Pass) -> [u64; 7] {
    let (count, number) = match pass.set {
        Some(TokenSet::TopK(k)) => (k, 0.0),
        Some(TokenSet::TopP(number) | TokenSet::MinP(number)) => (0, number),
        Some(TokenSet::All | TokenSet::Drop(_) | TokenSet::Given(_)) | None => (0, 0.0),
    };
    [
        pass.temperature.to_bits(),
        u64::from(pass.divided),
        u64::from(super::source::set_number(pass.set)),
        count as u64,
        f64::to_bits(number),
        pass.compares.map_or(0, |reference| 1 + reference as u64),
        pass.beta.unwrap_or(-1.0).to_bits(),
    ]
}
