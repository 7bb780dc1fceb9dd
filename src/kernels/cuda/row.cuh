// The arguments of kernels, and reading and writing rows: 8 elements at a time, at any alignment.

// Which tokens a pass selects.
enum Set { ALL, TOP_K, TOP_P, MIN_P };

// One temperature, and what to compute at it. All fields have 8 bytes, so that all compilers use the same layout.
struct Pass {
    double temperature;
    // Whether each row's divisor is multiplied to it.
    i64 divided;
    i64 set;
    // The number of tokens in `TOP_K`.
    i64 count;
    // The mass of `TOP_P`, or the ratio of `MIN_P`.
    double number;
    // The reference to compare with, counted from one; zero for none.
    i64 reference;
    // The reference's share in the Jensen-Shannon mixture; negative if the divergence is not requested.
    double share;
};

// The address of the rows of a `[B, T, V]` tensor: strides count elements, and the last one is 1.
struct Place {
    u64 address;
    i64 batch_stride, time_stride;
};

struct Task {
    Place logits, gradient;
#if REFERENCES > 0
    Place references[REFERENCES];
#endif
    // `listed` has `width` token ids for each row: one list after the other, each in ascending order, -1 for none.
    // `divisors` has what the batch divides each row by; only `aent_read` reads it.
    u64 actions, mask, listed, cotangents, sums, facts, divisors;
    i64 rows, time, vocabulary, width;
#if LISTS > 0
    i64 lists[LISTS];
#endif
    Pass passes[PASSES];
};

// The columns of each row and, after them, of each pass; among the sums the logits of listed tokens come last.
constexpr int SUMS_OF_PASS = 10, FACTS_OF_PASS = 6;
constexpr int FIRST_LISTED = 1 + SUMS_OF_PASS * PASSES, FIRST_FACT = 2, FACTS_OF_ROW = FIRST_FACT + FACTS_OF_PASS * PASSES;
constexpr bool COMPARES = REFERENCES > 0;

__device__ __forceinline__ i64 sums_of_row(const Task &task) { return FIRST_LISTED + (LISTS > 0 ? task.width : 0); }

__device__ __forceinline__ bool counts(const Task &task, i64 row) {
    return ((const unsigned char *)task.mask)[row] != 0;
}

// The temperature of a pass at a row with that divisor.
__device__ __forceinline__ double temperature_at(const Pass &pass, double divisor) {
    return DIVIDES && pass.divided ? pass.temperature * divisor : pass.temperature;
}

// 8 elements as stored in memory.
template <class E> struct Chunk {
    u32 words[2 * E::SIZE];
};

// One element.
template <class E> __device__ __forceinline__ typename E::Real load_one(const char *from) {
    u32 words[2 * E::SIZE] = {};
    if (E::SIZE == 2) {
        words[0] = *(const unsigned short *)from;
    } else {
        words[0] = ((const u32 *)from)[0];
        if (E::SIZE == 8) words[1] = ((const u32 *)from)[1];
    }
    typename E::Real values[8];
    E::unpack(words, values);
    return values[0];
}

// Loads a chunk that crosses an end of its row. Not inlined: it is rare and long, and called from many places.
template <class E> __device__ __noinline__ Chunk<E> load_edge(const char *start, int length, int id) {
    typedef typename E::Real Real;
    Real values[8];
#pragma unroll
    for (int j = 0; j < 8; j++) {
        bool inside = id + j >= 0 && id + j < length;
        values[j] = inside ? load_one<E>(start + (i64)(id + j) * E::SIZE) : -Numbers<Real>::INFINITE;
    }
    Chunk<E> loaded;
    E::pack(values, loaded.words);
    return loaded;
}

template <class E> __device__ __noinline__ void store_edge(char *start, int length, int id, Chunk<E> chunk) {
    char *to = start + (i64)id * E::SIZE;
#pragma unroll
    for (int j = 0; j < 8; j++) {
        if (id + j < 0 || id + j >= length) continue;
        if (E::SIZE == 2) {
            ((unsigned short *)to)[j] = (unsigned short)(chunk.words[j / 2] >> 16 * (j & 1));
        } else if (E::SIZE == 4) {
            ((u32 *)to)[j] = chunk.words[j];
        } else {
            ((u32 *)to)[2 * j] = chunk.words[2 * j];
            ((u32 *)to)[2 * j + 1] = chunk.words[2 * j + 1];
        }
    }
}

// Loads a chunk that begins `past` bytes behind a multiple of 16, 16 bytes at a time. Not inlined: its words would take the
// registers of rows that need none of this.
template <class E> __device__ __noinline__ Chunk<E> load_across(const char *from, int past) {
    constexpr int WORDS = 2 * E::SIZE;
    u32 words[WORDS + 4];
    const uint4 *quads = (const uint4 *)(from - past);
#pragma unroll
    for (int i = 0; i <= WORDS / 4; i++) {
        uint4 quad = quads[i];
        words[4 * i] = quad.x;
        words[4 * i + 1] = quad.y;
        words[4 * i + 2] = quad.z;
        words[4 * i + 3] = quad.w;
    }
    // Moves them down by `past` bytes: by 8, by 4, by 2.
#pragma unroll
    for (int i = 0; i < WORDS + 2; i++) words[i] = past & 8 ? words[i + 2] : words[i];
#pragma unroll
    for (int i = 0; i < WORDS + 1; i++) words[i] = past & 4 ? words[i + 1] : words[i];
    Chunk<E> loaded;
#pragma unroll
    for (int i = 0; i < WORDS; i++)
        loaded.words[i] = E::SIZE == 2 && (past & 2) ? words[i] >> 16 | words[i + 1] << 16 : words[i];
    return loaded;
}

// Stores a chunk inside its row that is not aligned to 16 bytes, 4 bytes at a time.
template <class E> __device__ __noinline__ void store_across(char *to, Chunk<E> chunk) {
    constexpr int WORDS = 2 * E::SIZE;
    if (E::SIZE == 2 && ((u64)to & 2)) {
        *(unsigned short *)to = (unsigned short)chunk.words[0];
#pragma unroll
        for (int i = 0; i < WORDS - 1; i++) ((u32 *)(to + 2))[i] = chunk.words[i] >> 16 | chunk.words[i + 1] << 16;
        *(unsigned short *)(to + 4 * WORDS - 2) = (unsigned short)(chunk.words[WORDS - 1] >> 16);
    } else {
#pragma unroll
        for (int i = 0; i < WORDS; i++) ((u32 *)to)[i] = chunk.words[i];
    }
}

// One row, cut into chunks that are aligned to 16 bytes, unless they are those of another row. The first and the last one may
// cross its ends.
template <class E> struct Row {
    typedef typename E::Real Real;
    char *start;
    int length;
    // How many elements of the first chunk are before the row.
    int lead;

    Row() = default;

    // `lead` is that of the row that defines the chunks; negative if it is this row.
    __device__ __forceinline__ Row(const Place &place, const Task &task, i64 row, int lead = -1) {
        i64 offset = row / task.time * place.batch_stride + row % task.time * place.time_stride;
        start = (char *)place.address + offset * E::SIZE;
        length = (int)task.vocabulary;
        this->lead = lead < 0 ? (int)((u64)start & 15) / E::SIZE : lead;
    }

    __device__ __forceinline__ int chunks() const { return (int)(((i64)lead + length + 7) / 8); }
    // The id of the first element of a chunk; negative if it is before the row.
    __device__ __forceinline__ int first(int chunk) const { return 8 * chunk - lead; }

    // How many bytes chunks begin behind a multiple of 16; zero where this row defines them.
    __device__ __forceinline__ int past() const { return ((int)(u64)start - lead * E::SIZE) & 15; }

    __device__ __forceinline__ bool is_whole(int first) const { return first >= 0 && first <= length - 8; }

    // A chunk of a row that defines them. Elements outside the row are `-inf`: they have no mass, and are never the maximum.
    __device__ __forceinline__ Chunk<E> load(int chunk) const {
        Chunk<E> loaded;
        int id = first(chunk);
        if (is_whole(id)) {
            const uint4 *from = (const uint4 *)(start + (i64)id * E::SIZE);
#pragma unroll
            for (int i = 0; i < E::SIZE / 2; i++) {
                uint4 quad = from[i];
                loaded.words[4 * i] = quad.x;
                loaded.words[4 * i + 1] = quad.y;
                loaded.words[4 * i + 2] = quad.z;
                loaded.words[4 * i + 3] = quad.w;
            }
        } else {
            loaded = load_edge<E>(start, length, id);
        }
        return loaded;
    }

    // The same of any row.
    __device__ __forceinline__ Chunk<E> load_any(int chunk) const {
        const int id = first(chunk), past = this->past();
        if (past == 0) return load(chunk);
        // All that is read lies inside the row.
        if (id >= past / E::SIZE && id <= length - 8 - (16 - past) / E::SIZE)
            return load_across<E>(start + (i64)id * E::SIZE, past);
        return load_edge<E>(start, length, id);
    }

    // One element by its id.
    __device__ __forceinline__ Real at(int id) const { return load_one<E>(start + (i64)id * E::SIZE); }

    // Rounds the values to the kind and writes those inside the row. They are not read again, so they should not fill
    // the cache.
    __device__ __forceinline__ void store(int chunk, const Real *values) const {
        Chunk<E> rounded;
        E::pack(values, rounded.words);
        int id = first(chunk);
        if (past() == 0 && is_whole(id)) {
            uint4 *to = (uint4 *)(start + (i64)id * E::SIZE);
            const u32 *words = rounded.words;
#pragma unroll
            for (int i = 0; i < E::SIZE / 2; i++)
                __stcs(to + i, make_uint4(words[4 * i], words[4 * i + 1], words[4 * i + 2], words[4 * i + 3]));
        } else if (is_whole(id)) {
            store_across<E>(start + (i64)id * E::SIZE, rounded);
        } else {
            store_edge<E>(start, length, id, rounded);
        }
    }
};

// The row of a reference, counted from one, in the chunks of `row`; `row` itself for zero.
template <class E> __device__ __forceinline__ Row<E> reference(const Task &task, i64 number, i64 index, const Row<E> &row) {
#if REFERENCES > 0
    if (number > 0) return Row<E>(task.references[REFERENCES > 1 ? number - 1 : 0], task, index, row.lead);
#endif
    return row;
}
