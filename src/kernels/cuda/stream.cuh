// One reading of a row, which computes any combination of sums.

// What a reading computes, as bits.
enum Wanted {
    WHOLE = 1,     // sums over all tokens
    COMPARED = 2,  // sums with the reference
    ABOVE = 4,     // sums over the tokens above the range
    COUNTED = 8,   // how many tokens are in each bin of the range
    WEIGHED = 16,  // the mass in each bin of the range
    KNOWN = 32,    // the highest logits are known already
};

// Sums of `e^u`, `t e^u` and `t^2 e^u`.
template <class Real> struct Sums {
    Real zeroth, first, second;

    __device__ __forceinline__ void add(Real t, Real power) {
        zeroth += power;
        first = multiply_add(t, power, first);
        if (SECOND) second = multiply_add(t * power, t, second);
    }
    __device__ __forceinline__ void add(const Sums &more) {
        zeroth += more.zeroth;
        first += more.first;
        if (SECOND) second += more.second;
    }
    // The sums after all exponents are lowered by `lower`; `factor` is `power(-lower)`.
    __device__ __forceinline__ void lower(Real lower, Real factor) {
        if (SECOND) second = factor * (second - lower * (first + first - lower * zeroth));
        first = factor * (first - lower * zeroth);
        zeroth = factor * zeroth;
    }
};

// One thread's results for a row.
template <class Real> struct Seen {
    typedef Numbers<Real> N;
    // The highest logits, and the finite bases that exponents are relative to.
    Real highest, base, their_highest, their_base;
    Sums<Real> whole, above;
    Real above_count;
    // The reference's sum of powers, and the two sums of differences of exponents, in units of `t`.
    Real theirs, forward, backward;
    // The highest logit of a token that the reference bans, and the other way round: the divergence is infinite.
    Real unmatched, their_unmatched;

    __device__ __forceinline__ Seen(Real highest, Real their_highest)
        : highest(highest), base(finite(highest)), their_highest(their_highest), their_base(finite(their_highest)),
          whole(), above(), above_count(0), theirs(0), forward(0), backward(0), unmatched(-N::INFINITE),
          their_unmatched(-N::INFINITE) {}

    // Keeps NaN.
    static __device__ __forceinline__ Real finite(Real x) { return x < N::LOWEST ? N::LOWEST : x; }

    // Makes exponents relative to new bases. The shift of a difference of exponents is one number; two shifts would mostly
    // cancel.
    __device__ __forceinline__ void move(Real to, Real their_to, typename N::Scale scale) {
        if (to == base && their_to == their_base) return;
        const Real away = base - to, their_away = their_base - their_to;
        const Real lower = -exponent(away, scale), their_lower = -exponent(their_away, scale);
        const bool is_far = !(lower < -N::FLOOR && their_lower < -N::FLOOR);
        const Real gap = is_far ? their_lower - lower : apart(away - their_away, scale);
        const Real factor = power(-lower), their_factor = power(-their_lower);
        forward = factor * multiply_add(gap, whole.zeroth, forward);
        backward = their_factor * multiply_add(-gap, theirs, backward);
        theirs = their_factor * theirs;
        whole.lower(lower, factor);
        above.lower(lower, factor);
        base = to;
        their_base = their_to;
    }
};

// How many chunks a thread loads before it uses the first.
template <class E, int WANTED> __device__ constexpr int at_once() {
    return E::SIZE == 8 ? 1 : (E::SIZE == 4 ? 2 : 4) / (WANTED & COMPARED ? 2 : 1);
}

template <int WANTED, class E>
__device__ __forceinline__ void stream(const Row<E> &row, const Row<E> &other, typename Numbers<typename E::Real>::Scale scale,
                                       const Range<E> &range, Selection &selection, Seen<typename E::Real> &seen) {
    typedef typename E::Real Real;
    typedef Numbers<Real> N;
    constexpr int AT_ONCE = at_once<E, WANTED>();
    const u32 bins = range.bins(), own = WANTED & COUNTED && range.copies() > 1 ? threadIdx.x / WARP * bins : 0;
    const u32 outside = COUNT_BINS - own;
    const Counters counts(selection.counts + own), masses(selection.masses);
    const Turns turns = WANTED & COUNTED ? Turns::of_warps(row.chunks()) : Turns::of_threads(row.chunks());
    for (int start = turns.from; start < turns.to; start += AT_ONCE * turns.step) {
        Chunk<E> ours[AT_ONCE];
        Chunk<E> theirs[WANTED & COMPARED ? AT_ONCE : 1];
#pragma unroll
        for (int n = 0; n < AT_ONCE; n++) {
            // Past the end, the last chunk is loaded and not used.
            const int chunk = min(start + n * turns.step, turns.to - 1);
            ours[n] = row.load(chunk);
            if (WANTED & COMPARED) theirs[n] = other.load_any(chunk);
        }
        if (!(WANTED & KNOWN)) {
            // Reading a chunk twice does not change the maximum.
#pragma unroll
            for (int n = 0; n < AT_ONCE; n++) {
                seen.highest = larger(seen.highest, E::highest(ours[n].words));
                if (WANTED & COMPARED) seen.their_highest = larger(seen.their_highest, E::highest(theirs[n].words));
            }
            seen.move(seen.finite(seen.highest), seen.finite(seen.their_highest), scale);
        }
        // A few terms are summed before they are added to the total, so that rounding errors grow slowly.
        Sums<Real> whole = {}, above = {};
        Real sum = 0, forward = 0, backward = 0;
        int count = 0;
#pragma unroll
        for (int n = 0; n < AT_ONCE; n++) {
            if (start + n * turns.step >= turns.to) break;
            Real x[8];
            E::unpack(ours[n].words, x);
            Real y[8];
            if (WANTED & COMPARED) E::unpack(theirs[n].words, y);
#pragma unroll
            for (int j = 0; j < 8; j++) {
                const Real away = x[j] - seen.base;
                const Real t = exponent(away, scale), e = power(t);
                if (WANTED & WHOLE) whole.add(t, e);
                if (WANTED & COMPARED) {
                    const Real their_away = y[j] - seen.their_base, f = power(exponent(their_away, scale));
                    const bool banned = x[j] == -N::INFINITE, their_banned = y[j] == -N::INFINITE;
                    // Computed from logits: rounding errors of two exponents could exceed their difference.
                    const Real gap = banned || their_banned ? (Real)0 : apart(away - their_away, scale);
                    sum += f;
                    forward = multiply_add(e, gap, forward);
                    backward = multiply_add(-f, gap, backward);
                    if (their_banned) seen.unmatched = larger(seen.unmatched, x[j]);
                    if (banned) seen.their_unmatched = larger(seen.their_unmatched, y[j]);
                }
                // Branchless: nearly always, some lane of a warp would take the branch.
                if (WANTED & ABOVE) {
                    const bool is_above = x[j] > range.high_value;
                    above.add(t, is_above ? e : (Real)0);
                    count += is_above;
                }
                if (WANTED & (COUNTED | WEIGHED)) {
                    const auto bin = range.bin(x[j]);
                    if (WANTED & COUNTED) counts.add(bin < bins ? (u32)bin : outside, 1);
                    if ((WANTED & WEIGHED) && bin < bins) add_mass(masses, (u32)bin, mass_units(e));
                }
            }
        }
        if (WANTED & WHOLE) seen.whole.add(whole);
        if (WANTED & ABOVE) {
            seen.above.add(above);
            seen.above_count += (Real)count;
        }
        if (WANTED & COMPARED) {
            seen.theirs += sum;
            seen.forward += forward;
            seen.backward += backward;
        }
    }
}
