// The same as sparse_backward_keys.cu on Hopper: a warpgroup keeps 64 keys, 64 rows go past at a time. Rows are gathered, so that
// threads bring them instead of the copy engine; two blocks a multiprocessor fill each other's waits.
//
// Defines: GROUP (heads that share a key head), and those of hopper_products.cuh and key_work.cuh (KEYS being 64).
#include "hopper_products.cuh"
#include "key_work.cuh"
#include "sparse_terms.cuh"

constexpr int threads = 128, stages = 2, passing_rows = 64, packs = head_columns / 8; // packs of 16 bytes of a row
static_assert(KEYS == 64, "a warpgroup's rows");

struct Stage
{
    unsigned char queries[block_bytes], gradients[block_bytes];
};

struct Shared
{
    unsigned char keys[block_bytes], values[block_bytes];
    Stage stage[stages];
    RowTerms terms[stages][passing_rows];
    int rows[2][passing_rows]; // of [B, T, H] under way; -1: none
};

// Column 8 `pack` of a row of a tile.
__device__ __forceinline__ unsigned char *place(unsigned char *tile, int row, int pack)
{
    return tile + pack / 8 * panel_bytes + swizzle_128(row * row_bytes + pack % 8 * 16);
}

extern "C" __global__ void __launch_bounds__(threads, 2) hopper_backward_keys(
    const ELEMENT *q, const ELEMENT *k, const ELEMENT *v, const ELEMENT *gradient, const RowTerms *terms,
    const int *order, const int *starts, const int *pieces, const int *slots, const int4 *table,
    ELEMENT *dk, ELEMENT *dv, int fresh_dk, int fresh_dv, float *partial,
    int lists, int blocks_per_head, int blocks_per_row, int slots_per_head,
    float scale, int tokens, int positions, int key_rows, int heads, int block_size, int choices)
{
    DYNAMIC_SHARED(memory);
    Shared &shared = *reinterpret_cast<Shared *>(memory);
    int part = SELECTED ? blockIdx.y : 0, lane = threadIdx.x % 32, own_key = threadIdx.x / 32 * 16 + lane / 4;
    Work work = own_work({starts, pieces, slots, table, lists, blocks_per_head, blocks_per_row, block_size, positions}, part, slots_per_head);
    if (work.keys <= 0) return;

    long long key_stride = (long long)(heads / GROUP) * HEAD_SIZE;
    long long first_key = ((long long)work.batch * key_rows + work.first) * key_stride + work.key_head * HEAD_SIZE;
    // A thread has one column of every eighth or sixteenth row.
    int own_pack = threadIdx.x % packs;
    bool has_column = 8 * own_pack < HEAD_SIZE;
    auto each_row = [&](auto body)
    {
#pragma unroll
        for (int row = 0; row < 64; row += threads / packs) body(row + (int)threadIdx.x / packs);
    };
    each_row([&](int row)
    {
        bool valid = row < work.keys && has_column;
        long long offset = valid ? first_key + row * key_stride + 8 * own_pack : 0;
        copy_async_16(place(shared.keys, row, own_pack), k + offset, valid);
        copy_async_16(place(shared.values, row, own_pack), v + offset, valid);
    });

    // Rows are counted from work.begin: GROUP an entry.
    int rows = (work.end - work.begin) * GROUP, steps = (rows + passing_rows - 1) / passing_rows;
    auto row_of = [&](int step)
    {
        int row = step * passing_rows + (int)threadIdx.x;
        if (threadIdx.x >= passing_rows || row >= rows) return -1;
        int entry = work.begin + row / GROUP, token = SELECTED ? order[entry] / choices % tokens : entry;
        return (work.batch * tokens + token) * heads + work.key_head * GROUP + row % GROUP;
    };
    auto bring = [&](int step)
    {
        if (step < steps)
        {
            Stage &target = shared.stage[step % stages];
            const int *sources = shared.rows[step % 2];
            each_row([&](int row)
            {
                bool valid = sources[row] >= 0 && has_column;
                long long offset = valid ? (long long)sources[row] * HEAD_SIZE + 8 * own_pack : 0;
                copy_async_16(place(target.queries, row, own_pack), q + offset, valid);
                copy_async_16(place(target.gradients, row, own_pack), gradient + offset, valid);
            });
            // Zeros where there is no query: P is 1 then, dO and dS are 0.
            if (threadIdx.x < passing_rows)
            {
                int row = sources[threadIdx.x];
                copy_async_16(shared.terms[step % stages] + threadIdx.x, terms + max(row, 0), row >= 0);
            }
        }
        copy_async_commit();
    };
    if (threadIdx.x < passing_rows) shared.rows[0][threadIdx.x] = row_of(0), shared.rows[1][threadIdx.x] = row_of(1);
    __syncthreads();
    bring(0);

    int needs[2]; // the first position from which on each key is seen
#pragma unroll
    for (int r = 0; r < 2; r++) needs[r] = work.origin - 1 + (own_key + 8 * r + 1) * work.unit;
    float scale_log2 = scale * log2_e, key_gradients[head_columns / 2], value_gradients[head_columns / 2];
#pragma unroll
    for (int i = 0; i < head_columns / 2; i++) key_gradients[i] = value_gradients[i] = 0;

    for (int step = 0; step < steps; step++)
    {
        copy_async_wait<0>();
        fence_shared_async();
        __syncthreads();
        int upcoming = row_of(step + 2);
        bring(step + 1);
        Stage &stage = shared.stage[step % stages];
        const RowTerms *own = shared.terms[step % stages] + 2 * (lane % 4);
        float p[32], ds[32]; // a row is a key here, a column a query in one head
        unsigned weights[4][4], gradients[4][4];
#pragma unroll
        for (int i = 0; i < 32; i++) ds[i] = -own[i / 4 * 8 + i % 2].delta;
        product_fence();
        multiply_rows(p, shared.keys, stage.queries, false);
        product_commit();
        multiply_rows(ds, shared.values, stage.gradients, true);
        product_commit();
        product_wait<1>();
        settle(p);
#pragma unroll
        for (int i = 0; i < 32; i++)
        {
            const RowTerms &row = own[i / 4 * 8 + i % 2];
            p[i] = row.position >= needs[i / 2 % 2] ? exp2_fast(p[i] * scale_log2 - row.lse_log2) : 0;
        }
        pack(weights, p);
        product_fence();
        multiply(value_gradients, weights, stage.gradients);
        product_commit();
        product_wait<1>();
        settle(ds);
#pragma unroll
        for (int i = 0; i < 32; i++) ds[i] *= p[i];
        pack(gradients, ds);
        product_fence();
        multiply(key_gradients, gradients, stage.queries);
        product_commit();
        product_wait<0>();
        settle(key_gradients);
        settle(value_gradients);
        settle(weights);
        settle(gradients);
        if (threadIdx.x < passing_rows) shared.rows[step % 2][threadIdx.x] = upcoming;
    }
    copy_async_wait<0>();
    store_shares<head_columns>(
        work, reinterpret_cast<float(&)[head_columns / 8][4]>(key_gradients),
        reinterpret_cast<float(&)[head_columns / 8][4]>(value_gradients), scale, own_key, 0, dk, dv, fresh_dk, fresh_dv,
        partial + ((long long)work.slot * (SELECTED ? gridDim.y : 1) + part) * 2 * KEYS * HEAD_SIZE, first_key, key_stride);
}
