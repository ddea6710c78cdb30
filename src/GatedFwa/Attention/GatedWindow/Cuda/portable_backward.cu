// Gated window attention on the tensor cores of sm_80 and later, backward, in two kernels without atomics: one keeps 64 queries
// and lets their keys go past (dq), one keeps 64 keys and lets the queries that see them go past (dk, dv, column sums of dS). Both
// form P = 2^(score - lse) and dS = P (dP - delta) anew. The one for dq comes first: it corrects delta.
//
// Defines: ELEMENT, HEAD_SIZE, COLUMNS (the head size rounded up to 16 SPLITS), SPLITS (blocks that share the columns of dk and
// dv, which would not fit into one's registers), ROWS (of a block that goes past), STAGES, HAS_GATE.
#include "decay_bias.cuh"
#include "mask.cuh"
#include "online_softmax.cuh"
#include "tile_products.cuh"
#include "visible_blocks.cuh"
#include "warp.cuh"

constexpr int warps = 4, threads = 32 * warps, kept_rows = 16 * warps;
constexpr int stride = row_stride<COLUMNS>;
static_assert(kept_rows == Tile::size, "a block keeps a tile");

struct Extents
{
    float scale;
    int tokens, positions, rows_of_heads, heads, group, window;
};

// What both kernels read. Rows are counted in positions, those of queries too.
struct Operands
{
    const ELEMENT *q, *k, *v, *gradient; // of one head and row of the batch
    const float *lse, *delta;
    long long query_stride, key_stride;

    __device__ Operands(const ELEMENT *all_q, const ELEMENT *all_k, const ELEMENT *all_v, const ELEMENT *all_gradients,
                        const float *all_lse, const float *all_delta, const Extents &e, int batch, int head)
    {
        int prefix = e.positions - e.tokens;
        query_stride = (long long)e.heads * HEAD_SIZE;
        key_stride = (long long)(e.heads / e.group) * HEAD_SIZE;
        long long query = ((long long)batch * e.tokens - prefix) * query_stride + head * HEAD_SIZE;
        long long key = (long long)batch * e.positions * key_stride + head / e.group * HEAD_SIZE;
        long long row = ((long long)batch * e.heads + head) * e.tokens - prefix;
        q = all_q + query, k = all_k + key, v = all_v + key, gradient = all_gradients + query;
        lse = all_lse + row, delta = all_delta + row;
    }
};

// What a query's scores are held against.
struct RowTerms
{
    float lse_log2; // with c(i) added where the decay is not strong; infinite where there is no query: P = 0
    float delta;
    Decay decay;
};

__device__ __forceinline__ RowTerms no_row() { return {INFINITY, 0, Decay()}; }

__device__ __forceinline__ float weight(float s, float scale_log2, Decay key, const RowTerms &row, bool is_strong)
{
    float bias = 0;
    if (HAS_GATE) bias = is_strong ? decay_between(key, row.decay) : key.high;
    return exp2_fast(fmaf(s, scale_log2, bias) - row.lse_log2);
}

// The constant of a row; `decay` is relative to the base of the tile that is kept.
__device__ __forceinline__ RowTerms row_terms(const Operands &at, Decay decay, int row, bool is_strong)
{
    float lse = at.lse[row] * (float)decay_log2_e;
    if (HAS_GATE && !is_strong) lse += decay.high;
    return {lse, at.delta[row], decay};
}

__device__ __forceinline__ bool is_strong_decay(Decay decay) { return !(fabsf(decay.high) <= strong_decay); }

template <int n> __device__ __forceinline__ void clear(float (&x)[n][4])
{
#pragma unroll
    for (int i = 0; i < n; i++) x[i][0] = x[i][1] = x[i][2] = x[i][3] = 0;
}

// ---- dk, dv and column sums -----------------------------------------------------------------------------------------------

struct QueryStage
{
    ELEMENT queries[ROWS * stride], gradients[ROWS * stride];
    RowTerms terms[ROWS];
};

struct SharedOfKeys
{
    ELEMENT keys[kept_rows * stride], values[kept_rows * stride];
    QueryStage stage[STAGES];
};

extern "C" __global__ void __launch_bounds__(threads) portable_backward_keys(
    const ELEMENT *q, const ELEMENT *k, const ELEMENT *v, const ELEMENT *gradient, const float *lse, const float *delta,
    const float *local, const float *totals, ELEMENT *dk, ELEMENT *dv, int add_dk, int add_dv, float *column_sums,
    const int *tile_list, int first_tile, int tiles_per_row, float scale,
    int tokens, int positions, int rows_of_heads, int heads, int group, int window)
{
    constexpr int width = COLUMNS / SPLITS;
    DYNAMIC_SHARED(memory);
    SharedOfKeys &shared = *reinterpret_cast<SharedOfKeys *>(memory);
    Extents e = {scale, tokens, positions, rows_of_heads, heads, group, window};
    Tile tile(blockIdx.x, tile_list, first_tile, tiles_per_row, positions);
    int key_head = blockIdx.y, first_column = blockIdx.z * width;
    int prefix = positions - tokens, lane = threadIdx.x % 32, warp_row = threadIdx.x / 32 * 16;
    int end_key = min(tile.first + kept_rows, tile.end);

    // The blocks of queries that see any of the keys.
    int first_query = max(tile.first, prefix), end_query = end_of_seeing_rows(end_key, window, tile.end);
    int first_block = block_start(first_query, ROWS, tile.start);
    int blocks = end_query > first_query ? (end_query - first_block + ROWS - 1) / ROWS : 0;

    long long key_stride = (long long)(heads / group) * HEAD_SIZE;
    long long key_offset = (long long)tile.batch * positions * key_stride + key_head * HEAD_SIZE;
    copy_rows<COLUMNS, kept_rows, threads>(shared.keys, k + key_offset, key_stride, HEAD_SIZE, tile.first, tile.first, tile.end);
    copy_rows<COLUMNS, kept_rows, threads>(shared.values, v + key_offset, key_stride, HEAD_SIZE, tile.first, tile.first, tile.end);

    int keys[2] = {tile.first + warp_row + lane / 4, tile.first + warp_row + lane / 4 + 8};
    float key_gradients[width / 8][4], value_gradients[width / 8][4];
    clear(key_gradients);
    clear(value_gradients);

    for (int member = 0; member < group; member++)
    {
        int head = key_head * group + member, head_row = tile.batch * heads + head;
        Operands at(q, k, v, gradient, lse, delta, e, tile.batch, head);
        DecayPrefix decay(local, totals, positions, rows_of_heads, head_row);
        Decay key_decay[2];
        bool is_strong = false;
        if (HAS_GATE)
        {
            for (int r = 0; r < 2; r++)
            {
                DecayWalk own(tile.first);
                if (keys[r] < tile.end) key_decay[r] = own.at(decay, keys[r]);
            }
            is_strong = __syncthreads_or(is_strong_decay(key_decay[0]) || is_strong_decay(key_decay[1]));
        }

        DecayWalk walk(tile.first); // of the query that this thread brings
        auto bring = [&](int index)
        {
            if (index < blocks)
            {
                QueryStage &stage = shared.stage[index % STAGES];
                int block = first_block + index * ROWS;
                copy_rows<COLUMNS, ROWS, threads>(stage.queries, at.q, at.query_stride, HEAD_SIZE, block, first_query, end_query);
                copy_rows<COLUMNS, ROWS, threads>(stage.gradients, at.gradient, at.query_stride, HEAD_SIZE, block, first_query, end_query);
                if (threadIdx.x < ROWS)
                {
                    int row = block + threadIdx.x;
                    stage.terms[threadIdx.x] = row < first_query || row >= end_query
                        ? no_row()
                        : row_terms(at, HAS_GATE ? walk.at(decay, row) : Decay(), row, is_strong);
                }
            }
            copy_async_commit();
        };

        float sums[2] = {0, 0};
        bring(0);
        for (int index = 0; index < blocks; index++)
        {
            if (STAGES > 1) bring(index + 1);
            copy_async_wait<(STAGES > 1 ? 1 : 0)>();
            __syncthreads();
            QueryStage &stage = shared.stage[index % STAGES];
            int block = first_block + index * ROWS;
            float p[ROWS / 8][4], ds[ROWS / 8][4]; // a row is a key here, a column a query
            multiply_rows<COLUMNS, ROWS>(p, shared.keys + warp_row * stride, stage.queries);
            bool masked = !is_whole(block, ROWS, tile.first + warp_row, 16, window);
#pragma unroll
            for (int c = 0; c < ROWS / 8; c++)
#pragma unroll
                for (int i = 0; i < 4; i++)
                {
                    int row = 8 * c + 2 * (lane % 4) + i % 2;
                    float x = weight(p[c][i], scale * (float)decay_log2_e, key_decay[i / 2], stage.terms[row], is_strong);
                    p[c][i] = masked && !is_visible(block + row, keys[i / 2], window) ? 0 : x;
                }
            multiply_columns<COLUMNS, ROWS, width>(value_gradients, p, stage.gradients + first_column);
            multiply_rows<COLUMNS, ROWS>(ds, shared.values + warp_row * stride, stage.gradients);
#pragma unroll
            for (int c = 0; c < ROWS / 8; c++)
#pragma unroll
                for (int i = 0; i < 4; i++)
                {
                    ds[c][i] = p[c][i] * (ds[c][i] - stage.terms[8 * c + 2 * (lane % 4) + i % 2].delta);
                    sums[i / 2] += ds[c][i];
                }
            multiply_columns<COLUMNS, ROWS, width>(key_gradients, ds, stage.queries + first_column);
            __syncthreads();
            if (STAGES == 1) bring(index + 1);
        }

        if (!HAS_GATE || !column_sums || blockIdx.z > 0) continue;
        for (int r = 0; r < 2; r++)
        {
            float sum = row_sum(sums[r]);
            if (lane % 4 == 0 && keys[r] < tile.end) column_sums[(long long)head_row * positions + keys[r]] = sum;
        }
    }

    copy_async_wait<0>();
    for (int r = 0; r < 2; r++)
        if (keys[r] >= tile.end) keys[r] = -1;
    ELEMENT *target0 = nullptr, *target1 = nullptr;
    if (dk)
    {
        if (keys[0] >= 0) target0 = dk + key_offset + keys[0] * key_stride;
        if (keys[1] >= 0) target1 = dk + key_offset + keys[1] * key_stride;
        store_fragment<width>(target0, target1, key_gradients, scale, scale, first_column, HEAD_SIZE, add_dk);
    }
    if (dv)
    {
        if (keys[0] >= 0) target0 = dv + key_offset + keys[0] * key_stride;
        if (keys[1] >= 0) target1 = dv + key_offset + keys[1] * key_stride;
        store_fragment<width>(target0, target1, value_gradients, 1, 1, first_column, HEAD_SIZE, add_dv);
    }
}

// ---- dq -------------------------------------------------------------------------------------------------------------------
//
// delta comes from outputs that were rounded to 16 bits. Where a row hardly weighs but one key, dP - delta is a small difference
// and that rounding is most of it. The row sums of dS tell: they are zero but for the error of delta. What they say corrects delta
// for the kernel that keeps keys; dq goes past the keys again where it would matter.

constexpr float negligible = 1.0f / 512; // of the sums of |dS|

struct KeyStage
{
    ELEMENT keys[ROWS * stride], values[ROWS * stride];
    Decay decay[ROWS];
};

struct SharedOfQueries
{
    ELEMENT queries[kept_rows * stride], gradients[kept_rows * stride];
    KeyStage stage[STAGES]; // smaller than the other kernel's by more than what follows
    float errors[warps], sizes[warps];
};

static_assert(sizeof(SharedOfQueries) <= sizeof(SharedOfKeys), "both kernels are launched with as much");

extern "C" __global__ void __launch_bounds__(threads) portable_backward_queries(
    const ELEMENT *q, const ELEMENT *k, const ELEMENT *v, const ELEMENT *gradient, const float *lse, float *delta,
    const float *local, const float *totals, ELEMENT *dq, int add_dq,
    const int *tile_list, int first_tile, int tiles_per_row, float scale,
    int tokens, int positions, int rows_of_heads, int heads, int group, int window)
{
    DYNAMIC_SHARED(memory);
    SharedOfQueries &shared = *reinterpret_cast<SharedOfQueries *>(memory);
    Extents e = {scale, tokens, positions, rows_of_heads, heads, group, window};
    Tile tile(blockIdx.x, tile_list, first_tile, tiles_per_row, positions);
    int head = blockIdx.y, head_row = tile.batch * heads + head;
    int prefix = positions - tokens, lane = threadIdx.x % 32, warp_row = threadIdx.x / 32 * 16;
    int first_row = max(tile.first, prefix), end_row = min(tile.first + kept_rows, tile.end);
    if (first_row >= end_row) return;
    Operands at(q, k, v, gradient, lse, delta, e, tile.batch, head);
    DecayPrefix decay(local, totals, positions, rows_of_heads, head_row);
    copy_rows<COLUMNS, kept_rows, threads>(shared.queries, at.q, at.query_stride, HEAD_SIZE, tile.first, first_row, end_row);
    copy_rows<COLUMNS, kept_rows, threads>(shared.gradients, at.gradient, at.query_stride, HEAD_SIZE, tile.first, first_row, end_row);

    int last_block = block_start(end_row - 1, ROWS, tile.start);
    int first_block = block_start(first_visible_key(first_row, window, tile.start), ROWS, tile.start);
    DecayWalk walk(tile.first); // of the key that this thread brings
    auto bring = [&](int block, int index)
    {
        if (block >= first_block)
        {
            KeyStage &stage = shared.stage[index % STAGES];
            copy_rows<COLUMNS, ROWS, threads>(stage.keys, at.k, at.key_stride, HEAD_SIZE, block, tile.start, tile.end);
            copy_rows<COLUMNS, ROWS, threads>(stage.values, at.v, at.key_stride, HEAD_SIZE, block, tile.start, tile.end);
            if (HAS_GATE && threadIdx.x < ROWS)
                stage.decay[threadIdx.x] = block + (int)threadIdx.x < tile.end ? walk.at(decay, block + threadIdx.x) : Decay();
        }
        copy_async_commit();
    };

    int rows[2] = {tile.first + warp_row + lane / 4, tile.first + warp_row + lane / 4 + 8};
    Decay row_decay[2];
    bool is_strong = false;
    if (HAS_GATE)
    {
        for (int r = 0; r < 2; r++)
        {
            DecayWalk own(tile.first);
            if (rows[r] < tile.end) row_decay[r] = own.at(decay, rows[r]);
        }
        is_strong = __syncthreads_or(is_strong_decay(row_decay[0]) || is_strong_decay(row_decay[1]));
    }
    RowTerms terms[2];
    for (int r = 0; r < 2; r++)
        terms[r] = rows[r] >= first_row && rows[r] < end_row ? row_terms(at, row_decay[r], rows[r], is_strong) : no_row();

    float query_gradients[COLUMNS / 8][4], sums[2] = {0, 0}, sizes[2] = {0, 0};
    clear(query_gradients);
    for (int pass = 0; pass < 2; pass++)
    {
        bring(last_block, 0);
        int index = 0;
        for (int block = last_block; block >= first_block; block -= ROWS, index++)
        {
            if (STAGES > 1) bring(block - ROWS, index + 1);
            copy_async_wait<(STAGES > 1 ? 1 : 0)>();
            __syncthreads();
            KeyStage &stage = shared.stage[index % STAGES];
            float p[ROWS / 8][4], ds[ROWS / 8][4];
            multiply_rows<COLUMNS, ROWS>(p, shared.queries + warp_row * stride, stage.keys);
            if (pass == 0) multiply_rows<COLUMNS, ROWS>(ds, shared.gradients + warp_row * stride, stage.values);
            bool masked = !is_whole(tile.first + warp_row, 16, block, ROWS, window);
#pragma unroll
            for (int c = 0; c < ROWS / 8; c++)
#pragma unroll
                for (int i = 0; i < 4; i++)
                {
                    int r = i / 2, key = 8 * c + 2 * (lane % 4) + i % 2;
                    float x = weight(p[c][i], scale * (float)decay_log2_e, stage.decay[key], terms[r], is_strong);
                    if (masked && !is_visible(rows[r], block + key, window)) x = 0;
                    if (pass == 0)
                    {
                        ds[c][i] = x * (ds[c][i] - terms[r].delta);
                        sums[r] += ds[c][i];
                        sizes[r] += fabsf(ds[c][i]);
                    }
                    else ds[c][i] = -x * sums[r];
                }
            multiply_columns<COLUMNS, ROWS, COLUMNS>(query_gradients, ds, stage.keys);
            __syncthreads();
            if (STAGES == 1) bring(block - ROWS, index + 1);
        }
        if (pass == 1) break;

        float error = 0, size = 0;
        for (int r = 0; r < 2; r++)
        {
            sums[r] = row_sum(sums[r]);
            sizes[r] = row_sum(sizes[r]);
            error += sums[r] * sums[r];
            size += sizes[r] * sizes[r];
            if (rows[r] >= first_row && rows[r] < end_row && lane % 4 == 0)
                delta[(long long)head_row * tokens + rows[r] - prefix] = terms[r].delta + sums[r];
        }
        error = warp_sum(error);
        size = warp_sum(size);
        if (lane == 0)
        {
            shared.errors[threadIdx.x / 32] = error;
            shared.sizes[threadIdx.x / 32] = size;
        }
        __syncthreads();
        error = shared.errors[0] + shared.errors[1] + shared.errors[2] + shared.errors[3];
        size = shared.sizes[0] + shared.sizes[1] + shared.sizes[2] + shared.sizes[3];
        if (!dq || error <= negligible * negligible * size) break;
    }

    ELEMENT *targets[2];
    for (int r = 0; r < 2; r++)
    {
        bool is_query = rows[r] >= first_row && rows[r] < end_row;
        targets[r] = is_query && dq ? dq + (at.q - q) + rows[r] * at.query_stride : nullptr;
    }
    store_fragment<COLUMNS>(targets[0], targets[1], query_gradients, scale, scale, 0, HEAD_SIZE, add_dq);
}
