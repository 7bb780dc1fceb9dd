// One token's part in the Jensen-Shannon divergence, with `m = s rho + (1 - s) pi` for the share `s`.
//
// Sums of `pi ln(pi / m)` cancel where the two policies are close. `pi ln(pi / m) - pi + m` has the same sum, since pi and
// m both add up to one, and none of its terms is negative.

// `d - ln(1 + d)` for small d, without cancellation: with `z = d / (2 + d)` it is `d z - 2 (z^3/3 + z^5/5 + ...)`.
template <class Real> __device__ __forceinline__ Real log_gap(Real d) {
    const Real z = d / ((Real)2 + d), zz = z * z;
    Real series = 0;
    // Enough terms for |d| < 0.4, where zz < 0.0625.
#pragma unroll
    for (int odd = sizeof(Real) == 8 ? 29 : 11; odd >= 3; odd -= 2) series = multiply_add(series, zz, (Real)2 / (Real)odd);
    return z * (d - zz * series);
}

template <class Real> __device__ __forceinline__ bool is_small(Real d) { return d > (Real)-0.4 && d < (Real)0.4; }

// `-ln(1 - weight + weight e^lead)`, for any lead.
template <class Real> __device__ __forceinline__ Real minus_log_mix(Real weight, Real lead, Real change) {
    if (is_small(change)) return -log_one_more(change);
    if (lead < (Real)0) return -exact_log((Real)1 - weight + weight * exact_exp(lead));
    return -lead - exact_log(weight + ((Real)1 - weight) * exact_exp(-lead));
}

// A token under both policies.
template <class Real> struct Token {
    Real pi, rho;
    // `ln rho - ln pi`; NaN where both are zero, and then unused.
    Real lead;

    // ln(pi / m).
    __device__ __forceinline__ Real log_ratio(Real share) const {
        return minus_log_mix(share, lead, share * exp_less_one(lead));
    }

    // `pi ln(pi / m) - pi + m`; for the exchanged pair, `rho ln(rho / m) - rho + m`.
    __device__ __forceinline__ Real part(Real share) const {
        const Real change = share * exp_less_one(lead), m = share * rho + ((Real)1 - share) * pi;
        if (!(pi > (Real)0)) return m;
        if (is_small(change)) return pi * log_gap(change);
        return multiply_add(pi, minus_log_mix(share, lead, change), m - pi);
    }

    __device__ __forceinline__ Token exchanged() const { return {rho, pi, -lead}; }
};

// The two policies of a row at a temperature.
template <class Real> struct Pair {
    typedef Numbers<Real> N;
    typename N::Scale scale;
    Real inverse_sum, their_inverse_sum;
    // `ln sum - ln their_sum`.
    Real log_ratio_of_sums;

    Pair() = default;
    __device__ __forceinline__ Pair(typename N::Scale scale, double sum, double their_sum)
        : scale(scale), inverse_sum((Real)(1.0 / sum)), their_inverse_sum((Real)(1.0 / their_sum)),
          log_ratio_of_sums((Real)log(sum / their_sum)) {}

    // Takes logits minus the highest of their row.
    __device__ __forceinline__ Token<Real> token(Real ours, Real theirs) const {
        const Real lead = multiply_add(apart(theirs - ours, scale), N::UNIT, log_ratio_of_sums);
        return {power(exponent(ours, scale)) * inverse_sum, power(exponent(theirs, scale)) * their_inverse_sum, lead};
    }
};
