#include "embedding_bag/embedding_bag.h"

#include <algorithm>
#include <stdexcept>
#include <string>

#include "core/checks.h"
#include "core/dispatch.h"
#include "core/pool.h"
#include "core/status.h"
#include "embedding_bag/kernels.h"

namespace {

using hr::expect;

constexpr int64_t kLookupsPerTask = 2048;
constexpr int64_t kMaxBags = int64_t{1} << 48;

const hr::EmbeddingBagKernels& kernels_in_use() {
    return hr::pick<hr::EmbeddingBagKernels>({&hr::embedding_bag_kernels_scalar, HR_X86(hr::embedding_bag_kernels_avx2),
                                              HR_X86(hr::embedding_bag_kernels_avx512)});
}

// True when entries [start, start + count) lie inside a buffer of `size`; no sum can overflow.
bool inside(int64_t start, int64_t count, int64_t size) {
    return start >= 0 && count >= 0 && count <= size && start <= size - count;
}

int64_t padded(int64_t dim) { return (dim + HR_EMBEDDING_PAD - 1) / HR_EMBEDDING_PAD * HR_EMBEDDING_PAD; }

void check_table(const hr_embedding_tables& tables, const hr_embedding_table& table, int64_t width) {
    expect(table.dim >= 1 && table.dim <= width && inside(table.column, table.dim, width), "table: bad columns");
    const int64_t stride = padded(table.dim);
    expect(table.rows >= 0 && table.rows <= tables.value_count / stride &&
               inside(table.start, table.rows * stride, tables.value_count),
           "table: rows outside the values");
    if (tables.dtype == HR_EMBEDDING_INT8)
        expect(inside(table.first_row, table.rows, tables.scale_count), "table: rows outside the scales");
}

// Bags first..first + count - 1 of a table, before anything is read through them.
void check_bags(const hr_embedding_table& table, int64_t number, const int64_t* indices, int64_t nnz,
                const int64_t* offsets, int64_t count) {
    bool rises = offsets[0] >= 0 && offsets[count] <= nnz;
    for (int64_t b = 0; b < count; ++b) rises &= offsets[b] <= offsets[b + 1];
    expect(rises, "offsets: expected to rise from 0 to " + std::to_string(nnz));
    const auto rows = static_cast<uint64_t>(table.rows);
    const int64_t *first = indices + offsets[0], *last = indices + offsets[count];
    bool bad = false;
    for (const int64_t* i = first; i < last; ++i) bad |= static_cast<uint64_t>(*i) >= rows;
    if (!bad) return;
    const int64_t* i = std::find_if(first, last, [&](int64_t index) { return static_cast<uint64_t>(index) >= rows; });
    if (i == last) throw std::invalid_argument("indices: changed during the call");
    throw std::invalid_argument("indices: expected 0 to " + std::to_string(table.rows - 1) + " in table " +
                                std::to_string(number) + ", got " + std::to_string(*i) + " at position " +
                                std::to_string(i - indices));
}

const void* element(const hr_embedding_tables& tables, int64_t start) {
    static constexpr int64_t kSize[] = {4, 2, 1};
    return static_cast<const char*>(tables.values) + start * kSize[tables.dtype];
}

void check_call(const hr_embedding_tables* tables, const int64_t* indices, int64_t nnz, const int64_t* offsets,
                int64_t batch, const float* weights, int pooling, int64_t width, const float* out) {
    hr::check_pointer("tables", tables);
    expect(tables->dtype >= HR_EMBEDDING_FLOAT32 && tables->dtype <= HR_EMBEDDING_INT8, "dtype: expected 0, 1 or 2");
    expect(pooling == HR_POOLING_SUM || pooling == HR_POOLING_MEAN, "pooling: expected 0 (sum) or 1 (mean)");
    expect(!weights || pooling == HR_POOLING_SUM, "weights: expected none with the mean");
    expect(tables->tables >= 0 && batch >= 0 && nnz >= 0 && width >= 0, "sizes: expected none below 0");
    expect(batch == 0 || (tables->tables <= kMaxBags / batch && width <= kMaxBags / batch),
           "batch: the batch is too large");
    const int64_t bags = tables->tables * batch;
    hr::check_pointer("offsets", offsets);
    hr::check_pointer("indices", indices, nnz > 0);
    hr::check_pointer("table", tables->table, tables->tables > 0);
    hr::check_pointer("values", tables->values, tables->value_count > 0);
    hr::check_pointer("scales", tables->scales, tables->dtype == HR_EMBEDDING_INT8 && tables->scale_count > 0);
    hr::check_pointer("out", out, bags > 0);
    expect(offsets[0] == 0 && offsets[bags] == nnz, "offsets: expected to rise from 0 to " + std::to_string(nnz));
    for (int64_t t = 0; t < tables->tables; ++t) check_table(*tables, tables->table[t], width);
}

}  // namespace

hr_status hr_embedding_bag(const hr_embedding_tables* tables, const int64_t* indices, int64_t nnz,
                           const int64_t* offsets, int64_t batch, const float* weights, int pooling, int threads,
                           int64_t width, float* out) {
    return hr::guarded([&] {
        check_call(tables, indices, nnz, offsets, batch, weights, pooling, width, out);
        const int64_t bags = tables->tables * batch;
        if (bags == 0) return;
        const auto pool = kernels_in_use().pool[tables->dtype];
        const int64_t per_task = std::clamp<int64_t>(kLookupsPerTask * bags / std::max<int64_t>(nnz, 1), 1, batch);
        const int64_t tasks_per_table = (batch + per_task - 1) / per_task;
        const int most = static_cast<int>(std::min<int64_t>(hr::resolve_threads(threads), 1 + nnz / kLookupsPerTask));
        hr::parallel_for(tables->tables * tasks_per_table, most, [&](int64_t task, int) {
            const int64_t t = task / tasks_per_table, first = task % tasks_per_table * per_task;
            const int64_t count = std::min(per_task, batch - first);
            const hr_embedding_table& table = tables->table[t];
            const int64_t* bag_offsets = offsets + t * batch + first;
            check_bags(table, t, indices, nnz, bag_offsets, count);
            const float* scales = tables->dtype == HR_EMBEDDING_INT8 ? tables->scales + table.first_row : nullptr;
            pool({element(*tables, table.start), scales, table.dim, indices, bag_offsets, count, weights,
                  pooling == HR_POOLING_MEAN, width, out + first * width + table.column});
        });
    });
}
