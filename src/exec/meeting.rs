//! What the ranks of a step tell each other, so that they go on together or fail together.

use super::differences::{Fact, differences};
use super::error::{Error, Result};
use super::group::{Group, gather};
use std::hash::{DefaultHasher, Hash, Hasher};
use tch::{Kind, Tensor};

/// What a rank says of its rows.
#[derive(Clone, Debug, Default)]
pub(super) struct Report {
    pub rows: i64,
    pub width: i64,
    /// Valid tokens.
    pub tokens: i64,
    /// Sequences with one.
    pub sequences: i64,
    /// Loss, metrics and signals, when the step ends.
    pub scalars: Vec<f64>,
}

/// How many numbers stand before the scalars of a report.
const HEAD: usize = 6;

/// Exchanges reports, each of `scalars` scalars; whatever this rank says, all ranks have to come. An error on any of
/// them, or a fact that is not the same everywhere, becomes an error on all.
pub(super) fn meet<T>(
    group: &dyn Group,
    scalars: usize,
    own: Result<(Report, Vec<Fact>, T)>,
) -> Result<(Vec<Report>, T)> {
    let _untracked = tch::no_grad_guard();
    let heard = match &own {
        Ok((report, facts, _)) => exchange(group, report, facts, None),
        Err(error) => {
            let nothing = Report { scalars: vec![0.0; scalars], ..Report::default() };
            exchange(group, &nothing, &[], Some(&error.to_string()))
        }
    };
    // What this rank knows to be wrong says more than what the others make of it.
    let (_, _, kept) = own?;
    Ok((heard?, kept))
}

fn exchange(group: &dyn Group, own: &Report, facts: &[Fact], error: Option<&str>) -> Result<Vec<Report>> {
    let message = message(error.is_none(), own, facts);
    let heard = gather(group, &Tensor::from_slice(&message))?;
    let heard = heard.iter().map(|told| Ok(Vec::<i64>::try_from(told)?)).collect::<Result<Vec<_>>>()?;
    if heard[group.rank()] != message {
        return Err(Error::Group("expected the tensors in the order of ranks, found another order".into()));
    }
    if let Some(rank) = heard.iter().position(|told| told[0] == 0) {
        let message = tell(group, error.unwrap_or_default())?.swap_remove(rank);
        return Err(Error::Rank { rank, message });
    }
    if let Some(rank) = heard.iter().position(|told| told[1] != heard[0][1]) {
        let unreadable = |error: serde_json::Error| Error::Group(error.into());
        let texts = tell(group, &serde_json::to_string(facts).map_err(unreadable)?)?;
        let facts = |rank: usize| serde_json::from_str::<Vec<Fact>>(&texts[rank]).map_err(unreadable);
        let sides = ["on rank 0", &format!("on rank {rank}")];
        let found = differences(&facts(0)?, &facts(rank)?, sides).join("; ");
        return Err(Error::Rank { rank, message: format!("its step is not that of rank 0: {found}") });
    }
    let reports = heard.iter().map(|told| Report {
        rows: told[2],
        width: told[3],
        tokens: told[4],
        sequences: told[5],
        scalars: told[HEAD..].iter().map(|bits| f64::from_bits(*bits as u64)).collect(),
    });
    Ok(reports.collect())
}

fn message(fine: bool, report: &Report, facts: &[Fact]) -> Vec<i64> {
    let mut hasher = DefaultHasher::new();
    facts.hash(&mut hasher);
    let Report { rows, width, tokens, sequences, scalars } = report;
    let head: [i64; HEAD] = [i64::from(fine), hasher.finish() as i64, *rows, *width, *tokens, *sequences];
    // As bits, so that what is not a number travels too.
    head.into_iter().chain(scalars.iter().map(|scalar| scalar.to_bits() as i64)).collect()
}

/// What every rank has to say.
fn tell(group: &dyn Group, text: &str) -> Result<Vec<String>> {
    let lengths = gather(group, &Tensor::from_slice(&[text.len() as i64]))?;
    let lengths = lengths.iter().map(|length| Ok(length.f_int64_value(&[0])? as usize));
    let lengths = lengths.collect::<Result<Vec<_>>>()?;
    let mut bytes = text.as_bytes().to_vec();
    // Not every transport sends an empty tensor.
    bytes.resize(lengths.iter().copied().max().unwrap_or(0).max(1), 0);
    let texts = gather(group, &Tensor::from_slice(&bytes))?;
    let read = |(text, length): (&Tensor, &usize)| {
        let bytes = Vec::<u8>::try_from(&text.f_to_kind(Kind::Uint8)?)?;
        Ok(String::from_utf8_lossy(&bytes[..*length]).into_owned())
    };
    texts.iter().zip(&lengths).map(read).collect()
}
