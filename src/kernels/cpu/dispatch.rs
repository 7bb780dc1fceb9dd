//! Runs a loop with the best vector instructions of the processor.

/// Work that is fully inlined, so that it is compiled once for each level.
pub(crate) trait Job {
    /// Its result.
    type Output;

    /// `LEVEL` is one of [`PLAIN`], [`FUSED`] and [`AVX512`].
    fn run<const LEVEL: u8>(self) -> Self::Output;
}

/// Only instructions that every processor of the architecture has.
pub(crate) const PLAIN: u8 = 0;
/// Fused multiply-add: AVX2 on x86, and every 64-bit ARM.
pub(crate) const FUSED: u8 = 1;
/// AVX-512 F, BW, DQ and VL.
pub(crate) const AVX512: u8 = 2;

/// Runs the job at the highest level of this processor.
pub(crate) fn run<J: Job>(job: J) -> J::Output {
    #[cfg(test)]
    return run_at(tests::MOST.get(), job);
    #[cfg(not(test))]
    run_at(highest_level(), job)
}

/// Runs the job at `level`, or at the processor's highest level if that is lower.
#[cfg(target_arch = "x86_64")]
fn run_at<J: Job>(level: u8, job: J) -> J::Output {
    match level.min(highest_level()) {
        // SAFETY: `highest_level` found the features of the function on this processor.
        AVX512 => unsafe { avx512(job) },
        // SAFETY: as above.
        FUSED => unsafe { avx2(job) },
        _ => job.run::<PLAIN>(),
    }
}

/// Runs the job at `level`, or at the processor's highest level if that is lower.
#[cfg(not(target_arch = "x86_64"))]
fn run_at<J: Job>(level: u8, job: J) -> J::Output {
    match level.min(highest_level()) {
        PLAIN => job.run::<PLAIN>(),
        _ => job.run::<FUSED>(),
    }
}

#[cfg(target_arch = "x86_64")]
fn highest_level() -> u8 {
    // The standard library caches the detection.
    if is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl")
    {
        AVX512
    } else if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        FUSED
    } else {
        PLAIN
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn highest_level() -> u8 {
    if cfg!(target_arch = "aarch64") { FUSED } else { PLAIN }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,popcnt")]
fn avx512<J: Job>(job: J) -> J::Output {
    job.run::<AVX512>()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,popcnt")]
fn avx2<J: Job>(job: J) -> J::Output {
    job.run::<FUSED>()
}

/// Runs `test` once for each level, of which this processor may have fewer.
#[cfg(test)]
pub(crate) fn at_each_level(test: impl Fn(u8)) {
    // Miri has the plain one alone.
    for level in if cfg!(miri) { &[PLAIN][..] } else { &[PLAIN, FUSED, AVX512] } {
        tests::MOST.set(*level);
        test(*level);
    }
    tests::MOST.set(AVX512);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::cpu::number::{Element, Real};
    use crate::kernels::cpu::scan::Bracket;
    use crate::kernels::cpu::sums::{Border, Forward};
    use std::cell::Cell;

    thread_local! {
        /// The highest level that `run` takes in this thread.
        pub(super) static MOST: Cell<u8> = const { Cell::new(AVX512) };
    }

    /// Long enough for whole blocks, whole chunks and a remainder.
    fn row() -> Vec<f32> {
        (0..3000u32).map(|id| (id.wrapping_mul(2_654_435_761) >> 8) as f32 / 1e6 - 9.0).collect()
    }

    #[test]
    fn every_level_counts_and_copies_the_same() {
        let row = row();
        let (low, high) = (row[7], row[7] + 3.0);
        let expected: Vec<f32> = row.iter().copied().filter(|x| low <= *x && *x <= high).collect();
        for level in [PLAIN, FUSED, AVX512] {
            let mut between = vec![0.0; row.len() + 1024];
            let (extent, above, copied) =
                run_at(level, Bracket { row: &row, low, high, between: &mut between });
            assert_eq!(between[..copied], expected, "level {level}");
            assert_eq!(above, row.iter().filter(|x| **x > high).count(), "level {level}");
            let highest = f64::from(row.iter().copied().fold(f32::MIN, f32::max));
            assert!(extent.is_usable && extent.highest.to_bits() == highest.to_bits(), "level {level}");
        }
    }

    #[test]
    fn every_level_sums_what_f64_sums() {
        fn check<E: Element>(row: &[E], tolerance: f64) {
            let wide: Vec<f64> = row.iter().map(|x| x.real().wide()).collect();
            let highest = wide.iter().copied().fold(f64::MIN, f64::max);
            let border = Border { from: -2.0, from_after: 1.0, cut: 1500, size: 0 };
            let is_member = |id: usize, x: f64| x >= if id < 1500 { -2.0 } else { 1.0 };
            for level in [PLAIN, FUSED, AVX512] {
                let job = Forward { row, highest, temperature: 2.0, border: Some(border), second: true };
                let found = run_at(level, job);
                for (inside, sums) in found.into_iter().enumerate() {
                    for (degree, found) in sums.into_iter().enumerate() {
                        let terms =
                            wide.iter().enumerate().filter(|(id, x)| inside == 0 || is_member(*id, **x));
                        let expected: f64 = terms
                            .map(|(_, x)| (x - highest) / 2.0)
                            .map(|u| u.powi(degree as i32) * u.exp())
                            .sum();
                        let error = (found - expected).abs() / expected.abs();
                        assert!(error < tolerance, "level {level}, degree {degree}: {found} for {expected}");
                    }
                }
            }
        }
        check(&row(), 1e-6);
        check(&row().into_iter().map(f64::from).collect::<Vec<f64>>(), 1e-14);
        check(&row().into_iter().map(half::bf16::from_f32).collect::<Vec<_>>(), 1e-6);
        check(&row().into_iter().map(half::f16::from_f32).collect::<Vec<_>>(), 1e-6);
    }
}
