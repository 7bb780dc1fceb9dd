//! From what each rank has read of a row, relative to its own highest logit, to what one process would have read.

use std::ops::Range;

use crate::passes::{Plan, facts, sums};

/// The results of rows that count, in the columns of the plan: one line for each row.
#[derive(Default)]
pub(super) struct Lines {
    pub(super) sums: Vec<f64>,
    pub(super) facts: Vec<f64>,
}

/// Where a pass has its numbers in a message about a row.
struct Place {
    /// `Σ e^u`, `Σ u e^u` and, if they are needed, `Σ u² e^u`.
    whole: Range<usize>,
    /// The reference's highest logit, and the three sums that compare with it.
    compared: Option<usize>,
}

/// What ranks send about the whole row: the highest logit, the logits of the action and of listed tokens, zero on the ranks that
/// do not hold them, and the sums of each pass. A highest logit of `-inf` says that the rank has no token that can be sampled,
/// NaN that the row has no softmax.
pub(super) struct Message<'p> {
    plan: &'p Plan,
    places: Vec<Place>,
    listed: usize,
    /// How many numbers it has for a row.
    pub(super) width: usize,
}

impl<'p> Message<'p> {
    pub(super) fn of(plan: &'p Plan) -> Self {
        let listed = plan.lists.iter().sum();
        let orders = if plan.second { 3 } else { 2 };
        let mut width = 2 + listed;
        let mut take = |count: usize| {
            width += count;
            width - count
        };
        let places = plan.passes.iter().map(|pass| {
            let first = take(orders);
            Place { whole: first..first + orders, compared: pass.compares.map(|_| take(4)) }
        });
        let places = places.collect();
        Self { plan, places, listed, width }
    }

    /// This rank's message about all rows.
    pub(super) fn write(&self, lines: &Lines) -> Vec<f64> {
        let plan = self.plan;
        let mut message = Vec::with_capacity(lines.facts.len() / plan.facts() * self.width);
        for (row, known) in lines.sums.chunks_exact(plan.sums()).zip(lines.facts.chunks_exact(plan.facts())) {
            message.extend([known[facts::HIGHEST], row[sums::CHOSEN]]);
            message.extend(&row[plan.first_listed()..]);
            for (pass, place) in self.places.iter().enumerate() {
                let row = &row[sums::of(pass)..];
                message.extend(&row[sums::WHOLE..][..place.whole.len()]);
                if place.compared.is_some() {
                    message.push(known[facts::of(pass) + facts::REFERENCE_HIGHEST]);
                    message.extend([sums::REFERENCE, sums::REVERSE, sums::FORWARD].map(|column| row[column]));
                }
            }
        }
        message
    }

    /// The lines of rows with these divisors from the messages of all ranks; sums run in the order of ranks.
    pub(super) fn merge(&self, told: &[Vec<f64>], divisors: &[f64]) -> Lines {
        let plan = self.plan;
        let mut lines = Lines::default();
        for (row, divisor) in divisors.iter().enumerate() {
            let told: Vec<&[f64]> = told.iter().map(|of| &of[row * self.width..][..self.width]).collect();
            let (mut sums, mut known) = (vec![0.0; plan.sums()], vec![0.0; plan.facts()]);
            if self.merge_row(&told, *divisor, &mut sums, &mut known).is_none() {
                sums.fill(f64::NAN);
                known.fill(f64::NAN);
            }
            lines.sums.append(&mut sums);
            lines.facts.append(&mut known);
        }
        lines
    }

    /// `None` for a row without a softmax.
    fn merge_row(&self, told: &[&[f64]], divisor: f64, sums: &mut [f64], known: &mut [f64]) -> Option<()> {
        let first = self.plan.first_listed();
        let highest = highest(told.iter().map(|of| of[0]))?;
        if divisor.is_nan() {
            return None;
        }
        known[facts::HIGHEST] = highest;
        known[facts::DIVISOR] = divisor;
        for of in told {
            sums[sums::CHOSEN] += of[1];
            for (sum, logit) in sums[first..].iter_mut().zip(&of[2..2 + self.listed]) {
                *sum += logit;
            }
        }
        for (index, (pass, place)) in self.plan.passes.iter().zip(&self.places).enumerate() {
            let temperature = pass.at(divisor);
            let sums = &mut sums[sums::of(index)..][..sums::PER_PASS];
            for of in told {
                add_moments(
                    &of[place.whole.clone()],
                    (of[0] - highest) / temperature,
                    &mut sums[sums::WHOLE..],
                );
            }
            let Some(at) = place.compared else { continue };
            let theirs = self::highest(told.iter().map(|of| of[at]))?;
            known[facts::of(index) + facts::REFERENCE_HIGHEST] = theirs;
            for of in told {
                let [own, other] = [(of[0] - highest) / temperature, (of[at] - theirs) / temperature];
                let [whole, reference, reverse, forward] =
                    [of[place.whole.start], of[at + 1], of[at + 2], of[at + 3]];
                // A token without probability adds nothing, however far it is from the other side.
                if other.exp() > 0.0 && reference > 0.0 {
                    sums[sums::REFERENCE] += other.exp() * reference;
                    sums[sums::FORWARD] += other.exp() * (forward + (other - own) * reference);
                }
                if own.exp() > 0.0 && whole > 0.0 {
                    sums[sums::REVERSE] += own.exp() * (reverse + (own - other) * whole);
                }
            }
        }
        Some(())
    }
}

/// The highest of the highest; `None` if there is none, as in a row with NaN.
fn highest(all: impl Iterator<Item = f64>) -> Option<f64> {
    let most = |most: f64, of: f64| if most.is_nan() || of.is_nan() { f64::NAN } else { most.max(of) };
    Some(all.fold(f64::NEG_INFINITY, most)).filter(|highest| highest.is_finite())
}

/// Adds `Σ e^u`, `Σ u e^u` and `Σ u² e^u` of tokens whose `u` is `by` more than it was when these sums were taken.
fn add_moments(of: &[f64], by: f64, to: &mut [f64]) {
    let share = by.exp();
    if share <= 0.0 {
        return;
    }
    to[0] += share * of[0];
    to[1] += share * (of[1] + by * of[0]);
    if let Some(second) = of.get(2) {
        to[2] += share * (second + by * (2.0 * of[1] + by * of[0]));
    }
}
