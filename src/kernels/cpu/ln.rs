//! `ln x` for normal positive `x`, written so that a compiler can vectorise it: no branches, tables or calls.
//!
//! f32 is within two units in the last place of the exact result, or within 1e-7 near zero. `x = m 2^e` with `m` around
//! one; a polynomial gives `ln m`.

#[inline(always)]
#[expect(clippy::excessive_precision, reason = "the coefficients as they were fitted")]
pub(crate) fn ln_f32(x: f32) -> f32 {
    // The bits of `sqrt(1/2)`: `m` ranges from there to `sqrt(2)`.
    const LEAST: u32 = 0x3f35_04f3;
    const LN_2_HIGH: f32 = 0.693_359_375;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    let exponent = (x.to_bits().wrapping_sub(LEAST) as i32) >> 23;
    let e = exponent as f32;
    let r = f32::from_bits(x.to_bits().wrapping_sub((exponent << 23) as u32)) - 1.0;
    let mut p = 7.037_683_629_2e-2;
    for coefficient in [
        -1.151_461_031_0e-1,
        1.167_699_874_0e-1,
        -1.242_014_084_6e-1,
        1.424_932_278_7e-1,
        -1.666_805_766_5e-1,
        2.000_071_476_5e-1,
        -2.499_999_399_3e-1,
        3.333_333_117_4e-1,
    ] {
        p = p * r + coefficient;
    }
    let square = r * r;
    let small = square * r * p + e * LN_2_LOW - 0.5 * square;
    r + small + e * LN_2_HIGH
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f32_is_within_its_stated_error() {
        for i in 0..2_000_000u32 {
            // From the least normal number to above one, evenly in the exponent.
            let x = f32::from_bits(0x0080_0000 + i * 520);
            let exact = f64::from(x).ln();
            let ulp =
                (f64::from((exact as f32).abs().next_up()) - f64::from((exact as f32).abs())).max(0.5e-7);
            let error = (f64::from(ln_f32(x)) - exact).abs() / ulp;
            assert!(error <= 2.0, "{x}: {error} units");
        }
    }
}
