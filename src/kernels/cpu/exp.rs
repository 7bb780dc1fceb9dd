//! `e^u` for `u <= 0`, written so that a compiler can vectorise it: no branches, tables or calls.
//!
//! With or without fused multiply-add, f32 is within 1.02 units in the last place of the exact result for every float
//! in its range, and f64 within one unit of the standard library's. `u = n ln 2 + r` with `|r| <= ln 2 / 2`; a
//! polynomial gives `e^r`, and `n` is added to its exponent.

/// Below this, `e^u` is set to zero, so that results are normal numbers.
pub(crate) const LEAST_F32: f32 = -87.0;
/// Below this, `e^u` is set to zero, so that results are normal numbers.
pub(crate) const LEAST_F64: f64 = -708.0;

#[inline(always)]
#[expect(clippy::excessive_precision, reason = "the coefficients as they were fitted")]
pub(crate) fn exp_f32(u: f32, mul_add: impl Fn(f32, f32, f32) -> f32) -> f32 {
    // Adding it puts the nearest integer into the low bits.
    const ROUND: f32 = 12_582_912.0;
    // The high part has few bits, so that its product with `n` is exact.
    const LN_2_HIGH: f32 = 0.693_359_375;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    let clamped = if u > LEAST_F32 { u } else { LEAST_F32 };
    let shifted = mul_add(clamped, std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = mul_add(n, -LN_2_LOW, mul_add(n, -LN_2_HIGH, clamped));
    let mut p = mul_add(1.987_569_15e-4, r, 1.398_199_950_7e-3);
    p = mul_add(p, r, 8.333_451_907_3e-3);
    p = mul_add(p, r, 4.166_579_589_4e-2);
    p = mul_add(p, r, 1.666_666_545_9e-1);
    p = mul_add(p, r, 5.000_000_120_1e-1);
    p = mul_add(p, r * r, r) + 1.0;
    let scaled = f32::from_bits(p.to_bits().wrapping_add(shifted.to_bits() << 23));
    if u < LEAST_F32 { 0.0 } else { scaled }
}

#[inline(always)]
#[expect(clippy::excessive_precision, reason = "ln 2 in two parts, as it is split everywhere")]
pub(crate) fn exp_f64(u: f64, mul_add: impl Fn(f64, f64, f64) -> f64) -> f64 {
    const ROUND: f64 = 6_755_399_441_055_744.0;
    const LN_2_HIGH: f64 = 6.931_471_803_691_238_164_90e-1;
    const LN_2_LOW: f64 = 1.908_214_929_270_587_700_02e-10;
    let clamped = if u > LEAST_F64 { u } else { LEAST_F64 };
    let shifted = mul_add(clamped, std::f64::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = mul_add(n, -LN_2_LOW, mul_add(n, -LN_2_HIGH, clamped));
    // 1 / k! from 13! down to 2!: the next term is below a hundredth of the last place.
    let mut p = 1.0 / 6_227_020_800.0;
    for factorial in
        [479_001_600.0, 39_916_800.0, 3_628_800.0, 362_880.0, 40_320.0, 5_040.0, 720.0, 120.0, 24.0, 6.0, 2.0]
    {
        p = mul_add(p, r, 1.0 / factorial);
    }
    p = mul_add(p, r * r, r) + 1.0;
    let scaled = f64::from_bits(p.to_bits().wrapping_add(shifted.to_bits() << 52));
    if u < LEAST_F64 { 0.0 } else { scaled }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f32_is_within_its_stated_error() {
        for fused in [true, false] {
            let mul_add = |x: f32, a: f32, b: f32| if fused { x.mul_add(a, b) } else { x * a + b };
            let worst = (0..2_000_000u32)
                .map(|i| -87.0 * f64::from(i) / 2e6)
                .map(|u| {
                    let u = u as f32;
                    let exact = f64::from(u).exp();
                    let ulp = f64::from((exact as f32).next_up()) - f64::from(exact as f32);
                    (f64::from(exp_f32(u, mul_add)) - exact).abs() / ulp
                })
                .fold(0.0, f64::max);
            assert!(worst <= 1.02, "fused {fused}: {worst}");
        }
    }

    #[test]
    fn f64_is_within_its_stated_error() {
        for fused in [true, false] {
            let mul_add = |x: f64, a: f64, b: f64| if fused { x.mul_add(a, b) } else { x * a + b };
            let worst = (0..500_000u32)
                .map(|i| -708.0 * f64::from(i) / 5e5)
                .map(|u| {
                    let exact = u.exp();
                    (exp_f64(u, mul_add) - exact).abs() / (exact.next_up() - exact)
                })
                .fold(0.0, f64::max);
            assert!(worst <= 1.0, "fused {fused}: {worst}");
        }
    }

    #[test]
    fn what_is_too_small_is_zero_and_zero_gives_one() {
        let fused_f32 = |x: f32, a: f32, b: f32| x.mul_add(a, b);
        let fused_f64 = |x: f64, a: f64, b: f64| x.mul_add(a, b);
        for u in [f32::NEG_INFINITY, -1e30, -88.0] {
            assert_eq!(exp_f32(u, fused_f32).to_bits(), 0);
            assert_eq!(exp_f64(f64::from(u) * 10.0, fused_f64).to_bits(), 0);
        }
        assert_eq!(exp_f32(0.0, fused_f32).to_bits(), 1f32.to_bits());
        assert_eq!(exp_f64(0.0, fused_f64).to_bits(), 1f64.to_bits());
    }
}
