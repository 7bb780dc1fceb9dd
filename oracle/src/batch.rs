//! The numbers of a batch, by the names that the language gives its fields.

use crate::{Result, wrong};
use std::collections::BTreeMap;

/// The numbers of one field, row by row.
#[derive(Clone, Debug, PartialEq)]
pub enum Numbers {
    /// Real numbers.
    Reals(Vec<f64>),
    /// Ids.
    Ids(Vec<i64>),
    /// Truth values.
    Truths(Vec<bool>),
}

impl Numbers {
    fn len(&self) -> usize {
        match self {
            Self::Reals(x) => x.len(),
            Self::Ids(x) => x.len(),
            Self::Truths(x) => x.len(),
        }
    }

    /// Some rows of a field, each of `width` numbers; `None` is a row of zeros.
    fn rows(&self, rows: &[Option<usize>], width: usize) -> Self {
        fn taken<T: Copy>(x: &[T], rows: &[Option<usize>], width: usize, zero: T) -> Vec<T> {
            let row = |row: &Option<usize>| match row {
                Some(row) => x[row * width..][..width].to_vec(),
                None => vec![zero; width],
            };
            rows.iter().flat_map(row).collect()
        }
        match self {
            Self::Reals(x) => Self::Reals(taken(x, rows, width, 0.0)),
            Self::Ids(x) => Self::Ids(taken(x, rows, width, 0)),
            Self::Truths(x) => Self::Truths(taken(x, rows, width, false)),
        }
    }
}

/// A padded batch: `[B, T]` tokens.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// B.
    pub sequences: usize,
    /// T.
    pub width: usize,
    /// Every field besides the mask: `[B, T, ..]`, `[B]`, one number, or what an output layer has.
    pub fields: BTreeMap<String, Numbers>,
    /// `response_mask`.
    pub mask: Vec<bool>,
}

impl Batch {
    /// A batch of a mask, `[B, T]`.
    pub fn new(sequences: usize, mask: Vec<bool>) -> Self {
        let width = mask.len() / sequences.max(1);
        Self { sequences, width, fields: BTreeMap::new(), mask }
    }

    /// The batch with one more field.
    #[must_use]
    pub fn with(mut self, name: &str, numbers: Numbers) -> Self {
        self.fields.insert(name.to_owned(), numbers);
        self
    }

    /// The padded batch of a packed one, in which the fields of tokens come one sequence behind the other: as wide as its longest
    /// sequence. `tokens` names the fields of tokens.
    pub fn unpacked(
        ends: &[usize],
        mask: &[bool],
        fields: BTreeMap<String, Numbers>,
        tokens: &[&str],
    ) -> Self {
        let width = ends.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(0).max(1);
        let rows: Vec<Option<usize>> = ends
            .windows(2)
            .flat_map(|pair| (0..width).map(move |at| (at < pair[1] - pair[0]).then_some(pair[0] + at)))
            .collect();
        let count = mask.len().max(1);
        let padded = |(name, numbers): (String, Numbers)| {
            let of_tokens = tokens.contains(&name.as_str());
            let numbers = if of_tokens { numbers.rows(&rows, numbers.len() / count) } else { numbers };
            (name, numbers)
        };
        Self {
            sequences: ends.len() - 1,
            width,
            fields: fields.into_iter().map(padded).collect(),
            mask: rows.iter().map(|row| row.is_some_and(|row| mask[row])).collect(),
        }
    }

    pub(crate) fn field(&self, name: &str) -> Result<&Numbers> {
        self.fields.get(name).map_or_else(|| wrong(format!("the batch has no `{name}`")), Ok)
    }

    pub(crate) fn reals(&self, name: &str) -> Result<Vec<f64>> {
        match self.field(name)? {
            Numbers::Reals(x) => Ok(x.clone()),
            _ => wrong(format!("`{name}` is not real")),
        }
    }

    pub(crate) fn ids(&self, name: &str) -> Result<Vec<i64>> {
        match self.field(name)? {
            Numbers::Ids(x) => Ok(x.clone()),
            _ => wrong(format!("`{name}` has no ids")),
        }
    }

    /// Truth values, which may come as 0 and 1.
    pub(crate) fn truths(&self, name: &str) -> Result<Vec<bool>> {
        Ok(match self.field(name)? {
            Numbers::Truths(x) => x.clone(),
            Numbers::Reals(x) => x.iter().map(|x| *x != 0.0).collect(),
            Numbers::Ids(x) => x.iter().map(|x| *x != 0).collect(),
        })
    }

    /// Whether a sequence has a token that counts.
    pub(crate) fn is_valid(&self, sequence: usize) -> bool {
        self.mask[sequence * self.width..][..self.width].contains(&true)
    }
}
