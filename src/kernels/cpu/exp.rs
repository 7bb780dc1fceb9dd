//! `2^t` for `t <= 0`, written so that a compiler can vectorise it: no branches, tables or calls.
//!
//! `t = n + r` with a whole `n` and `|r| <= 1/2`, both exact; a polynomial gives `2^r`, and `n` is added to its exponent.
//! With or without fused multiply-add, f32 is within 1.5 units in the last place of the exact result, and f64 within two of
//! the standard library's, as long as that is a normal number.

/// `2^t` is zero here, and not exact in the unit above.
pub(crate) const LEAST_F32: f32 = -127.0;
/// `2^t` is zero here, and not exact in the unit above.
pub(crate) const LEAST_F64: f64 = -1023.0;

/// `2^t` for `t` from [`LEAST_F32`] to zero.
#[inline(always)]
#[expect(clippy::excessive_precision, reason = "the coefficients as they were fitted")]
pub(crate) fn exp2_f32(t: f32, mul_add: impl Fn(f32, f32, f32) -> f32) -> f32 {
    // Adding it puts the nearest integer into the low bits.
    const ROUND: f32 = 12_582_912.0;
    let shifted = t + ROUND;
    let r = t - (shifted - ROUND);
    let n = shifted.to_bits() << 23;
    // Pairs of coefficients, so that few operations wait for each other.
    let square = r * r;
    let low = mul_add(6.931_472_028_550_658e-1, r, 1.0);
    let middle = mul_add(5.550_332_471_123_304e-2, r, 2.402_264_791_362_500e-1);
    let high = mul_add(1.339_887_441_528_978e-3, r, 9.618_437_358_052_230e-3);
    let high = mul_add(1.535_336_181_613_962e-4, square, high);
    let p = mul_add(mul_add(high, square, middle), square, low);
    f32::from_bits(p.to_bits().wrapping_add(n))
}

/// `2^t` for `t` from [`LEAST_F64`] to zero.
#[inline(always)]
pub(crate) fn exp2_f64(t: f64, mul_add: impl Fn(f64, f64, f64) -> f64) -> f64 {
    const ROUND: f64 = 6_755_399_441_055_744.0;
    let shifted = t + ROUND;
    let r = t - (shifted - ROUND);
    let n = shifted.to_bits() << 52;
    let z = r * std::f64::consts::LN_2;
    // 1 / k! from 13! down to 2!: the next term is below a hundredth of the last place.
    let mut p = 1.0 / 6_227_020_800.0;
    for factorial in
        [479_001_600.0, 39_916_800.0, 3_628_800.0, 362_880.0, 40_320.0, 5_040.0, 720.0, 120.0, 24.0, 6.0, 2.0]
    {
        p = mul_add(p, z, 1.0 / factorial);
    }
    p = mul_add(p, z * z, z) + 1.0;
    f64::from_bits(p.to_bits().wrapping_add(n))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f32_is_within_its_stated_error() {
        for fused in [true, false] {
            let mul_add = |x: f32, a: f32, b: f32| if fused { x.mul_add(a, b) } else { x * a + b };
            let worst = (0..2_000_000u32)
                .map(|i| -126.0 * f64::from(i) / 2e6)
                .map(|t| {
                    let t = t as f32;
                    let exact = f64::from(t).exp2();
                    let ulp = f64::from((exact as f32).next_up()) - f64::from(exact as f32);
                    (f64::from(exp2_f32(t, mul_add)) - exact).abs() / ulp
                })
                .fold(0.0, f64::max);
            assert!(worst <= 1.5, "fused {fused}: {worst}");
        }
    }

    #[test]
    fn f64_is_within_its_stated_error() {
        for fused in [true, false] {
            let mul_add = |x: f64, a: f64, b: f64| if fused { x.mul_add(a, b) } else { x * a + b };
            let worst = (0..500_000u32)
                .map(|i| -1022.0 * f64::from(i) / 5e5)
                .map(|t| {
                    let exact = t.exp2();
                    (exp2_f64(t, mul_add) - exact).abs() / (exact.next_up() - exact)
                })
                .fold(0.0, f64::max);
            assert!(worst <= 2.0, "fused {fused}: {worst}");
        }
    }

    #[test]
    fn whole_numbers_are_exact_and_the_least_gives_zero() {
        let fused_f32 = |x: f32, a: f32, b: f32| x.mul_add(a, b);
        let fused_f64 = |x: f64, a: f64, b: f64| x.mul_add(a, b);
        assert_eq!(exp2_f32(LEAST_F32, fused_f32).to_bits(), 0);
        assert_eq!(exp2_f64(LEAST_F64, fused_f64).to_bits(), 0);
        for t in -126..=0 {
            assert_eq!(exp2_f32(t as f32, fused_f32).to_bits(), (t as f32).exp2().to_bits());
            assert_eq!(
                exp2_f64(f64::from(t) * 8.0, fused_f64).to_bits(),
                (f64::from(t) * 8.0).exp2().to_bits()
            );
        }
        // In the unit above it nothing is negative or above the least normal number.
        for part in 1..1000u32 {
            let part = f64::from(part) / 1000.0;
            let [found_f32, found_f64] = [
                f64::from(exp2_f32(LEAST_F32 + part as f32, fused_f32)) / f64::from(f32::MIN_POSITIVE),
                exp2_f64(LEAST_F64 + part, fused_f64) / f64::MIN_POSITIVE,
            ];
            assert!((0.0..=1.0).contains(&found_f32) && (0.0..=1.0).contains(&found_f64), "{part}");
        }
    }
}
