//! Checks that controllers share: crossed ends, bounds without room, a start outside of the bounds.

use crate::plugin::{ArgError, Bounds};

/// Requires two ends, the lower one first.
pub(super) fn check_ends(name: &'static str, Bounds { lo, hi }: Bounds) -> Result<(), ArgError> {
    if lo > hi {
        return Err(ArgError::new(name, format!("expected `{name}` from low to high, found {lo} .. {hi}"))
            .help(format!("write `{name} = {hi} .. {lo}`")));
    }
    Ok(())
}

/// Requires `bounds` that leave room to move, and `init` within them.
pub(super) fn check_room(bounds: Bounds, init: f64) -> Result<(), ArgError> {
    check_ends("bounds", bounds)?;
    let Bounds { lo, hi } = bounds;
    if hi <= lo {
        return Err(ArgError::new(
            "bounds",
            format!("expected `bounds` that leave room to move, found {lo} .. {hi}"),
        )
        .help(format!("write `constant(value = {lo})` for a coefficient that never moves")));
    }
    if !(lo <= init && init <= hi) {
        return Err(ArgError::new(
            "init",
            format!("expected `init` within `bounds`, {lo} .. {hi}, found {init}"),
        )
        .help("widen `bounds`, or start inside them"));
    }
    Ok(())
}

/// The same for a coefficient that is multiplied at every step and would never leave 0.
pub(super) fn check_positive_room(bounds: Bounds, init: f64) -> Result<(), ArgError> {
    check_ends("bounds", bounds)?;
    if init == 0.0 {
        return Err(ArgError::new("init", "expected an `init` above 0, found 0")
            .help("the coefficient is multiplied at every step: 0 would stay 0"));
    }
    if bounds.lo <= 0.0 {
        let message = format!("expected a lower end of `bounds` above 0, found {}", bounds.lo);
        return Err(ArgError::new("bounds", message)
            .help("the coefficient is multiplied at every step: from 0 it would never rise again"));
    }
    check_room(bounds, init)
}
