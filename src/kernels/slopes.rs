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

/// A number with its derivatives by the columns of the sums.
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
    fn map(&self, value: N, change: impl Fn(&N) -> N) -> Self {
        let slopes =
            self.slopes.each_ref().map(|slope| slope.as_ref().map(|(column, of)| (*column, change(of))));
        Self { value, slopes }
    }

    /// Adds the slopes of another number.
    fn with(mut self, other: Self) -> Self {
        for (column, slope) in other.slopes.into_iter().flatten() {
            let known = self.slopes.iter().position(|of| matches!(of, Some((of, _)) if *of == column));
            let free = || self.slopes.iter().position(Option::is_none).expect("a formula reads few columns");
            let at = known.unwrap_or_else(free);
            let sum = match &self.slopes[at] {
                Some((_, of)) => of.plus(&slope),
                None => slope,
            };
            self.slopes[at] = Some((column, sum));
        }
        self
    }
}

impl<N: Number> Number for Sloped<N> {
    fn plus(&self, other: &Self) -> Self {
        let value = self.value.plus(&other.value);
        self.map(value, N::clone).with(other.clone())
    }

    fn minus(&self, other: &Self) -> Self {
        let value = self.value.minus(&other.value);
        self.map(value, N::clone).with(other.times_constant(-1.0))
    }

    fn times(&self, other: &Self) -> Self {
        let value = self.value.times(&other.value);
        let left = self.map(value, |slope| slope.times(&other.value));
        left.with(other.map(other.value.clone(), |slope| slope.times(&self.value)))
    }

    fn over(&self, other: &Self) -> Self {
        let value = self.value.over(&other.value);
        let left = self.map(value.clone(), |slope| slope.over(&other.value));
        let by = value.over(&other.value).times_constant(-1.0);
        left.with(other.map(value, |slope| slope.times(&by)))
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
