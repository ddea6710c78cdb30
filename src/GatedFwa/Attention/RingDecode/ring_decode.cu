// One query a text and head over the keys of a ring. Ages count from the newest position (0): a tile is the 32 keys of 32 ages, a
// warp walks a stretch of tiles from newer to older, a block is WARPS whose stretches follow one another, and the window is
// split over blocks so that one text fills the GPU. All query heads of a group, up to HEADS, share one reading of their keys.
// A warp's own work is in ring_softmax.cuh.
#include "ring_softmax.cuh"
#if PREPARES
#include "decode_token.cuh"
#endif

constexpr int warps = WARPS;
constexpr int join_warps = 4;
constexpr int least_blocks = warps == 4 && HEADS == 1 && packs_per_lane == 1 ? 6 : 1;   // Of a multiprocessor.

// q and o [B, 1, heads, HEAD_SIZE]; keys, values [B, key heads, capacity, HEAD_SIZE]; alpha [B, heads, capacity]. `next` and `count`
// hold for all rows unless `cursors` gives each its own (next, count). Several splits: partial_o [B * heads, splits, HEAD_SIZE] and
// stretches [B * heads, splits], newest first, which whoever reads them joins; one: o. Blocks: split, slice of a group's heads, row
// and key head.
// PREPARES: the newest position is not in the ring yet, and there is no q: both are made here from a token's projections.
// STREAMS: the ring is more than caches hold, so that nothing which has been read is kept there. The next kernel begins with a block's
// last tiles: until then what it sends for would come between.
extern "C" __global__ void __launch_bounds__(32 * warps, least_blocks)
#if PREPARES
ring_decode(const float *projections, int stride, const float *query_norm, const float *key_norm, float epsilon, const float *angles,
            const ELEMENT *previous_keys, const ELEMENT *previous_values, const float *bias, float decay_epsilon,
#else
ring_decode(const ELEMENT *q,
#endif
            ELEMENT *keys, ELEMENT *values, float *alpha, const int2 *cursors, int next, int count, int capacity, int group, int key_heads,
            float scale_log2, ELEMENT *o, float *partial_o, Stretch *stretches)
{
    __shared__ Reads::Memory memory;
    __shared__ Stretch shared_stretches[warps][HEADS];
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    const int row = blockIdx.z / key_heads, split = blockIdx.x, splits = gridDim.x;
    const int first_in_group = blockIdx.y * HEADS, head_count = min(HEADS, group - first_in_group);
    const long long first_head = (long long)blockIdx.z * group + first_in_group;
    if (!STREAMS) let_next_kernel_begin();
#if !PREPARES
    wait_for_earlier_kernels();
#endif
    if (cursors)
    {
        next = cursors[row].x;
        count = cursors[row].y;
    }
    keys += (long long)blockIdx.z * capacity * HEAD_SIZE;
    values += (long long)blockIdx.z * capacity * HEAD_SIZE;
    const int tiles = (count + tile_keys - 1) / tile_keys, stretch_tiles = tiles_of_stretch(count, splits * warps);
    const int first_tile = (split * warps + warp) * stretch_tiles, end_tile = min(tiles, first_tile + stretch_tiles);
    const Walk walk = {keys, values, next, count, capacity, first_tile, end_tile};   // What is past the oldest key weighs nothing.
    Reads fetched(walk, memory, warp);
#if PREPARES
    // The step has moved the cursors on before any layer began; of what is read above only the newest slot is still to be written.
    const int key_head = blockIdx.z % key_heads;
    const Token token = {projections, stride, query_norm, key_norm, epsilon, angles, previous_keys, previous_values, bias, decay_epsilon};
    const int first_query = key_head * group + first_in_group;
    const auto parameters = token.parameters<32 * warps>(row, key_head, first_query, head_count, split == 0);
#if GATED
    if (first_tile < end_tile)
        for (int h = 0; h < head_count; h++)
            prefetch(alpha + (first_head + h) * capacity + walk.slot_of(first_tile * tile_keys + lane), sizeof(float));
#endif
    __shared__ float prepared[HEADS][HEAD_SIZE];
    __shared__ __align__(16) ELEMENT newest_key[HEAD_SIZE], newest_value[HEAD_SIZE];
    __shared__ float scratch[2][warps];
    wait_for_earlier_kernels();
    const int newest_slot = walk.slot_of(0);
    token.prepare(parameters, row, key_head, first_query, head_count, split == 0, prepared, newest_key, newest_value,
                  keys + (long long)newest_slot * HEAD_SIZE, values + (long long)newest_slot * HEAD_SIZE,
                  alpha + first_head * capacity + newest_slot, capacity, nullptr, scratch, [] { __syncthreads(); });
    fetched.put_newest(newest_key, newest_value);
#endif

    RingSoftmax softmax(scale_log2, head_count, [&](int head, int feature, float *values) {
#if PREPARES
#pragma unroll
        for (int i = 0; i < pack; i++) values[i] = prepared[head][feature + i];
#else
        Pack16<ELEMENT>::load(q + (first_head + head) * HEAD_SIZE + feature, values);
#endif
    });
    float alphas[HEADS];
    const auto load_alphas = [&](int tile, float (&loaded)[HEADS]) {
#pragma unroll
        for (int h = 0; h < HEADS; h++)
            loaded[h] = alpha[(first_head + min(h, head_count - 1)) * capacity + walk.slot_of(tile * tile_keys + lane)];
    };
    if (GATED && first_tile < end_tile) load_alphas(first_tile, alphas);
    softmax.gather(fetched, walk, alphas, load_alphas);
    if (STREAMS) let_next_kernel_begin();   // Stretches without a tile.
    softmax.leave(shared_stretches[warp], memory.of_warp[warp].sums);
    __syncthreads();

    // The warps' stretches become one.
    for (int h = 0; h < head_count; h++)
    {
        float factor[warps];
        const Stretch all = join<warps>(&shared_stretches[0][h], HEADS, factor);
        const long long head = first_head + h, partial = head * splits + split;
        for (int d = threadIdx.x; d < HEAD_SIZE; d += 32 * warps)
        {
            float x = 0;
#pragma unroll
            for (int w = 0; w < warps; w++) x = fmaf(factor[w], memory.of_warp[w].sums[h][d], x);
            if (splits == 1)
                o[head * HEAD_SIZE + d] = from_float<ELEMENT>(x / all.sum);
            else
                partial_o[partial * HEAD_SIZE + d] = x;
        }
        if (splits > 1 && threadIdx.x == 0) stretches[partial] = all;
    }
}

// The splits become the result, at most 128 of them, always in the same order. A block a row and head.
extern "C" __global__ void __launch_bounds__(32 * join_warps)
ring_combine(const float *partial_o, const Stretch *stretches, ELEMENT *o, int splits)
{
    __shared__ float factors[32 * join_warps];
    __shared__ float scratch[join_warps];
    __shared__ double decays[join_warps];
    const long long head = blockIdx.x, first = head * splits;
    let_next_kernel_begin();
    wait_for_earlier_kernels();
    const int split = threadIdx.x, warp = threadIdx.x / 32;
    const bool exists = split < splits;

    double total, before = sum_before(exists ? stretches[first + split].decay : 0.0, total);
    if (threadIdx.x % 32 == 0) decays[warp] = total;
    __syncthreads();
    for (int w = warp - 1; w >= 0; w--) before += decays[w];
    const float score = exists ? stretches[first + split].highest - (float)(before * log2_e) : minus_infinity();
    const float factor = weight_of(score, block_max(score, scratch));
    const float sum = block_sum(exists ? factor * stretches[first + split].sum : 0.0f, scratch);
    factors[split] = factor / sum;
    __syncthreads();

    for (int d = threadIdx.x; d < HEAD_SIZE; d += 32 * join_warps)
    {
        const float *source = partial_o + first * HEAD_SIZE + d;
        float x = 0;
#pragma unroll 8
        for (int s = 0; s < splits; s++) x = fmaf(factors[s], source[(long long)s * HEAD_SIZE], x);
        o[head * HEAD_SIZE + d] = from_float<ELEMENT>(x);
    }
}
