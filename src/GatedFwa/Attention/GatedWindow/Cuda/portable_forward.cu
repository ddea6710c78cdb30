// Gated window attention on the tensor cores of sm_80 and later, forward. A block takes 64 queries of one head, a warp 16 of them;
// blocks of keys go past from the nearest to the farthest, the next one on its way while one is worked on.
//
// Defines: ELEMENT, HEAD_SIZE, COLUMNS (the head size rounded up to 16), KEY_ROWS, HAS_GATE.
#include "decay_bias.cuh"
#include "mask.cuh"
#include "online_softmax.cuh"
#include "tile_products.cuh"
#include "visible_blocks.cuh"

constexpr int warps = 4, threads = 32 * warps, query_rows = 16 * warps, stages = 2;
constexpr int stride = row_stride<COLUMNS>;
static_assert(query_rows == Tile::size, "a block takes a tile of queries");

struct Stage
{
    ELEMENT keys[KEY_ROWS * stride], values[KEY_ROWS * stride];
    Decay decay[KEY_ROWS];
};

struct Shared
{
    ELEMENT queries[query_rows * stride];
    Stage stage[stages];
};

extern "C" __global__ void __launch_bounds__(threads) portable_forward(
    const ELEMENT *q, const ELEMENT *k, const ELEMENT *v, const float *local, const float *totals, ELEMENT *o, float *lse,
    const int *tile_list, int first_tile, int tiles_per_row, float scale_log2, int tokens, int positions, int rows_of_heads, int heads, int group, int window)
{
    DYNAMIC_SHARED(memory);
    Shared &shared = *reinterpret_cast<Shared *>(memory);
    Tile tile(blockIdx.x, tile_list, first_tile, tiles_per_row, positions);
    int head = blockIdx.y, head_row = tile.batch * heads + head;
    int prefix = positions - tokens, lane = threadIdx.x % 32, warp_row = threadIdx.x / 32 * 16;
    int first_row = max(tile.first, prefix), end_row = min(tile.first + query_rows, tile.end);
    if (first_row >= end_row) return;
    DecayPrefix decay(local, totals, positions, rows_of_heads, head_row);

    // Queries are counted in positions, like keys.
    long long query_stride = (long long)heads * HEAD_SIZE, key_stride = (long long)(heads / group) * HEAD_SIZE;
    long long query_offset = ((long long)tile.batch * tokens - prefix) * query_stride + head * HEAD_SIZE;
    long long key_offset = (long long)tile.batch * positions * key_stride + head / group * HEAD_SIZE;
    copy_rows<COLUMNS, query_rows, threads>(shared.queries, q + query_offset, query_stride, HEAD_SIZE, tile.first, first_row, end_row);

    int last_block = block_start(end_row - 1, KEY_ROWS, tile.start);
    int first_block = block_start(first_visible_key(first_row, window, tile.start), KEY_ROWS, tile.start);
    DecayWalk walk(tile.first); // of the key that this thread brings
    auto bring = [&](int block, int index)
    {
        Stage &stage = shared.stage[index % stages];
        if (block >= first_block)
        {
            copy_rows<COLUMNS, KEY_ROWS, threads>(stage.keys, k + key_offset, key_stride, HEAD_SIZE, block, tile.start, tile.end);
            copy_rows<COLUMNS, KEY_ROWS, threads>(stage.values, v + key_offset, key_stride, HEAD_SIZE, block, tile.start, tile.end);
            if (HAS_GATE && threadIdx.x < KEY_ROWS)
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
        is_strong = __syncthreads_or(!(fabsf(row_decay[0].high) <= strong_decay) || !(fabsf(row_decay[1].high) <= strong_decay));
    }

    OnlineSoftmax softmax[2];
    float outputs[COLUMNS / 8][4];
#pragma unroll
    for (int i = 0; i < COLUMNS / 8; i++) outputs[i][0] = outputs[i][1] = outputs[i][2] = outputs[i][3] = 0;

    bring(last_block, 0);
    int index = 0;
    for (int block = last_block; block >= first_block; block -= KEY_ROWS, index++)
    {
        bring(block - KEY_ROWS, index + 1);
        copy_async_wait<1>();
        __syncthreads();
        Stage &stage = shared.stage[index % stages];
        float s[KEY_ROWS / 8][4];
        multiply_rows<COLUMNS, KEY_ROWS>(s, shared.queries + warp_row * stride, stage.keys);

        bool masked = !is_whole(tile.first + warp_row, 16, block, KEY_ROWS, window);
        float most[2] = {-INFINITY, -INFINITY};
#pragma unroll
        for (int c = 0; c < KEY_ROWS / 8; c++)
        {
            int column = 8 * c + 2 * (lane % 4);
#pragma unroll
            for (int i = 0; i < 4; i++)
            {
                int r = i / 2, key = column + i % 2;
                float bias = 0;
                if (HAS_GATE) bias = is_strong ? decay_between(stage.decay[key], row_decay[r]) : stage.decay[key].high;
                float x = fmaf(s[c][i], scale_log2, bias);
                if (masked && !is_visible(rows[r], block + key, window)) x = -INFINITY;
                s[c][i] = x;
                most[r] = fmaxf(most[r], x);
            }
        }

        float shrink[2];
#pragma unroll
        for (int r = 0; r < 2; r++)
        {
            shrink[r] = softmax[r].raise(row_max(most[r]));
            softmax[r].sum *= shrink[r];
        }
#pragma unroll
        for (int i = 0; i < COLUMNS / 8; i++)
#pragma unroll
            for (int n = 0; n < 4; n++) outputs[i][n] *= shrink[n / 2];
#pragma unroll
        for (int c = 0; c < KEY_ROWS / 8; c++)
#pragma unroll
            for (int i = 0; i < 4; i++)
            {
                s[c][i] = exp2_fast(s[c][i] - softmax[i / 2].base());
                softmax[i / 2].sum += s[c][i];
            }
        multiply_columns<COLUMNS, KEY_ROWS, COLUMNS>(outputs, s, stage.values);
        __syncthreads();
    }

    float inverse[2];
    ELEMENT *targets[2];
#pragma unroll
    for (int r = 0; r < 2; r++)
    {
        float sum = row_sum(softmax[r].sum);
        inverse[r] = 1 / sum;
        bool is_query = rows[r] >= first_row && rows[r] < end_row;
        targets[r] = is_query ? o + query_offset + rows[r] * query_stride : nullptr;
        if (!is_query || lane % 4) continue;
        double of_row = is_strong ? 0 : (double)row_decay[r].high + row_decay[r].low;
        lse[(long long)head_row * tokens + rows[r] - prefix] = (float)((softmax[r].most + log2f(sum) - of_row) / decay_log2_e);
    }
    store_fragment<COLUMNS>(targets[0], targets[1], outputs, inverse[0], inverse[1], 0, HEAD_SIZE, false);
}
