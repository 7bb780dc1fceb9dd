// Emulates what a plain C++ compiler lacks, so that tests can run the kernels' own text on any machine.
// Threads of a block are fibers that take turns. They meet at barriers and warp operations; it is an error if they do
// not all reach the same one, or if they touch shared memory without a barrier in between.

#include <csetjmp>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <cstdlib>
#include <memory>
#include <string>
#include <type_traits>
#include <vector>
#include <ucontext.h>

#define AENT_EMULATION 1
#define __device__
#define __global__
#define __grid_constant__
#define __forceinline__ inline
#define __noinline__
#define __launch_bounds__(...)
#define __shared__ static
#define __restrict__

struct uint3 {
    unsigned x, y, z;
};
struct uint4 {
    unsigned x, y, z, w;
};
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }

namespace emulation {

// The threads that a fiber waits for.
enum class Wait { none, warp, block, done };

struct Fiber {
    ucontext_t start;
    jmp_buf resume;
    bool started = false;
    Wait wait = Wait::none;
    int line = 0;
    // How many barriers of its block and of its warp it has passed.
    unsigned block_epoch = 0, warp_epoch = 0;
    std::unique_ptr<char[]> stack;
};

constexpr size_t STACK = 128 << 10;

struct Machine {
    std::vector<Fiber> fibers;
    jmp_buf scheduler;
    int current = 0;
    void (*kernel)(const void *) = nullptr;
    const void *task = nullptr;
    std::string error;
    // Values that lanes exchange; two buffers, since a lane may be one exchange ahead.
    std::vector<uint64_t> handed[2];
    // Never repeats: blocks must not see each other's shared memory, although they use the same memory here.
    unsigned epoch = 0;
};

static Machine machine;
static uint3 thread_index, block_index, block_size, grid_size;

inline Fiber &self() { return machine.fibers[machine.current]; }

[[noreturn]] inline void fail(const std::string &message) {
    if (machine.error.empty()) machine.error = message;
    _longjmp(machine.scheduler, 2);
}

inline void wait(Wait what, int line) {
    Fiber &fiber = self();
    fiber.wait = what;
    fiber.line = line;
    if (_setjmp(fiber.resume) == 0) _longjmp(machine.scheduler, 1);
}

inline void begin() {
    machine.kernel(machine.task);
    self().wait = Wait::done;
    _longjmp(machine.scheduler, 1);
}

// A value in shared memory that records which threads accessed it since the last barrier.
template <class T> class Watched {
    T value;
    int writer = -1, reader = -1;
    unsigned write_block = 0, write_warp = 0, read_block = 0, read_warp = 0;
    bool read_by_many = false, atomic = false;

    // Whether an access by another thread is not ordered before the current one.
    static bool unordered(int other, unsigned block, unsigned warp) {
        const Fiber &fiber = self();
        if (other < 0 || other == machine.current || block != fiber.block_epoch) return false;
        return other / 32 != machine.current / 32 || warp == fiber.warp_epoch;
    }
    void note_read() {
        Fiber &fiber = self();
        if (unordered(writer, write_block, write_warp)) fail("a shared value is read with no barrier after its write");
        if (reader >= 0 && reader != machine.current && read_block == fiber.block_epoch) read_by_many = true;
        else if (read_block != fiber.block_epoch) read_by_many = false;
        reader = machine.current;
        read_block = fiber.block_epoch;
        read_warp = fiber.warp_epoch;
    }
    void note_write(bool is_atomic) {
        Fiber &fiber = self();
        bool both_atomic = is_atomic && atomic;
        if (!both_atomic && unordered(writer, write_block, write_warp))
            fail("a shared value is written twice with no barrier between");
        bool read_elsewhere = read_by_many && read_block == fiber.block_epoch;
        if (read_elsewhere || unordered(reader, read_block, read_warp))
            fail("a shared value is written with no barrier after it was read");
        writer = machine.current;
        write_block = fiber.block_epoch;
        write_warp = fiber.warp_epoch;
        atomic = is_atomic;
    }

  public:
    operator T() const {
        const_cast<Watched *>(this)->note_read();
        return value;
    }
    Watched &operator=(T to) {
        note_write(false);
        value = to;
        return *this;
    }
    Watched &operator=(const Watched &from) { return *this = (T)from; }
    void add(T more) {
        note_write(true);
        value += more;
    }
};

// Runs one block. Fibers take turns forwards or backwards, so that a result that depends on their order shows.
inline bool run_block(bool backwards) {
    const int threads = (int)block_size.x;
    machine.epoch++;
    for (Fiber &fiber : machine.fibers) {
        fiber.started = false;
        fiber.wait = Wait::none;
        fiber.block_epoch = machine.epoch;
    }
    for (;;) {
        for (volatile int step = 0; step < threads; step = step + 1) {
            const int index = backwards ? threads - 1 - step : step;
            Fiber &fiber = machine.fibers[index];
            if (fiber.wait != Wait::none) continue;
            machine.current = index;
            thread_index = {(unsigned)index, 0, 0};
            const int back = _setjmp(machine.scheduler);
            if (back == 2) return false;
            if (back == 0) {
                if (fiber.started) _longjmp(fiber.resume, 1);
                fiber.started = true;
                getcontext(&fiber.start);
                fiber.start.uc_stack.ss_sp = fiber.stack.get();
                fiber.start.uc_stack.ss_size = STACK;
                fiber.start.uc_link = nullptr;
                makecontext(&fiber.start, begin, 0);
                setcontext(&fiber.start);
            }
        }
        int at_block = 0, done = 0;
        bool one_line = true, released = false;
        for (const Fiber &fiber : machine.fibers) {
            at_block += fiber.wait == Wait::block;
            done += fiber.wait == Wait::done;
            one_line = one_line && fiber.line == machine.fibers[0].line;
        }
        if (done == threads) return true;
        if (at_block == threads) {
            if (!one_line) {
                machine.error = "threads of a block wait at different barriers";
                return false;
            }
            machine.epoch++;
            for (Fiber &fiber : machine.fibers) {
                fiber.wait = Wait::none;
                fiber.block_epoch = machine.epoch;
                fiber.warp_epoch++;
            }
            continue;
        }
        for (int warp = 0; warp < threads; warp += 32) {
            int waiting = 0;
            for (int lane = 0; lane < 32; lane++) {
                const Fiber &fiber = machine.fibers[warp + lane];
                waiting += fiber.wait == Wait::warp && fiber.line == machine.fibers[warp].line;
            }
            if (waiting != 32) continue;
            released = true;
            for (int lane = 0; lane < 32; lane++) {
                Fiber &fiber = machine.fibers[warp + lane];
                fiber.wait = Wait::none, fiber.warp_epoch++;
            }
        }
        if (!released) {
            machine.error = done ? "some threads end while others wait" : "not all threads come to the same barrier";
            return false;
        }
    }
}

template <class T> T exchange(T value, int from, int line) {
    static_assert(sizeof(T) <= 8, "lanes hand over 8 bytes");
    const int base = machine.current / 32 * 32, lane = machine.current % 32;
    std::vector<uint64_t> &handed = machine.handed[self().warp_epoch % 2];
    std::memcpy(&handed[machine.current], &value, sizeof(T));
    wait(Wait::warp, line);
    T got;
    std::memcpy(&got, &handed[base + (from >= 0 && from < 32 ? from : lane)], sizeof(T));
    return got;
}

inline unsigned sum_of_warp(unsigned value, int line) {
    for (int far = 16; far > 0; far /= 2) value += exchange(value, (machine.current % 32) ^ far, line);
    return value;
}

} // namespace emulation

template <class T> using Shared = emulation::Watched<T>;
template <class T> inline void atomicAdd(emulation::Watched<T> *to, std::common_type_t<T> more) { to->add(more); }

#define threadIdx emulation::thread_index
#define blockIdx emulation::block_index
#define blockDim emulation::block_size
#define gridDim emulation::grid_size
#define __syncthreads() emulation::wait(emulation::Wait::block, __LINE__)
#define __shfl_xor_sync(mask, value, far) emulation::exchange(value, (emulation::machine.current % 32) ^ (far), __LINE__)
#define __shfl_up_sync(mask, value, far) emulation::exchange(value, (emulation::machine.current % 32) - (far), __LINE__)
#define __reduce_add_sync(mask, value) emulation::sum_of_warp(value, __LINE__)
#define __stcs(to, value) (*(to) = (value))

inline unsigned __float_as_uint(float x) {
    unsigned bits;
    std::memcpy(&bits, &x, 4);
    return bits;
}
inline float __uint_as_float(unsigned bits) {
    float x;
    std::memcpy(&x, &bits, 4);
    return x;
}
inline long long __double_as_longlong(double x) {
    long long bits;
    std::memcpy(&bits, &x, 8);
    return bits;
}
inline double __longlong_as_double(long long bits) {
    double x;
    std::memcpy(&x, &bits, 8);
    return x;
}
inline int __clz(int x) { return x == 0 ? 32 : __builtin_clz((unsigned)x); }
inline int __clzll(long long x) { return x == 0 ? 64 : __builtin_clzll((unsigned long long)x); }
inline int min(int a, int b) { return a < b ? a : b; }
inline int max(int a, int b) { return a > b ? a : b; }

// Like the device: the result is a normal number or zero, within 2 units in the last place.
inline float emulated_exp2(float t) {
    if (t != t) return t;
    return t < -126.0f ? 0.0f : exp2f(t);
}
inline unsigned emulated_bf16(float x) {
    unsigned bits = __float_as_uint(x);
    if (x != x) return 0x7fff;
    return (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
}
inline float emulated_f16_wide(unsigned half) {
    const unsigned sign = (half & 0x8000) << 16, exponent = half >> 10 & 31, mantissa = half & 1023;
    if (exponent == 31) return __uint_as_float(sign | 0x7f800000 | mantissa << 13);
    const float size = exponent == 0 ? ldexpf((float)mantissa, -24) : ldexpf((float)(mantissa | 1024), (int)exponent - 25);
    return sign ? -size : size;
}
inline unsigned emulated_f16(float x) {
    const unsigned sign = __float_as_uint(x) >> 16 & 0x8000;
    if (x != x) return 0x7fff;
    const float size = fabsf(x);
    if (size >= 65520.0f) return sign | 0x7c00;
    int exponent = 0;
    frexpf(size, &exponent);
    if (size < 0.00006103515625f) return sign | (unsigned)nearbyintf(ldexpf(size, 24));
    // Rounding up to the next power of two carries into the exponent.
    return sign | ((unsigned)(exponent + 13) << 10) + (unsigned)nearbyintf(ldexpf(size, 11 - exponent));
}

template <class E> unsigned emulated_larger_pair(unsigned a, unsigned b) {
    const unsigned words[4] = {a, b, a, b};
    float values[8];
    E::unpack(words, values);
    for (int half = 0; half < 2; half++) {
        const float x = values[half], y = values[2 + half];
        values[half] = x != x ? x : y != y ? y : x > y ? x : y;
    }
    unsigned packed[4];
    E::pack(values, packed);
    return packed[0];
}

// Runs a grid of one kernel. Returns an error message, or null.
extern "C" const char *aent_emulate(void (*kernel)(const void *), unsigned blocks, unsigned threads, const void *task,
                                    int backwards) {
    using namespace emulation;
    machine.fibers = std::vector<Fiber>(threads);
    for (Fiber &fiber : machine.fibers) fiber.stack = std::make_unique<char[]>(STACK);
    for (auto &handed : machine.handed) handed.assign(threads, 0);
    machine.kernel = kernel;
    machine.task = task;
    machine.error.clear();
    block_size = {threads, 1, 1};
    grid_size = {blocks, 1, 1};
    for (unsigned block = 0; block < blocks; block++) {
        block_index = {backwards ? blocks - 1 - block : block, 0, 0};
        if (!run_block(backwards)) return machine.error.c_str();
    }
    return nullptr;
}
