//! Messages between the ranks of a step, so that they continue together or fail together.

use super::group::{ProcessGroup, gather};
use crate::exec::error::{Error, Result};
use crate::exec::facts::{Fact, differences};
use crate::tensor::Tensor;
use std::hash::{DefaultHasher, Hash, Hasher};

/// A rank's counts, and at the end its scalars.
#[derive(Clone, Debug, Default)]
pub(in crate::exec) struct Report {
    pub rows: i64,
    pub width: i64,
    /// Valid tokens.
    pub tokens: i64,
    /// Sequences with a valid token.
    pub sequences: i64,
    /// Loss, metrics and signals, at the end of the step.
    pub scalars: Vec<f64>,
}

/// A point of the step at which ranks exchange messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::exec) enum Place {
    /// Before the first share.
    Start,
    /// Before the end, for values that span the step.
    Look,
    /// At the end, with the scalars.
    End,
}

/// A rank's position.
#[derive(Clone, Copy, Debug)]
pub(in crate::exec) struct At {
    pub place: Place,
    /// The number of steps it has observed.
    pub steps: u64,
}

/// The first number of every message, to tell it from other traffic on the same transport.
const MARK: i64 = i64::from_be_bytes(*b"aentstep");

/// The number of integers before the scalars of a message.
const HEAD: usize = 10;

/// The length of every message, the same at every place, so that ranks at different places understand each other. Scalars
/// that do not fit follow in a second message.
const ROOM: usize = 32;

/// Exchanges reports. Every rank must call it, even with an error. An error on any rank, a different place, or a fact
/// that differs between ranks is an error on all.
pub(in crate::exec) fn meet<T>(
    group: &dyn ProcessGroup,
    at: At,
    own: Result<(Report, Vec<Fact>, T)>,
) -> Result<(Vec<Report>, T)> {
    let _untracked = group.host().record_gradient(false);
    let heard = match &own {
        Ok((report, facts, _)) => exchange(group, at, report, facts, None),
        Err(error) => exchange(group, at, &Report::default(), &[], Some(&error.to_string())),
    };
    // This rank's own error says more than the one that the exchange returns.
    let (_, _, kept) = own?;
    Ok((heard?, kept))
}

/// Sends an error to the other ranks, and returns it.
pub(in crate::exec) fn refuse(group: &dyn ProcessGroup, at: At, error: Error) -> Error {
    match meet::<()>(group, at, Err(error)) {
        Err(error) => error,
        Ok(_) => unreachable!("a meeting with an error has one"),
    }
}

fn exchange(
    group: &dyn ProcessGroup,
    at: At,
    own: &Report,
    facts: &[Fact],
    error: Option<&str>,
) -> Result<Vec<Report>> {
    let (message, more) = message(error.is_none(), at, own, facts);
    let heard = gather(group, &numbers(group, &message))?;
    let heard = heard.iter().map(|told| Ok(told.to_i64s()?)).collect::<Result<Vec<Vec<i64>>>>()?;
    if heard[group.rank()] != message {
        return Err(Error::Group("expected the tensors in the order of ranks, found another order".into()));
    }
    if let Some(rank) = heard.iter().position(|told| told[0] != MARK) {
        let message = "it sent something else than a step does: the ranks are out of step".to_owned();
        return Err(Error::Rank { rank, message });
    }
    if let Some(rank) = heard.iter().position(|told| told[1] == 0) {
        let message = tell(group, error.unwrap_or_default())?.swap_remove(rank);
        return Err(Error::Rank { rank, message });
    }
    if let Some(rank) = heard.iter().position(|told| told[2] != heard[0][2]) {
        let (there, here) = (whereabouts(&heard[rank]), whereabouts(&heard[0]));
        let message = format!("it is {there}, and rank 0 {here}: the ranks are out of step");
        return Err(Error::Rank { rank, message });
    }
    if let Some(rank) = heard.iter().position(|told| told[4] != heard[0][4]) {
        let unreadable = |error: serde_json::Error| Error::Group(error.into());
        let texts = tell(group, &serde_json::to_string(facts).map_err(unreadable)?)?;
        let facts = |rank: usize| serde_json::from_str::<Vec<Fact>>(&texts[rank]).map_err(unreadable);
        let sides = ["on rank 0", &format!("on rank {rank}")];
        let found = differences(&facts(0)?, &facts(rank)?, sides).join("; ");
        return Err(Error::Rank { rank, message: format!("its step is not that of rank 0: {found}") });
    }
    let more = if more.is_empty() {
        vec![Vec::new(); heard.len()]
    } else {
        let told = gather(group, &numbers(group, &more))?;
        told.iter().map(|told| Ok(told.to_i64s()?)).collect::<Result<_>>()?
    };
    let reports = heard.iter().zip(&more).map(|(told, more)| Report {
        rows: told[5],
        width: told[6],
        tokens: told[7],
        sequences: told[8],
        scalars: told[HEAD..]
            .iter()
            .chain(more)
            .take(told[9] as usize)
            .map(|bits| f64::from_bits(*bits as u64))
            .collect(),
    });
    Ok(reports.collect())
}

/// A message, and the scalars that do not fit into it.
fn message(fine: bool, at: At, report: &Report, facts: &[Fact]) -> (Vec<i64>, Vec<i64>) {
    let mut hasher = DefaultHasher::new();
    facts.hash(&mut hasher);
    let Report { rows, width, tokens, sequences, scalars } = report;
    let count = scalars.len() as i64;
    let (place, steps, hash) = (at.place as i64, at.steps as i64, hasher.finish() as i64);
    let head: [i64; HEAD] =
        [MARK, i64::from(fine), place, steps, hash, *rows, *width, *tokens, *sequences, count];
    // Sent as bits, so that NaN survives too.
    let scalars = scalars.iter().map(|scalar| scalar.to_bits() as i64);
    let mut message: Vec<i64> = head.into_iter().chain(scalars).collect();
    let more = message.split_off(message.len().min(ROOM));
    message.resize(ROOM, 0);
    (message, more)
}

/// The position of a rank in words, from its message.
fn whereabouts(told: &[i64]) -> String {
    let place = match told[2] {
        0 => "before the first share",
        1 => "before the metrics",
        _ => "at the end",
    };
    format!("{place} of step {}", told[3] + 1)
}

fn numbers(group: &dyn ProcessGroup, numbers: &[i64]) -> Tensor {
    Tensor::from_slice(group.host(), numbers, &[numbers.len() as i64])
}

/// Exchanges one text per rank.
fn tell(group: &dyn ProcessGroup, text: &str) -> Result<Vec<String>> {
    let lengths = gather(group, &numbers(group, &[text.len() as i64]))?;
    let lengths = lengths.iter().map(|length| Ok(length.i64_at(&[0])? as usize));
    let lengths = lengths.collect::<Result<Vec<_>>>()?;
    let mut bytes = text.as_bytes().to_vec();
    // Some transports cannot send empty tensors.
    bytes.resize(lengths.iter().copied().max().unwrap_or(0).max(1), 0);
    let size = [bytes.len() as i64];
    let texts = gather(group, &Tensor::from_slice(group.host(), &bytes, &size).ok()?)?;
    let read = |(text, length): (&Tensor, &usize)| {
        let bytes = text.to_u8s()?;
        Ok(String::from_utf8_lossy(&bytes[..*length]).into_owned())
    };
    texts.iter().zip(&lengths).map(read).collect()
}

/// Number of rows on lower ranks.
pub(in crate::exec) fn rows_before(ranks: &[Report], group: &dyn ProcessGroup) -> i64 {
    ranks[..group.rank()].iter().map(|rank| rank.rows).sum()
}
