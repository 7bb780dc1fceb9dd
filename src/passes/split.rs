//! Takes a request apart into what engines compute: statistics of rows alone, and log-probabilities of tokens that the batch lists.

use super::Listed;
use crate::rows::{FieldName, RowStatistic, Statistic, TokenSet};

/// A request, taken apart into what engines compute.
pub(crate) struct Split {
    /// Statistics of rows alone.
    pub(crate) request: Vec<RowStatistic>,
    /// Log-probabilities of listed tokens.
    pub(crate) listed: Vec<Listed>,
    /// The fields with lists of ids.
    pub(crate) fields: Vec<FieldName>,
    pub(crate) origins: Vec<Origin>,
}

/// Where a statistic comes from.
#[derive(Clone, Copy)]
pub(crate) enum Origin {
    /// It is one of the rows alone.
    Row(usize),
    /// It is computed from the log-probabilities of listed tokens, and from a statistic of the rows if one is given.
    Listed { listed: usize, row: Option<usize> },
}

impl Split {
    pub(crate) fn of(request: &[RowStatistic]) -> Self {
        let mut split =
            Self { request: Vec::new(), listed: Vec::new(), fields: Vec::new(), origins: Vec::new() };
        for asked in request {
            let origin = match asked.listed() {
                // Without lists, what engines compute is the answer, so each has its own place.
                None => {
                    split.request.push(*asked);
                    Origin::Row(split.request.len() - 1)
                }
                Some(field) => {
                    let list = place(&mut split.fields, field);
                    let (temperature, divided) = (asked.temperature, asked.divisor.is_some());
                    let of_list = Listed { list, temperature, divided };
                    let listed = place(&mut split.listed, of_list);
                    let of_all = |statistic| RowStatistic { set: TokenSet::All, statistic, ..*asked };
                    let row = match asked.statistic {
                        Statistic::LogProbWithin => Some(of_all(Statistic::LogProb)),
                        Statistic::LogSumExp | Statistic::Mean | Statistic::SecondMoment => {
                            Some(of_all(Statistic::LogSumExp))
                        }
                        _ => None,
                    };
                    Origin::Listed { listed, row: row.map(|row| place(&mut split.request, row)) }
                }
            };
            split.origins.push(origin);
        }
        split
    }
}

/// The place of an item, which is added if it is new.
fn place<T: PartialEq>(items: &mut Vec<T>, item: T) -> usize {
    let known = items.iter().position(|of| *of == item);
    known.unwrap_or_else(|| {
        items.push(item);
        items.len() - 1
    })
}
