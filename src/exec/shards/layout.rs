//! Which tokens of the whole each rank has, and how their parts become the whole again.

use crate::exec::error::{Error, Result};
use crate::fields::CU_SEQLENS;
use crate::tensor::{DType, Tensor};

/// Which tokens of a sequence each of n ranks has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Rank r has the r-th of n equal parts, as with Ulysses. A packed batch is cut as one row, padded to a multiple of n.
    Contiguous,
    /// Rank r has the parts r and 2n - 1 - r of 2n equal ones, as with ring attention under a causal mask. A packed batch is
    /// cut one sequence at a time, each padded to a multiple of 2n.
    Zigzag,
}

/// Where the tokens of the ranks lie in the whole.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    /// How many tokens a rank has.
    tokens: i64,
    /// How many all ranks have together.
    all: i64,
    /// The place of each token of the whole among those of all ranks, one rank after the other; none where that is their order.
    places: Option<Vec<i64>>,
}

impl Layout {
    pub(super) fn new(order: Order, ranks: usize, tokens: i64, cu_seqlens: Option<&Tensor>) -> Result<Self> {
        let ranks = ranks as i64;
        let ends = cu_seqlens.map(|ends| ends.to_dtype(DType::I64).to_i64s()).transpose()?;
        let places = match (order, ends) {
            (Order::Contiguous, None) => None,
            (Order::Contiguous, Some(ends)) => {
                let last = ends.last().copied().unwrap_or(0);
                if last > tokens * ranks || last < 0 {
                    let (expected, found) = (tokens * ranks, last);
                    let expected = format!("an end of at most {expected}, {tokens} tokens on each rank");
                    return Err(wrong(expected, found.to_string()));
                }
                (last < tokens * ranks).then(|| (0..last).collect())
            }
            (Order::Zigzag, None) if tokens % 2 != 0 => {
                return Err(Error::Step(format!(
                    "zigzag order: expected two equal parts of the tokens on each rank, found {tokens} tokens"
                )));
            }
            (Order::Zigzag, None) => Some(zigzag(ranks, tokens, &[0, tokens * ranks])),
            (Order::Zigzag, Some(ends)) => {
                let last = ends.last().copied().unwrap_or(0);
                let even =
                    ends.windows(2).all(|pair| pair[1] >= pair[0] && (pair[1] - pair[0]) % (2 * ranks) == 0);
                if last != tokens * ranks || !even {
                    let expected = format!(
                        "lengths that are multiples of {}, {} tokens in all: zigzag order cuts each sequence into as many \
                         parts",
                        2 * ranks,
                        tokens * ranks
                    );
                    return Err(wrong(expected, format!("{ends:?}")));
                }
                Some(zigzag(ranks, tokens, &ends))
            }
        };
        Ok(Self { tokens, all: tokens * ranks, places })
    }

    /// That of ranks with so many tokens each, one rank after the other.
    pub(super) fn in_order(tokens: i64) -> Self {
        Self { tokens, all: tokens, places: None }
    }

    /// The whole, of the parts of all ranks one behind the other.
    pub(super) fn whole(&self, parts: &Tensor, dim: usize) -> Result<Tensor> {
        let Some(places) = &self.places else { return Ok(parts.clone().ok()?) };
        Ok(parts.index_select(dim as i64, &index(parts, places)?).ok()?)
    }

    /// Which of a rank's tokens belong to the whole, `[tokens]`, where not all do.
    pub(super) fn inside(&self, near: &Tensor, rank: usize) -> Result<Option<Tensor>> {
        let Some(places) = self.places.as_ref().filter(|places| (places.len() as i64) < self.all) else {
            return Ok(None);
        };
        let whole = near.full(&[places.len() as i64], 1i64, DType::I64);
        Ok(Some(self.own(&whole, 0, rank)?.gt(0.0)))
    }

    /// A rank's part of the whole.
    pub(super) fn own(&self, whole: &Tensor, dim: usize, rank: usize) -> Result<Tensor> {
        let first = rank as i64 * self.tokens;
        let Some(places) = &self.places else {
            return Ok(whole.narrow(dim as i64, first, self.tokens).ok()?);
        };
        // Behind the last token of the whole lies a row of zeros.
        let mut own = vec![places.len() as i64; self.tokens as usize];
        for (token, place) in places.iter().enumerate() {
            if let Some(slot) = usize::try_from(place - first).ok().and_then(|at| own.get_mut(at)) {
                *slot = token as i64;
            }
        }
        let mut size = whole.size();
        size[dim] = 1;
        let padded = Tensor::cat(&[whole.clone(), whole.zeros(&size, whole.dtype())], dim as i64);
        Ok(padded.index_select(dim as i64, &index(whole, &own)?).ok()?)
    }
}

/// The place of each token in zigzag order, for sequences that end at `ends`.
fn zigzag(ranks: i64, tokens: i64, ends: &[i64]) -> Vec<i64> {
    let mut places = Vec::new();
    for pair in ends.windows(2) {
        let part = (pair[1] - pair[0]) / (2 * ranks);
        for at in 0..2 * ranks {
            let (rank, behind) = if at < ranks { (at, 0) } else { (2 * ranks - 1 - at, part) };
            let first = rank * tokens + pair[0] / ranks + behind;
            places.extend(first..first + part);
        }
    }
    places
}

fn index(near: &Tensor, places: &[i64]) -> Result<Tensor> {
    Ok(Tensor::from_slice(near.host()?, places, &[places.len() as i64]).to_device(near.device()).ok()?)
}

fn wrong(expected: String, found: String) -> Error {
    Error::Field { name: CU_SEQLENS.to_owned(), expected, found }
}

#[cfg(test)]
mod tests {
    use super::zigzag;

    #[test]
    fn zigzag_gives_the_first_and_the_last_part_to_the_first_rank() {
        // Rank 0 has the tokens 0 1 6 7 and rank 1 has 2 3 4 5.
        assert_eq!(zigzag(2, 4, &[0, 8]), [0, 1, 4, 5, 6, 7, 2, 3]);
        // Of two sequences of four tokens rank 0 has 0 3 and 4 7.
        assert_eq!(zigzag(2, 4, &[0, 4, 8]), [0, 4, 5, 1, 2, 6, 7, 3]);
    }
}
