//! What the ranks that hold the shards of a vocabulary tell each other, so that they go on together or fail together.

use std::error::Error;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::kernels::KernelError;
use crate::tensor::{Host, Tensor};

/// The transport between the ranks that hold the shards of a vocabulary.
pub trait Exchange: fmt::Debug + Send + Sync {
    /// This rank, from 0.
    fn rank(&self) -> usize;

    /// The number of ranks.
    fn size(&self) -> usize;

    /// The library whose tensors it exchanges.
    fn host(&self) -> &'static dyn Host;

    /// The tensors of all ranks, in their order. All pass the same shape and kind (i64, f64 or u8), on the CPU.
    fn all_gather(&self, tensor: &Tensor) -> Result<Vec<Tensor>, Box<dyn Error + Send + Sync>>;
}

/// A vocabulary in shards: each rank of a group holds the logits of some tokens of every row, and lower ranks hold lower ids.
/// The shards need not be of one width.
///
/// Ranks send sums of rows and counts of tokens, never logits. Each exchange is a head of eight integers from every rank, and
/// then numbers, if there are any. A rank that failed sends a head that says so, and its words, at whichever exchange the others
/// are, so that none of them waits for it.
#[derive(Debug)]
pub struct Shards<'a> {
    group: &'a dyn Exchange,
    /// Whether an exchange failed, which all ranks know of.
    is_over: AtomicBool,
}

/// What an exchange is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Start,
    Whole,
    Reach,
    Narrow,
    Ties,
    Sets,
    End,
}

/// What a rank says of itself when it begins.
#[derive(Clone, Copy, Debug)]
pub(super) struct Beginning {
    /// How many tokens it holds.
    pub(super) width: i64,
    /// A hash of the statistics that it computes, and how.
    pub(super) statistics: i64,
    /// A hash of its rows: which count, their actions and what is listed for them.
    pub(super) rows: i64,
    /// How many bytes it spends on a few rows at once.
    pub(super) bytes: i64,
}

/// The first number of a head, to tell it from other traffic on the same transport.
const MARK: i64 = i64::from_be_bytes(*b"aentvoca");

/// The length of a head.
const HEAD: usize = 8;

impl<'a> Shards<'a> {
    /// The shards of the ranks of a group, before anything is exchanged.
    pub fn new(group: &'a dyn Exchange) -> Self {
        Self { group, is_over: AtomicBool::new(false) }
    }

    /// Runs what reads the shards, on every rank. An error on one rank becomes an error on all of them.
    pub fn together<T, E: fmt::Display + From<KernelError>>(
        &self,
        run: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        let done = match run() {
            Ok(done) => done,
            Err(error) => {
                self.fail(&error.to_string());
                return Err(error);
            }
        };
        self.head(Stage::End, 0, [0; 4])?;
        Ok(done)
    }

    /// Tells the other ranks of an error of this one, unless all know of one already.
    pub fn fail(&self, words: &str) {
        let _untracked = self.group.host().record_gradient(false);
        if self.is_over.swap(true, Ordering::Relaxed) {
            return;
        }
        let mut head = [0; HEAD];
        head[0] = MARK;
        if gather(self.group, &self.numbers(&head)).is_ok() {
            // This rank has an error to return, whatever becomes of the transport.
            let _ = tell(self.group, words);
        }
    }

    pub(super) fn rank(&self) -> usize {
        self.group.rank()
    }

    pub(super) fn size(&self) -> usize {
        self.group.size()
    }

    /// What all ranks say of themselves.
    pub(super) fn begin(&self, own: Beginning) -> Result<Vec<Beginning>, KernelError> {
        let heads = self.head(Stage::Start, 0, [own.width, own.statistics, own.rows, own.bytes])?;
        let told: Vec<Beginning> = heads
            .iter()
            .map(|head| Beginning { width: head[4], statistics: head[5], rows: head[6], bytes: head[7] })
            .collect();
        let differs = |of: fn(&Beginning) -> i64| told.iter().position(|other| of(other) != of(&told[0]));
        if let Some(rank) = differs(|told| told.statistics) {
            let message =
                "expected the statistics that rank 0 computes, of logits of the same kind, found others";
            return Err(self.refuse(rank, message));
        }
        if let Some(rank) = differs(|told| told.rows) {
            let message = "expected the rows of rank 0, of which each rank holds other tokens: found another \
                           `response_mask`, other `actions` or other tokens in lists";
            return Err(self.refuse(rank, message));
        }
        Ok(told)
    }

    /// The numbers of all ranks. All send as many at the same stage.
    pub(super) fn exchange(&self, stage: Stage, numbers: &[f64]) -> Result<Vec<Vec<f64>>, KernelError> {
        let heads = self.head(stage, numbers.len(), [0; 4])?;
        // Some transports cannot send empty tensors.
        if numbers.is_empty() {
            return Ok(vec![Vec::new(); heads.len()]);
        }
        let _untracked = self.group.host().record_gradient(false);
        self.is_over.store(true, Ordering::Relaxed);
        let tensor = Tensor::from_slice(self.group.host(), numbers, &[numbers.len() as i64]);
        let told = gather(self.group, &tensor)?;
        let told = told.iter().map(|told| Ok(told.to_f64s()?)).collect::<Result<_, KernelError>>()?;
        self.is_over.store(false, Ordering::Relaxed);
        Ok(told)
    }

    /// The heads of all ranks at the same stage.
    fn head(&self, stage: Stage, count: usize, more: [i64; 4]) -> Result<Vec<Vec<i64>>, KernelError> {
        let _untracked = self.group.host().record_gradient(false);
        // Only a whole exchange leaves the others where this rank is.
        self.is_over.store(true, Ordering::Relaxed);
        let group = self.group;
        let mut own = vec![MARK, 1, stage as i64, count as i64];
        own.extend(more);
        let heads = gather(group, &self.numbers(&own))?;
        let heads = heads.iter().map(|told| Ok(told.to_i64s()?)).collect::<Result<Vec<_>, KernelError>>()?;
        if heads[group.rank()] != own {
            let words = "expected the tensors in the order of ranks, found another order";
            return Err(KernelError::Group(words.into()));
        }
        if let Some(rank) = heads.iter().position(|told| told[0] != MARK) {
            let message =
                "it sent something else than a shard's numbers: the ranks are out of step".to_owned();
            return Err(KernelError::Rank { rank, message });
        }
        if let Some(rank) = heads.iter().position(|told| told[1] == 0) {
            let message = tell(group, "")?.swap_remove(rank);
            return Err(KernelError::Rank { rank, message });
        }
        if let Some(rank) = heads.iter().position(|told| told[2..4] != heads[0][2..4]) {
            let message = "it is at another place than rank 0: the ranks read different logits, or different statistics of them";
            return Err(KernelError::Rank { rank, message: message.to_owned() });
        }
        self.is_over.store(false, Ordering::Relaxed);
        Ok(heads)
    }

    /// Refuses what another rank brought, after an exchange that told all ranks the same.
    fn refuse(&self, rank: usize, message: &str) -> KernelError {
        self.is_over.store(true, Ordering::Relaxed);
        KernelError::Rank { rank, message: message.to_owned() }
    }

    fn numbers(&self, numbers: &[i64]) -> Tensor {
        Tensor::from_slice(self.group.host(), numbers, &[numbers.len() as i64])
    }
}

/// Gathers, and checks the transport's answer.
fn gather(group: &dyn Exchange, tensor: &Tensor) -> Result<Vec<Tensor>, KernelError> {
    let all = group.all_gather(tensor).map_err(KernelError::Group)?;
    let alike = |found: &Tensor| found.size() == tensor.size() && found.dtype() == tensor.dtype();
    if group.rank() >= group.size() || all.len() != group.size() || !all.iter().all(alike) {
        let words = format!("expected {} tensors like {tensor:?}, one of each rank", group.size());
        return Err(KernelError::Group(words.into()));
    }
    Ok(all)
}

/// Exchanges one text per rank.
fn tell(group: &dyn Exchange, text: &str) -> Result<Vec<String>, KernelError> {
    let lengths = gather(group, &Tensor::from_slice(group.host(), &[text.len() as i64], &[1]))?;
    let lengths = lengths.iter().map(|length| Ok(length.i64_at(&[0])? as usize));
    let lengths = lengths.collect::<Result<Vec<_>, KernelError>>()?;
    let mut bytes = text.as_bytes().to_vec();
    bytes.resize(lengths.iter().copied().max().unwrap_or(0).max(1), 0);
    let size = [bytes.len() as i64];
    let texts = gather(group, &Tensor::from_slice(group.host(), &bytes, &size))?;
    let read = |(text, length): (&Tensor, &usize)| {
        let bytes = text.to_u8s()?;
        Ok(String::from_utf8_lossy(&bytes[..*length]).into_owned())
    };
    texts.iter().zip(&lengths).map(read).collect()
}
