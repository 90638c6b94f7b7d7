// Pooling of one table's bags, built once for each instruction set.
//
// Each column is a sum of its own, taken in the bag's order with a multiply and an add (never fused), so the width of
// the vectors cannot change a bit of it.
#include <cstdint>

#include "core/simd.h"
#include "embedding_bag/kernels.h"

namespace hr {
namespace {

constexpr int64_t kAhead = 12;  // rows from the one being added to the one being fetched

inline Vec load_row(const float* p) { return Vec::load(p); }

#if HEADRACE_SIMD_AVX512
inline Vec load_row(const uint16_t* p) {
    const __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
    return {_mm512_castsi512_ps(_mm512_slli_epi32(wide, 16))};
}
inline Vec load_row(const int8_t* p) {
    return {_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))))};
}
#elif HEADRACE_SIMD_AVX2
inline Vec load_row(const uint16_t* p) {
    const __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
    return {_mm256_castsi256_ps(_mm256_slli_epi32(wide, 16))};
}
inline Vec load_row(const int8_t* p) {
    return {_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))))};
}
#else
inline Vec load_row(const uint16_t* p) {
    union {
        uint32_t bits;
        float value;
    } wide{static_cast<uint32_t>(*p) << 16};
    return {wide.value};
}
inline Vec load_row(const int8_t* p) { return {static_cast<float>(*p)}; }
#endif

template <class T>
struct Bag {
    const T* values;
    const float* scales;
    const int64_t* indices;
    const float* weights;
    int64_t stride;
    int64_t first, last;  // positions of its indices
    int64_t fetched_to;   // positions below this belong to the range, so their rows may be fetched
};

// Rows of integers come with a scale each.
template <class T>
constexpr bool kScaled = sizeof(T) == 1;

template <class T>
inline void fetch(const Bag<T>& bag, int64_t at) {
    const int64_t next = at + kAhead;
    if (next >= bag.fetched_to) return;
    const auto* row = reinterpret_cast<const char*>(bag.values + bag.indices[next] * bag.stride);
    for (int64_t byte = 0; byte < bag.stride * static_cast<int64_t>(sizeof(T)); byte += 64)
        __builtin_prefetch(row + byte);
    if (kScaled<T>) __builtin_prefetch(bag.scales + bag.indices[next]);
}

// Columns column..column + Columns - 1 of one bag, of which the first `count` are stored.
template <int Columns, bool Weighted, class T>
inline void pool_columns(const Bag<T>& bag, int64_t column, bool fetching, bool mean, float* out, int64_t count) {
    constexpr int kVecs = Columns / Vec::kLanes;
    Vec sum[kVecs];
    for (Vec& s : sum) s = Vec::zero();
    for (int64_t i = bag.first; i < bag.last; ++i) {
        if (fetching) fetch(bag, i);
        const int64_t index = bag.indices[i];
        const T* row = bag.values + index * bag.stride + column;
        if constexpr (Weighted || kScaled<T>) {
            float factor = kScaled<T> ? bag.scales[index] : 1.0f;
            if constexpr (Weighted) factor = kScaled<T> ? factor * bag.weights[i] : bag.weights[i];
            const Vec times = Vec::all(factor);
            for (int v = 0; v < kVecs; ++v) sum[v] = sum[v] + times * load_row(row + v * Vec::kLanes);
        } else {
            for (int v = 0; v < kVecs; ++v) sum[v] = sum[v] + load_row(row + v * Vec::kLanes);
        }
    }
    alignas(64) float columns[Columns];
    for (int v = 0; v < kVecs; ++v) sum[v].store(columns + v * Vec::kLanes);
    if (mean && bag.last > bag.first) {
        const auto size = static_cast<float>(bag.last - bag.first);
        for (float& c : columns) c /= size;
    }
    for (int64_t c = 0; c < count; ++c) out[c] = columns[c];
}

inline int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

template <bool Weighted, class T>
void pool_range(const BagRange& range) {
    const int64_t stride = (range.dim + HR_EMBEDDING_PAD - 1) / HR_EMBEDDING_PAD * HR_EMBEDDING_PAD;
    Bag<T> bag{static_cast<const T*>(range.values),
               range.scales,
               range.indices,
               range.weights,
               stride,
               0,
               0,
               range.offsets[range.bags]};
    for (int64_t b = 0; b < range.bags; ++b) {
        bag.first = range.offsets[b];
        bag.last = range.offsets[b + 1];
        float* out = range.out + b * range.width;
        int64_t column = 0;
        for (; column + 64 <= stride; column += 64)
            pool_columns<64, Weighted>(bag, column, column == 0, range.mean, out + column,
                                       smaller(64, range.dim - column));
        for (; column < stride; column += 16)
            pool_columns<16, Weighted>(bag, column, column == 0, range.mean, out + column,
                                       smaller(16, range.dim - column));
    }
}

template <class T>
void pool(const BagRange& range) {
    if (range.weights)
        pool_range<true, T>(range);
    else
        pool_range<false, T>(range);
}

constexpr EmbeddingBagKernels kKernels{{pool<float>, pool<uint16_t>, pool<int8_t>}};

}  // namespace
}  // namespace hr
