// Reads each row of logits and writes its sums and facts.

// The smallest number of the kind that is not below `exact`.
template <class E> __device__ __forceinline__ typename E::Real rounded_up(double exact) {
    typedef Keys<E> K;
    typename E::Real rounded = (typename E::Real)exact;
    typename K::Bits key = K::of(rounded);
    // The cast rounds to nearest and the key rounds down; one step up corrects either.
    if ((double)K::value(key) < exact) key++;
    return K::value(key);
}

// A set's lower end, in the layout of `facts`.
struct Border {
    double from, from_after;
    double cut, size;
};

template <class E> struct Reader {
    typedef typename E::Real Real;
    typedef Numbers<Real> N;
    typedef Keys<E> K;

    const Task &task;
    Meeting &meeting;
    Selection &selection;
    Row<E> row;
    Row<E> other;
    // `-inf` until a pass has read them; the latter is of `other`.
    Real highest, their_highest;

    // Joins the results of all threads, starting with the highest logits.
    template <int WANTED>
    __device__ __forceinline__ void finish(Seen<Real> &seen, typename N::Scale scale, double (&joined)[10], double (&tops)[4]) {
        if (!(WANTED & KNOWN)) {
            const Real mine[4] = {seen.highest, seen.their_highest, seen.unmatched, seen.their_unmatched};
            if (WANTED & COMPARED) {
                join<Larger>(meeting, mine, tops);
            } else {
                const Real own[1] = {seen.highest};
                double top[1];
                join<Larger>(meeting, own, top);
                tops[0] = top[0];
            }
            highest = (Real)tops[0];
            if (WANTED & COMPARED) their_highest = (Real)tops[1];
            seen.move(seen.finite(highest), seen.finite(their_highest), scale);
        }
        const Real mine[10] = {seen.whole.zeroth, seen.whole.first, seen.whole.second, seen.above.zeroth,
                               seen.above.first,  seen.above.second, seen.above_count, seen.theirs,
                               seen.forward,      seen.backward};
        if (WANTED & COMPARED) {
            join<Add>(meeting, mine, joined);
        } else if (WANTED & ABOVE) {
            const Real some[7] = {mine[0], mine[1], mine[2], mine[3], mine[4], mine[5], mine[6]};
            double sums[7];
            join<Add>(meeting, some, sums);
            for (int n = 0; n < 7; n++) joined[n] = sums[n];
        } else {
            const Real some[3] = {mine[0], mine[1], mine[2]};
            double sums[3];
            join<Add>(meeting, some, sums);
            for (int n = 0; n < 3; n++) joined[n] = sums[n];
        }
    }

    __device__ __forceinline__ bool is_usable(bool compared) const {
        const Real ours = highest - highest, theirs = compared ? their_highest - their_highest : (Real)0;
        return ours == (Real)0 && theirs == (Real)0;
    }

    // Padding elements of chunks are `-inf`, and were counted as such.
    __device__ __forceinline__ u64 counted(const Range<E> &range, u32 bin) const {
        u32 count = 0;
        for (u32 copy = 0; copy < range.copies(); copy++) count += selection.counts[copy * range.bins() + bin];
        const bool has_filling = bin == 0 && range.low <= K::of(-N::INFINITE);
        return count - (has_filling ? (u32)(row.chunks() * 8 - row.length) : 0u);
    }

    // The sums over the set: those above the last range, and those of its bins, with `kept` tokens of the border's bin.
    __device__ __forceinline__ double add_bins(const Range<E> &range, const Crossing &found, u64 kept, typename N::Scale scale,
                                               const double (&joined)[10], double *inside) {
        Sums<Real> sums = {};
        Real size = 0;
        for (u32 bin = found.bin + threadIdx.x; bin < range.bins(); bin += blockDim.x) {
            const Real count = (Real)(bin == found.bin ? kept : counted(range, bin));
            if (count == (Real)0) continue;
            const Real t = exponent(K::value(range.low + bin) - highest, scale), e = count * power(t);
            sums.add(t, e);
            size += count;
        }
        const Real mine[4] = {sums.zeroth, sums.first, sums.second, size};
        double all[4];
        join<Add>(meeting, mine, all);
        for (int n = 0; n < 3; n++) inside[n] = joined[3 + n] + all[n];
        return joined[6] + all[3];
    }

    __device__ __forceinline__ Border border_at(const Range<E> &range, const Crossing &found, u64 kept, double size) {
        const typename K::Bits key = range.low + found.bin;
        const Real value = K::value(key);
        if (kept >= counted(range, found.bin)) return {(double)value, (double)value, (double)row.length, size};
        const int cut = after_equal(meeting, selection, row, range, found.bin, kept);
        return {(double)value, (double)K::value(key + 1), (double)cut, size};
    }

    // Sums over all tokens, and the other results of the same reading.
    template <int WANTED>
    __device__ __forceinline__ void first(typename N::Scale scale, const Range<E> &range, double (&joined)[10], double (&tops)[4]) {
        Seen<Real> seen(highest, their_highest);
        stream<WANTED>(row, other, scale, range, selection, seen);
        finish<WANTED>(seen, scale, joined, tops);
    }

    // The range that the first reading counts in.
    __device__ __forceinline__ Range<E> first_range(const Pass &pass) {
        const bool is_long = row.length >= WORTH_SAMPLING;
        const Range<E> range = is_long ? sampled(selection, row, pass.count) : Range<E>::everything(COUNT_BINS);
        clear(selection.counts, range.bins() * range.copies());
        return range;
    }

    // The range after a sample that was misleading. Positive numbers of a 16-bit kind have few keys further up.
    __device__ __forceinline__ Range<E> missed(const Range<E> &range, bool is_above) const {
        const Range<E> all = Range<E>::everything(COUNT_BINS);
        if (E::SIZE != 2 || !is_above || !(range.high_value > (Real)0)) return all;
        const typename K::Bits most = (typename K::Bits)COUNT_BINS, left = all.high - range.high;
        return Range<E>(range.high + 1, range.high + (left < most ? left : most), COUNT_BINS);
    }

    // The border of `TOP_K`, from the range that the first reading counted in and from its joined results.
    __device__ __forceinline__ Border top_k(const Pass &pass, typename N::Scale scale, Range<E> range, const double (&first)[10],
                                            double *inside) {
        double joined[10], tops[4];
        for (int n = 0; n < 10; n++) joined[n] = first[n];
        for (;;) {
            const Crossing found = crossing(meeting, selection, range.bins(), (u64)joined[6], (u64)pass.count, false,
                                            [&](u32 bin) { return counted(range, bin); });
            if (found.inside && range.shift == 0) {
                const u64 kept = (u64)pass.count - found.before;
                const double size = add_bins(range, found, kept, scale, joined, inside);
                return border_at(range, found, kept, size);
            }
            range = found.inside ? range.narrowed(found.bin, COUNT_BINS) : missed(range, (u64)joined[6] >= (u64)pass.count);
            clear(selection.counts, range.bins() * range.copies());
            Seen<Real> seen(highest, their_highest);
            stream<KNOWN | ABOVE | COUNTED>(row, row, scale, range, selection, seen);
            finish<KNOWN | ABOVE>(seen, scale, joined, tops);
        }
    }

    __device__ __forceinline__ Border top_p(const Pass &pass, double temperature, typename N::Scale scale, double sum,
                                            double *inside) {
        const u64 wanted = mass_units(pass.number * sum);
        // All logits below it together weigh less than what may be left out.
        const double least = (double)highest + temperature * log((1.0 - pass.number) * sum / (double)row.length) -
                             1e-6 * (fabs((double)highest) + temperature);
        typename K::Bits low = K::of((Real)least) - 1, lowest = K::of(-N::INFINITE) + 1;
        Range<E> range(low < lowest ? lowest : low, K::of(highest), COUNT_BINS);
        u64 above = 0;
        double joined[10], tops[4];
        for (;;) {
            const bool is_last = range.shift == 0;
            Seen<Real> seen(highest, their_highest);
            if (is_last) {
                clear(selection.counts, range.bins() * range.copies());
                stream<KNOWN | ABOVE | COUNTED>(row, row, scale, range, selection, seen);
                finish<KNOWN | ABOVE>(seen, scale, joined, tops);
            } else {
                range = Range<E>(range.low, range.high, MASS_BINS);
                clear(selection.masses, DIGITS * range.bins());
                stream<KNOWN | WEIGHED>(row, row, scale, range, selection, seen);
                __syncthreads();
            }
            const Crossing found =
                crossing(meeting, selection, range.bins(), above, wanted, true, [&](u32 bin) -> u64 {
                    return is_last ? counted(range, bin) * units_at(range, bin, scale) : mass_of(selection, bin);
                });
            if (is_last) {
                const u64 unit = units_at(range, found.bin, scale), count = counted(range, found.bin);
                const u64 missing = wanted > found.before ? wanted - found.before : 1;
                u64 kept = unit > 0 ? (missing + unit - 1) / unit : count;
                if (kept > count) kept = count;
                const double size = add_bins(range, found, kept, scale, joined, inside);
                return border_at(range, found, kept, size);
            }
            above = found.before;
            range = range.narrowed(found.bin, COUNT_BINS);
        }
    }

    __device__ __forceinline__ u64 units_at(const Range<E> &range, u32 bin, typename N::Scale scale) const {
        return mass_units(power(exponent(K::value(range.low + bin) - highest, scale)));
    }

    // The set of all tokens not below `from`.
    __device__ __forceinline__ Border not_below(Real from, typename N::Scale scale, double *inside) {
        const Range<E> range = Range<E>::none_below(from);
        Seen<Real> seen(highest, their_highest);
        double joined[10], tops[4];
        stream<KNOWN | ABOVE>(row, row, scale, range, selection, seen);
        finish<KNOWN | ABOVE>(seen, scale, joined, tops);
        for (int n = 0; n < 3; n++) inside[n] = joined[3 + n];
        return {(double)from, (double)from, (double)row.length, joined[6]};
    }

    // `share KL(rho || m) + (1 - share) KL(pi || m)`, and `KL(pi || m)`.
    __device__ __forceinline__ void mix(const Pass &pass, typename N::Scale scale, double sum, double their_sum, double (&found)[2]) {
        const Pair<Real> pair(scale, sum, their_sum);
        const Real share = (Real)pass.share;
        Real of_pi = 0, of_rho = 0;
        for (int chunk = (int)threadIdx.x; chunk < row.chunks(); chunk += (int)blockDim.x) {
            Real x[8];
            Real y[8];
            E::unpack(row.load(chunk).words, x);
            E::unpack(other.load_any(chunk).words, y);
            Real some_pi = 0, some_rho = 0;
#pragma unroll
            for (int j = 0; j < 8; j++) {
                const Token<Real> token = pair.token(x[j] - highest, y[j] - their_highest);
                some_pi += token.part(share);
                some_rho += token.exchanged().part((Real)1 - share);
            }
            of_pi += some_pi;
            of_rho += some_rho;
        }
        const Real mine[2] = {of_pi, of_rho};
        double all[2];
        join<Add>(meeting, mine, all);
        found[0] = pass.share * all[1] + (1.0 - pass.share) * all[0];
        found[1] = all[0];
    }
};

// Writes the sums of a pass, converted from `t` to `u`.
__device__ __forceinline__ void write_sums(double *to, const double *sums, double unit) {
    to[0] = sums[0];
    to[1] = sums[1] * unit;
    to[2] = SECOND ? sums[2] * unit * unit : 0.0;
}

// Fills a row without results: with NaN if it has no softmax; if it is masked, with ones for sums of powers and zeros.
__device__ __forceinline__ void fill(const Task &task, double *sums, double *facts, bool is_masked) {
    const double missing = is_masked ? 0.0 : Numbers<double>::INFINITE - Numbers<double>::INFINITE;
    for (int n = (int)threadIdx.x; n < (int)sums_of_row(task); n += (int)blockDim.x) {
        const int column = n == 0 || n >= FIRST_LISTED ? -1 : (n - 1) % SUMS_OF_PASS;
        const bool is_sum = column == 0 || column == 3 || column == 6;
        sums[n] = is_masked && is_sum ? 1.0 : missing;
    }
    for (int n = (int)threadIdx.x; n < FACTS_OF_ROW; n += (int)blockDim.x) facts[n] = is_masked && n == 1 ? 1.0 : missing;
}

template <class E>
__device__ __forceinline__ void read_row(const Task &task, Meeting &meeting, Selection &selection, i64 index, double *sums, double *facts) {
    typedef typename E::Real Real;
    typedef Numbers<Real> N;
    const double unit = N::WIDE_UNIT;
    const double divisor = DIVIDES ? ((const double *)task.divisors)[index] : 1.0;
    if (divisor != divisor) {
        fill(task, sums, facts, false);
        return;
    }
    const Row<E> row(task.logits, task, index);
    Reader<E> reader = {task, meeting, selection, row, reference(task, REFERENCES, index, row), -N::INFINITE, -N::INFINITE};
    for (int number = 0; number < PASSES; number++) {
        const Pass &pass = task.passes[number];
        const bool compared = COMPARES && pass.reference != 0;
        if (REFERENCES > 1 && compared) {
            reader.other = reference(task, pass.reference, index, row);
            reader.their_highest = -N::INFINITE;
        }
        const double temperature = temperature_at(pass, divisor);
        const typename N::Scale scale = N::scale(temperature);
        double whole[10] = {}, tops[4] = {}, inside[3] = {}, mixed[2] = {};
        Border border = {0.0, 0.0, 0.0, 0.0};
        // For `TOP_K`, the first reading already counts.
        const bool is_top_k = (SETS & 1 << TOP_K) != 0 && pass.set == TOP_K;
        const Range<E> range = is_top_k ? reader.first_range(pass) : Range<E>::everything(COUNT_BINS);
        if constexpr (COMPARES) {
            if (compared && is_top_k) reader.template first<WHOLE | COMPARED | ABOVE | COUNTED>(scale, range, whole, tops);
            if (compared && !is_top_k) reader.template first<WHOLE | COMPARED>(scale, range, whole, tops);
        }
        if (!compared && is_top_k) reader.template first<WHOLE | ABOVE | COUNTED>(scale, range, whole, tops);
        if (!compared && !is_top_k) reader.template first<WHOLE>(scale, range, whole, tops);
        if (!reader.is_usable(compared)) {
            // A later pass may be the first to compare; then the results of earlier passes are invalid too.
            fill(task, sums, facts, false);
            return;
        }
        if constexpr ((SETS & 1 << TOP_K) != 0) {
            if (is_top_k) border = reader.top_k(pass, scale, range, whole, inside);
        }
        if constexpr ((SETS & 1 << TOP_P) != 0) {
            if (pass.set == TOP_P && pass.number < 1.0) border = reader.top_p(pass, temperature, scale, whole[0], inside);
            if (pass.set == TOP_P && pass.number >= 1.0)
                border = reader.not_below(Keys<E>::value(Keys<E>::of(-N::INFINITE) + 1), scale, inside);
        }
        if constexpr ((SETS & 1 << MIN_P) != 0) {
            if (pass.set == MIN_P) {
                const double from = (double)reader.highest + temperature * log(pass.number);
                border = reader.not_below(rounded_up<E>(from), scale, inside);
            }
        }
        if constexpr (COMPARES) {
            if (compared && pass.share >= 0.0) reader.mix(pass, scale, whole[0], whole[7], mixed);
        }
        if (threadIdx.x == 0) {
            double *to = sums + 1 + SUMS_OF_PASS * number;
            write_sums(to, whole, unit);
            write_sums(to + 3, inside, unit);
            if (compared) {
                const bool forward = power(exponent((Real)tops[2] - reader.highest, scale)) > (Real)0;
                const bool backward = power(exponent((Real)tops[3] - reader.their_highest, scale)) > (Real)0;
                to[6] = whole[7];
                to[7] = forward ? N::INFINITE : whole[8] * unit;
                to[8] = backward ? N::INFINITE : whole[9] * unit;
                to[9] = mixed[0];
            } else {
                to[6] = to[7] = to[8] = to[9] = 0.0;
            }
            double *fact = facts + FIRST_FACT + FACTS_OF_PASS * number;
            fact[0] = border.from;
            fact[1] = border.from_after;
            fact[2] = border.cut;
            fact[3] = border.size;
            fact[4] = mixed[1];
            fact[5] = compared ? (double)reader.their_highest : 0.0;
        }
        // The next pass or row overwrites shared memory.
        __syncthreads();
    }
    if constexpr (LISTS > 0) {
        const i64 *ids = (const i64 *)task.listed + index * task.width;
        for (int n = (int)threadIdx.x; n < (int)task.width; n += (int)blockDim.x) {
            const bool is_token = ids[n] >= 0 && ids[n] < task.vocabulary;
            sums[FIRST_LISTED + n] = is_token ? (double)row.at((int)ids[n]) : ids[n] == -1 ? 0.0 : N::INFINITE - N::INFINITE;
        }
    }
    if (threadIdx.x == 0) {
        const i64 action = ((const i64 *)task.actions)[index];
        sums[0] = action >= 0 && action < task.vocabulary ? (double)row.at((int)action) : N::INFINITE - N::INFINITE;
        facts[0] = (double)reader.highest;
        facts[1] = divisor;
    }
}

extern "C" __global__ void __launch_bounds__(BLOCK, BLOCKS) aent_read(const __grid_constant__ Task task) {
    __shared__ Meeting meeting;
    __shared__ Selection selection;
    for (i64 index = blockIdx.x; index < task.rows; index += gridDim.x) {
        double *sums = (double *)task.sums + index * sums_of_row(task), *facts = (double *)task.facts + index * FACTS_OF_ROW;
        if (!counts(task, index)) {
            fill(task, sums, facts, true);
            continue;
        }
        read_row<Element<KIND>>(task, meeting, selection, index, sums, facts);
    }
}
