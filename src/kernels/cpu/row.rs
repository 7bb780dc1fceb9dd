//! One row: the sums and facts of the forward pass, and the gradient of the backward pass.

use super::backward::Backward;
use super::compare::{self, Comparison};
use super::dispatch::{Job, run};
use super::exponents::Powers;
use super::number::{BLOCK, Buffer, Element, Real};
use super::scan::{Extent, Highest};
use super::select;
use super::sums::{Border, Forward, Running, TotalInF64};
use crate::passes::{Pass, Plan, facts, sums};
use crate::rows::TokenSet;

/// A row, with those of the references that it is compared with.
pub(crate) struct Pair<'a, E> {
    pub(crate) row: &'a [E],
    pub(crate) references: &'a [&'a [E]],
    /// What the batch divides all of them by, or one; NaN where it cannot.
    pub(crate) divisor: f64,
}

/// The tokens of a row whose logits are wanted by themselves, all ids of the vocabulary.
pub(crate) struct Tokens<'a> {
    pub(crate) action: usize,
    /// One list after the other, each in ascending order; -1 for none.
    pub(crate) listed: &'a [i64],
}

/// The results for a row.
pub(crate) struct Line<'a> {
    pub(crate) sums: &'a mut [f64],
    pub(crate) facts: &'a mut [f64],
}

/// Buffers that a worker reuses for all its rows.
pub(crate) struct Scratch<R> {
    select: select::Scratch<R>,
    borders: Vec<Option<Border>>,
    references: Vec<Extent>,
}

impl<R: Real> Scratch<R> {
    /// Buffers to rank rows of that length.
    pub(crate) fn new(vocabulary: usize) -> Self {
        Self { select: select::Scratch::new(vocabulary), borders: Vec::new(), references: Vec::new() }
    }
}

/// Reads a row.
pub(crate) fn read<E: Element>(
    pair: &Pair<'_, E>,
    tokens: &Tokens<'_>,
    plan: &Plan,
    scratch: &mut Scratch<E::Real>,
    line: &mut Line<'_>,
) {
    let row = pair.row;
    let Scratch { select: scratch, borders, references } = scratch;
    borders.clear();
    borders.resize(plan.passes.len(), None);
    let mut extent = None;
    // Finding a top-k set also finds the row's extent, which the other sets need first.
    for (pass, border) in plan.passes.iter().zip(borders.iter_mut()) {
        if let Some(TokenSet::TopK(count)) = pass.set {
            let (seen, found) = select::ranked(row, count as usize, scratch);
            extent = Some(seen);
            *border = Some(found);
        }
    }
    // One reading finds the extent and the sums of a pass without a set.
    let (extent, added) = match (extent, plan.passes.iter().position(|pass| pass.set.is_none())) {
        (Some(extent), _) => (extent, None),
        (None, None) => (run(Highest(row)), None),
        (None, Some(index)) => {
            let temperature = plan.passes[index].at(pair.divisor);
            let (extent, sums) = run(Running { row, temperature, second: plan.second });
            (extent, Some((index, sums)))
        }
    };
    references.clear();
    references.extend(pair.references.iter().map(|reference| run(Highest(reference))));
    let is_usable = extent.is_usable && references.iter().all(|extent| extent.is_usable);
    if !is_usable || pair.divisor.is_nan() {
        line.sums.fill(f64::NAN);
        line.facts.fill(f64::NAN);
        return;
    }
    let highest = extent.highest;
    let Line { sums, facts } = line;
    sums[sums::CHOSEN] = row[tokens.action].real().wide();
    for (sum, id) in sums[plan.first_listed()..].iter_mut().zip(tokens.listed) {
        *sum = usize::try_from(*id).map_or(0.0, |id| row[id].real().wide());
    }
    facts[facts::HIGHEST] = highest;
    facts[facts::DIVISOR] = pair.divisor;
    for (index, (pass, ranked)) in plan.passes.iter().zip(borders.iter()).enumerate() {
        let temperature = pass.at(pair.divisor);
        let border = match pass.set {
            Some(TokenSet::TopP(share)) => Some(massed(row, highest, temperature, share, scratch)),
            Some(TokenSet::MinP(ratio)) => Some(select::above(row, highest + temperature * ratio.ln())),
            _ => *ranked,
        };
        let [whole, inside] = match added {
            Some((at, sums)) if at == index => [sums, [0.0; 3]],
            _ => run(Forward { row, highest, temperature, border, second: plan.second }),
        };
        let sums = &mut sums[sums::of(index)..][..sums::PER_PASS];
        let facts = &mut facts[facts::of(index)..][..facts::PER_PASS];
        sums[sums::WHOLE..][..3].copy_from_slice(&whole);
        sums[sums::INSIDE..][..3].copy_from_slice(&inside);
        if let Some(border) = border {
            facts[facts::FROM] = border.from;
            facts[facts::FROM_AFTER] = border.from_after;
            facts[facts::CUT] = border.cut as f64;
            facts[facts::SIZE] = border.size as f64;
        }
        if let Some(at) = pass.compares {
            let (reference, theirs) = (pair.references[at], references[at].highest);
            facts[facts::REFERENCE_HIGHEST] = theirs;
            let pair = compare::Pair { row, reference, highest: [highest, theirs], temperature };
            let [norm, reverse, forward] = run(compare::Meeting(pair));
            sums[sums::REFERENCE] = norm;
            sums[sums::REVERSE] = reverse;
            sums[sums::FORWARD] = forward;
            if let Some(beta) = pass.beta {
                let norms = [whole[0], norm];
                [sums[sums::JENSEN_SHANNON], facts[facts::TO_MIXTURE]] =
                    run(compare::Divergence { pair, norms, beta });
            }
        }
    }
}

/// The addresses of a row and its gradient. The gradient may overwrite the row.
pub(crate) struct Place<'a, E> {
    pub(crate) row: *const E,
    pub(crate) references: &'a [*const E],
    pub(crate) gradient: *mut E,
    pub(crate) vocabulary: usize,
}

/// The forward results and cotangents of a row that counts.
pub(crate) struct Known<'a> {
    pub(crate) tokens: Tokens<'a>,
    pub(crate) sums: &'a [f64],
    pub(crate) facts: &'a [f64],
    pub(crate) cotangents: &'a [f64],
}

/// Writes the gradient of a row; zeros if nothing is known of it.
///
/// # Safety
/// Each pointer must lead to as many elements as the vocabulary has. Meanwhile, nothing else may access the gradient's
/// elements or write the others.
pub(crate) unsafe fn write_gradient<E: Element>(
    place: &Place<'_, E>,
    known: Option<&Known<'_>>,
    plan: &Plan,
    slopes: &mut Vec<Slopes<E::Real>>,
) {
    let fill = match known {
        None => Some(0.0),
        Some(known) if known.facts[facts::HIGHEST].is_nan() => Some(f64::NAN),
        Some(_) => None,
    };
    if let Some(value) = fill {
        // SAFETY: the caller promises it.
        let gradient = unsafe { std::slice::from_raw_parts_mut(place.gradient, place.vocabulary) };
        let values = [E::Real::of(value); BLOCK];
        for block in gradient.chunks_mut(BLOCK) {
            E::narrow(&values[..block.len()], block);
        }
    } else if let Some(known) = known {
        slopes.clear();
        let passes = plan.passes.iter().enumerate();
        slopes.extend(passes.filter_map(|(index, pass)| Slopes::of(index, pass, known)));
        run(Gradient { place, known, passes: slopes, plan });
    }
}

fn massed<E: Element>(
    row: &[E],
    highest: f64,
    temperature: f64,
    share: f64,
    scratch: &mut select::Scratch<E::Real>,
) -> Border {
    if share >= 1.0 {
        // With the whole mass, rounded sums would stop too early: keep every token that is not banned.
        return select::above(row, E::Real::NEG_INFINITY.next_up().wide());
    }
    let total = run(TotalInF64 { row, highest, temperature });
    // All tokens below this together have less than half the mass that may be left out; half, because of rounding.
    let least = highest + temperature * (total * (1.0 - share) / row.len() as f64 / 2.0).min(0.5).ln();
    select::massed(row, highest, temperature, share * total, least, scratch)
}

/// A pass's part of a row's gradient: polynomials in `u` that multiply `e^u`, and the part of the reference.
pub(crate) struct Slopes<R> {
    temperature: f64,
    own: Backward<R>,
    comparison: Option<Comparison>,
}

impl<R: Real> Slopes<R> {
    /// `None` if all cotangents are zero.
    fn of(index: usize, pass: &Pass, known: &Known<'_>) -> Option<Self> {
        let cotangents = &known.cotangents[sums::of(index)..][..sums::PER_PASS];
        if cotangents.iter().all(|cotangent| *cotangent == 0.0) {
            return None;
        }
        let sums = &known.sums[sums::of(index)..][..sums::PER_PASS];
        let facts = &known.facts[facts::of(index)..][..facts::PER_PASS];
        // The derivative of `u^k e^u` is `(k u^(k-1) + u^k) e^u`.
        let temperature = pass.at(known.facts[facts::DIVISOR]);
        let slope = |from: usize| {
            let c = &cotangents[from..from + 3];
            [c[0] + c[1], c[1] + 2.0 * c[2], c[2]].map(|c| c / temperature)
        };
        let outside = slope(sums::WHOLE);
        let inside = pass.set.map(|_| {
            let mut both = slope(sums::INSIDE);
            for (both, outside) in both.iter_mut().zip(outside) {
                *both += outside;
            }
            let border = Border {
                from: facts[facts::FROM],
                from_after: facts[facts::FROM_AFTER],
                cut: facts[facts::CUT] as usize,
                size: facts[facts::SIZE] as usize,
            };
            (both, border)
        });
        let comparison = pass.compares.map(|reference| Comparison {
            reference,
            reverse: cotangents[sums::REVERSE] / temperature,
            forward: cotangents[sums::FORWARD] / temperature,
            mixture: cotangents[sums::JENSEN_SHANNON] / temperature,
            beta: pass.beta,
            norms: [sums[sums::WHOLE], sums[sums::REFERENCE]],
            to_mixture: facts[facts::TO_MIXTURE],
            highest: facts[facts::REFERENCE_HIGHEST],
        });
        let own = Backward::new(known.facts[facts::HIGHEST], temperature, outside, inside);
        Some(Self { temperature, own, comparison })
    }
}

struct Gradient<'a, E: Element> {
    place: &'a Place<'a, E>,
    known: &'a Known<'a>,
    passes: &'a [Slopes<E::Real>],
    plan: &'a Plan,
}

impl<E: Element> Job for Gradient<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<const LEVEL: u8>(self) {
        let mut wide = Buffer::new();
        let mut wide_reference = Buffer::new();
        let mut sum = Buffer::new();
        let mut powers = Powers::new();
        let highest = self.known.facts[facts::HIGHEST];
        let mut start = 0;
        while start < self.place.vocabulary {
            let length = BLOCK.min(self.place.vocabulary - start);
            // SAFETY: the caller of `write_gradient` promises it; the block is read into `sum` before its gradient is
            // written, and not used afterwards.
            let block = unsafe { std::slice::from_raw_parts(self.place.row.add(start), length) };
            let block = E::widened(block, &mut wide);
            let sum = &mut sum.0[..length];
            for (index, pass) in self.passes.iter().enumerate() {
                pass.own.write::<LEVEL>(start, block, sum, index > 0, &mut powers);
                if let Some(comparison) = &pass.comparison {
                    let row = self.place.references[comparison.reference];
                    // SAFETY: the same.
                    let reference = unsafe { std::slice::from_raw_parts(row.add(start), length) };
                    let reference = E::widened(reference, &mut wide_reference);
                    comparison.add::<E::Real, LEVEL>(highest, pass.temperature, block, reference, sum);
                }
            }
            if self.passes.is_empty() {
                sum.fill(E::Real::default());
            }
            let mut add = |at: usize, share: f64| sum[at] = E::Real::of(sum[at].wide() + share);
            if let Some(at) = self.known.tokens.action.checked_sub(start).filter(|at| *at < length) {
                add(at, self.known.cotangents[sums::CHOSEN]);
            }
            let mut column = self.plan.first_listed();
            let mut rest = self.known.tokens.listed;
            for tokens in &self.plan.lists {
                let (ids, after) = rest.split_at(*tokens);
                let first = ids.partition_point(|id| *id < start as i64);
                let here = ids[first..].iter().take_while(|id| **id < (start + length) as i64);
                for (id, share) in here.zip(&self.known.cotangents[column + first..]) {
                    add(*id as usize - start, *share);
                }
                (rest, column) = (after, column + tokens);
            }
            // SAFETY: the same.
            E::narrow(sum, unsafe { std::slice::from_raw_parts_mut(self.place.gradient.add(start), length) });
            start += length;
        }
    }
}
