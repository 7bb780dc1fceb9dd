//! Values that follow from those behind them in a sequence, as returns do.

use crate::plugin::prelude::*;

/// `x_t = addend_t + factor_t · x_{t+1}`, with 0 behind the last column.
///
/// Two steps of the rule are one step of the same sort, `x_t = (a_t + f_t a_{t+1}) + f_t f_{t+1} x_{t+2}`. So a row of
/// T columns takes log2 T passes over the tensor instead of T over a column.
pub(super) fn backward(addend: &Tensor, factor: &Tensor) -> Tensor {
    let width = addend.length(1);
    let (mut sum, mut factor) = (addend.clone(), factor.clone());
    let mut reach = 1;
    while reach < width {
        sum = &sum + &factor * behind(&sum, reach);
        factor = &factor * behind(&factor, reach);
        reach *= 2;
    }
    sum
}

/// The values `steps` columns behind, with 0 behind the last column.
pub(super) fn behind(x: &Tensor, steps: i64) -> Tensor {
    let left = (x.length(1) - steps).max(0);
    x.narrow(1, x.length(1) - left, left).pad(0, x.length(1) - left)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::Libtorch;

    #[test]
    fn a_row_follows_its_rule_from_the_last_column_on() {
        for width in 1..=9 {
            let number = |at: i64| (at as f64).sin();
            let addend: Vec<f64> = (0..width).map(number).collect();
            let factor: Vec<f64> = (0..width).map(|at| number(at + 40)).collect();
            let row = |numbers: &[f64]| Tensor::from_slice(&Libtorch, numbers, &[1, width]);
            let found = backward(&row(&addend), &row(&factor));
            let mut expected = 0.0;
            for at in (0..width as usize).rev() {
                expected = addend[at] + factor[at] * expected;
                let found = found.f64_at(&[0, at as i64]).unwrap();
                assert!((found - expected).abs() < 1e-14, "{width}, {at}: {found} or {expected}");
            }
        }
    }
}
