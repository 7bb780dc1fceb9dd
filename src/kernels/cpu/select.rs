//! Finds the border of a token set in a row, exactly and without sorting the row.

use std::cmp::Ordering;

use super::dispatch::run;
use super::number::{BLOCK, Element, Real};
use super::scan::{AtLeast, Bracket, Equal, Extent};
use super::sums::{Border, Weights};

/// The largest sample for guessing a rank, and how many logits there are for each in the sample.
const SAMPLE: usize = 2048;
const ONE_OF: usize = 8;

/// How many neighbours are drawn together: accessing a place in memory costs more than reading a few logits there.
const NEIGHBOURS: usize = 4;

/// In shorter rows, sampling costs more than it saves.
const WORTH_SAMPLING: usize = if cfg!(miri) { 64 } else { 512 };

/// So many logits in a bracket are put into a bracket again: copying them takes less time than partitioning.
const WORTH_NARROWING: usize = if cfg!(miri) { 128 } else { 2048 };

/// Buckets in each round of refinement.
const BUCKETS: usize = 1024;

/// Buffers that are reused for all rows.
pub(crate) struct Scratch<R> {
    /// Room for a row and one block.
    pub(crate) between: Vec<R>,
    /// The same.
    narrower: Vec<R>,
    sample: Vec<u64>,
}

impl<R: Real> Scratch<R> {
    pub(crate) fn new(vocabulary: usize) -> Self {
        let room = || vec![R::default(); vocabulary + BLOCK];
        Self { between: room(), narrower: room(), sample: Vec::with_capacity(SAMPLE) }
    }
}

/// The extent of the row, and the border of its `rank` highest logits; `1 <= rank <= V`.
pub(crate) fn ranked<E: Element>(row: &[E], rank: usize, scratch: &mut Scratch<E::Real>) -> (Extent, Border) {
    let (low, high) = guess(row, rank, &mut scratch.sample);
    let (extent, mut above, mut copied) = run(Bracket { row, low, high, between: &mut scratch.between });
    if !extent.is_usable {
        return (extent, EVERYTHING);
    }
    if !has_rank(rank, above, copied) {
        // The sample was misleading: use the whole row. This happens for some tens of rows in a million.
        let (low, high) = (E::Real::NEG_INFINITY, E::Real::INFINITY);
        (_, above, copied) = run(Bracket { row, low, high, between: &mut scratch.between });
    }
    let Scratch { between, narrower, sample } = scratch;
    let mut between = &mut between[..copied];
    if copied >= WORTH_NARROWING {
        let (low, high) = guess(between, rank - above, sample);
        let (_, higher, copied) = run(Bracket { row: between, low, high, between: narrower });
        if has_rank(rank - above, higher, copied) {
            above += higher;
            between = &mut narrower[..copied];
        }
    }
    (extent, at_rank(rank, above, between).border(row, rank))
}

/// The border of the smallest set of highest logits with at least the mass `wanted` of `Σ e^u`. Logits up to `least`
/// should not be in it.
pub(crate) fn massed<E: Element>(
    row: &[E],
    highest: f64,
    temperature: f64,
    wanted: f64,
    least: f64,
    scratch: &mut Scratch<E::Real>,
) -> Border {
    let (low, high) = (E::Real::of(least).next_up(), E::Real::INFINITY);
    let (_, _, copied) = run(Bracket { row, low, high, between: &mut scratch.between });
    let weigh = |values: &[E::Real], to: &mut [f64]| run(Weights { values, highest, temperature, to });
    if copied > 0 {
        let reached = reach(&mut scratch.between[..copied], wanted, weigh);
        if reached.is_enough || least == f64::NEG_INFINITY {
            return reached.place.border(row, reached.kept);
        }
    }
    // Logits are so large that rounding put the bound above a logit of the set.
    massed(row, highest, temperature, wanted, f64::NEG_INFINITY, scratch)
}

/// The border of the logits that are at least `from`.
pub(crate) fn above<E: Element>(row: &[E], from: f64) -> Border {
    let rounded = E::Real::of(from);
    let from = if rounded.wide() < from { rounded.next_up() } else { rounded };
    let size = run(AtLeast { row, from });
    Border { from: from.wide(), from_after: from.wide(), cut: row.len(), size }
}

/// A border that excludes nothing.
pub(crate) const EVERYTHING: Border =
    Border { from: f64::NEG_INFINITY, from_after: f64::NEG_INFINITY, cut: 0, size: 0 };

/// A logit on the border, with the number of higher and of equal logits.
#[derive(Clone, Copy)]
struct Place<R> {
    value: R,
    above: usize,
    equal: usize,
}

impl<R: Real> Place<R> {
    /// Of the logits on the border, the first ones are in the set.
    fn border<E: Element<Real = R>>(self, row: &[E], kept: usize) -> Border {
        let [from, next] = [self.value.wide(), self.value.next_up().wide()];
        if self.above + self.equal <= kept {
            return Border { from, from_after: from, cut: row.len(), size: kept };
        }
        Border { from, from_after: next, cut: after_equal(row, self.value, kept - self.above), size: kept }
    }
}

/// Two logits that probably enclose the rank.
fn guess<E: Element>(row: &[E], rank: usize, sample: &mut Vec<u64>) -> (E::Real, E::Real) {
    let everything = (E::Real::NEG_INFINITY, E::Real::INFINITY);
    if row.len() < WORTH_SAMPLING {
        return everything;
    }
    let places = (row.len() / ONE_OF).min(SAMPLE) / NEIGHBOURS;
    let stride = row.len() / places;
    sample.clear();
    for (index, stretch) in row.chunks_exact(stride).take(places).enumerate() {
        // A scattered place in each stretch, so that periods in the row do not bias the sample.
        let scattered = (index as u32).wrapping_mul(0x9e37_79b1);
        let place = ((u64::from(scattered) * (stride - NEIGHBOURS) as u64) >> 32) as usize;
        sample.extend(stretch[place..][..NEIGHBOURS].iter().map(|x| x.real().key()));
    }
    let share = rank as f64 / row.len() as f64;
    let drawn = sample.len();
    let expected = share * drawn as f64;
    // Four standard deviations of the number of sampled logits above the rank.
    let margin = 4.0 * (expected * (1.0 - share)).sqrt() + 4.0;
    let (from, to) = ((expected - margin).floor(), (expected + margin).ceil());
    let mut rest = sample.as_mut_slice();
    let mut high = everything.1;
    if from >= 0.0 {
        let (_, found, lower) = rest.select_nth_unstable_by(from as usize, |a, b| b.cmp(a));
        high = E::Real::of_key(*found);
        rest = lower;
    }
    let skipped = if from >= 0.0 { from as usize + 1 } else { 0 };
    let mut low = everything.0;
    if to < drawn as f64 {
        let (_, found, _) = rest.select_nth_unstable_by(to as usize - skipped, |a, b| b.cmp(a));
        low = E::Real::of_key(*found);
    }
    (low, high)
}

/// Whether a bracket has the logit at the rank.
fn has_rank(rank: usize, above: usize, copied: usize) -> bool {
    rank > above && rank <= above + copied
}

/// The logit at the rank, which is in the bracket with all that equal it.
fn at_rank<R: Real>(rank: usize, above: usize, between: &mut [R]) -> Place<R> {
    let order = |a: &R, b: &R| b.partial_cmp(a).unwrap_or(Ordering::Equal);
    let (higher, &mut value, lower) = between.select_nth_unstable_by(rank - above - 1, order);
    let equal = |part: &[R]| part.iter().filter(|x| **x == value).count();
    let tied = equal(higher);
    Place { value, above: above + higher.len() - tied, equal: tied + 1 + equal(lower) }
}

/// The smallest set of highest values with the wanted weight.
struct Reached<R> {
    /// Its lowest value.
    place: Place<R>,
    kept: usize,
    /// False if all values together weigh less.
    is_enough: bool,
}

/// Distributes the values to buckets, and continues in the bucket where the weight of the highest values reaches
/// `wanted`. Reorders the values; there must be at least one.
fn reach<R: Real>(mut values: &mut [R], wanted: f64, weigh: impl Fn(&[R], &mut [f64])) -> Reached<R> {
    let mut weights = [0.0; BLOCK];
    let (mut above, mut weight_above) = (0, 0.0);
    let mut is_enough = None;
    loop {
        let (mut least, mut most) = (u64::MAX, 0);
        for x in values.iter() {
            let key = x.key();
            least = least.min(key);
            most = most.max(key);
        }
        let equal = values.len();
        if least == most {
            weigh(&values[..1], &mut weights[..1]);
            let needed = ((wanted - weight_above) / weights[0]).ceil();
            let place = Place { value: R::of_key(least), above, equal };
            let kept = above + (needed as usize).clamp(1, equal);
            return Reached { place, kept, is_enough: is_enough.unwrap_or(needed <= equal as f64) };
        }
        let shift = (u64::BITS - (most - least).leading_zeros()).saturating_sub(BUCKETS.ilog2());
        let bucket_of = |x: R| ((x.key() - least) >> shift) as usize % BUCKETS;
        let mut buckets = [(0u32, 0.0); BUCKETS];
        for block in values.chunks(BLOCK) {
            let weights = &mut weights[..block.len()];
            weigh(block, weights);
            for (x, weight) in block.iter().zip(weights.iter()) {
                let bucket = &mut buckets[bucket_of(*x)];
                bucket.0 += 1;
                bucket.1 += weight;
            }
        }
        let mut chosen = BUCKETS - 1;
        while weight_above + buckets[chosen].1 < wanted && chosen > 0 {
            above += buckets[chosen].0 as usize;
            weight_above += buckets[chosen].1;
            chosen -= 1;
        }
        // The loop can stop at the lowest bucket, which contains the lowest value and is never empty.
        let reaches = weight_above + buckets[chosen].1 >= wanted;
        // Only the first round sees all values; rounding may make later ones fall short.
        is_enough.get_or_insert(reaches);
        let mut kept = 0;
        for i in 0..values.len() {
            let x = values[i];
            values[kept] = x;
            kept += usize::from(bucket_of(x) == chosen);
        }
        values = &mut values[..kept];
    }
}

/// The position after the `count`-th logit that equals the value.
fn after_equal<E: Element>(row: &[E], value: E::Real, mut count: usize) -> usize {
    for (index, block) in row.chunks(BLOCK).enumerate() {
        let equal = run(Equal { row: block, to: value });
        if equal < count {
            count -= equal;
            continue;
        }
        for (at, x) in block.iter().enumerate() {
            count -= usize::from(x.real() == value);
            if count == 0 {
                return index * BLOCK + at + 1;
            }
        }
    }
    row.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::cpu::dispatch::at_each_level;

    const COUNT: usize = if cfg!(miri) { 300 } else { 40_000 };

    /// Ranks are those of a sorted row; of equal logits the first are in the set.
    fn check(row: &[f32], scratch: &mut Scratch<f32>) {
        let mut ids: Vec<usize> = (0..row.len()).collect();
        ids.sort_by(|a, b| row[*b].total_cmp(&row[*a]));
        for rank in [1, 2, row.len() / 3, row.len() * 7 / 10, row.len() - 1, row.len()] {
            let (extent, border) = ranked(row, rank, scratch);
            assert!(extent.is_usable);
            let is_member = |id: &usize| {
                let from = if *id < border.cut { border.from } else { border.from_after };
                f64::from(row[*id]) >= from
            };
            let found: Vec<usize> = (0..row.len()).filter(is_member).collect();
            let mut expected = ids[..rank].to_vec();
            expected.sort_unstable();
            assert_eq!(border.size, rank);
            assert!(found == expected, "rank {rank}: {border:?}");
        }
    }

    fn scattered(id: usize) -> f32 {
        ((id as u32).wrapping_mul(2_654_435_761) >> 8) as f32 / 1e6
    }

    #[test]
    fn sets_by_rank_are_those_of_a_sorted_row() {
        let of = |value: fn(usize) -> f32| (0..COUNT).map(value).collect::<Vec<f32>>();
        let rows = [
            of(scattered),
            of(|id| id as f32),
            of(|id| -(id as f32)),
            of(|id| scattered(id).round()),
            of(|_| 0.25),
            of(|id| if id % 5 == 0 { scattered(id) } else { f32::NEG_INFINITY }),
        ];
        at_each_level(|_| {
            let mut scratch = Scratch::new(COUNT);
            for row in &rows {
                check(row, &mut scratch);
            }
        });
    }

    #[test]
    fn a_sample_that_misleads_changes_nothing() {
        let mut scratch = Scratch::new(COUNT);
        let ids: Vec<f32> = (0..COUNT).map(|id| id as f32).collect();
        guess(&ids, 1, &mut scratch.sample);
        let mut row: Vec<f32> = (0..COUNT).map(scattered).collect();
        for key in &scratch.sample {
            row[f32::of_key(*key) as usize] += 100.0;
        }
        check(&row, &mut scratch);
    }
}
