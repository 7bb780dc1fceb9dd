// The element types of rows, and the types that compute with them.
//
// No CUDA header is included, so that NVRTC needs no include path: bf16 is converted by shifts, and instructions of the
// device are inside `#ifdef`s, with an emulation for tests on any machine.

typedef unsigned int u32;
typedef unsigned long long u64;
typedef long long i64;

#ifndef AENT_EMULATION
template <class T> using Shared = T;
#endif

// Kinds of elements, with the numbers of `source.rs`.
enum Kind { F32, F64, BF16, F16 };

// ---- f32, in which f32, bf16 and f16 are computed.

// 2^t for t <= 0, and zero if that is below the least normal number. The instruction is within 2 units in the last place
// over that whole range.
__device__ __forceinline__ float power(float t) {
#ifdef AENT_EMULATION
    return emulated_exp2(t);
#else
    float e;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(e) : "f"(t));
    return e;
#endif
}

// The larger one; NaN if either is.
__device__ __forceinline__ float larger(float a, float b) {
#ifdef AENT_EMULATION
    return a != a ? a : b != b ? b : a > b ? a : b;
#else
    float larger;
    asm("max.NaN.f32 %0, %1, %2;" : "=f"(larger) : "f"(a), "f"(b));
    return larger;
#endif
}

__device__ __forceinline__ double larger(double a, double b) { return a != a ? a : b != b ? b : a > b ? a : b; }

// Computing in a kind. Exponents are kept as `t = u / UNIT`, for which `power(t) = e^u`.
template <class Real> struct Numbers;

template <> struct Numbers<float> {
    typedef u32 Bits;
    static constexpr float UNIT = 0.6931471805599453f;
    static constexpr double WIDE_UNIT = 0.6931471805599453;
    // Its power is zero and it is finite, so that `t * power(t)` is zero and not NaN.
    static constexpr float FLOOR = -150.0f;
    static constexpr float LOWEST = -3.4028234663852886e38f;
    static constexpr float INFINITE = __builtin_bit_cast(float, 0x7f800000u);

    // The factor from logits to exponents, in two parts: a single rounded factor would shift all exponents the same way.
    // The second part is left out if all temperatures have factors with little rounding, as 1 has.
    struct Scale {
        float high, low;
    };
    static __device__ __forceinline__ Scale scale(double temperature) {
        double exact = 1.4426950408889634 / temperature;
        float high = (float)exact;
        return {high, (float)(exact - (double)high)};
    }
    static __device__ __forceinline__ Bits bits(float x) { return __float_as_uint(x); }
    static __device__ __forceinline__ float of_bits(Bits bits) { return __uint_as_float(bits); }
    // All ones for a negative number, otherwise zero.
    static __device__ __forceinline__ Bits sign(Bits bits) { return (u32)((int)bits >> 31); }
};

template <> struct Numbers<double> {
    typedef u64 Bits;
    static constexpr double UNIT = 1.0;
    static constexpr double WIDE_UNIT = 1.0;
    static constexpr double FLOOR = -800.0;
    static constexpr double LOWEST = -1.7976931348623157e308;
    static constexpr double INFINITE = __builtin_bit_cast(double, 0x7ff0000000000000ull);

    struct Scale {
        double temperature;
    };
    static __device__ __forceinline__ Scale scale(double temperature) { return {temperature}; }
    static __device__ __forceinline__ Bits bits(double x) { return (u64)__double_as_longlong(x); }
    static __device__ __forceinline__ double of_bits(Bits bits) { return __longlong_as_double((i64)bits); }
    static __device__ __forceinline__ Bits sign(Bits bits) { return (u64)((i64)bits >> 63); }
};

// e^u for u <= 0, and zero if that is below the least normal number.
__device__ __forceinline__ double power(double t) { return t < -708.0 ? 0.0 : exp(t); }

__device__ __forceinline__ float scaled(float difference, Numbers<float>::Scale scale) {
    return TWO_PARTS ? fmaf(difference, scale.high, difference * scale.low) : difference * scale.high;
}

// The exponent of a difference of logits, with a floor so that it is finite. For `-inf` the two parts may give NaN,
// which `fmax` ignores.
__device__ __forceinline__ float exponent(float difference, Numbers<float>::Scale scale) {
    return fmaxf(scaled(difference, scale), Numbers<float>::FLOOR);
}

__device__ __forceinline__ double exponent(double difference, Numbers<double>::Scale scale) {
    return fmax(difference / scale.temperature, Numbers<double>::FLOOR);
}

// The same for either sign and without the floor, since terms of a divergence grow with it; finite.
__device__ __forceinline__ float apart(float difference, Numbers<float>::Scale scale) {
    return fminf(fmaxf(scaled(difference, scale), Numbers<float>::LOWEST), -Numbers<float>::LOWEST);
}

__device__ __forceinline__ double apart(double difference, Numbers<double>::Scale scale) {
    return fmin(fmax(difference / scale.temperature, Numbers<double>::LOWEST), -Numbers<double>::LOWEST);
}

__device__ __forceinline__ float multiply_add(float a, float b, float c) { return fmaf(a, b, c); }
__device__ __forceinline__ double multiply_add(double a, double b, double c) { return fma(a, b, c); }
__device__ __forceinline__ float exact_exp(float x) { return expf(x); }
__device__ __forceinline__ double exact_exp(double x) { return exp(x); }
__device__ __forceinline__ float exact_log(float x) { return logf(x); }
__device__ __forceinline__ double exact_log(double x) { return log(x); }
__device__ __forceinline__ float exp_less_one(float x) { return expm1f(x); }
__device__ __forceinline__ double exp_less_one(double x) { return expm1(x); }
__device__ __forceinline__ float log_one_more(float x) { return log1pf(x); }
__device__ __forceinline__ double log_one_more(double x) { return log1p(x); }

// ---- Elements: how 8 of them are stored in words, and how many bits a key has.

template <int WHICH> struct Element;

template <class E> __device__ __forceinline__ typename E::Real highest_of(const u32 *words) {
    typename E::Real values[8];
    E::unpack(words, values);
    typename E::Real highest = values[0];
    for (int j = 1; j < 8; j++) highest = larger(highest, values[j]);
    return highest;
}

// The same for a 16-bit kind, two at a time.
template <class E> __device__ __forceinline__ float highest_of_pairs(const u32 *words) {
    const u32 pair = E::larger_pair(E::larger_pair(words[0], words[1]), E::larger_pair(words[2], words[3]));
    const u32 pairs[4] = {pair, pair, pair, pair};
    float values[8];
    E::unpack(pairs, values);
    return larger(values[0], values[1]);
}

template <> struct Element<F32> {
    typedef float Real;
    static constexpr int SIZE = 4, KEY_BITS = 32;
    static __device__ __forceinline__ void unpack(const u32 *words, float *values) {
        for (int j = 0; j < 8; j++) values[j] = __uint_as_float(words[j]);
    }
    static __device__ __forceinline__ void pack(const float *values, u32 *words) {
        for (int j = 0; j < 8; j++) words[j] = __float_as_uint(values[j]);
    }
    static __device__ __forceinline__ float highest(const u32 *words) { return highest_of<Element>(words); }
};

template <> struct Element<F64> {
    typedef double Real;
    static constexpr int SIZE = 8, KEY_BITS = 64;
    static __device__ __forceinline__ void unpack(const u32 *words, double *values) {
        for (int j = 0; j < 8; j++)
            values[j] = __longlong_as_double((i64)((u64)words[2 * j] | (u64)words[2 * j + 1] << 32));
    }
    static __device__ __forceinline__ void pack(const double *values, u32 *words) {
        for (int j = 0; j < 8; j++) {
            u64 bits = (u64)__double_as_longlong(values[j]);
            words[2 * j] = (u32)bits;
            words[2 * j + 1] = (u32)(bits >> 32);
        }
    }
    static __device__ __forceinline__ double highest(const u32 *words) { return highest_of<Element>(words); }
};

template <> struct Element<BF16> {
    typedef float Real;
    static constexpr int SIZE = 2, KEY_BITS = 16;
    static __device__ __forceinline__ void unpack(const u32 *words, float *values) {
        for (int j = 0; j < 4; j++) {
            values[2 * j] = __uint_as_float(words[j] << 16);
            values[2 * j + 1] = __uint_as_float(words[j] & 0xffff0000u);
        }
    }
    static __device__ __forceinline__ void pack(const float *values, u32 *words) {
        for (int j = 0; j < 4; j++) {
#ifdef AENT_EMULATION
            words[j] = emulated_bf16(values[2 * j]) | emulated_bf16(values[2 * j + 1]) << 16;
#else
            asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(words[j]) : "f"(values[2 * j + 1]), "f"(values[2 * j]));
#endif
        }
    }
    static __device__ __forceinline__ u32 larger_pair(u32 a, u32 b) {
#ifdef AENT_EMULATION
        return emulated_larger_pair<Element>(a, b);
#else
        u32 pair;
        asm("max.NaN.bf16x2 %0, %1, %2;" : "=r"(pair) : "r"(a), "r"(b));
        return pair;
#endif
    }
    static __device__ __forceinline__ float highest(const u32 *words) { return highest_of_pairs<Element>(words); }
};

template <> struct Element<F16> {
    typedef float Real;
    // Widening to f32 makes subnormal numbers normal, so ordered keys need more than 16 bits.
    static constexpr int SIZE = 2, KEY_BITS = 19;
    static __device__ __forceinline__ void unpack(const u32 *words, float *values) {
        for (int j = 0; j < 4; j++) {
#ifdef AENT_EMULATION
            values[2 * j] = emulated_f16_wide(words[j] & 0xffffu);
            values[2 * j + 1] = emulated_f16_wide(words[j] >> 16);
#else
            asm("{ .reg .b16 low, high; mov.b32 {low, high}, %2; cvt.f32.f16 %0, low; cvt.f32.f16 %1, high; }"
                : "=f"(values[2 * j]), "=f"(values[2 * j + 1])
                : "r"(words[j]));
#endif
        }
    }
    static __device__ __forceinline__ void pack(const float *values, u32 *words) {
        for (int j = 0; j < 4; j++) {
#ifdef AENT_EMULATION
            words[j] = emulated_f16(values[2 * j]) | emulated_f16(values[2 * j + 1]) << 16;
#else
            asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(words[j]) : "f"(values[2 * j + 1]), "f"(values[2 * j]));
#endif
        }
    }
    static __device__ __forceinline__ u32 larger_pair(u32 a, u32 b) {
#ifdef AENT_EMULATION
        return emulated_larger_pair<Element>(a, b);
#else
        u32 pair;
        asm("max.NaN.f16x2 %0, %1, %2;" : "=r"(pair) : "r"(a), "r"(b));
        return pair;
#endif
    }
    static __device__ __forceinline__ float highest(const u32 *words) { return highest_of_pairs<Element>(words); }
};

// Integer keys in the order of the values of a kind, with as many bits as the kind needs.
template <class E> struct Keys {
    typedef typename E::Real Real;
    typedef Numbers<Real> N;
    typedef typename N::Bits Bits;
    static constexpr int WIDTH = 8 * (int)sizeof(Bits);
    static constexpr int DROPPED = WIDTH - E::KEY_BITS;
    static constexpr Bits SIGN = (Bits)1 << (WIDTH - 1);

    // The key, followed by the low bits that the kind does not use.
    static __device__ __forceinline__ Bits wide(Real x) {
        // Adding zero turns negative zero into zero, since the two are equal.
        Bits bits = N::bits(x + (Real)0);
        return bits ^ (N::sign(bits) | SIGN);
    }
    static __device__ __forceinline__ Bits of(Real x) { return wide(x) >> DROPPED; }
    static __device__ __forceinline__ Real value(Bits key) {
        Bits bits = key << DROPPED;
        if (bits & SIGN) return N::of_bits(bits ^ SIGN);
        return N::of_bits(~(bits | (((Bits)1 << DROPPED) - 1)));
    }
    // The key of negative zero. No element has it, and it must not bound a range, since comparisons of values do not
    // distinguish the zeros.
    static __device__ __forceinline__ Bits negative_zero() { return ((Bits)SIGN >> DROPPED) - 1; }
};
