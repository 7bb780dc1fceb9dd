//! Numbers that remember what they were computed from, and the slopes of one of them in all others.

/// A number on the tape; a constant has no place there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Var {
    pub(crate) value: f64,
    place: u32,
}

const CONSTANT: u32 = u32::MAX;

impl Var {
    pub(crate) fn constant(value: f64) -> Self {
        Self { value, place: CONSTANT }
    }

    pub(crate) fn detached(self) -> Self {
        Self::constant(self.value)
    }

    pub(crate) fn is_constant(self) -> bool {
        self.place == CONSTANT
    }
}

/// Pretended rounding. A number whose last digits mean something does not change by more than these do; where a result does, what
/// is compared with it cannot be expected to agree.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Noise {
    /// Another seed rounds otherwise.
    pub seed: u64,
    /// The greatest relative error of an operation.
    pub size: f64,
}

impl Noise {
    /// No rounding beyond that of f64.
    pub const NONE: Self = Self { seed: 0, size: 0.0 };

    /// Rounds a result. Equal numbers are rounded alike, so that ties stay ties; and a short number is left alone, since sums and
    /// products of those are exact whatever their order.
    pub(crate) fn round(self, x: f64) -> f64 {
        self.round_by(x, 0)
    }

    /// The same, but equal numbers of different functions are not rounded alike.
    fn round_by(self, x: f64, by: u64) -> f64 {
        #[expect(clippy::float_cmp, reason = "whether a number is whole is an exact question")]
        let short = (x * 65536.0).trunc() == x * 65536.0 && x.abs() < 1e6;
        if short { x } else { self.jolt(x, by) }
    }

    /// Rounds a sum. One that lost digits is never left alone, nor rounded like one that lost others: `1 - 1e-20` is neither 1 nor
    /// `1 - 1e-21`.
    fn round_sum(self, a: f64, b: f64) -> f64 {
        let sum = a + b;
        let kept = sum - a;
        let lost = (a - (sum - kept)) + (b - kept);
        if lost == 0.0 { self.round(sum) } else { self.jolt(sum, lost.to_bits()) }
    }

    /// Moves a number at random, by its bits and what else it depends on.
    fn jolt(self, x: f64, by: u64) -> f64 {
        if self.size == 0.0 || !x.is_finite() {
            return x;
        }
        let mut bits = x.to_bits() ^ by.rotate_left(32) ^ self.seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        bits ^= bits >> 31;
        let unit = (bits >> 11) as f64 / (1_u64 << 52) as f64 - 1.0;
        x * (1.0 + self.size * unit)
    }
}

/// From a number to one that it was computed from.
#[derive(Clone, Copy)]
struct Edge {
    to: u32,
    slope: f64,
    /// Whether the slope is 0 even where NaN arrives: the number was not chosen, or is raised to 0.
    cut: bool,
}

/// All numbers of a computation, in order.
pub(crate) struct Tape {
    pub(crate) noise: Noise,
    /// Those of [`crate::Step::delicate`].
    pub(crate) delicate: Vec<f64>,
    /// Where the edges of each number begin.
    starts: Vec<u32>,
    edges: Vec<Edge>,
}

impl Tape {
    pub(crate) fn new(noise: Noise) -> Self {
        Self { noise, delicate: Vec::new(), starts: vec![0], edges: Vec::new() }
    }

    /// A number that gradient flows to.
    pub(crate) fn leaf(&mut self, value: f64) -> Var {
        self.close(value)
    }

    fn close(&mut self, value: f64) -> Var {
        let place = self.starts.len() as u32 - 1;
        self.starts.push(self.edges.len() as u32);
        Var { value, place }
    }

    fn node(&mut self, value: f64, from: impl IntoIterator<Item = (Var, f64, bool)>) -> Var {
        let before = self.edges.len();
        let from = from.into_iter().filter(|(var, ..)| !var.is_constant());
        self.edges.extend(from.map(|(var, slope, cut)| Edge { to: var.place, slope, cut }));
        if self.edges.len() == before { Var::constant(value) } else { self.close(value) }
    }

    /// A result of rounding arithmetic, from numbers with the slope in each.
    pub(crate) fn computed(&mut self, value: f64, from: impl IntoIterator<Item = (Var, f64)>) -> Var {
        let value = self.noise.round(value);
        self.node(value, from.into_iter().map(|(var, slope)| (var, slope, false)))
    }

    /// One of several numbers, or equal shares of those that are marked.
    pub(crate) fn chosen(&mut self, value: f64, from: &[(Var, bool)]) -> Var {
        if value.is_nan() && from.iter().all(|(_, taken)| !taken) {
            // Which one was chosen is unknown.
            return self.node(value, from.iter().map(|(var, _)| (*var, f64::NAN, false)).collect::<Vec<_>>());
        }
        let share = 1.0 / from.iter().filter(|(_, taken)| *taken).count().max(1) as f64;
        let edges = from.iter().map(|(var, taken)| (*var, if *taken { share } else { 0.0 }, !taken));
        self.node(value, edges.collect::<Vec<_>>())
    }

    /// A value that is exact, with the slopes given.
    pub(crate) fn exact(&mut self, value: f64, x: Var, slope: f64) -> Var {
        self.node(value, [(x, slope, false)])
    }

    /// The slopes of `of`.
    pub(crate) fn slopes(&self, of: Var) -> Slopes {
        let mut slopes = vec![0.0_f64; self.starts.len()];
        let mut reached = vec![false; self.starts.len()];
        let mut is_singular = self.edges.iter().any(|edge| !edge.slope.is_finite());
        if !of.is_constant() {
            slopes[of.place as usize] = 1.0;
            reached[of.place as usize] = true;
            for place in (0..=of.place as usize).rev() {
                if !reached[place] {
                    continue;
                }
                let range = self.starts[place] as usize..self.starts[place + 1] as usize;
                for edge in &self.edges[range] {
                    is_singular |= !slopes[place].is_finite();
                    let more = if edge.cut { 0.0 } else { self.noise.round(slopes[place] * edge.slope) };
                    slopes[edge.to as usize] += more;
                    reached[edge.to as usize] = true;
                }
            }
        }
        Slopes { slopes, is_singular }
    }
}

/// The slopes of a number in those that it was computed from.
pub(crate) struct Slopes {
    slopes: Vec<f64>,
    /// Whether one of them, or of the operations on the way, is infinite or NaN.
    pub(crate) is_singular: bool,
}

impl Slopes {
    pub(crate) fn of(&self, leaves: &[Var]) -> Vec<f64> {
        let slope = |leaf: &Var| if leaf.is_constant() { 0.0 } else { self.slopes[leaf.place as usize] };
        leaves.iter().map(slope).collect()
    }
}

/// Arithmetic.
impl Tape {
    pub(crate) fn add(&mut self, a: Var, b: Var) -> Var {
        self.node(self.noise.round_sum(a.value, b.value), [(a, 1.0, false), (b, 1.0, false)])
    }

    pub(crate) fn sub(&mut self, a: Var, b: Var) -> Var {
        self.node(self.noise.round_sum(a.value, -b.value), [(a, 1.0, false), (b, -1.0, false)])
    }

    pub(crate) fn mul(&mut self, a: Var, b: Var) -> Var {
        self.computed(a.value * b.value, [(a, b.value), (b, a.value)])
    }

    pub(crate) fn div(&mut self, a: Var, b: Var) -> Var {
        self.delicate.push(b.value);
        let value = a.value / b.value;
        self.computed(value, [(a, 1.0 / b.value), (b, -value / b.value)])
    }

    pub(crate) fn scale(&mut self, a: Var, by: f64) -> Var {
        self.computed(a.value * by, [(a, by)])
    }

    pub(crate) fn neg(&mut self, a: Var) -> Var {
        self.exact(-a.value, a, -1.0)
    }

    pub(crate) fn exp(&mut self, a: Var) -> Var {
        let value = self.noise.round(a.value.exp());
        self.computed(value, [(a, value)])
    }

    pub(crate) fn log(&mut self, a: Var) -> Var {
        self.delicate.push(a.value);
        self.computed(a.value.ln(), [(a, 1.0 / a.value)])
    }

    pub(crate) fn sqrt(&mut self, a: Var) -> Var {
        self.delicate.push(a.value);
        let value = a.value.sqrt();
        self.computed(value, [(a, 0.5 / value)])
    }

    pub(crate) fn abs(&mut self, a: Var) -> Var {
        self.exact(a.value.abs(), a, sign(a.value))
    }

    pub(crate) fn sigmoid(&mut self, a: Var) -> Var {
        let value = 1.0 / (1.0 + (-a.value).exp());
        let rest = 1.0 / (1.0 + a.value.exp());
        // Far below zero it has the digits of `exp` and of `softplus`, and each of them rounds in its own way.
        self.node(self.noise.round_by(value, 1), [(a, value * rest, false)])
    }

    pub(crate) fn tanh(&mut self, a: Var) -> Var {
        // The slope is 1 - tanh², whose digits go where the value is near 1.
        let value = self.noise.round(a.value.tanh());
        self.computed(value, [(a, 1.0 - value * value)])
    }

    pub(crate) fn softplus(&mut self, a: Var) -> Var {
        let value = a.value.max(0.0) + (-a.value.abs()).exp().ln_1p();
        self.node(self.noise.round_by(value, 2), [(a, 1.0 / (1.0 + (-a.value).exp()), false)])
    }

    pub(crate) fn pow(&mut self, a: Var, b: Var) -> Var {
        // Singular around a base of zero, around a whole exponent of a negative base, and around a base of one with an infinite exponent.
        let apart = if a.value < 0.0 { b.value - b.value.round() } else { 0.0 };
        self.delicate.extend([a.value, apart, if b.value.is_finite() { 0.0 } else { a.value - 1.0 }]);
        let value = a.value.powf(b.value);
        let of_base = (a, b.value * a.value.powf(b.value - 1.0), b.value == 0.0);
        let flat = a.value == 0.0 && b.value >= 0.0;
        let of_exponent = (b, if flat { 0.0 } else { value * a.value.ln() }, false);
        let value = self.noise.round(value);
        self.node(value, [of_base, of_exponent])
    }

    pub(crate) fn square(&mut self, a: Var) -> Var {
        self.computed(a.value * a.value, [(a, 2.0 * a.value)])
    }

    pub(crate) fn sum(&mut self, of: &[Var]) -> Var {
        let value = of.iter().fold(0.0, |sum, x| self.noise.round_sum(sum, x.value));
        self.node(value, of.iter().map(|x| (*x, 1.0, false)).collect::<Vec<_>>())
    }

    pub(crate) fn mean(&mut self, of: &[Var]) -> Var {
        let sum = self.sum(of);
        self.div(sum, Var::constant(of.len() as f64))
    }

    /// The greatest, or least; where several are, they share the slope equally.
    pub(crate) fn extreme(&mut self, of: &[Var], greatest: bool) -> Var {
        let better = |best: f64, x: f64| {
            if best.is_nan() || x.is_nan() {
                f64::NAN
            } else if greatest {
                best.max(x)
            } else {
                best.min(x)
            }
        };
        let first = if greatest { f64::NEG_INFINITY } else { f64::INFINITY };
        let value = of.iter().fold(first, |best, x| better(best, x.value));
        #[expect(clippy::float_cmp, reason = "a tie is an exact one")]
        let from: Vec<(Var, bool)> = of.iter().map(|x| (*x, x.value == value)).collect();
        self.chosen(value, &from)
    }

    pub(crate) fn max(&mut self, a: Var, b: Var) -> Var {
        self.extreme(&[a, b], true)
    }

    pub(crate) fn min(&mut self, a: Var, b: Var) -> Var {
        self.extreme(&[a, b], false)
    }

    /// `x` limited to `lo .. hi`, without a slope outside; at an end it has one.
    pub(crate) fn clamp(&mut self, x: Var, lo: Var, hi: Var) -> Var {
        let value = x.value.max(lo.value).min(hi.value);
        let value = if x.value.is_nan() { x.value } else { value };
        let inside = lo.value <= x.value && x.value <= hi.value;
        let low = !inside && x.value < lo.value && lo.value <= hi.value;
        let high = !inside && !low && !value.is_nan();
        self.chosen(value, &[(x, inside), (lo, low), (hi, high)])
    }

    pub(crate) fn clamp_to(&mut self, x: Var, lo: f64, hi: f64) -> Var {
        self.clamp(x, Var::constant(lo), Var::constant(hi))
    }

    /// The logarithm of the sum of the exponentials.
    pub(crate) fn log_sum_exp(&mut self, of: &[Var]) -> Var {
        let top = of.iter().fold(f64::NEG_INFINITY, |top, x| top.max(x.value));
        if of.is_empty() || top.is_infinite() {
            return Var::constant(top);
        }
        let parts: Vec<f64> = of.iter().map(|x| (x.value - top).exp()).collect();
        // The sum has digits of 1, however small its logarithm.
        let sum = parts.iter().fold(0.0, |sum, part| self.noise.round_sum(sum, *part));
        let from = of.iter().zip(&parts).map(|(x, part)| (*x, part / sum)).collect::<Vec<_>>();
        self.computed(top + sum.ln(), from)
    }
}

/// -1, 0 or 1; of NaN it is 0.
pub(crate) fn sign(x: f64) -> f64 {
    if x > 0.0 {
        1.0
    } else if x < 0.0 {
        -1.0
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::{Noise, Tape, Var};

    #[test]
    fn slopes_are_those_of_the_formula() {
        let mut tape = Tape::new(Noise::NONE);
        let (x, y) = (tape.leaf(0.7), tape.leaf(-1.3));
        let product = tape.mul(x, y);
        let exp = tape.exp(product);
        let total = tape.add(exp, x);
        let slopes = tape.slopes(total).of(&[x, y]);
        let e = (0.7_f64 * -1.3).exp();
        assert!((slopes[0] - (-1.3 * e + 1.0)).abs() < 1e-15);
        assert!((slopes[1] - 0.7 * e).abs() < 1e-15);
    }

    #[test]
    fn ties_share_the_slope() {
        let mut tape = Tape::new(Noise::NONE);
        let (x, y) = (tape.leaf(2.0), tape.leaf(2.0));
        let top = tape.extreme(&[x, y, Var::constant(1.0)], true);
        assert!(tape.slopes(top).of(&[x, y]).iter().all(|slope| (slope - 0.5).abs() < 1e-15));
    }

    #[test]
    fn what_was_not_chosen_gets_nothing_of_an_infinite_slope() {
        let mut tape = Tape::new(Noise::NONE);
        let (x, y) = (tape.leaf(0.0), tape.leaf(1.0));
        let least = tape.min(x, y);
        let root = tape.sqrt(least);
        let slopes = tape.slopes(root).of(&[x, y]);
        assert!(slopes[0].is_infinite() && slopes[1] == 0.0);
    }

    #[test]
    fn noise_leaves_short_numbers_and_ties_alone() {
        let noise = Noise { seed: 3, size: 1e-6 };
        assert!((noise.round(0.625) - 0.625).abs() == 0.0);
        assert!((noise.round(0.1) - noise.round(0.1)).abs() == 0.0);
        assert!((noise.round(0.1) - 0.1).abs() > 0.0);
        assert!((noise.round(0.1) - 0.1).abs() <= 1e-7);
    }
}
