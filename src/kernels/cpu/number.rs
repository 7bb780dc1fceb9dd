//! The element types of rows, and the types that compute with them.

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

use super::{exp, ln};

/// The number of elements processed at once: 1 KB of f32, so that a block stays in the L1 cache, and the next one is on its way from
/// memory while it is computed with.
pub(crate) const BLOCK: usize = if cfg!(miri) { 64 } else { 256 };

/// The numbers of a block, aligned to cache lines. Reading or writing a vector takes twice as long where it crosses into the next line.
#[repr(align(64))]
pub(crate) struct Buffer<R>(pub(crate) [R; BLOCK]);

impl<R: Real> Buffer<R> {
    pub(crate) fn new() -> Self {
        Self([R::default(); BLOCK])
    }

    /// Numbers up to a length, and `-inf` after them.
    #[inline(always)]
    fn filled(&mut self, length: usize, write: impl FnOnce(&mut [R])) -> &[R; BLOCK] {
        let (numbers, rest) = self.0.split_at_mut(length);
        write(numbers);
        rest.fill(R::NEG_INFINITY);
        &self.0
    }
}

/// The numbers in one AVX-512 register of f32, or in two of f64.
pub(crate) const LANES: usize = 16;

/// A whole block as it is, or a shorter one in the buffer.
#[inline(always)]
fn kept_or_copied<'a, R: Real>(block: &'a [R], buffer: &'a mut Buffer<R>) -> &'a [R; BLOCK] {
    match block.try_into() {
        Ok(whole) => whole,
        Err(_) => buffer.filled(block.len(), |numbers| numbers.copy_from_slice(block)),
    }
}

/// How far beyond a block to prefetch. The loops read blocks in an order that the processor's own prefetchers do not follow.
const PREFETCHED_BYTES_AHEAD: usize = 4096;

/// Prefetches the memory that is read soon after a block.
#[inline(always)]
fn prefetch_after<E>(block: &[E]) {
    #[cfg(target_arch = "x86_64")]
    for line in (0..size_of_val(block)).step_by(64) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        let there = block.as_ptr().cast::<i8>().wrapping_add(PREFETCHED_BYTES_AHEAD + line);
        // SAFETY: a hint; every address is allowed, and nothing is accessed.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(there) };
    }
}

/// An element type of logits.
pub(crate) trait Element: Copy + Send + Sync + 'static {
    /// The type for computations: wide enough to hold it exactly.
    type Real: Real;

    fn real(self) -> Self::Real;

    /// Widens a block of at most [`BLOCK`] elements, with `-inf` after them. Uses the buffer, unless nothing has to change.
    fn widened<'a>(block: &'a [Self], buffer: &'a mut Buffer<Self::Real>) -> &'a [Self::Real; BLOCK];

    /// Rounds the block to the element type.
    fn narrow(block: &[Self::Real], to: &mut [Self]);
}

/// f32 or f64: the type of sums inside a block.
pub(crate) trait Real: Element<Real = Self> + PartialOrd + Default {
    const NEG_INFINITY: Self;
    const INFINITY: Self;

    fn of(x: f64) -> Self;
    fn wide(self) -> f64;
    /// A number and what its rounding leaves out: together they do not shift all products the same way.
    #[inline(always)]
    fn in_two_parts(x: f64) -> [Self; 2] {
        let high = Self::of(x);
        [high, Self::of(x - high.wide())]
    }
    fn add(self, other: Self) -> Self;
    fn sub(self, other: Self) -> Self;
    fn mul(self, other: Self) -> Self;
    /// `self * a + b`, rounded once if the processor can.
    fn mul_add<const LEVEL: u8>(self, a: Self, b: Self) -> Self;
    /// `2^t` for `t` from [`LEAST`](Self::LEAST) to zero.
    fn exp2<const LEVEL: u8>(self) -> Self;
    /// `e^u` for `u <= 0`, as `2^t` with `t` rounded; zero for `-inf`, and where it is far below the least normal number.
    fn exp<const LEVEL: u8>(u: Self) -> Self;
    /// `ln x` for a normal positive number.
    fn ln(self) -> Self;
    /// The `t` whose `2^t` is zero.
    const LEAST: Self;
    /// `t`, or [`LEAST`](Self::LEAST) where it is lower or NaN.
    fn floored(self) -> Self;
    /// An integer with the same order. NaN has one too, at no useful position.
    fn key(self) -> u64;
    fn of_key(key: u64) -> Self;
    /// The next number up: `x > a` is the same as `x >= a.next_up()`.
    fn next_up(self) -> Self;
}

impl Element for f32 {
    type Real = f32;

    #[inline(always)]
    fn real(self) -> f32 {
        self
    }

    #[inline(always)]
    fn widened<'a>(block: &'a [f32], buffer: &'a mut Buffer<f32>) -> &'a [f32; BLOCK] {
        prefetch_after(block);
        kept_or_copied(block, buffer)
    }

    #[inline(always)]
    fn narrow(block: &[f32], to: &mut [f32]) {
        to.copy_from_slice(block);
    }
}

impl Element for f64 {
    type Real = f64;

    #[inline(always)]
    fn real(self) -> f64 {
        self
    }

    #[inline(always)]
    fn widened<'a>(block: &'a [f64], buffer: &'a mut Buffer<f64>) -> &'a [f64; BLOCK] {
        prefetch_after(block);
        kept_or_copied(block, buffer)
    }

    #[inline(always)]
    fn narrow(block: &[f64], to: &mut [f64]) {
        to.copy_from_slice(block);
    }
}

impl Element for bf16 {
    type Real = f32;

    #[inline(always)]
    fn real(self) -> f32 {
        f32::from_bits(u32::from(self.to_bits()) << 16)
    }

    #[inline(always)]
    fn widened<'a>(block: &'a [bf16], buffer: &'a mut Buffer<f32>) -> &'a [f32; BLOCK] {
        prefetch_after(block);
        buffer.filled(block.len(), |numbers| {
            for (wide, x) in numbers.iter_mut().zip(block) {
                *wide = x.real();
            }
        })
    }

    /// Rounds to nearest even, as `bf16::from_f32` does, without its branch.
    #[inline(always)]
    fn narrow(block: &[f32], to: &mut [bf16]) {
        for (to, x) in to.iter_mut().zip(block) {
            let bits = x.to_bits();
            let rounded = bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) >> 16;
            let nan = (bits >> 16) | 0x40;
            *to = bf16::from_bits(if x.is_nan() { nan as u16 } else { rounded as u16 });
        }
    }
}

impl Element for f16 {
    type Real = f32;

    #[inline(always)]
    fn real(self) -> f32 {
        self.to_f32()
    }

    #[inline(always)]
    fn widened<'a>(block: &'a [f16], buffer: &'a mut Buffer<f32>) -> &'a [f32; BLOCK] {
        prefetch_after(block);
        buffer.filled(block.len(), |numbers| block.convert_to_f32_slice(numbers))
    }

    #[inline(always)]
    fn narrow(block: &[f32], to: &mut [f16]) {
        to.convert_from_f32_slice(block);
    }
}

macro_rules! real {
    ($real:ident, $bits:ident, $signed:ident, $exp2:path, $ln:path, $least:expr) => {
        impl Real for $real {
            const NEG_INFINITY: Self = Self::NEG_INFINITY;
            const INFINITY: Self = Self::INFINITY;
            const LEAST: Self = $least;

            #[inline(always)]
            fn of(x: f64) -> Self {
                x as Self
            }

            #[inline(always)]
            fn wide(self) -> f64 {
                f64::from(self)
            }

            #[inline(always)]
            fn add(self, other: Self) -> Self {
                self + other
            }

            #[inline(always)]
            fn sub(self, other: Self) -> Self {
                self - other
            }

            #[inline(always)]
            fn mul(self, other: Self) -> Self {
                self * other
            }

            #[inline(always)]
            fn mul_add<const LEVEL: u8>(self, a: Self, b: Self) -> Self {
                // Without the instruction, every `mul_add` would be a function call.
                if LEVEL > 0 { Self::mul_add(self, a, b) } else { self * a + b }
            }

            #[inline(always)]
            fn floored(self) -> Self {
                if self > Self::LEAST { self } else { Self::LEAST }
            }

            #[inline(always)]
            fn exp2<const LEVEL: u8>(self) -> Self {
                $exp2(self, |x, a, b| <Self as Real>::mul_add::<LEVEL>(x, a, b))
            }

            #[inline(always)]
            fn exp<const LEVEL: u8>(u: Self) -> Self {
                // No product may be infinite.
                let u = u.floored();
                let [high, low] = Self::in_two_parts(std::f64::consts::LOG2_E);
                let t = <Self as Real>::mul_add::<LEVEL>(u, high, u * low);
                <Self as Real>::exp2::<LEVEL>(t.floored())
            }

            #[inline(always)]
            fn ln(self) -> Self {
                $ln(self)
            }

            #[inline(always)]
            fn key(self) -> u64 {
                // Adding zero turns negative zero into zero, since the two are equal.
                let bits = (self + 0.0).to_bits();
                let flip = (bits as $signed >> ($bits::BITS - 1)) as $bits | (1 << ($bits::BITS - 1));
                u64::from(bits ^ flip)
            }

            #[inline(always)]
            fn of_key(key: u64) -> Self {
                let key = key as $bits;
                let sign = 1 << ($bits::BITS - 1);
                Self::from_bits(if key & sign == 0 { !key } else { key ^ sign })
            }

            fn next_up(self) -> Self {
                self.next_up()
            }
        }
    };
}

real!(f32, u32, i32, exp::exp2_f32, ln::ln_f32, exp::LEAST_F32);
real!(f64, u64, i64, exp::exp2_f64, f64::ln, exp::LEAST_F64);
