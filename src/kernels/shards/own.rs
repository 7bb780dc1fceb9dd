//! Maps the token ids that a row names to ids in this rank's shard.

use crate::kernels::KernelError;
use crate::kernels::engine::Numbers;
use crate::kernels::ids::{Ids, Lists};
use crate::passes::{Plan, sums};
use crate::tensor::{DType, Tensor};

use super::local::Local;

/// Which tokens of rows are elsewhere, as numbers on the host: what the backward pass needs.
pub(in crate::kernels) struct Own {
    /// `[N]`: one where the action is elsewhere.
    elsewhere: Vec<i64>,
    /// `[N, W]`: where among all lists each id of the shard's lists was.
    order: Vec<i64>,
}

impl Own {
    /// Of a shard of `width` tokens from id `offset` on; and the ids of these tokens in the shard. An action elsewhere is its first
    /// token; ids elsewhere are -1, so that lists are sorted again.
    pub(super) fn of(ids: &Ids, offset: i64, width: i64) -> Result<(Self, Ids), KernelError> {
        let [actions, mask] = ids.tensors();
        let is_here = |ids: &Tensor| ids.ge(offset).logical_and(&ids.lt(offset + width));
        let moved = |ids: &Tensor, none: i64| {
            let moved = ids - offset;
            is_here(ids).where_cond(&moved, &moved.full_like(none)).ok()
        };
        let elsewhere = is_here(actions).logical_not().to_dtype(DType::I64).to_i64s()?;
        let mut own = Self { elsewhere, order: Vec::new() };
        let mut in_shard = Ids::new(moved(actions, 0)?, mask.clone());
        if let (Some(lists), Some(flat)) = (ids.lists(), ids.flat_lists()) {
            let (mut sorted, mut order, mut first) = (Vec::new(), Vec::new(), 0);
            for (_, length) in lists.fields.iter() {
                let [ids, places] = moved(&flat.narrow(1, first, *length as i64), -1)?.sort(-1, false);
                sorted.push(ids);
                order.push(places + first);
                first += *length as i64;
            }
            let ids = Tensor::cat(&sorted, 1).reshape(&lists.ids.size()).ok()?;
            in_shard = in_shard.with_lists(Some(Lists { fields: lists.fields.clone(), ids }));
            own.order = Tensor::cat(&order, 1).to_i64s()?;
        }
        Ok((own, in_shard))
    }

    /// Puts the logits of single tokens into sums of rows that count: zero for tokens elsewhere, and lists in the order of the
    /// batch. Those of `spared` rows are still to be read.
    pub(super) fn place(
        &self,
        plan: &Plan,
        counted: &[usize],
        spared: &[usize],
        (local, ids): (&Local<'_>, &Ids),
        sums: &mut [f64],
    ) -> Result<(), KernelError> {
        // A clone, because engines on a device take ids that are known on the host for the CPU's.
        let known = ids.clone().host(local.width)?;
        let width: usize = plan.lists.iter().sum();
        for row in spared {
            let place = counted[*row];
            let listed = &known.listed[place * width..][..width];
            let mut wanted = vec![known.actions[place]];
            wanted.extend(listed.iter().map(|id| (*id).max(0)));
            let logits = local.logits_at(*row, &wanted)?;
            let line = &mut sums[row * plan.sums()..][..plan.sums()];
            line[sums::CHOSEN] = logits[0];
            for ((sum, logit), id) in line[plan.first_listed()..].iter_mut().zip(&logits[1..]).zip(listed) {
                *sum = if *id < 0 { 0.0 } else { *logit };
            }
        }
        for (line, place) in sums.chunks_exact_mut(plan.sums()).zip(counted) {
            if self.elsewhere[*place] != 0 {
                line[sums::CHOSEN] = 0.0;
            }
            let line = &mut line[plan.first_listed()..];
            let in_shard = line.to_vec();
            for (logit, at) in in_shard.iter().zip(&self.order[place * width..][..width]) {
                line[*at as usize] = *logit;
            }
        }
        Ok(())
    }

    /// The cotangents of this shard's sums from those of all, both `[N, plan.sums()]`, or of `picked` rows.
    pub(in crate::kernels) fn cotangents(
        &self,
        plan: &Plan,
        of_all: &Numbers,
        near: &Tensor,
        picked: Option<&Tensor>,
    ) -> Result<Numbers, KernelError> {
        let of_all = of_all.tensor(plan.sums(), near)?;
        let rows = self.elsewhere.len();
        let of_rows = |numbers: &[i64]| {
            let size = [rows as i64, (numbers.len() / rows.max(1)) as i64];
            let all = Tensor::from_slice(near.host()?, numbers, &size).to_device(near.device());
            Ok::<_, KernelError>(picked.map_or_else(|| all.clone(), |rows| all.index_select(0, rows)))
        };
        let first = plan.first_listed() as i64;
        let chosen = of_all.narrow(1, 0, 1).masked_fill(&of_rows(&self.elsewhere)?.gt(0i64), 0.0);
        let mut parts = vec![chosen, of_all.narrow(1, 1, first - 1)];
        if !self.order.is_empty() {
            let listed = of_all.narrow(1, first, of_all.length(1) - first);
            parts.push(listed.gather(1, &of_rows(&self.order)?));
        }
        Ok(Numbers::Device(Tensor::cat(&parts, 1).to_dtype(DType::F64).contiguous().ok()?))
    }
}
