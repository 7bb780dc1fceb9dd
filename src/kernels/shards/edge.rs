//! The edge of a set in each row, found by all ranks together: a range of logits is narrowed by what is above some of them.

use crate::kernels::KernelError;
use crate::passes::Pass;
use crate::rows::TokenSet;
use crate::tensor::DType;

use super::exchange::{Shards, Stage};
use super::keys::Keys;
use super::local::{Ladder, Local};

/// Into how many ranges one exchange cuts a range.
const CUTS: usize = 64;

/// How many of its highest logits a rank looks at before it ranks a whole row.
const DEPTH: i64 = 1024;

/// Where a set ends in a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Edge {
    /// Tokens with a higher logit are in the set.
    pub(super) at: f64,
    /// Of the tokens of this rank with this logit, so many are in the set, those with the lowest ids; infinite if all are.
    pub(super) kept: f64,
}

/// What the ranks need to find edges.
pub(super) struct Finder<'f> {
    pub(super) shards: &'f Shards<'f>,
    pub(super) local: &'f Local<'f>,
    /// The most tokens that a rank holds.
    pub(super) widest: i64,
    /// How many bytes a rank may spend on the rows that are looked at together.
    pub(super) bytes: usize,
}

/// The softmax of some rows: which they are, the highest logit of each, and its temperature.
#[derive(Clone, Debug, Default)]
pub(super) struct Softmax {
    pub(super) rows: Vec<usize>,
    pub(super) highest: Vec<f64>,
    pub(super) temperature: Vec<f64>,
}

/// What a set has to reach: so many tokens, or that share of the mass.
#[derive(Clone, Copy)]
enum Goal {
    Count(f64),
    Share(f64),
}

/// How far the search of a row is, the same on all ranks. The higher a key, the less is at and above it.
struct Range {
    /// What is at and above this key reaches the goal, unless nothing does.
    low: u64,
    /// What is at and above this key does not: it is `beyond`.
    high: u64,
    beyond: f64,
    goal: f64,
    /// Whether the goal is beyond what ranks have looked at.
    is_out: bool,
}

impl Finder<'_> {
    /// The edges of a pass's set in rows, all of which have a softmax.
    pub(super) fn edges(&self, pass: &Pass, softmax: &Softmax) -> Result<Vec<Edge>, KernelError> {
        let keys = Keys(self.local.dtype);
        let possible = Edge { at: keys.value(keys.of(f64::NEG_INFINITY) + 1), kept: f64::INFINITY };
        let goal = match pass.set {
            Some(TokenSet::TopK(count)) => Goal::Count(count as f64),
            Some(TokenSet::TopP(share)) if share < 1.0 => Goal::Share(share),
            Some(TokenSet::MinP(ratio)) => {
                let exact = softmax.highest.iter().zip(&softmax.temperature).map(|(h, t)| h + t * ratio.ln());
                return Ok(exact.map(|at| Edge { at: keys.rounded_up(at), kept: f64::INFINITY }).collect());
            }
            // With the whole mass, rounded sums would stop too early: keep every token that is not banned.
            _ => return Ok(vec![possible; softmax.rows.len()]),
        };
        let depth = match goal {
            // The highest of all are among the highest of each rank.
            Goal::Count(count) if count <= DEPTH as f64 => count as i64,
            Goal::Count(_) => self.widest,
            Goal::Share(_) => DEPTH,
        };
        let mut found = vec![possible; softmax.rows.len()];
        let mut wanted: Vec<usize> = (0..found.len()).collect();
        for depth in [depth.min(self.widest), self.widest] {
            let mut deeper = Vec::new();
            for group in wanted.chunks(self.at_once(depth)) {
                let edges = self.seek(&softmax.some(group), goal, depth)?;
                for (row, edge) in group.iter().zip(edges) {
                    match edge {
                        Some(edge) => found[*row] = edge,
                        None => deeper.push(*row),
                    }
                }
            }
            wanted = deeper;
        }
        Ok(found)
    }

    /// The edges of some rows, none where ranks have to look at more than their `depth` highest logits.
    fn seek(&self, of: &Softmax, goal: Goal, depth: i64) -> Result<Vec<Option<Edge>>, KernelError> {
        let keys = Keys(self.local.dtype);
        let ladder = self.local.ladder(of, depth, matches!(goal, Goal::Share(_)))?;
        let mut ranges = self.ranges(of, goal, &ladder)?;
        let mut is_first = true;
        while is_first || ranges.iter().any(Range::is_open) {
            let cuts = ranges.iter().flat_map(|range| (0..CUTS).map(|cut| keys.value(range.cut(cut))));
            let own = ladder.above(self.local, &cuts.collect::<Vec<f64>>(), CUTS)?;
            let told = self.shards.exchange(Stage::Narrow, &own)?;
            for (row, range) in ranges.iter_mut().enumerate() {
                range.narrow(|cut| told.iter().map(|of| of[row * CUTS + cut]).sum());
            }
            is_first = false;
        }
        // Tokens on the edge go to the lower ids: to the ranks in their order.
        let borders = ranges.iter().flat_map(|range| [range.low, range.low + 1].map(|key| keys.value(key)));
        let counts =
            ladder.count(self.local, &borders.collect::<Vec<f64>>(), 2)?.to_dtype(DType::F64).to_f64s()?;
        let ties: Vec<f64> = counts.chunks_exact(2).map(|pair| pair[0] - pair[1]).collect();
        let told = self.shards.exchange(Stage::Ties, &ties)?;
        let edge = |(row, range): (usize, &Range)| {
            if range.is_out {
                return None;
            }
            let at = keys.value(range.low);
            let ties = |ranks: &[Vec<f64>]| ranks.iter().map(|of| of[row]).sum::<f64>();
            let room = match goal {
                Goal::Count(_) => range.goal - range.beyond,
                Goal::Share(_) => {
                    let each = ((at - of.highest[row]) / of.temperature[row]).exp();
                    reaching(range.goal, range.beyond, each, ties(&told))
                }
            };
            let rank = self.shards.rank();
            Some(Edge { at, kept: (room - ties(&told[..rank])).clamp(0.0, told[rank][row]) })
        };
        Ok(ranges.iter().enumerate().map(edge).collect())
    }

    /// Where the search begins.
    fn ranges(&self, of: &Softmax, goal: Goal, ladder: &Ladder) -> Result<Vec<Range>, KernelError> {
        let keys = Keys(self.local.dtype);
        let high = |row: usize| keys.of(of.highest[row]) + 1;
        let lowest = keys.of(f64::NEG_INFINITY);
        let range = |row: usize, low: u64, goal: f64| {
            let high = high(row);
            Range { low, high, beyond: 0.0, goal, is_out: low >= high }
        };
        let share = match goal {
            Goal::Count(count) => {
                return Ok((0..of.rows.len()).map(|row| range(row, lowest, count)).collect());
            }
            Goal::Share(share) => share,
        };
        let own: Vec<f64> =
            ladder.floor.iter().zip(&ladder.total).flat_map(|(floor, total)| [*floor, *total]).collect();
        let told = self.shards.exchange(Stage::Reach, &own)?;
        let begin = |row: usize| {
            let floor = told.iter().map(|of| of[2 * row]).fold(f64::NEG_INFINITY, f64::max);
            let total: f64 = told.iter().map(|of| of[2 * row + 1]).sum();
            // There may be more tokens on the floor than the ladder has.
            let low = if floor > f64::NEG_INFINITY { keys.of(floor) + 1 } else { lowest };
            range(row, low, share * total)
        };
        Ok((0..of.rows.len()).map(begin).collect())
    }

    /// How many rows are looked at together.
    fn at_once(&self, depth: i64) -> usize {
        // A logit, its mass and what sorting needs beside them; and the numbers that ranks send.
        let ladder = depth as usize * (self.local.dtype.bytes() + 16);
        (self.bytes / (ladder + CUTS * size_of::<f64>() * (self.shards.size() + 1))).max(1)
    }
}

impl Softmax {
    /// That of some of the rows.
    fn some(&self, of: &[usize]) -> Self {
        let numbers = |all: &[f64]| of.iter().map(|row| all[*row]).collect();
        Self {
            rows: of.iter().map(|row| self.rows[*row]).collect(),
            highest: numbers(&self.highest),
            temperature: numbers(&self.temperature),
        }
    }
}

impl Range {
    fn is_open(&self) -> bool {
        !self.is_out && self.high - self.low > 1
    }

    /// One of the keys that cut the range, the first of which is its lower end.
    fn cut(&self, index: usize) -> u64 {
        let span = u128::from(self.high - self.low);
        self.low + (span * index as u128 / CUTS as u128) as u64
    }

    /// Goes on with the part of the range in which the goal is reached, from what is at and above each cut.
    fn narrow(&mut self, above: impl Fn(usize) -> f64) {
        let last = (0..CUTS).rev().find(|cut| above(*cut) >= self.goal);
        let Some(last) = last.filter(|_| !self.is_out) else {
            self.is_out = true;
            return;
        };
        let low = self.cut(last);
        if last + 1 < CUTS {
            (self.high, self.beyond) = (self.cut(last + 1), above(last + 1));
        }
        self.low = low;
    }
}

/// How many of some tokens of one mass it takes, beside the mass beyond them, to reach the goal: at least one.
fn reaching(goal: f64, beyond: f64, each: f64, tokens: f64) -> f64 {
    let mut count = ((goal - beyond) / each).ceil().clamp(1.0, tokens.max(1.0));
    while count > 1.0 && beyond + (count - 1.0) * each >= goal {
        count -= 1.0;
    }
    while count < tokens && beyond + count * each < goal {
        count += 1.0;
    }
    count
}
