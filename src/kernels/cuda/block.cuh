// Reductions over the threads of a block. The order of additions is fixed, so results are the same on each run.

constexpr u32 WARP = 32;
constexpr u32 ALL_LANES = 0xffffffffu;
constexpr int MOST_VALUES = 12;

// A block's buffers in shared memory. `Shared<T>` is `T`, except that the emulation watches it.
struct Meeting {
    Shared<double> of_warps[MOST_VALUES * WARP];
    Shared<double> of_block[MOST_VALUES];
    Shared<u64> counted[WARP];
};

// Numbers in shared memory that threads add to in any order; sums of integers do not depend on it.
#ifdef AENT_EMULATION
struct Counters {
    Shared<u32> *first;

    Counters(Shared<u32> *first) : first(first) {}
    void add(u32 index, u32 more) const { atomicAdd(first + index, more); }
};
#else
// Computes the address in shared memory once, since there is one addition for each element.
struct Counters {
    u32 address;

    __device__ __forceinline__ Counters(u32 *first) : address((u32)__cvta_generic_to_shared(first)) {}
    __device__ __forceinline__ void add(u32 index, u32 more) const {
        asm volatile("red.shared.add.u32 [%0], %1;" ::"r"(address + 4 * index), "r"(more) : "memory");
    }
};
#endif

struct Add {
    template <class T> static __device__ __forceinline__ T join(T a, T b) { return a + b; }
    static constexpr double NEUTRAL = 0.0;
};

struct Larger {
    template <class T> static __device__ __forceinline__ T join(T a, T b) { return larger(a, b); }
    static constexpr double NEUTRAL = -__builtin_bit_cast(double, 0x7ff0000000000000ull);
};

// Joins N values of all threads: inside a warp in their own kind, between warps in f64. Every thread gets the results.
template <class Join, int N, class Real>
__device__ __forceinline__ void join(Meeting &meeting, const Real (&values)[N], double (&joined)[N]) {
    static_assert(N <= MOST_VALUES, "`Meeting` has room for these");
    const u32 lane = threadIdx.x % WARP, warp = threadIdx.x / WARP, warps = blockDim.x / WARP;
#pragma unroll
    for (int n = 0; n < N; n++) {
        Real value = values[n];
#pragma unroll
        for (int far = WARP / 2; far > 0; far /= 2) value = Join::join(value, __shfl_xor_sync(ALL_LANES, value, far));
        if (lane == 0) meeting.of_warps[n * WARP + warp] = (double)value;
    }
    __syncthreads();
    for (u32 n = warp; n < N; n += warps) {
        double value = lane < warps ? (double)meeting.of_warps[n * WARP + lane] : Join::NEUTRAL;
#pragma unroll
        for (int far = WARP / 2; far > 0; far /= 2) value = Join::join(value, __shfl_xor_sync(ALL_LANES, value, far));
        if (lane == 0) meeting.of_block[n] = value;
    }
    __syncthreads();
#pragma unroll
    for (int n = 0; n < N; n++) joined[n] = meeting.of_block[n];
}

// The sum over the threads before this one; `total` is the sum over all.
__device__ __forceinline__ u64 sum_before(Meeting &meeting, u64 value, u64 &total) {
    const u32 lane = threadIdx.x % WARP, warp = threadIdx.x / WARP, warps = blockDim.x / WARP;
    u64 upto = value;
#pragma unroll
    for (int far = 1; far < (int)WARP; far *= 2) {
        u64 other = __shfl_up_sync(ALL_LANES, upto, far);
        if ((int)lane >= far) upto += other;
    }
    if (lane == WARP - 1) meeting.counted[warp] = upto;
    __syncthreads();
    u64 before = upto - value;
    total = 0;
    for (u32 other = 0; other < warps; other++) {
        u64 counted = meeting.counted[other];
        if (other < warp) before += counted;
        total += counted;
    }
    // The next call overwrites what was read here.
    __syncthreads();
    return before;
}
