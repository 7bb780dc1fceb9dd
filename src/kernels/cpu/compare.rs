//! Compares a row with the reference's: the sums behind their divergences, and their contribution to the gradient.

use super::dispatch::Job;
use super::number::{BLOCK, Buffer, Element, LANES, Real};

/// Two rows of one length at one temperature.
#[derive(Clone, Copy)]
pub(crate) struct Pair<'a, E> {
    pub(crate) row: &'a [E],
    pub(crate) reference: &'a [E],
    /// The highest logit of each.
    pub(crate) highest: [f64; 2],
    pub(crate) temperature: f64,
}

/// `Σ e^v`, `Σ e^u (u - v)` and `Σ e^v (v - u)`, with `u` of the row and `v` of the reference.
pub(crate) struct Meeting<'a, E>(pub(crate) Pair<'a, E>);

/// `β KL(ρ‖m) + (1-β) KL(π‖m)` and `KL(π‖m)`.
pub(crate) struct Divergence<'a, E> {
    pub(crate) pair: Pair<'a, E>,
    /// `Σ e^u` and `Σ e^v`.
    pub(crate) norms: [f64; 2],
    pub(crate) beta: f64,
}

/// The contribution of comparisons to a row's gradient.
pub(crate) struct Comparison {
    /// The factor of `Σ e^u (u - v)`.
    pub(crate) reverse: f64,
    /// The factor of `Σ e^v (v - u)`.
    pub(crate) forward: f64,
    /// The factor of the Jensen-Shannon divergence.
    pub(crate) mixture: f64,
    pub(crate) beta: Option<f64>,
    /// `Σ e^u` and `Σ e^v`.
    pub(crate) norms: [f64; 2],
    /// `KL(π‖m)`.
    pub(crate) to_mixture: f64,
    /// Which of the references.
    pub(crate) reference: usize,
    /// Its highest logit.
    pub(crate) highest: f64,
}

impl<E: Element> Job for Meeting<'_, E> {
    type Output = [f64; 3];

    #[inline(always)]
    fn run<const LEVEL: u8>(self) -> [f64; 3] {
        self.0.sum(|u, v| {
            let (e, r) = (E::Real::exp::<LEVEL>(u), E::Real::exp::<LEVEL>(v));
            let apart = u.sub(v);
            [r, product(e, apart), product(r, v.sub(u))]
        })
    }
}

impl<E: Element> Job for Divergence<'_, E> {
    type Output = [f64; 2];

    #[inline(always)]
    fn run<const LEVEL: u8>(self) -> [f64; 2] {
        let mixture = Mixture::<E::Real>::of(self.norms, self.beta);
        let [to_mixture, from_reference] = self.pair.sum(|u, v| {
            let [policy, reference] = mixture.logs::<LEVEL>(u, v);
            let (e, r) = (E::Real::exp::<LEVEL>(u), E::Real::exp::<LEVEL>(v));
            [product(e, policy), product(r, reference)]
        });
        let (to_mixture, from_reference) = (to_mixture / self.norms[0], from_reference / self.norms[1]);
        [self.beta * from_reference + (1.0 - self.beta) * to_mixture, to_mixture]
    }
}

impl Comparison {
    /// Adds its contribution to the gradient of a block.
    #[inline(always)]
    pub(crate) fn add<R: Real, const LEVEL: u8>(
        &self,
        highest: f64,
        temperature: f64,
        block: &[R],
        reference: &[R],
        gradient: &mut [R],
    ) {
        let scale = R::of(temperature.recip());
        let (highest, reference_highest) = (R::of(highest), R::of(self.highest));
        let (reverse, forward) = (R::of(self.reverse), R::of(self.forward));
        let weighed = self.beta.filter(|_| self.mixture != 0.0).map(|beta| {
            let weight = R::of(self.mixture * (1.0 - beta) / self.norms[0]);
            (Mixture::<R>::of(self.norms, beta), weight, R::of(self.to_mixture))
        });
        let compares = self.reverse != 0.0 || self.forward != 0.0;
        for ((x, y), gradient) in block.iter().zip(reference).zip(gradient) {
            let (u, v) = (relative(*x, highest, scale), relative(*y, reference_highest, scale));
            let e = R::exp::<LEVEL>(u);
            if compares {
                let by_reverse = product(e, R::of(1.0).add(u.sub(v)));
                *gradient = by_reverse.mul_add::<LEVEL>(reverse, *gradient);
                *gradient = gradient.sub(R::exp::<LEVEL>(v).mul(forward));
            }
            if let Some((mixture, weight, to_mixture)) = &weighed {
                let [policy, _] = mixture.logs::<LEVEL>(u, v);
                *gradient = product(e, policy.sub(*to_mixture)).mul_add::<LEVEL>(*weight, *gradient);
            }
        }
    }
}

impl<E: Element> Pair<'_, E> {
    /// Sums of functions of `u` and `v`: in lanes inside a block and in f64 between blocks.
    #[inline(always)]
    fn sum<const N: usize>(&self, terms: impl Fn(E::Real, E::Real) -> [E::Real; N]) -> [f64; N] {
        let scale = E::Real::of(self.temperature.recip());
        let highest = self.highest.map(E::Real::of);
        let (mut buffer, mut reference_buffer) = (Buffer::new(), Buffer::new());
        let mut totals = [0.0; N];
        for (block, reference) in self.row.chunks(BLOCK).zip(self.reference.chunks(BLOCK)) {
            let mut lanes = [[E::Real::default(); LANES]; N];
            let (block, _) = E::widened(block, &mut buffer).as_chunks::<LANES>();
            let (reference, _) = E::widened(reference, &mut reference_buffer).as_chunks::<LANES>();
            // The pairs of `-inf` after a row's last tokens add nothing.
            for (chunk, reference) in block.iter().zip(reference) {
                add(chunk, reference, scale, highest, &terms, &mut lanes);
            }
            for (total, lanes) in totals.iter_mut().zip(&lanes) {
                *total += lanes.iter().map(|lane| lane.wide()).sum::<f64>();
            }
        }
        totals
    }
}

#[inline(always)]
fn add<R: Real, const N: usize>(
    chunk: &[R; LANES],
    reference: &[R; LANES],
    scale: R,
    highest: [R; 2],
    terms: &impl Fn(R, R) -> [R; N],
    lanes: &mut [[R; LANES]; N],
) {
    for lane in 0..LANES {
        let u = relative(chunk[lane], highest[0], scale);
        let v = relative(reference[lane], highest[1], scale);
        for (lanes, term) in lanes.iter_mut().zip(terms(u, v)) {
            lanes[lane] = lanes[lane].add(term);
        }
    }
}

/// `m = β ρ + (1-β) π`.
struct Mixture<R> {
    beta: R,
    rest: R,
    /// `ln Σ e^u - ln Σ e^v`.
    norms: R,
}

impl<R: Real> Mixture<R> {
    #[inline(always)]
    fn of(norms: [f64; 2], beta: f64) -> Self {
        Self { beta: R::of(beta), rest: R::of(1.0 - beta), norms: R::of(norms[0].ln() - norms[1].ln()) }
    }

    /// `ln (π / m)` and `ln (ρ / m)`, from the smaller of `π / ρ` and `ρ / π`, which cannot overflow.
    #[inline(always)]
    fn logs<const LEVEL: u8>(&self, u: R, v: R) -> [R; 2] {
        let zero = R::default();
        // `ln (ρ / π)`.
        let apart = v.sub(u).add(self.norms);
        let is_below = apart < zero;
        let smaller = R::exp::<LEVEL>(if is_below { apart } else { zero.sub(apart) });
        let (high, low) = if is_below { (self.rest, self.beta) } else { (self.beta, self.rest) };
        let mixed = low.mul_add::<LEVEL>(smaller, high).ln();
        let above = if is_below { zero } else { apart };
        let below = if is_below { apart } else { zero };
        [zero.sub(mixed).sub(above), below.sub(mixed)]
    }
}

/// `u` of a logit: its distance from the highest, over the temperature.
#[inline(always)]
fn relative<R: Real>(x: R, highest: R, scale: R) -> R {
    x.sub(highest).mul(scale)
}

/// `weight · x`, or zero where the weight is zero, for any `x`.
#[inline(always)]
fn product<R: Real>(weight: R, x: R) -> R {
    if weight > R::default() { weight.mul(x) } else { R::default() }
}
