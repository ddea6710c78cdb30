// Attention of each query to a list of keys of its own, backward to the keys: a block keeps up to KEYS keys of a block of tokens (or
// pooled rows) and lets only the queries that chose them (or that come late enough to see them) go past, ROWS rows at a time. Long lists
// are cut, and what the pieces leave side by side is added in order.
//
// Defines: COLUMNS (the head size rounded up to 16 SPLITS), SPLITS (blocks that share the columns of dk and dv), GROUP (heads that
// share a key head), ROWS (that go past at a time), STAGES, and those of key_work.cuh.
#include "key_work.cuh"
#include "sparse_terms.cuh"
#include "sparse_tiles.cuh"

constexpr int warps = KEYS / 16, threads = 32 * warps, passing_rows = ROWS;
constexpr int stride = row_stride<COLUMNS>, width = COLUMNS / SPLITS;

struct Stage
{
    ELEMENT queries[passing_rows * stride], gradients[passing_rows * stride];
    RowTerms terms[passing_rows];
};

struct Shared
{
    ELEMENT keys[KEYS * stride], values[KEYS * stride];
    Stage stage[STAGES];
    int tokens[2][passing_rows]; // of rows under way; -1: none
};

// order: entries of the lists as positions in [B, Hkv, T, choices]; partial [slots, parts of a block, 2, KEYS, D]
extern "C" __global__ void __launch_bounds__(threads) sparse_backward_keys(
    const ELEMENT *q, const ELEMENT *k, const ELEMENT *v, const ELEMENT *gradient, const RowTerms *terms,
    const int *order, const int *starts, const int *pieces, const int *slots, const int4 *table,
    ELEMENT *dk, ELEMENT *dv, int fresh_dk, int fresh_dv, float *partial,
    int lists, int blocks_per_head, int blocks_per_row, int slots_per_head,
    float scale, int tokens, int positions, int key_rows, int heads, int block_size, int choices)
{
    DYNAMIC_SHARED(memory);
    Shared &shared = *reinterpret_cast<Shared *>(memory);
    int part = SELECTED ? blockIdx.y : 0, lane = threadIdx.x % 32, warp_row = threadIdx.x / 32 * 16, first_column = blockIdx.z * width;
    Work work = own_work({starts, pieces, slots, table, lists, blocks_per_head, blocks_per_row, block_size, positions}, part, slots_per_head);
    if (work.keys <= 0) return;

    long long key_stride = (long long)(heads / GROUP) * HEAD_SIZE;
    long long first_key = ((long long)work.batch * key_rows + work.first) * key_stride + work.key_head * HEAD_SIZE;
    constexpr int pack = Pack16<ELEMENT>::count, packs = COLUMNS / pack; // of a row
    for (int piece = threadIdx.x; piece < KEYS * packs; piece += threads)
    {
        int row = piece / packs, column = piece % packs * pack;
        bool valid = row < work.keys && column < HEAD_SIZE;
        long long offset = valid ? first_key + row * key_stride + column : 0;
        copy_async_16(shared.keys + row * stride + column, k + offset, valid);
        copy_async_16(shared.values + row * stride + column, v + offset, valid);
    }

    // Rows are counted from work.begin: GROUP an entry.
    int rows = (work.end - work.begin) * GROUP, stages = (rows + passing_rows - 1) / passing_rows;
    auto token_of = [&](int stage)
    {
        int row = stage * passing_rows + (int)threadIdx.x;
        if (threadIdx.x >= passing_rows || row >= rows) return -1;
        int entry = work.begin + row / GROUP;
        return SELECTED ? order[entry] / choices % tokens : entry;
    };
    auto bring = [&](int stage)
    {
        if (stage < stages)
        {
            Stage &target = shared.stage[stage % STAGES];
            for (int piece = threadIdx.x; piece < passing_rows * packs; piece += threads)
            {
                int row = piece / packs, column = piece % packs * pack;
                int token = shared.tokens[stage % 2][row], member = (stage * passing_rows + row) % GROUP;
                bool valid = token >= 0 && column < HEAD_SIZE;
                long long offset = valid ? (((long long)work.batch * tokens + token) * heads + work.key_head * GROUP + member) * HEAD_SIZE + column : 0;
                copy_async_16(target.queries + row * stride + column, q + offset, valid);
                copy_async_16(target.gradients + row * stride + column, gradient + offset, valid);
            }
            // Zeros where there is no query: P is 1 then, dO and dS are 0.
            if (threadIdx.x < passing_rows)
            {
                int token = shared.tokens[stage % 2][threadIdx.x], member = (stage * passing_rows + (int)threadIdx.x) % GROUP;
                bool valid = token >= 0;
                copy_async_16(target.terms + threadIdx.x, terms + (valid ? ((long long)work.batch * tokens + token) * heads + work.key_head * GROUP + member : 0), valid);
            }
        }
        copy_async_commit();
    };

    for (int stage = 0; stage < STAGES; stage++)
    {
        if (threadIdx.x < passing_rows) shared.tokens[stage % 2][threadIdx.x] = token_of(stage);
        __syncthreads();
        if (stage < STAGES - 1) bring(stage);
    }

    int needs[2]; // the first position from which on each key is seen
#pragma unroll
    for (int r = 0; r < 2; r++) needs[r] = work.origin - 1 + (warp_row + lane / 4 + 8 * r + 1) * work.unit;
    float scale_log2 = scale * log2_e, key_gradients[width / 8][4], value_gradients[width / 8][4];
#pragma unroll
    for (int i = 0; i < width / 2; i++) key_gradients[i / 4][i % 4] = value_gradients[i / 4][i % 4] = 0;

    for (int index = 0; index < stages; index++)
    {
        copy_async_wait<STAGES - 2>();
        __syncthreads();
        int upcoming = token_of(index + STAGES);
        bring(index + STAGES - 1);
        Stage &stage = shared.stage[index % STAGES];
        float p[passing_rows / 8][4], ds[passing_rows / 8][4]; // a row is a key here, a column a query in one head
        product_of_rows<COLUMNS, passing_rows>(p, shared.keys + warp_row * stride, stage.queries);
#pragma unroll
        for (int c = 0; c < passing_rows / 8; c++)
#pragma unroll
            for (int i = 0; i < 4; i++)
            {
                const RowTerms &row = stage.terms[8 * c + 2 * (lane % 4) + i % 2];
                p[c][i] = row.position >= needs[i / 2] ? power_of_two<ELEMENT>(p[c][i] * scale_log2 - row.lse_log2) : 0;
            }
        product_of_columns<COLUMNS, passing_rows, width>(value_gradients, p, stage.gradients + first_column);
        product_of_rows<COLUMNS, passing_rows>(ds, shared.values + warp_row * stride, stage.gradients);
#pragma unroll
        for (int c = 0; c < passing_rows / 8; c++)
#pragma unroll
            for (int i = 0; i < 4; i++) ds[c][i] = p[c][i] * (ds[c][i] - stage.terms[8 * c + 2 * (lane % 4) + i % 2].delta);
        product_of_columns<COLUMNS, passing_rows, width>(key_gradients, ds, stage.queries + first_column);
        if (threadIdx.x < passing_rows) shared.tokens[(index + STAGES) % 2][threadIdx.x] = upcoming;
    }
    copy_async_wait<0>();

    store_shares<width>(
        work, key_gradients, value_gradients, scale, warp_row + lane / 4, first_column, dk, dv, fresh_dk, fresh_dv,
        partial + ((long long)work.slot * (SELECTED ? gridDim.y : 1) + part) * 2 * KEYS * HEAD_SIZE, first_key, key_stride);
}
