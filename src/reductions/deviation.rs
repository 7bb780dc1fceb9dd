//! The root of an unbiased variance, with a gradient everywhere.

use crate::plugin::prelude::*;

/// `sqrt(squares / (sizes - 1))`, from sums of squared distances to a mean; 0 where there is one value or none, and NaN where one
/// is not finite.
pub(super) fn deviation(squares: &Tensor, sizes: &Tensor) -> Tensor {
    let variance = squares / (sizes - 1.0).clamp_min(1.0);
    // The root has no derivative at 0: its gradient is kept away from there. NaN is not.
    let none = variance.le(0.0);
    let root = none.where_cond(&variance.ones_like(), &variance).sqrt();
    none.where_cond(&root.zeros_like(), &root)
}
