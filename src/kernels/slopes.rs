//! Numbers that formulas are computed with: of one row, of all rows on a device, and either with its slopes.

use crate::tensor::Tensor;

/// A number that a formula is computed with.
pub(super) trait Number: Clone {
    fn plus(&self, other: &Self) -> Self;
    fn minus(&self, other: &Self) -> Self;
    fn times(&self, other: &Self) -> Self;
    fn over(&self, other: &Self) -> Self;
    fn ln(&self) -> Self;
    fn times_constant(&self, factor: f64) -> Self;
    fn over_constant(&self, divisor: f64) -> Self;
    fn plus_constant(&self, addend: f64) -> Self;
}

impl Number for f64 {
    fn plus(&self, other: &Self) -> Self {
        self + other
    }

    fn minus(&self, other: &Self) -> Self {
        self - other
    }

    fn times(&self, other: &Self) -> Self {
        self * other
    }

    fn over(&self, other: &Self) -> Self {
        self / other
    }

    fn ln(&self) -> Self {
        f64::ln(*self)
    }

    fn times_constant(&self, factor: f64) -> Self {
        self * factor
    }

    fn over_constant(&self, divisor: f64) -> Self {
        self / divisor
    }

    fn plus_constant(&self, addend: f64) -> Self {
        self + addend
    }
}

/// How many rows a formula is computed for at once.
pub(super) const LANES: usize = 8;

/// The numbers of that many rows.
#[derive(Clone)]
pub(super) struct Lanes(pub(super) [f64; LANES]);

impl Lanes {
    #[inline]
    fn of(number: impl Fn(usize) -> f64) -> Self {
        Self(std::array::from_fn(number))
    }
}

impl Number for Lanes {
    fn plus(&self, other: &Self) -> Self {
        Self::of(|lane| self.0[lane] + other.0[lane])
    }

    fn minus(&self, other: &Self) -> Self {
        Self::of(|lane| self.0[lane] - other.0[lane])
    }

    fn times(&self, other: &Self) -> Self {
        Self::of(|lane| self.0[lane] * other.0[lane])
    }

    fn over(&self, other: &Self) -> Self {
        Self::of(|lane| self.0[lane] / other.0[lane])
    }

    fn ln(&self) -> Self {
        Self::of(|lane| self.0[lane].ln())
    }

    fn times_constant(&self, factor: f64) -> Self {
        Self::of(|lane| self.0[lane] * factor)
    }

    fn over_constant(&self, divisor: f64) -> Self {
        Self::of(|lane| self.0[lane] / divisor)
    }

    fn plus_constant(&self, addend: f64) -> Self {
        Self::of(|lane| self.0[lane] + addend)
    }
}

/// `[N]` in f64.
impl Number for Tensor {
    fn plus(&self, other: &Self) -> Self {
        self + other
    }

    fn minus(&self, other: &Self) -> Self {
        self - other
    }

    fn times(&self, other: &Self) -> Self {
        self * other
    }

    fn over(&self, other: &Self) -> Self {
        self / other
    }

    fn ln(&self) -> Self {
        self.log()
    }

    fn times_constant(&self, factor: f64) -> Self {
        self * factor
    }

    fn over_constant(&self, divisor: f64) -> Self {
        if divisor.to_bits() == 1f64.to_bits() { self.clone() } else { self / divisor }
    }

    fn plus_constant(&self, addend: f64) -> Self {
        self + addend
    }
}

/// The most columns of the sums that a formula reads.
const MOST_COLUMNS: usize = 3;

/// A number with its derivatives by the columns of the sums; those that it has come first.
#[derive(Clone)]
pub(super) struct Sloped<N> {
    pub(super) value: N,
    pub(super) slopes: [Option<(usize, N)>; MOST_COLUMNS],
}

impl<N: Number> Sloped<N> {
    pub(super) fn constant(value: N) -> Self {
        Self { value, slopes: [const { None }; MOST_COLUMNS] }
    }

    pub(super) fn column(column: usize, value: N, one: N) -> Self {
        let mut sloped = Self::constant(value);
        sloped.slopes[0] = Some((column, one));
        sloped
    }

    /// `value`, with the same change to every slope.
    #[inline]
    fn map(&self, value: N, change: impl Fn(&N) -> N) -> Self {
        let mut mapped = Self::constant(value);
        for (to, from) in mapped.slopes.iter_mut().zip(&self.slopes) {
            let Some((column, of)) = from else { break };
            *to = Some((*column, change(of)));
        }
        mapped
    }

    /// Adds the slopes of another number, each changed alike.
    #[inline]
    fn with(mut self, other: &Self, change: impl Fn(&N) -> N) -> Self {
        for (column, slope) in other.slopes.iter().map_while(Option::as_ref) {
            let slope = change(slope);
            let at = self.slopes.iter().position(|of| of.as_ref().is_none_or(|(of, _)| of == column));
            let place = &mut self.slopes[at.expect("a formula reads few columns")];
            let sum = match place {
                Some((_, of)) => of.plus(&slope),
                None => slope,
            };
            *place = Some((*column, sum));
        }
        self
    }
}

impl<N: Number> Number for Sloped<N> {
    fn plus(&self, other: &Self) -> Self {
        let value = self.value.plus(&other.value);
        self.map(value, N::clone).with(other, N::clone)
    }

    fn minus(&self, other: &Self) -> Self {
        let value = self.value.minus(&other.value);
        self.map(value, N::clone).with(other, |slope| slope.times_constant(-1.0))
    }

    fn times(&self, other: &Self) -> Self {
        let value = self.value.times(&other.value);
        self.map(value, |slope| slope.times(&other.value)).with(other, |slope| slope.times(&self.value))
    }

    fn over(&self, other: &Self) -> Self {
        let value = self.value.over(&other.value);
        let by = value.over(&other.value).times_constant(-1.0);
        self.map(value, |slope| slope.over(&other.value)).with(other, |slope| slope.times(&by))
    }

    fn ln(&self) -> Self {
        self.map(self.value.ln(), |slope| slope.over(&self.value))
    }

    fn times_constant(&self, factor: f64) -> Self {
        self.map(self.value.times_constant(factor), |slope| slope.times_constant(factor))
    }

    fn over_constant(&self, divisor: f64) -> Self {
        self.map(self.value.over_constant(divisor), |slope| slope.over_constant(divisor))
    }

    fn plus_constant(&self, addend: f64) -> Self {
        self.map(self.value.plus_constant(addend), N::clone)
    }
}
