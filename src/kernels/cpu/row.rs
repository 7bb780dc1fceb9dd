//! One row: what the forward pass finds in it, and the gradient that the backward pass writes.

use super::dispatch::{Job, run};
use super::number::{BLOCK, Element, Real};
use super::plan::{Found, Plan, Row, Slopes};
use super::scan::Highest;
use super::select::{self, Scratch};
use super::sums::{Backward, Border, Forward, TotalInF64};
use crate::kernels::TokenSet;

/// Reads a row.
pub(crate) fn read<E: Element>(row: &[E], action: usize, plan: &Plan, scratch: &mut Scratch<E::Real>) -> Row {
    let mut borders: Vec<Option<Border>> = vec![None; plan.passes.len()];
    let mut extent = None;
    // A ranked set finds the row's extent on its way; the other sets need it to begin with.
    for (pass, border) in plan.passes.iter().zip(&mut borders) {
        if let Some(TokenSet::TopK(count)) = pass.set {
            let (seen, found) = select::ranked(row, count as usize, scratch);
            extent = Some(seen);
            *border = Some(found);
        }
    }
    let extent = extent.unwrap_or_else(|| run(Highest(row)));
    let (chosen, vocabulary) = (row[action].real().wide(), row.len());
    if !extent.is_usable {
        return Row { highest: f64::NAN, chosen, vocabulary, passes: Box::default() };
    }
    let highest = extent.highest;
    let passes = plan.passes.iter().zip(borders).map(|(pass, ranked)| {
        let temperature = pass.temperature;
        let border = match pass.set {
            Some(TokenSet::TopP(share)) => Some(massed(row, highest, temperature, share, scratch)),
            Some(TokenSet::MinP(ratio)) => Some(select::above(row, highest + temperature * ratio.ln())),
            _ => ranked,
        };
        let [whole, inside] = run(Forward { row, highest, temperature, border, second: plan.second });
        Found { whole, inside, border }
    });
    Row { highest, chosen, vocabulary, passes: passes.collect() }
}

/// Writes the gradient of a row.
pub(crate) fn write_gradient<E: Element>(
    row: &[E],
    found: &Row,
    action: usize,
    plan: &Plan,
    cotangents: impl Fn(usize) -> f64,
    slopes: &mut Vec<Slopes>,
    gradient: &mut [E],
) {
    if found.highest.is_nan() {
        return write_all(f64::NAN, gradient);
    }
    let at_action = plan.slopes(found, cotangents, slopes);
    run(Gradient { row, found, action, at_action, plan, slopes, to: gradient });
}

/// Fills a row.
pub(crate) fn write_all<E: Element>(value: f64, gradient: &mut [E]) {
    let values = [E::Real::of(value); BLOCK];
    for block in gradient.chunks_mut(BLOCK) {
        E::narrow(&values[..block.len()], block);
    }
}

fn massed<E: Element>(
    row: &[E],
    highest: f64,
    temperature: f64,
    share: f64,
    scratch: &mut Scratch<E::Real>,
) -> Border {
    if share >= 1.0 {
        // Rounded sums reach one too early: the whole mass is every token that is not banned.
        return select::above(row, E::Real::NEG_INFINITY.next_up().wide());
    }
    let total = run(TotalInF64 { row, highest, temperature });
    // Tokens this far down have less than the mass that may be left out, all together; half of it, for rounding.
    let least = highest + temperature * (total * (1.0 - share) / row.len() as f64 / 2.0).min(0.5).ln();
    select::massed(row, highest, temperature, share * total, least, scratch)
}

struct Gradient<'a, E> {
    row: &'a [E],
    found: &'a Row,
    action: usize,
    at_action: f64,
    plan: &'a Plan,
    slopes: &'a [Slopes],
    to: &'a mut [E],
}

impl<E: Element> Job for Gradient<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<const LEVEL: u8>(self) {
        let mut wide = [E::Real::default(); BLOCK];
        let mut sum = [E::Real::default(); BLOCK];
        for (index, (block, gradient)) in self.row.chunks(BLOCK).zip(self.to.chunks_mut(BLOCK)).enumerate() {
            let start = index * BLOCK;
            let block = E::widened(block, &mut wide);
            let sum = &mut sum[..block.len()];
            let mut adds = false;
            let passes = self.plan.passes.iter().zip(&self.found.passes).zip(self.slopes);
            for ((pass, found), slopes) in passes {
                if *slopes == Slopes::default() {
                    continue;
                }
                Backward {
                    highest: self.found.highest,
                    temperature: pass.temperature,
                    outside: slopes.outside,
                    inside: found.border.map(|border| (slopes.inside, border)),
                    start,
                    block,
                    gradient: sum,
                    adds,
                }
                .write::<LEVEL>();
                adds = true;
            }
            if !adds {
                sum.fill(E::Real::default());
            }
            if let Some(at) = self.action.checked_sub(start).filter(|at| *at < sum.len()) {
                sum[at] = E::Real::of(sum[at].wide() + self.at_action);
            }
            E::narrow(sum, gradient);
        }
    }
}
