//! One pass over a row for its highest logit, whether it has a softmax, and the logits around a rank.

use super::dispatch::Job;
#[cfg(target_arch = "x86_64")]
use super::dispatch::{AVX512, FUSED};
use super::number::{BLOCK, Buffer, Element, LANES, Real};

/// Properties of a whole row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extent {
    pub(crate) highest: f64,
    /// False if the row has NaN or `+inf`, or only `-inf`.
    pub(crate) is_usable: bool,
}

/// Finds the extent of a row.
pub(crate) struct Highest<'a, E>(pub(crate) &'a [E]);

impl<E: Element> Job for Highest<'_, E> {
    type Output = Extent;

    #[inline(always)]
    fn run<const LEVEL: u8>(self) -> Extent {
        let mut buffer = Buffer::new();
        let mut seen = Seen::new();
        for block in self.0.chunks(BLOCK) {
            seen.block(E::widened(block, &mut buffer));
        }
        seen.extent()
    }
}

/// Finds the extent of a row, counts the logits above `high`, and copies those from `low` to `high`, in order.
pub(crate) struct Bracket<'a, E: Element> {
    pub(crate) row: &'a [E],
    pub(crate) low: E::Real,
    pub(crate) high: E::Real,
    /// Room for a whole row and one block; elements after the copied ones have no meaning.
    pub(crate) between: &'a mut [E::Real],
}

impl<E: Element> Job for Bracket<'_, E> {
    /// The extent, the number of logits above, and that of copied ones.
    type Output = (Extent, usize, usize);

    #[inline(always)]
    fn run<const LEVEL: u8>(self) -> (Extent, usize, usize) {
        let mut buffer = Buffer::new();
        let mut seen = Seen::new();
        let (mut above, mut copied) = (0, 0);
        for block in self.row.chunks(BLOCK) {
            let length = block.len();
            let block = E::widened(block, &mut buffer);
            seen.block(block);
            let (block, to) = (&block[..length], &mut self.between[copied..]);
            let [higher, between] = copy_between::<E::Real, LEVEL>(block, self.low, self.high, to);
            above += higher;
            copied += between;
        }
        (seen.extent(), above, copied)
    }
}

/// Counts the logits equal to a value.
pub(crate) struct Equal<'a, E: Element> {
    pub(crate) row: &'a [E],
    pub(crate) to: E::Real,
}

impl<E: Element> Job for Equal<'_, E> {
    type Output = usize;

    #[inline(always)]
    fn run<const LEVEL: u8>(self) -> usize {
        count(self.row, |x| x == self.to)
    }
}

/// Counts the logits that are at least a value.
pub(crate) struct AtLeast<'a, E: Element> {
    pub(crate) row: &'a [E],
    pub(crate) from: E::Real,
}

impl<E: Element> Job for AtLeast<'_, E> {
    type Output = usize;

    #[inline(always)]
    fn run<const LEVEL: u8>(self) -> usize {
        count(self.row, |x| x >= self.from)
    }
}

#[inline(always)]
fn count<E: Element>(row: &[E], is_counted: impl Fn(E::Real) -> bool) -> usize {
    let mut buffer = Buffer::new();
    let mut total = 0;
    for block in row.chunks(BLOCK) {
        // A block has fewer than 2^32 elements, and u32 fits the vector lanes of the comparison.
        let mut count = 0u32;
        for x in &E::widened(block, &mut buffer)[..block.len()] {
            count += u32::from(is_counted(*x));
        }
        total += count as usize;
    }
    total
}

/// The extent of what was seen of a row.
pub(crate) struct Seen<R> {
    highest: [R; LANES],
    nans: usize,
}

impl<R: Real> Seen<R> {
    #[inline(always)]
    pub(crate) fn new() -> Self {
        Self { highest: [R::NEG_INFINITY; LANES], nans: 0 }
    }

    #[inline(always)]
    pub(crate) fn block(&mut self, block: &[R; BLOCK]) {
        let mut highest = self.highest;
        for chunk in block.as_chunks::<LANES>().0 {
            highest = higher(highest, chunk);
        }
        self.highest = highest;
        // A separate loop: LLVM vectorises each of the two, but not one loop for both.
        let mut nans = 0u32;
        for x in block {
            nans += u32::from(is_nan(*x));
        }
        self.nans += nans as usize;
    }

    /// Whether a logit is above `than`; takes less time than finding the highest.
    #[inline(always)]
    pub(crate) fn is_above(&self, than: R) -> bool {
        let mut above = 0u32;
        for x in self.highest {
            above |= u32::from(x > than);
        }
        above > 0
    }

    #[inline(always)]
    pub(crate) fn highest(&self) -> f64 {
        self.highest.iter().fold(R::NEG_INFINITY, |highest, x| if *x > highest { *x } else { highest }).wide()
    }

    #[inline(always)]
    pub(crate) fn extent(&self) -> Extent {
        let highest = self.highest();
        Extent { highest, is_usable: highest.is_finite() && self.nans == 0 }
    }
}

/// The higher of each two; NaN is not higher.
#[inline(always)]
fn higher<R: Real>(mut highest: [R; LANES], chunk: &[R; LANES]) -> [R; LANES] {
    for (highest, x) in highest.iter_mut().zip(chunk) {
        *highest = if *x > *highest { *x } else { *highest };
    }
    highest
}

#[inline(always)]
#[expect(clippy::eq_op, reason = "only NaN differs from itself, and a generic number has no `is_nan`")]
fn is_nan<R: Real>(x: R) -> bool {
    x != x
}

/// Copies the logits of a block from `low` to `high`. Returns the number of those above `high` and that of copied ones.
#[inline(always)]
fn copy_between<R: Real, const LEVEL: u8>(block: &[R], low: R, high: R, to: &mut [R]) -> [usize; 2] {
    #[cfg(target_arch = "x86_64")]
    if LEVEL >= FUSED && size_of::<R>() == size_of::<f32>() && block.len().is_multiple_of(LANES) {
        assert!(to.len() >= block.len());
        let (low, high) = (low.wide() as f32, high.wide() as f32);
        // SAFETY: the level has the instructions, `R` of this size is `f32`, and `to` has room for the block.
        return unsafe {
            let block = std::slice::from_raw_parts(block.as_ptr().cast(), block.len());
            let to = to.as_mut_ptr().cast();
            if LEVEL == AVX512 {
                compress_avx512(block, low, high, to)
            } else {
                compress_avx2(block, low, high, to)
            }
        };
    }
    let to = &mut to[..block.len()];
    let (mut above, mut copied) = (0, 0);
    for x in block {
        // Write always and advance only to keep: unpredictable branches would cost more than the copies.
        to[copied.min(block.len() - 1)] = *x;
        above += usize::from(*x > high);
        copied += usize::from(*x >= low && *x <= high);
    }
    [above, copied]
}

/// # Safety
/// `to` must have room for the block, whose length is a multiple of 16.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,popcnt")]
unsafe fn compress_avx512(block: &[f32], low: f32, high: f32, to: *mut f32) -> [usize; 2] {
    use std::arch::x86_64::{
        _CMP_GE_OQ, _CMP_GT_OQ, _CMP_LE_OQ, _mm512_cmp_ps_mask, _mm512_loadu_ps, _mm512_mask_cmp_ps_mask,
        _mm512_maskz_compress_ps, _mm512_set1_ps, _mm512_storeu_ps,
    };
    let (low, high) = (_mm512_set1_ps(low), _mm512_set1_ps(high));
    let (mut above, mut copied) = (0, 0);
    for chunk in block.chunks_exact(LANES) {
        // SAFETY: a chunk is 16 numbers. Each store writes 16 numbers after those copied so far, which are at most as
        // many as the earlier chunks have, and the caller gives room for all of them.
        unsafe {
            let x = _mm512_loadu_ps(chunk.as_ptr());
            let is_from_low = _mm512_cmp_ps_mask::<_CMP_GE_OQ>(x, low);
            let is_between = _mm512_mask_cmp_ps_mask::<_CMP_LE_OQ>(is_from_low, x, high);
            _mm512_storeu_ps(to.add(copied), _mm512_maskz_compress_ps(is_between, x));
            above += _mm512_cmp_ps_mask::<_CMP_GT_OQ>(x, high).count_ones() as usize;
            copied += is_between.count_ones() as usize;
        }
    }
    [above, copied]
}

/// # Safety
/// `to` must have room for the block, whose length is a multiple of 8.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,popcnt")]
unsafe fn compress_avx2(block: &[f32], low: f32, high: f32, to: *mut f32) -> [usize; 2] {
    use std::arch::x86_64::{
        _CMP_GE_OQ, _CMP_GT_OQ, _CMP_LE_OQ, _mm_loadl_epi64, _mm256_and_ps, _mm256_cmp_ps,
        _mm256_cvtepu8_epi32, _mm256_loadu_ps, _mm256_movemask_ps, _mm256_permutevar8x32_ps, _mm256_set1_ps,
        _mm256_storeu_ps,
    };
    let (low, high) = (_mm256_set1_ps(low), _mm256_set1_ps(high));
    let (mut above, mut copied) = (0, 0);
    for chunk in block.chunks_exact(8) {
        // SAFETY: a chunk is 8 numbers, and an order 8 bytes. Each store writes 8 numbers after those copied so far, which are at
        // most as many as the earlier chunks have, and the caller gives room for all of them.
        unsafe {
            let x = _mm256_loadu_ps(chunk.as_ptr());
            let is_between =
                _mm256_and_ps(_mm256_cmp_ps::<_CMP_GE_OQ>(x, low), _mm256_cmp_ps::<_CMP_LE_OQ>(x, high));
            let kept = _mm256_movemask_ps(is_between) as usize;
            let order = _mm256_cvtepu8_epi32(_mm_loadl_epi64(FIRST[kept].as_ptr().cast()));
            _mm256_storeu_ps(to.add(copied), _mm256_permutevar8x32_ps(x, order));
            above += _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_GT_OQ>(x, high)).count_ones() as usize;
            copied += kept.count_ones() as usize;
        }
    }
    [above, copied]
}

/// For each choice of 8 lanes, as bits, an order of lanes that has those first.
#[cfg(target_arch = "x86_64")]
static FIRST: [[u8; 8]; 256] = {
    let mut orders = [[0; 8]; 256];
    let mut chosen = 0;
    while chosen < orders.len() {
        let (mut lane, mut place) = (0, 0);
        while lane < 8 {
            if chosen >> lane & 1 == 1 {
                orders[chosen][place] = lane;
                place += 1;
            }
            lane += 1;
        }
        chosen += 1;
    }
    orders
};
