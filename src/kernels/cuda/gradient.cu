// Writes the gradient of each row of logits from the results of the forward pass, in one reading and one writing.

// One pass's part in the gradient of a token: `e^u` times a polynomial in `t`, a different one in the set, and the reference's
// part.
template <class Real> struct Slope {
    typename Numbers<Real>::Scale scale;
    Real outside[3], inside[3];
    Real from, from_after;
    // Factors of the sums of differences of exponents, and of the Jensen-Shannon divergence.
    Real forward, backward, mixed;
    Real mixed_mean;
    Real their_highest;
    Pair<Real> pair;
    int cut;
};

template <class Real>
__device__ __forceinline__ Slope<Real> slope(const Pass &pass, double divisor, const double *sums, const double *facts,
                                             const double *cotangents) {
    const double temperature = temperature_at(pass, divisor);
    const double unit = Numbers<Real>::WIDE_UNIT, inverse = 1.0 / temperature;
    const bool compared = COMPARES && pass.reference != 0;
    Slope<Real> slope = {};
    slope.scale = Numbers<Real>::scale(temperature);
    const double second = SECOND ? cotangents[2] : 0.0, second_inside = SECOND ? cotangents[5] : 0.0;
    const double whole[3] = {cotangents[0] + cotangents[1], cotangents[1] + 2.0 * second, second};
    // The part of the set's sums.
    const double inside[3] = {cotangents[3] + cotangents[4], cotangents[4] + 2.0 * second_inside, second_inside};
    double factor = inverse;
#pragma unroll
    for (int n = 0; n < 3; n++, factor *= unit) {
        slope.outside[n] = (Real)(whole[n] * factor);
        slope.inside[n] = (Real)((pass.set == ALL ? whole[n] : whole[n] + inside[n]) * factor);
    }
    slope.from = (Real)facts[0];
    slope.from_after = (Real)facts[1];
    slope.cut = (int)facts[2];
    if (compared) {
        slope.their_highest = (Real)facts[5];
        slope.forward = (Real)(cotangents[7] * inverse);
        slope.backward = (Real)(cotangents[8] * inverse);
        if (pass.share >= 0.0) {
            slope.mixed = (Real)(cotangents[9] * (1.0 - pass.share) * inverse);
            slope.mixed_mean = (Real)facts[4];
            slope.pair = Pair<Real>(slope.scale, sums[0], sums[6]);
        }
    }
    return slope;
}

// Adds the cotangents of the logits of listed tokens to those among 8 tokens from `first` on.
template <class Real>
__device__ __forceinline__ void add_listed(const Task &task, i64 index, int first, const double *cotangents, Real (&gradient)[8]) {
#if LISTS > 0
    const i64 *ids = (const i64 *)task.listed + index * task.width;
    const i64 from = first < 0 ? 0 : first;
    for (int list = 0; list < LISTS; list++) {
        const int length = (int)task.lists[list];
        int low = 0, high = length;
        while (low < high) {
            const int middle = (low + high) / 2;
            if (ids[middle] < from) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        for (; low < length && ids[low] < first + 8; low++) {
#pragma unroll
            for (int j = 0; j < 8; j++)
                if (ids[low] == first + j) gradient[j] += (Real)cotangents[low];
        }
        ids += length;
        cotangents += length;
    }
#endif
}

// How many chunks of a row a thread has loaded before it uses the first: more hide the memory's latency, where there are
// registers for them.
template <class E> constexpr int AHEAD = E::SIZE == 8 ? 1 : REFERENCES == 0 && PASSES == 1 ? 2 : 1;

// The first chunks of a row that a thread uses.
template <class E> struct Begun {
    Chunk<E> chunks[AHEAD<E>];

    __device__ __forceinline__ Begun(const Row<E> &row) {
#pragma unroll
        for (int n = 0; n < AHEAD<E>; n++)
            chunks[n] = row.load(min((int)(threadIdx.x + n * blockDim.x), row.chunks() - 1));
    }
};

template <class E>
__device__ __forceinline__ void write_row(const Task &task, const Shared<Slope<typename E::Real>> *slopes, i64 index,
                                          const double *facts, const double *cotangents, const Row<E> &row, Begun<E> &begun) {
    typedef typename E::Real Real;
    typedef Numbers<Real> N;
    const Row<E> to(task.gradient, task, index, row.lead);
    const Real highest = (Real)facts[0];
    const i64 action = ((const i64 *)task.actions)[index];
    Slope<Real> mine[PASSES];
#pragma unroll
    for (int number = 0; number < PASSES; number++) mine[number] = slopes[number];
    // The only reference is read once for all passes.
    constexpr int OTHERS = REFERENCES > 1 ? PASSES : 1;
    Row<E> others[OTHERS];
#pragma unroll
    for (int number = 0; number < OTHERS; number++)
        others[number] = reference(task, REFERENCES > 1 ? task.passes[number].reference : REFERENCES, index, row);
    const int chunks = row.chunks(), step = (int)blockDim.x;
    for (int chunk = (int)threadIdx.x; chunk < chunks; chunk += step) {
        const int first = row.first(chunk);
        Real x[8], gradient[8] = {};
        E::unpack(begun.chunks[0].words, x);
        // The next ones are loaded before this one is stored, since the gradient may be written over the logits.
#pragma unroll
        for (int n = 1; n < AHEAD<E>; n++) begun.chunks[n - 1] = begun.chunks[n];
        begun.chunks[AHEAD<E> - 1] = row.load(min(chunk + AHEAD<E> * step, chunks - 1));
        Real y[8];
        if (REFERENCES == 1) E::unpack(others[0].load_any(chunk).words, y);
#pragma unroll
        for (int number = 0; number < PASSES; number++) {
            const Pass &pass = task.passes[number];
            const Slope<Real> &slope = mine[number];
            // Tokens before the cut have another border; few chunks contain the cut.
            const int sooner = slope.cut - first;
#pragma unroll
            for (int j = 0; j < 8; j++) {
                const Real t = exponent(x[j] - highest, slope.scale), e = power(t);
                const bool in_set = SETS != 0 && pass.set != ALL && x[j] >= (j < sooner ? slope.from : slope.from_after);
                const Real zeroth = in_set ? slope.inside[0] : slope.outside[0];
                const Real first_order = in_set ? slope.inside[1] : slope.outside[1];
                Real polynomial = multiply_add(first_order, t, zeroth);
                if (SECOND) {
                    const Real second_order = in_set ? slope.inside[2] : slope.outside[2];
                    polynomial = multiply_add(multiply_add(second_order, t, first_order), t, zeroth);
                }
                gradient[j] = multiply_add(e, polynomial, gradient[j]);
            }
            if (COMPARES && pass.reference != 0) {
                if (REFERENCES > 1) E::unpack(others[number % OTHERS].load_any(chunk).words, y);
                const Real their_highest = slope.their_highest;
                if (slope.forward != (Real)0 || slope.backward != (Real)0) {
#pragma unroll
                    for (int j = 0; j < 8; j++) {
                        const Real away = x[j] - highest, their_away = y[j] - their_highest;
                        const Real e = power(exponent(away, slope.scale)), gap = apart(away - their_away, slope.scale);
                        const Real known = multiply_add(gap, N::UNIT, (Real)1);
                        const Real forward = y[j] == -N::INFINITE ? N::INFINITE : known;
                        if (slope.forward != (Real)0 && e > (Real)0)
                            gradient[j] = multiply_add(slope.forward * e, forward, gradient[j]);
                        gradient[j] = multiply_add(-slope.backward, power(exponent(their_away, slope.scale)), gradient[j]);
                    }
                }
                if (slope.mixed != (Real)0) {
                    const Real share = (Real)pass.share;
#pragma unroll
                    for (int j = 0; j < 8; j++) {
                        const Token<Real> token = slope.pair.token(x[j] - highest, y[j] - their_highest);
                        if (token.pi > (Real)0)
                            gradient[j] = multiply_add(slope.mixed * token.pi, token.log_ratio(share) - slope.mixed_mean, gradient[j]);
                    }
                }
            }
        }
        if (action >= first && action < first + 8) {
#pragma unroll
            for (int j = 0; j < 8; j++)
                if (action == first + j) gradient[j] += (Real)cotangents[0];
        }
        if constexpr (LISTS > 0) add_listed(task, index, first, cotangents + FIRST_LISTED, gradient);
        to.store(chunk, gradient);
    }
}

// Writes zero or NaN everywhere in a row, without reading it.
template <class E> __device__ __forceinline__ void write_all(const Row<E> &to, typename E::Real value) {
    const typename E::Real values[8] = {value, value, value, value, value, value, value, value};
    for (int chunk = (int)threadIdx.x; chunk < to.chunks(); chunk += (int)blockDim.x) to.store(chunk, values);
}

extern "C" __global__ void __launch_bounds__(BLOCK, BLOCKS) aent_gradient(const __grid_constant__ Task task) {
    typedef Element<KIND> E;
    typedef E::Real Real;
    __shared__ Shared<Slope<Real>> slopes[PASSES];
    for (i64 index = blockIdx.x; index < task.rows; index += gridDim.x) {
        const double *sums = (const double *)task.sums + index * sums_of_row(task);
        const double *facts = (const double *)task.facts + index * FACTS_OF_ROW;
        const double *cotangents = (const double *)task.cotangents + index * sums_of_row(task);
        if (!counts(task, index)) {
            write_all(Row<E>(task.gradient, task, index), (Real)0);
            continue;
        }
        if (facts[0] != facts[0]) {
            write_all(Row<E>(task.gradient, task, index), (Real)facts[0]);
            continue;
        }
        const Row<E> row(task.logits, task, index);
        Begun<E> begun(row);
        for (int number = (int)threadIdx.x; number < PASSES; number += (int)blockDim.x) {
            const int sum = 1 + SUMS_OF_PASS * number, fact = FIRST_FACT + FACTS_OF_PASS * number;
            slopes[number] = slope<Real>(task.passes[number], facts[1], sums + sum, facts + fact, cotangents + sum);
        }
        __syncthreads();
        write_row<E>(task, slopes, index, facts, cotangents, row, begun);
        __syncthreads();
    }
}
