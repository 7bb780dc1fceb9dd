//! Gathers the rows of all ranks into one part.

use super::error::Result;
use super::group::{ProcessGroup, gather};
use super::meeting::Report;
use super::part::Part;
use super::whole::pad;
use crate::plugin::Mask;
use crate::program::{Op, Program};
use crate::tensor::{DType, Tensor};
use std::collections::BTreeMap;

impl Part {
    /// The whole step, with only the tensors that `wanted` nodes read. `self` holds all rows of this rank.
    pub(super) fn gathered(
        &self,
        group: &dyn ProcessGroup,
        ranks: &[Report],
        program: &Program,
        wanted: &[bool],
    ) -> Result<Part> {
        let _untracked = self.mask.tokens.no_grad();
        let all = |tensor: &Tensor| self.rows_of_all(group, ranks, tensor);
        let ops =
            || program.nodes.iter().zip(wanted).filter(|(_, wanted)| **wanted).map(|(node, _)| &node.op);
        let mask = Mask::new(all(&self.mask.tokens)?);
        let mut fields = BTreeMap::new();
        for (name, field) in &self.fields {
            // The mask is gathered already, and scalars were compared between ranks.
            if ops().any(|op| matches!(op, Op::Field(of) if of == name)) && name != "response_mask" {
                fields.insert(name.clone(), if field.dim() == 0 { field.clone() } else { all(field)? });
            }
        }
        let reads_log_prob = ops().any(|op| matches!(op, Op::LogProb(_)));
        let log_prob = self.log_prob.as_ref().filter(|_| reads_log_prob).map(all).transpose()?;
        let reads_rows = ops().any(|op| matches!(op, Op::Row(_)));
        let rows = self.rows.iter().filter(|_| reads_rows).map(all).collect::<Result<_>>()?;
        Ok(Part { mask, fields, log_prob, rows, actions: None, kind: self.kind })
    }

    /// Concatenates a tensor's rows of all ranks, in rank order.
    fn rows_of_all(&self, group: &dyn ProcessGroup, ranks: &[Report], tensor: &Tensor) -> Result<Tensor> {
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
        let own: Vec<Tensor> =
            heard.iter().zip(ranks).map(|(told, rank)| told.narrow(0, 0, rank.rows)).collect();
        let joined = Tensor::cat(&own, 0).to_device(self.device());
        Ok(if truth { joined.to_dtype(DType::Bool) } else { joined })
    }
}
