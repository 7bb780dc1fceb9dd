// Finds the border of a token set in a row: exactly, without sorting it, and in as few readings as possible.
//
// A range of keys that contains the border is narrowed until each bin of a histogram over it is one key. A sample of the
// row makes the first range so narrow that for 16-bit kinds one reading is enough.

constexpr u32 COUNT_BINS = 8192;
constexpr u32 MASS_BINS = 1024;
// Masses are added as integers, this many to one, so that the order of additions does not matter. Each is split into three
// digits, since the instruction adds 32 bits; the digits are small enough that those of a whole row add up in 32.
constexpr double MASS_UNITS = 549755813888.0;
constexpr int DIGITS = 3, DIGIT_BITS = 13;
// The least number of elements per thread for which a sample of the row is worth its cost.
constexpr i64 WORTH_SAMPLING = 8;

template <class Real> __device__ __forceinline__ u64 mass_units(Real mass) { return (u64)(mass * (Real)MASS_UNITS); }

// Keys from `low` to `high`, and the values that bound them.
template <class E> struct Range {
    typedef Keys<E> K;
    typename K::Bits low, high;
    int shift;
    typename E::Real high_value;

    __device__ __forceinline__ Range(typename K::Bits from, typename K::Bits to, u32 bins) : low(from), high(to), shift(0) {
        if (low == K::negative_zero()) low++;
        if (high == K::negative_zero()) high--;
        while (high >= low && (high - low) >> shift >= bins) shift++;
        // Makes the last bin a whole one.
        if (high >= low) high = low + (((high - low >> shift) + 1) << shift) - 1;
        high_value = K::value(high);
    }
    // All values that a row can contain.
    static __device__ __forceinline__ Range everything(u32 bins) {
        typedef Numbers<typename E::Real> N;
        return Range(K::of(-N::INFINITE), K::of(N::INFINITE), bins);
    }
    // Not for counting; `high_value` is the value before `from`, so the values above it are those not below `from`.
    static __device__ __forceinline__ Range none_below(typename E::Real from) {
        return Range(K::of(from) - 1, K::of(from) - 1, 1);
    }
    __device__ __forceinline__ u32 bins() const { return (u32)((high - low) >> shift) + 1; }
    // The bin of a value; at least `bins()` for a value outside the range, on either side.
    __device__ __forceinline__ typename K::Bits bin(typename E::Real x) const {
        return (K::wide(x) - (low << K::DROPPED)) >> (K::DROPPED + shift);
    }
    // The keys of one bin.
    __device__ __forceinline__ Range narrowed(u32 bin, u32 bins) const {
        typename K::Bits from = low + ((typename K::Bits)bin << shift);
        return Range(from, from + (((typename K::Bits)1 << shift) - 1), bins);
    }
};

// The bin in which the weight from the top reaches the wanted weight.
struct Crossing {
    bool inside;
    u32 bin;
    // The weight above the bin, including what is above the range; and the weight of the bin.
    u64 before, held;
};

struct Selection {
    // One more than there are bins, for values outside the range.
    Shared<u32> counts[SETS & (1 << TOP_K | 1 << TOP_P) ? COUNT_BINS + 1 : 1];
    Shared<u32> masses[SETS & 1 << TOP_P ? DIGITS * MASS_BINS : 1];
    Shared<u32> bin, warp, position;
    Shared<u64> before, held;
};

__device__ __forceinline__ void add_mass(const Counters &masses, u32 bin, u64 units) {
#pragma unroll
    for (int digit = 0; digit < DIGITS; digit++) {
        const u64 upper = units >> DIGIT_BITS * digit;
        const u32 own = (u32)(digit == DIGITS - 1 ? upper : upper & ((1 << DIGIT_BITS) - 1));
        if (own != 0) masses.add(DIGITS * bin + digit, own);
    }
}

__device__ __forceinline__ u64 mass_of(const Selection &selection, u32 bin) {
    u64 units = 0;
    for (int digit = 0; digit < DIGITS; digit++) units += (u64)selection.masses[DIGITS * bin + digit] << DIGIT_BITS * digit;
    return units;
}

template <class T> __device__ __forceinline__ void clear(T *bins, u32 count) {
    for (u32 bin = threadIdx.x; bin < count; bin += blockDim.x) bins[bin] = 0;
    __syncthreads();
}

// Bins are assigned from the top in runs of equal length, one for each thread.
template <class Weight>
__device__ __forceinline__ Crossing crossing(Meeting &meeting, Selection &selection, u32 bins, u64 above, u64 wanted,
                                             bool clamp, Weight weight) {
    const u32 run = (bins + blockDim.x - 1) / blockDim.x;
    const u32 from = threadIdx.x * run, to = from + run < bins ? from + run : bins;
    u64 mine = 0;
    for (u32 down = from; down < to; down++) mine += weight(bins - 1 - down);
    u64 total;
    u64 before = above + sum_before(meeting, mine, total);
    if (clamp) wanted = wanted <= above ? above + 1 : wanted > above + total ? above + total : wanted;
    if (before < wanted && wanted <= before + mine) {
        for (u32 down = from; down < to; down++) {
            u64 held = weight(bins - 1 - down);
            if (wanted <= before + held) {
                selection.bin = bins - 1 - down;
                selection.before = before;
                selection.held = held;
                break;
            }
            before += held;
        }
    }
    __syncthreads();
    bool inside = above < wanted && wanted <= above + total;
    Crossing crossing = {inside, 0, 0, 0};
    if (inside) crossing = {true, selection.bin, selection.before, selection.held};
    return crossing;
}

// A range that probably contains the border of the `count` highest: each thread draws one element from its own stretch of
// the row, and trying the bits of keys finds two ranks of the sample.
template <class E>
__device__ __forceinline__ Range<E> sampled(const Row<E> &row, i64 count) {
    typedef Keys<E> K;
    typedef typename K::Bits Bits;
    constexpr int TRIED = E::KEY_BITS < 19 ? E::KEY_BITS : 19, SKIPPED = E::KEY_BITS - TRIED;
    const int drawn = (int)blockDim.x, stretch = row.length / drawn;
    // A scattered place in each stretch, so that periods in the row do not bias the sample.
    const u32 place = (threadIdx.x * 0x9e3779b1u >> 7) % (u32)stretch;
    const Bits key = K::of(row.at((int)threadIdx.x * stretch + (int)place)) >> SKIPPED;
    const float share = (float)count / (float)row.length, expected = share * (float)drawn;
    const float margin = 3.0f * sqrtf(expected * (1.0f - share)) + 3.0f;
    const int upper = (int)floorf(expected - margin), lower = (int)ceilf(expected + margin);
    Bits high = 0, low = 0;
    for (int bit = TRIED - 1; bit >= 0; bit--) {
        const Bits try_high = high | (Bits)1 << bit, try_low = low | (Bits)1 << bit;
        const int above_high = __syncthreads_count(key >= try_high), above_low = __syncthreads_count(key >= try_low);
        if (above_high > upper) high = try_high;
        if (above_low > lower) low = try_low;
    }
    Range<E> all = Range<E>::everything(COUNT_BINS);
    Bits from = low << SKIPPED, to = (high << SKIPPED) | (((Bits)1 << SKIPPED) - 1);
    if (lower >= drawn || from < all.low) from = all.low;
    if (upper < 0) {
        to = all.high;
        // Positive numbers of a 16-bit kind: the bins extend further up than logits are likely to.
        if (E::SIZE == 2 && from > K::of((typename E::Real)0) && from + (COUNT_BINS - 1) < to) to = from + (COUNT_BINS - 1);
    }
    if (to > all.high) to = all.high;
    if (to < from) to = from;
    return Range<E>(from, to, COUNT_BINS);
}

// How many of a chunk's elements equal the value, without the padding.
template <class E>
__device__ __forceinline__ u32 count_equal(const Row<E> &row, int chunk, typename E::Real value) {
    typename E::Real values[8];
    E::unpack(row.load(chunk).words, values);
    const int first = row.first(chunk);
    u32 equal = 0;
#pragma unroll
    for (int j = 0; j < 8; j++) equal += values[j] == value && first + j >= 0 && first + j < row.length;
    return equal;
}

// The id after the `nth` element that equals the value; there must be that many. First each warp counts in its own stretch,
// then all threads search the stretch that contains it.
template <class E>
__device__ __forceinline__ int after_equal(Meeting &meeting, Selection &selection, const Row<E> &row,
                                           typename E::Real value, u64 nth) {
    const int chunks = row.chunks(), warps = (int)(blockDim.x / WARP), stretch = (chunks + warps - 1) / warps;
    const int warp = (int)(threadIdx.x / WARP), lane = (int)(threadIdx.x % WARP);
    const int last = min((warp + 1) * stretch, chunks);
    u32 mine = 0;
#pragma unroll 4
    for (int chunk = warp * stretch + lane; chunk < last; chunk += WARP) mine += count_equal(row, chunk, value);
#pragma unroll
    for (int far = WARP / 2; far > 0; far /= 2) mine += __shfl_xor_sync(ALL_LANES, mine, far);
    u64 total;
    u64 before = sum_before(meeting, lane == 0 ? mine : 0, total);
    if (lane == 0 && before < nth && nth <= before + mine) {
        selection.warp = (u32)warp;
        selection.before = before;
    }
    __syncthreads();
    const int from = (int)selection.warp * stretch, to = min(from + stretch, chunks);
    before = selection.before;
    for (int base = from; base < to && before < nth; base += (int)blockDim.x) {
        const int chunk = base + (int)threadIdx.x;
        const u32 equal = chunk < to ? count_equal(row, chunk, value) : 0;
        u64 sooner = before + sum_before(meeting, equal, total);
        before += total;
        if (sooner < nth && nth <= sooner + equal) {
            int id = max(row.first(chunk), 0) - 1;
            while (sooner < nth) sooner += row.at(++id) == value;
            selection.position = (u32)id + 1;
        }
    }
    __syncthreads();
    return (int)selection.position;
}
