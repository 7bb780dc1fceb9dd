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
// How many elements of a row are drawn for a sample, and the shortest row for which it is worth its cost.
constexpr int DRAWN = 1024, WORTH_SAMPLING = 8 * DRAWN;

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
    // How many times the bins are counted: by each warp, where bins are keys and so few that they fit. Then the counts of a
    // key tell which warp has seen its nth token.
    __device__ __forceinline__ u32 copies() const {
        const u32 warps = blockDim.x / WARP;
        return shift == 0 && bins() * warps <= COUNT_BINS ? warps : 1;
    }
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
    // The bins of a range, as often as it has copies; before that, the keys of a sample. The last one is for all values outside
    // the range: lanes that count in one place cost one addition, a condition would cost a branch.
    Shared<u32> counts[SETS & (1 << TOP_K | 1 << TOP_P) ? COUNT_BINS + 1 : 1];
    Shared<u32> masses[SETS & 1 << TOP_P ? DIGITS * MASS_BINS : 1];
    Shared<u32> bin, warp, position;
    // The two ranks of a sample.
    Shared<u32> ranked[2];
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

// The highest key that more than `above` of a sample are not below, bit by bit. A warp finds it alone, without a barrier.
__device__ __forceinline__ u32 ranked(const Selection &selection, int bits, int above) {
    u32 mine[DRAWN / WARP], key = 0;
#pragma unroll
    for (u32 n = 0; n < DRAWN / WARP; n++) mine[n] = selection.counts[n * WARP + threadIdx.x % WARP];
    for (int bit = bits - 1; bit >= 0; bit--) {
        const u32 tried = key | 1u << bit;
        int not_below = 0;
#pragma unroll
        for (u32 n = 0; n < DRAWN / WARP; n++) not_below += mine[n] >= tried;
        if ((int)__reduce_add_sync(ALL_LANES, (u32)not_below) > above) key = tried;
    }
    return key;
}

// A range that probably contains the border of the `count` highest, from two ranks of a sample: one element from each of
// `DRAWN` stretches of the row.
template <class E>
__device__ __forceinline__ Range<E> sampled(Selection &selection, const Row<E> &row, i64 count) {
    typedef Keys<E> K;
    typedef typename K::Bits Bits;
    constexpr int TRIED = E::KEY_BITS < 19 ? E::KEY_BITS : 19, SKIPPED = E::KEY_BITS - TRIED;
    const int stretch = row.length / DRAWN;
    for (int n = (int)threadIdx.x; n < DRAWN; n += (int)blockDim.x) {
        // A scattered place in each stretch, so that periods in the row do not bias the sample.
        const u32 place = ((u32)n * 0x9e3779b1u >> 7) % (u32)stretch;
        selection.counts[n] = (u32)(K::of(row.at(n * stretch + (int)place)) >> SKIPPED);
    }
    const float share = (float)count / (float)row.length, expected = share * (float)DRAWN;
    const float margin = 3.0f * sqrtf(expected * (1.0f - share)) + 3.0f;
    const int upper = (int)floorf(expected - margin), lower = (int)ceilf(expected + margin);
    const u32 warps = blockDim.x / WARP;
    __syncthreads();
    for (u32 rank = threadIdx.x / WARP; rank < 2; rank += warps) {
        const u32 key = ranked(selection, TRIED, rank == 0 ? upper : lower);
        if (threadIdx.x % WARP == 0) selection.ranked[rank] = key;
    }
    __syncthreads();
    const Bits high = (Bits)(u32)selection.ranked[0], low = (Bits)(u32)selection.ranked[1];
    Range<E> all = Range<E>::everything(COUNT_BINS);
    Bits from = low << SKIPPED, to = (high << SKIPPED) | (((Bits)1 << SKIPPED) - 1);
    if (lower >= DRAWN || from < all.low) from = all.low;
    if (upper < 0) {
        to = all.high;
        // In a 16-bit kind the border is likely to lie in as many keys as each warp can count: 512 of bf16 are a factor of 16.
        const Bits most = (Bits)(COUNT_BINS / warps - 1);
        if (E::SIZE == 2 && to - from > most) to = from + most;
    }
    if (to > all.high) to = all.high;
    if (to < from) to = from;
    return Range<E>(from, to, COUNT_BINS);
}

// The chunks that a thread reads.
struct Turns {
    int from, to, step;

    // Each warp has a stretch of the row, in which its lanes take turns.
    static __device__ __forceinline__ Turns of_warps(int chunks) {
        const int begin = (int)(threadIdx.x / WARP) * stretch(chunks);
        return {begin + (int)(threadIdx.x % WARP), min(begin + stretch(chunks), chunks), (int)WARP};
    }
    // All threads take turns.
    static __device__ __forceinline__ Turns of_threads(int chunks) { return {(int)threadIdx.x, chunks, (int)blockDim.x}; }
    // How many chunks a warp has.
    static __device__ __forceinline__ int stretch(int chunks) {
        const int warps = (int)(blockDim.x / WARP);
        return (chunks + warps - 1) / warps;
    }
};

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

// The id after the `nth` element whose key is that bin of the range; there must be that many. All threads search the stretch
// of the warp that has seen it: its counts tell, or else it counts once more.
template <class E>
__device__ __forceinline__ int after_equal(Meeting &meeting, Selection &selection, const Row<E> &row, const Range<E> &range,
                                           u32 bin, u64 nth) {
    const typename E::Real value = Keys<E>::value(range.low + bin);
    const int lane = (int)(threadIdx.x % WARP);
    u32 mine = 0;
    if (range.copies() > 1) {
        const u32 warp = threadIdx.x / WARP;
        if (lane == 0) mine = selection.counts[warp * range.bins() + bin];
        // What fills the first chunk was counted; what fills the last one comes after all tokens.
        if (threadIdx.x == 0 && value == -Numbers<typename E::Real>::INFINITE) mine -= (u32)row.lead;
    } else {
        const Turns turns = Turns::of_warps(row.chunks());
#pragma unroll 4
        for (int chunk = turns.from; chunk < turns.to; chunk += turns.step) mine += count_equal(row, chunk, value);
#pragma unroll
        for (int far = WARP / 2; far > 0; far /= 2) mine += __shfl_xor_sync(ALL_LANES, mine, far);
    }
    u64 total;
    u64 before = sum_before(meeting, lane == 0 ? mine : 0, total);
    if (lane == 0 && before < nth && nth <= before + mine) {
        selection.warp = threadIdx.x / WARP;
        selection.before = before;
    }
    __syncthreads();
    const int stretch = Turns::stretch(row.chunks()), from = (int)selection.warp * stretch, to = min(from + stretch, row.chunks());
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
