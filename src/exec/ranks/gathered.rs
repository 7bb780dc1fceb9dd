//! Gathers the rows of all ranks into one part.

use super::group::{ProcessGroup, gather};
use super::meeting::Report;
use crate::exec::error::Result;
use crate::exec::part::{Part, mean, pad};
use crate::plan::{Leaf, Plan};
use crate::plugin::Mask;
use crate::tensor::{DType, Tensor};

/// The whole step, with only the tensors that `wanted` nodes read. `own` holds all rows of this rank.
pub(in crate::exec) fn gathered(
    own: &Part,
    group: &dyn ProcessGroup,
    ranks: &[Report],
    plan: &Plan,
    wanted: &[bool],
) -> Result<Part> {
    let _untracked = own.mask.tokens.no_grad();
    let all = |tensor: &Tensor| rows_of_all(own, group, ranks, tensor);
    let read: Vec<Leaf> = plan
        .nodes
        .iter()
        .zip(wanted)
        .filter(|(_, wanted)| **wanted)
        .filter_map(|(node, _)| node.leaf)
        .collect();
    let mask = Mask::new(all(&own.mask.tokens)?);
    let mut fields = vec![None; own.fields.len()];
    for (index, field) in own.fields.iter().enumerate() {
        if let Some(field) = field
            && read.contains(&Leaf::Field(index))
        {
            fields[index] = Some(match field.dim() {
                0 if plan.fields[index].is_of_each_part() => pooled(own, group, field)?,
                // Scalars were compared between ranks.
                0 => field.clone(),
                _ => all(field)?,
            });
        }
    }
    let log_prob = own.log_prob.as_ref().filter(|_| read.contains(&Leaf::LogProb)).map(all).transpose()?;
    let reads_rows = read.iter().any(|leaf| matches!(leaf, Leaf::Row(_)));
    let rows = own.rows.iter().filter(|_| reads_rows).map(all).collect::<Result<_>>()?;
    Ok(Part { mask, fields, log_prob, rows, actions: None, unchecked: own.unchecked.clone(), kind: own.kind })
}

/// The mean of a scalar over the ranks, weighted by their valid tokens.
fn pooled(own: &Part, group: &dyn ProcessGroup, field: &Tensor) -> Result<Tensor> {
    let told = Tensor::stack(&own.weighted(&field.detach().to_dtype(DType::F64), DType::F64), 0);
    let heard: Vec<[Tensor; 2]> =
        gather(group, &told)?.iter().map(|told| [0, 1].map(|index| told.select(0, index))).collect();
    Ok(mean(&heard).to_dtype(field.dtype()).to_device(own.device()))
}

/// Concatenates a tensor's rows of all ranks, in rank order.
fn rows_of_all(own: &Part, group: &dyn ProcessGroup, ranks: &[Report], tensor: &Tensor) -> Result<Tensor> {
    let most = |of: fn(&Report) -> i64| ranks.iter().map(of).max().unwrap_or(0);
    // Some transports cannot send empty tensors.
    let (rows, width) = (most(|rank| rank.rows).max(1), most(|rank| rank.width));
    let padded = pad(tensor, width);
    let mut size = padded.size();
    size[0] = rows - size[0];
    let padding = padded.zeros(&size, padded.dtype());
    let padded = Tensor::cat(&[padded, padding], 0);
    let truth = padded.dtype() == DType::Bool;
    // Few transports support bool tensors.
    let sent = if truth { padded.to_dtype(DType::U8) } else { padded };
    let heard = gather(group, &sent.contiguous().ok()?)?;
    let own_rows: Vec<Tensor> =
        heard.iter().zip(ranks).map(|(told, rank)| told.narrow(0, 0, rank.rows)).collect();
    let joined = Tensor::cat(&own_rows, 0).to_device(own.device());
    Ok(if truth { joined.to_dtype(DType::Bool) } else { joined })
}
