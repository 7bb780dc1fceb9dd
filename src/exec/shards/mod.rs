//! Sequences in shards: each rank has some of the tokens of the same sequences. Row statistics are computed where the
//! tokens are; what a formula reads of a token is a few numbers, which the ranks gather into whole sequences.

mod layout;
mod own;

use super::batch::Batch;
use super::error::{Error, Result, caught};
use super::frozen::Frozen;
use super::output::Output;
use super::ranks::{At, Place, ProcessGroup, Report, gather, meet, refuse};
use crate::plan::FirstPass;
use crate::tensor::{DType, Tensor};
use layout::Layout;
pub use layout::Order;
use own::Own;
use std::sync::Arc;

/// The ranks that hold the tokens of the same sequences, and which of them each rank has.
///
/// Every rank calls a step with its own tokens, `[B, T / ranks]`; what is one value for each sequence or for the batch is the
/// same on all of them. A packed batch has its own part of the tokens, and `cu_seqlens` of the whole.
///
/// Ranks gather what the program reads of a token: the mask, its row statistics and batch fields, of 4 bytes each in f32,
/// never logits nor hidden states. Then each computes the step on the whole sequences. So every reduction and every scan
/// is that of one process, and the gradient goes to the own tokens. All ranks end with the same numbers to the bit.
///
/// ```no_run
/// # fn run(session: &aent::Session, batch: &aent::Batch, ranks: std::sync::Arc<dyn aent::ProcessGroup>) -> aent::Result<()> {
/// use aent::{Order, SequenceShards};
///
/// let shards = SequenceShards::new(ranks, Order::Zigzag);
/// let (share, output) = session.forward_shards(batch, shards, None)?;
/// share.backward()?; // the gradients of all ranks add up to that of the step
/// println!("{:?}", output.metrics()?);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct SequenceShards {
    group: Arc<dyn ProcessGroup>,
    order: Order,
}

impl SequenceShards {
    /// The ranks of `group`, each with the tokens that `order` gives to it.
    pub fn new(group: Arc<dyn ProcessGroup>, order: Order) -> Self {
        Self { group, order }
    }

    /// The number of ranks.
    pub fn size(&self) -> usize {
        self.group.size()
    }

    /// Gathers the whole of a tensor whose own part lies along `dim`, in the order of tokens. Gradient flows to the own
    /// part alone: that of a loss which every rank computes alike.
    ///
    /// With `cu_seqlens` of the whole, `dim` has the tokens of a packed batch, and what lies behind its end is left out.
    pub fn gather(&self, own: &Tensor, dim: usize, cu_seqlens: Option<&Tensor>) -> Result<Tensor> {
        self.whole_of(own, dim, &self.layout(own.length(dim), cu_seqlens)?)
    }

    /// The own part of a whole tensor along `dim`; zeros behind the end of a packed batch.
    pub fn own(
        &self,
        whole: &Tensor,
        dim: usize,
        tokens: i64,
        cu_seqlens: Option<&Tensor>,
    ) -> Result<Tensor> {
        self.layout(tokens, cu_seqlens)?.own(whole, dim, self.group.rank())
    }

    fn layout(&self, tokens: i64, cu_seqlens: Option<&Tensor>) -> Result<Layout> {
        Layout::new(self.order, self.group.size(), tokens, cu_seqlens)
    }

    fn whole_of(&self, own: &Tensor, dim: usize, layout: &Layout) -> Result<Tensor> {
        let (rank, kind) = (self.group.rank(), own.dtype());
        let mut parts = vec![own.clone(); self.group.size()];
        if own.numel() > 0 {
            let sent = own.detach().to_dtype(sendable(kind)).contiguous().ok()?;
            let heard = gather(&*self.group, &sent)?;
            let others = heard.iter().enumerate().filter(|(other, _)| *other != rank);
            for (other, told) in others {
                parts[other] = told.to_dtype(kind).to_device(own.device());
            }
        }
        layout.whole(&Tensor::cat(&parts, dim as i64), dim)
    }

    /// A batch of whole sequences, with what `depth` reads of it; with its actions where it has to be `recognised`. Every rank
    /// must come here, whatever happened to it.
    pub(super) fn whole(
        &self,
        frozen: &Frozen,
        batch: &Batch,
        depth: FirstPass,
        recognised: bool,
    ) -> Result<Batch> {
        let own = caught(|| Own::of(self, frozen, batch, depth, recognised));
        let told = own.and_then(|own| {
            let mut facts = frozen.facts();
            facts.extend(own.facts(frozen.setup.options.validate)?);
            Ok((Report::default(), facts, own))
        });
        let (_, own) = meet(&*self.group, At { place: Place::Start, steps: frozen.steps }, told)?;
        let mut whole = own.alike;
        for (name, tensor) in &own.of_tokens {
            let gathered = self.whole_of(tensor, own.dim, &own.layout)?;
            whole = whole.with(name.clone(), gathered);
        }
        for (name, scalar) in &own.scalars {
            whole = whole.with(name.clone(), self.pooled(scalar, &own.tokens)?);
        }
        Ok(whole)
    }

    /// The mean of a scalar over the ranks, weighted by their valid tokens.
    fn pooled(&self, scalar: &Tensor, tokens: &Tensor) -> Result<Tensor> {
        let layout = Layout::in_order(1);
        let (kind, each) = (scalar.dtype(), |tensor: &Tensor| tensor.reshape(&[1]));
        let weights = self.whole_of(&each(&tokens.to_dtype(kind)), 0, &layout)?;
        let values = self.whole_of(&each(scalar), 0, &layout)?;
        Ok(((values * &weights).sum() / weights.sum().clamp_min(1.0)).ok()?)
    }

    /// What the first rank found, so that the controllers of all ranks move by the same bits; or the error of any of them.
    pub(super) fn agreed(&self, steps: u64, found: Result<Output>) -> Result<Output> {
        let told = found.and_then(|output| {
            let report = Report { scalars: output.scalars()?, ..Report::default() };
            Ok((report, Vec::new(), output))
        });
        let (ranks, output) = meet(&*self.group, At { place: Place::End, steps }, told)?;
        Ok(output.with_scalars(&ranks[0].scalars))
    }

    /// Tells the other ranks of an error, at the place where they come together next.
    pub(super) fn refuse(&self, steps: u64, error: Error) -> Error {
        refuse(&*self.group, At { place: Place::Start, steps }, error)
    }

    /// A share that every rank has whole, so that those of all ranks add up to it: its value in equal parts, its gradient
    /// for the own tokens.
    pub(super) fn portion(&self, loss: &Tensor) -> Result<Tensor> {
        let value = loss.detach();
        Ok((loss - &value + &value / self.group.size() as f64).ok()?)
    }
}

/// The kind in which a transport carries numbers of a kind.
fn sendable(kind: DType) -> DType {
    match kind {
        DType::F32 | DType::F64 | DType::I64 => kind,
        DType::Bool | DType::U8 => DType::U8,
        DType::F16 | DType::BF16 => DType::F32,
        _ => DType::I64,
    }
}
