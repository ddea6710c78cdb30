// One query a text and head over the keys of a ring. Ages count from the newest position (0): a tile is the 32 keys of 32 ages, a
// warp walks a stretch of tiles from newer to older, a block is WARPS whose stretches follow one another, and the window is
// split over blocks so that one text fills the GPU. All query heads of a group, up to HEADS, share one reading of their keys.
//
// A decay is the sum of alpha over the newer ages. It is added up anew at every step: inside a tile by a scan, from tile to tile in
// a running sum, both in double. A warp knows only its own stretch, so its scores lack the newer stretches' decays, a constant; it
// hands its own sum on, and whoever joins stretches subtracts what lies between.
#include "elements.cuh"
#include "programmatic.cuh"
#include "ring_reads.cuh"
#include "stretch.cuh"
#include "warp.cuh"
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
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, part = lane % key_lanes, key_in_read = lane / key_lanes;
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
                  alpha + first_head * capacity + newest_slot, capacity, scratch);
    fetched.put_newest(newest_key, newest_value);
#endif

    float query[HEADS][lane_features], sum_o[HEADS][lane_features], highest[HEADS], sum[HEADS];
    double decay[HEADS];
#pragma unroll
    for (int h = 0; h < HEADS; h++)
    {
        // Heads past the group repeat its last; nobody writes them.
        const int head = min(h, head_count - 1);
#pragma unroll
        for (int p = 0; p < packs_per_lane; p++)
        {
            const int feature = (p * key_lanes + part) * pack;
#if PREPARES
#pragma unroll
            for (int i = 0; i < pack; i++) query[h][p * pack + i] = feature < HEAD_SIZE ? prepared[head][feature + i] : 0.0f;
#else
            if (feature < HEAD_SIZE) Pack16<ELEMENT>::load(q + (first_head + head) * HEAD_SIZE + feature, query[h] + p * pack);
#endif
#pragma unroll
            for (int i = p * pack; i < (p + 1) * pack; i++)
            {
                query[h][i] = feature < HEAD_SIZE ? query[h][i] * scale_log2 : 0.0f;
                sum_o[h][i] = 0;
            }
        }
        highest[h] = minus_infinity();
        sum[h] = 0;
        decay[h] = 0;
    }

#if GATED
    float alphas[HEADS];   // Of a tile, a lane each; the next tile's as soon as these have been added up.
    const auto load_alphas = [&](int tile) {
#pragma unroll
        for (int h = 0; h < HEADS; h++)
            alphas[h] = alpha[(first_head + min(h, head_count - 1)) * capacity + walk.slot_of(tile * tile_keys + lane)];
    };
    if (first_tile < end_tile) load_alphas(first_tile);
#endif
    for (int tile = first_tile; tile < end_tile; tile++)
    {
        if (STREAMS && tile + 1 == end_tile) let_next_kernel_begin();
        const int newest = tile * tile_keys;
        const bool exists = newest + lane < count;

        // Lane i ends with the score of age newest + i.
        float score[HEADS];
#pragma unroll
        for (int h = 0; h < HEADS; h++) score[h] = 0;
        for (int first_read = 0; first_read < reads; first_read += reads_at_once)
        {
            fetched.await_keys(tile, first_read);
#pragma unroll
            for (int r = 0; r < reads_at_once; r++)
            {
                float product[HEADS];
#pragma unroll
                for (int h = 0; h < HEADS; h++) product[h] = 0;
#pragma unroll
                for (int p = 0; p < packs_per_lane; p++)
                {
                    float k[pack];
                    fetched.values_of(r, p, k);
#pragma unroll
                    for (int h = 0; h < HEADS; h++)
                    {
#pragma unroll
                        for (int i = 0; i < pack; i++) product[h] = fmaf(query[h][p * pack + i], k[i], product[h]);
                    }
                }
#pragma unroll
                for (int h = 0; h < HEADS; h++)
                {
#pragma unroll
                    for (int step = key_lanes / 2; step > 0; step >>= 1) product[h] += __shfl_xor_sync(all_lanes, product[h], step);
                    const float mine = __shfl_sync(all_lanes, product[h], lane % keys_per_read * key_lanes);
                    if (lane / keys_per_read == first_read + r) score[h] = mine;
                }
            }
            fetched.release();
        }

        fetched.turn_to_values(tile);
        float rescale[HEADS];
#pragma unroll
        for (int h = 0; h < HEADS; h++)
        {
#if GATED
            double total;
            const double before = sum_before(exists ? (double)alphas[h] : 0.0, total);
            score[h] -= (float)((decay[h] + before) * log2_e);
            decay[h] += total;
#endif
            if (!exists) score[h] = minus_infinity();
            const float most = fmaxf(highest[h], warp_max(score[h]));
            rescale[h] = weight_of(highest[h], most);
            highest[h] = most;
            score[h] = weight_of(score[h], most);
            sum[h] = sum[h] * rescale[h] + score[h];
        }

#if GATED
        load_alphas(min(tile + 1, end_tile - 1));
#endif

        // A tile is added up from zero and then joined: the sum over a long text is one of tiles, whose rounding errors are few.
        float tile_o[HEADS][lane_features];
#pragma unroll
        for (int h = 0; h < HEADS; h++)
        {
#pragma unroll
            for (int i = 0; i < lane_features; i++) tile_o[h][i] = 0;
        }
        for (int first_read = 0; first_read < reads; first_read += reads_at_once)
        {
            fetched.await_values(tile, first_read);
#pragma unroll
            for (int r = 0; r < reads_at_once; r++)
            {
                float weight[HEADS];
#pragma unroll
                for (int h = 0; h < HEADS; h++)
                    weight[h] = __shfl_sync(all_lanes, score[h], (first_read + r) * keys_per_read + key_in_read);
#pragma unroll
                for (int p = 0; p < packs_per_lane; p++)
                {
                    float v[pack];
                    fetched.values_of(r, p, v);
#pragma unroll
                    for (int h = 0; h < HEADS; h++)
                    {
#pragma unroll
                        for (int i = 0; i < pack; i++) tile_o[h][p * pack + i] = fmaf(weight[h], v[i], tile_o[h][p * pack + i]);
                    }
                }
            }
            fetched.release();
        }
#pragma unroll
        for (int h = 0; h < HEADS; h++)
        {
#pragma unroll
            for (int i = 0; i < lane_features; i++) sum_o[h][i] = fmaf(sum_o[h][i], rescale[h], tile_o[h][i]);
        }
        fetched.turn_to_keys(tile + 1);
    }
    if (STREAMS) let_next_kernel_begin();   // Stretches without a tile.

#pragma unroll
    for (int h = 0; h < HEADS; h++)
    {
        sum[h] = warp_sum(sum[h]);
        if (lane == 0)
        {
            shared_stretches[warp][h].decay = decay[h];
            shared_stretches[warp][h].highest = highest[h];
            shared_stretches[warp][h].sum = sum[h];
        }
#pragma unroll
        for (int i = 0; i < lane_features; i++)
        {
            float x = sum_o[h][i];
#pragma unroll
            for (int step = key_lanes; step < 32; step <<= 1) x += __shfl_xor_sync(all_lanes, x, step);
            const int feature = (i / pack * key_lanes + part) * pack + i % pack;
            if (key_in_read == 0 && feature < HEAD_SIZE) memory.of_warp[warp].sums[h][feature] = x;
        }
    }
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
